//! ENCODING_READABLE: the bytes of [`convert`](super::convert), written directly.
//!
//! What an event's messages have in common is written once, then copied for each kind. Buffers are kept from batch to
//! batch, so that in the steady state nothing allocates.

use std::sync::Arc;

use bytes::BytesMut;
use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint};
use proto::mask::{Fields, Mask};

use super::{
    Origin,
    convert::{Counted, TIMES, beside_process, wall_ns},
    identity::Identities,
    numbers,
    write::{CommText, IpText, Out, key, set_length},
};
use crate::{
    event::{Event, EventKind, Process},
    identity::Identity,
};

/// What a mask keeps, looked up once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kept {
    pub(super) event: Fields,
    pub(super) socket: Fields,
    pub(super) local: Fields,
    pub(super) remote: Fields,
    /// process, owner, user.
    pub(super) processes: [Fields; 3],
    details: [Fields; EventKind::ALL.len()],
    pub(super) counters: Fields,
}

impl Kept {
    pub(super) fn of(mask: &Mask) -> Self {
        Self {
            event: mask.fields(&[]),
            socket: mask.fields(&[10]),
            local: mask.fields(&[10, 4]),
            remote: mask.fields(&[10, 5]),
            processes: [12, 13, 14].map(|number| mask.fields(&[number])),
            details: EventKind::ALL.map(|kind| mask.fields(&[numbers::detail(kind)])),
            counters: mask.fields(&[25, 5]),
        }
    }

    pub(super) const fn detail(&self, kind: EventKind) -> Fields {
        self.details[kind as usize]
    }
}

/// Writes the events of one stream, each by itself.
#[derive(Debug)]
pub struct Encoder {
    origin: Origin,
    kept: Kept,
    identities: Identities,
    /// The `EventBatch` so far.
    batch: Vec<u8>,
    events: usize,
    /// What the messages of an event have in common.
    common: Vec<u8>,
}

impl Encoder {
    /// An encoder for a stream.
    pub fn new(mask: &Mask, origin: Origin) -> Self {
        Self {
            origin,
            kept: Kept::of(mask),
            identities: Identities::new(mask),
            batch: Vec::new(),
            events: 0,
            common: Vec::new(),
        }
    }

    /// Adds an event to the batch: one message for each of its kinds.
    pub fn push(&mut self, event: &Event, local: Option<&Arc<Identity>>) {
        self.common.clear();
        let mut out = Out::new(&mut self.common, self.kept.event);
        out.moment(1, wall_ns(event, event.boot_ns));
        out.text(2, &*self.origin.node_name);
        out.plain(3, event.cpu);
        let before_kind = out.bytes.len();
        flags(&mut out, event);
        out.message(10, self.kept.socket, |out| socket(out, event, &self.kept));
        let named = [event.process, beside_process(event, event.owner), beside_process(event, event.user)];
        for (number, (named, kept)) in (12..).zip(named.iter().zip(self.kept.processes)) {
            if let Some(named) = named {
                out.message(number, kept, |out| process(out, named, event));
            }
        }
        if let Some(local) = local.filter(|_| out.keeps(15)) {
            out.text(15, self.identities.bytes(local, &self.origin));
        }
        for kind in event.kinds.iter() {
            self.message(event, kind, before_kind);
        }
    }

    /// Adds one message: what is common, with the kind in its place, and the detail.
    fn message(&mut self, event: &Event, kind: EventKind, before_kind: usize) {
        let (before, after) = self.common.split_at(before_kind);
        let batch = &mut self.batch;
        key(batch, 1, WireType::LengthDelimited);
        batch.push(0);
        let begin = batch.len();
        batch.extend_from_slice(before);
        Out::new(batch, self.kept.event).word(4, numbers::kind(kind));
        batch.extend_from_slice(after);
        let mut out = Out::new(batch, self.kept.event);
        out.member(numbers::detail(kind), self.kept.detail(kind), |out| {
            detail(out, event, kind, self.kept.counters);
        });
        set_length(batch, begin);
        self.events += 1;
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
        Out::new(&mut self.batch, Fields::MAX).text(2, resume_token);
        response(&self.origin, time_ns, 3, &self.batch, &mut self.common, out);
        self.batch.clear();
        self.events = 0;
    }
}

/// One `ObserveResponse` with this payload at the member `number`. `scratch` is any buffer.
pub(super) fn response(
    origin: &Origin,
    time_ns: u64,
    number: u32,
    payload: &[u8],
    scratch: &mut Vec<u8>,
    out: &mut BytesMut,
) {
    scratch.clear();
    let mut head = Out::new(scratch, Fields::MAX);
    head.text(1, &*origin.node_name);
    head.moment(2, i64::try_from(time_ns).unwrap_or(i64::MAX));
    let length = payload.len() as u64;
    out.reserve(scratch.len() + 1 + encoded_len_varint(length) + payload.len());
    out.extend_from_slice(scratch);
    encode_key(number, WireType::LengthDelimited, out);
    encode_varint(length, out);
    out.extend_from_slice(payload);
}

fn flags(out: &mut Out<'_>, event: &Event) {
    out.plain(5, event.synthetic);
    out.plain(6, event.gap);
    out.plain(7, event.repaired);
    out.plain(8, event.start_unknown);
}

fn socket(out: &mut Out<'_>, event: &Event, kept: &Kept) {
    out.optional(1, event.cookie);
    out.word(2, numbers::family(event.family));
    out.plain(3, event.socket_v6);
    out.message(4, kept.local, |out| {
        if let Some(ip) = event.local.filter(|_| out.keeps(1)) {
            out.text(1, IpText::of(ip));
        }
        out.optional(2, event.local_port);
    });
    if let Some(peer) = event.remote {
        out.message(5, kept.remote, |out| {
            if out.keeps(1) {
                out.text(1, IpText::of(peer.ip()));
            }
            out.number(2, peer.port().into());
        });
    }
    out.word(6, numbers::role(event.role));
    if let Some(state) = event.state {
        out.word(7, numbers::state(state.new));
    }
    out.optional(8, event.netns);
    out.optional(9, event.cgroup_id);
    if let Some(start) = event.start_ns {
        out.moment(10, wall_ns(event, start));
    }
}

pub(super) fn process(out: &mut Out<'_>, process: &Process, event: &Event) {
    out.plain(1, process.pid);
    out.plain(2, process.tid);
    out.plain(3, process.uid);
    if out.keeps(4) {
        out.text(4, CommText::of(process.comm.bytes()));
    }
    if let Some(start) = process.start_ns {
        out.moment(5, wall_ns(event, start));
    }
    out.optional(6, process.mntns);
    out.word(7, numbers::relation(process.relation));
}

pub(super) fn detail(out: &mut Out<'_>, event: &Event, kind: EventKind, kept_counters: Fields) {
    match kind {
        EventKind::StateChange => {
            if let Some(state) = event.state {
                out.word(1, numbers::state(state.old));
                out.word(2, numbers::state(state.new));
                out.duration(3, state.in_old);
            }
        }
        EventKind::Connect | EventKind::Closing | EventKind::Listen => {}
        EventKind::Established => {
            out.duration(1, event.connect_latency);
            out.duration(2, event.handshake_rtt);
            out.optional(3, event.syn_retransmits);
        }
        EventKind::ConnectFailed => {
            if let Some(failure) = event.failure {
                out.word(1, numbers::failure_cause(failure.cause));
                out.optional(2, failure.errno);
                out.duration(3, failure.elapsed);
                out.optional(4, failure.syns_sent);
            }
        }
        EventKind::Accept => {
            out.duration(1, event.queue_time);
            out.optional(2, event.backlog.map(|(length, _)| length));
            out.optional(3, event.backlog.map(|(_, limit)| limit));
        }
        EventKind::Reset => {
            if let Some(reset) = event.reset {
                out.word(1, numbers::direction(reset.sent));
                out.text(2, reset.reason.unwrap_or_default());
            }
        }
        EventKind::SocketError => {
            if let Some(error) = event.error {
                out.plain(1, error.errno.unwrap_or_default());
                out.plain(2, error.soft);
            }
        }
        EventKind::Retransmit => {
            if let Some(again) = event.retransmit {
                out.word(1, numbers::retransmit_type(again.kind));
                out.optional(2, Some(again.segments));
                out.optional(3, Some(again.bytes));
                out.optional(4, again.sequence);
                out.optional(5, again.attempt);
                out.word(6, numbers::congestion(again.congestion));
                out.optional(7, again.error);
            }
        }
        EventKind::Close => {
            if let Some(close) = event.close {
                out.duration(1, close.duration);
                out.word(2, numbers::initiator(close.initiator));
                out.word(3, numbers::close_cause(close.how));
                out.optional(4, close.errno);
            }
            out.message(5, kept_counters, |out| counters(out, &Counted::of(event)));
        }
    }
}

fn counters(out: &mut Out<'_>, counted: &Counted) {
    for (number, value) in (1..).zip(counted.0) {
        if TIMES.contains(&number) {
            out.duration(number, value.map(std::time::Duration::from_micros));
        } else {
            out.optional(number, value);
        }
    }
}
