//! Both encodings say the same.

use bytes::BytesMut;
use proptest::prelude::{ProptestConfig, prop_assert_eq, proptest};
use prost::Message as _;
use proto::{
    compact::Decoder,
    mask::Mask,
    v1::{self, CompactBatch, Encoding, observe_response::Payload},
};

use super::{any, expected, origin};
use crate::{
    event::Kinds,
    wire::{Encoder, MAX_BATCH_EVENTS, compact},
};

fn finish(encoder: &mut compact::Encoder) -> CompactBatch {
    let mut bytes = BytesMut::new();
    encoder.finish(7, b"token", &mut bytes);
    let response = v1::ObserveResponse::decode(&bytes[..]).unwrap();
    let Some(Payload::CompactEvents(batch)) = response.payload else { panic!("{response:?}") };
    assert_eq!((&*response.node_name, &*batch.resume_token), ("node-1", &b"token"[..]));
    batch
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn both_encodings_have_the_same_content(
        batches in proptest::collection::vec(proptest::collection::vec(any::item(), 1..8), 1..4),
        mask in any::mask(),
    ) {
        let mut encoder = compact::Encoder::new(&mask, origin());
        let mut decoder = Decoder::new();
        // Twice, so that everything comes again.
        for items in batches.iter().chain(&batches) {
            for (event, local) in items {
                encoder.push(event, local.as_ref());
            }
            let events = encoder.events();
            let decoded = decoder.decode(&finish(&mut encoder).encode_to_vec()).unwrap().events;
            prop_assert_eq!(decoded.len(), events);
            prop_assert_eq!(decoded, expected(items, &mask, &origin()));
        }
    }
}

#[test]
fn tables_that_are_full_begin_anew_and_say_so() {
    let mut encoder = compact::Encoder::new(&Mask::default(), origin());
    let mut decoder = Decoder::new();
    let mut items = any::some_of_all();
    let mut restarts = 0;
    for batch in 0..30_u32 {
        // Ever new peers.
        for (place, (event, _)) in (0..).zip(&mut items) {
            let ip = std::net::Ipv4Addr::from(batch << 16 | place);
            event.remote = Some(std::net::SocketAddr::from((ip, 80)));
        }
        for (event, local) in &items {
            encoder.push(event, local.as_ref());
        }
        let batch = finish(&mut encoder);
        restarts += u32::from(batch.tables_restart);
        assert_eq!(
            decoder.decode(&batch.encode_to_vec()).unwrap().events,
            expected(&items, &Mask::default(), &origin())
        );
    }
    // Once at the beginning, then every 4096 addresses.
    assert_eq!(restarts, 2);
}

#[test]
fn nothing_allocates_once_tables_and_buffers_have_their_size() {
    let mut items = any::some_of_all();
    let mut encoder = compact::Encoder::new(&Mask::default(), origin());
    let mut bytes = BytesMut::new();
    let mut peer = 0_u32;
    let mut batch = |bytes: &mut BytesMut| {
        for (event, local) in &mut items {
            // Also while tables fill up and begin anew.
            peer += 1;
            event.remote = Some(std::net::SocketAddr::from((std::net::Ipv4Addr::from(peer), 80)));
            encoder.push(event, local.as_ref());
        }
        bytes.clear();
        encoder.finish(1, b"token", bytes);
    };
    (0..100).for_each(|_| batch(&mut bytes));
    let allocated = allocation_counter::measure(|| (0..1000).for_each(|_| batch(&mut bytes)));
    assert_eq!(allocated.count_total, 0);
}

#[test]
fn a_batch_has_room_until_it_has_not() {
    let (mut event, local) = any::some_of_all().swap_remove(0);
    event.kinds = Kinds(0b1000_0001);
    for encoding in [Encoding::Readable, Encoding::Compact, Encoding::Unspecified] {
        let mut encoder = Encoder::new(encoding, &Mask::default(), origin());
        while encoder.has_room() {
            encoder.push(&event, local.as_ref());
        }
        assert_eq!(encoder.events(), MAX_BATCH_EVENTS);
        let mut bytes = BytesMut::new();
        encoder.finish(1, &[], &mut bytes);
        assert_eq!((encoder.events(), encoder.bytes()), (0, 0));
        let response = v1::ObserveResponse::decode(&bytes[..]).unwrap();
        match (encoding, response.payload) {
            (Encoding::Compact, Some(Payload::CompactEvents(batch))) => assert_eq!(batch.events.len(), 1024),
            (_, Some(Payload::Events(batch))) => assert_eq!(batch.events.len(), 1024),
            (_, other) => panic!("{other:?}"),
        }
    }
}
