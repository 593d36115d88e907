//! The encodings against the plain conversion.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use proptest::prelude::{ProptestConfig, prop_assert_eq, proptest};
use prost::Message as _;
use proto::{
    mask::Mask,
    v1::{self, observe_response::Payload},
};

use super::{Origin, convert::convert, encode};
use crate::{event::Event, identity::Identity};

mod any;
mod compact;
mod plain;

fn origin() -> Origin {
    Origin { node_name: "node-1".into(), cluster: "blue".into() }
}

type Items = [(Event, Option<Arc<Identity>>)];

/// What a client must see of these.
fn expected(items: &Items, mask: &Mask, origin: &Origin) -> Vec<v1::Event> {
    let mut events: Vec<v1::Event> =
        items.iter().flat_map(|(event, local)| convert(event, local.as_deref(), origin)).collect();
    events.iter_mut().for_each(|event| mask.apply(event));
    events
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn what_is_encoded_is_what_is_converted(
        items in proptest::collection::vec(any::item(), 0..6),
        mask in any::mask(),
        token in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..20),
    ) {
        let mut encoder = encode::Encoder::new(&mask, origin());
        let mut bytes = BytesMut::new();
        // Twice: what is kept from batch to batch must not show.
        for _ in 0..2 {
            for (event, local) in &items {
                encoder.push(event, local.as_ref());
            }
            let count = encoder.events();
            bytes.clear();
            encoder.finish(1_700_000_000_000_000_001, &token, &mut bytes);
            let expected = v1::ObserveResponse {
                node_name: "node-1".to_owned(),
                time: Some(prost_types::Timestamp { seconds: 1_700_000_000, nanos: 1 }),
                payload: Some(Payload::Events(v1::EventBatch {
                    events: expected(&items, &mask, &origin()),
                    resume_token: token.clone(),
                })),
            };
            prop_assert_eq!(v1::ObserveResponse::decode(&bytes[..]).unwrap(), expected.clone());
            prop_assert_eq!(&Bytes::from(expected.encode_to_vec()), &bytes);
            let Some(Payload::Events(batch)) = expected.payload else { unreachable!() };
            prop_assert_eq!(batch.events.len(), count);
        }
    }
}

#[test]
fn nothing_allocates_once_identities_are_known_and_buffers_have_their_size() {
    let items = any::some_of_all();
    let mut encoder = encode::Encoder::new(&Mask::default(), origin());
    let mut bytes = BytesMut::new();
    let mut batch = || {
        for (event, local) in &items {
            encoder.push(event, local.as_ref());
        }
        bytes.clear();
        encoder.finish(1, b"token", &mut bytes);
    };
    batch();
    let allocated = allocation_counter::measure(|| (0..1000).for_each(|_| batch()));
    assert_eq!(allocated.count_total, 0);
}

#[test]
fn identities_beyond_the_bound_take_each_others_place_and_stay_right() {
    let identity = |n: usize| {
        let name = format!("pod-{n}");
        let pod = crate::identity::Pod {
            namespace: "shop".into(),
            name: name.into(),
            uid: "u".into(),
            workload: None,
            labels: crate::identity::labels::Labels::default(),
        };
        Arc::new(Identity { pod: Some(Arc::new(pod)), ..any::blank_identity() })
    };
    let all: Vec<_> = (0..5000).map(identity).collect();
    let mut identities = super::identity::Identities::new(&Mask::default());
    for _ in 0..2 {
        for local in &all {
            let decoded = v1::Identity::decode(identities.bytes(local, &origin())).unwrap();
            assert_eq!(decoded.pod, &*local.pod.as_ref().unwrap().name);
        }
    }
    // An address that is free again is not taken for the identity that had it.
    for n in 0..5000 {
        let local = identity(n);
        let decoded = v1::Identity::decode(identities.bytes(&local, &origin())).unwrap();
        assert_eq!(decoded.pod, format!("pod-{n}"));
    }
}
