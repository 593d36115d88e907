//! One JSON object a line, with the words of `trace -o json` (docs/json.md) and the pod's. Keys have a fixed order.
//! Not known is `null`; what does not apply to an event has no key.

use jiff::tz::TimeZone;
use proto::v1::{
    AddressFamily, Close, Counters, Drop, Event, EventKind, Identity, Process, Retransmit, SocketAddress,
    event::Detail,
};

use super::{Item, Show, nanoseconds, words};
use crate::{
    args::{TimeFormat, name::Named},
    clock::Clock,
    render::object::{Object, null},
    text,
};

/// Writes JSON lines.
pub struct Json {
    clock: Clock,
}

impl Default for Json {
    fn default() -> Self {
        Self { clock: Clock::in_zone(TimeFormat::Utc, TimeZone::UTC) }
    }
}

impl Show for Json {
    fn event(&mut self, item: &Item, out: &mut Vec<u8>) -> u64 {
        let event = &item.event;
        let socket = event.socket.as_ref();
        let mut object = Object::begin(out);
        self.moment("time", event.time.as_ref(), &mut object);
        object.name("node", &item.node);
        object.word("event", &word(event.kind()));
        object.number("cpu", event.cpu);
        object.optional("cookie", socket.and_then(|socket| socket.cookie), text::number);
        object.optional("netns", socket.and_then(|socket| socket.netns), text::number);
        object.optional("cgroup_id", socket.and_then(|socket| socket.cgroup_id), text::number);
        whose(event.local.as_ref(), &mut object);
        let family = match socket.map(|socket| socket.family()) {
            Some(AddressFamily::Ipv4) => "ipv4",
            Some(AddressFamily::Ipv6) => "ipv6",
            Some(AddressFamily::Unspecified) | None => "unknown",
        };
        object.word("family", family);
        object.word(
            "socket_family",
            if socket.is_some_and(|socket| socket.ipv6_socket) { "ipv6" } else { "ipv4" },
        );
        object.word("role", &socket.map_or_else(|| "unknown".to_owned(), |socket| word(socket.role())));
        object.key("local");
        end_point(socket.and_then(|socket| socket.local.as_ref()), object.out);
        object.key("remote");
        match socket.and_then(|socket| socket.remote.as_ref()) {
            Some(remote) => end_point(Some(remote), object.out),
            None => null(object.out),
        }
        if let Some(behind) = &event.actual_remote {
            object.key("actual_remote");
            end_point(Some(behind), object.out);
        }
        if let Some(peer) = &event.remote {
            let mut inner = object.object("peer");
            whose(Some(peer), &mut inner);
            inner.name("service", &peer.service);
            inner.name("node", &peer.node_name);
            inner.end();
        }
        self.process("process", event.process.as_ref(), &mut object);
        for (key, process) in [("owner", &event.owner), ("user", &event.user)] {
            if process.is_some() {
                self.process(key, process.as_ref(), &mut object);
            }
        }
        detail(event, &mut object);
        if let Some(explanation) = &event.explanation {
            object.string("explanation", &explanation.text);
        }
        object.flag("start_unknown", event.start_unknown);
        object.flag("gap", event.gap);
        object.flag("repaired", event.repaired);
        object.flag("synthetic", event.synthetic);
        object.end();
        out.push(b'\n');
        1
    }
}

impl Json {
    fn moment(&mut self, key: &str, time: Option<&prost_types::Timestamp>, object: &mut Object<'_>) {
        object.optional(key, time, |time, out| {
            out.push(b'"');
            self.clock.utc_ns(nanoseconds(Some(time)), out);
            out.push(b'"');
        });
    }

    fn process(&mut self, key: &str, process: Option<&Process>, object: &mut Object<'_>) {
        let Some(process) = process else { return object.optional(key, None::<()>, |(), _| {}) };
        let mut inner = object.object(key);
        inner.number("pid", process.pid);
        inner.number("tid", process.tid);
        inner.number("uid", process.uid);
        inner.string("comm", &process.comm);
        inner.optional("mntns", process.mount_namespace, text::number);
        self.moment("start_time", process.start_time.as_ref(), &mut inner);
        inner.word("relation", &word(process.relation()));
        inner.end();
    }
}

/// A word of a closed set: lower case, with underscores; `unknown` for the one that stands for that.
pub fn word<E: Named>(value: E) -> String {
    match value.short() {
        "UNSPECIFIED" => "unknown".to_owned(),
        short => short.to_lowercase(),
    }
}

/// The keys of an identity.
pub fn whose(identity: Option<&Identity>, object: &mut Object<'_>) {
    let Some(identity) = identity else {
        object.word("identity_source", "unknown");
        for key in ["namespace", "pod", "pod_uid", "container", "container_id", "workload_kind", "workload"] {
            object.name(key, "");
        }
        object.flag("host", false);
        return object.flag("metadata_pending", false);
    };
    object.word("identity_source", &word(identity.source()));
    object.name("namespace", &identity.namespace);
    object.name("pod", &identity.pod);
    object.name("pod_uid", &identity.pod_uid);
    object.name("container", &identity.container);
    object.name("container_id", &identity.container_id);
    let workload = identity.workload.as_ref();
    object.name("workload_kind", workload.map_or("", |workload| &workload.kind));
    object.name("workload", workload.map_or("", |workload| &workload.name));
    object.flag("host", identity.host);
    object.flag("metadata_pending", identity.metadata_pending);
    if !identity.labels.is_empty() {
        let mut labels: Vec<_> = identity.labels.iter().collect();
        labels.sort();
        let mut inner = object.object("labels");
        for (key, value) in labels {
            // Keys of labels are of Kubernetes' own alphabet; what is not cannot be one.
            let harmless = key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_./".contains(&byte));
            if harmless {
                inner.string(key, value);
            }
        }
        inner.end();
    }
}

/// An address with its port.
pub fn end_point(address: Option<&SocketAddress>, out: &mut Vec<u8>) {
    let mut object = Object::begin(out);
    object.name("address", address.map_or("", |address| &address.ip));
    object.optional("port", address.and_then(|address| address.port), text::number);
    object.end();
}

fn span(key: &str, duration: Option<&prost_types::Duration>, object: &mut Object<'_>) {
    object.duration(key, words::duration(duration));
}

fn detail(event: &Event, object: &mut Object<'_>) {
    match &event.detail {
        None | Some(Detail::Connect(_) | Detail::Listen(_) | Detail::Closing(_)) => {}
        Some(Detail::StateChange(change)) => {
            let mut inner = object.object("state");
            inner.word("old", change.old_state().short());
            inner.word("new", change.new_state().short());
            span("time_in_old_ns", change.time_in_old_state.as_ref(), &mut inner);
            inner.end();
        }
        Some(Detail::Established(established)) => {
            let mut inner = object.object("connect");
            span("latency_ns", established.latency.as_ref(), &mut inner);
            span("handshake_rtt_ns", established.handshake_rtt.as_ref(), &mut inner);
            inner.optional("syn_retransmits", established.syn_retransmits, text::number);
            inner.end();
        }
        Some(Detail::ConnectFailed(failed)) => {
            let mut inner = object.object("failure");
            inner.word("cause", &word(failed.cause()));
            inner.errno(failed.error_number);
            span("elapsed_ns", failed.elapsed.as_ref(), &mut inner);
            inner.optional("syns_sent", failed.syns_sent, text::number);
            inner.end();
        }
        Some(Detail::Accept(accept)) => {
            let mut inner = object.object("accept");
            inner.optional("queue", accept.queue_length, text::number);
            inner.optional("limit", accept.queue_limit, text::number);
            span("queue_time_ns", accept.queue_time.as_ref(), &mut inner);
            inner.end();
        }
        Some(Detail::Close(close)) => closed(close, object),
        Some(Detail::Retransmit(retransmit)) => retransmitted(retransmit, object),
        Some(Detail::Drop(drop)) => dropped(drop, object),
        Some(Detail::Reset(reset)) => {
            let mut inner = object.object("reset");
            inner.word("direction", &word(reset.direction()));
            inner.name("reason", &reset.reason);
            inner.end();
        }
        Some(Detail::SocketError(error)) => {
            let mut inner = object.object("error");
            inner.errno(Some(error.error_number));
            inner.flag("soft", error.soft);
            inner.end();
        }
        Some(Detail::ReadLatency(read)) => {
            let mut inner = object.object("read");
            span("wait_ns", read.wait.as_ref(), &mut inner);
            inner.optional("bytes_waiting", read.bytes_waiting, text::number);
            inner.end();
        }
        Some(Detail::ListenOverflow(overflow)) => {
            let mut inner = object.object("overflow");
            inner.number("overflows", overflow.overflows);
            inner.optional("queue", overflow.queue_length, text::number);
            inner.optional("limit", overflow.queue_limit, text::number);
            inner.end();
        }
        Some(Detail::PortExhausted(exhausted)) => {
            let mut inner = object.object("ports");
            inner.optional("first", exhausted.range_first, text::number);
            inner.optional("last", exhausted.range_last, text::number);
            inner.optional("used", exhausted.used, text::number);
            inner.end();
        }
        Some(Detail::PacketPoint(point)) => {
            let mut inner = object.object("packet");
            inner.number("id", point.packet_id);
            inner.name("point", &point.point);
            span("since_previous_ns", point.since_previous.as_ref(), &mut inner);
            inner.name("interface", &point.interface);
            inner.optional("netns", point.netns, text::number);
            inner.optional("length", point.length, text::number);
            inner.optional("sequence", point.sequence, text::number);
            inner.optional("tcp_flags", point.tcp_flags, text::number);
            inner.optional("segments", point.segments, text::number);
            inner.end();
        }
    }
    if event.kind() == EventKind::Unspecified && event.detail.is_some() {
        // A field mask left the kind out, or a newer server has one that is not known here: the detail tells.
        object.flag("kind_unknown", true);
    }
}

fn closed(close: &Close, object: &mut Object<'_>) {
    let mut inner = object.object("close");
    span("duration_ns", close.duration.as_ref(), &mut inner);
    inner.word("initiator", &word(close.initiator()));
    inner.word("how", &word(close.cause()));
    inner.errno(close.error_number);
    counted(close.counters.as_ref(), &mut inner);
    inner.end();
}

/// What a connection counted.
pub fn counted(counters: Option<&Counters>, object: &mut Object<'_>) {
    let counters = counters.copied().unwrap_or_default();
    object.optional("bytes_sent", counters.bytes_sent, text::number);
    object.optional("bytes_acked", counters.bytes_acked, text::number);
    object.optional("bytes_received", counters.bytes_received, text::number);
    object.optional("segs_in", counters.segments_in, text::number);
    object.optional("segs_out", counters.segments_out, text::number);
    object.optional("data_segs_in", counters.data_segments_in, text::number);
    object.optional("data_segs_out", counters.data_segments_out, text::number);
    object.optional("retransmits", counters.retransmits, text::number);
    microseconds("srtt_us", counters.srtt.as_ref(), object);
    microseconds("min_rtt_us", counters.min_rtt.as_ref(), object);
    object.optional("cwnd", counters.congestion_window, text::number);
    object.optional("unsent", counters.unsent_bytes, text::number);
    object.optional("unread", counters.unread_bytes, text::number);
}

fn microseconds(key: &str, duration: Option<&prost_types::Duration>, object: &mut Object<'_>) {
    let us = words::duration(duration).map(|duration| text::nanoseconds(duration) / 1_000);
    object.optional(key, us, text::number);
}

fn retransmitted(retransmit: &Retransmit, object: &mut Object<'_>) {
    let mut inner = object.object("retransmit");
    inner.word("type", &word(retransmit.r#type()));
    inner.optional("segments", retransmit.segments, text::number);
    inner.optional("bytes", retransmit.bytes, text::number);
    inner.optional("sequence", retransmit.sequence, text::number);
    inner.optional("attempt", retransmit.attempt, text::number);
    inner.word("congestion_state", &word(retransmit.congestion_state()));
    inner.errno(retransmit.send_error_number);
    inner.end();
}

fn dropped(drop: &Drop, object: &mut Object<'_>) {
    let mut inner = object.object("drop");
    inner.name("reason", &drop.reason);
    inner.number("reason_number", drop.reason_number);
    inner.name("subsystem", &drop.subsystem);
    inner.word("direction", &word(drop.direction()));
    inner.optional("tcp_flags", drop.tcp_flags, text::number);
    inner.optional("length", drop.length, text::number);
    inner.name("interface", &drop.interface);
    inner.name("location", &drop.location);
    inner.optional("stack_id", drop.stack_id, text::number);
    inner.end();
}
