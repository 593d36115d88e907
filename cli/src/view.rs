//! Views: which events of the engine are rows of a tool, and when. Pure state machines, no I/O.

use agent_common::event::{Event, Process};

mod tcpaccept;
mod tcpconnect;
mod tcpconnlat;
mod tcplife;
mod tcpreset;
mod tcpretrans;
mod tcpstates;
mod tcptracer;

pub use tcpconnlat::latency as connect_latency;

use crate::{args::Options, dns::Names, tool::Tool};

/// A row to print.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    /// The event.
    pub event: &'a Event,
    /// What the tool calls it, in JSON and in tcptracer's TYPE column.
    pub name: &'static str,
    /// Who is shown with it.
    pub process: Option<&'a Process>,
    /// The destination's name; `None` = not known (yet).
    pub query: Option<&'a [u8]>,
}

impl<'a> Row<'a> {
    /// A row that shows the event's own process.
    fn of(event: &'a Event, name: &'static str) -> Self {
        Self { event, name, process: event.process.as_ref(), query: None }
    }

    /// Who is shown.
    pub fn process(&self) -> Option<Process> {
        self.process.copied()
    }
}

/// Takes rows.
pub type Rows<'a> = &'a mut dyn FnMut(&Row<'_>);

/// A tool's state machine.
pub trait View {
    /// An event arrived.
    fn event(&mut self, event: &Event, rows: Rows<'_>);

    /// There is nothing to read at `now_boot_ns`: what waited long enough goes out.
    fn idle(&mut self, now_boot_ns: u64, rows: Rows<'_>) {
        let _ = (now_boot_ns, rows);
    }

    /// When `idle` is needed at the latest.
    fn deadline(&self) -> Option<u64> {
        None
    }

    /// The run is over: what still waits goes out.
    fn finish(&mut self, rows: Rows<'_>) {
        let _ = rows;
    }
}

/// The view of a tool.
pub fn of(tool: Tool, options: &Options) -> Box<dyn View> {
    match tool {
        Tool::Tcpstates => Box::new(tcpstates::Tcpstates),
        Tool::Tcpconnect => {
            let names = options.dns.then(Names::of_the_system);
            Box::new(tcpconnect::Tcpconnect::new(options, names))
        }
        Tool::Tcpconnlat => Box::new(tcpconnlat::Tcpconnlat::new(options)),
        Tool::Tcplife => Box::new(tcplife::Tcplife),
        Tool::Tcpaccept => Box::new(tcpaccept::Tcpaccept),
        Tool::Tcpreset => Box::new(tcpreset::Tcpreset),
        Tool::Tcpretrans => Box::new(tcpretrans::Tcpretrans),
        Tool::Tcptracer => Box::new(tcptracer::Tcptracer),
    }
}

/// A view that keeps nothing: an event is a row or it is not.
trait Plain {
    fn row<'a>(&self, event: &'a Event) -> Option<Row<'a>>;
}

impl<P: Plain> View for P {
    fn event(&mut self, event: &Event, rows: Rows<'_>) {
        // What the start-up snapshot found did not happen now.
        if event.synthetic {
            return;
        }
        if let Some(row) = self.row(event) {
            rows(&row);
        }
    }
}

#[cfg(test)]
mod tests {
    use agent_common::event::Event;

    use super::View;

    /// The names of the rows that the events make, to the end of the run.
    pub(super) fn names(view: &mut dyn View, events: &[Event]) -> Vec<&'static str> {
        let mut names = Vec::new();
        for event in events {
            view.event(event, &mut |row| names.push(row.name));
        }
        view.finish(&mut |row| names.push(row.name));
        names
    }
}
