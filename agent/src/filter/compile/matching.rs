//! What a filter means, event by event: for what the kernel has no room for, and as the judge of its sets.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use agent_common::filter::Dimension;

use super::allowed;
use crate::{
    event::{Event, EventKind, Family, Kinds, Process},
    filter::{Conjunction, Filter},
};

/// What a filter refers to and neither the filter nor the event says.
pub trait Surroundings {
    /// Whether a cgroup is another one or below it.
    fn is_below(&self, cgroup: u64, ancestor: u64) -> bool;

    /// Whether a cgroup is in the user's pinned map.
    fn is_pinned_cgroup(&self, cgroup: u64) -> bool;

    /// Whether a mount namespace is in the user's pinned map.
    fn is_pinned_mntns(&self, mntns: u32) -> bool;
}

/// Whether a subscriber that wants `kinds` through `filter` gets the event.
pub fn matches(filter: &Filter, kinds: Kinds, event: &Event, around: &impl Surroundings) -> bool {
    accepted(filter, kinds, event, around).0 != 0
}

/// The event's kinds that pass: wanted, allowed and not denied. A filter can let in one kind of an event
/// and keep out another.
pub fn accepted(filter: &Filter, kinds: Kinds, event: &Event, around: &impl Surroundings) -> Kinds {
    let holds = |conjunctions: &[Conjunction], kind| {
        conjunctions
            .iter()
            .any(|conjunction| has_kind(conjunction, kind) && holds(conjunction, event, around))
    };
    event
        .kinds
        .iter()
        .filter(|kind| kinds.has(*kind) && holds(allowed(filter), *kind) && !holds(&filter.deny, *kind))
        .collect()
}

/// Whether a conjunction accepts a kind.
pub(super) fn has_kind(conjunction: &Conjunction, kind: EventKind) -> bool {
    conjunction.kinds.is_empty() || conjunction.kinds.contains(&kind)
}

/// Whether a conjunction has a condition in a dimension.
pub(super) fn looks_at(conjunction: &Conjunction, dimension: Dimension) -> bool {
    let Conjunction {
        kinds: _,
        netns,
        cgroups,
        mntns,
        pids,
        uids,
        family,
        local_ports,
        remote_ports,
        local_prefixes,
        remote_prefixes,
        pinned_cgroup,
        pinned_mntns,
    } = conjunction;
    match dimension {
        Dimension::Netns => !netns.is_empty(),
        Dimension::Cgroup => !cgroups.is_empty(),
        Dimension::Mntns => !mntns.is_empty(),
        Dimension::Pid => !pids.is_empty(),
        Dimension::Uid => !uids.is_empty(),
        Dimension::LocalPort => !local_ports.is_empty(),
        Dimension::RemotePort => !remote_ports.is_empty(),
        Dimension::LocalAddress => !local_prefixes.is_empty(),
        Dimension::RemoteAddress => !remote_prefixes.is_empty(),
        Dimension::Family => family.is_some(),
        Dimension::PinnedCgroup => *pinned_cgroup,
        Dimension::PinnedMntns => *pinned_mntns,
    }
}

/// Whether all conditions but that on the kind hold.
/// Whether all conditions of a conjunction hold for an event, but for its kind.
pub fn holds(conjunction: &Conjunction, event: &Event, around: &impl Surroundings) -> bool {
    Dimension::ALL
        .into_iter()
        .all(|dimension| !looks_at(conjunction, dimension) || holds_in(conjunction, dimension, event, around))
}

fn holds_in(
    conjunction: &Conjunction,
    dimension: Dimension,
    event: &Event,
    around: &impl Surroundings,
) -> bool {
    let process = |condition: &dyn Fn(&Process) -> bool| {
        [event.process, event.owner, event.user].iter().flatten().any(condition)
    };
    let mntns = |condition: &dyn Fn(u32) -> bool| process(&|process| process.mntns.is_some_and(condition));
    match dimension {
        Dimension::Netns => is_in(&conjunction.netns, event.netns),
        Dimension::Cgroup => event
            .cgroup_id
            .is_some_and(|id| conjunction.cgroups.iter().any(|ancestor| around.is_below(id, *ancestor))),
        Dimension::Mntns => mntns(&|mntns| is_in(&conjunction.mntns, Some(mntns))),
        Dimension::Pid => process(&|process| is_in(&conjunction.pids, Some(process.pid))),
        Dimension::Uid => process(&|process| conjunction.uids.contains(&process.uid)),
        Dimension::LocalPort => is_in(&conjunction.local_ports, event.local_port),
        Dimension::RemotePort => is_in(&conjunction.remote_ports, event.remote.map(|remote| remote.port())),
        Dimension::LocalAddress => event
            .local
            .is_some_and(|address| conjunction.local_prefixes.iter().any(|prefix| prefix.contains(address))),
        Dimension::RemoteAddress => {
            let address = remote_address(event);
            conjunction.remote_prefixes.iter().any(|prefix| prefix.contains(address))
        }
        Dimension::Family => conjunction.family == Some(event.family),
        Dimension::PinnedCgroup => event.cgroup_id.is_some_and(|id| around.is_pinned_cgroup(id)),
        Dimension::PinnedMntns => mntns(&|mntns| around.is_pinned_mntns(mntns)),
    }
}

/// The peer's address as the kernel's programs look it up: unspecified where there is no peer.
pub fn remote_address(event: &Event) -> IpAddr {
    match (event.remote, event.family) {
        (Some(remote), _) => remote.ip(),
        (None, Family::V4) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        (None, Family::V6) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    }
}

/// Whether a value is known and in a list; 0 is the kernel's "unknown" and never is.
fn is_in<T: PartialEq + Default>(list: &[T], value: Option<T>) -> bool {
    value.is_some_and(|value| value != T::default() && list.contains(&value))
}
