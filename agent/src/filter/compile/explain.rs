//! Words for where each condition of a filter runs: what `--explain` prints.

use std::fmt::Display;

use agent_common::filter::{BITS, Dimension};

use super::{Field, GUARD, Place, Verb, allowed, conjunctions, matching::looks_at};
use crate::{
    event::Family,
    filter::{Conjunction, Filter, Prefix},
};

/// One line for each condition of a filter that has the kernel for itself, in the order it was given.
pub fn explain(filter: &Filter) -> Vec<String> {
    let field = Field::new(filter, BITS - GUARD);
    let mut lines = Vec::new();
    for (index, (verb, conjunction)) in conjunctions(filter).enumerate() {
        let (verb, number) = match verb {
            Verb::Allow => ("allow", index + 1),
            Verb::Deny => ("deny", index + 1 - allowed(filter).len()),
        };
        for condition in conditions(conjunction) {
            lines.push(format!("{verb} {number}: {}", condition.line(field.place(index))));
        }
    }
    lines
}

struct Condition {
    what: String,
    how: &'static str,
}

impl Condition {
    fn line(&self, place: Place) -> String {
        let Self { what, how } = self;
        match place {
            Place::Own(_) => format!("{what} -> kernel, {how}"),
            Place::Shared(_) => {
                format!("{what} -> kernel, {how}; shares the last of {BITS} bits, so user space looks again")
            }
            Place::User => format!("{what} -> user space, as the kernel's {BITS} bits are taken"),
        }
    }
}

fn conditions(conjunction: &Conjunction) -> Vec<Condition> {
    let mut conditions = Vec::new();
    if !conjunction.kinds.is_empty() {
        let what = format!("kind {}", list(conjunction.kinds.iter().map(|kind| kind.name())));
        conditions.push(Condition { what, how: "before a record is built" });
    }
    for dimension in Dimension::ALL.into_iter().filter(|dimension| looks_at(conjunction, *dimension)) {
        let values = values(conjunction, dimension);
        let what = if values.is_empty() {
            dimension.name().to_owned()
        } else {
            format!("{} {values}", dimension.name())
        };
        conditions.push(Condition { what, how: how(dimension) });
    }
    if conditions.is_empty() {
        conditions.push(Condition { what: "everything".to_owned(), how: "no condition" });
    }
    conditions
}

fn values(conjunction: &Conjunction, dimension: Dimension) -> String {
    let prefixes = |prefixes: &[Prefix]| {
        list(prefixes.iter().map(|prefix| format!("{}/{}", prefix.address, prefix.length)))
    };
    match dimension {
        Dimension::Netns => list(&conjunction.netns),
        Dimension::Cgroup => format!("{} and below", list(&conjunction.cgroups)),
        Dimension::Mntns => list(&conjunction.mntns),
        Dimension::Pid => list(&conjunction.pids),
        Dimension::Uid => list(&conjunction.uids),
        Dimension::LocalPort => list(&conjunction.local_ports),
        Dimension::RemotePort => list(&conjunction.remote_ports),
        Dimension::LocalAddress => prefixes(&conjunction.local_prefixes),
        Dimension::RemoteAddress => prefixes(&conjunction.remote_prefixes),
        Dimension::Family => match conjunction.family {
            Some(Family::V4) => "ipv4".to_owned(),
            Some(Family::V6) => "ipv6".to_owned(),
            None => String::new(),
        },
        Dimension::PinnedCgroup | Dimension::PinnedMntns => String::new(),
    }
}

/// Where in the kernel a dimension is looked up.
const fn how(dimension: Dimension) -> &'static str {
    match dimension {
        Dimension::Netns => "hash map F_NETNS",
        Dimension::Cgroup => "hash map F_CGROUP; a new cgroup inherits at cgroup_mkdir",
        Dimension::Mntns => "hash map F_MNTNS",
        Dimension::Pid => "hash map F_PID",
        Dimension::Uid => "hash map F_UID",
        Dimension::LocalPort => "hash map F_LPORT",
        Dimension::RemotePort => "hash map F_RPORT",
        Dimension::LocalAddress => "prefix trie F_LADDR",
        Dimension::RemoteAddress => "prefix trie F_RADDR",
        Dimension::Family => "array FILTER",
        Dimension::PinnedCgroup => "the pinned map, as P_CGROUP",
        Dimension::PinnedMntns => "the pinned map, as P_MNTNS",
    }
}

fn list<T: Display>(values: impl IntoIterator<Item = T>) -> String {
    values.into_iter().map(|value| value.to_string()).collect::<Vec<_>>().join(", ")
}
