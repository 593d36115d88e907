//! tcpstates: every state change is a row.

use agent_common::event::{Event, EventKind};

use super::{Plain, Row};

/// Keeps nothing.
pub struct Tcpstates;

impl Plain for Tcpstates {
    fn row<'a>(&self, event: &'a Event) -> Option<Row<'a>> {
        event.state?;
        event.kinds.has(EventKind::StateChange).then(|| Row::of(event, EventKind::StateChange.name()))
    }
}

#[cfg(test)]
mod tests {
    use agent_common::event::{EventKind, TcpState};

    use super::Tcpstates;
    use crate::{fixture, view::tests::names};

    #[test]
    fn every_change_is_a_row_and_the_snapshot_is_none() {
        let change = fixture::state(TcpState::Established, TcpState::CloseWait);
        let mut found = change;
        found.synthetic = true;
        let mut accept = fixture::event(&[EventKind::Accept]);
        accept.state = None;
        assert_eq!(names(&mut Tcpstates, &[found, change, accept]), ["state_change"]);
    }
}
