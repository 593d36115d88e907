//! Events of the API for tests.

use prost_types::{Duration, Timestamp};
use proto::v1::{
    AddressFamily, Close, CloseCause, CloseInitiator, ConnectFailed, ConnectFailureCause, Counters, Event,
    EventBatch, EventKind, Identity, IdentitySource, ObserveResponse, Process, ProcessRelation, Retransmit,
    RetransmitType, Role, Socket, SocketAddress, TcpState, Workload, event::Detail,
    observe_response::Payload,
};

/// 2026-03-01T13:03:09.123456789Z.
pub const TIME: Timestamp = Timestamp { seconds: 1_772_370_189, nanos: 123_456_789 };

/// So much later.
pub fn at(ms: i64) -> Timestamp {
    let nanos = i64::from(TIME.nanos) + ms * 1_000_000;
    let nanos_of_second = i32::try_from(nanos.rem_euclid(1_000_000_000)).unwrap();
    Timestamp { seconds: TIME.seconds + nanos.div_euclid(1_000_000_000), nanos: nanos_of_second }
}

/// So many microseconds.
pub fn us(us: i32) -> Option<Duration> {
    Some(Duration { seconds: i64::from(us / 1_000_000), nanos: us % 1_000_000 * 1000 })
}

/// An address.
pub fn address(ip: &str, port: u32) -> Option<SocketAddress> {
    Some(SocketAddress { ip: ip.to_owned(), port: Some(port) })
}

/// shop/cart-7d9f-x2p:app from 10.0.3.7:41822 to 10.0.9.2:443, by curl.
pub fn event(kind: EventKind, detail: Detail) -> Event {
    Event {
        time: Some(TIME),
        node_name: "a".to_owned(),
        cpu: 1,
        kind: kind.into(),
        socket: Some(Socket {
            cookie: Some(4099),
            family: AddressFamily::Ipv4.into(),
            local: address("10.0.3.7", 41_822),
            remote: address("10.0.9.2", 443),
            role: Role::Client.into(),
            state: TcpState::Established.into(),
            netns: Some(4_026_531_840),
            cgroup_id: Some(7312),
            ..Socket::default()
        }),
        process: Some(Process {
            pid: 1234,
            tid: 1234,
            uid: 1000,
            comm: "curl".to_owned(),
            start_time: None,
            mount_namespace: Some(4_026_531_841),
            relation: ProcessRelation::Owner.into(),
        }),
        local: Some(Identity {
            namespace: "shop".to_owned(),
            pod: "cart-7d9f-x2p".to_owned(),
            pod_uid: "0d1b".to_owned(),
            container: "app".to_owned(),
            container_id: "c0ffee".to_owned(),
            workload: Some(Workload {
                kind: "Deployment".to_owned(),
                name: "cart".to_owned(),
                derived: true,
            }),
            source: IdentitySource::SocketCgroup.into(),
            ..Identity::default()
        }),
        detail: Some(detail),
        ..Event::default()
    }
}

/// No answer to three SYNs in 3.1 s, from a port that was never chosen.
pub fn timed_out() -> Event {
    let failed = ConnectFailed {
        cause: ConnectFailureCause::TimedOut.into(),
        error_number: Some(110),
        elapsed: us(3_100_000),
        syns_sent: Some(3),
    };
    let mut event = event(EventKind::ConnectFailed, Detail::ConnectFailed(failed));
    let socket = event.socket.as_mut().unwrap();
    socket.local.as_mut().unwrap().port = None;
    socket.remote = address("10.0.9.9", 5432);
    event.remote =
        Some(Identity { namespace: "shop".to_owned(), pod: "db-0".to_owned(), ..Identity::default() });
    event
}

/// Two segments again, by the timer.
pub fn retransmit() -> Event {
    let retransmit = Retransmit {
        r#type: RetransmitType::Rto.into(),
        segments: Some(2),
        bytes: Some(2896),
        attempt: Some(2),
        ..Retransmit::default()
    };
    event(EventKind::Retransmit, Detail::Retransmit(retransmit))
}

/// The end after 41.2 s, begun by this side.
pub fn close() -> Event {
    let counters = Counters {
        bytes_sent: Some(12_390),
        bytes_acked: Some(12_390),
        bytes_received: Some(90_112),
        segments_in: Some(70),
        segments_out: Some(40),
        retransmits: Some(0),
        srtt: us(412),
        min_rtt: us(301),
        congestion_window: Some(10),
        unsent_bytes: Some(0),
        unread_bytes: Some(0),
        ..Counters::default()
    };
    let close = Close {
        duration: us(41_200_000),
        initiator: CloseInitiator::Local.into(),
        cause: CloseCause::Fin.into(),
        error_number: None,
        counters: Some(counters),
    };
    event(EventKind::Close, Detail::Close(close))
}

/// A batch.
pub fn response(node: &str, events: Vec<Event>) -> ObserveResponse {
    ObserveResponse {
        node_name: node.to_owned(),
        time: Some(TIME),
        payload: Some(Payload::Events(EventBatch { events, resume_token: Vec::new() })),
    }
}
