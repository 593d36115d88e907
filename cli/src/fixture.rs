//! Events for tests.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use agent_common::event::{
    Close, CloseHow, Comm, CongestionState, Counters, Event, EventKind, Failure, FailureCause, Family,
    IdentitySource, Initiator, Payload, Process, Relation, Reset, Retransmit, RetransmitType, Role,
    SocketError, StateChange, TcpState,
};

/// 2026-03-01T13:03:09.123456789Z.
pub const WALL_NS: u64 = 1_772_370_189_123_456_789;
/// The same moment since boot.
pub const BOOT_NS: u64 = 1_000_000_000_000;

/// A process with user id 1000.
pub fn process(pid: u32, name: &str) -> Process {
    process_of_bytes(pid, name.as_bytes())
}

/// A process with any bytes as its name.
pub fn process_of_bytes(pid: u32, name: &[u8]) -> Process {
    let mut comm = [0; 16];
    comm[..name.len()].copy_from_slice(name);
    Process {
        pid,
        tid: pid,
        uid: 1000,
        comm: Comm(comm),
        mntns: Some(4_026_531_841),
        start_ns: Some(BOOT_NS - 5_000_000_000),
        relation: Relation::Owner,
    }
}

/// 10.0.0.1:45678 to 10.0.0.2:443 by curl, in the client's role.
pub fn event(kinds: &[EventKind]) -> Event {
    Event {
        kinds: kinds.iter().copied().collect(),
        boot_ns: BOOT_NS,
        wall_ns: WALL_NS,
        cpu: 1,
        cookie: Some(0x1003),
        netns: Some(4_026_531_840),
        cgroup_id: Some(7_312),
        identity_source: IdentitySource::SocketCgroup,
        local: Some(IpAddr::from([10, 0, 0, 1])),
        local_port: Some(45_678),
        remote: Some(SocketAddr::from(([10, 0, 0, 2], 443))),
        role: Role::Client,
        process: Some(process(1234, "curl")),
        start_ns: Some(BOOT_NS - 2_000_000),
        ..Event::BLANK
    }
}

/// A later moment.
pub fn after(mut event: Event, later: Duration) -> Event {
    let later = u64::try_from(later.as_nanos()).unwrap();
    event.boot_ns += later;
    event.wall_ns += later;
    event
}

/// The same between 2001:db8::1 and 2001:db8::2.
pub fn over_v6(mut event: Event) -> Event {
    event.family = Family::V6;
    event.socket_v6 = true;
    event.local = Some("2001:db8::1".parse().unwrap());
    event.remote = Some("[2001:db8::2]:443".parse().unwrap());
    event
}

/// Nothing known that can be unknown.
pub fn unknown(mut event: Event) -> Event {
    event.cookie = None;
    event.netns = None;
    event.cgroup_id = None;
    event.identity_source = IdentitySource::Unknown;
    event.local = None;
    event.local_port = None;
    event.remote = None;
    event.role = Role::Unknown;
    event.process = None;
    event.start_ns = None;
    event.start_unknown = true;
    if let Some(state) = &mut event.state {
        state.in_old = None;
    }
    if let Some(close) = &mut event.close {
        close.duration = None;
        close.initiator = Initiator::Unknown;
        close.how = CloseHow::Unknown;
    }
    event.counters = None;
    event.payload = None;
    event
}

/// A state change after 2.345 ms.
pub fn state(old: TcpState, new: TcpState) -> Event {
    let mut event = event(&[EventKind::StateChange]);
    event.state = Some(StateChange { old, new, in_old: Some(Duration::from_nanos(2_345_678)) });
    event
}

/// A connect that failed after so many microseconds.
pub fn failed(cause: FailureCause, elapsed_us: u64) -> Event {
    let mut event = event(&[EventKind::ConnectFailed]);
    let (errno, syns_sent) = match cause {
        FailureCause::Refused => (Some(111), Some(1)),
        FailureCause::TimedOut => (Some(110), Some(3)),
        FailureCause::NoLocalPort => (Some(99), Some(0)),
        _ => (None, None),
    };
    if cause == FailureCause::NoLocalPort {
        event.local_port = None;
    }
    event.failure =
        Some(Failure { cause, errno, elapsed: Some(Duration::from_micros(elapsed_us)), syns_sent });
    event
}

/// Three segments sent again after a second timeout.
pub fn retransmit() -> Event {
    let mut event = event(&[EventKind::Retransmit]);
    event.state = state(TcpState::Established, TcpState::Established).state;
    event.retransmit = Some(Retransmit {
        kind: RetransmitType::Rto,
        segments: 3,
        bytes: 4096,
        sequence: Some(3_000_000_001),
        attempt: Some(2),
        congestion: Some(CongestionState::Loss),
        error: None,
    });
    event
}

/// A RST: one that was sent says why.
pub fn reset(sent: bool) -> Event {
    let mut event = event(&[EventKind::Reset]);
    event.state = state(TcpState::Established, TcpState::Established).state;
    event.reset = Some(Reset { sent, reason: sent.then_some("TCP_ABORT_ON_CLOSE") });
    event
}

/// An error of an established socket.
pub fn socket_error(errno: u32) -> Event {
    let mut event = event(&[EventKind::SocketError]);
    event.state = state(TcpState::Established, TcpState::Established).state;
    event.error = Some(SocketError { errno: Some(errno), soft: false });
    event
}

/// The end of a connection of 12.34 ms: 3000 bytes out, 5000 in.
pub fn close() -> Event {
    let mut event = event(&[EventKind::Close]);
    event.state = state(TcpState::FinWait2, TcpState::Close).state;
    event.connect_latency = Some(Duration::from_micros(350));
    event.owner = event.process;
    event.close = Some(Close {
        duration: Some(Duration::from_nanos(12_344_999)),
        initiator: Initiator::Local,
        how: CloseHow::Fin,
        errno: None,
    });
    event.counters = Some(Counters {
        bytes_acked: 3_002,
        bytes_received: 5_001,
        bytes_sent: 3_100,
        bytes_retrans: 100,
        segs_in: 9,
        segs_out: 10,
        data_segs_in: 4,
        data_segs_out: 5,
        total_retrans: 1,
        srtt_us: 412,
        mdev_us: 50,
        min_rtt_us: 301,
        snd_cwnd: 10,
        unsent: 0,
        unacked: 0,
        unread: 0,
    });
    event.payload = Some(Payload { sent: 3_000, acked: 3_000, received: 5_000 });
    event
}
