//! A model of the kernel's evaluation over the compiled sets must say what [`accepted`] says.

use std::net::IpAddr;

use agent_common::{
    filter::{AddressKey, BITS, Dimension},
    record::Relation,
};
use proptest::{
    option::weighted,
    prelude::{Just, Strategy, any, prop, prop_assert, prop_assert_eq, prop_oneof, proptest},
};

use super::{Compiled, Request, Surroundings, accepted, compile, everything, explain};
use crate::{
    event::{Comm, Event, EventKind, Family, Kinds, Process},
    filter::{Conjunction, Filter, Prefix},
};

/// Cgroups 1 to 6, each with its parent; and what the user pinned.
struct Tree;

impl Tree {
    const PARENTS: [u64; 7] = [0, 0, 1, 2, 2, 1, 5];

    fn subtree(id: u64) -> Vec<u64> {
        (1..=6).filter(|below| Self.is_below(*below, id)).collect()
    }
}

impl Surroundings for Tree {
    fn is_below(&self, mut cgroup: u64, ancestor: u64) -> bool {
        while cgroup != 0 {
            if cgroup == ancestor {
                return true;
            }
            cgroup = Self::PARENTS[usize::try_from(cgroup).unwrap()];
        }
        false
    }

    fn is_pinned_cgroup(&self, cgroup: u64) -> bool {
        cgroup == 3
    }

    fn is_pinned_mntns(&self, mntns: u32) -> bool {
        mntns == 2
    }
}

/// What `agent-ebpf/src/filter.rs` does with the maps.
struct Kernel<'a>(&'a Compiled);

impl Kernel<'_> {
    fn verdict(&self, event: &Event) -> u64 {
        let Self(compiled) = self;
        let config = &compiled.config;
        let local = event.local.map_or([0; 16], address_key);
        let remote = event.remote.map_or(unspecified(event.family), |remote| address_key(remote.ip()));
        let v4 = event.family == Family::V4;
        let processes: Vec<_> = event.process.iter().chain(&event.owner).chain(&event.user).collect();
        let either = |sets: &[(u32, u64)], key: fn(&Process) -> u32| {
            processes.iter().fold(0, |found, process| found | hash(sets, key(process)))
        };
        let mntns = |process: &Process| process.mntns.unwrap_or(0);
        let pinned = |present| if present { u64::MAX } else { 0 };
        let mut set = config.allow | config.deny;
        for dimension in Dimension::ALL.into_iter().filter(|dimension| config.used & dimension.bit() != 0) {
            set &= config.free[dimension as usize]
                | match dimension {
                    Dimension::Netns => hash(&compiled.netns, event.netns.unwrap_or(0)),
                    Dimension::Cgroup => hash(&compiled.cgroup, event.cgroup_id.unwrap_or(0)),
                    Dimension::Mntns => either(&compiled.mntns, mntns),
                    Dimension::Pid => either(&compiled.pid, |process| process.pid),
                    Dimension::Uid => either(&compiled.uid, |process| process.uid),
                    Dimension::LocalPort => hash(&compiled.local_port, event.local_port.unwrap_or(0).into()),
                    Dimension::RemotePort => {
                        hash(&compiled.remote_port, event.remote.map_or(0, |remote| remote.port()).into())
                    }
                    Dimension::LocalAddress => longest(&compiled.local_address, local),
                    Dimension::RemoteAddress => longest(&compiled.remote_address, remote),
                    Dimension::Family => config.family[usize::from(!v4)],
                    Dimension::PinnedCgroup => pinned(Tree.is_pinned_cgroup(event.cgroup_id.unwrap_or(0))),
                    Dimension::PinnedMntns => {
                        pinned(processes.iter().any(|process| Tree.is_pinned_mntns(mntns(process))))
                    }
                };
        }
        set
    }

    fn has_subscriber(&self, verdict: u64, kinds: Kinds) -> bool {
        let config = &self.0.config;
        kinds.iter().any(|kind| config.subscribers(verdict & config.kinds[kind as usize]) != 0)
    }
}

fn hash<K: Ord + Copy>(sets: &[(K, u64)], key: K) -> u64 {
    assert!(sets.is_sorted_by_key(|(key, _)| *key));
    sets.binary_search_by_key(&key, |(key, _)| *key).map_or(0, |at| sets[at].1)
}

fn longest(entries: &[((u32, AddressKey), u64)], address: AddressKey) -> u64 {
    let address = u128::from_be_bytes(address);
    let covering = entries.iter().filter(|((length, key), _)| {
        let rest = 128 - length;
        rest == 128 || (u128::from_be_bytes(*key) ^ address) >> rest == 0
    });
    covering.max_by_key(|((length, _), _)| *length).map_or(0, |(_, set)| *set)
}

fn address_key(address: IpAddr) -> AddressKey {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => address.octets(),
    }
}

fn unspecified(family: Family) -> AddressKey {
    address_key(if family == Family::V4 { "0.0.0.0" } else { "::" }.parse().unwrap())
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn prefix(text: &str) -> Prefix {
    let (address, length) = text.split_once('/').unwrap();
    Prefix { address: ip(address), length: length.parse().unwrap() }
}

const V4: [&str; 5] = ["10.1.1.1", "10.1.2.3", "10.9.9.9", "11.0.0.1", "0.0.0.0"];
const V6: [&str; 6] = ["fd00::1", "fd00::2", "fd01::1", "fe80::1", "::1", "::"];
const PREFIXES: [&str; 16] = [
    "0.0.0.0/0",
    "0.0.0.0/8",
    "0.0.0.0/32",
    "10.0.0.0/8",
    "10.1.0.0/16",
    "10.1.1.1/32",
    "11.0.0.0/8",
    "::/0",
    "::/64",
    "::/80",
    "::/128",
    "fd00::/8",
    "fd00::/16",
    "fd00::1/128",
    // An IPv4 prefix that nobody turned into one.
    "::ffff:10.0.0.0/104",
    // Covers all v4-mapped addresses, yet is IPv6.
    "::ffff:0:0/90",
];

fn some<T: Clone + std::fmt::Debug + 'static>(values: &'static [T]) -> impl Strategy<Value = Vec<T>> {
    // Most conditions are not there, or nothing would ever match.
    prop_oneof![3 => Just(Vec::new()), 2 => prop::sample::subsequence(values, 1..=values.len().min(3))]
}

fn conjunction() -> impl Strategy<Value = Conjunction> {
    let prefixes =
        || some(&PREFIXES).prop_map(|texts| texts.into_iter().map(prefix).collect::<Vec<Prefix>>());
    let first = (
        some(&EventKind::ALL),
        some(&[0, 1, 2, 3u32]),
        some(&[0, 1, 2, 3, 4, 5, 6u64]),
        some(&[0, 1, 2u32]),
        some(&[0, 1, 2, 3u32]),
        some(&[0, 1, 2u32]),
    );
    let second = (
        weighted(0.3, prop_oneof![Just(Family::V4), Just(Family::V6)]),
        some(&[0, 1, 2, 3u16]),
        some(&[0, 1, 2, 3u16]),
        prefixes(),
        prefixes(),
        prop::bool::weighted(0.1),
        prop::bool::weighted(0.1),
    );
    (first, second).prop_map(|((kinds, netns, cgroups, mntns, pids, uids), second)| {
        let (family, local_ports, remote_ports, local_prefixes, remote_prefixes, cgroup, mnt) = second;
        Conjunction {
            kinds,
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
            pinned_cgroup: cgroup,
            pinned_mntns: mnt,
        }
    })
}

fn request(most: usize) -> impl Strategy<Value = (Filter, Kinds)> {
    let list = || prop::collection::vec(conjunction(), 0..=most);
    ((list(), list()).prop_map(|(allow, deny)| Filter { allow, deny }), kinds())
}

fn kinds() -> impl Strategy<Value = Kinds> {
    (1..256u32).prop_map(Kinds)
}

fn process() -> impl Strategy<Value = Process> {
    (1..4u32, 0..3u32, prop::option::of(1..3u32)).prop_map(|(pid, uid, mntns)| Process {
        pid,
        tid: pid,
        uid,
        comm: Comm([0; 16]),
        mntns,
        start_ns: None,
        relation: Relation::Owner,
    })
}

fn event() -> impl Strategy<Value = Event> {
    let ends = prop_oneof![
        (prop::sample::select(&V4), prop::sample::select(&V4)).prop_map(|ends| (Family::V4, ends)),
        (prop::sample::select(&V6), prop::sample::select(&V6)).prop_map(|ends| (Family::V6, ends)),
    ];
    (
        kinds(),
        weighted(0.8, 1..4u32),
        weighted(0.8, 1..7u64),
        (weighted(0.6, process()), weighted(0.3, process()), weighted(0.2, process())),
        ends,
        (weighted(0.8, 1..4u16), 1..4u16),
    )
        .prop_map(
            |(kinds, netns, cgroup_id, (process, owner, user), (family, (local, remote)), ports)| {
                let remote = ip(remote);
                Event {
                    kinds,
                    netns,
                    cgroup_id,
                    process,
                    owner,
                    user,
                    family,
                    local: Some(ip(local)),
                    local_port: ports.0,
                    remote: (!remote.is_unspecified()).then(|| (remote, ports.1).into()),
                    ..blank()
                }
            },
        )
}

fn blank() -> Event {
    Event { kinds: Kinds(u32::MAX), ..Event::BLANK }
}

/// Sends an event through the kernel's model and says what each request gets, and what it should get.
fn both(filters: &[(Filter, Kinds)], event: &Event) -> (Compiled, Vec<(Kinds, Kinds)>) {
    let requests: Vec<_> = filters.iter().map(|(filter, kinds)| Request { filter, kinds: *kinds }).collect();
    let compiled = compile(&requests, Tree::subtree);
    let verdict = Kernel(&compiled).verdict(event);
    let kinds = Kinds(event.kinds.0 & compiled.config.wanted);
    let mut given = vec![Kinds::default(); filters.len()];
    if Kernel(&compiled).has_subscriber(verdict, kinds) {
        for (index, kinds) in compiled.route(verdict, kinds) {
            given[index] = kinds;
        }
    } else {
        assert_eq!(compiled.route(verdict, kinds).count(), 0);
    }
    let wanted = filters.iter().map(|(filter, kinds)| accepted(filter, *kinds, event, &Tree));
    let both = given.into_iter().zip(wanted).collect();
    (compiled, both)
}

fn bits(filters: &[(Filter, Kinds)]) -> usize {
    filters.iter().map(|(filter, _)| filter.allow.len().max(1) + filter.deny.len() + 1).sum()
}

proptest! {
    #![proptest_config(proptest::test_runner::Config::with_cases(2_000))]

    #[test]
    fn the_kernel_and_user_space_agree(
        filters in prop::collection::vec(request(3), 1..6),
        events in prop::collection::vec(event(), 1..6),
    ) {
        for event in &events {
            let (compiled, both) = both(&filters, event);
            prop_assert!(!compiled.needs_user_filter());
            for (given, wanted) in both {
                prop_assert_eq!(given, wanted);
            }
        }
    }
}

proptest! {
    #![proptest_config(proptest::test_runner::Config::with_cases(300))]

    #[test]
    fn what_does_not_fit_gets_through_and_is_marked(
        filters in prop_oneof![
            prop::collection::vec(request(2), 10..50),
            prop::collection::vec(request(40), 1..3),
            prop::collection::vec(request(0), 60..80),
        ],
        events in prop::collection::vec(event(), 1..4),
        picked in any::<prop::sample::Index>(),
    ) {
        for event in &events {
            let (compiled, both) = both(&filters, event);
            prop_assert_eq!(compiled.needs_user_filter(), bits(&filters) > BITS);
            for ((given, wanted), share) in both.iter().zip(&compiled.shares) {
                prop_assert_eq!(given.0 & wanted.0, wanted.0, "something is missing");
                prop_assert!(share.needs_user_filter || given == wanted, "something is too much");
            }
        }
        // Whoever is alone has all bits.
        let alone = std::slice::from_ref(picked.get(&filters));
        prop_assert_eq!(both(alone, &events[0]).0.needs_user_filter(), bits(alone) > BITS);
    }

    #[test]
    fn each_guard_stands_above_its_own_bits(filters in prop::collection::vec(request(6), 0..20)) {
        let (Compiled { config, shares, .. }, _) = both(&filters, &blank());
        prop_assert_eq!(config.guards & (config.allow | config.deny), 0);
        prop_assert_eq!(config.allow & config.deny, 0);
        for share in shares {
            prop_assert_eq!(share.guard.count_ones(), 1);
            prop_assert!((config.allow | config.deny) & share.guard >> 1 != 0);
        }
    }
}

fn one(conjunction: Conjunction) -> Compiled {
    let filter = Filter { allow: vec![conjunction], deny: vec![] };
    compile(&[Request { filter: &filter, kinds: Kinds(u32::MAX) }], Tree::subtree)
}

#[test]
fn no_subscription_wants_nothing() {
    let compiled = compile(&[], Tree::subtree);
    assert_eq!((compiled.config.allow, compiled.config.wanted, compiled.config.used), (0, 0, 0));
    assert!(!Kernel(&compiled).has_subscriber(u64::MAX, Kinds(u32::MAX)));
}

#[test]
fn a_filter_without_conditions_looks_nothing_up() {
    let compiled = everything([EventKind::Connect, EventKind::Close].into_iter().collect());
    assert_eq!(compiled.config.used, 0);
    assert_eq!(compiled.config.wanted, EventKind::Connect.bit() | EventKind::Close.bit());
    assert_eq!(Kernel(&compiled).verdict(&blank()), 1);
    let routed: Vec<_> = compiled.route(1, Kinds(u32::MAX)).collect();
    assert_eq!(routed, [(0, [EventKind::Connect, EventKind::Close].into_iter().collect())]);
}

#[test]
fn a_cgroup_stands_for_everything_below_it() {
    let compiled = one(Conjunction { cgroups: vec![2, 5], ..Conjunction::default() });
    assert_eq!(compiled.cgroup, [(2, 1), (3, 1), (4, 1), (5, 1), (6, 1)]);
    assert_eq!(compiled.config.used, Dimension::Cgroup.bit());
}

#[test]
fn a_covered_prefix_has_the_sets_of_those_that_cover_it() {
    let prefixes = |texts: &[&str]| Conjunction {
        remote_prefixes: texts.iter().map(|text| prefix(text)).collect(),
        ..Conjunction::default()
    };
    let filter = Filter {
        allow: vec![
            prefixes(&["10.0.0.0/8", "fd00::/8"]),
            prefixes(&["10.1.0.0/16"]),
            prefixes(&["10.1.2.0/24", "::/0"]),
        ],
        deny: vec![],
    };
    let compiled = compile(&[Request { filter: &filter, kinds: Kinds(1) }], Tree::subtree);
    let entries: Vec<_> = compiled
        .remote_address
        .iter()
        .map(|((length, key), set)| (format!("{}/{length}", std::net::Ipv6Addr::from(*key)), *set))
        .collect();
    assert_eq!(
        entries,
        [
            ("::/0".to_owned(), 0b100),
            ("::/128".to_owned(), 0),
            ("::ffff:0.0.0.0/96".to_owned(), 0),
            ("::ffff:0.0.0.0/128".to_owned(), 0),
            ("::ffff:10.0.0.0/104".to_owned(), 0b001),
            ("::ffff:10.1.0.0/112".to_owned(), 0b011),
            ("::ffff:10.1.2.0/120".to_owned(), 0b111),
            ("fd00::/8".to_owned(), 0b101),
        ]
    );
}

#[test]
fn zero_is_unknown_and_matches_nothing_but_root() {
    let zero = Conjunction {
        netns: vec![0],
        local_ports: vec![0],
        pids: vec![0],
        uids: vec![0],
        ..Conjunction::default()
    };
    let compiled = one(zero);
    assert!(compiled.netns.is_empty() && compiled.local_port.is_empty() && compiled.pid.is_empty());
    assert_eq!(compiled.uid, [(0, 1)]);
}

#[test]
fn one_kind_of_an_event_can_be_denied_and_another_pass() {
    let deny =
        Conjunction { kinds: vec![EventKind::Connect], remote_ports: vec![1], ..Conjunction::default() };
    let filters = [
        (Filter { allow: vec![], deny: vec![deny] }, Kinds(u32::MAX)),
        (Filter::default(), [EventKind::Connect].into_iter().collect()),
    ];
    let event = Event {
        kinds: [EventKind::StateChange, EventKind::Connect].into_iter().collect(),
        remote: Some((ip("10.1.1.1"), 1).into()),
        ..blank()
    };
    let (_, both) = both(&filters, &event);
    let state_change = [EventKind::StateChange].into_iter().collect();
    let connect = [EventKind::Connect].into_iter().collect();
    assert_eq!(both, [(state_change, state_change), (connect, connect)]);
}

#[test]
fn every_condition_is_explained_with_its_map() {
    let all = Conjunction {
        kinds: vec![EventKind::Connect, EventKind::Close],
        netns: vec![4_026_531_840],
        cgroups: vec![4242],
        mntns: vec![4_026_531_841],
        pids: vec![7, 8],
        uids: vec![0],
        family: Some(Family::V4),
        local_ports: vec![80],
        remote_ports: vec![443, 8443],
        local_prefixes: vec![prefix("10.0.0.0/8")],
        remote_prefixes: vec![prefix("fd00::/8")],
        pinned_cgroup: true,
        pinned_mntns: true,
    };
    let deny = Conjunction { remote_ports: vec![22], ..Conjunction::default() };
    assert_eq!(
        explain(&Filter { allow: vec![all], deny: vec![deny] }),
        [
            "allow 1: kind connect, close -> kernel, before a record is built",
            "allow 1: netns 4026531840 -> kernel, hash map F_NETNS",
            "allow 1: cgroup 4242 and below -> kernel, hash map F_CGROUP; a new cgroup inherits at cgroup_mkdir",
            "allow 1: mntns 4026531841 -> kernel, hash map F_MNTNS",
            "allow 1: pid 7, 8 -> kernel, hash map F_PID",
            "allow 1: uid 0 -> kernel, hash map F_UID",
            "allow 1: local_port 80 -> kernel, hash map F_LPORT",
            "allow 1: remote_port 443, 8443 -> kernel, hash map F_RPORT",
            "allow 1: local_address 10.0.0.0/8 -> kernel, prefix trie F_LADDR",
            "allow 1: remote_address fd00::/8 -> kernel, prefix trie F_RADDR",
            "allow 1: family ipv4 -> kernel, array FILTER",
            "allow 1: cgroupmap -> kernel, the pinned map, as P_CGROUP",
            "allow 1: mntnsmap -> kernel, the pinned map, as P_MNTNS",
            "deny 1: remote_port 22 -> kernel, hash map F_RPORT",
        ]
    );
    assert_eq!(explain(&Filter::default()), ["allow 1: everything -> kernel, no condition"]);
}

#[test]
fn what_does_not_fit_the_kernel_is_explained_as_such() {
    let ports = |ports: std::ops::Range<u16>| -> Vec<Conjunction> {
        ports.map(|port| Conjunction { local_ports: vec![port], ..Conjunction::default() }).collect()
    };
    let lines = explain(&Filter { allow: ports(1..66), deny: ports(80..81) });
    assert_eq!(lines.len(), 66);
    assert_eq!(lines[61], "allow 62: local_port 62 -> kernel, hash map F_LPORT");
    assert_eq!(
        lines[62],
        "allow 63: local_port 63 -> kernel, hash map F_LPORT; shares the last of 64 bits, so user space looks again"
    );
    assert_eq!(lines[65], "deny 1: local_port 80 -> user space, as the kernel's 64 bits are taken");
}
