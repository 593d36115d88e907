//! The sink: when it writes, when it ends, what it says about a broken output.

use std::{
    cell::RefCell,
    io::{self, Write},
    ops::ControlFlow,
    rc::Rc,
};

use agent::engine::Sink as _;
use agent_common::event::{Event, EventKind, FailureCause, TcpState};
use clap::Parser as _;

use super::{FULL, Output};
use crate::{
    args::{Cli, Command, Options},
    fixture,
    render::{self, Render},
    tool::Tool,
    view::{self, Row},
};

/// An output that can be looked into, and that can break.
#[derive(Clone, Default)]
struct Written {
    bytes: Rc<RefCell<Vec<u8>>>,
    broken: Option<io::ErrorKind>,
    writes: Rc<RefCell<usize>>,
}

impl Written {
    fn lines(&self) -> usize {
        self.bytes.borrow().iter().filter(|byte| **byte == b'\n').count()
    }
}

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Some(kind) = self.broken {
            return Err(kind.into());
        }
        *self.writes.borrow_mut() += 1;
        self.bytes.borrow_mut().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// `row` a row, `header` before and `end` after.
struct Words;

impl Render for Words {
    fn header(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"header\n");
    }

    fn row(&mut self, _: &Row<'_>, out: &mut Vec<u8>) {
        out.extend_from_slice(b"row\n");
    }

    fn finish(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"end\n");
    }
}

fn output(written: &Written, max_rows: Option<u64>) -> Output<Written> {
    let view = view::of(Tool::Tcplife, &Options::default());
    Output::new(view, Box::new(Words), None, max_rows, 4096, written.clone())
}

fn event() -> Event {
    fixture::close()
}

#[test]
fn the_header_is_out_at_once_and_rows_when_nothing_waits() {
    let written = Written::default();
    let mut output = output(&written, None);
    assert_eq!(output.begin(), ControlFlow::Continue(()));
    assert_eq!(written.lines(), 1);
    assert_eq!(output.event(&event()), ControlFlow::Continue(()));
    assert_eq!(output.event(&event()), ControlFlow::Continue(()));
    assert_eq!(written.lines(), 1);
    assert_eq!(output.idle(0), ControlFlow::Continue(()));
    assert_eq!(written.lines(), 3);
    assert_eq!(*written.writes.borrow(), 2, "rows that come together are written together");
    output.finish().unwrap();
    assert_eq!(written.bytes.borrow().as_slice(), b"header\nrow\nrow\nend\n");
}

#[test]
fn a_full_buffer_is_written_while_events_keep_coming() {
    let written = Written::default();
    let mut output = output(&written, None);
    for _ in 0..FULL {
        assert_eq!(output.event(&event()), ControlFlow::Continue(()));
    }
    assert!(*written.writes.borrow() >= 3);
}

#[test]
fn the_last_row_that_was_asked_for_ends_the_run() {
    let written = Written::default();
    let mut output = output(&written, Some(2));
    assert_eq!(output.event(&event()), ControlFlow::Continue(()));
    assert_eq!(output.event(&event()), ControlFlow::Break(()));
    assert_eq!(output.event(&event()), ControlFlow::Break(()));
    output.finish().unwrap();
    assert_eq!(written.bytes.borrow().as_slice(), b"row\nrow\nend\n");
}

#[test]
fn a_reader_that_goes_away_ends_the_run_and_is_no_error() {
    let written = Written { broken: Some(io::ErrorKind::BrokenPipe), ..Written::default() };
    let mut output = output(&written, None);
    assert_eq!(output.event(&event()), ControlFlow::Continue(()));
    assert_eq!(output.idle(0), ControlFlow::Break(()));
    output.finish().unwrap();
}

#[test]
fn a_full_disk_is_an_error() {
    let written = Written { broken: Some(io::ErrorKind::StorageFull), ..Written::default() };
    let mut output = output(&written, None);
    assert_eq!(output.begin(), ControlFlow::Break(()));
    assert_eq!(output.finish().unwrap_err().kind(), io::ErrorKind::StorageFull);
}

/// A tool's sink as `trace` makes it, writing to nowhere.
fn sink_of(words: &str) -> Output<io::Sink> {
    let words = ["sockeye", "trace"].into_iter().chain(words.split_whitespace());
    let plan = match Cli::try_parse_from(words).unwrap().command {
        Some(Command::Trace { tool }) => tool.plan().unwrap(),
        other => panic!("{other:?}"),
    };
    let view = view::of(plan.tool, &plan.options);
    Output::new(view, render::of(plan.tool, plan.format, &plan.options, false), None, None, 4096, io::sink())
}

/// One event of every kind, and one with everything unknown.
fn some_of_all() -> Vec<Event> {
    let mut accept = fixture::over_v6(fixture::event(&[EventKind::Accept]));
    accept.backlog = Some((1, 128));
    let mut hostile = fixture::close();
    hostile.process = Some(fixture::process_of_bytes(7, b"\x1b[2J\n,\"\xff"));
    vec![
        fixture::state(TcpState::SynSent, TcpState::Established),
        fixture::event(&[EventKind::Connect]),
        fixture::event(&[EventKind::Established]),
        fixture::failed(FailureCause::TimedOut, 3_000_000),
        accept,
        fixture::event(&[EventKind::Closing]),
        fixture::close(),
        fixture::unknown(fixture::close()),
        hostile,
    ]
}

#[test]
fn nothing_on_the_path_of_an_event_allocates() {
    for tool in Tool::ALL {
        for form in ["", "-o wide -tT", "-o json", "-o csv"] {
            let mut output = sink_of(&format!("{} {form}", tool.name()));
            let events = some_of_all();
            let mut give = || {
                for event in &events {
                    let _ = output.event(event);
                }
                let _ = output.idle(fixture::BOOT_NS);
            };
            // The text of the second, the first time.
            give();
            let allocated = allocation_counter::measure(|| (0..100).for_each(|_| give()));
            assert_eq!(allocated.count_total, 0, "{} {form}", tool.name());
        }
    }
}
