//! Any number of subscriptions become the kernel's sets: one bit per conjunction, one map per dimension.
//!
//! Pure. What the kernel then does with the sets is `agent-ebpf/src/filter.rs`; [`matches()`] is the same
//! meaning in user space, and the tests hold one against the other. The rules where it could be doubted:
//!
//! - What is not known of an event (no owner, no peer) fulfils no condition.
//! - A condition on the process holds if it holds for any process known with the socket.
//! - An IPv4 prefix accepts IPv4 only (v4-mapped included), an IPv6 prefix IPv6 only; the unspecified
//!   address stands for "none" and is in no prefix but itself.
//! - 0 is how the kernel says "unknown", so 0 as a namespace, cgroup or port accepts nothing.

mod explain;
mod matching;
#[cfg(test)]
mod tests;
mod trie;

use std::collections::BTreeMap;

use agent_common::filter::{AddressKey, BITS, Dimension, FilterConfig};

pub use self::{
    explain::explain,
    matching::{Surroundings, accepted, holds, matches, remote_address},
};
use crate::{
    event::{EventKind, Family, Kinds},
    filter::{Conjunction, Filter},
};

/// What one subscriber wants.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The filter.
    pub filter: &'a Filter,
    /// The event kinds that it can use at all.
    pub kinds: Kinds,
}

/// The kernel's sets for a number of subscriptions. Each list is a map's content, sorted by key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compiled {
    /// The fixed part; the generation is 1 and is set by whoever puts it in force.
    pub config: FilterConfig,
    /// Map `F_NETNS`.
    pub netns: Vec<(u32, u64)>,
    /// Map `F_CGROUP`: the cgroups asked for and everything that was below them.
    pub cgroup: Vec<(u64, u64)>,
    /// Map `F_MNTNS`.
    pub mntns: Vec<(u32, u64)>,
    /// Map `F_PID`.
    pub pid: Vec<(u32, u64)>,
    /// Map `F_UID`.
    pub uid: Vec<(u32, u64)>,
    /// Map `F_LPORT`.
    pub local_port: Vec<(u32, u64)>,
    /// Map `F_RPORT`.
    pub remote_port: Vec<(u32, u64)>,
    /// Trie `F_LADDR`: length of the prefix in bits, address.
    pub local_address: Vec<((u32, AddressKey), u64)>,
    /// Trie `F_RADDR`.
    pub remote_address: Vec<((u32, AddressKey), u64)>,
    /// Each request's share, in the order of the requests.
    pub shares: Vec<Share>,
}

/// A request's field in the sets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Share {
    /// Its guard bit; requests that had to move together have the same.
    pub guard: u64,
    /// There were more conjunctions than bits: the kernel lets too much through for this request, and
    /// [`accepted`] must decide. It never lets through too little.
    pub needs_user_filter: bool,
}

impl Compiled {
    /// Whether user space must look again, for anybody.
    pub fn needs_user_filter(&self) -> bool {
        self.shares.iter().any(|share| share.needs_user_filter)
    }

    /// The kinds of a record that the request with this index gets, by the verdict in the record's header.
    pub fn share(&self, index: usize, verdict: u64, kinds: Kinds) -> Kinds {
        let Some(share) = self.shares.get(index) else { return Kinds::default() };
        let gets = |kind: &EventKind| {
            self.config.subscribers(verdict & self.config.kinds[*kind as usize]) & share.guard != 0
        };
        kinds.iter().filter(gets).collect()
    }

    /// The fixed part of a filter that lets everything pass to whoever wants the kind: in force while the maps
    /// change.
    pub fn open(&self) -> FilterConfig {
        let mut config = FilterConfig { deny: 0, used: 0, ..self.config };
        for kinds in &mut config.kinds[..EventKind::ALL.len()] {
            if *kinds != 0 {
                *kinds = config.allow;
            }
        }
        config
    }

    /// Who gets a record, by the verdict and the kinds in its header: indexes of requests and the kinds
    /// that each of them gets. A record is several kinds at once, so the verdict alone is not enough.
    pub fn route(&self, verdict: u64, kinds: Kinds) -> impl Iterator<Item = (usize, Kinds)> {
        let subscribers =
            EventKind::ALL.map(|kind| self.config.subscribers(verdict & self.config.kinds[kind as usize]));
        self.shares.iter().enumerate().filter_map(move |(index, share)| {
            let passed: Kinds =
                kinds.iter().filter(|kind| subscribers[*kind as usize] & share.guard != 0).collect();
            (passed.0 != 0).then_some((index, passed))
        })
    }
}

/// The sets that let everything of some kinds in.
pub fn everything(kinds: Kinds) -> Compiled {
    compile(&[Request { filter: &Filter::default(), kinds }], |id| vec![id])
}

/// Compiles the filters of all subscribers. `subtree` gives a cgroup's id and those of everything below it.
///
/// Where the bits do not suffice, conjunctions share one: what any of them accepts gets through, and their
/// requests are marked. A denying conjunction cannot be shared, as it would keep out what it should not;
/// without a bit of its own it is left to user space. No request is refused.
pub fn compile(requests: &[Request<'_>], mut subtree: impl FnMut(u64) -> Vec<u64>) -> Compiled {
    let mut sets = Sets::default();
    let mut shares = Vec::with_capacity(requests.len());
    let mut taken = 0;
    for (index, request) in requests.iter().enumerate() {
        // A request that does not fit takes what is left, but a field of one bit and its guard stays for
        // all those after it.
        let reserved = if index + 1 < requests.len() { GUARD + 1 } else { 0 };
        let room = BITS.saturating_sub(taken + reserved + GUARD);
        let first = if room == 0 { BITS - GUARD - 1 } else { taken };
        let field = Field::new(request.filter, room.max(1));
        let mut share = Share { guard: 1 << (first + field.width), needs_user_filter: room == 0 };
        for (index, (verb, conjunction)) in conjunctions(request.filter).enumerate() {
            let place = field.place(index);
            share.needs_user_filter |= !matches!(place, Place::Own(_));
            let (Place::Own(at) | Place::Shared(at)) = place else { continue };
            let bit = 1 << (first + at);
            match verb {
                Verb::Allow => sets.allow |= bit,
                Verb::Deny => sets.deny |= bit,
            }
            sets.add(bit, conjunction, request.kinds, &mut subtree);
        }
        sets.guards |= share.guard;
        taken = first + field.width + GUARD;
        shares.push(share);
    }
    sets.finish(shares)
}

/// The bits of a guard.
const GUARD: usize = 1;

/// What a conjunction does with what it accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verb {
    Allow,
    Deny,
}

/// A filter's conjunctions in the order of their bits: allowing, then denying ones.
fn conjunctions(filter: &Filter) -> impl Iterator<Item = (Verb, &Conjunction)> {
    let allow = allowed(filter).iter().map(|conjunction| (Verb::Allow, conjunction));
    allow.chain(filter.deny.iter().map(|conjunction| (Verb::Deny, conjunction)))
}

/// The bits of one request, without its guard.
#[derive(Clone, Copy, Debug)]
struct Field {
    width: usize,
    allows: usize,
}

/// Where a conjunction is evaluated, with the bit in its field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// In the kernel, exactly.
    Own(usize),
    /// In the kernel, with others.
    Shared(usize),
    /// Not in the kernel.
    User,
}

impl Field {
    fn new(filter: &Filter, room: usize) -> Self {
        let allows = allowed(filter).len();
        Self { width: room.min(allows + filter.deny.len()), allows }
    }

    /// The place of the nth of the filter's [`conjunctions`].
    const fn place(self, index: usize) -> Place {
        let last = self.width - 1;
        if self.allows > self.width && index >= last {
            if index < self.allows { Place::Shared(last) } else { Place::User }
        } else if index <= last {
            Place::Own(index)
        } else {
            Place::User
        }
    }
}

/// The conjunctions that let an event in; none stands for one without conditions.
fn allowed(filter: &Filter) -> &[Conjunction] {
    static EVERYTHING: Conjunction = NO_CONDITION;
    if filter.allow.is_empty() { std::slice::from_ref(&EVERYTHING) } else { &filter.allow }
}

/// [`Conjunction::default`], where a constant is needed.
const NO_CONDITION: Conjunction = Conjunction {
    kinds: Vec::new(),
    netns: Vec::new(),
    cgroups: Vec::new(),
    mntns: Vec::new(),
    pids: Vec::new(),
    uids: Vec::new(),
    family: None,
    local_ports: Vec::new(),
    remote_ports: Vec::new(),
    local_prefixes: Vec::new(),
    remote_prefixes: Vec::new(),
    pinned_cgroup: false,
    pinned_mntns: false,
};

/// Sets in the making, by dimension.
#[derive(Default)]
struct Sets {
    allow: u64,
    deny: u64,
    guards: u64,
    free: [u64; Dimension::ALL.len()],
    family: [u64; 2],
    kinds: [u64; EventKind::ALL.len()],
    used: u32,
    netns: BTreeMap<u32, u64>,
    cgroup: BTreeMap<u64, u64>,
    mntns: BTreeMap<u32, u64>,
    pid: BTreeMap<u32, u64>,
    uid: BTreeMap<u32, u64>,
    local_port: BTreeMap<u32, u64>,
    remote_port: BTreeMap<u32, u64>,
    local_address: trie::Prefixes,
    remote_address: trie::Prefixes,
}

impl Sets {
    fn add(
        &mut self,
        bit: u64,
        conjunction: &Conjunction,
        wanted: Kinds,
        subtree: &mut impl FnMut(u64) -> Vec<u64>,
    ) {
        for kind in wanted.iter().filter(|kind| matching::has_kind(conjunction, *kind)) {
            self.kinds[kind as usize] |= bit;
        }
        for dimension in Dimension::ALL {
            if matching::looks_at(conjunction, dimension) {
                self.used |= dimension.bit();
            } else {
                self.free[dimension as usize] |= bit;
            }
        }
        match conjunction.family {
            Some(Family::V4) => self.family[0] |= bit,
            Some(Family::V6) => self.family[1] |= bit,
            None => {}
        }
        let cgroups = conjunction.cgroups.iter().flat_map(|id| subtree(*id));
        put(&mut self.cgroup, bit, cgroups.filter(|id| *id != 0));
        let known = |keys: &[u32]| keys.iter().copied().filter(|key| *key != 0).collect::<Vec<_>>();
        put(&mut self.netns, bit, known(&conjunction.netns));
        put(&mut self.mntns, bit, known(&conjunction.mntns));
        put(&mut self.pid, bit, known(&conjunction.pids));
        // Root is a user like any other.
        put(&mut self.uid, bit, conjunction.uids.iter().copied());
        let ports = |ports: &[u16]| known(&ports.iter().map(|port| u32::from(*port)).collect::<Vec<_>>());
        put(&mut self.local_port, bit, ports(&conjunction.local_ports));
        put(&mut self.remote_port, bit, ports(&conjunction.remote_ports));
        self.local_address.add(bit, &conjunction.local_prefixes);
        self.remote_address.add(bit, &conjunction.remote_prefixes);
    }

    fn finish(self, shares: Vec<Share>) -> Compiled {
        let mut config = FilterConfig {
            allow: self.allow,
            deny: self.deny,
            guards: self.guards,
            free: self.free,
            family: self.family,
            used: self.used,
            ..FilterConfig::EMPTY
        };
        config.kinds[..self.kinds.len()].copy_from_slice(&self.kinds);
        config.wanted = EventKind::ALL
            .into_iter()
            .filter(|kind| self.kinds[*kind as usize] & self.allow != 0)
            .collect::<Kinds>()
            .0;
        Compiled {
            config,
            netns: self.netns.into_iter().collect(),
            cgroup: self.cgroup.into_iter().collect(),
            mntns: self.mntns.into_iter().collect(),
            pid: self.pid.into_iter().collect(),
            uid: self.uid.into_iter().collect(),
            local_port: self.local_port.into_iter().collect(),
            remote_port: self.remote_port.into_iter().collect(),
            local_address: self.local_address.finish(),
            remote_address: self.remote_address.finish(),
            shares,
        }
    }
}

fn put<K: Ord>(map: &mut BTreeMap<K, u64>, bit: u64, keys: impl IntoIterator<Item = K>) {
    for key in keys {
        *map.entry(key).or_default() |= bit;
    }
}
