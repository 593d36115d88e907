//! Any bytes into the record decoder: as they are, and as the content of each type of record.

#![no_main]

use agent::decode::{Context, cgroup, decode};
use libfuzzer_sys::fuzz_target;

const CONTEXT: Context =
    Context { wall_offset_ns: 1_700_000_000_000_000_000, host_netns: Some(4_026_531_840), root_cgroup: 1, reset_reasons: &[] };

/// Type and length of every record; a wrong pair here would only be refused.
const RECORDS: [(u8, usize); 5] = [(1, 184), (2, 312), (3, 136), (4, 184), (5, 696)];

fuzz_target!(|bytes: &[u8]| {
    let _ = decode(bytes, &CONTEXT);
    let _ = cgroup(bytes);
    for (record, length) in RECORDS {
        let mut whole = bytes.to_vec();
        whole.resize(length, 0);
        whole[28..30].copy_from_slice(&u16::try_from(length).unwrap_or_default().to_ne_bytes());
        whole[30] = record;
        let _ = decode(&whole, &CONTEXT);
        if let Ok(made) = cgroup(&whole) {
            assert!(made.levels().all(|level| !level.name.is_empty()));
        }
    }
});
