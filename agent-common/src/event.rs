//! What user space makes of a record, and what the agent tells: one [`Event`] per thing that happened to a socket.
//! It is here, behind a feature that the kernel programs do not have, so that a client without the node side has it.
//!
//! An event is `Copy` and owns no memory, so that nothing on its path allocates. What is not known is
//! `None`, never 0. Strings from the kernel ([`Comm`]) are bytes here; whoever shows them escapes them.

use core::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

pub use crate::{
    kind::EventKind,
    record::{Counters, Relation},
    state::TcpState,
};

/// A set of event kinds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kinds(pub u32);

impl Kinds {
    /// Whether the set has this kind.
    pub const fn has(self, kind: EventKind) -> bool {
        self.0 & kind.bit() != 0
    }

    /// The kinds in the set, lowest bit first.
    pub fn iter(self) -> impl Iterator<Item = EventKind> {
        EventKind::ALL.into_iter().filter(move |kind| self.has(*kind))
    }
}

impl FromIterator<EventKind> for Kinds {
    fn from_iter<I: IntoIterator<Item = EventKind>>(kinds: I) -> Self {
        Self(kinds.into_iter().fold(0, |set, kind| set | kind.bit()))
    }
}

/// Address family, after v4-mapped IPv6 addresses became IPv4.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Family {
    /// IPv4, also of an AF_INET6 socket that talks to a v4-mapped address.
    V4,
    /// IPv6.
    V6,
}

/// A thread's name as the kernel keeps it: up to 15 bytes of anything.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Comm(pub [u8; 16]);

impl Comm {
    /// The bytes up to the first NUL.
    pub fn bytes(&self) -> &[u8] {
        self.0.split(|byte| *byte == 0).next().unwrap_or_default()
    }
}

impl core::fmt::Debug for Comm {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "\"{}\"", self.bytes().escape_ascii())
    }
}

/// A process as it was when it touched the socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Process {
    /// Process id in the initial pid namespace.
    pub pid: u32,
    /// Thread id in the initial pid namespace.
    pub tid: u32,
    /// Real user id in the initial user namespace.
    pub uid: u32,
    /// Name of the thread.
    pub comm: Comm,
    /// Inode of its mount namespace.
    pub mntns: Option<u32>,
    /// When the process started, nanoseconds of CLOCK_BOOTTIME.
    pub start_ns: Option<u64>,
    /// What it has to do with the socket.
    pub relation: Relation,
}

/// Which side of the connection this socket is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It called connect().
    Client,
    /// It came from a listener, or listens.
    Server,
    /// Its beginning was not seen.
    Unknown,
}

/// What the owner's place (cgroup, later pod) was read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdentitySource {
    /// The socket's own cgroup: right even in softirq.
    SocketCgroup,
    /// The process that was seen with the socket.
    Process,
    /// Only the network namespace, which is not the host's.
    Netns,
    /// Only that the network namespace is the host's.
    Host,
    /// Nothing.
    Unknown,
}

/// A state change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StateChange {
    /// The state left.
    pub old: TcpState,
    /// The state entered.
    pub new: TcpState,
    /// How long the old state lasted; `None` where its beginning was not seen.
    pub in_old: Option<Duration>,
}

/// Why a connect failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FailureCause {
    /// RST or ICMP port unreachable: nobody listens there, or a firewall rejects.
    Refused,
    /// No answer to any SYN.
    TimedOut,
    /// ICMP host unreachable, or no route to the host.
    HostUnreachable,
    /// ICMP network unreachable, or no route at all.
    NetUnreachable,
    /// The connection was reset while it was made.
    Reset,
    /// Every local port that could be used is taken (EADDRNOTAVAIL).
    NoLocalPort,
    /// A policy said no (EPERM, EACCES): cgroup program, prohibit route, firewall.
    Denied,
    /// The process gave up: it closed the socket, or was killed, before an answer came.
    Abandoned,
    /// Another errno; see [`Failure::errno`].
    Other,
    /// The kernel did not say.
    Unknown,
}

/// A connect that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Why.
    pub cause: FailureCause,
    /// The positive errno that the application sees, where there is one.
    pub errno: Option<u32>,
    /// From connect() to the failure.
    pub elapsed: Option<Duration>,
    /// SYNs that left, the first included.
    pub syns_sent: Option<u32>,
}

/// Who ended a connection first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Initiator {
    /// This side.
    Local,
    /// The other side.
    Remote,
    /// Both at once: the FINs crossed.
    Both,
    /// The kernel: a timeout or an error.
    Kernel,
    /// Not seen.
    Unknown,
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CloseHow {
    /// By FINs.
    Fin,
    /// We sent a RST (SO_LINGER 0, or closed with unread data).
    RstSent,
    /// The peer sent a RST.
    RstReceived,
    /// No answer for too long (ETIMEDOUT).
    Timeout,
    /// Aborted from outside the connection (`ss -K`, tcp_abort).
    Abort,
    /// Another error; see the errno.
    Error,
    /// Not seen.
    Unknown,
}

/// The end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Close {
    /// From ESTABLISHED (or, for a connect that failed, from connect()) to the end.
    pub duration: Option<Duration>,
    /// Who began.
    pub initiator: Initiator,
    /// How.
    pub how: CloseHow,
    /// `sk_err` at the end, where not 0.
    pub errno: Option<u32>,
}

/// What made TCP send segments again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RetransmitType {
    /// The SYN of a connect().
    Syn,
    /// The SYN-ACK of a listener.
    SynAck,
    /// Fast retransmit: duplicate ACKs, SACK or RACK say that it is lost.
    Fast,
    /// The retransmission timer.
    Rto,
    /// More of what is lost, in the recovery after a timeout.
    LossRecovery,
    /// A tail loss probe.
    Tlp,
    /// Something else.
    Other,
}

/// TCP's congestion state (`enum tcp_ca_state`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CongestionState {
    /// Nothing is wrong.
    Open,
    /// Duplicate ACKs or SACKs came.
    Disorder,
    /// The window was reduced, by ECN or a full queue of this host.
    Cwr,
    /// Fast retransmit.
    Recovery,
    /// After a timeout.
    Loss,
}

/// Segments that were sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retransmit {
    /// What made TCP send them.
    pub kind: RetransmitType,
    /// How many.
    pub segments: u32,
    /// Their payload; a SYN and a FIN have none.
    pub bytes: u32,
    /// Sequence number of the first; `None` of a SYN-ACK.
    pub sequence: Option<u32>,
    /// The how manieth time in a row, where a timer counts: 1 is the first.
    pub attempt: Option<u32>,
    /// TCP's congestion state; `None` of a SYN-ACK.
    pub congestion: Option<CongestionState>,
    /// The positive errno of the local send, where it failed.
    pub error: Option<u32>,
}

/// A RST.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reset {
    /// This host sent it; else it came in.
    pub sent: bool,
    /// Why, by its name in the running kernel without the prefix (`enum sk_rst_reason`); of one that was sent, where the
    /// kernel says (6.12 and later).
    pub reason: Option<&'static str>,
}

/// An error of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SocketError {
    /// The positive errno; `None` where it was gone already.
    pub errno: Option<u32>,
    /// Only noted: the connection goes on (`sk_err_soft`).
    pub soft: bool,
}

/// Payload of a connection, exact: the kernel's own counters count SYN and FIN too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Payload {
    /// Bytes that left this host at least once.
    pub sent: u64,
    /// Bytes that the peer acknowledged.
    pub acked: u64,
    /// Bytes received in order.
    pub received: u64,
}

/// One thing that happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// What it is; one record can be several kinds.
    pub kinds: Kinds,
    /// Nanoseconds of CLOCK_BOOTTIME.
    pub boot_ns: u64,
    /// Nanoseconds since the Unix epoch, UTC.
    pub wall_ns: u64,
    /// CPU it happened on.
    pub cpu: u32,
    /// Socket cookie.
    pub cookie: Option<u64>,
    /// Inode of the network namespace.
    pub netns: Option<u32>,
    /// Id of the socket's cgroup in the v2 hierarchy. 1 is the root: "not placed in v2".
    pub cgroup_id: Option<u64>,
    /// Where the owner's place was read from.
    pub identity_source: IdentitySource,
    /// Family of the addresses.
    pub family: Family,
    /// Whether the socket itself is AF_INET6.
    pub socket_v6: bool,
    /// Local address; v4-mapped as IPv4.
    pub local: Option<IpAddr>,
    /// Local port, `None` while there is none or it is not known.
    pub local_port: Option<u16>,
    /// The peer; v4-mapped as IPv4.
    pub remote: Option<SocketAddr>,
    /// Side of the connection.
    pub role: Role,
    /// The state change, where there was one.
    pub state: Option<StateChange>,
    /// The process to show: the user where seen, else acceptor, owner or listener. See its relation.
    pub process: Option<Process>,
    /// Who connected, listens or accepted, where that differs from `process` or for accept and close.
    pub owner: Option<Process>,
    /// Who last read, wrote or closed (accept and close only).
    pub user: Option<Process>,
    /// When the connection began, CLOCK_BOOTTIME.
    pub start_ns: Option<u64>,
    /// From connect() to ESTABLISHED, or to the failure.
    pub connect_latency: Option<Duration>,
    /// The round-trip time of the handshake as TCP measured it (`Established`); `None` where it could not.
    pub handshake_rtt: Option<Duration>,
    /// SYNs (client) sent again before the answer.
    pub syn_retransmits: Option<u32>,
    /// Accept queue length and limit at the time, for accepts where known.
    pub backlog: Option<(u32, u32)>,
    /// From ESTABLISHED to accept() in whole microseconds (`Accept`); `None` where one of them was not seen.
    pub queue_time: Option<Duration>,
    /// Why a connect failed (`ConnectFailed`).
    pub failure: Option<Failure>,
    /// How it ended (`Close`).
    pub close: Option<Close>,
    /// The kernel's raw counters (`Close`, and sockets of a list).
    pub counters: Option<Counters>,
    /// Exact payload (`Close`, and sockets of a list).
    pub payload: Option<Payload>,
    /// What was sent again (`Retransmit`).
    pub retransmit: Option<Retransmit>,
    /// The RST (`Reset`).
    pub reset: Option<Reset>,
    /// The error (`SocketError`).
    pub error: Option<SocketError>,
    /// The socket is older than the agent: its start was not seen.
    pub start_unknown: bool,
    /// A transition of this socket was missed before this event.
    pub gap: bool,
    /// The event was missed and made up later; its time is late.
    pub repaired: bool,
    /// It comes from the start-up snapshot, nothing happened.
    pub synthetic: bool,
}

impl Event {
    /// An event of which nothing is known.
    pub const BLANK: Self = Self {
        kinds: Kinds(0),
        boot_ns: 0,
        wall_ns: 0,
        cpu: 0,
        cookie: None,
        netns: None,
        cgroup_id: None,
        identity_source: IdentitySource::Unknown,
        family: Family::V4,
        socket_v6: false,
        local: None,
        local_port: None,
        remote: None,
        role: Role::Unknown,
        state: None,
        process: None,
        owner: None,
        user: None,
        start_ns: None,
        connect_latency: None,
        handshake_rtt: None,
        syn_retransmits: None,
        backlog: None,
        queue_time: None,
        failure: None,
        close: None,
        counters: None,
        payload: None,
        retransmit: None,
        reset: None,
        error: None,
        start_unknown: false,
        gap: false,
        repaired: false,
        synthetic: false,
    };
}

/// Something that was lost, since the last report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lost {
    /// Where.
    pub stage: LostStage,
    /// How many.
    pub count: u64,
    /// Nanoseconds since the Unix epoch of the report before this one: nothing of `count` is older.
    pub since_wall_ns: u64,
    /// Nanoseconds since the Unix epoch of this report.
    pub until_wall_ns: u64,
    /// The CPU, where all of it was on one.
    pub cpu: Option<u32>,
}

/// A stage of the way of an event at which it can get lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LostStage {
    /// A counter of the kernel programs.
    Kernel(crate::loss::Loss),
    /// The kernel did not run a program because the same one was running on that CPU.
    Recursion,
    /// A record that user space could not decode.
    Decode,
}

impl LostStage {
    /// The name used in messages and JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Kernel(loss) => loss.name(),
            Self::Recursion => "recursion",
            Self::Decode => "decode",
        }
    }

    /// What the user can do about it, if anything.
    pub const fn remedy(self) -> Option<&'static str> {
        use crate::loss::Loss;
        match self {
            Self::Kernel(Loss::BulkRingFull | Loss::RareRingFull) => Some("raise --buffer-size"),
            _ => None,
        }
    }

    /// Whether an event is missing; otherwise it was repaired and is only marked.
    pub const fn loses_events(self) -> bool {
        use crate::loss::Loss;
        matches!(
            self,
            Self::Kernel(Loss::BulkRingFull | Loss::RareRingFull | Loss::PendingFull) | Self::Decode
        )
    }
}
