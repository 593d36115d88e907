//! ENCODING_COMPACT at the client: batches become events again. The rules are in `compact.proto`.
//!
//! The bytes come from a server, so numbers are checked, and tables bounded. Between two events nothing is allocated
//! that the tables have: their entries are lent to the event that is shown.

use std::{
    mem,
    net::{Ipv4Addr, Ipv6Addr},
};

use prost_types::{Duration, Timestamp};

use crate::v1::{
    Accept, Close, Closing, CompactBatch, CompactEvent, CompactPlace, Connect, ConnectFailed, Counters,
    Established, Event, EventKind, Identity, Listen, Process, Socket, SocketAddress, StateChange, TcpState,
    event::Detail,
};

/// Sockets that can be remembered at once.
pub const SOCKETS: u32 = 4096;

/// A table that is longer is not of a server that keeps to the rules, which begins anew long before.
const LONGEST_TABLE: usize = 1 << 16;

/// Nanoseconds of a second.
const SECOND: i64 = 1_000_000_000;

/// Bits of `CompactEvent.kind_and_flags`.
pub mod bits {
    /// EventKind.
    pub const KIND: u32 = 0x3f;
    /// Socket.ipv6_socket.
    pub const IPV6_SOCKET: u32 = 1 << 6;
    /// Where Socket.role begins: 2 bits.
    pub const ROLE: u32 = 7;
    /// Where Socket.family begins: 2 bits.
    pub const FAMILY: u32 = 9;
    /// Nothing is remembered of the socket.
    pub const ANEW: u32 = 1 << 11;
    /// The fields of the detail are set.
    pub const DETAIL: u32 = 1 << 12;
    /// Socket.state is [`usual_state`](super::usual_state).
    pub const USUAL_STATE: u32 = 1 << 13;
    /// Where Socket.state begins, if it is not: 4 bits.
    pub const STATE: u32 = 14;
    /// Event.synthetic.
    pub const SYNTHETIC: u32 = 1 << 18;
    /// Event.gap.
    pub const GAP: u32 = 1 << 19;
    /// Event.repaired.
    pub const REPAIRED: u32 = 1 << 20;
    /// Event.start_unknown.
    pub const START_UNKNOWN: u32 = 1 << 21;
}

/// The state of the socket that an event of this kind leads to, if there is one. A change of state itself says it, in
/// its codes.
pub fn usual_state(kind: EventKind, codes: u32) -> TcpState {
    match kind {
        EventKind::StateChange => TcpState::try_from((codes >> 4).cast_signed()).unwrap_or_default(),
        EventKind::Connect => TcpState::SynSent,
        EventKind::Established => TcpState::Established,
        EventKind::ConnectFailed | EventKind::Close => TcpState::Close,
        EventKind::Listen => TcpState::Listen,
        _ => TcpState::Unspecified,
    }
}

/// Why a batch cannot be understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CompactError {
    /// It names what was never sent.
    #[error("compact batch: number {number} of the table of {table}, which has {entries}")]
    Number {
        /// Which table.
        table: &'static str,
        /// What it names.
        number: u32,
        /// What there is.
        entries: usize,
    },
    /// The table was to have begun anew.
    #[error("compact batch: the table of {table} has more than {LONGEST_TABLE} entries")]
    TableTooLong {
        /// Which table.
        table: &'static str,
    },
    /// Neither IPv4 nor IPv6.
    #[error("compact batch: an address of {length} bytes, expected 4 or 16")]
    Address {
        /// What there is.
        length: usize,
    },
    /// A kind without columns says that it uses them.
    #[error("compact batch: an event of kind {kind} has no fields for its detail")]
    Kind {
        /// The kind's number.
        kind: u32,
    },
}

/// What a client keeps of a stream.
#[derive(Debug, Default)]
pub struct Decoder {
    // An entry is empty while the event that is shown has it.
    identities: Vec<Identity>,
    processes: Vec<Process>,
    addresses: Vec<String>,
    places: Vec<CompactPlace>,
    sockets: Vec<Remembered>,
    node_name: String,
    /// Texts to write addresses into.
    spare: [String; 2],
}

/// What is remembered of a socket: the fields of `CompactEvent`.
#[derive(Clone, Copy, Debug, Default)]
struct Remembered {
    cookie: Option<i64>,
    local_address: u32,
    remote_address: u32,
    local_port: u32,
    remote_port: u32,
    place: u32,
    start_ns: Option<i64>,
    process: u32,
    remote_identity: u32,
    owner: u32,
    user: u32,
}

impl Decoder {
    /// For a stream from its beginning.
    pub fn new() -> Self {
        Self::default()
    }

    /// The events of the stream's next batch.
    ///
    /// # Errors
    /// Where the batch contradicts what came before. The decoder is of no use then.
    pub fn decode(&mut self, batch: CompactBatch) -> Result<Vec<Event>, CompactError> {
        let mut events = Vec::with_capacity(batch.events.len());
        self.visit(batch, |event| events.push(event.clone()))?;
        Ok(events)
    }

    /// Shows the events of the stream's next batch one by one. Cheaper, where they are not kept.
    ///
    /// # Errors
    /// As for [`Self::decode`]; events before the error were shown.
    pub fn visit(&mut self, batch: CompactBatch, mut show: impl FnMut(&Event)) -> Result<(), CompactError> {
        if batch.tables_restart {
            self.identities.clear();
            self.processes.clear();
            self.addresses.clear();
            self.places.clear();
            self.sockets.clear();
        }
        append(&mut self.identities, batch.identities, "identities")?;
        append(&mut self.processes, batch.processes, "processes")?;
        append(&mut self.places, batch.places, "places")?;
        let addresses: Result<Vec<_>, _> = batch.addresses.iter().map(|bytes| address(bytes)).collect();
        append(&mut self.addresses, addresses?, "addresses")?;
        self.node_name = batch.node_name;
        let (mut time_ns, mut cookie) = (batch.base_time_ns, 0);
        let has_time = batch.base_time_ns != 0;
        for compact in batch.events {
            time_ns = time_ns.wrapping_add(compact.time_delta_ns);
            self.event(compact, time_ns, has_time, &mut cookie, &mut show)?;
        }
        Ok(())
    }

    fn event(
        &mut self,
        compact: CompactEvent,
        time_ns: i64,
        has_time: bool,
        last_cookie: &mut i64,
        show: &mut impl FnMut(&Event),
    ) -> Result<(), CompactError> {
        let named = self.remember(&compact, time_ns, last_cookie)?;
        let place = entry(&self.places, named.place, "places")?.copied().unwrap_or_default();
        let detail = detail(&compact)?;
        let flag = |bit| compact.kind_and_flags & bit != 0;
        let mut event = compact.rest.map_or_else(Event::default, |rest| *rest);
        event.detail = detail.or(event.detail);
        event.time = has_time.then(|| timestamp(time_ns)).or(event.time);
        event.cpu |= compact.cpu;
        event.kind |= (compact.kind_and_flags & bits::KIND).cast_signed();
        event.synthetic |= flag(bits::SYNTHETIC);
        event.gap |= flag(bits::GAP);
        event.repaired |= flag(bits::REPAIRED);
        event.start_unknown |= flag(bits::START_UNKNOWN);
        let state = if flag(bits::USUAL_STATE) {
            usual_state(event.kind(), compact.codes).into()
        } else {
            (compact.kind_and_flags >> bits::STATE & 15).cast_signed()
        };
        event.socket = self.socket(event.socket, &named, place, compact.kind_and_flags, state)?;
        event.owner = entry(&self.processes, named.owner, "processes")?.cloned().or(event.owner);
        event.user = entry(&self.processes, named.user, "processes")?.cloned().or(event.user);
        event.remote =
            entry(&self.identities, named.remote_identity, "identities")?.cloned().or(event.remote);
        // Lent, last of all.
        let process = lend(&mut self.processes, named.process, "processes")?;
        let lent_process = process.is_some();
        event.process = process.or(event.process);
        let local = lend(&mut self.identities, place.identity, "identities")?;
        let lent_local = local.is_some();
        event.local = local.or(event.local);
        let own_name = !self.node_name.is_empty();
        if own_name {
            mem::swap(&mut event.node_name, &mut self.node_name);
        }

        show(&event);

        if own_name {
            mem::swap(&mut event.node_name, &mut self.node_name);
        }
        if let Some(process) = event.process.filter(|_| lent_process) {
            give_back(&mut self.processes, named.process, process);
        }
        if let Some(local) = event.local.filter(|_| lent_local) {
            give_back(&mut self.identities, place.identity, local);
        }
        let socket = event.socket.unwrap_or_default();
        self.spare = [socket.local, socket.remote].map(|end| end.unwrap_or_default().ip);
        Ok(())
    }

    /// What the event says of its socket, with what was said before.
    fn remember(
        &mut self,
        compact: &CompactEvent,
        time_ns: i64,
        last_cookie: &mut i64,
    ) -> Result<Remembered, CompactError> {
        if compact.socket > SOCKETS {
            return Err(CompactError::Number {
                table: "sockets",
                number: compact.socket,
                entries: SOCKETS as usize,
            });
        }
        let index = compact.socket as usize;
        if self.sockets.len() <= index {
            self.sockets.resize(index + 1, Remembered::default());
        }
        // At index 0 is what is remembered of a socket without a number: nothing.
        let socket = &mut self.sockets[index];
        if compact.kind_and_flags & bits::ANEW != 0 || index == 0 {
            *socket = Remembered::default();
        }
        let update = |known: &mut u32, said: u32| {
            if said != 0 {
                *known = said;
            }
        };
        if let Some(delta) = compact.cookie_delta {
            *last_cookie = last_cookie.wrapping_add(delta);
            socket.cookie = Some(*last_cookie);
        }
        if let Some(since) = compact.since_start_ns {
            socket.start_ns = Some(time_ns.wrapping_sub(since));
        }
        update(&mut socket.local_address, compact.local_address);
        update(&mut socket.remote_address, compact.remote_address);
        update(&mut socket.local_port, compact.local_port);
        update(&mut socket.remote_port, compact.remote_port);
        update(&mut socket.place, compact.place);
        update(&mut socket.process, compact.process);
        update(&mut socket.remote_identity, compact.remote_identity);
        update(&mut socket.owner, compact.owner);
        update(&mut socket.user, compact.user);
        Ok(*socket)
    }

    /// The socket; none where nothing is said of it.
    fn socket(
        &mut self,
        rest: Option<Socket>,
        named: &Remembered,
        place: CompactPlace,
        flags: u32,
        state: i32,
    ) -> Result<Option<Socket>, CompactError> {
        let mut socket = rest.unwrap_or_default();
        let [local, remote] = &mut self.spare;
        let local = end(&self.addresses, named.local_address, named.local_port, mem::take(local))?;
        let remote = end(&self.addresses, named.remote_address, named.remote_port, mem::take(remote))?;
        socket.local = local.or(socket.local);
        socket.remote = remote.or(socket.remote);
        socket.cookie = named.cookie.map(i64::cast_unsigned).or(socket.cookie);
        socket.family |= (flags >> bits::FAMILY & 3).cast_signed();
        socket.ipv6_socket |= flags & bits::IPV6_SOCKET != 0;
        socket.role |= (flags >> bits::ROLE & 3).cast_signed();
        socket.state |= state;
        socket.netns = place.netns.or(socket.netns);
        socket.cgroup_id = place.cgroup_id.or(socket.cgroup_id);
        socket.start_time = named.start_ns.map(timestamp).or(socket.start_time);
        Ok((socket != Socket::default()).then_some(socket))
    }
}

fn append<T>(table: &mut Vec<T>, entries: Vec<T>, name: &'static str) -> Result<(), CompactError> {
    table.extend(entries);
    if table.len() > LONGEST_TABLE { Err(CompactError::TableTooLong { table: name }) } else { Ok(()) }
}

fn entry<'a, T>(table: &'a [T], number: u32, name: &'static str) -> Result<Option<&'a T>, CompactError> {
    let Some(index) = number.checked_sub(1) else { return Ok(None) };
    let error = CompactError::Number { table: name, number, entries: table.len() };
    table.get(index as usize).ok_or(error).map(Some)
}

/// Takes an entry out, for as long as an event is shown.
fn lend<T: Default>(table: &mut [T], number: u32, name: &'static str) -> Result<Option<T>, CompactError> {
    entry(table, number, name)?;
    let Some(index) = number.checked_sub(1) else { return Ok(None) };
    Ok(table.get_mut(index as usize).map(mem::take))
}

fn give_back<T>(table: &mut [T], number: u32, entry: T) {
    if let Some(place) = number.checked_sub(1).and_then(|index| table.get_mut(index as usize)) {
        *place = entry;
    }
}

fn end(
    addresses: &[String],
    address: u32,
    port: u32,
    mut ip: String,
) -> Result<Option<SocketAddress>, CompactError> {
    ip.clear();
    if let Some(text) = entry(addresses, address, "addresses")? {
        ip.push_str(text);
    }
    let port = port.checked_sub(1);
    Ok((address != 0 || port.is_some()).then_some(SocketAddress { ip, port }))
}

fn address(bytes: &[u8]) -> Result<String, CompactError> {
    if let Ok(v4) = <[u8; 4]>::try_from(bytes) {
        return Ok(Ipv4Addr::from(v4).to_string());
    }
    let v6 = <[u8; 16]>::try_from(bytes).map_err(|_| CompactError::Address { length: bytes.len() })?;
    Ok(Ipv6Addr::from(v6).to_string())
}

fn timestamp(ns: i64) -> Timestamp {
    // The remainder is below 10^9.
    Timestamp { seconds: ns.div_euclid(SECOND), nanos: ns.rem_euclid(SECOND) as i32 }
}

fn duration(ns: u64) -> Duration {
    let second = SECOND.cast_unsigned();
    // At most 2^64 / 10^9, and the remainder is below 10^9.
    Duration { seconds: (ns / second).cast_signed(), nanos: (ns % second) as i32 }
}

fn detail(compact: &CompactEvent) -> Result<Option<Detail>, CompactError> {
    if compact.kind_and_flags & bits::DETAIL == 0 {
        return Ok(None);
    }
    let number = compact.kind_and_flags & bits::KIND;
    let kind = EventKind::try_from(number.cast_signed()).unwrap_or_default();
    let time = compact.duration_ns.checked_sub(1).map(duration);
    let codes = compact.codes;
    let (low, high) = ((codes & 15).cast_signed(), (codes >> 4).cast_signed());
    let value = |index: usize| compact.values.get(index).and_then(|value| value.checked_sub(1));
    // What does not fit was never such a number.
    let small = |index| value(index).and_then(|value| u32::try_from(value).ok());
    Ok(Some(match kind {
        EventKind::StateChange => {
            Detail::StateChange(StateChange { old_state: low, new_state: high, time_in_old_state: time })
        }
        EventKind::Connect => Detail::Connect(Connect {}),
        EventKind::Established => {
            let rtt = value(1).map(|us| duration(us.saturating_mul(1000)));
            Detail::Established(Established { latency: time, handshake_rtt: rtt, syn_retransmits: small(0) })
        }
        EventKind::ConnectFailed => Detail::ConnectFailed(ConnectFailed {
            cause: low,
            error_number: small(0),
            elapsed: time,
            syns_sent: small(1),
        }),
        EventKind::Accept => {
            let waited = value(2).map(|us| duration(us.saturating_mul(1000)));
            Detail::Accept(Accept { queue_time: waited, queue_length: small(0), queue_limit: small(1) })
        }
        EventKind::Close => {
            let acked = value(1).map(|said| match value(0) {
                Some(sent) => sent.wrapping_sub((said >> 1) ^ (said & 1).wrapping_neg()),
                None => said,
            });
            let us = |index| value(index).map(|us| duration(us.saturating_mul(1000)));
            let counters = Counters {
                bytes_sent: value(0),
                bytes_acked: acked,
                bytes_received: value(2),
                bytes_retransmitted: value(3),
                segments_in: value(4),
                segments_out: value(5),
                data_segments_in: value(6),
                data_segments_out: value(7),
                retransmits: value(8),
                srtt: us(9),
                rtt_variation: us(10),
                min_rtt: us(11),
                congestion_window: small(12),
                unsent_bytes: value(13),
                unread_bytes: value(14),
            };
            Detail::Close(Close {
                duration: time,
                initiator: high,
                cause: low,
                error_number: small(15),
                counters: (counters != Counters::default()).then_some(counters),
            })
        }
        EventKind::Listen => Detail::Listen(Listen {}),
        EventKind::Closing => Detail::Closing(Closing {}),
        EventKind::Unspecified
        | EventKind::Retransmit
        | EventKind::Drop
        | EventKind::Reset
        | EventKind::SocketError
        | EventKind::ReadLatency
        | EventKind::ListenOverflow
        | EventKind::PortExhausted
        | EventKind::PacketPoint => return Err(CompactError::Kind { kind: number }),
    }))
}

#[cfg(test)]
mod tests;
