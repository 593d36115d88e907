//! Any bytes as a stream of compact batches, each behind its length in one byte. Prost is asked whether they are one,
//! and its own form of the same batch has the same events.

#![no_main]

use libfuzzer_sys::fuzz_target;
use prost::Message;
use proto::{compact::Decoder, v1::CompactBatch};

fuzz_target!(|bytes: &[u8]| {
    let (mut decoder, mut judge) = (Decoder::new(), Decoder::new());
    let mut rest = bytes;
    while let Some((length, behind)) = rest.split_first() {
        let (batch, behind) = behind.split_at(usize::from(*length).min(behind.len()));
        rest = behind;
        let events = decoder.decode(batch);
        match CompactBatch::decode(batch) {
            Ok(batch) => assert_eq!(events, judge.decode(&batch.encode_to_vec())),
            Err(_) => assert!(events.is_err()),
        }
        if events.is_err() {
            // A decoder is of no use then.
            break;
        }
    }
});
