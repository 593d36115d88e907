//! How many events a second one core takes from the bytes in the ring to events at the client, without kernel and
//! network: `cargo xtask bench pipeline`. One thread does it all.
//!
//! ```text
//! compact   decode -> compact encoder -> prost -> events shown one by one
//! readable  decode -> readable encoder -> prost
//! naive     decode -> prost structs, one message an event -> prost
//! ```
//!
//! Each prints its median and its best round, by the thread's CPU time: what else runs does not count, but for what it
//! does to caches. The stages are measured by leaving out those behind them.

mod sample;

use std::{hint::black_box, ops::Range, process::ExitCode, sync::Arc};

use agent::{
    decode::{Context, decode},
    event::Event,
    identity::Identity,
    wire::{Encoder, Origin, convert::convert},
};
use bytes::BytesMut;
use prost::Message as _;
use proto::{
    compact::Decoder,
    mask::Mask,
    v1::{self, Encoding, ObserveResponse, observe_response::Payload},
};

use rustix::time::{ClockId, clock_gettime};
use sample::Mix;

const CONTEXT: Context =
    Context { wall_offset_ns: 1_700_000_000_000_000_000, host_netns: Some(4_026_531_840), root_cgroup: 1 };

/// Events in a batch: 20,000 a second, 50 ms.
const BATCH: usize = 1000;

const CONNECTIONS: u64 = 10_000;

const ROUNDS: usize = 15;

/// How far an event goes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Decoded,
    Encoded,
    Received,
    Shown,
}

struct Pipeline {
    /// The records, one behind the other as in the ring.
    ring: Vec<u8>,
    /// Where each is, and whose.
    records: Vec<(Range<usize>, usize)>,
    identities: Vec<Arc<Identity>>,
    origin: Origin,
}

impl Pipeline {
    fn new(mix: Mix) -> Self {
        let mut ring = Vec::new();
        let mut records = Vec::new();
        for record in sample::records(CONNECTIONS, mix) {
            records.push((ring.len()..ring.len() + record.bytes.len(), record.pod));
            ring.extend_from_slice(&record.bytes);
        }
        let origin = Origin { node_name: "worker-1".into(), cluster: "production".into() };
        Self { ring, records, identities: sample::identities(), origin }
    }

    fn event(&self, place: &Range<usize>) -> Option<Event> {
        decode(&self.ring[place.clone()], &CONTEXT).ok().map(|decoded| decoded.event)
    }

    /// Returns messages and bytes.
    fn encoded(&self, encoding: Encoding, last: Stage) -> (usize, usize) {
        let mut encoder = Encoder::new(encoding, &Mask::default(), self.origin.clone());
        let mut decoder = Decoder::new();
        let mut bytes = BytesMut::new();
        let (mut events, mut length) = (0, 0);
        let mut finish = |encoder: &mut Encoder| {
            events += encoder.events();
            bytes.clear();
            encoder.finish(CONTEXT.wall_offset_ns.unsigned_abs(), &[7; 16], &mut bytes);
            length += bytes.len();
            if last >= Stage::Received {
                receive(&bytes, &mut decoder, last);
            }
        };
        let mut decoded = 0;
        for (place, pod) in &self.records {
            let Some(event) = self.event(place) else { continue };
            if last == Stage::Decoded {
                decoded += black_box(&event).kinds.0.count_ones() as usize;
                continue;
            }
            encoder.push(&event, self.identities.get(*pod));
            if encoder.events() >= BATCH {
                finish(&mut encoder);
            }
        }
        if encoder.events() > 0 {
            finish(&mut encoder);
        }
        (events + decoded, length)
    }

    fn naive(&self) -> (usize, usize) {
        let (mut events, mut length) = (0, 0);
        for (place, pod) in &self.records {
            let Some(event) = self.event(place) else { continue };
            let local = self.identities.get(*pod).map(Arc::as_ref);
            for message in convert(&event, local, &self.origin) {
                let response = ObserveResponse {
                    node_name: self.origin.node_name.to_string(),
                    time: message.time,
                    payload: Some(Payload::Events(v1::EventBatch {
                        events: vec![message],
                        resume_token: vec![7; 16],
                    })),
                };
                let bytes = response.encode_to_vec();
                events += 1;
                length += bytes.len();
                black_box(ObserveResponse::decode(&*bytes).ok());
            }
        }
        (events, length)
    }
}

fn receive(bytes: &[u8], decoder: &mut Decoder, last: Stage) {
    match ObserveResponse::decode(bytes).ok().and_then(|response| response.payload) {
        Some(Payload::CompactEvents(batch)) if last >= Stage::Shown => {
            let shown = decoder.visit(batch, |event| {
                black_box(event);
            });
            black_box(shown.is_ok());
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

/// Prints nanoseconds and bytes an event; returns the best.
fn measure(name: &str, mut round: impl FnMut() -> (usize, usize)) -> f64 {
    round();
    let mut times = Vec::new();
    let mut bytes = 0.0;
    for _ in 0..ROUNDS {
        let start = cpu_ns();
        let (events, length) = round();
        times.push((cpu_ns() - start) / events as f64);
        bytes = length as f64 / events as f64;
    }
    times.sort_by(f64::total_cmp);
    let (best, median) = (times[0], times[times.len() / 2]);
    println!(
        "{name:<42} {median:7.0} ns/event {:6.2} M/s   best {best:5.0} ns {:6.2} M/s {bytes:7.1} bytes",
        1e3 / median,
        1e3 / best
    );
    best
}

fn main() -> ExitCode {
    for mix in Mix::ALL {
        println!("{mix:?}:");
        let pipeline = Pipeline::new(mix);
        let naive = measure("  naive: to prost structs at the client", || pipeline.naive());
        for (name, encoding, last) in [
            ("  decoded from the ring", Encoding::Compact, Stage::Decoded),
            ("  readable: encoded", Encoding::Readable, Stage::Encoded),
            ("  readable: to prost structs at the client", Encoding::Readable, Stage::Received),
            ("  compact: encoded", Encoding::Compact, Stage::Encoded),
            ("  compact: to prost structs at the client", Encoding::Compact, Stage::Received),
            ("  compact: to events shown at the client", Encoding::Compact, Stage::Shown),
        ] {
            let best = measure(name, || pipeline.encoded(encoding, last));
            println!("{:>42} {:6.1}x naive", "", naive / best);
        }
    }
    ExitCode::SUCCESS
}
