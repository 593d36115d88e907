//! tcpconnlat: a connect that was answered is a row, by a SYN/ACK or by a RST (as in bcc). With `--failed`
//! the ones without an answer too.

use std::time::Duration;

use agent_common::event::{Event, EventKind, FailureCause};

use super::{Plain, Row};
use crate::args::Options;

/// Keeps what was asked for.
pub struct Tcpconnlat {
    min_latency: Duration,
    failed: bool,
}

impl Tcpconnlat {
    pub(super) const fn new(options: &Options) -> Self {
        Self { min_latency: options.min_latency, failed: options.failed }
    }

    fn shows(&self, event: &Event) -> bool {
        let answered = match event.failure {
            None => event.kinds.has(EventKind::Established),
            Some(failure) => failure.cause == FailureCause::Refused,
        };
        match latency(event) {
            Some(latency) => (answered || self.failed) && latency >= self.min_latency,
            // A connect() that began before the tool did: no latency, no row; a failure is worth one anyway.
            None => event.failure.is_some() && self.failed && self.min_latency.is_zero(),
        }
    }
}

impl Plain for Tcpconnlat {
    fn row<'a>(&self, event: &'a Event) -> Option<Row<'a>> {
        let kind = [EventKind::Established, EventKind::ConnectFailed]
            .into_iter()
            .find(|kind| event.kinds.has(*kind))?;
        self.shows(event).then(|| Row::of(event, kind.name()))
    }
}

/// From connect() to the answer, or to the failure.
pub fn latency(event: &Event) -> Option<Duration> {
    event.failure.map_or(event.connect_latency, |failure| failure.elapsed)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use agent_common::event::{Event, EventKind, FailureCause};

    use super::Tcpconnlat;
    use crate::{args::Options, fixture, view::tests::names};

    fn events() -> [Event; 3] {
        let mut established = fixture::event(&[EventKind::Established]);
        established.connect_latency = Some(Duration::from_micros(1_500));
        [
            established,
            fixture::failed(FailureCause::Refused, 90),
            fixture::failed(FailureCause::TimedOut, 3_000_000),
        ]
    }

    fn shown(options: &Options) -> Vec<&'static str> {
        names(&mut Tcpconnlat::new(options), &events())
    }

    #[test]
    fn the_rows_are_those_of_bcc_established_and_refused() {
        assert_eq!(shown(&Options::default()), ["established", "connect_failed"]);
    }

    #[test]
    fn the_minimum_counts_for_both_and_includes_itself() {
        let least = |us| Options { min_latency: Duration::from_micros(us), ..Options::default() };
        assert_eq!(shown(&least(91)), ["established"]);
        assert_eq!(shown(&least(1_500)), ["established"]);
        assert!(shown(&least(1_501)).is_empty());
    }

    #[test]
    fn failures_without_an_answer_are_shown_on_request() {
        let failed = Options { failed: true, ..Options::default() };
        assert_eq!(shown(&failed), ["established", "connect_failed", "connect_failed"]);
        let slow = Options { failed: true, min_latency: Duration::from_secs(1), ..Options::default() };
        assert_eq!(shown(&slow), ["connect_failed"]);
    }

    #[test]
    fn a_connect_older_than_the_tool_has_no_latency_and_no_row() {
        let event = fixture::event(&[EventKind::Established]);
        assert!(names(&mut Tcpconnlat::new(&Options::default()), &[event]).is_empty());
    }
}
