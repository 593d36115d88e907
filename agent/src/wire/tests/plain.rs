//! The conversion, by hand.

use std::{net::IpAddr, sync::Arc, time::Duration};

use prost_types::Timestamp;
use proto::v1::{self, event::Detail};

use super::{any::blank_identity, origin};
use crate::{
    event::{
        Close, CloseHow, Comm, Event, EventKind, IdentitySource, Initiator, Kinds, Payload, Process,
        Relation, StateChange, TcpState,
    },
    identity::{Container, ContainerKind, Identity, Pod, Workload},
    wire::convert::{convert, identity},
};

const BOOT_NS: u64 = 5_000_000_000;
const WALL_NS: u64 = 1_700_000_005_000_000_000;

fn process(relation: Relation) -> Process {
    Process {
        pid: 7,
        tid: 8,
        uid: 1000,
        comm: Comm(*b"caf\xc3\xa9\xff\0\0\0\0\0\0\0\0\0\0"),
        mntns: Some(9),
        start_ns: Some(2_000_000_001),
        relation,
    }
}

/// A connection of which little is known ends.
fn closed() -> Event {
    Event {
        kinds: [EventKind::Close, EventKind::StateChange, EventKind::Closing].into_iter().collect::<Kinds>(),
        boot_ns: BOOT_NS,
        wall_ns: WALL_NS,
        cpu: 1,
        socket_v6: true,
        local: Some(IpAddr::from([10, 0, 0, 1])),
        state: Some(StateChange { old: TcpState::FinWait2, new: TcpState::Close, in_old: None }),
        close: Some(Close {
            duration: None,
            initiator: Initiator::Local,
            how: CloseHow::Unknown,
            errno: None,
        }),
        start_unknown: true,
        ..Event::BLANK
    }
}

#[test]
fn an_event_of_several_kinds_is_several_messages_with_the_close_last() {
    let messages = convert(&closed(), None, &origin());
    let kinds: Vec<_> = messages.iter().map(v1::Event::kind).collect();
    assert_eq!(kinds, [v1::EventKind::StateChange, v1::EventKind::Closing, v1::EventKind::Close]);
    assert!(matches!(messages[0].detail, Some(Detail::StateChange(_))));
    assert!(matches!(messages[1].detail, Some(Detail::Closing(_))));
    assert!(matches!(messages[2].detail, Some(Detail::Close(_))));
}

#[test]
fn what_is_not_known_is_absent() {
    let message = convert(&closed(), None, &origin()).pop().unwrap();
    let socket = message.socket.unwrap();
    let local = v1::SocketAddress { ip: "10.0.0.1".to_owned(), port: None };
    assert_eq!((socket.local, socket.remote), (Some(local), None));
    assert_eq!((socket.cookie, socket.netns, socket.cgroup_id, socket.start_time), (None, None, None, None));
    assert_eq!((message.process, message.owner, message.user, message.local), (None, None, None, None));
    let close = v1::Close { initiator: v1::CloseInitiator::Local.into(), ..v1::Close::default() };
    assert_eq!(message.detail, Some(Detail::Close(close)));
    assert!(message.start_unknown);
}

#[test]
fn times_are_the_wall_clocks_by_the_events_own_two_clocks() {
    let mut event = closed();
    event.start_ns = Some(1_500_000_000);
    event.process = Some(process(Relation::User));
    let message = convert(&event, None, &origin()).pop().unwrap();
    assert_eq!(message.time, Some(Timestamp { seconds: 1_700_000_005, nanos: 0 }));
    let start = Some(Timestamp { seconds: 1_700_000_001, nanos: 500_000_000 });
    assert_eq!(message.socket.unwrap().start_time, start);
    let process = message.process.unwrap();
    assert_eq!(process.start_time, Some(Timestamp { seconds: 1_700_000_002, nanos: 1 }));
    assert_eq!(process.comm, "café\u{fffd}");
    // Clocks that contradict each other by centuries neither panic nor run over.
    event.wall_ns = 0;
    event.boot_ns = u64::MAX;
    convert(&event, None, &origin());
}

#[test]
fn owner_and_user_are_named_where_they_are_another_thread_than_the_process() {
    let mut event = closed();
    event.process = Some(process(Relation::User));
    event.user = event.process;
    event.owner = Some(process(Relation::Owner));
    let message = convert(&event, None, &origin()).pop().unwrap();
    assert_eq!((message.owner, message.user), (None, None));
    event.owner = Some(Process { tid: 9, ..process(Relation::Owner) });
    let message = convert(&event, None, &origin()).pop().unwrap();
    assert_eq!(message.owner.unwrap().tid, 9);
}

#[test]
fn what_was_never_measured_is_absent_and_an_unread_fin_is_no_byte() {
    let mut event = closed();
    event.payload = Some(Payload { sent: 0, acked: 0, received: 10 });
    event.counters = Some(crate::event::Counters {
        bytes_received: 11,
        unread: 1,
        srtt_us: 0,
        min_rtt_us: u32::MAX,
        ..crate::event::Counters::default()
    });
    let counters = |event: &Event| {
        let message = convert(event, None, &origin()).pop().unwrap();
        let Some(Detail::Close(close)) = message.detail else { panic!("{message:?}") };
        close.counters.unwrap()
    };
    let none = counters(&event);
    assert_eq!((none.bytes_sent, none.bytes_received, none.unread_bytes), (Some(0), Some(10), Some(0)));
    assert_eq!((none.srtt, none.rtt_variation, none.min_rtt), (None, None, None));
    event.counters.as_mut().unwrap().srtt_us = 1500;
    let srtt = prost_types::Duration { seconds: 0, nanos: 1_500_000 };
    assert_eq!(counters(&event).srtt, Some(srtt));
    event.close.as_mut().unwrap().duration = Some(Duration::from_millis(2500));
    let message = convert(&event, None, &origin()).pop().unwrap();
    let Some(Detail::Close(close)) = message.detail else { panic!("{message:?}") };
    assert_eq!(close.duration, Some(prost_types::Duration { seconds: 2, nanos: 500_000_000 }));
}

#[test]
fn an_identity_says_all_that_is_known() {
    let pod = Pod {
        namespace: "shop".into(),
        name: "cart-1".into(),
        uid: "abc".into(),
        workload: Some(Workload { kind: "Deployment".into(), name: "cart".into(), derived: true }),
        labels: [("app", "cart")].into_iter().collect(),
    };
    let known = Identity {
        source: IdentitySource::SocketCgroup,
        pod: Some(Arc::new(pod)),
        container: Some(Container {
            id: "c0ffee".into(),
            name: Some(("web".into(), ContainerKind::Sidecar)),
        }),
        ..blank_identity()
    };
    let message = identity(&known, &origin());
    let expected = v1::Identity {
        cluster: "blue".to_owned(),
        namespace: "shop".to_owned(),
        pod: "cart-1".to_owned(),
        pod_uid: "abc".to_owned(),
        container: "web".to_owned(),
        container_id: "c0ffee".to_owned(),
        container_kind: v1::ContainerKind::Sidecar.into(),
        workload: Some(v1::Workload {
            kind: "Deployment".to_owned(),
            name: "cart".to_owned(),
            derived: true,
        }),
        node_name: "node-1".to_owned(),
        source: v1::IdentitySource::SocketCgroup.into(),
        labels: [("app".to_owned(), "cart".to_owned())].into(),
        ..v1::Identity::default()
    };
    assert_eq!(message, expected);
    let pending = Identity { pod_uid: Some("u".into()), pending: true, host: true, ..blank_identity() };
    let message = identity(&pending, &origin());
    assert_eq!((&*message.pod_uid, message.metadata_pending, message.host), ("u", true, true));
    assert_eq!((&*message.pod, message.workload), ("", None));
}
