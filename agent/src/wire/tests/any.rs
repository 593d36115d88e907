//! Any event, identity and mask that there can be.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use agent_common::record::Counters;
use proptest::{
    option::of,
    prelude::{Just, Strategy, any, prop_oneof},
    sample::select,
};
use proto::mask::Mask;

use crate::{
    event::{
        Close, CloseHow, Comm, CongestionState, Event, EventKind, Failure, FailureCause, Family,
        IdentitySource, Initiator, Kinds, Payload, Process, Relation, Reset, Retransmit, RetransmitType,
        Role, SocketError, StateChange, TcpState,
    },
    identity::{Container, ContainerKind, Identity, Pod, Workload},
};

pub(super) type Item = (Event, Option<Arc<Identity>>);

/// Numbers of all lengths.
fn number() -> impl Strategy<Value = u64> {
    (any::<u64>(), 0..63_u32).prop_map(|(number, shift)| (number >> 1) >> shift)
}

fn small() -> impl Strategy<Value = u32> {
    (any::<u32>(), 0..32_u32).prop_map(|(number, shift)| number >> shift)
}

fn duration() -> impl Strategy<Value = Option<Duration>> {
    of(number().prop_map(Duration::from_nanos))
}

fn ip() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        any::<u32>().prop_map(|ip| IpAddr::from(ip.to_be_bytes())),
        any::<[u8; 16]>().prop_map(IpAddr::from).prop_filter("shown as IPv4", |ip| *ip == ip.to_canonical()),
        (0..4_u8).prop_map(|last| IpAddr::from([10, 0, 0, last])),
    ]
}

fn process() -> impl Strategy<Value = Process> {
    let comm = prop_oneof![
        any::<[u8; 16]>(),
        Just(*b"nginx\0\0\0\0\0\0\0\0\0\0\0"),
        Just(*b"\xff\xfe\xf0caf\xc3\xa9\xc3\0\0\0\0\0\0\0"),
    ];
    let relation = select(vec![
        Relation::Owner,
        Relation::Acceptor,
        Relation::User,
        Relation::Listener,
        Relation::Unknown,
    ]);
    (1..5_u32, small(), small(), comm, of(small()), of(number()), relation).prop_map(
        |(pid, tid, uid, comm, mntns, start_ns, relation)| Process {
            pid,
            tid,
            uid,
            comm: Comm(comm),
            mntns,
            start_ns,
            relation,
        },
    )
}

fn state() -> impl Strategy<Value = TcpState> {
    (1..=12_u8).prop_map(|number| TcpState::from_number(number).unwrap())
}

fn counters() -> impl Strategy<Value = Counters> {
    let never = prop_oneof![small(), Just(0), Just(u32::MAX)];
    (proptest::array::uniform4(number()), proptest::array::uniform10(small()), small(), never).prop_map(
        |(long, short, srtt, min)| Counters {
            bytes_acked: long[0],
            bytes_received: long[1],
            bytes_sent: long[2],
            bytes_retrans: long[3],
            segs_in: short[0],
            segs_out: short[1],
            data_segs_in: short[2],
            data_segs_out: short[3],
            total_retrans: short[4],
            srtt_us: srtt,
            mdev_us: short[5],
            min_rtt_us: min,
            snd_cwnd: short[6],
            unsent: short[7],
            unacked: short[8],
            unread: short[9],
        },
    )
}

fn close() -> impl Strategy<Value = Close> {
    let initiator = select(vec![
        Initiator::Local,
        Initiator::Remote,
        Initiator::Both,
        Initiator::Kernel,
        Initiator::Unknown,
    ]);
    let how = select(vec![
        CloseHow::Fin,
        CloseHow::RstSent,
        CloseHow::RstReceived,
        CloseHow::Timeout,
        CloseHow::Abort,
        CloseHow::Error,
        CloseHow::Unknown,
    ]);
    (duration(), initiator, how, of(small())).prop_map(|(duration, initiator, how, errno)| Close {
        duration,
        initiator,
        how,
        errno,
    })
}

fn failure() -> impl Strategy<Value = Failure> {
    let cause = select(vec![
        FailureCause::Refused,
        FailureCause::TimedOut,
        FailureCause::HostUnreachable,
        FailureCause::NetUnreachable,
        FailureCause::Reset,
        FailureCause::NoLocalPort,
        FailureCause::Denied,
        FailureCause::Abandoned,
        FailureCause::Other,
        FailureCause::Unknown,
    ]);
    (cause, of(small()), duration(), of(small())).prop_map(|(cause, errno, elapsed, syns_sent)| Failure {
        cause,
        errno,
        elapsed,
        syns_sent,
    })
}

fn retransmit() -> impl Strategy<Value = Retransmit> {
    let kind = select(vec![
        RetransmitType::Syn,
        RetransmitType::SynAck,
        RetransmitType::Fast,
        RetransmitType::Rto,
        RetransmitType::LossRecovery,
        RetransmitType::Tlp,
        RetransmitType::Other,
    ]);
    let congestion = select(vec![
        CongestionState::Open,
        CongestionState::Disorder,
        CongestionState::Cwr,
        CongestionState::Recovery,
        CongestionState::Loss,
    ]);
    (kind, small(), small(), of(small()), of(small()), of(congestion), of(small())).prop_map(
        |(kind, segments, bytes, sequence, attempt, congestion, error)| Retransmit {
            kind,
            segments,
            bytes,
            sequence,
            attempt,
            congestion,
            error,
        },
    )
}

pub(super) fn event() -> impl Strategy<Value = Event> {
    let role = select(vec![Role::Client, Role::Server, Role::Unknown]);
    let peer = (ip(), any::<u16>()).prop_map(|(ip, port)| SocketAddr::new(ip, port));
    let state =
        (state(), state(), duration()).prop_map(|(old, new, in_old)| StateChange { old, new, in_old });
    let payload = proptest::array::uniform3(number()).prop_map(|[sent, acked, received]| Payload {
        sent,
        acked,
        received,
    });
    // At 1970-01-01T00:00:00 a compact batch has no time.
    let wall_ns = number().prop_map(|ns| ns.max(1));
    let head = (0..1_u32 << EventKind::ALL.len(), number(), wall_ns, small(), any::<[bool; 6]>(), role);
    // Few cookies, places and processes: sockets, places and processes come again.
    let cookie = of(prop_oneof![1..6_u64, number(), (1..4_u64).prop_map(|n| n * 4096 + 1)]);
    let socket =
        (cookie, of(prop_oneof![1..4_u32, small()]), of(number()), of(ip()), of(any::<u16>()), of(peer));
    let processes = (of(process()), of(process()), of(process()), any::<bool>());
    // These two are of whole microseconds.
    let us = || of(small().prop_map(|us| Duration::from_micros(us.into())));
    let times = (of(number()), duration(), of(small()), of((small(), small())), us(), us());
    let reset = (any::<bool>(), of(select(vec!["NO_SOCKET", "TCP_ABORT_ON_CLOSE"])))
        .prop_map(|(sent, reason)| Reset { sent, reason });
    let error = (of(1..200_u32), any::<bool>()).prop_map(|(errno, soft)| SocketError { errno, soft });
    let trouble = (of(retransmit()), of(reset), of(error));
    let ends = (of(state), of(failure()), of(close()), of(counters()), of(payload), trouble);
    (head, socket, processes, times, ends).prop_map(|(head, socket, processes, times, ends)| {
        let (kinds, boot_ns, wall_ns, cpu, flags, role) = head;
        let (cookie, netns, cgroup_id, local, local_port, remote) = socket;
        let (process, owner, user, same) = processes;
        let (start_ns, connect_latency, syn_retransmits, backlog, handshake_rtt, queue_time) = times;
        let (state, failure, close, counters, payload, (retransmit, reset, error)) = ends;
        Event {
            kinds: Kinds(kinds),
            boot_ns,
            wall_ns,
            cpu,
            cookie,
            netns,
            cgroup_id,
            identity_source: IdentitySource::Unknown,
            family: if flags[0] { Family::V6 } else { Family::V4 },
            socket_v6: flags[1],
            local,
            local_port,
            remote,
            role,
            state,
            process,
            owner: if same { process.map(|p| Process { relation: Relation::Owner, ..p }) } else { owner },
            user,
            start_ns,
            connect_latency,
            handshake_rtt,
            syn_retransmits,
            backlog,
            queue_time,
            failure,
            close,
            counters,
            payload,
            retransmit,
            reset,
            error,
            start_unknown: flags[2],
            gap: flags[3],
            repaired: flags[4],
            synthetic: flags[5],
        }
    })
}

pub(super) const fn blank_identity() -> Identity {
    Identity {
        source: IdentitySource::Unknown,
        pod_uid: None,
        pod: None,
        container: None,
        host: false,
        pending: false,
    }
}

fn text() -> impl Strategy<Value = Box<str>> {
    "[a-zä-]{0,20}|[a-z]{100,200}".prop_map(Into::into)
}

fn identity() -> impl Strategy<Value = Identity> {
    let source = select(vec![
        IdentitySource::SocketCgroup,
        IdentitySource::Process,
        IdentitySource::Netns,
        IdentitySource::Host,
        IdentitySource::Unknown,
    ]);
    let kind = select(vec![
        ContainerKind::Main,
        ContainerKind::Init,
        ContainerKind::Sidecar,
        ContainerKind::Ephemeral,
    ]);
    let workload = ("[A-Za-z]{1,9}".prop_map(Into::into), text(), any::<bool>())
        .prop_map(|(kind, name, derived)| Workload { kind, name, derived });
    let labels = proptest::collection::btree_map(text(), text(), 0..4);
    let pod = (text(), text(), text(), of(workload), labels).prop_map(
        |(namespace, name, uid, workload, labels)| Pod {
            namespace,
            name,
            uid,
            workload,
            labels: labels.into_iter().collect(),
        },
    );
    let container = (text(), of((text(), kind))).prop_map(|(id, name)| Container { id, name });
    (source, of(text()), of(pod), of(container), any::<bool>(), any::<bool>()).prop_map(
        |(source, pod_uid, pod, container, host, pending)| Identity {
            source,
            pod_uid,
            pod: pod.map(Arc::new),
            container,
            host,
            pending,
        },
    )
}

pub(super) fn item() -> impl Strategy<Value = Item> {
    (event(), of(identity().prop_map(Arc::new)))
}

/// Paths that lead into everything that the agent fills in.
const PATHS: [&str; 44] = [
    "time",
    "node_name",
    "cpu",
    "kind",
    "synthetic",
    "gap",
    "repaired",
    "socket",
    "socket.cookie",
    "socket.family",
    "socket.ipv6_socket",
    "socket.local",
    "socket.local.ip",
    "socket.local.port",
    "socket.remote.ip",
    "socket.remote.port",
    "socket.role",
    "socket.state",
    "socket.netns",
    "socket.cgroup_id",
    "socket.start_time",
    "process",
    "process.comm",
    "process.start_time",
    "owner",
    "owner.pid",
    "user.pid",
    "local",
    "local.pod",
    "local.labels",
    "local.workload.name",
    "state_change",
    "state_change.old_state",
    "connect_failed.cause",
    "close",
    "close.duration",
    "close.counters.srtt",
    "close.counters.bytes_sent",
    "accept.queue_limit",
    "retransmit.type",
    "retransmit.sequence",
    "reset.reason",
    "socket_error",
    "established",
];

pub(super) fn mask() -> impl Strategy<Value = Mask> {
    prop_oneof![
        Just(Mask::default()),
        Just(Mask::everything()),
        proptest::sample::subsequence(PATHS.to_vec(), 1..12).prop_map(|paths| Mask::new(paths).unwrap()),
        proptest::sample::subsequence(PATHS.to_vec(), 30..40).prop_map(|paths| Mask::new(paths).unwrap()),
    ]
}

/// One event with everything in it for each kind, of the same few identities.
pub(super) fn some_of_all() -> Vec<Item> {
    use proptest::{strategy::ValueTree as _, test_runner::TestRunner};
    let mut runner = TestRunner::deterministic();
    let mut sample = || item().new_tree(&mut runner).unwrap().current();
    let mut items: Vec<Item> = (0..200).map(|_| sample()).collect();
    for (index, kind) in (0..items.len()).zip(EventKind::ALL.into_iter().cycle()) {
        items[index].0.kinds = Kinds(kind.bit());
    }
    items
}
