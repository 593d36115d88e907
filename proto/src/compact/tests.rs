//! Batches by hand. That the agent's are decoded to what it had is tested there.

use proptest::prelude::{any, proptest};
use prost::Message as _;

use super::{CompactError, Decoder, bits};
use crate::v1::{
    CompactBatch, CompactEvent, CompactPlace, Event, EventKind, Identity, Process, Role, event::Detail,
};

fn kind(kind: EventKind) -> u32 {
    i32::from(kind).cast_unsigned() | bits::DETAIL
}

fn batch(events: Vec<CompactEvent>) -> CompactBatch {
    CompactBatch { base_time_ns: 5_000_000_000, events, ..CompactBatch::default() }
}

/// A batch whose first event names all that a socket can have.
fn first() -> CompactBatch {
    let event = CompactEvent {
        kind_and_flags: kind(EventKind::Connect) | bits::ANEW | 1 << bits::ROLE,
        socket: 9,
        cookie_delta: Some(77),
        local_address: 1,
        remote_address: 1,
        local_port: 1,
        remote_port: 81,
        place: 1,
        since_start_ns: Some(-1),
        process: 1,
        ..CompactEvent::default()
    };
    CompactBatch {
        identities: vec![Identity { pod: "cart-1".to_owned(), ..Identity::default() }],
        processes: vec![Process { pid: 7, ..Process::default() }],
        addresses: vec![vec![127, 0, 0, 1]],
        places: vec![CompactPlace { netns: Some(3), cgroup_id: None, identity: 1 }],
        node_name: "node-1".to_owned(),
        ..batch(vec![event])
    }
}

#[test]
fn an_event_has_what_is_remembered_of_its_socket() {
    let mut decoder = Decoder::new();
    let connect = decoder.decode(first()).unwrap().pop().unwrap();
    assert_eq!((&*connect.node_name, connect.kind()), ("node-1", EventKind::Connect));
    let close = CompactEvent {
        time_delta_ns: 1,
        kind_and_flags: kind(EventKind::Close) | 1 << bits::ROLE,
        socket: 9,
        local_port: 40_001,
        ..CompactEvent::default()
    };
    let close = decoder.decode(batch(vec![close])).unwrap().pop().unwrap();
    let (before, after) = (connect.socket.unwrap(), close.socket.unwrap());
    assert_eq!((after.cookie, after.role(), after.netns), (Some(77), Role::Client, Some(3)));
    assert_eq!((after.start_time, &after.remote), (before.start_time, &before.remote));
    assert_eq!(before.start_time.unwrap().nanos, 1);
    let (local, remote) = (after.local.unwrap(), after.remote.unwrap());
    assert_eq!(
        (&*local.ip, local.port, &*remote.ip, remote.port),
        ("127.0.0.1", Some(40_000), "127.0.0.1", Some(80))
    );
    assert_eq!((close.process, close.local), (connect.process, connect.local));
    assert!(matches!(close.detail, Some(Detail::Close(_))));
    assert_eq!(close.time.unwrap().nanos, 1);
    assert_eq!(close.node_name, "", "a batch's own");
}

#[test]
fn nothing_is_remembered_of_a_socket_that_begins_anew_or_has_no_number() {
    for event in [
        CompactEvent {
            kind_and_flags: kind(EventKind::Close) | bits::ANEW,
            socket: 9,
            ..CompactEvent::default()
        },
        CompactEvent { kind_and_flags: kind(EventKind::Close), ..CompactEvent::default() },
    ] {
        let mut decoder = Decoder::new();
        decoder.decode(first()).unwrap();
        let event = decoder.decode(batch(vec![event])).unwrap().pop().unwrap();
        assert_eq!((event.socket, event.process, event.local), (None, None, None));
    }
}

#[test]
fn a_restart_forgets_everything() {
    let mut decoder = Decoder::new();
    decoder.decode(first()).unwrap();
    let event = CompactEvent { socket: 9, process: 1, ..CompactEvent::default() };
    let restart = CompactBatch { tables_restart: true, ..batch(vec![event]) };
    let error = decoder.decode(restart).unwrap_err();
    assert_eq!(error, CompactError::Number { table: "processes", number: 1, entries: 0 });
    assert_eq!(error.to_string(), "compact batch: number 1 of the table of processes, which has 0");
}

#[test]
fn what_no_server_sends_is_refused() {
    let decode = |batch| Decoder::new().decode(batch).unwrap_err();
    let event = |event| batch(vec![event]);
    let socket = decode(event(CompactEvent { socket: 4097, ..CompactEvent::default() }));
    assert!(matches!(socket, CompactError::Number { table: "sockets", .. }));
    let place = decode(event(CompactEvent { place: 1, ..CompactEvent::default() }));
    assert!(matches!(place, CompactError::Number { table: "places", .. }));
    let address = decode(CompactBatch { addresses: vec![vec![0; 5]], ..CompactBatch::default() });
    assert_eq!(address, CompactError::Address { length: 5 });
    let long =
        decode(CompactBatch { processes: vec![Process::default(); 70_000], ..CompactBatch::default() });
    assert_eq!(long, CompactError::TableTooLong { table: "processes" });
    let drop =
        decode(event(CompactEvent { kind_and_flags: kind(EventKind::Drop), ..CompactEvent::default() }));
    assert_eq!(drop, CompactError::Kind { kind: 8 });
}

#[test]
fn what_has_no_fields_comes_in_the_rest() {
    let rest = Event { cpu: 3, detail: Some(Detail::Reset(crate::v1::Reset::default())), ..Event::default() };
    let reset = CompactEvent {
        kind_and_flags: i32::from(EventKind::Reset).cast_unsigned(),
        rest: Some(Box::new(rest.clone())),
        ..CompactEvent::default()
    };
    let event = Decoder::new().decode(CompactBatch { events: vec![reset], ..CompactBatch::default() });
    assert_eq!(event, Ok(vec![Event { kind: EventKind::Reset.into(), ..rest }]));
}

proptest! {
    #[test]
    fn any_bytes_are_events_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(batch) = CompactBatch::decode(&*bytes) {
            let _ = Decoder::new().decode(batch);
        }
        if let Ok(event) = CompactEvent::decode(&*bytes) {
            let mut decoder = Decoder::new();
            decoder.decode(first()).unwrap();
            let _ = decoder.decode(batch(vec![event]));
        }
    }
}
