//! An agent: the hub, the watch of its node's pods, and the server, from the configuration to the end.

use std::{sync::Arc, time::Duration};

use kube::Client;
use rustix::thread::CapabilitySet;
use thiserror::Error;
use tokio::sync::mpsc;

use crate::{
    api::{
        config::Config,
        privileges,
        serve::{self, Prepared, ServeError},
        status::About,
    },
    decode::Context,
    host::{Roots, netns},
    hub::{Hub, Named, Settings},
    identity::{
        names::Names,
        pods::Change,
        watch::{self, WatchState},
    },
    observe::{HubStatus, Observer},
    wire::Origin,
};

/// Why an agent did not start, or broke.
#[derive(Debug, Error)]
pub enum NodeError {
    /// The server, or what it is configured to be.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// The engine's thread.
    #[error("cannot start the engine's thread: {0}")]
    Thread(#[source] std::io::Error),
}

/// Subscribers at a time: each is a conjunction or more, and a queue.
const MOST_SUBSCRIBERS: usize = 1024;

/// Changes of pods that can be under way from the watch to the engine's thread.
const CHANGES: usize = 1024;

/// How long the engine's thread has to let go of the kernel at the end.
const LETTING_GO: Duration = Duration::from_secs(2);

/// Runs an agent until it is told to stop.
pub async fn run(config: Config) -> Result<(), NodeError> {
    let roots = Roots::default();
    let client = serve::kubernetes(&config).await?;
    let prepared = Prepared::new(&config, &roots, client.clone()).await?;
    let about = About::this_machine(&config);

    let watched = client.is_some().then(|| mpsc::channel(CHANGES));
    let (to_names, of_watch) = watched.map_or((None, None), |(to, of)| (Some(to), Some(of)));
    let names = {
        let (roots, node) = (roots.clone(), about.node_name.clone());
        move || Named::new(Names::new(&roots, of_watch), node)
    };
    let (hub, thread) = Hub::start(settings(&config, &roots), names).map_err(NodeError::Thread)?;
    let watching = client.zip(to_names).map(|(client, to_names)| {
        let state = Arc::new(WatchState::default());
        tokio::spawn(follow(client, about.node_name.clone(), to_names, Arc::clone(&state), hub.clone()));
        state
    });

    let origin = Origin {
        node_name: about.node_name.as_str().into(),
        cluster: config.cluster_name.as_deref().unwrap_or_default().into(),
    };
    let status = HubStatus::new(hub.clone(), about, &roots, watching, config.history_bytes);
    let status = Arc::new(status);
    let auth = prepared.serving.auth.clone();
    let observer = Arc::new(Observer::new(hub.clone(), origin, auth, Arc::clone(&status)));
    // Not ready before what is to be attached is attached: the thread answers after it.
    let vitals = prepared.serving.vitals.clone();
    vitals.not_ready("engine", "the kernel programs are being loaded");
    let starting = hub.clone();
    tokio::spawn(async move {
        match starting.status().await.and_then(|status| status.error) {
            Some(error) => vitals.not_ready("engine", error),
            None => vitals.ready("engine"),
        }
    });
    // The engine's thread has what it needs; the one that the network talks to needs nothing.
    if let Err(error) = privileges::keep(CapabilitySet::empty()) {
        tracing::warn!(%error, "the server keeps rights that it does not need");
    }
    // Streams say "come back" while they still can.
    let stop = prepared.serving.stop.clone();
    let ending = hub.clone();
    let ends = tokio::spawn(async move {
        stop.stopping().await;
        ending.stop();
    });
    let served = prepared.run(observer.server(config.limits.message_bytes), status).await;
    ends.abort();
    hub.stop();
    let gone = tokio::task::spawn_blocking(move || thread.join());
    if tokio::time::timeout(LETTING_GO, gone).await.is_err() {
        tracing::warn!("the engine's thread does not end; the kernel lets go with the process");
    }
    Ok(served?)
}

fn settings(config: &Config, roots: &Roots) -> Settings {
    Settings {
        ring_bytes: config.buffer_bytes,
        history_bytes: usize::try_from(config.history_bytes).unwrap_or(usize::MAX),
        history_always: config.history_bytes > 0,
        queue_events: config.queue_events,
        most_subscribers: MOST_SUBSCRIBERS,
        detach_after: config.detach_delay,
        metadata_wait: config.metadata_wait,
        roots: roots.clone(),
        context: Context {
            wall_offset_ns: 0,
            host_netns: netns::host(roots),
            root_cgroup: 1,
            reset_reasons: &[],
        },
    }
}

/// Follows the pods of this node, and wakes the hub when there is news.
async fn follow(
    client: Client,
    node: String,
    to_names: mpsc::Sender<Change>,
    state: Arc<WatchState>,
    hub: Hub,
) {
    let (to_us, mut of_watch) = mpsc::channel(CHANGES);
    tokio::spawn(watch::run(client, watch::Settings::new(&node), to_us, state));
    while let Some(change) = of_watch.recv().await {
        if to_names.send(change).await.is_err() {
            return;
        }
        while let Ok(change) = of_watch.try_recv() {
            if to_names.send(change).await.is_err() {
                return;
            }
        }
        hub.refresh();
    }
}
