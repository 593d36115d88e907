//! A record's bytes become an [`Event`]: pure, without allocation, and never a panic.
//!
//! The bytes come from this machine's kernel programs, yet lengths are checked like foreign input: a program
//! and a decoder of different builds must be told apart by an error, not by strange events. What the record
//! marks as unknown becomes `None` here, and nowhere later.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use agent_common::record::{self, Header, Owner, RecordType, Relation, Socket, flag};
use zerocopy::{FromBytes, Immutable, KnownLayout};

use crate::event::{
    Comm, Event, EventKind, Family, IdentitySource, Kinds, Process, Reset, Role, SocketError, StateChange,
    TcpState,
};

mod cgroup;
mod close;
mod failure;
mod retransmit;
#[cfg(test)]
mod tests;

pub use self::cgroup::{CgroupMade, Level, cgroup, is_cgroup};

/// What a record does not say and the event needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Context {
    /// Wall clock minus CLOCK_BOOTTIME, in nanoseconds.
    pub wall_offset_ns: i64,
    /// Inode of the host's network namespace, where it is known.
    pub host_netns: Option<u32>,
    /// Id of the v2 hierarchy's root cgroup, which places nobody: 1 on every kernel so far.
    pub root_cgroup: u64,
    /// Names of `enum sk_rst_reason` in the running kernel, by number; the engine fills them in.
    pub reset_reasons: &'static [(u32, &'static str)],
}

/// A record, understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decoded {
    /// What happened.
    pub event: Event,
    /// The conjunctions that accept it.
    pub verdict: u64,
    /// The lowest byte of the generation of the filter that said so.
    pub generation: u8,
}

/// What the kernel's filter said of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The conjunctions that accept it.
    pub verdict: u64,
    /// The lowest byte of the generation of the filter that said so.
    pub generation: u8,
}

/// Why bytes are no record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Not even a header.
    #[error("record of {length} bytes is shorter than its header of {header}")]
    Short {
        /// What there is.
        length: usize,
        /// What a header takes.
        header: usize,
    },
    /// Kernel programs of another build.
    #[error("record type {number} is unknown")]
    Type {
        /// The header's number.
        number: u8,
    },
    /// Kernel programs of another build.
    #[error("{record:?} record of {length} bytes, expected {expected}")]
    Length {
        /// The type.
        record: RecordType,
        /// What there is.
        length: usize,
        /// What this build knows.
        expected: usize,
    },
    /// The header contradicts the ring.
    #[error("{record:?} record says that it has {stated} bytes, but {length} are there")]
    StatedLength {
        /// The type.
        record: RecordType,
        /// What the header says.
        stated: u16,
        /// What there is.
        length: usize,
    },
    /// It tells of something that is no event of a socket.
    #[error("{record:?} record is no event")]
    NoEvent {
        /// The type.
        record: RecordType,
    },
    /// A name is longer than its room, or there where it cannot be.
    #[error("cgroup record with a name of {length} bytes at level {level}")]
    Name {
        /// Which name, the cgroup's own being 0.
        level: usize,
        /// What the record says.
        length: u8,
    },
    /// No TCP state has this number.
    #[error("TCP state {number} is unknown")]
    State {
        /// The record's number.
        number: u8,
    },
}

/// Reads one record. Its length must be exactly that of its type.
///
/// # Errors
/// Where the bytes are no record of this build.
pub fn decode(bytes: &[u8], context: &Context) -> Result<Decoded, DecodeError> {
    let mut event = Event::BLANK;
    let Verdict { verdict, generation } = decode_into(bytes, context, &mut event)?;
    Ok(Decoded { event, verdict, generation })
}

/// Reads one record into the place of another event: events are half a KiB, and moving one takes as long as reading it.
///
/// # Errors
/// Where the bytes are no record of this build. The event is of no use then.
pub fn decode_into(bytes: &[u8], context: &Context, event: &mut Event) -> Result<Verdict, DecodeError> {
    let (header, _) = Header::read_from_prefix(bytes)
        .map_err(|_| DecodeError::Short { length: bytes.len(), header: size_of::<Header>() })?;
    let record = record_type(header.record)?;
    blank(event, &header, context);
    match record {
        RecordType::Transition => read(bytes, record, &header, |it| transition(event, it, context)),
        RecordType::Connection => read(bytes, record, &header, |it| connection(event, it, context)),
        RecordType::SyscallConnect => read(bytes, record, &header, |it| syscall_connect(event, it, context)),
        RecordType::Snapshot => read(bytes, record, &header, |it| snapshot(event, it, context)),
        RecordType::Listed => read(bytes, record, &header, |it| listed(event, it, context)),
        RecordType::Retransmit => read(bytes, record, &header, |it| retransmit(event, it, context)),
        RecordType::Trouble => read(bytes, record, &header, |it| trouble(event, it, context)),
        RecordType::CgroupMade => Err(DecodeError::NoEvent { record }),
    }?;
    Ok(Verdict { verdict: header.verdict, generation: header.generation })
}

fn record_type(number: u8) -> Result<RecordType, DecodeError> {
    [
        RecordType::Transition,
        RecordType::Connection,
        RecordType::SyscallConnect,
        RecordType::Snapshot,
        RecordType::CgroupMade,
        RecordType::Listed,
        RecordType::Retransmit,
        RecordType::Trouble,
    ]
    .into_iter()
    .find(|record| *record as u8 == number)
    .ok_or(DecodeError::Type { number })
}

/// Gives the record to `tell`: where it lies, if that is at a place where its type can lie, as in a ring.
fn read<T: FromBytes + KnownLayout + Immutable, R>(
    bytes: &[u8],
    record: RecordType,
    header: &Header,
    tell: impl FnOnce(&T) -> Result<R, DecodeError>,
) -> Result<R, DecodeError> {
    let length = bytes.len();
    let wrong = || DecodeError::Length { record, length, expected: size_of::<T>() };
    if length != size_of::<T>() {
        return Err(wrong());
    }
    if usize::from(header.len) != length {
        return Err(DecodeError::StatedLength { record, stated: header.len, length });
    }
    match T::ref_from_bytes(bytes) {
        Ok(value) => tell(value),
        Err(_) => tell(&T::read_from_bytes(bytes).map_err(|_| wrong())?),
    }
}

/// A socket and the one process to show with it.
fn with_process(
    event: &mut Event,
    header: &Header,
    socket: &Socket,
    owner: &Owner,
    context: &Context,
) -> Result<(), DecodeError> {
    socket_event(event, header, socket)?;
    event.process = process(owner);
    event.identity_source = identity_source(event, context);
    Ok(())
}

fn transition(event: &mut Event, record: &record::Transition, context: &Context) -> Result<(), DecodeError> {
    with_process(event, &record.header, &record.socket, &record.owner, context)
}

fn connection(event: &mut Event, record: &record::Connection, context: &Context) -> Result<(), DecodeError> {
    socket_event(event, &record.header, &record.socket)?;
    event.owner = process(&record.owner);
    event.user = process(&record.user).filter(|user| user.relation == Relation::User);
    event.process = event.user.or(event.owner);
    event.identity_source = identity_source(event, context);

    let counters = close::counters(&record.header, &record.counters);
    if event.kinds.has(EventKind::ConnectFailed) {
        let failure = failure::of_socket(&record.header, &record.socket, counters.as_ref());
        event.connect_latency = failure.elapsed;
        event.failure = Some(failure);
    }
    if event.kinds.has(EventKind::Close) {
        event.close = Some(close::close(&record.header, &record.socket, counters.as_ref()));
        event.payload =
            counters.as_ref().map(|counters| close::payload(&record.header, &record.socket, counters));
        event.counters = counters;
    }
    Ok(())
}

fn snapshot(event: &mut Event, record: &record::Snapshot, context: &Context) -> Result<(), DecodeError> {
    with_process(event, &record.header, &record.socket, &record.owner, context)?;
    // The flag of this name lasts as long as the socket does; only this record is the snapshot itself. It
    // is the one event that has a state without a change: both ends are the state that was found.
    event.synthetic = true;
    event.state = state_change(&record.header, &record.socket)?;
    Ok(())
}

fn retransmit(event: &mut Event, record: &record::Retransmit, context: &Context) -> Result<(), DecodeError> {
    with_process(event, &record.header, &record.socket, &record.owner, context)?;
    // The state that the socket is in, at both ends.
    event.state = state_change(&record.header, &record.socket)?;
    event.retransmit = Some(retransmit::of(record));
    Ok(())
}

/// A RST, or an error of a socket.
fn trouble(event: &mut Event, record: &record::Trouble, context: &Context) -> Result<(), DecodeError> {
    with_process(event, &record.header, &record.socket, &record.owner, context)?;
    event.state = state_change(&record.header, &record.socket)?;
    // An abort wipes the address before it tells of the error: unspecified means that it is not known.
    let is_closed = record.socket.new_state == TcpState::Close.number();
    if is_closed && event.local.is_some_and(|local| local.is_unspecified()) {
        event.local = None;
    }
    if event.kinds.has(EventKind::Reset) {
        let name = context.reset_reasons.iter().find(|(number, _)| *number == record.reason);
        event.reset = Some(Reset { sent: record.is_sent != 0, reason: name.map(|(_, name)| *name) });
    }
    if event.kinds.has(EventKind::SocketError) {
        event.error = Some(SocketError { errno: known(record.error), soft: record.is_soft != 0 });
    }
    Ok(())
}

/// A socket of a list: the snapshot's, with what it counted so far.
fn listed(event: &mut Event, record: &record::Listed, context: &Context) -> Result<(), DecodeError> {
    let found = &record.snapshot;
    snapshot(event, found, context)?;
    let counters = close::counters(&found.header, &record.counters);
    event.payload = counters.as_ref().map(|counters| close::payload(&found.header, &found.socket, counters));
    event.counters = counters;
    Ok(())
}

fn syscall_connect(
    event: &mut Event,
    record: &record::SyscallConnect,
    context: &Context,
) -> Result<(), DecodeError> {
    let failure = failure::of_syscall(record.error, record.elapsed_ns);
    event.cookie = known(record.cookie);
    event.cgroup_id = known(record.cgroup_id);
    event.netns = known(record.netns);
    let (family, address) = shown(record.remote);
    event.family = family;
    // Port 0 can be asked for, and here it is what was asked for.
    event.remote = Some(SocketAddr::new(address, record.remote_port));
    event.role = Role::Client;
    event.process = process(&record.owner);
    event.owner = event.process;
    event.start_ns = record.header.time_ns.checked_sub(record.elapsed_ns).and_then(known);
    event.connect_latency = failure.elapsed;
    event.failure = Some(failure);
    event.identity_source = identity_source(event, context);
    Ok(())
}

/// What every record's header says, and nothing else. Each field by itself: most are `None`, which is one byte, and not
/// the whole event has to be written.
fn blank(event: &mut Event, header: &Header, context: &Context) {
    // Without `..`: no field can be forgotten, and keep what it had before.
    let Event {
        kinds,
        boot_ns,
        wall_ns,
        cpu,
        cookie,
        netns,
        cgroup_id,
        identity_source,
        family,
        socket_v6,
        local,
        local_port,
        remote,
        role,
        state,
        process,
        owner,
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
        start_unknown,
        gap,
        repaired,
        synthetic,
    } = event;
    let has = |bit| header.flags & bit != 0;
    *kinds = Kinds(header.kinds);
    *boot_ns = header.time_ns;
    *wall_ns = header.time_ns.saturating_add_signed(context.wall_offset_ns);
    *cpu = header.cpu;
    (*cookie, *netns, *cgroup_id) = (None, None, None);
    *identity_source = IdentitySource::Unknown;
    *family = if has(flag::SOCKET_V6) { Family::V6 } else { Family::V4 };
    *socket_v6 = has(flag::SOCKET_V6);
    (*local, *local_port, *remote) = (None, None, None);
    *role = Role::Unknown;
    *state = None;
    (*process, *owner, *user) = (None, None, None);
    *start_ns = None;
    (*connect_latency, *handshake_rtt, *queue_time) = (None, None, None);
    (*syn_retransmits, *backlog) = (None, None);
    (*failure, *close) = (None, None);
    (*counters, *payload) = (None, None);
    (*retransmit, *reset, *error) = (None, None, None);
    *start_unknown = has(flag::START_UNKNOWN);
    *gap = has(flag::GAP);
    *repaired = has(flag::REPAIRED);
    *synthetic = false;
}

fn socket_event(event: &mut Event, header: &Header, socket: &Socket) -> Result<(), DecodeError> {
    let has = |bit| header.flags & bit != 0;
    event.cookie = known(socket.cookie);
    event.cgroup_id = known(socket.cgroup_id);
    event.netns = known(socket.netns);
    addresses(event, header, socket);
    let state = state_change(header, socket)?;
    event.role = role(header.flags, state);
    // A record without a transition (an accept) has the state it found at both ends.
    event.state = state.filter(|state| state.old != state.new);
    event.start_ns = known(socket.start_ns);
    if has(flag::BACKLOG) {
        event.backlog = Some((socket.backlog, socket.max_backlog));
    }
    // Read where SYN_SENT ends and kept nowhere: in any other record it means nothing.
    if event.state.is_some_and(|state| state.old == TcpState::SynSent) {
        event.syn_retransmits = Some(u32::from(socket.syn_retransmits));
        if socket.new_state == TcpState::Established.number() {
            let us = known(socket.handshake_rtt_us);
            event.handshake_rtt = us.map(|us| Duration::from_micros(us.into()));
        }
    }
    if has(flag::AT_ACCEPT) {
        // What is below a microsecond is the programs' own time.
        event.queue_time = between(known(socket.established_ns), Some(header.time_ns))
            .map(|waited| waited.saturating_sub(Duration::from_nanos((waited.subsec_nanos() % 1000).into())));
    }
    if has(flag::ACTIVE) {
        event.connect_latency = between(known(socket.start_ns), known(socket.established_ns));
    }
    Ok(())
}

/// The states that the record names, and how long the old one lasted.
fn state_change(header: &Header, socket: &Socket) -> Result<Option<StateChange>, DecodeError> {
    if socket.old_state == 0 && socket.new_state == 0 {
        return Ok(None);
    }
    let state = |number| TcpState::from_number(number).ok_or(DecodeError::State { number });
    let (old, new) = (state(socket.old_state)?, state(socket.new_state)?);
    // After a gap `old_since_ns` belongs to the state that the engine knew, not to the one that ended; and
    // a repaired event has the time of the repair.
    let guessed = header.flags & flag::GAP != 0 && socket.stored_state != socket.old_state;
    let late = header.flags & flag::REPAIRED != 0;
    let in_old = if guessed || late || old == new {
        None
    } else {
        between(known(socket.old_since_ns), Some(header.time_ns))
    };
    Ok(Some(StateChange { old, new, in_old }))
}

fn role(flags: u32, state: Option<StateChange>) -> Role {
    match (flags & flag::ACTIVE != 0, flags & flag::PASSIVE != 0) {
        (true, false) => Role::Client,
        (false, true) => Role::Server,
        (false, false) if state.is_some_and(|s| s.old == TcpState::Listen || s.new == TcpState::Listen) => {
            Role::Server
        }
        _ => Role::Unknown,
    }
}

/// Both ends, and the family that they are shown in.
fn addresses(event: &mut Event, header: &Header, socket: &Socket) {
    let no_peer = header.flags & flag::NO_PEER != 0 || socket.remote_port == 0;
    let (remote_family, remote) = shown(socket.remote);
    if !no_peer && !remote.is_unspecified() {
        event.remote = Some(SocketAddr::new(remote, socket.remote_port));
    }
    event.local_port = known(socket.local_port);

    let (local_family, local) = shown(socket.local);
    if socket.local == [0; 16] {
        // An AF_INET6 socket that has not chosen its source: what the peer is says what it will be. An
        // AF_INET socket never has sixteen zeros, so there nothing was read.
        if event.remote.is_some() {
            event.family = remote_family;
        }
        if event.socket_v6 {
            event.local = Some(match event.family {
                Family::V4 => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
                Family::V6 => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
            });
        }
    } else {
        event.family = local_family;
        event.local = Some(local);
    }
    // By the time of a repair the kernel has wiped the address: unspecified means that it is not known.
    if event.repaired && event.local.is_some_and(|local| local.is_unspecified()) {
        event.local = None;
    }
}

/// An address as it is shown: v4-mapped ones as IPv4.
fn shown(address: [u8; 16]) -> (Family, IpAddr) {
    let address = Ipv6Addr::from(address);
    match address.to_ipv4_mapped() {
        Some(v4) => (Family::V4, IpAddr::V4(v4)),
        None => (Family::V6, IpAddr::V6(address)),
    }
}

fn process(owner: &Owner) -> Option<Process> {
    let relation = Relation::from_number(owner.relation);
    // Process 0 is the idle task: it owns no socket, whatever a record says.
    if relation == Relation::Unknown || owner.pid == 0 {
        return None;
    }
    Some(Process {
        pid: owner.pid,
        tid: owner.tid,
        uid: owner.uid,
        comm: Comm(owner.comm),
        mntns: known(owner.mntns),
        start_ns: known(owner.start_ns),
        relation,
    })
}

fn identity_source(event: &Event, context: &Context) -> IdentitySource {
    if event.cgroup_id.is_some_and(|id| id != context.root_cgroup) {
        IdentitySource::SocketCgroup
    } else if event.process.is_some() {
        IdentitySource::Process
    } else {
        match (event.netns, context.host_netns) {
            (Some(netns), Some(host)) if netns == host => IdentitySource::Host,
            (Some(_), Some(_)) => IdentitySource::Netns,
            _ => IdentitySource::Unknown,
        }
    }
}

/// A number for which the record's 0 means "unknown".
pub(crate) fn known<T: Default + PartialEq>(value: T) -> Option<T> {
    (value != T::default()).then_some(value)
}

/// The time between two moments; unknown where one of them is, or where they run backwards.
fn between(from_ns: Option<u64>, to_ns: Option<u64>) -> Option<Duration> {
    to_ns?.checked_sub(from_ns?).map(Duration::from_nanos)
}
