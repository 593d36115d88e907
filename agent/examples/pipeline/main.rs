//! How many events a second one core takes from the bytes in the ring to events at the client, without kernel and
//! network, and what the look-up of names takes of it: `cargo xtask bench pipeline`. One thread does it all.
//!
//! ```text
//! bed       decode -> name -> route -> the subscriber's queue, and the history
//! compact   bed -> compact encoder -> events shown one by one, or kept
//! readable  bed -> readable encoder -> prost
//! naive     decode -> name -> prost structs, one message an event -> prost
//! ```
//!
//! The naive way allocates for each event, on both sides, and most of what it takes is the allocator's. Prost's structs
//! cannot be had without: to show what of it is not theirs, there is a naive way that uses the rest again, the buffer
//! and the message around the event. The compact way has one, too, that keeps its events as prost's structs, as
//! `sockeye observe` does.
//!
//! Prints a line for each, parts divided by tabs: what is sent, how far, bytes an event, and the nanoseconds an event
//! of each round by the thread's CPU time: what else runs does not count, but for what it does to caches. Each round
//! has all of them in turn. The stages are measured by leaving out those behind them.
//! `pipeline WORDS` runs only those whose names contain the words, for a profiler.

mod bed;
mod lookup;
mod sample;

use std::{hint::black_box, ops::Range, process::ExitCode};

use agent::{
    decode::{decode, decode_into},
    event::Event,
    hub::Naming as _,
    wire::{Encoder, Origin, convert::convert},
};
use bytes::{Bytes, BytesMut};
use prost::Message as _;
use proto::{
    compact::Decoder,
    mask::Mask,
    receive::Received,
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
    /// As prost's structs.
    Kept,
    Shown,
}

/// A way, and its name on the page.
#[derive(Clone, Copy)]
enum Way {
    Ours(Encoding, Stage),
    Naive,
    NaiveAgain,
}

const WAYS: [(&str, Way); 9] = [
    ("naive: prost structs at the client", Way::Naive),
    ("naive, buffer and message used again", Way::NaiveAgain),
    ("decoded from the ring", Way::Ours(Encoding::Compact, Stage::Decoded)),
    ("named, routed, queued, kept", Way::Ours(Encoding::Compact, Stage::Queued)),
    ("readable: encoded", Way::Ours(Encoding::Readable, Stage::Encoded)),
    ("readable: prost structs at the client", Way::Ours(Encoding::Readable, Stage::Kept)),
    ("compact: encoded", Way::Ours(Encoding::Compact, Stage::Encoded)),
    ("compact: events kept at the client, as prost structs", Way::Ours(Encoding::Compact, Stage::Kept)),
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
            let mut event = Event::BLANK;
            for place in &self.records {
                let decoded = decode_into(&self.ring[place.clone()], &CONTEXT, &mut event);
                done.events += black_box(decoded).map_or(0, |_| kinds(black_box(&event).kinds.0));
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
                if last >= Stage::Kept {
                    // As from the network: the memory is the receiver's until it has read them.
                    receive(&bytes.split().freeze(), &mut decoder, last);
                }
            };
            for item in items.iter() {
                if !encoder.has_room() {
                    finish(&mut encoder);
                }
                encoder.push(item.event, Some(item.local));
            }
            finish(&mut encoder);
        }
        done
    }

    /// `again`: what can be used again is.
    fn naive(&self, bed: &mut Bed, again: bool) -> Done {
        let mut done = Done::default();
        let (mut bytes, mut received) = (Vec::new(), ObserveResponse::default());
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
                done.events += 1;
                if again {
                    bytes.clear();
                    let encoded = response.encode(&mut bytes);
                    assert!(encoded.is_ok(), "a vector grows");
                    received.clear();
                    black_box(received.merge(&*bytes).ok());
                } else {
                    bytes = response.encode_to_vec();
                    black_box(ObserveResponse::decode(&*bytes).ok());
                }
                black_box(&received);
                done.bytes += bytes.len();
            }
        }
        done
    }

    fn round(&self, bed: &mut Bed, way: Way) -> Done {
        match way {
            Way::Ours(encoding, last) => self.ours(bed, encoding, last),
            Way::Naive => self.naive(bed, false),
            Way::NaiveAgain => self.naive(bed, true),
        }
    }

    /// All ways in turn, so many times; only those whose names contain `only`.
    fn measure(&self, only: &str) {
        let mut bed = Bed::new(self.mix);
        let mut times: [Vec<f64>; WAYS.len()] = Default::default();
        let mut sizes = [0.0; WAYS.len()];
        for round in 0..=ROUNDS {
            let chosen = WAYS.into_iter().enumerate().filter(|(_, (name, _))| name.contains(only));
            for (index, (name, way)) in chosen {
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
            if times.is_empty() {
                continue;
            }
            show(&format!("{:?}", self.mix), name, bytes, times);
        }
    }
}

fn kinds(kinds: u32) -> usize {
    kinds.count_ones() as usize
}

fn receive(message: &Bytes, decoder: &mut Decoder, last: Stage) {
    match Received::read(message) {
        Ok(Received::Compact(_, batch)) => {
            let read = if last >= Stage::Shown {
                decoder.visit(&batch, |event| _ = black_box(event)).map(drop)
            } else {
                decoder.decode(&batch).map(|batch| _ = black_box(batch))
            };
            assert!(read.is_ok(), "the encoder keeps to the rules");
        }
        other => _ = black_box(other),
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
    let only = std::env::args().nth(1).unwrap_or_default();
    for mix in Mix::ALL {
        Pipeline::new(mix).measure(&only);
    }
    if "look-up".contains(&only) {
        lookup::measure();
    }
    ExitCode::SUCCESS
}
