//! The records of a busy node: short connections between pods, each with its whole life, in the order of their times.
//! The same every time. The benchmark uses it, and the tests of sizes and allocations.

use std::{net::Ipv4Addr, sync::Arc};

use agent::{
    event::{EventKind, IdentitySource, Kinds, TcpState},
    identity::{Container, ContainerKind, Identity, Pod, Workload, labels::Labels},
};
use agent_common::record::{
    Connection, Counters, Header, Owner, RecordType, Relation, Socket, Transition, flag,
};
use zerocopy::IntoBytes as _;

/// As many as Kubernetes lets run on a node.
pub const PODS: u64 = 110;

/// The cgroup of the first; the others follow.
pub const FIRST_CGROUP: u64 = 5000;

/// What somebody subscribed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mix {
    /// Connects, accepts and closes: what a request without kinds gets of such connections.
    Default,
    /// Closes and state changes: tcplife and tcpstates.
    States,
    /// Closes alone: tcplife.
    Closes,
}

impl Mix {
    pub const ALL: [Self; 3] = [Self::Default, Self::States, Self::Closes];

    /// Its kinds.
    pub fn kinds(self) -> Kinds {
        use EventKind::{Accept, Close, Connect, ConnectFailed, StateChange};
        match self {
            Self::Default => Kinds::from_iter([Connect, ConnectFailed, Accept, Close]),
            Self::States => Kinds::from_iter([StateChange, Close]),
            Self::Closes => Kinds::from_iter([Close]),
        }
    }
}

/// A record as it stands in the ring.
pub struct Record {
    pub bytes: Vec<u8>,
    time_ns: u64,
}

/// The pods' identities.
pub fn identities() -> Vec<Arc<Identity>> {
    let identity = |pod: u64| {
        let name = format!("checkout-{:08x}-x{pod:04}", 0x6d4c_9f7b_u32);
        let uid = format!("3f2b1c0d-77aa-4c1e-9d55-0242ac12{pod:04x}");
        Arc::new(Identity {
            source: IdentitySource::SocketCgroup,
            pod_uid: Some(uid.as_str().into()),
            pod: Some(Arc::new(Pod {
                namespace: "shop".into(),
                name: name.into(),
                uid: uid.into(),
                workload: Some(Workload {
                    kind: "Deployment".into(),
                    name: "checkout".into(),
                    derived: true,
                }),
                labels: Labels::default(),
            })),
            container: Some(Container {
                id: format!("{pod:064x}").into(),
                name: Some(("server".into(), ContainerKind::Main)),
            }),
            host: false,
            pending: false,
        })
    };
    (0..PODS).map(identity).collect()
}

/// The records of so many connections, a thousand a second, as far as the mix has their kinds.
pub fn records(connections: u64, mix: Mix) -> Vec<Record> {
    let mut random = Random(0x5eed);
    let mut records = Vec::new();
    let mut now = 3_600_000_000_000;
    for number in 0..connections {
        now += random.up_to(2_000_000);
        life(number, now, &mut random, |record| records.push(record));
    }
    records.retain_mut(|record: &mut Record| {
        let kinds =
            u32::from_ne_bytes([record.bytes[16], record.bytes[17], record.bytes[18], record.bytes[19]]);
        let wanted = kinds & mix.kinds().0;
        record.bytes[16..20].copy_from_slice(&wanted.to_ne_bytes());
        wanted != 0
    });
    records.sort_by_key(|record| record.time_ns);
    records
}

/// xorshift64*: enough to spread numbers.
struct Random(u64);

impl Random {
    fn up_to(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16) % limit
    }

    /// Most are small.
    fn skewed(&mut self, limit: u64) -> u64 {
        let most = self.up_to(limit) + 1;
        self.up_to(most)
    }
}

/// Connect, or accept, to close.
fn life(number: u64, begin: u64, random: &mut Random, mut tell: impl FnMut(Record)) {
    use EventKind::{Accept, Close, Closing, Connect, Established, StateChange};
    let pod = random.up_to(PODS);
    let client = number.is_multiple_of(2);
    let rtt_us = 150 + random.skewed(3000);
    let established = begin + rtt_us * 1000 + random.up_to(50_000);
    let end = established + 500_000 + random.skewed(200_000_000);
    let sent = 80 + random.skewed(if client { 2000 } else { 60_000 });
    let received = 80 + random.skewed(if client { 60_000 } else { 2000 });
    let mut socket = Socket {
        cookie: 1_000_000 + number,
        cgroup_id: FIRST_CGROUP + pod,
        start_ns: begin,
        local: Ipv4Addr::from(0x0af4_0100 + pod as u32).to_ipv6_mapped().octets(),
        // Some Services, many clients.
        remote: Ipv4Addr::from(if client {
            0x0a60_0000 + random.up_to(40) as u32
        } else {
            0x0af4_0200 + random.up_to(500) as u32
        })
        .to_ipv6_mapped()
        .octets(),
        netns: 4_026_532_000 + pod as u32,
        // Where the decoder looks at it: as a client's socket is established.
        handshake_rtt_us: rtt_us as u32,
        ..Socket::default()
    };
    let ephemeral = 32_768 + random.up_to(28_232) as u16;
    let known = [80, 443, 5432, 6379, 8080][random.up_to(5) as usize];
    (socket.local_port, socket.remote_port) = if client { (ephemeral, known) } else { (known, ephemeral) };
    let side = if client { flag::ACTIVE } else { flag::PASSIVE };
    let owner = Owner {
        start_ns: 60_000_000_000 + pod * 1_000_003,
        pid: 20_000 + pod as u32 * 7,
        tid: 20_000 + pod as u32 * 7 + random.up_to(3) as u32,
        uid: 1000,
        mntns: 4_026_533_000 + pod as u32,
        comm: *b"checkout-server\0",
        relation: if client { Relation::Owner } else { Relation::Acceptor } as u8,
        version: 0,
        pad: [0; 6],
    };
    let user = Owner { relation: Relation::User as u8, ..owner };
    let counters = Counters {
        bytes_acked: sent + 1 + u64::from(client),
        bytes_received: received + 1,
        bytes_sent: sent,
        bytes_retrans: 0,
        segs_in: 5 + (received / 1448) as u32,
        segs_out: 5 + (sent / 1448) as u32,
        data_segs_in: 1 + (received / 1448) as u32,
        data_segs_out: 1 + (sent / 1448) as u32,
        total_retrans: 0,
        srtt_us: rtt_us as u32,
        mdev_us: rtt_us as u32 / 3,
        min_rtt_us: rtt_us as u32 - 50,
        snd_cwnd: 10 + random.up_to(10) as u32,
        ..Counters::default()
    };
    let steps: &[(TcpState, TcpState, &[EventKind], u64)] = if client {
        &[
            (TcpState::Close, TcpState::SynSent, &[StateChange, Connect], begin),
            (TcpState::SynSent, TcpState::Established, &[StateChange, Established], established),
            (TcpState::Established, TcpState::FinWait1, &[StateChange, Closing], end),
            (TcpState::FinWait1, TcpState::FinWait2, &[StateChange], end + rtt_us * 1000),
            (TcpState::FinWait2, TcpState::Close, &[StateChange, Close], end + rtt_us * 1200),
        ]
    } else {
        &[
            (TcpState::Listen, TcpState::SynRecv, &[StateChange], begin),
            (TcpState::SynRecv, TcpState::Established, &[StateChange], begin + 5000),
            (TcpState::Established, TcpState::Established, &[Accept], established),
            (TcpState::Established, TcpState::CloseWait, &[StateChange], end),
            (TcpState::CloseWait, TcpState::LastAck, &[StateChange, Closing], end + 40_000),
            (TcpState::LastAck, TcpState::Close, &[StateChange, Close], end + rtt_us * 1000),
        ]
    };
    for (old, new, kinds, time_ns) in steps.iter().copied() {
        socket.old_state = old.number();
        socket.new_state = new.number();
        socket.stored_state = old.number();
        let both = kinds.contains(&Close) || kinds.contains(&Accept);
        let mut flags = side | flag::WAS_ESTABLISHED;
        if kinds.contains(&Close) {
            flags |= flag::COUNTERS | flag::FIN_RECEIVED;
        }
        if kinds.contains(&Accept) {
            flags |= flag::BACKLOG | flag::AT_ACCEPT;
            (socket.backlog, socket.max_backlog) = (1, 4096);
        }
        let header = Header {
            time_ns,
            verdict: 1,
            kinds: kinds.iter().copied().collect::<Kinds>().0,
            flags,
            cpu: random.up_to(8) as u32,
            len: if both { size_of::<Connection>() } else { size_of::<Transition>() } as u16,
            record: if both { RecordType::Connection } else { RecordType::Transition } as u8,
            generation: 0,
        };
        let bytes = if both {
            Connection { header, socket, owner, user, counters }.as_bytes().to_vec()
        } else {
            let shown = if time_ns > established { user } else { owner };
            Transition { header, socket, owner: shown }.as_bytes().to_vec()
        };
        tell(Record { bytes, time_ns });
        socket.old_since_ns = time_ns;
        if new == TcpState::Established && old != new {
            socket.established_ns = time_ns;
        }
    }
}
