//! Any bytes as a stream of compact batches, each behind its length in one byte.

#![no_main]

use libfuzzer_sys::fuzz_target;
use prost::Message;
use proto::{compact::Decoder, v1::CompactBatch};

fuzz_target!(|bytes: &[u8]| {
    let mut decoder = Decoder::new();
    let mut rest = bytes;
    while let Some((length, behind)) = rest.split_first() {
        let (batch, behind) = behind.split_at(usize::from(*length).min(behind.len()));
        rest = behind;
        if let Ok(batch) = CompactBatch::decode(batch) {
            let _ = decoder.decode(batch);
        }
    }
});
