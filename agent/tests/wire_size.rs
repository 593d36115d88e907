//! How small compact events are, of connections as they are on a busy node.

use agent::{
    decode::{Context, decode},
    wire::{Encoder, Origin},
};
use bytes::BytesMut;
use proto::{
    compact::Decoder,
    mask::Mask,
    receive::Received,
    v1::{Encoding, observe_response::Payload},
};

#[path = "../examples/pipeline/sample.rs"]
mod sample;

use sample::{FIRST_CGROUP, Mix};

const CONTEXT: Context = Context {
    wall_offset_ns: 1_700_000_000_000_000_000,
    host_netns: Some(4_026_531_840),
    root_cgroup: 1,
    reset_reasons: &[],
};

/// Bytes an event on the wire, everything in it, in batches of 50 ms.
fn bytes_per_event(encoding: Encoding, mix: Mix) -> f64 {
    let identities = sample::identities();
    let origin = Origin { node_name: "worker-1".into(), cluster: "production".into() };
    let mut encoder = Encoder::new(encoding, &Mask::default(), origin);
    let mut decoder = Decoder::new();
    let (mut bytes, mut total, mut events) = (BytesMut::new(), 0, 0_usize);
    let mut batch_ends = 0;
    let mut finish = |encoder: &mut Encoder| {
        bytes.clear();
        encoder.finish(CONTEXT.wall_offset_ns.unsigned_abs(), &[7; 16], &mut bytes);
        total += bytes.len();
        events += match Received::read(&bytes.split().freeze()).expect("it was encoded") {
            Received::Compact(_, batch) => {
                decoder.decode(&batch).expect("it keeps to the rules").events.len()
            }
            Received::Other(response) => match response.payload {
                Some(Payload::Events(batch)) => batch.events.len(),
                other => panic!("{other:?}"),
            },
        };
    };
    for record in sample::records(12_000, mix) {
        let event = decode(&record.bytes, &CONTEXT).expect("the sample has records").event;
        if event.boot_ns > batch_ends {
            batch_ends = event.boot_ns + 50_000_000;
            if encoder.events() > 0 {
                finish(&mut encoder);
            }
        }
        let pod = event.cgroup_id.expect("the sample's sockets have cgroups") - FIRST_CGROUP;
        encoder.push(&event, Some(&identities[pod as usize]));
    }
    finish(&mut encoder);
    total as f64 / events as f64
}

#[test]
fn a_compact_event_has_at_most_45_bytes_on_average() {
    for mix in Mix::ALL {
        let compact = bytes_per_event(Encoding::Compact, mix);
        let readable = bytes_per_event(Encoding::Readable, mix);
        println!("{mix:?}: {compact:.1} bytes an event, readable {readable:.1}");
        match mix {
            Mix::Default | Mix::States => assert!(compact <= 45.0, "{mix:?}: {compact}"),
            // A close that nothing came before names everything and counts fifteen things.
            Mix::Closes => assert!(compact <= 85.0, "{compact}"),
        }
        assert!(readable > 4.0 * compact, "{mix:?}: {readable} against {compact}");
    }
}
