//! When a connect is a row, and with what.

use std::{net::IpAddr, time::Duration};

use agent_common::event::{Event, EventKind, FailureCause};

use super::{HELD, PORT_NS, Tcpconnect, VERDICT_NS};
use crate::{args::Options, dns::Names, fixture, view::View as _};

/// A row as the tests look at it.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    cookie: Option<u64>,
    lport: Option<u16>,
    query: Option<String>,
}

struct Run {
    view: Tcpconnect,
    seen: Vec<Seen>,
}

impl Run {
    fn new(options: Options) -> Self {
        Self { view: Tcpconnect::new(&options, None), seen: Vec::new() }
    }

    fn event(&mut self, event: Event) -> &mut Self {
        let seen = &mut self.seen;
        self.view.event(&event, &mut |row| seen.push(see(row)));
        self
    }

    fn idle(&mut self, now_ns: u64) -> &mut Self {
        let seen = &mut self.seen;
        self.view.idle(now_ns, &mut |row| seen.push(see(row)));
        self
    }

    fn cookies(&self) -> Vec<u64> {
        self.seen.iter().filter_map(|seen| seen.cookie).collect()
    }
}

fn see(row: &crate::view::Row<'_>) -> Seen {
    Seen {
        cookie: row.event.cookie,
        lport: row.event.local_port,
        query: row.query.map(|query| String::from_utf8_lossy(query).into_owned()),
    }
}

/// A connect as the kernel reports it: no local port yet.
fn connect(cookie: u64) -> Event {
    let mut event = fixture::event(&[EventKind::Connect]);
    event.cookie = Some(cookie);
    event.local_port = None;
    event
}

fn established(cookie: u64, later: Duration) -> Event {
    let mut event = fixture::event(&[EventKind::Established]);
    event.cookie = Some(cookie);
    fixture::after(event, later)
}

fn failed(cookie: u64, cause: FailureCause, later: Duration) -> Event {
    let mut event = fixture::failed(cause, 2);
    event.cookie = Some(cookie);
    fixture::after(event, later)
}

const US: Duration = Duration::from_micros(1);

#[test]
fn a_connect_that_gets_an_answer_is_one_row_with_its_port() {
    let mut run = Run::new(Options::default());
    run.event(connect(1));
    assert!(run.seen.is_empty());
    run.event(established(1, 30 * US));
    assert_eq!(run.seen, [Seen { cookie: Some(1), lport: Some(45_678), query: None }]);
    assert_eq!(run.view.deadline(), None);
}

#[test]
fn a_refused_connect_is_a_row_and_one_without_a_local_port_is_none() {
    let mut run = Run::new(Options::default());
    run.event(connect(1)).event(connect(2));
    run.event(failed(2, FailureCause::NoLocalPort, 2 * US));
    run.event(failed(1, FailureCause::Refused, 40 * US));
    assert_eq!(run.cookies(), [1]);
}

#[test]
fn a_connect_without_an_answer_is_a_row_after_a_short_time() {
    let mut run = Run::new(Options::default());
    run.event(connect(1));
    let until = fixture::BOOT_NS + VERDICT_NS;
    assert_eq!(run.view.deadline(), Some(until));
    run.idle(until - 1);
    assert!(run.seen.is_empty());
    run.idle(until);
    assert_eq!(run.seen, [Seen { cookie: Some(1), lport: None, query: None }]);
    // The answer that comes later is no second row.
    run.event(established(1, Duration::from_millis(30)));
    assert_eq!(run.cookies(), [1]);
}

#[test]
fn where_the_port_is_shown_a_row_waits_longer_for_it() {
    let mut run = Run::new(Options { needs_port: true, ..Options::default() });
    run.event(connect(1)).event(connect(2));
    assert_eq!(run.view.deadline(), Some(fixture::BOOT_NS + PORT_NS));
    run.event(established(1, Duration::from_millis(20)));
    assert_eq!(run.seen, [Seen { cookie: Some(1), lport: Some(45_678), query: None }]);
    run.idle(fixture::BOOT_NS + PORT_NS);
    assert_eq!(run.seen.last(), Some(&Seen { cookie: Some(2), lport: None, query: None }));
}

#[test]
fn rows_leave_in_the_order_in_which_the_connects_began() {
    let mut run = Run::new(Options::default());
    run.event(connect(1)).event(connect(2)).event(connect(3));
    run.event(established(2, 10 * US)).event(established(3, 11 * US));
    assert!(run.seen.is_empty());
    run.event(established(1, 12 * US));
    assert_eq!(run.cookies(), [1, 2, 3]);
}

#[test]
fn what_waits_is_bounded_and_nothing_is_dropped_for_it() {
    let mut run = Run::new(Options::default());
    let many = HELD as u64 + 100;
    for cookie in 1..=many {
        run.event(connect(cookie));
    }
    assert_eq!(run.seen.len(), 100);
    let seen = &mut run.seen;
    run.view.finish(&mut |row| seen.push(see(row)));
    assert_eq!(run.cookies(), (1..=many).collect::<Vec<_>>());
}

#[test]
fn a_socket_without_a_cookie_does_not_wait() {
    let mut run = Run::new(Options::default());
    let mut event = connect(1);
    event.cookie = None;
    run.event(event);
    assert_eq!(run.seen.len(), 1);
}

#[test]
fn a_second_connect_of_a_socket_is_a_second_row() {
    let mut run = Run::new(Options::default());
    run.event(connect(1)).event(failed(1, FailureCause::Refused, 5 * US));
    run.event(fixture::after(connect(1), 9 * US)).event(established(1, 20 * US));
    assert_eq!(run.cookies(), [1, 1]);
}

#[test]
fn failures_alone_are_shown_on_request_also_those_without_a_syn() {
    let mut run = Run::new(Options { failed: true, ..Options::default() });
    run.event(connect(1)).event(established(1, 2 * US));
    run.event(connect(2)).event(failed(2, FailureCause::NoLocalPort, 4 * US));
    run.event(failed(3, FailureCause::TimedOut, 5 * US));
    assert_eq!(run.cookies(), [2, 3]);
}

#[test]
fn with_a_filter_on_local_ports_the_end_of_a_connect_makes_the_row() {
    let mut run = Run::new(Options { local_port_filter: true, ..Options::default() });
    run.event(connect(1));
    assert_eq!(run.view.deadline(), None);
    run.event(established(1, 2 * US));
    run.event(failed(2, FailureCause::Refused, 3 * US));
    run.event(failed(3, FailureCause::NoLocalPort, 4 * US));
    assert_eq!(run.cookies(), [1, 2]);
}

#[test]
fn the_snapshot_is_no_row() {
    let mut run = Run::new(Options::default());
    let mut event = connect(1);
    event.synthetic = true;
    run.event(event).idle(u64::MAX / 2);
    assert!(run.seen.is_empty());
}

#[test]
fn names_come_with_the_row_or_the_row_goes_without() {
    let names = Names::from_resolver(|address| {
        if address == IpAddr::from([10, 0, 0, 2]) { Some("db.example".to_owned()) } else { None }
    });
    let mut run = Run::new(Options { dns: true, ..Options::default() });
    run.view.names = Some(names);
    run.event(connect(1)).event(established(1, US));
    let mut other = connect(2);
    other.remote = Some("192.0.2.1:80".parse().unwrap());
    let mut here = connect(3);
    here.remote = Some("127.0.0.1:80".parse().unwrap());
    run.event(other).event(established(2, US)).event(here).event(established(3, US));

    // Real time for the resolver's threads; the view's own time stands still.
    let begin = std::time::Instant::now();
    while run.seen.len() < 3 && begin.elapsed() < Duration::from_secs(20) {
        std::thread::sleep(Duration::from_millis(1));
        run.idle(fixture::BOOT_NS + 2_000);
    }
    let queries: Vec<_> = run.seen.iter().map(|seen| seen.query.as_deref()).collect();
    assert_eq!(queries, [Some("db.example"), Some("No DNS Name"), Some("localhost")]);
}

#[test]
fn a_name_that_does_not_come_holds_a_row_only_so_long() {
    let names = Names::from_resolver(|_| {
        std::thread::sleep(Duration::from_secs(3600));
        None
    });
    let mut run = Run::new(Options { dns: true, ..Options::default() });
    run.view.names = Some(names);
    run.event(connect(1)).event(established(1, US));
    assert!(run.seen.is_empty());
    assert!(run.view.deadline().is_some_and(|at| at <= fixture::BOOT_NS + super::NAME_NS));
    run.idle(fixture::BOOT_NS + super::NAME_NS);
    assert_eq!(run.seen, [Seen { cookie: Some(1), lport: Some(45_678), query: None }]);
}
