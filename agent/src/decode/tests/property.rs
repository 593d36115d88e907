//! Any bytes: the decoder answers or refuses, and never panics. The fuzz target in `fuzz/` does the same
//! without bounds; this runs everywhere.

use agent_common::record::{Connection, Listed, RecordType, Snapshot, SyscallConnect, Transition};
use proptest::prelude::{
    Just, ProptestConfig, Strategy, any, prop_assert, prop_assert_eq, prop_oneof, proptest,
};
use zerocopy::{FromBytes as _, IntoBytes as _};

use super::CONTEXT;
use crate::decode::{DecodeError, decode};

const RECORDS: [(RecordType, usize); 5] = [
    (RecordType::Transition, size_of::<Transition>()),
    (RecordType::Connection, size_of::<Connection>()),
    (RecordType::SyscallConnect, size_of::<SyscallConnect>()),
    (RecordType::Snapshot, size_of::<Snapshot>()),
    (RecordType::Listed, size_of::<Listed>()),
];

/// A record of random content whose header is right, so that all of it is looked at.
fn record() -> impl Strategy<Value = (RecordType, Vec<u8>)> {
    proptest::sample::select(RECORDS.to_vec()).prop_flat_map(|(record, length)| {
        // Zeros are what "unknown" looks like: half of all bytes.
        let byte = prop_oneof![Just(0), any::<u8>()];
        (Just(record), proptest::collection::vec(byte, length)).prop_map(|(record, mut bytes)| {
            let length = bytes.len() as u16;
            bytes[28..30].copy_from_slice(&length.to_ne_bytes());
            bytes[30] = record as u8;
            (record, bytes)
        })
    })
}

/// The same with states that exist and times that are near each other.
fn plausible_connection() -> impl Strategy<Value = Connection> {
    let times = proptest::array::uniform4(0..1000_u64);
    let record = proptest::collection::vec(any::<u8>(), size_of::<Connection>());
    (record, times, 1..=12_u8, 1..=12_u8).prop_map(|(bytes, times, old, new)| {
        let mut record = Connection::read_from_bytes(&bytes).unwrap();
        record.header.record = RecordType::Connection as u8;
        record.header.len = size_of::<Connection>() as u16;
        record.header.time_ns = times[0];
        record.socket.start_ns = times[1];
        record.socket.established_ns = times[2];
        record.socket.old_since_ns = times[3];
        (record.socket.old_state, record.socket.new_state) = (old, new);
        record
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn any_bytes_are_decoded_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = decode(&bytes, &CONTEXT);
    }

    #[test]
    fn a_record_of_the_right_length_is_refused_only_for_its_states((record, bytes) in record()) {
        match decode(&bytes, &CONTEXT) {
            Ok(_) => {}
            Err(DecodeError::State { number }) => {
                prop_assert!(record != RecordType::SyscallConnect);
                prop_assert!(number == 0 || number > 12);
            }
            Err(other) => prop_assert!(false, "{other}"),
        }
    }

    #[test]
    fn a_record_cut_short_or_made_longer_is_refused((_, bytes) in record(), cut in 0..400_usize) {
        let mut other = bytes.clone();
        other.resize(cut, 0);
        if other.len() != bytes.len() {
            prop_assert!(decode(&other, &CONTEXT).is_err());
        }
    }

    #[test]
    fn fields_come_out_as_they_went_in(record in plausible_connection()) {
        let decoded = decode(record.as_bytes(), &CONTEXT).unwrap();
        let event = decoded.event;
        prop_assert_eq!(decoded.verdict, record.header.verdict);
        prop_assert_eq!(event.kinds.0, record.header.kinds);
        prop_assert_eq!(event.cpu, record.header.cpu);
        prop_assert_eq!(event.boot_ns, record.header.time_ns);
        prop_assert_eq!(event.cookie.unwrap_or(0), record.socket.cookie);
        prop_assert_eq!(event.netns.unwrap_or(0), record.socket.netns);
        prop_assert_eq!(event.cgroup_id.unwrap_or(0), record.socket.cgroup_id);
        prop_assert_eq!(event.start_ns.unwrap_or(0), record.socket.start_ns);
        prop_assert_eq!(event.local_port.unwrap_or(0), record.socket.local_port);
        if let Some(owner) = event.owner {
            prop_assert_eq!(owner.pid, record.owner.pid);
            prop_assert_eq!(owner.uid, record.owner.uid);
            prop_assert_eq!(owner.comm.0, record.owner.comm);
        }
        if let Some(counters) = event.counters {
            prop_assert_eq!(counters, record.counters);
        }
    }

    #[test]
    fn no_duration_is_longer_than_the_clock_and_no_payload_larger_than_its_counter(record in plausible_connection()) {
        let event = decode(record.as_bytes(), &CONTEXT).unwrap().event;
        let clock = u128::from(record.header.time_ns);
        for duration in [
            event.state.and_then(|state| state.in_old),
            event.close.and_then(|close| close.duration),
            event.failure.and_then(|failure| failure.elapsed),
        ].into_iter().flatten() {
            prop_assert!(duration.as_nanos() <= clock);
        }
        if let (Some(payload), Some(counters)) = (event.payload, event.counters) {
            prop_assert!(payload.acked <= payload.sent);
            prop_assert!(payload.acked <= counters.bytes_acked);
            prop_assert!(payload.received <= counters.bytes_received);
        }
    }
}
