//! tcpconnect: every connect whose SYN was sent is a row; with `--failed` every connect that failed.
//!
//! The kernel reports the connect before it chose a local port, and some microseconds before it finds that
//! there is none left. So a row waits for the socket's next event, or a short time, and is dropped when no
//! SYN went out. Rows leave in the order in which the connects began. What waits is bounded.

use std::collections::{HashMap, VecDeque};

use agent_common::event::{Event, EventKind, FailureCause};

use super::{Row, Rows, View};
use crate::{
    args::Options,
    dns::{Name, Names},
};

/// A socket without a local port fails some microseconds after its connect event.
const VERDICT_NS: u64 = 5_000_000;
/// How long a row waits for the local port, where it is shown: it comes with the answer to the SYN.
const PORT_NS: u64 = 200_000_000;
/// How long a row waits for a name.
const NAME_NS: u64 = 250_000_000;
/// How often names are looked after while a row waits for one.
const NAME_POLL_NS: u64 = 5_000_000;
/// Connects that wait at most; beyond it the oldest goes out as it is.
const HELD: usize = 2048;

/// Who shows what; and the connects that wait.
pub struct Tcpconnect {
    mode: Mode,
    wants_port: bool,
    names: Option<Names>,
    held: VecDeque<Held>,
    /// Number of the connect at the front of `held`.
    front: u64,
    /// Cookie -> number, for connects whose verdict is out.
    by_cookie: HashMap<u64, u64>,
    now_ns: u64,
}

/// Which event makes a row.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// The connect.
    Begun,
    /// Its success or failure: a filter on local ports can judge no earlier.
    Ended,
    /// Its failure.
    Failed,
}

struct Held {
    event: Event,
    name: &'static str,
    verdict: Verdict,
    /// Without news it is printed at this time.
    verdict_until: u64,
    /// Without a name it is printed at this time.
    name_until: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Waiting,
    Print,
    Drop,
}

impl Tcpconnect {
    pub(super) fn new(options: &Options, names: Option<Names>) -> Self {
        let mode = if options.failed {
            Mode::Failed
        } else if options.local_port_filter {
            Mode::Ended
        } else {
            Mode::Begun
        };
        Self {
            mode,
            wants_port: options.needs_port,
            names,
            held: VecDeque::with_capacity(HELD),
            front: 0,
            by_cookie: HashMap::with_capacity(HELD),
            now_ns: 0,
        }
    }

    fn hold(&mut self, event: &Event, name: &'static str, verdict: Verdict, rows: Rows<'_>) {
        if self.held.len() == HELD {
            self.pop(rows);
        }
        let number = self.front + self.held.len() as u64;
        let mut verdict_until = event.boot_ns + VERDICT_NS;
        if let (Verdict::Waiting, Some(cookie)) = (verdict, event.cookie) {
            self.by_cookie.insert(cookie, number);
            if self.wants_port && event.local_port.is_none() {
                verdict_until = event.boot_ns + PORT_NS;
            }
        }
        let asks = match (&mut self.names, event.remote) {
            (Some(names), Some(remote)) => names.of(remote.ip()) == Name::Pending,
            _ => false,
        };
        let name_until = if asks { event.boot_ns + NAME_NS } else { 0 };
        // A socket without a cookie cannot be told from others: it is printed as it is.
        let verdict =
            if event.cookie.is_none() && verdict == Verdict::Waiting { Verdict::Print } else { verdict };
        self.held.push_back(Held { event: *event, name, verdict, verdict_until, name_until });
    }

    /// The next event of a socket whose connect may wait.
    fn settle(&mut self, event: &Event) {
        let Some(number) = event.cookie.and_then(|cookie| self.by_cookie.remove(&cookie)) else { return };
        let Some(held) = number.checked_sub(self.front).and_then(|index| self.held.get_mut(index as usize))
        else {
            return;
        };
        held.event.local_port = event.local_port.or(held.event.local_port);
        held.event.local = event.local.or(held.event.local);
        held.verdict = if sent_a_syn(event) { Verdict::Print } else { Verdict::Drop };
    }

    /// Lets out what is ready, in order.
    fn release(&mut self, rows: Rows<'_>) {
        while let Some(held) = self.held.front() {
            let judged = held.verdict != Verdict::Waiting || self.now_ns >= held.verdict_until;
            let named = held.verdict == Verdict::Drop || !self.front_waits_for_name();
            if !(judged && named) {
                return;
            }
            self.pop(rows);
        }
    }

    fn front_waits_for_name(&mut self) -> bool {
        let (Some(names), Some(held)) = (&mut self.names, self.held.front()) else { return false };
        held.name_until > self.now_ns
            && held.event.remote.is_some_and(|remote| names.of(remote.ip()) == Name::Pending)
    }

    /// Takes the oldest out and prints it, unless it is to be dropped.
    fn pop(&mut self, rows: Rows<'_>) {
        let Some(held) = self.held.pop_front() else { return };
        if let Some(cookie) = held.event.cookie
            && self.by_cookie.get(&cookie) == Some(&self.front)
        {
            self.by_cookie.remove(&cookie);
        }
        self.front += 1;
        if held.verdict == Verdict::Drop {
            return;
        }
        let remote = held.event.remote.map(|remote| remote.ip());
        let query = match (&mut self.names, remote) {
            (Some(names), Some(address)) => match names.of(address) {
                Name::Known(name) => Some(name),
                // bcc's words for loopback; the resolver was asked all the same.
                Name::None if address.is_loopback() => Some(b"localhost".as_slice()),
                Name::None => Some(b"No DNS Name".as_slice()),
                Name::Pending | Name::NotAsked => None,
            },
            _ => None,
        };
        rows(&Row { query, ..Row::of(&held.event, held.name) });
    }
}

impl View for Tcpconnect {
    fn event(&mut self, event: &Event, rows: Rows<'_>) {
        if event.synthetic {
            return;
        }
        self.now_ns = self.now_ns.max(event.boot_ns);
        let failed = event.kinds.has(EventKind::ConnectFailed);
        let ended = failed || event.kinds.has(EventKind::Established);
        match self.mode {
            Mode::Begun => {
                if ended {
                    self.settle(event);
                } else if event.kinds.has(EventKind::Connect) {
                    self.hold(event, EventKind::Connect.name(), Verdict::Waiting, rows);
                }
            }
            Mode::Ended => {
                if ended && sent_a_syn(event) {
                    self.hold(event, EventKind::Connect.name(), Verdict::Print, rows);
                }
            }
            Mode::Failed => {
                if failed {
                    self.hold(event, EventKind::ConnectFailed.name(), Verdict::Print, rows);
                }
            }
        }
        self.release(rows);
    }

    fn idle(&mut self, now_boot_ns: u64, rows: Rows<'_>) {
        self.now_ns = self.now_ns.max(now_boot_ns);
        self.release(rows);
    }

    fn deadline(&self) -> Option<u64> {
        let front = self.held.front()?;
        if front.verdict == Verdict::Waiting && front.verdict_until > self.now_ns {
            return Some(front.verdict_until);
        }
        // The resolver does not wake the engine.
        Some(front.name_until.min(self.now_ns.saturating_add(NAME_POLL_NS)))
    }

    fn finish(&mut self, rows: Rows<'_>) {
        while !self.held.is_empty() {
            self.pop(rows);
        }
    }
}

/// Whether bcc would have a row for the connect that ended so: its SYN was sent.
fn sent_a_syn(event: &Event) -> bool {
    event
        .failure
        .is_none_or(|failure| failure.cause != FailureCause::NoLocalPort && failure.syns_sent != Some(0))
}

#[cfg(test)]
mod tests;
