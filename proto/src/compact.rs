//! ENCODING_COMPACT at the client: batches become events again. The rules are in `compact.proto`.
//!
//! Batches are read from their bytes, one event at a time into the same place, so that an event costs no allocation;
//! what it names is borrowed from the tables. The bytes come from a server: numbers are checked, and tables bounded.

mod detail;
mod read;
mod shown;

use std::{
    fmt::{Display, Write as _},
    mem,
    net::{Ipv4Addr, Ipv6Addr},
};

use prost::Message;
use prost_types::Timestamp;

pub use self::shown::{Shown, ShownAddress, ShownSocket};
use self::{
    detail::detail,
    read::{Named, Reader, Said, Value},
};
use crate::v1::{CompactPlace, EventBatch, EventKind, Identity, Process, TcpState};

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
    /// They are no `CompactBatch`.
    #[error("compact batch: {0}")]
    Bytes(&'static str),
    /// They have an entry of a table that is none.
    #[error("compact batch: an entry of the table of {table} cannot be decoded")]
    Entry {
        /// Which table.
        table: &'static str,
    },
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
    identities: Vec<Identity>,
    processes: Vec<Process>,
    addresses: Vec<String>,
    places: Vec<CompactPlace>,
    sockets: Vec<Remembered>,
    /// What the event that is shown says.
    said: Said,
}

/// What is remembered of a socket: the fields of `CompactEvent`.
#[derive(Clone, Copy, Debug, Default)]
struct Remembered {
    cookie: Option<i64>,
    start_ns: Option<i64>,
    named: Named,
}

/// What a batch says once for all its events.
#[derive(Debug)]
struct Common<'a> {
    node_name: &'a str,
    resume_token: &'a [u8],
    has_time: bool,
    /// Of the event before.
    time_ns: i64,
    cookie: i64,
}

impl Decoder {
    /// For a stream from its beginning.
    pub fn new() -> Self {
        Self::default()
    }

    /// The events of the stream's next batch, an encoded `CompactBatch`, to keep.
    ///
    /// # Errors
    /// Where it is none, or contradicts what came before. The decoder is of no use then.
    pub fn decode(&mut self, batch: &[u8]) -> Result<EventBatch, CompactError> {
        let mut events = Vec::new();
        let resume_token = self.visit(batch, |event| events.push(event.to_event()))?.to_vec();
        Ok(EventBatch { events, resume_token })
    }

    /// Shows the events of the stream's next batch one by one, and returns its resume token.
    ///
    /// # Errors
    /// As for [`Self::decode`]; events before the error were shown.
    pub fn visit<'a>(
        &mut self,
        batch: &'a [u8],
        mut show: impl FnMut(&Shown<'_>),
    ) -> Result<&'a [u8], CompactError> {
        // Fields come in any order, so the tables are complete before the first event.
        let mut common = self.take_in(batch)?;
        let mut said = mem::take(&mut self.said);
        let mut reader = Reader::new(batch);
        while let Some((number, value)) = reader.field()? {
            if number == 5 {
                said.read(value.block()?)?;
                self.event(&mut said, &mut common, &mut show)?;
            }
        }
        self.said = said;
        Ok(common.resume_token)
    }

    /// Everything but the events.
    fn take_in<'a>(&mut self, batch: &'a [u8]) -> Result<Common<'a>, CompactError> {
        let before = [self.identities.len(), self.processes.len(), self.addresses.len(), self.places.len()];
        let mut common = Common { node_name: "", resume_token: &[], has_time: false, time_ns: 0, cookie: 0 };
        let mut restart = false;
        let mut reader = Reader::new(batch);
        while let Some((number, value)) = reader.field()? {
            match number {
                1 => common.time_ns = value.number()?.cast_signed(),
                2 => append(&mut self.identities, message(value, "identities")?, before[0], "identities")?,
                3 => append(&mut self.processes, message(value, "processes")?, before[1], "processes")?,
                4 => append(&mut self.addresses, address(value.block()?)?, before[2], "addresses")?,
                5 => _ = value.block()?,
                6 => common.resume_token = value.block()?,
                7 => restart = value.number()? != 0,
                8 => common.node_name = value.text()?,
                9 => append(&mut self.places, message(value, "places")?, before[3], "places")?,
                _ => {}
            }
        }
        common.has_time = common.time_ns != 0;
        if restart {
            self.identities.drain(..before[0]);
            self.processes.drain(..before[1]);
            self.addresses.drain(..before[2]);
            self.places.drain(..before[3]);
            self.sockets.clear();
        }
        bounded(&self.identities, "identities")?;
        bounded(&self.processes, "processes")?;
        bounded(&self.addresses, "addresses")?;
        bounded(&self.places, "places")?;
        Ok(common)
    }

    fn event(
        &mut self,
        said: &mut Said,
        common: &mut Common<'_>,
        show: &mut impl FnMut(&Shown<'_>),
    ) -> Result<(), CompactError> {
        common.time_ns = common.time_ns.wrapping_add(said.time_delta_ns);
        let rest = said.rest.take();
        self.remember(said, common)?;
        let known = &self.sockets[said.socket as usize];
        let named = &known.named;
        let place = entry(&self.places, named.place, "places")?.copied().unwrap_or_default();
        let detail = detail(said)?;
        let word = said.kind_and_flags;
        let flag = |bit| word & bit != 0;
        let kind = (word & bits::KIND).cast_signed() | rest.as_ref().map_or(0, |rest| rest.kind);
        let state = if flag(bits::USUAL_STATE) {
            usual_state(EventKind::try_from(kind).unwrap_or_default(), said.codes).into()
        } else {
            (word >> bits::STATE & 15).cast_signed()
        };
        let socket = ShownSocket {
            cookie: known.cookie.map(i64::cast_unsigned),
            family: (word >> bits::FAMILY & 3).cast_signed(),
            ipv6_socket: flag(bits::IPV6_SOCKET),
            local: end(&self.addresses, named.local_address, named.local_port)?,
            remote: end(&self.addresses, named.remote_address, named.remote_port)?,
            role: (word >> bits::ROLE & 3).cast_signed(),
            state,
            netns: place.netns,
            cgroup_id: place.cgroup_id,
            start_time: known.start_ns.map(timestamp),
        };
        let event = Shown {
            time: common.has_time.then(|| timestamp(common.time_ns)),
            node_name: common.node_name,
            cpu: said.cpu,
            kind,
            synthetic: flag(bits::SYNTHETIC),
            gap: flag(bits::GAP),
            repaired: flag(bits::REPAIRED),
            start_unknown: flag(bits::START_UNKNOWN),
            socket: (socket != ShownSocket::default()).then_some(socket),
            actual_remote: None,
            process: entry(&self.processes, named.process, "processes")?,
            owner: entry(&self.processes, named.owner, "processes")?,
            user: entry(&self.processes, named.user, "processes")?,
            local: entry(&self.identities, place.identity, "identities")?,
            remote: entry(&self.identities, named.remote_identity, "identities")?,
            explanation: None,
            detail: detail.as_ref(),
        };
        match rest {
            None => show(&event),
            Some(rest) => show(&Shown::from(&event.with_rest(*rest))),
        }
        Ok(())
    }

    /// Takes in what the event says of its socket.
    fn remember(&mut self, said: &Said, common: &mut Common<'_>) -> Result<(), CompactError> {
        if said.socket > SOCKETS {
            let entries = SOCKETS as usize;
            return Err(CompactError::Number { table: "sockets", number: said.socket, entries });
        }
        let index = said.socket as usize;
        if self.sockets.len() <= index {
            let room = (index + 1).next_power_of_two().min(SOCKETS as usize + 1);
            self.sockets.resize(room, Remembered::default());
        }
        // At index 0 is what is remembered of a socket without a number: nothing.
        let socket = &mut self.sockets[index];
        if said.kind_and_flags & bits::ANEW != 0 || index == 0 {
            *socket = Remembered::default();
        }
        let update = |known: &mut u32, said: u32| {
            if said != 0 {
                *known = said;
            }
        };
        if let Some(delta) = said.cookie_delta {
            common.cookie = common.cookie.wrapping_add(delta);
            socket.cookie = Some(common.cookie);
        }
        if let Some(since) = said.since_start_ns {
            socket.start_ns = Some(common.time_ns.wrapping_sub(since));
        }
        let (known, named) = (&mut socket.named, &said.named);
        update(&mut known.local_address, named.local_address);
        update(&mut known.remote_address, named.remote_address);
        update(&mut known.local_port, named.local_port);
        update(&mut known.remote_port, named.remote_port);
        update(&mut known.place, named.place);
        update(&mut known.process, named.process);
        update(&mut known.remote_identity, named.remote_identity);
        update(&mut known.owner, named.owner);
        update(&mut known.user, named.user);
        Ok(())
    }
}

fn message<T: Message + Default>(value: Value<'_>, table: &'static str) -> Result<T, CompactError> {
    T::decode(value.block()?).map_err(|_| CompactError::Entry { table })
}

/// `before`: entries of earlier batches, which may be about to be forgotten.
fn append<T>(table: &mut Vec<T>, entry: T, before: usize, name: &'static str) -> Result<(), CompactError> {
    table.push(entry);
    bounded(&table[before..], name)
}

const fn bounded<T>(table: &[T], name: &'static str) -> Result<(), CompactError> {
    if table.len() > LONGEST_TABLE { Err(CompactError::TableTooLong { table: name }) } else { Ok(()) }
}

#[inline]
fn entry<'a, T>(table: &'a [T], number: u32, name: &'static str) -> Result<Option<&'a T>, CompactError> {
    let Some(index) = number.checked_sub(1) else { return Ok(None) };
    let error = CompactError::Number { table: name, number, entries: table.len() };
    table.get(index as usize).ok_or(error).map(Some)
}

#[inline]
fn end(addresses: &[String], address: u32, port: u32) -> Result<Option<ShownAddress<'_>>, CompactError> {
    let ip = entry(addresses, address, "addresses")?.map_or("", String::as_str);
    let port = port.checked_sub(1);
    Ok((address != 0 || port.is_some()).then_some(ShownAddress { ip, port }))
}

fn address(bytes: &[u8]) -> Result<String, CompactError> {
    if let Ok(v4) = <[u8; 4]>::try_from(bytes) {
        return Ok(text::<15>(Ipv4Addr::from(v4)));
    }
    let v6 = <[u8; 16]>::try_from(bytes).map_err(|_| CompactError::Address { length: bytes.len() })?;
    Ok(text::<39>(Ipv6Addr::from(v6)))
}

/// As `Display` has it, with one allocation: an address is written in many pieces, and a string grows with each.
fn text<const LONGEST: usize>(address: impl Display) -> String {
    let mut text = String::with_capacity(LONGEST);
    // Nothing can be in the way of a string's growth.
    let _ = write!(text, "{address}");
    text
}

#[inline]
fn timestamp(ns: i64) -> Timestamp {
    // The remainder is below 10^9.
    Timestamp { seconds: ns.div_euclid(SECOND), nanos: ns.rem_euclid(SECOND) as i32 }
}

#[cfg(test)]
mod tests;
