//! The phrases that events are told in. Each appends what is known and leaves out what is not.

use std::time::Duration;

use proto::v1::{
    Accept, Close, CloseCause, CloseInitiator, ConnectFailed, ConnectFailureCause, Direction, Drop,
    Established, Event, EventKind, Identity, Retransmit, RetransmitType, Role, SocketAddress, event::Detail,
};

use crate::{args::name::Named as _, escape, render::cell, text};

/// Appends words of ours.
pub fn say(words: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(words.as_bytes());
}

/// Appends a string of others.
pub fn quote(string: &str, out: &mut Vec<u8>) {
    escape::terminal(string.as_bytes(), usize::MAX, out);
}

/// A duration of the API.
pub fn duration(duration: Option<&prost_types::Duration>) -> Option<Duration> {
    duration.and_then(|duration| Duration::try_from(*duration).ok())
}

/// Appends a duration for people: three digits or so.
pub fn span(duration: Duration, out: &mut Vec<u8>) {
    let us = text::nanoseconds(duration) / 1_000;
    let seconds = duration.as_secs();
    match us {
        0..100 => {
            text::number(us, out);
            say(" µs", out);
        }
        // Rounded, and still below a second when rounded.
        100..999_950 => {
            text::decimal((us + 50) / 100, 1, out);
            say(" ms", out);
        }
        999_950..59_950_000 => {
            text::decimal((us + 50_000) / 100_000, 1, out);
            say(" s", out);
        }
        _ if seconds < 3600 => pair(seconds.max(60), 60, "m", "s", out),
        _ if seconds < 86_400 => pair(seconds / 60, 60, "h", "m", out),
        _ => pair(seconds / 3600, 24, "d", "h", out),
    }
}

fn pair(value: u64, base: u64, large: &str, small: &str, out: &mut Vec<u8>) {
    text::number(value / base, out);
    say(large, out);
    text::zero_padded(value % base, 2, out);
    say(small, out);
}

/// Appends a size for people.
pub fn size(bytes: u64, out: &mut Vec<u8>) {
    const UNITS: [&str; 7] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let unit = (u64::BITS - 1).saturating_sub(bytes.leading_zeros()) / 10;
    let tenths = (u128::from(bytes) * 10 + (1u128 << (10 * unit)) / 2) >> (10 * unit);
    let tenths = u64::try_from(tenths).unwrap_or(u64::MAX);
    if unit == 0 || tenths >= 1000 || tenths.is_multiple_of(10) {
        text::number((tenths + 5) / 10, out);
    } else {
        text::decimal(tenths, 1, out);
    }
    say(" ", out);
    say(UNITS[unit as usize], out);
}

/// Appends `2 segments`.
pub fn count(number: u64, one: &str, out: &mut Vec<u8>) {
    text::number(number, out);
    say(" ", out);
    say(one, out);
    if number != 1 {
        say("s", out);
    }
}

/// Appends whose a socket is: the pod with its container, or the process of a node.
pub fn who(event: &Event, out: &mut Vec<u8>) {
    let local = event.local.as_ref();
    if let Some(identity) = local.filter(|identity| has_pod(identity)) {
        pod(identity, out);
        if !identity.container.is_empty() {
            say(":", out);
            quote(&identity.container, out);
        } else if !identity.container_id.is_empty() {
            say(":", out);
            let id = identity.container_id.as_str();
            quote(id.get(..12).unwrap_or(id), out);
        }
        return;
    }
    if local.is_some_and(|identity| identity.host) {
        say("host:", out);
    }
    process(event, out);
}

/// Appends `nginx[811]`.
pub fn process(event: &Event, out: &mut Vec<u8>) {
    let Some(process) = &event.process else { return say("-", out) };
    quote(&process.comm, out);
    say("[", out);
    text::number(process.pid, out);
    say("]", out);
}

/// Whether it is a pod, known by name or only by UID.
pub fn has_pod(identity: &Identity) -> bool {
    !identity.pod.is_empty() || !identity.pod_uid.is_empty()
}

/// Appends `shop/cart-7d9f-x2p`, or the UID of a pod whose name is not known (yet).
pub fn pod(identity: &Identity, out: &mut Vec<u8>) {
    if identity.pod.is_empty() {
        say("pod/", out);
        return quote(&identity.pod_uid, out);
    }
    quote(&identity.namespace, out);
    say("/", out);
    quote(&identity.pod, out);
}

/// Appends both ends, as the socket's own side sees them.
pub fn ends(event: &Event, out: &mut Vec<u8>) {
    let socket = event.socket.as_ref();
    let remote = socket.and_then(|socket| socket.remote.as_ref()).filter(|remote| is_known(remote));
    end_point(socket.and_then(|socket| socket.local.as_ref()), out);
    if remote.is_none() {
        return;
    }
    let is_server = socket.is_some_and(|socket| socket.role() == Role::Server);
    say(if is_server { " ← " } else { " → " }, out);
    peer(event, out);
}

fn is_known(address: &SocketAddress) -> bool {
    !address.ip.is_empty() || address.port.is_some()
}

/// Appends the peer: its name where one is known, with the port.
pub fn peer(event: &Event, out: &mut Vec<u8>) {
    let remote = event.socket.as_ref().and_then(|socket| socket.remote.as_ref());
    let named = event.remote.as_ref().filter(|identity| has_pod(identity) || !identity.service.is_empty());
    let Some(identity) = named else { return end_point(remote, out) };
    if identity.pod.is_empty() && !identity.service.is_empty() {
        quote(&identity.namespace, out);
        say("/", out);
        quote(&identity.service, out);
    } else {
        pod(identity, out);
    }
    if let Some(port) = remote.and_then(|remote| remote.port) {
        say(":", out);
        text::number(port, out);
    }
}

/// Appends `10.0.0.1:80`, `[2001:db8::1]:80`, `-` where nothing is known.
pub fn end_point(address: Option<&SocketAddress>, out: &mut Vec<u8>) {
    let Some(address) = address.filter(|address| is_known(address)) else { return say("-", out) };
    let bracketed = address.ip.contains(':') && address.port.is_some();
    if bracketed {
        say("[", out);
    }
    if address.ip.is_empty() {
        say("-", out);
    }
    quote(&address.ip, out);
    if bracketed {
        say("]", out);
    }
    if let Some(port) = address.port {
        say(":", out);
        text::number(port, out);
    }
}

/// What happened, in capitals.
pub fn what(event: &Event, out: &mut Vec<u8>) {
    say(
        match event.kind() {
            EventKind::Unspecified => "?",
            EventKind::StateChange => "STATE",
            EventKind::Connect => "CONNECT",
            EventKind::Established => "CONNECTED",
            EventKind::ConnectFailed => "CONNECT FAILED",
            EventKind::Accept => "ACCEPT",
            EventKind::Close => "CLOSE",
            EventKind::Retransmit => "RETRANSMIT",
            EventKind::Drop => "DROP",
            EventKind::Reset => "RESET",
            EventKind::SocketError => "SOCKET ERROR",
            EventKind::ReadLatency => "READ",
            EventKind::ListenOverflow => "QUEUE OVERFLOW",
            EventKind::PortExhausted => "NO PORT LEFT",
            EventKind::PacketPoint => "PACKET",
            EventKind::Listen => "LISTEN",
            EventKind::Closing => "CLOSING",
        },
        out,
    );
    if let Some(Detail::Retransmit(retransmit)) = &event.detail
        && retransmit.r#type() != RetransmitType::Unspecified
    {
        say(" ", out);
        say(&retransmit.r#type().short().replace('_', " "), out);
    }
}

/// How much trouble an event is: decides its colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// None.
    None,
    /// TCP copes with it.
    Some,
    /// Somebody's request fails.
    Failure,
}

/// How much trouble it is.
pub fn trouble(event: &Event) -> Trouble {
    match event.kind() {
        EventKind::Retransmit | EventKind::Drop => Trouble::Some,
        EventKind::ConnectFailed
        | EventKind::Reset
        | EventKind::SocketError
        | EventKind::ListenOverflow
        | EventKind::PortExhausted => Trouble::Failure,
        _ => Trouble::None,
    }
}

/// Parts of a sentence, with what separates them.
struct Parts<'a> {
    out: &'a mut Vec<u8>,
    begun: bool,
}

impl Parts<'_> {
    fn next(&mut self, separator: &str) -> &mut Vec<u8> {
        if self.begun {
            say(separator, self.out);
        }
        self.begun = true;
        self.out
    }

    fn part(&mut self) -> &mut Vec<u8> {
        self.next(", ")
    }

    fn words(&mut self, words: &str) {
        say(words, self.part());
    }

    fn span(&mut self, before: &str, duration: Option<Duration>) {
        if let Some(duration) = duration {
            let out = self.part();
            say(before, out);
            span(duration, out);
        }
    }

    fn name(&mut self, before: &str, name: &str) {
        if !name.is_empty() {
            let out = self.part();
            say(before, out);
            quote(name, out);
        }
    }
}

/// Appends the figures and causes of an event.
pub fn facts(event: &Event, out: &mut Vec<u8>) {
    let mut parts = Parts { out, begun: false };
    match &event.detail {
        None | Some(Detail::Connect(_) | Detail::Listen(_) | Detail::Closing(_)) => {}
        Some(Detail::StateChange(change)) => {
            let out = parts.part();
            say(change.old_state().short(), out);
            say(" → ", out);
            say(change.new_state().short(), out);
            if let Some(lasted) = duration(change.time_in_old_state.as_ref()) {
                say(" after ", out);
                span(lasted, out);
            }
        }
        Some(Detail::Established(established)) => connected(established, &mut parts),
        Some(Detail::ConnectFailed(failed)) => failure(failed, &mut parts),
        Some(Detail::Accept(accept)) => accepted(accept, &mut parts),
        Some(Detail::Close(close)) => closed(close, &mut parts),
        Some(Detail::Retransmit(retransmit)) => retransmitted(retransmit, &mut parts),
        Some(Detail::Drop(drop)) => dropped(drop, &mut parts),
        Some(Detail::Reset(reset)) => {
            direction(reset.direction(), "sent", "received", &mut parts);
            parts.name("", &reset.reason);
        }
        Some(Detail::SocketError(error)) => {
            cell::errno_name(error.error_number, parts.part());
            if error.soft {
                parts.words("soft: the connection goes on");
            }
        }
        Some(Detail::ReadLatency(read)) => {
            parts.span("waited ", duration(read.wait.as_ref()));
            if let Some(bytes) = read.bytes_waiting {
                size(bytes, parts.part());
            }
        }
        Some(Detail::ListenOverflow(overflow)) => {
            count(overflow.overflows, "connection", parts.part());
            say(" turned away", parts.out);
            queue(overflow.queue_length, overflow.queue_limit, &mut parts);
        }
        Some(Detail::PortExhausted(exhausted)) => {
            if let (Some(first), Some(last)) = (exhausted.range_first, exhausted.range_last) {
                let out = parts.part();
                say("range ", out);
                text::number(first, out);
                say("-", out);
                text::number(last, out);
            }
            if let Some(used) = exhausted.used {
                let out = parts.part();
                text::number(used, out);
                say(" in use", out);
            }
        }
        Some(Detail::PacketPoint(point)) => {
            parts.name("", &point.point);
            parts.name("", &point.interface);
            parts.span("+", duration(point.since_previous.as_ref()));
        }
    }
    marks(event, &mut parts);
}

fn connected(established: &Established, parts: &mut Parts<'_>) {
    parts.span("in ", duration(established.latency.as_ref()));
    parts.span("rtt ", duration(established.handshake_rtt.as_ref()));
    if let Some(again @ 1..) = established.syn_retransmits {
        count(again.into(), "SYN", parts.part());
        say(" sent again", parts.out);
    }
}

fn failure(failed: &ConnectFailed, parts: &mut Parts<'_>) {
    let out = parts.part();
    say(cause(failed.cause()), out);
    if matches!(failed.cause(), ConnectFailureCause::Other | ConnectFailureCause::Unspecified)
        && let Some(number) = failed.error_number
    {
        say(" ", out);
        cell::errno_name(number, out);
    }
    if let Some(elapsed) = duration(failed.elapsed.as_ref()) {
        say(" after ", out);
        span(elapsed, out);
    }
    if let Some(syns) = failed.syns_sent {
        count(syns.into(), "SYN", parts.part());
    }
}

/// Why a connect failed.
pub const fn cause(cause: ConnectFailureCause) -> &'static str {
    match cause {
        ConnectFailureCause::Unspecified => "cause not known",
        ConnectFailureCause::Refused => "refused",
        ConnectFailureCause::TimedOut => "timed out",
        ConnectFailureCause::HostUnreachable => "host unreachable",
        ConnectFailureCause::NetUnreachable => "net unreachable",
        ConnectFailureCause::Reset => "reset",
        ConnectFailureCause::NoLocalPort => "no local port left",
        ConnectFailureCause::Denied => "denied",
        ConnectFailureCause::Abandoned => "abandoned",
        ConnectFailureCause::Other => "failed",
    }
}

fn accepted(accept: &Accept, parts: &mut Parts<'_>) {
    parts.span("waited ", duration(accept.queue_time.as_ref()));
    queue(accept.queue_length, accept.queue_limit, parts);
}

fn queue(length: Option<u32>, limit: Option<u32>, parts: &mut Parts<'_>) {
    if let Some(length) = length {
        let out = parts.part();
        say("queue ", out);
        text::number(length, out);
        if let Some(limit) = limit {
            say(" of ", out);
            text::number(limit, out);
        }
    }
}

fn closed(close: &Close, parts: &mut Parts<'_>) {
    if let Some(lasted) = duration(close.duration.as_ref()) {
        span(lasted, parts.part());
    }
    let counters = close.counters.as_ref();
    let sent = counters.and_then(|counters| counters.bytes_sent);
    let received = counters.and_then(|counters| counters.bytes_received);
    if sent.is_some() || received.is_some() {
        let out = parts.next("  ");
        for (word, bytes) in [("tx ", sent), (" rx ", received)] {
            if let Some(bytes) = bytes {
                say(word, out);
                size(bytes, out);
            }
        }
    }
    let begun = match close.initiator() {
        CloseInitiator::Unspecified => None,
        CloseInitiator::Local => Some("by us"),
        CloseInitiator::Remote => Some("by the peer"),
        CloseInitiator::Both => Some("by both"),
        CloseInitiator::Kernel => Some("by the kernel"),
    };
    if let Some(begun) = begun {
        say(begun, parts.next("  "));
    }
    match close.cause() {
        CloseCause::Unspecified | CloseCause::Fin => {}
        CloseCause::RstSent => parts.words("RST sent"),
        CloseCause::RstReceived => parts.words("RST received"),
        CloseCause::Timeout => parts.words("timed out"),
        CloseCause::Abort => parts.words("aborted"),
        CloseCause::Error => parts.words("error"),
    }
    if let Some(number) = close.error_number {
        cell::errno_name(number, parts.part());
    }
    let Some(counters) = counters else { return };
    parts.span("rtt ", duration(counters.srtt.as_ref()));
    if let Some(again @ 1..) = counters.retransmits {
        count(again, "segment", parts.part());
        say(" sent again", parts.out);
    }
    for (bytes, words) in [(counters.unsent_bytes, " unsent"), (counters.unread_bytes, " unread")] {
        if let Some(bytes @ 1..) = bytes {
            size(bytes, parts.part());
            say(words, parts.out);
        }
    }
}

fn retransmitted(retransmit: &Retransmit, parts: &mut Parts<'_>) {
    if let Some(segments) = retransmit.segments {
        count(segments.into(), "segment", parts.part());
    }
    if let Some(bytes @ 1..) = retransmit.bytes {
        size(bytes, parts.part());
    }
    if let Some(attempt) = retransmit.attempt {
        say("attempt ", parts.part());
        text::number(attempt, parts.out);
    }
    if let Some(number) = retransmit.send_error_number {
        say("not sent: ", parts.part());
        cell::errno_name(number, parts.out);
    }
}

fn dropped(drop: &Drop, parts: &mut Parts<'_>) {
    if drop.reason.is_empty() {
        say("reason ", parts.part());
        text::number(drop.reason_number, parts.out);
    } else {
        parts.name("", &drop.reason);
    }
    direction(drop.direction(), "on its way out", "received", parts);
    if let Some(bytes) = drop.length {
        size(bytes.into(), parts.part());
    }
    if let Some(flags) = drop.tcp_flags {
        tcp_flags(flags, parts);
    }
    parts.name("", &drop.interface);
    parts.name("at ", &drop.location);
}

fn direction(direction: Direction, sent: &str, received: &str, parts: &mut Parts<'_>) {
    match direction {
        Direction::Unspecified => {}
        Direction::Transmit => parts.words(sent),
        Direction::Receive => parts.words(received),
        Direction::Forward => parts.words("passing through"),
    }
}

/// Appends `SYN ACK`.
fn tcp_flags(flags: u32, parts: &mut Parts<'_>) {
    const NAMES: [&str; 8] = ["FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR"];
    let set = NAMES.iter().enumerate().filter(|(bit, _)| flags >> bit & 1 == 1);
    let words: Vec<&str> = set.map(|(_, name)| *name).collect();
    if !words.is_empty() {
        parts.words(&words.join(" "));
    }
}

/// What is to be known about the event itself.
fn marks(event: &Event, parts: &mut Parts<'_>) {
    if event.synthetic {
        parts.words("older than the agent");
    }
    if event.gap {
        parts.words("something before it was missed");
    }
    if event.repaired {
        parts.words("made up later");
    }
}
