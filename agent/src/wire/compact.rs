//! ENCODING_COMPACT: what repeats is sent once and then named by number. The rules are in `compact.proto`, the other
//! side is `proto::compact`.
//!
//! Tables grow up to their limit and then begin anew, all at once and between two batches; a batch is bounded, so they
//! never go far beyond. Then they have their size, and nothing allocates.

mod detail;
mod tables;

use std::sync::Arc;

use bytes::BytesMut;
use prost::encoding::WireType;
use proto::{
    compact::{SOCKETS, bits, usual_state},
    mask::{Fields, Mask},
};

use self::{
    detail::Columns,
    tables::{Place, Tables},
};
use super::{
    Origin,
    convert::{beside_process, wall_ns},
    encode::{self, Kept},
    identity::Identities,
    numbers,
    write::{Out, key, set_length, zigzag},
};
use crate::{
    event::{Event, EventKind},
    identity::Identity,
};

/// Writes the events of one stream by tables.
#[derive(Debug)]
pub struct Encoder {
    origin: Origin,
    kept: Kept,
    identities: Identities,
    tables: Tables,
    /// What the client remembers of sockets; the number is the index plus 1.
    sockets: Box<[Named]>,
    restart: bool,
    /// The `CompactBatch` so far.
    batch: Vec<u8>,
    events: usize,
    last_time_ns: i64,
    last_cookie: u64,
    scratch: Vec<u8>,
}

/// What an event says of its socket, as fields of `CompactEvent`; 0 or `None` = absent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Named {
    cookie: Option<u64>,
    local_address: u32,
    remote_address: u32,
    local_port: u32,
    remote_port: u32,
    place: u32,
    start_ns: Option<i64>,
    /// Process, owner, user.
    processes: [u32; 3],
}

impl Named {
    /// Whether something is absent here that was there before: what is absent would be taken for what was.
    fn lacks(&self, before: &Self) -> bool {
        let lacks = |now: u32, before: u32| now == 0 && before != 0;
        // Every socket's cookie is another; where the mask leaves them out, there is none in either.
        self.cookie != before.cookie
            || self.start_ns.is_none() && before.start_ns.is_some()
            || lacks(self.local_address, before.local_address)
            || lacks(self.remote_address, before.remote_address)
            || lacks(self.local_port, before.local_port)
            || lacks(self.remote_port, before.remote_port)
            || lacks(self.place, before.place)
            || self.processes.iter().zip(before.processes).any(|(now, before)| lacks(*now, before))
    }
}

impl Encoder {
    /// An encoder for a stream.
    pub fn new(mask: &Mask, origin: Origin) -> Self {
        let kept = Kept::of(mask);
        Self {
            origin,
            kept,
            identities: Identities::new(mask),
            tables: Tables::new(kept.processes),
            sockets: vec![Named::default(); SOCKETS as usize].into(),
            restart: true,
            batch: Vec::new(),
            events: 0,
            last_time_ns: 0,
            last_cookie: 0,
            scratch: Vec::new(),
        }
    }

    /// Adds an event to the batch: one message for each of its kinds.
    pub fn push(&mut self, event: &Event, local: Option<&Arc<Identity>>) {
        // Where the mask keeps no time, none is the base of others.
        let time_ns = if self.keeps(1) { wall_ns(event, event.boot_ns) } else { 0 };
        if self.events == 0 {
            self.begin(time_ns);
        }
        let named = self.name(event, local);
        let common = self.flags(event);
        for kind in event.kinds.iter() {
            self.message(event, kind, common, time_ns, &named);
        }
    }

    const fn keeps(&self, number: u32) -> bool {
        self.kept.event & (1 << number) != 0
    }

    fn begin(&mut self, time_ns: i64) {
        self.restart |= self.tables.are_full();
        let mut out = Out::new(&mut self.batch, Fields::MAX);
        out.plain(1, time_ns.cast_unsigned());
        if self.restart {
            self.tables.clear();
            self.sockets.fill(Named::default());
            out.plain(7, true);
            self.restart = false;
        }
        if self.kept.event & 1 << 2 != 0 {
            out.text(8, &*self.origin.node_name);
        }
        self.last_time_ns = time_ns;
        self.last_cookie = 0;
    }

    /// Numbers for what the event names; what is new goes into the batch.
    fn name(&mut self, event: &Event, local: Option<&Arc<Identity>>) -> Named {
        let Kept { socket, local: local_end, remote, processes, event: fields, .. } = self.kept;
        let has = |fields: Fields, number: u32| fields & 1 << number != 0;
        let mut named = Named {
            cookie: event.cookie.filter(|_| has(socket, 1)),
            start_ns: event.start_ns.filter(|_| has(socket, 10)).map(|start| wall_ns(event, start)),
            ..Named::default()
        };
        if let Some(ip) = event.local.filter(|_| has(local_end, 1)) {
            named.local_address = self.tables.address(ip, &mut self.batch);
        }
        if let Some(port) = event.local_port.filter(|_| has(local_end, 2)) {
            named.local_port = u32::from(port) + 1;
        }
        if let Some(peer) = event.remote {
            if has(remote, 1) {
                named.remote_address = self.tables.address(peer.ip(), &mut self.batch);
            }
            if has(remote, 2) {
                named.remote_port = u32::from(peer.port()) + 1;
            }
        }
        let local = local.filter(|_| has(fields, 15));
        let place = Place {
            netns: event.netns.filter(|_| has(socket, 8)),
            cgroup_id: event.cgroup_id.filter(|_| has(socket, 9)),
            identity: local.map_or(0, |local| {
                let bytes = self.identities.bytes(local, &self.origin);
                self.tables.identity(local, bytes, &mut self.batch)
            }),
        };
        named.place = self.tables.place(place, &mut self.batch);
        let beside = [event.process, beside_process(event, event.owner), beside_process(event, event.user)];
        for (index, process) in beside.into_iter().enumerate() {
            if let Some(process) = process.filter(|_| processes[index] != 0) {
                named.processes[index] = self.tables.process(index, &process, event, &mut self.batch);
            }
        }
        named
    }

    /// `kind_and_flags`, but for what is of one kind.
    fn flags(&self, event: &Event) -> u32 {
        let Kept { event: fields, socket, .. } = self.kept;
        let flag = |fields: Fields, number: u32, value: bool, bit: u32| {
            if value && fields & 1 << number != 0 { bit } else { 0 }
        };
        let word = |number: u32, value: i32, at: u32| {
            if socket & 1 << number != 0 { value.cast_unsigned() << at } else { 0 }
        };
        flag(fields, 5, event.synthetic, bits::SYNTHETIC)
            | flag(fields, 6, event.gap, bits::GAP)
            | flag(fields, 7, event.repaired, bits::REPAIRED)
            | flag(fields, 8, event.start_unknown, bits::START_UNKNOWN)
            | flag(socket, 3, event.socket_v6, bits::IPV6_SOCKET)
            | word(2, numbers::family(event.family).into(), bits::FAMILY)
            | word(6, numbers::role(event.role).into(), bits::ROLE)
    }

    fn message(&mut self, event: &Event, kind: EventKind, common: u32, time_ns: i64, named: &Named) {
        // Sockets of one CPU get consecutive cookies.
        let number = event.cookie.map(|cookie| (cookie % u64::from(SOCKETS)) as usize + 1);
        let before = number.map_or_else(Named::default, |number| self.sockets[number - 1]);
        let anew = number.is_some() && named.lacks(&before);
        let before = if anew { Named::default() } else { before };
        let mut flags = common;
        if anew {
            flags |= bits::ANEW;
        }
        let keeps_kind = self.keeps(4);
        let has_detail = self.keeps(numbers::detail(kind));
        if keeps_kind {
            flags |= i32::from(numbers::kind(kind)).cast_unsigned();
        }
        // Without its kind nobody could read the columns.
        let has_columns = has_detail && keeps_kind && Columns::hold(kind);
        let columns = if has_columns {
            flags |= bits::DETAIL;
            Columns::of(event, kind, self.kept.detail(kind), self.kept.counters)
        } else {
            Columns::default()
        };

        if let Some(state) = event.state.filter(|_| self.kept.socket & 1 << 7 != 0) {
            let state = numbers::state(state.new);
            let usual = keeps_kind && usual_state(numbers::kind(kind), columns.codes) == state;
            flags |= if usual { bits::USUAL_STATE } else { i32::from(state).cast_unsigned() << bits::STATE };
        }

        key(&mut self.batch, 5, WireType::LengthDelimited);
        self.batch.push(0);
        let begin = self.batch.len();
        let mut out = Out::new(&mut self.batch, Fields::MAX);
        out.plain(1, zigzag(time_ns.wrapping_sub(self.last_time_ns)));
        out.plain(2, flags);
        out.plain(3, number.unwrap_or_default() as u64);
        if self.kept.event & 1 << 3 != 0 {
            out.plain(4, event.cpu);
        }
        out.plain(5, columns.duration_ns);
        out.plain(6, columns.codes);
        out.packed(7, columns.values());
        if let Some(cookie) = named.cookie.filter(|_| before.cookie != named.cookie) {
            out.number(8, zigzag(cookie.wrapping_sub(self.last_cookie).cast_signed()));
            self.last_cookie = cookie;
        }
        let mut changed = |number: u32, now: u32, before: u32| {
            if now != before {
                out.number(number, now.into());
            }
        };
        changed(9, named.local_address, before.local_address);
        changed(10, named.remote_address, before.remote_address);
        changed(11, named.local_port, before.local_port);
        changed(12, named.remote_port, before.remote_port);
        changed(13, named.place, before.place);
        if let Some(start) = named.start_ns.filter(|_| before.start_ns != named.start_ns) {
            out.number(14, zigzag(time_ns.wrapping_sub(start)));
        }
        for (number, (now, before)) in
            [15, 17, 18].into_iter().zip(named.processes.iter().zip(before.processes))
        {
            if *now != before {
                out.number(number, (*now).into());
            }
        }
        if has_detail && !has_columns {
            out.member(19, self.kept.event, |out| {
                out.member(numbers::detail(kind), self.kept.detail(kind), |out| {
                    encode::detail(out, event, kind, self.kept.counters);
                });
            });
        }
        set_length(&mut self.batch, begin);
        self.last_time_ns = time_ns;
        self.events += 1;
        if let Some(number) = number {
            self.sockets[number - 1] = *named;
        }
    }

    /// How many messages the batch has.
    pub const fn events(&self) -> usize {
        self.events
    }

    /// How many bytes the batch has so far.
    pub const fn bytes(&self) -> usize {
        self.batch.len()
    }

    /// Appends the batch to `out` as one encoded `ObserveResponse`, and begins the next.
    pub fn finish(&mut self, time_ns: u64, resume_token: &[u8], out: &mut BytesMut) {
        Out::new(&mut self.batch, Fields::MAX).text(6, resume_token);
        encode::response(&self.origin, time_ns, 4, &self.batch, &mut self.scratch, out);
        self.batch.clear();
        self.events = 0;
    }
}
