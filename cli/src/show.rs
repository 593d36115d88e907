//! The API's events as text: one renderer for each `-o` of `observe`, and the reports of `status`, `nodes` and
//! `sockets`. All pure. Strings that come from kernels and containers are escaped here, on the way out.

mod bcc;
mod columns;
mod compact;
mod dict;
mod json;
mod jsonpb;
pub mod nodes;
pub mod sockets;
pub mod status;
mod table;
pub mod words;

#[cfg(test)]
pub mod fixture;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use agent_common::event::EventKind as KernelKind;
use prost_types::Timestamp;
use proto::v1::{Event, EventKind, ObserveResponse};

pub use jsonpb::{read as read_jsonpb, write_request};

use crate::{
    args::{ObserveFormat, ObservePlan, TimeFormat},
    clock::Clock,
};

/// An event on its way to be shown.
#[derive(Clone, Debug)]
pub struct Item {
    /// The node that it is from.
    pub node: Arc<str>,
    /// When its message was made.
    pub time: Option<Timestamp>,
    /// The event.
    pub event: Event,
}

/// Turns events into text.
pub trait Show {
    /// What comes before everything.
    fn header(&mut self, out: &mut Vec<u8>) {
        let _ = out;
    }

    /// An event. The answer is how many rows it made.
    fn event(&mut self, item: &Item, out: &mut Vec<u8>) -> u64;

    /// A message that is no event (a loss, a node's state), for formats that keep everything.
    fn message(&mut self, response: &ObserveResponse, out: &mut Vec<u8>) {
        let _ = (response, out);
    }

    /// Everything up to this time was shown; what waits for more may go. The answer is how many rows went.
    fn idle(&mut self, up_to_ns: u64, out: &mut Vec<u8>) -> u64 {
        let _ = (up_to_ns, out);
        0
    }

    /// Something waits: `idle` is wanted soon.
    fn waits(&self) -> bool {
        false
    }

    /// What comes after everything.
    fn finish(&mut self, out: &mut Vec<u8>) -> u64 {
        let _ = out;
        0
    }
}

/// The renderer that a plan asks for.
pub fn of(plan: &ObservePlan, colour: bool) -> Box<dyn Show> {
    let clock = |default| Clock::new(plan.time_format.unwrap_or(default));
    match plan.format {
        ObserveFormat::Compact => Box::new(compact::Compact::new(clock(TimeFormat::ClockMs), colour)),
        ObserveFormat::Table => Box::new(table::Table::narrow(clock(TimeFormat::Clock), colour)),
        ObserveFormat::Wide => Box::new(table::Table::wide(clock(TimeFormat::ClockMs), colour)),
        ObserveFormat::Json => Box::new(json::Json::default()),
        ObserveFormat::Jsonpb => Box::new(jsonpb::Jsonpb),
        ObserveFormat::Dict => Box::new(dict::Dict::new(clock(TimeFormat::Rfc3339))),
        ObserveFormat::Bcc => Box::new(bcc::Bcc::new(plan.tool, plan.no_pod, plan.time_format, colour)),
    }
}

/// The API's kind for the kernel programs' own.
pub const fn kind_of(kind: KernelKind) -> EventKind {
    match kind {
        KernelKind::StateChange => EventKind::StateChange,
        KernelKind::Connect => EventKind::Connect,
        KernelKind::Established => EventKind::Established,
        KernelKind::ConnectFailed => EventKind::ConnectFailed,
        KernelKind::Accept => EventKind::Accept,
        KernelKind::Closing => EventKind::Closing,
        KernelKind::Close => EventKind::Close,
        KernelKind::Listen => EventKind::Listen,
        KernelKind::Retransmit => EventKind::Retransmit,
        KernelKind::Reset => EventKind::Reset,
        KernelKind::SocketError => EventKind::SocketError,
    }
}

/// Nanoseconds since the Unix epoch; 0 for a time that is absent or before it.
pub fn nanoseconds(time: Option<&Timestamp>) -> u64 {
    let Some(time) = time else { return 0 };
    let seconds = u64::try_from(time.seconds).unwrap_or(0);
    seconds.saturating_mul(1_000_000_000).saturating_add(u64::try_from(time.nanos).unwrap_or(0))
}
