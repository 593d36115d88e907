//! Nothing on the way of an event allocates: from the ring's bytes over names, routing, history and queue to the encoded
//! message. Once everything is known and buffers have their size, that is; a message that is sent has memory of its own.

use agent::{
    hub::Naming as _,
    wire::{Encoder, Origin},
};
use bytes::BytesMut;
use proto::{mask::Mask, v1::Encoding};

#[path = "../examples/pipeline/bed.rs"]
mod bed;
#[path = "../examples/pipeline/sample.rs"]
mod sample;

use bed::{BATCH, Bed};
use sample::{FIRST_CGROUP, Mix};

/// Events that are more than the history holds: it has to let go of some, too.
const CONNECTIONS: u64 = 10_000;

fn allocations(mix: Mix, encoding: Encoding) -> (u64, usize) {
    let records = sample::records(CONNECTIONS, mix);
    let origin = Origin { node_name: "worker-1".into(), cluster: "production".into() };
    let mut bed = Bed::new(mix);
    assert!(bed.names().knows_cgroup(FIRST_CGROUP), "names are looked up, not made up");
    let mut encoder = Encoder::new(encoding, &Mask::default(), origin);
    let mut bytes = BytesMut::new();
    let mut all = || {
        let mut events = 0;
        for records in records.chunks(BATCH) {
            for record in records {
                bed.take_in(&record.bytes);
            }
            let items = bed.take_out();
            assert_eq!(items.len(), records.len());
            for item in items.iter() {
                assert!(item.local.pod.is_some(), "the sample's pods are known");
                encoder.push(item.event, Some(item.local));
            }
            events += encoder.events();
            bytes.clear();
            encoder.finish(1_700_000_000_000_000_000, &[7; 16], &mut bytes);
        }
        events
    };
    // Tables begin anew at another place in each pass; after some they have their size.
    for _ in 0..4 {
        all();
    }
    let mut events = 0;
    let allocated = allocation_counter::measure(|| events = all());
    (allocated.count_total, events)
}

#[test]
fn nothing_allocates_between_the_ring_and_the_encoded_message() {
    for mix in Mix::ALL {
        for encoding in [Encoding::Compact, Encoding::Readable] {
            let (allocations, events) = allocations(mix, encoding);
            assert!(events >= CONNECTIONS as usize);
            assert_eq!(allocations, 0, "{mix:?}, {encoding:?}: in {events} events");
        }
    }
}
