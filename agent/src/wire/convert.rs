//! An event as the API's messages: plain and allocating. This is what the encodings must say; it is also for whoever
//! needs one message and no stream (`ListSockets`).

use std::{net::IpAddr, time::Duration};

use proto::v1::{self, event::Detail};

use super::{Origin, numbers};
use crate::{
    event::{Event, EventKind, Process},
    identity::Identity,
};

/// An event's messages, one for each of its kinds, in the order in which they happen: the change of state, what it
/// means, and the close last.
pub fn convert(event: &Event, local: Option<&Identity>, origin: &Origin) -> Vec<v1::Event> {
    let common = v1::Event {
        time: Some(timestamp(wall_ns(event, event.boot_ns))),
        node_name: origin.node_name.to_string(),
        cpu: event.cpu,
        synthetic: event.synthetic,
        gap: event.gap,
        repaired: event.repaired,
        start_unknown: event.start_unknown,
        socket: Some(socket(event)),
        process: event.process.map(|shown| process(&shown, event)),
        owner: beside_process(event, event.owner).map(|owner| process(&owner, event)),
        user: beside_process(event, event.user).map(|user| process(&user, event)),
        // Of which nothing at all is known: as if there were none.
        local: local.map(|local| identity(local, origin)).filter(|local| *local != v1::Identity::default()),
        ..v1::Event::default()
    };
    let message = |kind| v1::Event {
        kind: numbers::kind(kind).into(),
        detail: Some(detail(event, kind)),
        ..common.clone()
    };
    event.kinds.iter().map(message).collect()
}

/// The socket of an event.
pub fn socket(event: &Event) -> v1::Socket {
    let ip = |ip: Option<IpAddr>| ip.map(|ip| ip.to_string()).unwrap_or_default();
    let has_local = event.local.is_some() || event.local_port.is_some();
    v1::Socket {
        cookie: event.cookie,
        family: numbers::family(event.family).into(),
        ipv6_socket: event.socket_v6,
        local: has_local
            .then(|| v1::SocketAddress { ip: ip(event.local), port: event.local_port.map(u32::from) }),
        remote: event
            .remote
            .map(|peer| v1::SocketAddress { ip: peer.ip().to_string(), port: Some(peer.port().into()) }),
        role: numbers::role(event.role).into(),
        state: event.state.map_or(v1::TcpState::Unspecified, |state| numbers::state(state.new)).into(),
        netns: event.netns,
        cgroup_id: event.cgroup_id,
        start_time: event.start_ns.map(|start| timestamp(wall_ns(event, start))),
    }
}

/// A process of an event.
pub fn process(process: &Process, event: &Event) -> v1::Process {
    v1::Process {
        pid: process.pid,
        tid: process.tid,
        uid: process.uid,
        comm: String::from_utf8_lossy(process.comm.bytes()).into_owned(),
        start_time: process.start_ns.map(|start| timestamp(wall_ns(event, start))),
        mount_namespace: process.mntns,
        relation: numbers::relation(process.relation).into(),
    }
}

/// Whose a socket is.
pub fn identity(identity: &Identity, origin: &Origin) -> v1::Identity {
    let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
    let pod = identity.pod.as_deref();
    let container = identity.container.as_ref();
    let name = container.and_then(|container| container.name.as_ref());
    let kind = name.map_or(v1::ContainerKind::Unspecified, |(_, kind)| numbers::container_kind(*kind));
    v1::Identity {
        cluster: origin.cluster.to_string(),
        namespace: text(pod.map(|pod| &*pod.namespace)),
        pod: text(pod.map(|pod| &*pod.name)),
        pod_uid: text(pod_uid(identity)),
        container: text(name.map(|(name, _)| &**name)),
        container_id: text(container.map(|container| &*container.id)),
        container_kind: kind.into(),
        workload: pod.and_then(|pod| pod.workload.as_ref()).map(|workload| v1::Workload {
            kind: workload.kind.to_string(),
            name: workload.name.to_string(),
            derived: workload.derived,
        }),
        service: String::new(),
        node_name: origin.node_name.to_string(),
        host: identity.host,
        source: numbers::source(identity.source).into(),
        metadata_pending: identity.pending,
        labels: pod
            .iter()
            .flat_map(|pod| pod.labels.iter())
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect(),
    }
}

/// The pod's UID, by whoever told it.
pub(super) fn pod_uid(identity: &Identity) -> Option<&str> {
    identity.pod_uid.as_deref().or_else(|| identity.pod.as_deref().map(|pod| &*pod.uid))
}

/// A process that the event names besides the one it is shown with, if it is another: the same thread in another
/// relation is not.
pub(super) fn beside_process(event: &Event, other: Option<Process>) -> Option<Process> {
    other.filter(|other| {
        event.process.is_none_or(|shown| Process { relation: shown.relation, ..*other } != shown)
    })
}

/// The wall clock at a moment of CLOCK_BOOTTIME, by the event's own two clocks.
pub(super) fn wall_ns(event: &Event, boot_ns: u64) -> i64 {
    let ns = i128::from(boot_ns) + i128::from(event.wall_ns) - i128::from(event.boot_ns);
    // Beyond the year 2262 the clock stands still.
    i64::try_from(ns).unwrap_or(if ns < 0 { i64::MIN } else { i64::MAX })
}

/// Nanoseconds since the Unix epoch.
pub fn timestamp(ns: i64) -> prost_types::Timestamp {
    let (seconds, nanos) = (ns.div_euclid(1_000_000_000), ns.rem_euclid(1_000_000_000));
    prost_types::Timestamp { seconds, nanos: i32::try_from(nanos).unwrap_or_default() }
}

/// A duration.
pub fn duration(duration: Duration) -> prost_types::Duration {
    prost_types::Duration {
        seconds: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(duration.subsec_nanos()).unwrap_or_default(),
    }
}

fn detail(event: &Event, kind: EventKind) -> Detail {
    match kind {
        EventKind::StateChange => {
            Detail::StateChange(event.state.map_or_else(v1::StateChange::default, |state| v1::StateChange {
                old_state: numbers::state(state.old).into(),
                new_state: numbers::state(state.new).into(),
                time_in_old_state: state.in_old.map(duration),
            }))
        }
        EventKind::Connect => Detail::Connect(v1::Connect {}),
        EventKind::Established => Detail::Established(v1::Established {
            latency: event.connect_latency.map(duration),
            handshake_rtt: event.handshake_rtt.map(duration),
            syn_retransmits: event.syn_retransmits,
        }),
        EventKind::ConnectFailed => {
            Detail::ConnectFailed(event.failure.map_or_else(v1::ConnectFailed::default, |failure| {
                v1::ConnectFailed {
                    cause: numbers::failure_cause(failure.cause).into(),
                    error_number: failure.errno,
                    elapsed: failure.elapsed.map(duration),
                    syns_sent: failure.syns_sent,
                }
            }))
        }
        EventKind::Accept => Detail::Accept(v1::Accept {
            queue_time: event.queue_time.map(duration),
            queue_length: event.backlog.map(|(length, _)| length),
            queue_limit: event.backlog.map(|(_, limit)| limit),
        }),
        EventKind::Closing => Detail::Closing(v1::Closing {}),
        EventKind::Close => Detail::Close(close(event)),
        EventKind::Listen => Detail::Listen(v1::Listen {}),
        EventKind::Reset => Detail::Reset(event.reset.map_or_else(v1::Reset::default, |reset| v1::Reset {
            direction: numbers::direction(reset.sent).into(),
            reason: reset.reason.unwrap_or_default().to_owned(),
        })),
        EventKind::SocketError => {
            Detail::SocketError(event.error.map_or_else(v1::SocketError::default, |error| v1::SocketError {
                error_number: error.errno.unwrap_or_default(),
                soft: error.soft,
            }))
        }
        EventKind::Retransmit => {
            Detail::Retransmit(event.retransmit.map_or_else(v1::Retransmit::default, |again| {
                v1::Retransmit {
                    r#type: numbers::retransmit_type(again.kind).into(),
                    segments: Some(again.segments),
                    bytes: Some(again.bytes.into()),
                    sequence: again.sequence,
                    attempt: again.attempt,
                    congestion_state: numbers::congestion(again.congestion).into(),
                    send_error_number: again.error,
                }
            }))
        }
    }
}

/// What an event's connection counted.
pub fn counters(event: &Event) -> Option<v1::Counters> {
    let counters = Counted::of(event);
    counters.is_any().then(|| counters.message())
}

fn close(event: &Event) -> v1::Close {
    let how = event.close.as_ref();
    v1::Close {
        duration: how.and_then(|close| close.duration).map(duration),
        initiator: how
            .map_or(v1::CloseInitiator::Unspecified, |close| numbers::initiator(close.initiator))
            .into(),
        cause: how.map_or(v1::CloseCause::Unspecified, |close| numbers::close_cause(close.how)).into(),
        error_number: how.and_then(|close| close.errno),
        counters: counters(event),
    }
}

/// What a connection counted, by the field numbers of `Counters`, from 1; times in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counted(pub(super) [Option<u64>; 15]);

/// The field numbers of `Counters` that are times.
pub(super) const TIMES: std::ops::RangeInclusive<u32> = 10..=12;

impl Counted {
    pub(super) fn of(event: &Event) -> Self {
        let payload = event.payload.as_ref();
        let counters = event.counters.as_ref();
        // The kernel has 0 for a time that was never measured, and for the smallest the largest number.
        let measured = counters.filter(|counters| counters.srtt_us != 0);
        // What the kernel counts as received and the payload does not is the FIN, which nobody reads.
        let fin = match (counters, payload) {
            (Some(counters), Some(payload)) => {
                counters.bytes_received.saturating_sub(payload.received).min(1)
            }
            _ => 0,
        };
        Self([
            payload.map(|payload| payload.sent),
            payload.map(|payload| payload.acked),
            payload.map(|payload| payload.received),
            counters.map(|counters| counters.bytes_retrans),
            counters.map(|counters| counters.segs_in.into()),
            counters.map(|counters| counters.segs_out.into()),
            counters.map(|counters| counters.data_segs_in.into()),
            counters.map(|counters| counters.data_segs_out.into()),
            counters.map(|counters| counters.total_retrans.into()),
            measured.map(|counters| counters.srtt_us.into()),
            measured.map(|counters| counters.mdev_us.into()),
            counters.filter(|counters| counters.min_rtt_us != u32::MAX).map(|c| c.min_rtt_us.into()),
            counters.map(|counters| counters.snd_cwnd.into()),
            counters.map(|counters| counters.unsent.into()),
            counters.map(|counters| u64::from(counters.unread).saturating_sub(fin)),
        ])
    }

    fn is_any(self) -> bool {
        self.0.iter().any(Option::is_some)
    }

    fn message(self) -> v1::Counters {
        let [sent, acked, received, again, segments_in, segments_out, data_in, data_out, rest @ ..] = self.0;
        let [retransmits, srtt, variation, min_rtt, window, unsent, unread] = rest;
        let time = |us: Option<u64>| us.map(|us| duration(Duration::from_micros(us)));
        v1::Counters {
            bytes_sent: sent,
            bytes_acked: acked,
            bytes_received: received,
            bytes_retransmitted: again,
            segments_in,
            segments_out,
            data_segments_in: data_in,
            data_segments_out: data_out,
            retransmits,
            srtt: time(srtt),
            rtt_variation: time(variation),
            min_rtt: time(min_rtt),
            congestion_window: window.and_then(|window| u32::try_from(window).ok()),
            unsent_bytes: unsent,
            unread_bytes: unread,
        }
    }
}
