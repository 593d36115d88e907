//! The agent between the ring and the stream, without a kernel: decoded, named, routed, queued, kept in the history.
//! The benchmark and the test that nothing allocates use it.

use std::{ops::ControlFlow, sync::Arc, time::Duration};

use agent::{
    decode::{Context, decode_into},
    engine::{Routing, Sink as _},
    event::Event,
    filter::compile::Compiled,
    host::Roots,
    hub::{Batch, Exchange, Items, Named, Queue, wish::Wish},
    identity::{
        Identity,
        names::Names,
        pods::{Change, Seen},
    },
    wire::kind_number,
};
use proto::v1;
use tokio::sync::mpsc;

use super::sample::{self, FIRST_CGROUP, Mix, PODS};

pub const CONTEXT: Context = Context {
    wall_offset_ns: 1_700_000_000_000_000_000,
    host_netns: Some(4_026_531_840),
    root_cgroup: 1,
    reset_reasons: &[],
};

/// Events that a stream takes out of its queue at once.
pub const BATCH: usize = 512;

/// The defaults of the agent's settings.
const QUEUE: usize = 8192;
const HISTORY_BYTES: usize = 4 << 20;

pub struct Bed {
    exchange: Exchange<Named>,
    compiled: Compiled,
    queue: Arc<Queue>,
    batch: Batch,
    event: Event,
}

impl Bed {
    /// An agent that knows the sample's pods, with one subscriber.
    pub fn new(mix: Mix) -> Self {
        let named = Named::new(names(), "worker-1".to_owned());
        let wait = Duration::from_millis(500);
        let mut exchange = Exchange::new(named, HISTORY_BYTES, true, wait, Duration::from_secs(5));
        let kinds = mix.kinds().iter().map(|kind| kind_number(kind).into()).collect();
        let wish = Wish::read(&v1::ObserveRequest { kinds, ..v1::ObserveRequest::default() })
            .expect("it asks for kinds and nothing else");
        let queue = Arc::new(Queue::new(QUEUE));
        exchange.add(1, "benchmark".to_owned(), wish, Arc::clone(&queue));
        let compiled = exchange.compiled();
        Self { exchange, compiled, queue, batch: Batch::default(), event: Event::BLANK }
    }

    /// Takes a record in, as the engine's thread does.
    pub fn take_in(&mut self, bytes: &[u8]) {
        if decode_into(bytes, &CONTEXT, &mut self.event).is_err() {
            return;
        }
        let verdict = self.compiled.config.allow;
        let routing = Routing { compiled: &self.compiled, verdict, is_current: true };
        let _: ControlFlow<()> = self.exchange.record(&mut self.event, &routing);
    }

    /// Who has what.
    pub fn names(&mut self) -> &mut Named {
        &mut self.exchange.names
    }

    /// Gives out what waits, as a stream takes it.
    pub fn take_out(&mut self) -> &Items {
        self.queue.take(BATCH, &mut self.batch);
        &self.batch.items
    }
}

/// The sample's pods, as cgroups and the API server tell of them.
fn names() -> Names {
    let nowhere = Roots { proc: "/nowhere".into(), sys: "/nowhere".into(), netns: Vec::new() };
    let (api, watch) = mpsc::channel(PODS as usize);
    let mut names = Names::new(&nowhere, Some(watch));
    for (id, identity) in (FIRST_CGROUP..).zip(sample::identities()) {
        let (seen, path) = told(&identity);
        assert!(api.try_send(Change::Applied(seen.into())).is_ok(), "there is room for all");
        names.cgroup_seen(id, &path);
    }
    names.refresh();
    names
}

/// A pod, and where its container is.
fn told(identity: &Identity) -> (Seen, String) {
    let pod = identity.pod.as_deref().expect("the sample's identities are of pods");
    let container = identity.container.as_ref().expect("and of containers");
    let (name, kind) = container.name.clone().expect("which have names");
    let seen = Seen {
        namespace: pod.namespace.clone(),
        name: pod.name.clone(),
        uid: pod.uid.clone(),
        workload: pod.workload.clone(),
        containers: vec![(container.id.clone(), name, kind)],
        ..Seen::default()
    };
    (seen, format!("/kubepods/burstable/pod{}/{}", pod.uid, container.id))
}
