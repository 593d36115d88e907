//! Verdicts: which conjunctions accept a socket, and whether an event has a subscriber.

use agent_common::{
    filter::{AddressKey, Dimension, FilterConfig},
    kind::EventKind,
    record::Relation,
    store::Store,
};
use aya_ebpf::{
    bindings::BPF_F_NO_PREALLOC,
    macros::map,
    maps::{
        Array, HashMap,
        lpm_trie::{Key, LpmTrie},
    },
};

use crate::kernel::sock::Tuple;

/// Two filters; `GENERATION & 1` names the live one, so that a change is one store.
#[map]
static FILTER: Array<FilterConfig> = Array::with_max_entries(2, 0);

#[map]
static GENERATION: Array<u32> = Array::with_max_entries(1, 0);

// User space makes these as large as the filter needs. Preallocated: kernels before 6.1 warn (and some panic on
// warnings) when a classic tracepoint program, as in probes/sys_connect.rs, uses a hash that is not.
#[map]
static F_NETNS: HashMap<u32, u64> = HashMap::with_max_entries(64, 0);
#[map]
static F_CGROUP: HashMap<u64, u64> = HashMap::with_max_entries(64, 0);
#[map]
static F_MNTNS: HashMap<u32, u64> = HashMap::with_max_entries(64, 0);
#[map]
static F_PID: HashMap<u32, u64> = HashMap::with_max_entries(64, 0);
#[map]
static F_UID: HashMap<u32, u64> = HashMap::with_max_entries(64, 0);
#[map]
static F_LPORT: HashMap<u32, u64> = HashMap::with_max_entries(64, 0);
#[map]
static F_RPORT: HashMap<u32, u64> = HashMap::with_max_entries(64, 0);
#[map]
static F_LADDR: LpmTrie<AddressKey, u64> = LpmTrie::with_max_entries(16384, BPF_F_NO_PREALLOC);
#[map]
static F_RADDR: LpmTrie<AddressKey, u64> = LpmTrie::with_max_entries(16384, BPF_F_NO_PREALLOC);

/// The user's own pinned maps take the place of these two at load time (bcc's --cgroupmap, --mntnsmap).
#[map]
static P_CGROUP: HashMap<u64, u64> = HashMap::with_max_entries(1, 0);
#[map]
static P_MNTNS: HashMap<u64, u32> = HashMap::with_max_entries(1, 0);

/// The live filter.
#[inline(always)]
pub fn config<'a>() -> Option<&'a FilterConfig> {
    let generation = *GENERATION.get(0)?;
    FILTER.get(generation & 1)
}

/// The conjunctions that accept the socket, whatever happens to it; cached in its record.
#[inline(always)]
pub fn socket_verdict(config: &FilterConfig, store: &mut Store, tuple: &Tuple) -> u64 {
    if store.generation == config.generation {
        return store.verdict;
    }
    let verdict = evaluate(config, store, tuple);
    store.verdict = verdict;
    store.generation = config.generation;
    verdict
}

/// The conjunctions that accept the socket.
#[inline(never)]
pub fn evaluate(config: &FilterConfig, store: &Store, tuple: &Tuple) -> u64 {
    let mut set = config.allow | config.deny;
    let used = config.used;
    if used == 0 {
        return set;
    }
    if used & Dimension::Netns.bit() != 0 {
        set &= config.free[Dimension::Netns as usize] | hash(&F_NETNS, &store.netns);
    }
    if used & Dimension::Cgroup.bit() != 0 {
        set &= config.free[Dimension::Cgroup as usize] | hash(&F_CGROUP, &store.cgroup_id);
    }
    if used & Dimension::Mntns.bit() != 0 {
        set &= config.free[Dimension::Mntns as usize] | either(store, |owner| hash(&F_MNTNS, &owner.mntns));
    }
    if used & Dimension::Pid.bit() != 0 {
        set &= config.free[Dimension::Pid as usize] | either(store, |owner| hash(&F_PID, &owner.pid));
    }
    if used & Dimension::Uid.bit() != 0 {
        set &= config.free[Dimension::Uid as usize] | either(store, |owner| hash(&F_UID, &owner.uid));
    }
    if used & Dimension::LocalPort.bit() != 0 {
        let port = u32::from(tuple.local_port);
        set &= config.free[Dimension::LocalPort as usize] | hash(&F_LPORT, &port);
    }
    if used & Dimension::RemotePort.bit() != 0 {
        let port = u32::from(tuple.remote_port);
        set &= config.free[Dimension::RemotePort as usize] | hash(&F_RPORT, &port);
    }
    if used & Dimension::LocalAddress.bit() != 0 {
        set &= config.free[Dimension::LocalAddress as usize] | prefix(&F_LADDR, &tuple.local);
    }
    if used & Dimension::RemoteAddress.bit() != 0 {
        set &= config.free[Dimension::RemoteAddress as usize] | prefix(&F_RADDR, &tuple.remote);
    }
    if used & Dimension::Family.bit() != 0 {
        set &= config.free[Dimension::Family as usize] | config.family[usize::from(!is_v4(tuple))];
    }
    if used & Dimension::PinnedCgroup.bit() != 0 && unsafe { P_CGROUP.get(store.cgroup_id) }.is_none() {
        set &= config.free[Dimension::PinnedCgroup as usize];
    }
    if used & Dimension::PinnedMntns.bit() != 0 && !pinned_mntns(store) {
        set &= config.free[Dimension::PinnedMntns as usize];
    }
    set
}

/// Whether an event of this one kind has a subscriber. `socket` is what [`socket_verdict`] or [`evaluate`] said.
#[inline(always)]
pub fn is_wanted(config: &FilterConfig, socket: u64, kind: EventKind) -> bool {
    let accepted = socket & config.kinds[kind as usize];
    if config.deny == 0 { accepted & config.allow != 0 } else { config.subscribers(accepted) != 0 }
}

/// Whether an event of these kinds, which a change of state can be, has a subscriber. `socket` is what
/// [`socket_verdict`] said; which of the kinds each subscriber gets is worked out from it again where the record is
/// routed.
#[inline(always)]
pub fn has_subscriber(config: &FilterConfig, socket: u64, kinds: u32) -> bool {
    // No branch per kind: the verifier would follow each combination.
    let of_kind = |kind: EventKind| {
        let wanted = 0u64.wrapping_sub(u64::from(kinds >> kind as u8 & 1));
        socket & config.kinds[kind as usize] & wanted
    };
    if config.deny == 0 {
        let mut set = 0;
        for kind in EventKind::OF_STATES {
            set |= of_kind(kind);
        }
        return set & config.allow != 0;
    }
    let mut subscribers = 0;
    for kind in EventKind::OF_STATES {
        subscribers |= config.subscribers(of_kind(kind));
    }
    subscribers != 0
}

/// The sets of the owner and of the user together: a filter means whoever has to do with the socket.
#[inline(always)]
fn either(store: &Store, set: impl Fn(&agent_common::record::Owner) -> u64) -> u64 {
    let mut found = 0;
    if store.owner.relation != Relation::Unknown as u8 {
        found |= set(&store.owner);
    }
    if store.user.relation != Relation::Unknown as u8 {
        found |= set(&store.user);
    }
    found
}

#[inline(always)]
fn pinned_mntns(store: &Store) -> bool {
    let owner = u64::from(store.owner.mntns);
    let user = u64::from(store.user.mntns);
    unsafe { P_MNTNS.get(owner).is_some() || P_MNTNS.get(user).is_some() }
}

#[inline(always)]
fn is_v4(tuple: &Tuple) -> bool {
    let address = if tuple.local == [0, 0] { &tuple.remote } else { &tuple.local };
    // `::ffff:0:0/96`: the first half zero, then 00 00 ff ff.
    address[0] == 0 && address[1].to_be() >> 32 == 0xffff
}

#[inline(always)]
fn hash<K>(map: &HashMap<K, u64>, key: &K) -> u64 {
    unsafe { map.get(key) }.copied().unwrap_or(0)
}

#[inline(always)]
fn prefix(trie: &LpmTrie<AddressKey, u64>, address: &[u64; 2]) -> u64 {
    let bytes: AddressKey = unsafe { core::mem::transmute_copy(address) };
    trie.get(Key::new(128, bytes)).copied().unwrap_or(0)
}

/// Copies the parent's set to a new cgroup. `false` when the map is full.
#[inline(always)]
pub fn inherit_cgroup(parent: u64, child: u64) -> bool {
    let set = hash(&F_CGROUP, &parent);
    set == 0 || F_CGROUP.insert(child, set, 0).is_ok()
}
