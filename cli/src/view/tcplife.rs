//! tcplife: every end of a connection is a row, also of one that never was established (as in bcc) and of one
//! whose beginning nobody saw (bcc shows none of those).

use agent_common::event::{Event, EventKind, TcpState};

use super::{Plain, Row};

/// Keeps nothing.
pub struct Tcplife;

impl Plain for Tcplife {
    fn row<'a>(&self, event: &'a Event) -> Option<Row<'a>> {
        // A listener that closes was no connection.
        let listener = event.state.is_some_and(|state| state.old == TcpState::Listen);
        (event.kinds.has(EventKind::Close) && !listener).then(|| Row::of(event, EventKind::Close.name()))
    }
}

#[cfg(test)]
mod tests {
    use agent_common::event::TcpState;

    use super::Tcplife;
    use crate::{fixture, view::tests::names};

    #[test]
    fn connections_end_in_a_row_and_listeners_do_not() {
        let ended = fixture::close();
        let mut refused = fixture::close();
        refused.state = fixture::state(TcpState::SynSent, TcpState::Close).state;
        let mut listener = fixture::close();
        listener.state = fixture::state(TcpState::Listen, TcpState::Close).state;
        assert_eq!(names(&mut Tcplife, &[ended, refused, listener]), ["close", "close"]);
    }
}
