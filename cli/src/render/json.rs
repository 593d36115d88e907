//! One JSON object a line; the schema is docs/json.md. Keys have a fixed order. Not known is `null`, what does
//! not apply to an event has no key. Written by hand: nothing on the path of an event allocates.

use std::net::IpAddr;

use agent_common::event::{Close, Counters, Event, EventKind, Failure, Family, Process, Retransmit};
use jiff::tz::TimeZone;

use super::{
    Render,
    object::{Object, null},
    word,
};
use crate::{
    args::{Options, TimeFormat},
    clock::Clock,
    escape, text,
    tool::Tool,
    view::Row,
};

/// Writes JSON lines.
pub struct Json {
    tool: Tool,
    query: bool,
    clock: Clock,
    /// A second clock for the start of processes, so that neither forgets its second for the other.
    starts: Clock,
}

impl Json {
    /// For a tool; `query` only with `--dns`.
    pub fn new(tool: Tool, options: &Options) -> Self {
        let utc = || Clock::in_zone(TimeFormat::Utc, TimeZone::UTC);
        Self { tool, query: options.dns, clock: utc(), starts: utc() }
    }

    fn process(&mut self, event: &Event, process: Option<&Process>, out: &mut Vec<u8>) {
        let Some(process) = process else { return null(out) };
        let mut object = Object::begin(out);
        object.number("pid", process.pid);
        object.number("tid", process.tid);
        object.number("uid", process.uid);
        object.key("comm");
        let comm = process.comm.bytes();
        if !escape::json(comm, object.out) {
            object.key("comm_hex");
            object.out.push(b'"');
            for byte in comm {
                object.out.push(escape::DIGITS[usize::from(byte >> 4)]);
                object.out.push(escape::DIGITS[usize::from(byte & 0xf)]);
            }
            object.out.push(b'"');
        }
        object.optional("mntns", process.mntns, text::number);
        let since_boot_ns = event.wall_ns.wrapping_sub(event.boot_ns);
        object.key("start_time");
        match process.start_ns {
            Some(start_ns) => moment(&mut self.starts, start_ns.wrapping_add(since_boot_ns), object.out),
            None => null(object.out),
        }
        object.word("relation", word::relation(process.relation));
        object.end();
    }
}

impl Render for Json {
    fn row(&mut self, row: &Row<'_>, out: &mut Vec<u8>) {
        let event = row.event;
        let mut object = Object::begin(out);
        object.key("time");
        moment(&mut self.clock, event.wall_ns, object.out);
        object.word("tool", self.tool.name());
        object.word("event", row.name);
        object.number("cpu", event.cpu);
        object.optional("cookie", event.cookie, text::number);
        object.optional("netns", event.netns, text::number);
        object.optional("cgroup_id", event.cgroup_id, text::number);
        object.word("identity_source", word::identity_source(event.identity_source));
        object.word("family", if event.family == Family::V4 { "ipv4" } else { "ipv6" });
        object.word("socket_family", if event.socket_v6 { "ipv6" } else { "ipv4" });
        object.word("role", word::role(event.role));
        object.key("local");
        end_point(event.local, event.local_port, object.out);
        object.key("remote");
        match event.remote {
            Some(remote) => end_point(Some(remote.ip()), Some(remote.port()), object.out),
            None => null(object.out),
        }
        if self.query {
            object.key("query");
            match row.query {
                // Names are ASCII in DNS; of others the broken bytes are lost, not the line.
                Some(query) => _ = escape::json(query, object.out),
                None => null(object.out),
            }
        }
        object.key("process");
        self.process(event, row.process, object.out);
        if event.kinds.has(EventKind::Accept) || event.close.is_some() {
            object.key("owner");
            self.process(event, event.owner.as_ref(), object.out);
            object.key("user");
            self.process(event, event.user.as_ref(), object.out);
        }
        // What is no change of state has the one state at both ends.
        if let Some(state) = event.state.filter(|state| state.old != state.new || event.synthetic) {
            let mut inner = object.object("state");
            inner.word("old", state.old.name());
            inner.word("new", state.new.name());
            inner.duration("time_in_old_ns", state.in_old);
            inner.end();
        }
        if event.connect_latency.is_some() || event.kinds.has(EventKind::Established) {
            let mut inner = object.object("connect");
            inner.duration("latency_ns", event.connect_latency);
            inner.duration("handshake_rtt_ns", event.handshake_rtt);
            inner.optional("syn_retransmits", event.syn_retransmits, text::number);
            inner.end();
        }
        if let Some(failure) = &event.failure {
            failed(failure, &mut object);
        }
        if event.kinds.has(EventKind::Accept) {
            let mut inner = object.object("accept");
            inner.optional("queue", event.backlog.map(|backlog| backlog.0), text::number);
            inner.optional("limit", event.backlog.map(|backlog| backlog.1), text::number);
            inner.duration("queue_time_ns", event.queue_time);
            inner.end();
        }
        if let Some(reset) = &event.reset {
            let mut inner = object.object("reset");
            inner.word("direction", if reset.sent { "transmit" } else { "receive" });
            inner.name("reason", reset.reason.unwrap_or_default());
            state_now(event, &mut inner);
            inner.end();
        }
        if let Some(error) = &event.error {
            let mut inner = object.object("error");
            inner.errno(error.errno);
            inner.flag("soft", error.soft);
            state_now(event, &mut inner);
            inner.end();
        }
        if let Some(again) = &event.retransmit {
            sent_again(event, again, &mut object);
        }
        if let Some(close) = &event.close {
            closed(event, close, &mut object);
        }
        object.flag("start_unknown", event.start_unknown);
        object.flag("gap", event.gap);
        object.flag("repaired", event.repaired);
        object.flag("synthetic", event.synthetic);
        object.end();
        out.push(b'\n');
    }
}

fn failed(failure: &Failure, object: &mut Object<'_>) {
    let mut inner = object.object("failure");
    inner.word("cause", word::cause(failure.cause));
    inner.errno(failure.errno);
    inner.duration("elapsed_ns", failure.elapsed);
    inner.optional("syns_sent", failure.syns_sent, text::number);
    inner.end();
}

/// The state that the socket is in, of what is no change of it.
fn state_now(event: &Event, object: &mut Object<'_>) {
    if let Some(state) = event.state {
        object.word("state", state.new.name());
    }
}

fn sent_again(event: &Event, again: &Retransmit, object: &mut Object<'_>) {
    let mut inner = object.object("retransmit");
    inner.word("type", word::retransmit(again.kind));
    state_now(event, &mut inner);
    inner.optional("segments", Some(again.segments), text::number);
    inner.optional("bytes", Some(again.bytes), text::number);
    inner.optional("sequence", again.sequence, text::number);
    inner.optional("attempt", again.attempt, text::number);
    inner.word("congestion_state", again.congestion.map_or("unknown", word::congestion));
    inner.errno(again.error);
    inner.end();
}

fn closed(event: &Event, close: &Close, object: &mut Object<'_>) {
    let mut inner = object.object("close");
    inner.duration("duration_ns", close.duration);
    inner.word("initiator", word::initiator(close.initiator));
    inner.word("how", word::how(close.how));
    inner.errno(close.errno);
    let payload = event.payload;
    inner.optional("bytes_sent", payload.map(|payload| payload.sent), text::number);
    inner.optional("bytes_acked", payload.map(|payload| payload.acked), text::number);
    inner.optional("bytes_received", payload.map(|payload| payload.received), text::number);
    let mut counter = |name, value: fn(&Counters) -> Option<u32>| {
        inner.optional(name, event.counters.as_ref().and_then(value), text::number);
    };
    counter("segs_in", |counters| Some(counters.segs_in));
    counter("segs_out", |counters| Some(counters.segs_out));
    counter("data_segs_in", |counters| Some(counters.data_segs_in));
    counter("data_segs_out", |counters| Some(counters.data_segs_out));
    counter("retransmits", |counters| Some(counters.total_retrans));
    counter("srtt_us", word::srtt_us);
    counter("min_rtt_us", word::min_rtt_us);
    counter("cwnd", |counters| Some(counters.snd_cwnd));
    counter("unsent", |counters| Some(counters.unsent));
    counter("unacked", |counters| Some(counters.unacked));
    counter("unread", |counters| Some(counters.unread));
    inner.end();
}

fn end_point(address: Option<IpAddr>, port: Option<u16>, out: &mut Vec<u8>) {
    let mut object = Object::begin(out);
    object.optional("address", address, |address, out| {
        out.push(b'"');
        text::address(address, out);
        out.push(b'"');
    });
    object.optional("port", port, text::number);
    object.end();
}

fn moment(clock: &mut Clock, wall_ns: u64, out: &mut Vec<u8>) {
    out.push(b'"');
    clock.utc_ns(wall_ns, out);
    out.push(b'"');
}

#[cfg(test)]
mod tests;
