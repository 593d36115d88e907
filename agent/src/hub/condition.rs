//! One filter of a request: what of it the kernel can do, and all of it in user space. Pure.
//!
//! The kernel's part lets through at least what the condition lets through, and where nothing is left for user
//! space exactly that. Pods become cgroups; they come and go, so user space always looks again at them.

use std::{collections::BTreeSet, time::Duration};

use super::{pods::PodCondition, wish::CgroupName};
use crate::{
    event::{CloseHow, Event, EventKind, FailureCause, Kinds, RetransmitType, Role, TcpState},
    filter::{
        Conjunction, Prefix,
        compile::{self, Surroundings},
    },
    identity::Identity,
};

/// One filter: everything must hold.
#[derive(Clone, Debug, Default)]
pub struct Condition {
    /// What the kernel does exactly; its cgroups are empty.
    pub kernel: Conjunction,
    /// Conditions on the pod.
    pub pods: Option<PodCondition>,
    /// What user space does.
    pub rest: Rest,
}

/// Conditions that the kernel has no dimension for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rest {
    /// Names of nodes.
    pub nodes: Vec<String>,
    /// Cgroups with everything below them.
    pub cgroups: Vec<CgroupName>,
    /// Names of threads.
    pub comms: Vec<Vec<u8>>,
    /// Ports on either side.
    pub either_ports: Vec<u16>,
    /// Prefixes of either address.
    pub either_prefixes: Vec<Prefix>,
    /// The side of the connection.
    pub role: Option<Role>,
    /// States left.
    pub old_states: Vec<TcpState>,
    /// States entered.
    pub new_states: Vec<TcpState>,
    /// How it ended.
    pub close_causes: Vec<CloseHow>,
    /// Why a connect failed.
    pub failure_causes: Vec<FailureCause>,
    /// Types of retransmits.
    pub retransmit_types: Vec<RetransmitType>,
    /// Latency of a connect, at least.
    pub min_latency: Option<Duration>,
    /// Duration of a connection, at least.
    pub min_duration: Option<Duration>,
    /// Payload in both directions together, at least.
    pub min_bytes: Option<u64>,
}

/// What is known of cgroups and of this node when an event is looked at.
pub trait Places: Surroundings {
    /// This node's name.
    fn node(&self) -> &str;
    /// Whether the cgroup is below that path (or is it).
    fn is_below_path(&self, cgroup: u64, path: &str) -> bool;
    /// The cgroups of the pods that fulfil a condition, and of those that cannot be judged yet.
    fn of_pods(&self, condition: &PodCondition, or_pending: bool) -> BTreeSet<u64>;
    /// A cgroup and what is known to be below it.
    fn subtree(&self, cgroup: &CgroupName) -> BTreeSet<u64>;
}

impl Condition {
    /// Whether the kernel does all of it, so that its verdict needs no second look.
    pub fn is_exact_in_kernel(&self) -> bool {
        self.pods.is_none() && self.rest == Rest::default()
    }

    /// The kernel's part for a filter that lets events in: at least what the condition lets in. `None` where
    /// nothing at all can get in now.
    pub fn to_allow(&self, places: &impl Places) -> Option<Conjunction> {
        let mut conjunction = self.kernel.clone();
        // A node that is not this one: nothing.
        if !self.rest.nodes.is_empty() && !self.rest.nodes.iter().any(|node| node == places.node()) {
            return None;
        }
        if let Some(pods) = &self.pods {
            conjunction.cgroups = places.of_pods(pods, true).into_iter().collect();
        } else if !self.rest.cgroups.is_empty() {
            let all = self.rest.cgroups.iter().flat_map(|cgroup| places.subtree(cgroup));
            conjunction.cgroups = all.collect::<BTreeSet<_>>().into_iter().collect();
        } else {
            return Some(conjunction);
        }
        (!conjunction.cgroups.is_empty()).then_some(conjunction)
    }

    /// The kernel's part for a filter that keeps events out: exactly the condition, or nothing.
    pub fn to_deny(&self) -> Option<Conjunction> {
        self.is_exact_in_kernel().then(|| self.kernel.clone())
    }

    /// The kinds of an event for which the condition holds.
    pub fn holds(&self, event: &Event, who: &Identity, places: &impl Places) -> Kinds {
        if !self.holds_for_socket(event, who, places) {
            return Kinds::default();
        }
        event.kinds.iter().filter(|kind| self.has_kind(*kind)).collect()
    }

    /// Whether the condition holds for a socket, whatever happens to it.
    pub fn holds_for_socket(&self, event: &Event, who: &Identity, places: &impl Places) -> bool {
        compile::holds(&self.kernel, event, places)
            && self.pods.as_ref().is_none_or(|pods| pods.matches(who))
            && self.rest.holds(event, places)
    }

    /// Whether the condition speaks of this kind: by name, or by something that only it has.
    fn has_kind(&self, kind: EventKind) -> bool {
        let rest = &self.rest;
        (self.kernel.kinds.is_empty() || self.kernel.kinds.contains(&kind))
            && (rest.old_states.is_empty() && rest.new_states.is_empty() || kind == EventKind::StateChange)
            && (rest.close_causes.is_empty() && rest.min_duration.is_none() && rest.min_bytes.is_none()
                || kind == EventKind::Close)
            && (rest.failure_causes.is_empty() || kind == EventKind::ConnectFailed)
            && (rest.retransmit_types.is_empty() || kind == EventKind::Retransmit)
            && (rest.min_latency.is_none()
                || matches!(kind, EventKind::Established | EventKind::ConnectFailed))
    }

    /// The parts that run in the kernel and those that run behind it, in words.
    pub fn explain(&self, in_kernel: &mut Vec<String>, in_user_space: &mut Vec<String>) {
        let kernel = &self.kernel;
        let rest = &self.rest;
        let say = |list: &mut Vec<String>, is_there: bool, what: &str| {
            if is_there && !list.iter().any(|said| said == what) {
                list.push(what.to_owned());
            }
        };
        say(in_kernel, !kernel.kinds.is_empty(), "kinds");
        say(in_kernel, !kernel.netns.is_empty(), "netns");
        say(in_kernel, !kernel.mntns.is_empty(), "mount_namespaces");
        say(in_kernel, !kernel.pids.is_empty(), "pids");
        say(in_kernel, !kernel.uids.is_empty(), "uids");
        say(in_kernel, kernel.family.is_some(), "family");
        say(in_kernel, !kernel.local_ports.is_empty(), "local_ports");
        say(in_kernel, !kernel.remote_ports.is_empty(), "remote_ports");
        say(in_kernel, !kernel.local_prefixes.is_empty(), "local_cidrs");
        say(in_kernel, !kernel.remote_prefixes.is_empty(), "remote_cidrs");
        say(in_kernel, self.pods.is_some(), "pods, as their cgroups");
        say(in_kernel, self.pods.is_none() && !rest.cgroups.is_empty(), "cgroups");
        say(in_user_space, self.pods.is_some() && !rest.cgroups.is_empty(), "cgroups");
        say(in_user_space, !rest.nodes.is_empty(), "nodes");
        say(in_user_space, !rest.comms.is_empty(), "comms");
        say(in_user_space, !rest.either_ports.is_empty(), "ports");
        say(in_user_space, !rest.either_prefixes.is_empty(), "cidrs");
        say(in_user_space, rest.role.is_some(), "role");
        say(in_user_space, !rest.old_states.is_empty(), "old_states");
        say(in_user_space, !rest.new_states.is_empty(), "new_states");
        say(in_user_space, !rest.close_causes.is_empty(), "close_causes");
        say(in_user_space, !rest.failure_causes.is_empty(), "failure_causes");
        say(in_user_space, !rest.retransmit_types.is_empty(), "retransmit_types");
        say(in_user_space, rest.min_latency.is_some(), "min_latency");
        say(in_user_space, rest.min_duration.is_some(), "min_duration");
        say(in_user_space, rest.min_bytes.is_some(), "min_bytes");
    }
}

impl Rest {
    fn holds(&self, event: &Event, places: &impl Places) -> bool {
        let state = event.state;
        let latency = event.connect_latency.or(event.failure.and_then(|failure| failure.elapsed));
        (self.nodes.is_empty() || self.nodes.iter().any(|node| node == places.node()))
            && (self.cgroups.is_empty() || event.cgroup_id.is_some_and(|id| self.has_cgroup(id, places)))
            && (self.comms.is_empty() || self.has_comm(event))
            && (self.either_ports.is_empty() || self.has_port(event))
            && (self.either_prefixes.is_empty() || self.has_address(event))
            && self.role.is_none_or(|role| role == event.role)
            && is_among(&self.old_states, state.map(|state| state.old))
            && is_among(&self.new_states, state.map(|state| state.new))
            && is_among(&self.close_causes, event.close.map(|close| close.how))
            && is_among(&self.failure_causes, event.failure.map(|failure| failure.cause))
            && is_among(&self.retransmit_types, event.retransmit.map(|again| again.kind))
            && at_least(self.min_latency, latency)
            && at_least(self.min_duration, event.close.and_then(|close| close.duration))
            && at_least(
                self.min_bytes,
                event.payload.map(|payload| payload.sent.saturating_add(payload.received)),
            )
    }

    fn has_cgroup(&self, id: u64, places: &impl Places) -> bool {
        self.cgroups.iter().any(|cgroup| match cgroup {
            CgroupName::Id(ancestor) => places.is_below(id, *ancestor),
            CgroupName::Path(path) => places.is_below_path(id, path),
        })
    }

    fn has_comm(&self, event: &Event) -> bool {
        let processes = [event.process, event.owner, event.user];
        processes.iter().flatten().any(|process| self.comms.iter().any(|comm| comm == process.comm.bytes()))
    }

    fn has_port(&self, event: &Event) -> bool {
        let remote = event.remote.map(|remote| remote.port());
        [event.local_port, remote].iter().flatten().any(|port| self.either_ports.contains(port))
    }

    fn has_address(&self, event: &Event) -> bool {
        let has = |address| self.either_prefixes.iter().any(|prefix| prefix.contains(address));
        has(compile::remote_address(event)) || event.local.is_some_and(has)
    }
}

fn is_among<T: PartialEq>(list: &[T], value: Option<T>) -> bool {
    list.is_empty() || value.is_some_and(|value| list.contains(&value))
}

fn at_least<T: PartialOrd>(least: Option<T>, value: Option<T>) -> bool {
    least.is_none_or(|least| value.is_some_and(|value| value >= least))
}
