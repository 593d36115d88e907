//! Each way a connect can fail, with the values that real kernels left in the socket.

use std::{net::Ipv6Addr, time::Duration};

use agent_common::record::{Connection, Counters, RecordType, Relation, SyscallConnect, flag};

use super::{NOW, closed, event, header, owner};
use crate::event::{
    CloseHow, EventKind, Failure, FailureCause, Family, IdentitySource, Initiator, Role, TcpState,
};

/// `SYN_SENT -> CLOSE` after one SYN and 30 ms.
fn failed(error: u32) -> Connection {
    let mut record = closed(TcpState::SynSent, flag::ACTIVE);
    record.header.kinds = EventKind::ConnectFailed.bit() | EventKind::Close.bit();
    record.socket.established_ns = 0;
    record.socket.error = error;
    record.counters = Counters { segs_out: 1, ..Counters::default() };
    record
}

fn failure(record: &Connection) -> Failure {
    event(record).failure.unwrap()
}

#[test]
fn the_errno_in_the_socket_names_the_cause() {
    for (error, cause) in [
        (111, FailureCause::Refused),
        (110, FailureCause::TimedOut),
        (113, FailureCause::HostUnreachable),
        (101, FailureCause::NetUnreachable),
        (104, FailureCause::Reset),
        (1, FailureCause::Denied),
        (13, FailureCause::Denied),
        (99, FailureCause::NoLocalPort),
        (71, FailureCause::Other),
    ] {
        let failure = failure(&failed(error));
        assert_eq!((failure.cause, failure.errno), (cause, Some(error)));
        assert_eq!(failure.elapsed, Some(Duration::from_millis(30)));
    }
}

#[test]
fn the_elapsed_time_of_a_failure_is_its_connect_latency_too() {
    let event = event(&failed(111));
    assert_eq!(event.connect_latency, Some(Duration::from_millis(30)));
    assert_eq!(event.close.unwrap().duration, Some(Duration::from_millis(30)));
}

#[test]
fn no_error_no_segment_and_no_port_is_an_exhausted_port_range() {
    let mut record = failed(0);
    record.socket.local_port = 0;
    record.counters.segs_out = 0;
    record.header.flags |= flag::PROCESS_CONTEXT;
    let exhausted = Failure {
        cause: FailureCause::NoLocalPort,
        errno: Some(99),
        elapsed: Some(Duration::from_millis(30)),
        syns_sent: Some(0),
    };
    assert_eq!(failure(&record), exhausted);
    record.header.flags &= !flag::COUNTERS;
    assert_eq!(failure(&record), exhausted, "no port says it even where the counters are not to be had");
}

#[test]
fn a_bound_port_without_a_segment_is_not_taken_for_given_up() {
    let mut record = failed(0);
    record.counters.segs_out = 0;
    record.header.flags |= flag::PROCESS_CONTEXT;
    assert_eq!(failure(&record).cause, FailureCause::Unknown);
    assert_eq!(failure(&record).syns_sent, Some(0));
}

#[test]
fn a_process_that_closes_while_it_connects_has_given_up() {
    let mut record = failed(0);
    record.socket.shutdown = 3;
    assert_eq!(failure(&record).cause, FailureCause::Abandoned);
    assert_eq!(failure(&record).errno, None);
    let disconnect = {
        let mut record = failed(0);
        record.header.flags |= flag::PROCESS_CONTEXT;
        record
    };
    assert_eq!(failure(&disconnect).cause, FailureCause::Abandoned, "connect(AF_UNSPEC) shuts nothing down");
    assert_eq!(event(&record).close.unwrap().initiator, Initiator::Local);
}

#[test]
fn without_error_and_without_a_closing_process_the_cause_is_unknown() {
    assert_eq!(failure(&failed(0)).cause, FailureCause::Unknown);
    assert_eq!(event(&failed(0)).close.unwrap().initiator, Initiator::Unknown);
}

#[test]
fn syns_are_counted_but_not_those_that_found_no_way_out() {
    let mut record = failed(110);
    record.socket.syn_retransmits = 2;
    record.counters.segs_out = 3;
    assert_eq!(failure(&record).syns_sent, Some(3));
    record.counters.segs_out = 1;
    assert_eq!(failure(&record).syns_sent, Some(1), "ARP failed: the retransmits never left");
    record.header.flags &= !flag::COUNTERS;
    assert_eq!(failure(&record).syns_sent, Some(3));
}

#[test]
fn a_failure_that_was_repaired_admits_what_it_cannot_know() {
    let mut record = failed(0);
    record.header.flags |= flag::REPAIRED | flag::PROCESS_CONTEXT;
    record.socket.shutdown = 3;
    let unknown = Failure { cause: FailureCause::Unknown, errno: None, elapsed: None, syns_sent: None };
    assert_eq!(failure(&record), unknown);
    record.socket.error = 110;
    assert_eq!(failure(&record).cause, FailureCause::TimedOut);
}

#[test]
fn who_ended_a_failed_connect_follows_from_its_cause() {
    let initiator = |error| event(&failed(error)).close.unwrap().initiator;
    assert_eq!(initiator(111), Initiator::Remote);
    assert_eq!(initiator(110), Initiator::Kernel);
    assert_eq!(initiator(113), Initiator::Kernel);
}

#[test]
fn a_refusal_by_rst_and_one_by_icmp_are_told_apart_by_the_segment() {
    let mut record = failed(111);
    assert_eq!(event(&record).close.unwrap().how, CloseHow::Error);
    record.counters.segs_in = 1;
    assert_eq!(event(&record).close.unwrap().how, CloseHow::RstReceived);
}

#[test]
fn a_failed_call_gives_its_errno_and_its_time_and_no_state() {
    let mut record = SyscallConnect {
        header: header(RecordType::SyscallConnect, &[EventKind::ConnectFailed], flag::ACTIVE),
        owner: owner(100, Relation::Owner),
        remote: super::v4(9),
        elapsed_ns: 7_000,
        cookie: 12,
        cgroup_id: 1,
        netns: 4_026_532_000,
        error: 101,
        remote_port: 80,
        pad: [0; 6],
    };
    let shown = event(&record);
    assert_eq!(
        shown.failure,
        Some(Failure {
            cause: FailureCause::NetUnreachable,
            errno: Some(101),
            elapsed: Some(Duration::from_micros(7)),
            syns_sent: Some(0)
        })
    );
    assert_eq!((shown.state, shown.close, shown.local, shown.local_port), (None, None, None, None));
    assert_eq!(shown.remote.unwrap().to_string(), "10.0.0.9:80");
    assert_eq!((shown.family, shown.role), (Family::V4, Role::Client));
    assert_eq!(shown.start_ns, Some(NOW - 7_000));
    assert_eq!(shown.process.map(|process| process.pid), Some(100));
    assert_eq!(shown.identity_source, IdentitySource::Process);
    for (error, cause) in [
        (99, FailureCause::NoLocalPort),
        (13, FailureCause::Denied),
        (1, FailureCause::Denied),
        (113, FailureCause::HostUnreachable),
        (22, FailureCause::Other),
    ] {
        record.error = error;
        assert_eq!(event(&record).failure.unwrap().cause, cause);
    }
    record.remote = "fd00::9".parse::<Ipv6Addr>().unwrap().octets();
    record.elapsed_ns = NOW + 1;
    let odd = event(&record);
    assert_eq!((odd.family, odd.start_ns), (Family::V6, None));
}
