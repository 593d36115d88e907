//! The records that kernel programs write into the rings.
//!
//! Fixed size, 8-byte aligned, plain integers in the machine's byte order (both sides are the same machine);
//! addresses as 16 bytes, most significant first, IPv4 as v4-mapped `::ffff:a.b.c.d`; ports in host order.
//! 0 stands for "unknown" only where the comment says so.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// What a record's bytes are: [`Header::record`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum RecordType {
    /// [`Transition`].
    Transition = 1,
    /// [`Connection`].
    Connection = 2,
    /// [`SyscallConnect`].
    SyscallConnect = 3,
    /// [`Snapshot`].
    Snapshot = 4,
    /// [`CgroupMade`].
    CgroupMade = 5,
    /// [`Listed`].
    Listed = 6,
    /// [`Retransmit`].
    Retransmit = 7,
    /// [`Trouble`].
    Trouble = 8,
}

/// Bits of [`Header::flags`].
pub mod flag {
    /// We called connect(): this is the client's side.
    pub const ACTIVE: u32 = 1 << 0;
    /// The connection came from a listener: this is the server's side.
    pub const PASSIVE: u32 = 1 << 1;
    /// The socket is older than the program: its start was not seen.
    pub const START_UNKNOWN: u32 = 1 << 2;
    /// A transition before this one was missed; `Socket::stored_state` is what the engine knew.
    pub const GAP: u32 = 1 << 3;
    /// The event itself was missed and is made up from `tcp_destroy_sock`; its time is late.
    pub const REPAIRED: u32 = 1 << 4;
    /// The peer's FIN was received (`SOCK_DONE`).
    pub const FIN_RECEIVED: u32 = 1 << 5;
    /// The transition ran in the context of the process that caused it.
    pub const PROCESS_CONTEXT: u32 = 1 << 6;
    /// The counters in the record were read; without it they mean nothing.
    pub const COUNTERS: u32 = 1 << 8;
    /// The socket itself is AF_INET6, whatever its addresses are.
    pub const SOCKET_V6: u32 = 1 << 9;
    /// `ESTABLISHED` was seen or is known to have been reached.
    pub const WAS_ESTABLISHED: u32 = 1 << 10;
    /// The accept event of this socket is out.
    pub const ACCEPT_SENT: u32 = 1 << 11;
    /// The closing event of this socket is out.
    pub const CLOSING_SENT: u32 = 1 << 12;
    /// Our side closed first (`-> FIN_WAIT1` from ESTABLISHED, or an abort by the process).
    pub const LOCAL_FIRST: u32 = 1 << 13;
    /// The peer closed first (`-> CLOSE_WAIT`, or its RST).
    pub const REMOTE_FIRST: u32 = 1 << 14;
    /// The peer and the cookie were not readable yet (kernels up to 6.12 at `LISTEN -> SYN_RECV`).
    pub const NO_PEER: u32 = 1 << 15;
    /// The socket was found by the start-up snapshot.
    pub const SYNTHETIC: u32 = 1 << 16;
    /// The accept queue's numbers in the record were read.
    pub const BACKLOG: u32 = 1 << 17;
    /// The record's time is when accept() returned the connection, not when somebody was first seen to have it.
    pub const AT_ACCEPT: u32 = 1 << 18;
}

/// How a process relates to a socket: [`Owner::relation`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Relation {
    /// Nothing is known; the other fields of the owner mean nothing.
    Unknown = 0,
    /// Called connect() or listen() on it, or was found holding it by the snapshot.
    Owner = 1,
    /// accept() returned it to this process.
    Acceptor = 2,
    /// Reads from it, writes to it or closed it.
    User = 3,
    /// Owns the listener that the connection came from; who has the connection is not known yet.
    Listener = 4,
}

impl Relation {
    /// The relation with this number; an unknown number is [`Relation::Unknown`].
    pub const fn from_number(number: u8) -> Self {
        match number {
            1 => Self::Owner,
            2 => Self::Acceptor,
            3 => Self::User,
            4 => Self::Listener,
            _ => Self::Unknown,
        }
    }
}

/// A process, captured while it was running (never the task that a softirq interrupted).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Owner {
    /// Start of the process in nanoseconds of CLOCK_BOOTTIME; 0 = unknown.
    pub start_ns: u64,
    /// Process id (`tgid`) in the initial pid namespace.
    pub pid: u32,
    /// Thread id (`pid` of the kernel's task) in the initial pid namespace.
    pub tid: u32,
    /// Real user id in the initial user namespace, as `bpf_get_current_uid_gid` gives it.
    pub uid: u32,
    /// Inode of the mount namespace; 0 = unknown.
    pub mntns: u32,
    /// Name of the thread, NUL-padded, any bytes.
    pub comm: [u8; 16],
    /// A [`Relation`], or [`Owner::BEING_WRITTEN`].
    pub relation: u8,
    /// Goes up with each capture, so that a reader on another CPU notices one under way.
    pub version: u8,
    /// Zero.
    pub pad: [u8; 6],
}

impl Owner {
    /// A `relation` that means nothing yet: another CPU is writing the fields.
    pub const BEING_WRITTEN: u8 = 255;
}

/// What every record begins with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Header {
    /// When it happened, nanoseconds of CLOCK_BOOTTIME.
    pub time_ns: u64,
    /// The conjunctions that accept the socket, whatever the event's kind.
    pub verdict: u64,
    /// Bits of the event kinds that the record stands for and somebody wants. Who gets which follows from
    /// `verdict` and the filter's set of the kind.
    pub kinds: u32,
    /// Bits of [`flag`].
    pub flags: u32,
    /// The CPU it happened on.
    pub cpu: u32,
    /// The whole record's length in bytes.
    pub len: u16,
    /// A [`RecordType`].
    pub record: u8,
    /// The lowest byte of the generation of the filter that `verdict` comes from.
    pub generation: u8,
}

/// A socket at a transition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Socket {
    /// Socket cookie (`SO_COOKIE`, `ss -e` sk:); 0 = not known yet.
    pub cookie: u64,
    /// Id of the socket's cgroup in the v2 hierarchy; 0 = unknown, 1 = the root.
    pub cgroup_id: u64,
    /// When the connection began (connect() or the clone from the listener), CLOCK_BOOTTIME; 0 = not seen.
    pub start_ns: u64,
    /// When the socket became ESTABLISHED; 0 = not, or not seen.
    pub established_ns: u64,
    /// When the old state began; 0 = not seen.
    pub old_since_ns: u64,
    /// Local address.
    pub local: [u8; 16],
    /// Remote address; all zero while there is no peer.
    pub remote: [u8; 16],
    /// Inode of the network namespace.
    pub netns: u32,
    /// Local port; 0 = none yet.
    pub local_port: u16,
    /// Remote port; 0 = no peer.
    pub remote_port: u16,
    /// `sk_err`: a positive errno, 0 = none.
    pub error: u32,
    /// Accept queue length at the event (with [`flag::BACKLOG`]).
    pub backlog: u32,
    /// Accept queue limit at the event (with [`flag::BACKLOG`]).
    pub max_backlog: u32,
    /// SYNs sent again, at SYN_SENT's end: `segs_out - 1`, at most 255.
    pub syn_retransmits: u8,
    /// The state left, as the kernel's number.
    pub old_state: u8,
    /// The state entered.
    pub new_state: u8,
    /// The state that the engine had stored; differs from `old_state` with [`flag::GAP`].
    pub stored_state: u8,
    /// `sk_shutdown`: bit 0 receive, bit 1 send.
    pub shutdown: u8,
    /// Zero. In pieces that are one store each: an array of seven bytes is a call of memset.
    pub pad8: u8,
    /// Zero.
    pub pad16: u16,
    /// At `SYN_SENT -> ESTABLISHED`: `srtt_us >> 3`, which by then has measured the handshake alone; 0 = unknown.
    pub handshake_rtt_us: u32,
}

/// Counters of a `tcp_sock` as the kernel keeps them; kernel-exact, so with the kernel's off-by-ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Counters {
    /// `bytes_acked`: counts the SYN (active side) and an acknowledged FIN.
    pub bytes_acked: u64,
    /// `bytes_received`: counts the peer's FIN.
    pub bytes_received: u64,
    /// `bytes_sent`: payload, retransmits included.
    pub bytes_sent: u64,
    /// `bytes_retrans`.
    pub bytes_retrans: u64,
    /// `segs_in`.
    pub segs_in: u32,
    /// `segs_out`.
    pub segs_out: u32,
    /// `data_segs_in`.
    pub data_segs_in: u32,
    /// `data_segs_out`.
    pub data_segs_out: u32,
    /// `total_retrans`, in segments.
    pub total_retrans: u32,
    /// `srtt_us >> 3`: smoothed round-trip time in microseconds; 0 = never measured.
    pub srtt_us: u32,
    /// `mdev_us >> 2`: mean deviation in microseconds.
    pub mdev_us: u32,
    /// `rtt_min`: windowed minimum in microseconds; `u32::MAX` = never measured.
    pub min_rtt_us: u32,
    /// `snd_cwnd` in segments.
    pub snd_cwnd: u32,
    /// `write_seq - snd_nxt`: bytes written but never sent.
    pub unsent: u32,
    /// `write_seq - snd_una`: bytes not acknowledged.
    pub unacked: u32,
    /// `rcv_nxt - copied_seq`: bytes that the application never read; a FIN counts 1.
    pub unread: u32,
}

/// A state change. Layout of [`RecordType::Transition`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Transition {
    /// The common head.
    pub header: Header,
    /// The socket.
    pub socket: Socket,
    /// The process that the event is shown with: the user where known, else acceptor, owner or listener.
    pub owner: Owner,
}

/// An accept or an end: with both processes and the counters. Layout of [`RecordType::Connection`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Connection {
    /// The common head.
    pub header: Header,
    /// The socket.
    pub socket: Socket,
    /// Who connected, accepted, or owns the listener.
    pub owner: Owner,
    /// Who read, wrote or closed last, where seen.
    pub user: Owner,
    /// The final counters, with [`flag::COUNTERS`].
    pub counters: Counters,
}

/// Segments that were sent again (`tcp_retransmit_skb`, `tcp_retransmit_synack`). Layout of
/// [`RecordType::Retransmit`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Retransmit {
    /// The common head.
    pub header: Header,
    /// The socket; of a SYN-ACK, the connection that it is to become: its listener's cgroup, no cookie. `old_state` and
    /// `new_state` are its state.
    pub socket: Socket,
    /// Who uses or owns it; of a SYN-ACK, the listener.
    pub owner: Owner,
    /// `tcp_skb_cb.seq`; 0 for a SYN-ACK.
    pub sequence: u32,
    /// `tcp_skb_cb.end_seq`; a SYN and a FIN count one each.
    pub end_sequence: u32,
    /// Segments: `tcp_skb_cb.tcp_gso_segs`, at least 1.
    pub segments: u32,
    /// The positive errno of the local send; 0 = it went out, or this kernel does not say (before 6.18).
    pub error: u32,
    /// `icsk_retransmits`: timeouts in a row; of a SYN-ACK `num_retrans`, those before this one.
    pub attempts: u8,
    /// `icsk_ca_state`: [`ca_state`].
    pub ca_state: u8,
    /// `icsk_pending`: [`pending`].
    pub pending: u8,
    /// 1 = a SYN-ACK.
    pub is_syn_ack: u8,
    /// `tcp_skb_cb.tcp_flags`: the lowest byte of the flags, as in the header.
    pub tcp_flags: u8,
    /// Zero.
    pub pad: [u8; 3],
}

/// A RST (`tcp_send_reset`, `tcp_receive_reset`) or an error of a socket (`inet_sk_error_report`); the header's kind tells
/// which. Layout of [`RecordType::Trouble`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Trouble {
    /// The common head.
    pub header: Header,
    /// The socket; of a RST without one, the ends of the packet that it answers. `old_state` and `new_state` are its
    /// state, 0 without one.
    pub socket: Socket,
    /// Who uses or owns it.
    pub owner: Owner,
    /// `enum sk_rst_reason` of a RST that was sent; [`Trouble::NO_REASON`] where the kernel has none (before 6.12).
    pub reason: u32,
    /// `sk_err`, or `sk_err_soft` with `is_soft`: a positive errno.
    pub error: u32,
    /// 1 = the RST was sent, 0 = received.
    pub is_sent: u8,
    /// 1 = the error is only noted, and the connection goes on.
    pub is_soft: u8,
    /// Zero.
    pub pad: [u8; 6],
}

impl Trouble {
    /// No reason is known.
    pub const NO_REASON: u32 = u32::MAX;
}

/// `enum tcp_ca_state` (include/uapi/linux/tcp.h).
pub mod ca_state {
    /// Nothing is wrong.
    pub const OPEN: u8 = 0;
    /// Duplicate ACKs or SACKs.
    pub const DISORDER: u8 = 1;
    /// The window was reduced by ECN or a full queue here.
    pub const CWR: u8 = 2;
    /// Fast retransmit.
    pub const RECOVERY: u8 = 3;
    /// After a timeout.
    pub const LOSS: u8 = 4;
}

/// `icsk_pending`: the timer that is set (include/net/inet_connection_sock.h).
pub mod pending {
    /// None: the retransmission timer is just running.
    pub const NONE: u8 = 0;
    /// `ICSK_TIME_LOSS_PROBE`.
    pub const LOSS_PROBE: u8 = 5;
}

/// A connect() that failed before the socket's state changed. Layout of [`RecordType::SyscallConnect`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct SyscallConnect {
    /// The common head.
    pub header: Header,
    /// The caller.
    pub owner: Owner,
    /// The address asked for.
    pub remote: [u8; 16],
    /// Nanoseconds that the call took.
    pub elapsed_ns: u64,
    /// Cookie of the socket; 0 = unknown.
    pub cookie: u64,
    /// Id of the socket's cgroup in the v2 hierarchy; 0 = unknown.
    pub cgroup_id: u64,
    /// Inode of the network namespace; 0 = unknown.
    pub netns: u32,
    /// The call's errno, positive.
    pub error: u32,
    /// The port asked for.
    pub remote_port: u16,
    /// Zero.
    pub pad: [u8; 6],
}

/// A socket found by an iterator. Layout of [`RecordType::Snapshot`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Snapshot {
    /// The common head; `time_ns` is when the iterator saw it.
    pub header: Header,
    /// The socket; `old_state` and `new_state` are its state.
    pub socket: Socket,
    /// Who holds a descriptor of it.
    pub owner: Owner,
}

/// A socket now, with what it counted: what an iterator writes in place of a [`Snapshot`] when somebody wants to
/// see the sockets and not only to know them. Layout of [`RecordType::Listed`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Listed {
    /// As in the start-up snapshot; a listener has the accept queue's numbers, with [`flag::BACKLOG`].
    pub snapshot: Snapshot,
    /// The counters so far, with [`flag::COUNTERS`].
    pub counters: Counters,
}

/// How many levels of a new cgroup's path a record has room for: a container, its pod, the class of service, and
/// two more.
pub const LEVELS: usize = 5;

/// Room for the name of one level, with the NUL behind it. Container runtimes' names take up to 90 bytes, the
/// kernel allows 255.
pub const LEVEL_BYTES: usize = 128;

/// A cgroup of the v2 hierarchy was made; it has no process yet. Layout of [`RecordType::CgroupMade`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct CgroupMade {
    /// The common head; no filter is asked, so verdict and kinds are 0.
    pub header: Header,
    /// Its id.
    pub id: u64,
    /// Its parent's id.
    pub parent: u64,
    /// Bytes of each name, the cgroup's own first, then upward; 0 = the root, or not read.
    pub lengths: [u8; LEVELS],
    /// A bit for each name that is longer than its room.
    pub cut: u8,
    /// 1 = the last name is that of a cgroup directly below the root: the path is whole.
    pub whole: u8,
    /// Zero.
    pub pad: u8,
    /// The names, any bytes but NUL and `/`. What is behind a name's length means nothing.
    pub names: [[u8; LEVEL_BYTES]; LEVELS],
}

/// Where a process is, found by an iterator. Not in a ring: the iterator's file is a row of these.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct TaskPlace {
    /// Start of the process, CLOCK_BOOTTIME; 0 = unknown.
    pub start_ns: u64,
    /// Id of its cgroup in the v2 hierarchy; 0 = unknown, 1 = the root.
    pub cgroup_id: u64,
    /// Process id in the initial pid namespace.
    pub pid: u32,
    /// Inode of its network namespace; 0 = unknown.
    pub netns: u32,
}

const _: () = {
    assert!(size_of::<Owner>() == 48);
    assert!(size_of::<Header>() == 32);
    assert!(size_of::<Socket>() == 104);
    assert!(size_of::<Counters>() == 80);
    assert!(size_of::<Transition>() == 184);
    assert!(size_of::<Connection>() == 312);
    assert!(size_of::<SyscallConnect>() == 136);
    assert!(size_of::<Snapshot>() == 184);
    assert!(size_of::<Listed>() == 264);
    assert!(size_of::<CgroupMade>() == 696);
    assert!(size_of::<TaskPlace>() == 24);
    assert!(size_of::<Retransmit>() == 208);
    assert!(size_of::<Trouble>() == 200);
};
