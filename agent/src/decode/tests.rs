//! Records made by hand, and any bytes at all.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    time::Duration,
};

use agent_common::record::{
    CgroupMade, Connection, Counters, Header, Listed, Owner, RecordType, Relation, Snapshot, Socket,
    SyscallConnect, Transition, flag,
};
use zerocopy::IntoBytes;

use super::{Context, DecodeError, Decoded, decode};
use crate::event::{Event, EventKind, Family, IdentitySource, Kinds, Role, TcpState};

mod cgroup;
mod close;
mod failure;
mod property;

pub(super) const CONTEXT: Context = Context {
    wall_offset_ns: 1_000_000_000_000,
    host_netns: Some(4_026_531_840),
    root_cgroup: 1,
    reset_reasons: &[],
};

/// When the records of these tests happened.
pub(super) const NOW: u64 = 50_000_000;

pub(super) fn v4(last: u8) -> [u8; 16] {
    Ipv4Addr::new(10, 0, 0, last).to_ipv6_mapped().octets()
}

pub(super) fn header(record: RecordType, kinds: &[EventKind], flags: u32) -> Header {
    let len = match record {
        RecordType::Transition => size_of::<Transition>(),
        RecordType::Connection => size_of::<Connection>(),
        RecordType::SyscallConnect => size_of::<SyscallConnect>(),
        RecordType::Snapshot => size_of::<Snapshot>(),
        RecordType::CgroupMade => size_of::<CgroupMade>(),
        RecordType::Listed => size_of::<Listed>(),
        RecordType::Retransmit => size_of::<agent_common::record::Retransmit>(),
        RecordType::Trouble => size_of::<agent_common::record::Trouble>(),
    };
    Header {
        time_ns: NOW,
        verdict: 5,
        kinds: kinds.iter().copied().collect::<Kinds>().0,
        flags,
        cpu: 1,
        len: len as u16,
        record: record as u8,
        generation: 0,
    }
}

pub(super) fn owner(pid: u32, relation: Relation) -> Owner {
    Owner {
        start_ns: 77,
        pid,
        tid: pid + 1,
        uid: 1000,
        mntns: 4_026_531_841,
        comm: *b"curl\0\0\0\0\0\0\0\0\0\0\0\0",
        relation: relation as u8,
        version: 0,
        pad: [0; 6],
    }
}

/// An IPv4 client's socket on its way from one state to another.
pub(super) fn socket(old: TcpState, new: TcpState) -> Socket {
    Socket {
        cookie: 4097,
        cgroup_id: 42,
        start_ns: NOW - 30_000_000,
        established_ns: NOW - 20_000_000,
        old_since_ns: NOW - 10_000_000,
        local: v4(1),
        remote: v4(2),
        netns: 4_026_532_000,
        local_port: 40_000,
        remote_port: 443,
        old_state: old.number(),
        new_state: new.number(),
        stored_state: old.number(),
        ..Socket::default()
    }
}

pub(super) fn transition(flags: u32, socket: Socket) -> Transition {
    let header = header(RecordType::Transition, &[EventKind::StateChange], flags);
    Transition { header, socket, owner: owner(100, Relation::Owner) }
}

/// The last record of a connection whose application sent 1000 and received 500 bytes and closed by FIN.
pub(super) fn closed(old: TcpState, flags: u32) -> Connection {
    Connection {
        header: header(RecordType::Connection, &[EventKind::Close], flags | flag::COUNTERS),
        socket: socket(old, TcpState::Close),
        owner: owner(100, Relation::Owner),
        user: Owner::default(),
        counters: Counters {
            bytes_acked: 1002,
            bytes_received: 501,
            bytes_sent: 1300,
            bytes_retrans: 300,
            segs_in: 6,
            segs_out: 7,
            ..Counters::default()
        },
    }
}

pub(super) fn event(record: &impl BytesOf) -> Event {
    decoded(record).event
}

fn decoded(record: &impl BytesOf) -> Decoded {
    decode(record.bytes(), &CONTEXT).unwrap()
}

/// Spares the tests zerocopy's bounds.
pub(super) trait BytesOf {
    fn bytes(&self) -> &[u8];
}

impl<T: IntoBytes + zerocopy::Immutable> BytesOf for T {
    fn bytes(&self) -> &[u8] {
        self.as_bytes()
    }
}

#[test]
fn a_transition_becomes_an_event_with_its_times_and_its_verdict() {
    let record = transition(flag::ACTIVE, socket(TcpState::Established, TcpState::FinWait1));
    let decoded = decoded(&record);
    assert_eq!(decoded.verdict, 5);
    let event = decoded.event;
    assert_eq!(event.boot_ns, NOW);
    assert_eq!(event.wall_ns, NOW + 1_000_000_000_000);
    assert_eq!(event.cpu, 1);
    assert_eq!(event.cookie, Some(4097));
    assert_eq!(event.netns, Some(4_026_532_000));
    assert_eq!(event.local, Some(IpAddr::from([10, 0, 0, 1])));
    assert_eq!(event.local_port, Some(40_000));
    assert_eq!(event.remote.unwrap().to_string(), "10.0.0.2:443");
    assert_eq!(event.role, Role::Client);
    let state = event.state.unwrap();
    assert_eq!((state.old, state.new), (TcpState::Established, TcpState::FinWait1));
    assert_eq!(state.in_old, Some(Duration::from_millis(10)));
    assert_eq!(event.connect_latency, Some(Duration::from_millis(10)));
    assert_eq!((event.close, event.failure, event.counters, event.payload), (None, None, None, None));
    assert_eq!((event.owner, event.user), (None, None), "only connection records tell the two apart");
    let process = event.process.unwrap();
    assert_eq!((process.pid, process.tid, process.uid), (100, 101, 1000));
    assert_eq!(process.comm.bytes(), b"curl");
    assert_eq!((process.mntns, process.start_ns), (Some(4_026_531_841), Some(77)));
}

#[test]
fn a_clock_offset_before_the_epoch_does_not_wrap() {
    let record = transition(0, socket(TcpState::Close, TcpState::SynSent));
    let context = Context { wall_offset_ns: i64::MIN, ..CONTEXT };
    assert_eq!(decode(record.as_bytes(), &context).unwrap().event.wall_ns, 0);
}

#[test]
fn what_the_record_does_not_know_is_none() {
    let mut record = transition(0, Socket { old_state: 7, new_state: 2, ..Socket::default() });
    record.owner = Owner::default();
    let event = event(&record);
    assert_eq!((event.cookie, event.netns, event.cgroup_id), (None, None, None));
    assert_eq!((event.local, event.local_port, event.remote), (None, None, None));
    assert_eq!((event.process, event.start_ns, event.connect_latency), (None, None, None));
    assert_eq!((event.syn_retransmits, event.backlog), (None, None));
    assert_eq!(event.state.unwrap().in_old, None);
    assert_eq!(event.role, Role::Unknown);
    assert_eq!(event.identity_source, IdentitySource::Unknown);
}

#[test]
fn times_that_run_backwards_are_unknown() {
    let mut socket = socket(TcpState::SynSent, TcpState::Established);
    socket.old_since_ns = NOW + 1;
    socket.established_ns = socket.start_ns - 1;
    let event = event(&transition(flag::ACTIVE, socket));
    assert_eq!(event.state.unwrap().in_old, None);
    assert_eq!(event.connect_latency, None);
}

#[test]
fn after_a_gap_the_time_in_the_old_state_is_unknown_unless_it_is_the_state_that_was_known() {
    let mut socket = socket(TcpState::FinWait2, TcpState::Close);
    socket.stored_state = TcpState::Established.number();
    let gap = event(&transition(flag::GAP, socket));
    assert!(gap.gap);
    assert_eq!(gap.state.unwrap().in_old, None);
    socket.stored_state = socket.old_state;
    assert_eq!(event(&transition(flag::GAP, socket)).state.unwrap().in_old, Some(Duration::from_millis(10)));
}

#[test]
fn a_repaired_event_says_so_and_has_no_durations_up_to_its_late_time() {
    let event = event(&closed(TcpState::FinWait2, flag::REPAIRED | flag::ACTIVE));
    assert!(event.repaired);
    assert_eq!(event.state.unwrap().in_old, None);
    assert_eq!(event.close.unwrap().duration, None);
}

#[test]
fn syn_retransmits_are_told_where_syn_sent_ends_and_nowhere_else() {
    let with = |old, new| {
        let mut socket = socket(old, new);
        socket.syn_retransmits = 2;
        event(&transition(flag::ACTIVE, socket)).syn_retransmits
    };
    assert_eq!(with(TcpState::SynSent, TcpState::Established), Some(2));
    assert_eq!(with(TcpState::Close, TcpState::SynSent), None);
    assert_eq!(with(TcpState::Established, TcpState::CloseWait), None);
}

#[test]
fn the_round_trip_of_the_handshake_is_known_where_a_connect_succeeded_and_tcp_measured_it() {
    let rtt = |old, new, us| {
        let mut socket = socket(old, new);
        socket.handshake_rtt_us = us;
        event(&transition(flag::ACTIVE, socket)).handshake_rtt
    };
    assert_eq!(rtt(TcpState::SynSent, TcpState::Established, 400), Some(Duration::from_micros(400)));
    assert_eq!(rtt(TcpState::SynSent, TcpState::Established, 0), None, "a SYN was sent again");
    assert_eq!(rtt(TcpState::SynSent, TcpState::Close, 400), None);
    assert_eq!(rtt(TcpState::Established, TcpState::CloseWait, 400), None);
}

#[test]
fn only_the_client_has_a_connect_latency() {
    let socket = socket(TcpState::SynRecv, TcpState::Established);
    let event = event(&transition(flag::PASSIVE, socket));
    assert_eq!(event.connect_latency, None);
    assert_eq!(event.role, Role::Server);
}

#[test]
fn a_listener_is_a_server_with_no_peer() {
    let mut socket = socket(TcpState::Close, TcpState::Listen);
    socket.local = Ipv4Addr::UNSPECIFIED.to_ipv6_mapped().octets();
    (socket.remote, socket.remote_port) = ([0; 16], 0);
    let event = event(&transition(0, socket));
    assert_eq!(event.role, Role::Server);
    assert_eq!((event.family, event.local), (Family::V4, Some(IpAddr::V4(Ipv4Addr::UNSPECIFIED))));
    assert_eq!(event.remote, None);
}

#[test]
fn a_listener_on_all_ipv6_addresses_stays_ipv6() {
    let mut socket = socket(TcpState::Close, TcpState::Listen);
    (socket.local, socket.remote, socket.remote_port) = ([0; 16], [0; 16], 0);
    let event = event(&transition(flag::SOCKET_V6, socket));
    assert_eq!((event.family, event.socket_v6), (Family::V6, true));
    assert_eq!(event.local, Some(IpAddr::V6(Ipv6Addr::UNSPECIFIED)));
}

#[test]
fn an_ipv6_socket_with_a_v4_mapped_peer_is_shown_as_ipv4() {
    let mut socket = socket(TcpState::SynSent, TcpState::Established);
    let shown = event(&transition(flag::SOCKET_V6, socket));
    assert_eq!((shown.family, shown.socket_v6), (Family::V4, true));
    assert_eq!(shown.remote.unwrap().to_string(), "10.0.0.2:443");
    socket.local = [0; 16];
    let early = event(&transition(flag::SOCKET_V6, socket));
    assert_eq!((early.family, early.local), (Family::V4, Some(IpAddr::V4(Ipv4Addr::UNSPECIFIED))));
}

#[test]
fn an_ipv6_connection_keeps_both_addresses() {
    let mut socket = socket(TcpState::SynSent, TcpState::Established);
    socket.local = "fd00::1".parse::<Ipv6Addr>().unwrap().octets();
    socket.remote = "fd00::2".parse::<Ipv6Addr>().unwrap().octets();
    let event = event(&transition(flag::SOCKET_V6, socket));
    assert_eq!(event.family, Family::V6);
    assert_eq!(event.local.unwrap().to_string(), "fd00::1");
    assert_eq!(event.remote.unwrap().to_string(), "[fd00::2]:443");
}

#[test]
fn a_peer_that_could_not_be_read_yet_is_no_peer() {
    let mut socket = socket(TcpState::Listen, TcpState::SynRecv);
    socket.cookie = 0;
    let event = event(&transition(flag::PASSIVE | flag::NO_PEER, socket));
    assert_eq!((event.remote, event.cookie), (None, None));
    assert_eq!(event.local_port, Some(40_000));
}

#[test]
fn the_user_is_shown_before_the_owner_and_both_are_kept() {
    let mut record = closed(TcpState::FinWait2, flag::PASSIVE);
    record.owner = owner(100, Relation::Acceptor);
    record.user = owner(200, Relation::User);
    let both = event(&record);
    assert_eq!(both.process.map(|process| process.pid), Some(200));
    assert_eq!(both.owner.map(|process| process.pid), Some(100));
    assert_eq!(both.user.map(|process| process.pid), Some(200));
    record.user = Owner::default();
    let accepted = event(&record);
    assert_eq!(accepted.process.map(|process| process.relation), Some(Relation::Acceptor));
    assert_eq!(accepted.user, None);
}

#[test]
fn nobody_and_the_idle_task_are_no_process() {
    let mut record = transition(0, socket(TcpState::SynRecv, TcpState::Established));
    record.owner = owner(100, Relation::Unknown);
    assert_eq!(event(&record).process, None);
    record.owner = owner(0, Relation::Owner);
    assert_eq!(event(&record).process, None);
    record.owner.relation = 200;
    assert_eq!(event(&record).process, None);
}

#[test]
fn every_event_says_what_its_identity_was_read_from() {
    let source = |cgroup_id, relation, netns| {
        let mut record = transition(0, socket(TcpState::Close, TcpState::SynSent));
        (record.socket.cgroup_id, record.socket.netns) = (cgroup_id, netns);
        record.owner = owner(100, relation);
        event(&record).identity_source
    };
    assert_eq!(source(42, Relation::Owner, 1), IdentitySource::SocketCgroup);
    assert_eq!(source(1, Relation::Owner, 1), IdentitySource::Process, "1 is the root: it places nobody");
    assert_eq!(source(0, Relation::Listener, 1), IdentitySource::Process);
    assert_eq!(source(1, Relation::Unknown, 4_026_531_840), IdentitySource::Host);
    assert_eq!(source(0, Relation::Unknown, 4_026_532_000), IdentitySource::Netns);
    assert_eq!(source(0, Relation::Unknown, 0), IdentitySource::Unknown);
    let record = Transition {
        owner: Owner::default(),
        ..transition(0, Socket { cgroup_id: 1, ..socket(TcpState::Close, TcpState::SynSent) })
    };
    let nowhere = Context { host_netns: None, ..CONTEXT };
    let event = decode(record.as_bytes(), &nowhere).unwrap().event;
    assert_eq!(event.identity_source, IdentitySource::Unknown, "whose netns it is cannot be told");
}

#[test]
fn an_accept_has_the_queue_and_no_state_change() {
    let mut record = closed(TcpState::Established, flag::PASSIVE | flag::BACKLOG);
    record.header.kinds = EventKind::Accept.bit();
    record.socket.new_state = TcpState::Established.number();
    (record.socket.backlog, record.socket.max_backlog) = (3, 128);
    let event = event(&record);
    assert_eq!(event.backlog, Some((3, 128)));
    assert_eq!((event.state, event.close, event.counters, event.payload), (None, None, None, None));
}

#[test]
fn how_long_an_accept_waited_is_known_only_where_accept_itself_was_seen() {
    let waited = |flags, established_ns| {
        let mut record = closed(TcpState::Established, flag::PASSIVE | flags);
        record.header.kinds = EventKind::Accept.bit();
        record.socket.new_state = TcpState::Established.number();
        record.socket.established_ns = established_ns;
        event(&record).queue_time
    };
    assert_eq!(waited(flag::AT_ACCEPT, NOW - 20_000_999), Some(Duration::from_millis(20)));
    assert_eq!(waited(flag::AT_ACCEPT, 0), None, "it is older than the program");
    assert_eq!(waited(0, NOW - 20_000_000), None, "its first read was seen");
}

#[test]
fn a_snapshot_is_synthetic_and_later_events_of_the_same_socket_are_not() {
    let record = Snapshot {
        header: header(RecordType::Snapshot, &[], flag::SYNTHETIC | flag::START_UNKNOWN),
        socket: socket(TcpState::Established, TcpState::Established),
        owner: owner(100, Relation::Owner),
    };
    let found = event(&record);
    assert!(found.synthetic && found.start_unknown);
    let state = found.state.unwrap();
    assert_eq!((state.old, state.new, state.in_old), (TcpState::Established, TcpState::Established, None));
    let later = transition(flag::SYNTHETIC, socket(TcpState::Established, TcpState::CloseWait));
    assert!(!event(&later).synthetic);
}

/// A socket in a list, in this state, with the counters of [`closed`].
fn listed(state: TcpState, flags: u32) -> Listed {
    Listed {
        snapshot: Snapshot {
            header: header(RecordType::Listed, &[], flags),
            socket: socket(state, state),
            owner: owner(100, Relation::Owner),
        },
        counters: closed(state, 0).counters,
    }
}

#[test]
fn a_socket_of_a_list_has_its_payload_so_far_whoever_connected() {
    let known = flag::COUNTERS | flag::SYNTHETIC;
    let mut record = listed(TcpState::Established, known);
    (record.counters.bytes_acked, record.counters.bytes_received) = (1001, 500);
    let found = event(&record);
    assert!(found.synthetic && found.kinds.0 == 0);
    let payload = found.payload.unwrap();
    // Nobody saw who connected: more acknowledged than sent is a SYN.
    assert_eq!((payload.sent, payload.acked, payload.received), (1000, 1000, 500));
    record.counters.bytes_acked = 1000;
    assert_eq!(event(&record).payload, Some(payload));
    // The peer ended, and nobody has read that yet.
    record.snapshot.header.flags |= flag::FIN_RECEIVED;
    record.counters.bytes_received = 501;
    assert_eq!(event(&record).payload, Some(payload));
}

#[test]
fn what_a_list_could_not_count_is_absent() {
    let listener = listed(TcpState::Listen, flag::SYNTHETIC | flag::BACKLOG);
    let found = event(&listener);
    assert_eq!((found.counters, found.payload, found.backlog), (None, None, Some((0, 0))));
    let connection = event(&listed(TcpState::Established, flag::SYNTHETIC));
    assert_eq!((connection.counters, connection.payload, connection.backlog), (None, None, None));
}

#[test]
fn bytes_of_another_build_are_refused_with_both_numbers() {
    let record = transition(0, socket(TcpState::Close, TcpState::SynSent));
    let bytes = record.as_bytes();
    let text = |bytes: &[u8]| decode(bytes, &CONTEXT).unwrap_err().to_string();
    assert_eq!(text(&bytes[..20]), "record of 20 bytes is shorter than its header of 32");
    assert_eq!(text(&bytes[..176]), "Transition record of 176 bytes, expected 184");
    assert_eq!(text(&[bytes, &[0; 8]].concat()), "Transition record of 192 bytes, expected 184");
    let mut lying = record;
    lying.header.len = 192;
    assert_eq!(text(lying.as_bytes()), "Transition record says that it has 192 bytes, but 184 are there");
    lying.header.record = 9;
    assert_eq!(decode(lying.as_bytes(), &CONTEXT), Err(DecodeError::Type { number: 9 }));
    let mut odd = record;
    odd.socket.new_state = 13;
    assert_eq!(text(odd.as_bytes()), "TCP state 13 is unknown");
}

#[test]
fn a_record_may_lie_at_any_address() {
    let record = transition(flag::ACTIVE, socket(TcpState::Close, TcpState::SynSent));
    let mut bytes = vec![0; 1 + size_of::<Transition>()];
    bytes[1..].copy_from_slice(record.as_bytes());
    assert_eq!(decode(&bytes[1..], &CONTEXT).unwrap().event, event(&record));
}
