//! Batches by hand. That the agent's are decoded to what it had is tested there.

use proptest::{
    collection::vec,
    prelude::{Just, Strategy, any, prop_assert_eq, prop_oneof, proptest},
};
use prost::Message as _;

use super::{CompactError, Decoder, Shown, bits, read::Said};
use crate::v1::{
    CompactBatch, CompactEvent, CompactPlace, Event, EventKind, Identity, Process, Role, event::Detail,
};

impl Decoder {
    fn events(&mut self, batch: &CompactBatch) -> Result<Vec<Event>, CompactError> {
        self.decode(&batch.encode_to_vec()).map(|batch| batch.events)
    }
}

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
    let connect = decoder.events(&first()).unwrap().pop().unwrap();
    assert_eq!((&*connect.node_name, connect.kind()), ("node-1", EventKind::Connect));
    let close = CompactEvent {
        time_delta_ns: 1,
        kind_and_flags: kind(EventKind::Close) | 1 << bits::ROLE,
        socket: 9,
        local_port: 40_001,
        ..CompactEvent::default()
    };
    let close = decoder.events(&batch(vec![close])).unwrap().pop().unwrap();
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
        decoder.events(&first()).unwrap();
        let event = decoder.events(&batch(vec![event])).unwrap().pop().unwrap();
        assert_eq!((event.socket, event.process, event.local), (None, None, None));
    }
}

#[test]
fn a_restart_forgets_everything() {
    let mut decoder = Decoder::new();
    decoder.events(&first()).unwrap();
    let event = CompactEvent { socket: 9, process: 1, ..CompactEvent::default() };
    let restart = CompactBatch { tables_restart: true, ..batch(vec![event]) };
    let error = decoder.events(&restart).unwrap_err();
    assert_eq!(error, CompactError::Number { table: "processes", number: 1, entries: 0 });
    assert_eq!(error.to_string(), "compact batch: number 1 of the table of processes, which has 0");
}

#[test]
fn what_no_server_sends_is_refused() {
    let decode = |batch| Decoder::new().events(&batch).unwrap_err();
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
    let event = Decoder::new().events(&CompactBatch { events: vec![reset], ..CompactBatch::default() });
    assert_eq!(event, Ok(vec![Event { kind: EventKind::Reset.into(), ..rest }]));
}

#[test]
fn what_is_shown_is_what_is_kept() {
    let batch = first().encode_to_vec();
    let kept = Decoder::new().decode(&batch).unwrap().events;
    let mut shown = Vec::new();
    Decoder::new()
        .visit(&batch, |event| {
            shown.push(event.to_event());
            assert_eq!(event.local.unwrap().pod, "cart-1");
        })
        .unwrap();
    assert_eq!(shown, kept);
    assert_eq!(Shown::from(&kept[0]).to_event(), kept[0]);
}

#[test]
fn the_token_is_that_of_the_batch() {
    let batch = CompactBatch { resume_token: b"here".to_vec(), ..first() }.encode_to_vec();
    assert_eq!(Decoder::new().visit(&batch, |_| {}), Ok(&b"here"[..]));
    assert_eq!(Decoder::new().decode(&batch).unwrap().resume_token, b"here");
}

#[test]
fn entries_may_come_behind_the_events_that_name_them() {
    let whole = first();
    let events = CompactBatch { events: whole.events.clone(), ..CompactBatch::default() };
    let tables = CompactBatch { events: Vec::new(), ..whole.clone() };
    let behind = [events.encode_to_vec(), tables.encode_to_vec()].concat();
    assert_eq!(Decoder::new().decode(&behind).unwrap().events, Decoder::new().events(&whole).unwrap());
}

#[test]
fn a_restart_keeps_what_comes_with_it_wherever_it_is_said() {
    let mut decoder = Decoder::new();
    decoder.events(&first()).unwrap();
    let restart = CompactBatch { tables_restart: true, ..CompactBatch::default() };
    let bytes = [first().encode_to_vec(), restart.encode_to_vec()].concat();
    assert_eq!(decoder.decode(&bytes).unwrap().events, Decoder::new().events(&first()).unwrap());
    assert_eq!(decoder.identities.len(), 1);
}

#[test]
fn an_event_that_is_shown_costs_no_allocation() {
    let mut decoder = Decoder::new();
    decoder.events(&first()).unwrap();
    let close = CompactEvent {
        kind_and_flags: kind(EventKind::Close) | 1 << bits::ROLE,
        values: (1..=16).collect(),
        ..first().events.remove(0)
    };
    let batch = batch(vec![close; 100]).encode_to_vec();
    let mut pods = 0;
    let allocated = allocation_counter::measure(|| {
        let shown = decoder.visit(&batch, |event| pods += event.local.map_or(0, |local| local.pod.len()));
        shown.unwrap();
    });
    assert_eq!((allocated.count_total, pods), (0, 600));
}

#[test]
fn bytes_that_are_no_batch_are_refused_with_the_reason() {
    for (bytes, reason) in [
        (&[0x2a, 5][..], "compact batch: a field that is longer than its message"),
        (&[0x2a, 2, 0x10, 0x80], "compact batch: a number that does not end, or is too large"),
        (&[0x28, 1], "compact batch: a field that should be a text, bytes or a message"),
        (&[0x00, 1], "compact batch: a field without a number"),
        (&[0x42, 1, 0xff], "compact batch: a text that is not UTF-8"),
        (&[0x12, 2, 0x12, 9], "compact batch: an entry of the table of identities cannot be decoded"),
        (&[0x2a, 3, 0x9a, 1, 9], "compact batch: a field that is longer than its message"),
    ] {
        assert!(CompactBatch::decode(bytes).is_err(), "{bytes:?}");
        assert_eq!(Decoder::new().decode(bytes).unwrap_err().to_string(), reason);
    }
}

/// Fields in any order, again and again, in forms that protobuf knows and in others.
fn fields() -> impl Strategy<Value = Vec<u8>> {
    let number = prop_oneof![0..5_u64, any::<u64>(), Just(u64::MAX), any::<u32>().prop_map(u64::from)];
    let varint = |number: u64| {
        let mut bytes = Vec::new();
        prost::encoding::encode_varint(number, &mut bytes);
        bytes
    };
    let field = (0..22_u64, 0..8_u64, number, vec(any::<u8>(), 0..12), 0..20_u32);
    let field = field.prop_map(move |(field, wire, number, block, odd)| {
        // Most as they should be.
        let wire = match (field, odd) {
            (_, 0) => wire,
            (7, 1..=9) | (19, _) => 2,
            _ => 0,
        };
        let mut bytes = varint(field << 3 | wire);
        match wire {
            2 => {
                bytes.extend(varint(block.len() as u64));
                bytes.extend(block.iter().map(|byte| if odd < 15 { byte & 0x7f } else { *byte }));
            }
            1 => bytes.extend([1; 8]),
            5 => bytes.extend([1; 4]),
            _ => bytes.extend(varint(number)),
        }
        bytes
    });
    vec(field, 0..6).prop_map(|fields| fields.concat())
}

/// Prost's word on it. Its own form of the same batch has the fields in their order, each once.
fn agrees(bytes: &[u8]) -> Result<(), proptest::test_runner::TestCaseError> {
    let before = || {
        let mut decoder = Decoder::new();
        decoder.events(&first()).unwrap();
        decoder
    };
    let ours = before().decode(bytes);
    match CompactBatch::decode(bytes) {
        Ok(batch) => prop_assert_eq!(ours, before().decode(&batch.encode_to_vec())),
        Err(_) => assert!(ours.is_err(), "{ours:?}"),
    }
    Ok(())
}

proptest! {
    #[test]
    fn an_event_is_read_as_prost_reads_it(bytes in fields()) {
        let mut said = Said::default();
        // In the place of another.
        said.read(&first().events[0].encode_to_vec()).unwrap();
        let ours = said.read(&bytes).map(|()| said);
        match CompactEvent::decode(&*bytes) {
            Ok(event) => prop_assert_eq!(ours, Ok(Said::from(event))),
            Err(_) => assert!(ours.is_err(), "{ours:?}"),
        }
    }

    #[test]
    fn a_batch_is_read_as_prost_reads_it(
        parts in vec((prop_oneof![Just(5_u32), 1..12_u32], fields()), 0..5),
        restart: bool,
    ) {
        let mut bytes = Vec::new();
        for (number, part) in &parts {
            prost::encoding::bytes::encode(*number, part, &mut bytes);
        }
        if restart {
            bytes.extend([0x38, 1]);
        }
        agrees(&bytes)?;
    }

    #[test]
    fn any_bytes_are_events_or_refused(bytes in vec(any::<u8>(), 0..200)) {
        agrees(&bytes)?;
        let mut event = Vec::new();
        prost::encoding::bytes::encode(5, &bytes, &mut event);
        agrees(&event)?;
    }
}
