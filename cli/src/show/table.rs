//! Columns: those that fit 80 characters, or all of them.

use proto::v1::{Event, Identity};

use super::{
    Item, Show,
    columns::{self, Column},
    compact::{PLAIN, colour_of},
    nanoseconds, words,
};
use crate::{clock::Clock, text};

/// Writes rows.
pub struct Table {
    columns: &'static [(Column, Cell)],
    shown: Vec<Column>,
    clock: Clock,
    colour: bool,
}

/// A cell.
#[derive(Clone, Copy)]
enum Cell {
    Time,
    Who,
    What,
    Peer,
    Facts,
    Node,
    Namespace,
    Pod,
    Container,
    Workload,
    Pid,
    Comm,
    Local,
}

const NARROW: &[(Column, Cell)] = &[
    (Column::new("TIME", 8), Cell::Time),
    (Column::cut("POD", 19), Cell::Who),
    (Column::cut("EVENT", 14), Cell::What),
    (Column::new("PEER", 19), Cell::Peer),
    (Column::cut("INFO", 16), Cell::Facts),
];

const WIDE: &[(Column, Cell)] = &[
    (Column::new("TIME", 12), Cell::Time),
    (Column::new("NODE", 12), Cell::Node),
    (Column::new("NAMESPACE", 12), Cell::Namespace),
    (Column::new("POD", 28), Cell::Pod),
    (Column::new("CONTAINER", 12), Cell::Container),
    (Column::new("WORKLOAD", 20), Cell::Workload),
    (Column::right("PID", 7), Cell::Pid),
    (Column::new("COMM", 15), Cell::Comm),
    (Column::new("EVENT", 14), Cell::What),
    (Column::new("LOCAL", 21), Cell::Local),
    (Column::new("PEER", 21), Cell::Peer),
    (Column::new("INFO", 0), Cell::Facts),
];

impl Table {
    /// What fits 80 characters.
    pub fn narrow(clock: Clock, colour: bool) -> Self {
        Self::of(NARROW, clock, colour)
    }

    /// Everything.
    pub fn wide(clock: Clock, colour: bool) -> Self {
        Self::of(WIDE, clock, colour)
    }

    fn of(columns: &'static [(Column, Cell)], clock: Clock, colour: bool) -> Self {
        Self { columns, shown: columns.iter().map(|(column, _)| *column).collect(), clock, colour }
    }
}

impl Show for Table {
    fn header(&mut self, out: &mut Vec<u8>) {
        columns::header(&self.shown, self.colour, out);
    }

    fn event(&mut self, item: &Item, out: &mut Vec<u8>) -> u64 {
        let colour = if self.colour { colour_of(words::trouble(&item.event)) } else { None };
        words::say(colour.unwrap_or_default(), out);
        columns::row(&self.shown, out, |index, out| match self.columns[index].1 {
            Cell::Time => self.clock.time(nanoseconds(item.event.time.as_ref()), out),
            Cell::Node => words::quote(&item.node, out),
            other => cell(other, &item.event, out),
        });
        if colour.is_some() {
            out.pop();
            words::say(PLAIN, out);
            out.push(b'\n');
        }
        1
    }
}

fn cell(cell: Cell, event: &Event, out: &mut Vec<u8>) {
    let identity = |text: fn(&Identity) -> &str, out: &mut Vec<u8>| {
        if let Some(identity) = &event.local {
            words::quote(text(identity), out);
        }
    };
    match cell {
        Cell::Time | Cell::Node => {}
        Cell::Who => words::who(event, out),
        Cell::What => words::what(event, out),
        Cell::Peer => words::peer(event, out),
        Cell::Facts => words::facts(event, out),
        Cell::Namespace => identity(|identity| &identity.namespace, out),
        Cell::Pod => match &event.local {
            Some(identity) if identity.pod.is_empty() && identity.host => words::say("host", out),
            Some(identity) if identity.pod.is_empty() => words::quote(&identity.pod_uid, out),
            _ => identity(|identity| &identity.pod, out),
        },
        Cell::Container => identity(|identity| &identity.container, out),
        Cell::Workload => {
            if let Some(workload) = event.local.as_ref().and_then(|identity| identity.workload.as_ref()) {
                words::quote(&workload.kind.to_lowercase(), out);
                words::say("/", out);
                words::quote(&workload.name, out);
            }
        }
        Cell::Pid => {
            if let Some(process) = &event.process {
                text::number(process.pid, out);
            }
        }
        Cell::Comm => {
            if let Some(process) = &event.process {
                words::quote(&process.comm, out);
            }
        }
        Cell::Local => words::end_point(event.socket.as_ref().and_then(|socket| socket.local.as_ref()), out),
    }
}
