//! Each row of the table of closes (kernel-exact states, errors and counters), and the payload.

use std::time::Duration;

use agent_common::record::{Connection, Counters, flag};

use super::{closed, event};
use crate::event::{
    Close, CloseHow, Initiator, Payload,
    TcpState::{self, CloseWait, Closing, Established, FinWait1, FinWait2, LastAck, Listen, SynRecv},
};

const PROCESS: u32 = flag::PROCESS_CONTEXT;
const FIN: u32 = flag::FIN_RECEIVED;

fn ended(old: TcpState, flags: u32, error: u32, shutdown: u8) -> Connection {
    let mut record = closed(old, flags | flag::WAS_ESTABLISHED);
    record.socket.error = error;
    record.socket.shutdown = shutdown;
    record
}

fn close(record: &Connection) -> Close {
    event(record).close.unwrap()
}

fn who_and_how(old: TcpState, flags: u32, error: u32, shutdown: u8) -> (Initiator, CloseHow) {
    let close = close(&ended(old, flags, error, shutdown));
    assert_eq!(close.errno, (error != 0).then_some(error));
    (close.initiator, close.how)
}

#[test]
fn we_close_first() {
    assert_eq!(who_and_how(FinWait2, FIN, 0, 3), (Initiator::Local, CloseHow::Fin));
}

#[test]
fn we_close_first_and_the_minisock_waits_for_the_peers_fin() {
    assert_eq!(who_and_how(FinWait2, PROCESS, 0, 3), (Initiator::Local, CloseHow::Fin));
    assert_eq!(who_and_how(FinWait2, 0, 0, 3), (Initiator::Local, CloseHow::Fin));
}

#[test]
fn the_peer_closes_first() {
    assert_eq!(who_and_how(LastAck, FIN, 0, 3), (Initiator::Remote, CloseHow::Fin));
}

#[test]
fn both_close_at_once() {
    assert_eq!(who_and_how(Closing, FIN | flag::LOCAL_FIRST, 0, 3), (Initiator::Both, CloseHow::Fin));
}

#[test]
fn a_half_close_ends_with_the_peers_fin() {
    assert_eq!(who_and_how(FinWait2, FIN, 0, 3), (Initiator::Local, CloseHow::Fin));
}

#[test]
fn the_peer_resets() {
    assert_eq!(who_and_how(Established, 0, 104, 0), (Initiator::Remote, CloseHow::RstReceived));
    assert_eq!(
        who_and_how(Established, PROCESS, 104, 0),
        (Initiator::Remote, CloseHow::RstReceived),
        "the reset was worked off by the process that held the socket"
    );
    assert_eq!(who_and_how(CloseWait, FIN, 32, 1), (Initiator::Remote, CloseHow::RstReceived));
    assert_eq!(who_and_how(LastAck, FIN, 104, 3), (Initiator::Remote, CloseHow::RstReceived));
}

#[test]
fn linger_zero_and_unread_data_reset_the_peer() {
    assert_eq!(who_and_how(Established, PROCESS, 0, 3), (Initiator::Local, CloseHow::RstSent));
    assert_eq!(who_and_how(CloseWait, PROCESS | FIN, 0, 3), (Initiator::Remote, CloseHow::RstSent));
    assert_eq!(
        who_and_how(Established, PROCESS, 0, 0),
        (Initiator::Local, CloseHow::RstSent),
        "a listener that closes resets what nobody accepted"
    );
}

#[test]
fn an_abort_of_a_half_closed_connection_is_a_reset() {
    assert_eq!(who_and_how(FinWait1, PROCESS, 0, 3), (Initiator::Local, CloseHow::RstSent));
    let mut unread = ended(FinWait2, PROCESS, 0, 3);
    unread.counters.unread = 10;
    assert_eq!((close(&unread).initiator, close(&unread).how), (Initiator::Local, CloseHow::RstSent));
}

#[test]
fn a_peers_fin_that_a_process_works_off_is_no_reset() {
    let mut record = ended(FinWait2, PROCESS | FIN, 0, 3);
    record.counters.unread = 11;
    assert_eq!(close(&record).how, CloseHow::Fin);
}

#[test]
fn an_unread_fin_is_no_unread_data() {
    let mut record = ended(LastAck, PROCESS | FIN, 0, 3);
    record.counters.unread = 1;
    assert_eq!(close(&record).how, CloseHow::Fin);
    record.counters.unread = 2;
    assert_eq!(close(&record).how, CloseHow::Unknown, "thrown away with a RST, or only not read yet");
}

#[test]
fn data_after_close_and_a_reset_in_fin_wait_look_the_same() {
    assert_eq!(who_and_how(FinWait1, 0, 104, 3), (Initiator::Local, CloseHow::Unknown));
    assert_eq!(who_and_how(FinWait2, 0, 104, 2), (Initiator::Local, CloseHow::RstReceived));
}

#[test]
fn a_peer_that_went_silent_is_a_timeout_by_the_kernel() {
    assert_eq!(who_and_how(Established, 0, 110, 0), (Initiator::Kernel, CloseHow::Timeout));
    assert_eq!(
        who_and_how(FinWait1, 0, 110, 3),
        (Initiator::Local, CloseHow::Timeout),
        "we had closed; the kernel only gave up on the peer"
    );
}

#[test]
fn an_abort_from_outside_is_neither_side() {
    assert_eq!(
        who_and_how(Established, PROCESS | flag::LOCAL_FIRST, 103, 0),
        (Initiator::Kernel, CloseHow::Abort)
    );
}

#[test]
fn another_error_is_named_by_its_errno() {
    assert_eq!(who_and_how(Established, 0, 113, 0), (Initiator::Kernel, CloseHow::Error));
    assert_eq!(who_and_how(LastAck, FIN, 113, 3), (Initiator::Remote, CloseHow::Error));
}

#[test]
fn what_was_not_seen_is_unknown() {
    assert_eq!(who_and_how(Established, 0, 0, 0), (Initiator::Unknown, CloseHow::Unknown));
    assert_eq!(who_and_how(FinWait1, 0, 0, 3), (Initiator::Local, CloseHow::Unknown));
    assert_eq!(who_and_how(SynRecv, 0, 0, 0), (Initiator::Unknown, CloseHow::Unknown));
}

#[test]
fn a_listener_is_closed_by_its_process() {
    assert_eq!(who_and_how(Listen, PROCESS, 0, 3), (Initiator::Local, CloseHow::Unknown));
}

#[test]
fn a_repaired_close_does_not_guess_who_sent_a_reset() {
    let repaired = flag::REPAIRED | PROCESS;
    assert_eq!(who_and_how(Established, repaired, 0, 3), (Initiator::Unknown, CloseHow::Unknown));
    assert_eq!(who_and_how(Established, repaired | flag::LOCAL_FIRST, 0, 3).0, Initiator::Local);
    assert_eq!(who_and_how(Established, repaired | flag::REMOTE_FIRST, 0, 3).0, Initiator::Remote);
    let both = repaired | flag::LOCAL_FIRST | flag::REMOTE_FIRST;
    assert_eq!(who_and_how(Established, both, 0, 3).0, Initiator::Unknown);
    assert_eq!(who_and_how(FinWait1, repaired | FIN, 0, 3).1, CloseHow::Fin);
    assert_eq!(who_and_how(FinWait1, repaired, 0, 3).1, CloseHow::Unknown);
}

#[test]
fn the_duration_begins_where_the_connection_was_established() {
    let mut record = ended(FinWait2, flag::ACTIVE, 0, 3);
    assert_eq!(close(&record).duration, Some(Duration::from_millis(20)));
    record.socket.established_ns = 0;
    assert_eq!(close(&record).duration, None, "established, but when was missed");
    record.header.flags &= !flag::WAS_ESTABLISHED;
    assert_eq!(close(&record).duration, Some(Duration::from_millis(30)));
    record.socket.start_ns = 0;
    assert_eq!(close(&record).duration, None);
    record.socket.established_ns = super::NOW + 1;
    assert_eq!(close(&record).duration, None);
}

fn payload(record: &Connection) -> Payload {
    event(record).payload.unwrap()
}

const MOVED: Payload = Payload { sent: 1000, acked: 1000, received: 500 };

#[test]
fn the_payload_of_a_client_leaves_out_syn_fin_and_retransmits() {
    assert_eq!(payload(&closed(FinWait2, flag::ACTIVE | FIN)), MOVED);
}

#[test]
fn the_payload_of_a_server_leaves_out_the_fin() {
    let mut record = closed(LastAck, flag::PASSIVE | FIN);
    record.counters.bytes_acked = 1001;
    assert_eq!(payload(&record), MOVED);
}

#[test]
fn a_fin_that_did_not_come_is_not_taken_off() {
    let mut record = closed(Established, flag::ACTIVE);
    record.counters.bytes_received = 500;
    record.counters.bytes_acked = 901;
    record.counters.unacked = 100;
    assert_eq!(payload(&record), Payload { sent: 1000, acked: 900, received: 500 });
}

#[test]
fn what_waits_to_be_sent_is_not_sent_and_the_fin_waits_behind_it() {
    let mut record = closed(LastAck, flag::PASSIVE | FIN);
    record.counters.bytes_acked = 900;
    record.counters.unacked = 101;
    assert_eq!(payload(&record), MOVED_NOT_ACKED, "100 bytes and the FIN are under way");
    (record.counters.unacked, record.counters.unsent) = (151, 51);
    assert_eq!(payload(&record), MOVED_NOT_ACKED, "100 bytes are under way; 50 and the FIN wait");
}

const MOVED_NOT_ACKED: Payload = Payload { sent: 1000, acked: 900, received: 500 };

#[test]
fn segments_that_the_device_refused_are_not_sent_however_often_they_were_tried() {
    let mut record = closed(Established, flag::ACTIVE);
    record.counters =
        Counters { bytes_acked: 6, bytes_sent: 5 + 50 + 50, unacked: 50, unsent: 50, ..record.counters };
    assert_eq!((payload(&record).sent, payload(&record).acked), (5, 5));
}

#[test]
fn without_knowing_who_connected_the_counters_tell_whether_a_syn_is_in_the_sum() {
    let mut active = closed(FinWait2, FIN);
    assert_eq!(payload(&active), MOVED);
    let mut passive = active;
    passive.counters.bytes_acked = 1001;
    assert_eq!(payload(&passive), MOVED);
    for (record, acked) in [(&mut active, 901), (&mut passive, 900)] {
        record.socket.old_state = Established.number();
        record.counters.bytes_acked = acked;
        (record.counters.unacked, record.counters.unsent) = (150, 50);
        assert_eq!(payload(record), MOVED_NOT_ACKED);
    }
}

#[test]
fn a_connect_without_an_answer_has_sent_no_payload() {
    let mut record = closed(TcpState::SynSent, flag::ACTIVE);
    record.counters = Counters { segs_out: 1, unacked: 1, ..Counters::default() };
    assert_eq!(payload(&record), Payload { sent: 0, acked: 0, received: 0 });
}

#[test]
fn a_connection_that_moved_nothing_has_a_payload_of_nothing() {
    let mut record = closed(Established, flag::ACTIVE | FIN);
    record.counters = Counters::default();
    assert_eq!(payload(&record), Payload { sent: 0, acked: 0, received: 0 });
}

#[test]
fn counters_that_were_not_read_are_unknown() {
    let mut record = closed(FinWait2, flag::ACTIVE);
    record.header.flags &= !flag::COUNTERS;
    assert_eq!((event(&record).counters, event(&record).payload), (None, None));
}

#[test]
fn counters_that_the_kernel_wiped_before_a_repair_are_unknown() {
    let mut record = closed(Established, flag::ACTIVE | flag::REPAIRED);
    assert!(event(&record).counters.is_some());
    record.counters = Counters { segs_out: 1, ..Counters::default() };
    assert_eq!((event(&record).counters, event(&record).payload), (None, None));
}
