//! How many events a second one core takes from the bytes in the ring to events at the client, without kernel and
//! network: `cargo xtask bench pipeline`. One thread does it all.
//!
//! ```text
//! compact   decode -> compact encoder -> prost -> events shown one by one
//! readable  decode -> readable encoder -> prost
//! naive     decode -> prost structs, one message an event -> prost
//! ```
//!
//! Each prints its best and its median round; the stages are measured by leaving out those behind them.

mod sample;

use std::{hint::black_box, process::ExitCode, sync::Arc, time::Instant};

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

use sample::{Mix, Record};

const CONTEXT: Context =
    Context { wall_offset_ns: 1_700_000_000_000_000_000, host_netns: Some(4_026_531_840), root_cgroup: 1 };

/// Events in a batch: 20,000 a second, 50 ms.
const BATCH: usize = 1000;

const CONNECTIONS: u64 = 20_000;

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
    records: Vec<Record>,
    identities: Vec<Arc<Identity>>,
    origin: Origin,
}

impl Pipeline {
    fn event(&self, record: &Record) -> Option<Event> {
        decode(&record.bytes, &CONTEXT).ok().map(|decoded| decoded.event)
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
        for record in &self.records {
            let Some(event) = self.event(record) else { continue };
            if last == Stage::Decoded {
                decoded += black_box(&event).kinds.0.count_ones() as usize;
                continue;
            }
            encoder.push(&event, self.identities.get(record.pod));
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
        for record in &self.records {
            let Some(event) = self.event(record) else { continue };
            let local = self.identities.get(record.pod).map(Arc::as_ref);
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

/// Median and best nanoseconds an event, and bytes an event.
fn measure(name: &str, mut round: impl FnMut() -> (usize, usize)) -> f64 {
    round();
    let mut times = Vec::new();
    let mut bytes = 0.0;
    for _ in 0..ROUNDS {
        let start = Instant::now();
        let (events, length) = round();
        times.push(start.elapsed().as_secs_f64() * 1e9 / events as f64);
        bytes = length as f64 / events as f64;
    }
    times.sort_by(f64::total_cmp);
    let (best, median) = (times[0], times[times.len() / 2]);
    println!(
        "{name:<42} {median:7.0} ns/event {:8.2} M/s   best {best:5.0} ns   {bytes:6.1} bytes",
        1e3 / median
    );
    median
}

fn main() -> ExitCode {
    for mix in Mix::ALL {
        println!("{mix:?}:");
        let pipeline = Pipeline {
            records: sample::records(CONNECTIONS, mix),
            identities: sample::identities(),
            origin: Origin { node_name: "worker-1".into(), cluster: "production".into() },
        };
        let naive = measure("  naive: to prost structs at the client", || pipeline.naive());
        for (name, encoding, last) in [
            ("  decoded from the ring", Encoding::Compact, Stage::Decoded),
            ("  readable: encoded", Encoding::Readable, Stage::Encoded),
            ("  readable: to prost structs at the client", Encoding::Readable, Stage::Received),
            ("  compact: encoded", Encoding::Compact, Stage::Encoded),
            ("  compact: to prost structs at the client", Encoding::Compact, Stage::Received),
            ("  compact: to events shown at the client", Encoding::Compact, Stage::Shown),
        ] {
            let median = measure(name, || pipeline.encoded(encoding, last));
            println!("{:>42} {:.1}x naive", "", naive / median);
        }
    }
    ExitCode::SUCCESS
}
