//! Identities, encoded once: an event takes the bytes.
//!
//! The key is the `Arc`'s address; the table keeps the `Arc`, so that no other identity can have the address meanwhile.
//! It is bounded: an identity that finds no place near its own takes that of another, and its buffer.

use std::sync::Arc;

use proto::mask::{Fields, Mask};

use super::{Origin, convert, numbers, write::Out};
use crate::identity::Identity;

/// More than a full node of pods (110) has containers.
const PLACES: usize = 1024;

/// How far from its own place an identity may be.
const NEAR: usize = 8;

/// The identities that were encoded, under one mask.
#[derive(Debug)]
pub(super) struct Identities {
    places: Vec<Option<Place>>,
    pub(super) kept: Kept,
}

#[derive(Debug)]
struct Place {
    identity: Arc<Identity>,
    bytes: Vec<u8>,
}

/// What the mask keeps of an identity.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kept {
    identity: Fields,
    workload: Fields,
}

impl Kept {
    /// Of the identity at this field of the event.
    pub(super) fn of(mask: &Mask, number: u32) -> Self {
        Self { identity: mask.fields(&[number]), workload: mask.fields(&[number, 8]) }
    }
}

impl Identities {
    pub(super) fn new(mask: &Mask) -> Self {
        Self { places: std::iter::repeat_with(|| None).take(PLACES).collect(), kept: Kept::of(mask, 15) }
    }

    /// An identity as an encoded `sockeye.v1.Identity`.
    pub(super) fn bytes(&mut self, identity: &Arc<Identity>, origin: &Origin) -> &[u8] {
        let found = self.find(identity);
        let place = found.unwrap_or_else(|free| {
            let mut bytes = self.places[free].take().map_or_else(Vec::new, |place| place.bytes);
            bytes.clear();
            encode(&mut bytes, identity, origin, self.kept);
            self.places[free] = Some(Place { identity: Arc::clone(identity), bytes });
            free
        });
        self.places[place].as_ref().map_or(&[], |place| &place.bytes)
    }

    /// Where it is, or else where it should be.
    fn find(&self, identity: &Arc<Identity>) -> Result<usize, usize> {
        // Addresses are multiples of 8 or 16; the factor spreads them over the upper bits.
        let address = Arc::as_ptr(identity).addr() as u64;
        let own = (address.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 48) as usize;
        for near in own..own + NEAR {
            match &self.places[near % PLACES] {
                Some(place) if Arc::ptr_eq(&place.identity, identity) => return Ok(near % PLACES),
                Some(_) => {}
                None => return Err(near % PLACES),
            }
        }
        Err(own % PLACES)
    }
}

fn encode(bytes: &mut Vec<u8>, identity: &Identity, origin: &Origin, kept: Kept) {
    let pod = identity.pod.as_deref();
    let container = identity.container.as_ref();
    let name = container.and_then(|container| container.name.as_ref());
    let mut out = Out::new(bytes, kept.identity);
    out.text(1, &*origin.cluster);
    out.text(2, pod.map_or("", |pod| &pod.namespace));
    out.text(3, pod.map_or("", |pod| &pod.name));
    out.text(4, convert::pod_uid(identity).unwrap_or_default());
    out.text(5, name.map_or("", |(name, _)| name));
    out.text(6, container.map_or("", |container| &container.id));
    if let Some((_, kind)) = name {
        out.word(7, numbers::container_kind(*kind));
    }
    if let Some(workload) = pod.and_then(|pod| pod.workload.as_ref()) {
        out.message(8, kept.workload, |out| {
            out.text(1, &*workload.kind);
            out.text(2, &*workload.name);
            out.plain(3, workload.derived);
        });
    }
    out.text(10, &*origin.node_name);
    out.plain(11, identity.host);
    out.word(12, numbers::source(identity.source));
    out.plain(13, identity.pending);
    for (key, value) in pod.iter().flat_map(|pod| pod.labels.iter()) {
        out.member(14, Fields::MAX, |out| {
            out.text(1, key);
            out.text(2, value);
        });
    }
}
