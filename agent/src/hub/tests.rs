//! The hub without a kernel: events as the engine would give them, made-up containers.

mod exchange;
mod queue;
mod waiting;
mod wish;
mod wish_property;

use std::{
    cell::Cell,
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use proto::v1;

use super::{
    condition::Places,
    naming::Naming,
    pods::PodCondition,
    wish::{CgroupName, Wish},
};
use crate::{
    decode::CgroupMade,
    engine::TaskPlace,
    event::{Comm, Event, EventKind, IdentitySource, Process, Relation, Role},
    filter::compile::Surroundings,
    identity::{Identity, Pod, Workload},
};

/// A wish for everything that a filter lets in.
fn wish(allow: &[v1::Filter], deny: &[v1::Filter]) -> Wish {
    let all = EventKind::ALL.map(|kind| kind as u8);
    let kinds = [1, 2, 3, 4, 5, 6, 7, 9, 10, 15, 16].to_vec();
    assert_eq!(kinds.len(), all.len(), "every kind that there is");
    Wish::read(&v1::ObserveRequest {
        allow: allow.to_vec(),
        deny: deny.to_vec(),
        kinds,
        ..v1::ObserveRequest::default()
    })
    .unwrap()
}

/// A close of a socket in a cgroup.
fn event(cgroup: u64, at: u64) -> Event {
    let mut comm = [0; 16];
    comm[..4].copy_from_slice(b"curl");
    Event {
        kinds: [EventKind::Close].into_iter().collect(),
        boot_ns: at,
        wall_ns: at,
        cookie: Some(at),
        netns: Some(4_026_531_840),
        cgroup_id: Some(cgroup),
        identity_source: IdentitySource::SocketCgroup,
        local: Some(IpAddr::from([10, 0, 0, 1])),
        local_port: Some(45_678),
        remote: Some(SocketAddr::from(([10, 0, 0, 2], 443))),
        role: Role::Client,
        process: Some(Process {
            pid: 1234,
            tid: 1234,
            uid: 1000,
            comm: Comm(comm),
            mntns: None,
            start_ns: None,
            relation: Relation::Owner,
        }),
        ..Event::BLANK
    }
}

/// Cgroups 10, 11, … are containers of the pods `cart-0`, `cart-1`, … in the namespace `shop`, once the API
/// server told of them.
#[derive(Default)]
struct MadeUp {
    known: BTreeMap<u64, Arc<Identity>>,
    pending: BTreeSet<u64>,
    news: Cell<bool>,
}

impl MadeUp {
    fn with(cgroups: &[u64]) -> Self {
        let mut names = Self::default();
        cgroups.iter().for_each(|cgroup| names.told(*cgroup));
        names
    }

    /// The API server tells of a pod.
    fn told(&mut self, cgroup: u64) {
        let pod = Pod {
            namespace: "shop".into(),
            name: format!("cart-{}", cgroup - 10).into(),
            uid: format!("uid-{cgroup}").into(),
            workload: Some(Workload { kind: "Deployment".into(), name: "cart".into(), derived: true }),
            labels: [("app", "cart")].into_iter().collect(),
        };
        self.pending.remove(&cgroup);
        self.known.insert(cgroup, identity(Some(pod), false));
        self.news.set(true);
    }
}

fn identity(pod: Option<Pod>, pending: bool) -> Arc<Identity> {
    Arc::new(Identity {
        source: IdentitySource::SocketCgroup,
        pod_uid: pod.as_ref().map(|pod| pod.uid.clone()),
        pod: pod.map(Arc::new),
        container: None,
        host: false,
        pending,
    })
}

impl Surroundings for MadeUp {
    fn is_below(&self, cgroup: u64, ancestor: u64) -> bool {
        cgroup == ancestor
    }

    fn is_pinned_cgroup(&self, _: u64) -> bool {
        false
    }

    fn is_pinned_mntns(&self, _: u32) -> bool {
        false
    }
}

impl Places for MadeUp {
    fn node(&self) -> &str {
        "node-1"
    }

    fn is_below_path(&self, _: u64, _: &str) -> bool {
        false
    }

    fn of_pods(&self, condition: &PodCondition, or_pending: bool) -> BTreeSet<u64> {
        let known = self.known.iter().filter(|(_, who)| condition.matches(who)).map(|(cgroup, _)| *cgroup);
        let pending = self.pending.iter().copied().filter(|_| or_pending);
        known.chain(pending).collect()
    }

    fn subtree(&self, cgroup: &CgroupName) -> BTreeSet<u64> {
        match cgroup {
            CgroupName::Id(id) => [*id].into(),
            CgroupName::Path(_) => BTreeSet::new(),
        }
    }
}

impl Naming for MadeUp {
    fn of(&mut self, event: &Event) -> Arc<Identity> {
        let cgroup = event.cgroup_id.unwrap_or_default();
        match self.known.get(&cgroup) {
            Some(who) => Arc::clone(who),
            None => identity(None, self.pending.contains(&cgroup)),
        }
    }

    fn refresh(&mut self) -> bool {
        self.news.take()
    }

    fn cgroup_made(&mut self, _: &CgroupMade) {}

    fn process(&mut self, _: &TaskPlace) {}

    fn knows_cgroup(&self, id: u64) -> bool {
        self.known.contains_key(&id)
    }
}
