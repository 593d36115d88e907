//! How many events a second one core takes from the bytes in the ring to events at the client, without kernel and
//! network, and what the look-up of names takes of it: `cargo xtask bench pipeline`. One thread does it all.
//!
//! ```text
//! bed       decode -> name -> route -> the subscriber's queue, and the history
//! compact   bed -> compact encoder -> prost -> events shown one by one
//! readable  bed -> readable encoder -> prost
//! naive     decode -> name -> prost structs, one message an event -> prost
//! ```
//!
//! Prints a line for each, parts divided by tabs: what is sent, how far, bytes an event, and the nanoseconds an event
//! of each round by the thread's CPU time: what else runs does not count, but for what it does to caches. Each round
//! has all of them in turn. The stages are measured by leaving out those behind them.

mod bed;
mod lookup;
mod sample;

use std::{hint::black_box, ops::Range, process::ExitCode};

use agent::{
    decode::decode,
    hub::Naming as _,
    wire::{Encoder, Origin, convert::convert},
};
use bytes::BytesMut;
use prost::Message as _;
use proto::{
    compact::Decoder,
    mask::Mask,
    v1::{self, Encoding, ObserveResponse, observe_response::Payload},
};

use bed::{BATCH, Bed, CONTEXT};
use rustix::time::{ClockId, clock_gettime};
use sample::Mix;

const CONNECTIONS: u64 = 10_000;

/// Rounds of everything; one more comes before them and does not count.
const ROUNDS: usize = 15;

/// How far an event goes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Decoded,
    Queued,
    Encoded,
    Received,
    Shown,
}

/// A way, and its name on the page.
#[derive(Clone, Copy)]
enum Way {
    Ours(Encoding, Stage),
    Naive,
}

const WAYS: [(&str, Way); 8] = [
    ("naive: prost structs at the client", Way::Naive),
    ("decoded from the ring", Way::Ours(Encoding::Compact, Stage::Decoded)),
    ("named, routed, queued, kept", Way::Ours(Encoding::Compact, Stage::Queued)),
    ("readable: encoded", Way::Ours(Encoding::Readable, Stage::Encoded)),
    ("readable: prost structs at the client", Way::Ours(Encoding::Readable, Stage::Received)),
    ("compact: encoded", Way::Ours(Encoding::Compact, Stage::Encoded)),
    ("compact: prost structs at the client", Way::Ours(Encoding::Compact, Stage::Received)),
    ("compact: events shown at the client", Way::Ours(Encoding::Compact, Stage::Shown)),
];

/// What a round did.
#[derive(Clone, Copy, Default)]
struct Done {
    events: usize,
    bytes: usize,
}

struct Pipeline {
    /// The records, one behind the other as in the ring.
    ring: Vec<u8>,
    records: Vec<Range<usize>>,
    origin: Origin,
    mix: Mix,
}

impl Pipeline {
    fn new(mix: Mix) -> Self {
        let mut ring = Vec::new();
        let mut records = Vec::new();
        for record in sample::records(CONNECTIONS, mix) {
            records.push(ring.len()..ring.len() + record.bytes.len());
            ring.extend_from_slice(&record.bytes);
        }
        let origin = Origin { node_name: "worker-1".into(), cluster: "production".into() };
        Self { ring, records, origin, mix }
    }

    fn ours(&self, bed: &mut Bed, encoding: Encoding, last: Stage) -> Done {
        let mut done = Done::default();
        if last == Stage::Decoded {
            for place in &self.records {
                let decoded = decode(&self.ring[place.clone()], &CONTEXT);
                done.events += black_box(&decoded).map_or(0, |decoded| kinds(decoded.event.kinds.0));
            }
            return done;
        }
        let mut encoder = Encoder::new(encoding, &Mask::default(), self.origin.clone());
        let mut decoder = Decoder::new();
        let mut bytes = BytesMut::new();
        for records in self.records.chunks(BATCH) {
            for place in records {
                bed.take_in(&self.ring[place.clone()]);
            }
            let items = bed.take_out();
            if last == Stage::Queued {
                done.events += black_box(items).iter().map(|item| kinds(item.event.kinds.0)).sum::<usize>();
                continue;
            }
            let mut finish = |encoder: &mut Encoder| {
                done.events += encoder.events();
                bytes.clear();
                encoder.finish(CONTEXT.wall_offset_ns.unsigned_abs(), &[7; 16], &mut bytes);
                done.bytes += bytes.len();
                if last >= Stage::Received {
                    receive(&bytes, &mut decoder, last);
                }
            };
            for item in items {
                if !encoder.has_room() {
                    finish(&mut encoder);
                }
                encoder.push(&item.event, Some(&item.local));
            }
            finish(&mut encoder);
        }
        done
    }

    fn naive(&self, bed: &mut Bed) -> Done {
        let mut done = Done::default();
        for place in &self.records {
            let Ok(decoded) = decode(&self.ring[place.clone()], &CONTEXT) else { continue };
            let local = bed.names().of(&decoded.event);
            for message in convert(&decoded.event, Some(&local), &self.origin) {
                let response = ObserveResponse {
                    node_name: self.origin.node_name.to_string(),
                    time: message.time,
                    payload: Some(Payload::Events(v1::EventBatch {
                        events: vec![message],
                        resume_token: vec![7; 16],
                    })),
                };
                let bytes = response.encode_to_vec();
                done.events += 1;
                done.bytes += bytes.len();
                black_box(ObserveResponse::decode(&*bytes).ok());
            }
        }
        done
    }

    fn round(&self, bed: &mut Bed, way: Way) -> Done {
        match way {
            Way::Ours(encoding, last) => self.ours(bed, encoding, last),
            Way::Naive => self.naive(bed),
        }
    }

    /// All ways in turn, so many times.
    fn measure(&self) {
        let mut bed = Bed::new(self.mix);
        let mut times: [Vec<f64>; WAYS.len()] = Default::default();
        let mut sizes = [0.0; WAYS.len()];
        for round in 0..=ROUNDS {
            for (index, (name, way)) in WAYS.into_iter().enumerate() {
                let begin = cpu_ns();
                let done = self.round(&mut bed, way);
                let time = (cpu_ns() - begin) / done.events as f64;
                assert!(done.events >= self.records.len(), "{name}: events are missing");
                sizes[index] = done.bytes as f64 / done.events as f64;
                if round > 0 {
                    times[index].push(time);
                }
            }
        }
        for (((name, _), times), bytes) in WAYS.iter().zip(&times).zip(sizes) {
            show(&format!("{:?}", self.mix), name, bytes, times);
        }
    }
}

fn kinds(kinds: u32) -> usize {
    kinds.count_ones() as usize
}

fn receive(bytes: &[u8], decoder: &mut Decoder, last: Stage) {
    match ObserveResponse::decode(bytes).ok().and_then(|response| response.payload) {
        Some(Payload::CompactEvents(batch)) if last >= Stage::Shown => {
            let shown = decoder.visit(batch, |event| {
                black_box(event);
            });
            assert!(shown.is_ok(), "the encoder keeps to the rules");
        }
        payload => {
            black_box(payload);
        }
    }
}

/// CPU time of this thread.
fn cpu_ns() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
}

fn show(what: &str, name: &str, bytes: f64, times: &[f64]) {
    let times: Vec<String> = times.iter().map(|time| format!("{time:.2}")).collect();
    println!("{what}\t{name}\t{bytes:.1}\t{}", times.join(" "));
}

fn main() -> ExitCode {
    for mix in Mix::ALL {
        Pipeline::new(mix).measure();
    }
    lookup::measure();
    ExitCode::SUCCESS
}
