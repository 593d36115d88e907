//! Events whose pod the API server has not told of yet: they wait for it, a bounded time, in order.

use std::{collections::VecDeque, time::Duration};

use crate::event::Event;

/// How many wait at most; then the oldest goes on without a name.
const MOST: usize = 4096;

/// Room that is kept while none waits.
const FEW: usize = 64;

/// The waiting events, the oldest first.
pub struct Waiting {
    events: VecDeque<Event>,
    longest_ns: u64,
}

impl Waiting {
    /// Events wait at most so long.
    pub fn new(longest: Duration) -> Self {
        let longest_ns = u64::try_from(longest.as_nanos()).unwrap_or(u64::MAX);
        Self { events: VecDeque::new(), longest_ns }
    }

    /// Whether an event of this cgroup waits: those after it must wait, too, or a socket's events change places.
    pub fn has(&self, cgroup: Option<u64>) -> bool {
        !self.events.is_empty() && self.events.iter().any(|event| event.cgroup_id == cgroup)
    }

    /// Lets an event wait. Gives the oldest where there is no room for both.
    pub fn push(&mut self, event: Event) -> Option<Event> {
        let gone = if self.events.len() >= MOST { self.events.pop_front() } else { None };
        self.events.push_back(event);
        gone
    }

    /// Takes the first event that may go: it is over its time, or `is_known` says that its pod is known.
    pub fn next(&mut self, now_boot_ns: u64, mut is_known: impl FnMut(&Event) -> bool) -> Option<Event> {
        let over = |event: &Event| event.boot_ns.saturating_add(self.longest_ns) <= now_boot_ns;
        let index = self.events.iter().position(|event| over(event) || is_known(event))?;
        let event = self.events.remove(index);
        if self.events.is_empty() {
            // Many wait at once where a pod is new, and then for long none.
            self.events.shrink_to(FEW);
        }
        event
    }

    /// When the oldest is over its time (CLOCK_BOOTTIME).
    pub fn deadline(&self) -> Option<u64> {
        self.events.front().map(|event| event.boot_ns.saturating_add(self.longest_ns))
    }
}
