//! The API's event as the kernel side's own, as far as the columns of bcc's tools want it.

use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use agent_common::event::{
    Close, CloseHow, Comm, CongestionState, Counters, Event, EventKind, Failure, FailureCause, Family,
    Initiator, Payload, Process, Relation, Reset, Retransmit, RetransmitType, Role, SocketError, StateChange,
    TcpState,
};
use proto::v1::{self, event::Detail};

use crate::show::{nanoseconds, words::duration};

/// The event; nothing for kinds that no tool has rows of.
pub fn convert(event: &v1::Event) -> Option<Event> {
    let kind = kind(event.kind())?;
    let socket = event.socket.clone().unwrap_or_default();
    let local = socket.local.unwrap_or_default();
    let remote = socket.remote.clone().unwrap_or_default();
    let local_ip: Option<IpAddr> = local.ip.parse().ok();
    let remote_ip: Option<IpAddr> = remote.ip.parse().ok();
    let port = |port: Option<u32>| port.and_then(|port| u16::try_from(port).ok());
    let is_v6 = [local_ip, remote_ip].into_iter().flatten().any(|ip| ip.is_ipv6());
    // Times since boot are not known here; the views only compare them with each other.
    let wall_ns = nanoseconds(event.time.as_ref());
    let mut converted = Event {
        kinds: [kind].into_iter().collect(),
        boot_ns: wall_ns,
        wall_ns,
        cpu: event.cpu,
        cookie: socket.cookie,
        netns: socket.netns,
        cgroup_id: socket.cgroup_id,
        family: if is_v6 { Family::V6 } else { Family::V4 },
        socket_v6: socket.ipv6_socket,
        local: local_ip,
        local_port: port(local.port),
        remote: remote_ip.zip(port(remote.port)).map(|(ip, port)| SocketAddr::new(ip, port)),
        role: match v1::Role::try_from(socket.role) {
            Ok(v1::Role::Client) => Role::Client,
            Ok(v1::Role::Server) => Role::Server,
            _ => Role::Unknown,
        },
        process: event.process.as_ref().map(process),
        owner: event.owner.as_ref().map(process),
        user: event.user.as_ref().map(process),
        start_ns: socket.start_time.map(|time| nanoseconds(Some(&time))),
        start_unknown: event.start_unknown,
        gap: event.gap,
        repaired: event.repaired,
        synthetic: event.synthetic,
        ..Event::BLANK
    };
    detail(event, &mut converted);
    Some(converted)
}

/// Takes over what the other event of the same socket and moment knows more.
pub fn join(event: &mut Event, more: &Event) {
    event.kinds.0 |= more.kinds.0;
    event.state = event.state.or(more.state);
    event.process = event.process.or(more.process);
    event.owner = event.owner.or(more.owner);
    event.user = event.user.or(more.user);
    event.connect_latency = event.connect_latency.or(more.connect_latency);
    event.handshake_rtt = event.handshake_rtt.or(more.handshake_rtt);
    event.syn_retransmits = event.syn_retransmits.or(more.syn_retransmits);
    event.backlog = event.backlog.or(more.backlog);
    event.queue_time = event.queue_time.or(more.queue_time);
    event.failure = event.failure.or(more.failure);
    event.close = event.close.or(more.close);
    event.counters = event.counters.or(more.counters);
    event.payload = event.payload.or(more.payload);
    event.local_port = event.local_port.or(more.local_port);
}

fn kind(kind: v1::EventKind) -> Option<EventKind> {
    EventKind::ALL.into_iter().find(|known| crate::show::kind_of(*known) == kind)
}

fn process(process: &v1::Process) -> Process {
    let mut comm = [0; 16];
    // A thread's name has 15 bytes; U+FFFD for a broken one can make it longer.
    let mut end = process.comm.len().min(15);
    while !process.comm.is_char_boundary(end) {
        end -= 1;
    }
    comm[..end].copy_from_slice(&process.comm.as_bytes()[..end]);
    Process {
        pid: process.pid,
        tid: process.tid,
        uid: process.uid,
        comm: Comm(comm),
        mntns: process.mount_namespace,
        start_ns: process.start_time.map(|time| nanoseconds(Some(&time))),
        relation: match process.relation() {
            v1::ProcessRelation::Unspecified => Relation::Unknown,
            v1::ProcessRelation::Owner => Relation::Owner,
            v1::ProcessRelation::Acceptor => Relation::Acceptor,
            v1::ProcessRelation::User => Relation::User,
            v1::ProcessRelation::Listener => Relation::Listener,
        },
    }
}

fn detail(event: &v1::Event, converted: &mut Event) {
    match &event.detail {
        Some(Detail::StateChange(change)) => {
            let state = |number: i32| u8::try_from(number).ok().and_then(TcpState::from_number);
            let states = state(change.old_state).zip(state(change.new_state));
            converted.state = states.map(|(old, new)| StateChange {
                old,
                new,
                in_old: duration(change.time_in_old_state.as_ref()),
            });
        }
        Some(Detail::Established(established)) => {
            converted.connect_latency = duration(established.latency.as_ref());
            converted.handshake_rtt = duration(established.handshake_rtt.as_ref());
            converted.syn_retransmits = established.syn_retransmits;
        }
        Some(Detail::ConnectFailed(failed)) => {
            converted.failure = Some(Failure {
                cause: cause(failed.cause()),
                errno: failed.error_number,
                elapsed: duration(failed.elapsed.as_ref()),
                syns_sent: failed.syns_sent,
            });
        }
        Some(Detail::Accept(accept)) => {
            converted.backlog = accept.queue_length.zip(accept.queue_limit);
            converted.queue_time = duration(accept.queue_time.as_ref());
        }
        Some(Detail::Retransmit(again)) => {
            converted.retransmit = Some(retransmit(again));
            converted.state = state_now(event);
        }
        Some(Detail::Reset(reset)) => {
            let sent = reset.direction() == v1::Direction::Transmit;
            converted.reset = Some(Reset { sent, reason: reason(&reset.reason) });
            converted.state = state_now(event);
        }
        Some(Detail::SocketError(error)) => {
            let errno = (error.error_number != 0).then_some(error.error_number);
            converted.error = Some(SocketError { errno, soft: error.soft });
            converted.state = state_now(event);
        }
        Some(Detail::Close(close)) => {
            converted.close = Some(Close {
                duration: duration(close.duration.as_ref()),
                initiator: initiator(close.initiator()),
                how: how(close.cause()),
                errno: close.error_number,
            });
            converted.counters = close.counters.as_ref().map(counters);
            converted.payload = close.counters.as_ref().and_then(|counters| {
                Some(Payload {
                    sent: counters.bytes_sent?,
                    acked: counters.bytes_acked?,
                    received: counters.bytes_received?,
                })
            });
        }
        _ => {}
    }
}

/// The table shows acknowledged and received bytes of these; here they are payload, as exact as the API has them.
fn counters(counters: &v1::Counters) -> Counters {
    let small = |number: Option<u64>| number.map_or(0, |number| u32::try_from(number).unwrap_or(u32::MAX));
    let us = |time: Option<&prost_types::Duration>, unknown: u32| {
        duration(time).map_or(unknown, |time: Duration| u32::try_from(time.as_micros()).unwrap_or(u32::MAX))
    };
    Counters {
        bytes_acked: counters.bytes_acked.unwrap_or(0),
        bytes_received: counters.bytes_received.unwrap_or(0),
        bytes_sent: counters.bytes_sent.unwrap_or(0),
        bytes_retrans: counters.bytes_retransmitted.unwrap_or(0),
        segs_in: small(counters.segments_in),
        segs_out: small(counters.segments_out),
        data_segs_in: small(counters.data_segments_in),
        data_segs_out: small(counters.data_segments_out),
        total_retrans: small(counters.retransmits),
        srtt_us: us(counters.srtt.as_ref(), 0),
        mdev_us: us(counters.rtt_variation.as_ref(), 0),
        min_rtt_us: us(counters.min_rtt.as_ref(), u32::MAX),
        snd_cwnd: counters.congestion_window.unwrap_or(0),
        unsent: small(counters.unsent_bytes),
        unacked: 0,
        unread: small(counters.unread_bytes),
    }
}

/// The state that the socket is in, at both ends.
fn state_now(event: &v1::Event) -> Option<StateChange> {
    let number = event.socket.as_ref().and_then(|socket| u8::try_from(socket.state).ok())?;
    let state = TcpState::from_number(number)?;
    Some(StateChange { old: state, new: state, in_old: None })
}

/// A reason by its name in some node's kernel. Events own no memory: each name is kept once, and of a server that makes
/// up ever new ones only the first.
fn reason(name: &str) -> Option<&'static str> {
    const MOST: usize = 256;
    static NAMES: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());
    let mut names = NAMES.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = names.get(name) {
        return Some(known);
    }
    let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if !is_name || name.len() > 64 || names.len() >= MOST {
        return None;
    }
    let kept: &'static str = name.to_owned().leak();
    names.insert(kept);
    Some(kept)
}

fn retransmit(again: &v1::Retransmit) -> Retransmit {
    let small = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
    Retransmit {
        kind: match again.r#type() {
            v1::RetransmitType::Syn => RetransmitType::Syn,
            v1::RetransmitType::SynAck => RetransmitType::SynAck,
            v1::RetransmitType::Fast => RetransmitType::Fast,
            v1::RetransmitType::Rto => RetransmitType::Rto,
            v1::RetransmitType::LossRecovery => RetransmitType::LossRecovery,
            v1::RetransmitType::Tlp => RetransmitType::Tlp,
            v1::RetransmitType::Unspecified | v1::RetransmitType::Other => RetransmitType::Other,
        },
        // A server says how many; one that does not means that there was one.
        segments: again.segments.unwrap_or(1),
        bytes: small(again.bytes.unwrap_or(0)),
        sequence: again.sequence,
        attempt: again.attempt,
        congestion: match again.congestion_state() {
            v1::CongestionState::Unspecified => None,
            v1::CongestionState::Open => Some(CongestionState::Open),
            v1::CongestionState::Disorder => Some(CongestionState::Disorder),
            v1::CongestionState::Cwr => Some(CongestionState::Cwr),
            v1::CongestionState::Recovery => Some(CongestionState::Recovery),
            v1::CongestionState::Loss => Some(CongestionState::Loss),
        },
        error: again.send_error_number,
    }
}

const fn cause(cause: v1::ConnectFailureCause) -> FailureCause {
    use v1::ConnectFailureCause as Cause;
    match cause {
        Cause::Unspecified => FailureCause::Unknown,
        Cause::Refused => FailureCause::Refused,
        Cause::TimedOut => FailureCause::TimedOut,
        Cause::HostUnreachable => FailureCause::HostUnreachable,
        Cause::NetUnreachable => FailureCause::NetUnreachable,
        Cause::Reset => FailureCause::Reset,
        Cause::NoLocalPort => FailureCause::NoLocalPort,
        Cause::Denied => FailureCause::Denied,
        Cause::Abandoned => FailureCause::Abandoned,
        Cause::Other => FailureCause::Other,
    }
}

const fn initiator(initiator: v1::CloseInitiator) -> Initiator {
    match initiator {
        v1::CloseInitiator::Unspecified => Initiator::Unknown,
        v1::CloseInitiator::Local => Initiator::Local,
        v1::CloseInitiator::Remote => Initiator::Remote,
        v1::CloseInitiator::Both => Initiator::Both,
        v1::CloseInitiator::Kernel => Initiator::Kernel,
    }
}

const fn how(cause: v1::CloseCause) -> CloseHow {
    match cause {
        v1::CloseCause::Unspecified => CloseHow::Unknown,
        v1::CloseCause::Fin => CloseHow::Fin,
        v1::CloseCause::RstSent => CloseHow::RstSent,
        v1::CloseCause::RstReceived => CloseHow::RstReceived,
        v1::CloseCause::Timeout => CloseHow::Timeout,
        v1::CloseCause::Abort => CloseHow::Abort,
        v1::CloseCause::Error => CloseHow::Error,
    }
}
