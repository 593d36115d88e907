//! tcptracer: a connection that was made by this side, one that was accepted, the end of either.

use agent_common::event::{Event, EventKind, TcpState};

use super::{Row, Rows, View, tcpaccept};

/// Keeps nothing.
pub struct Tcptracer;

impl View for Tcptracer {
    fn event(&mut self, event: &Event, rows: Rows<'_>) {
        if event.synthetic {
            return;
        }
        // One record can be several of them: a server that closes what it just accepted.
        if event.kinds.has(EventKind::Established) {
            rows(&Row::of(event, "connect"));
        }
        if event.kinds.has(EventKind::Accept) {
            rows(&Row { process: tcpaccept::acceptor(event), ..Row::of(event, "accept") });
        }
        if event.kinds.has(EventKind::Closing) && was_connected(event) {
            rows(&Row::of(event, "close"));
        }
    }
}

/// As bcc: what was never established does not close.
fn was_connected(event: &Event) -> bool {
    !event.state.is_some_and(|state| {
        matches!(state.old, TcpState::SynSent | TcpState::SynRecv | TcpState::NewSynRecv | TcpState::Listen)
    })
}

#[cfg(test)]
mod tests {
    use agent_common::event::{EventKind, TcpState};

    use super::Tcptracer;
    use crate::{fixture, view::tests::names};

    fn closing(from: TcpState) -> agent_common::event::Event {
        let mut event = fixture::event(&[EventKind::Closing]);
        event.state = fixture::state(from, TcpState::FinWait1).state;
        event
    }

    #[test]
    fn a_connection_is_connect_or_accept_and_close() {
        let events = [
            fixture::event(&[EventKind::Established]),
            fixture::event(&[EventKind::Accept]),
            closing(TcpState::Established),
            closing(TcpState::CloseWait),
        ];
        assert_eq!(names(&mut Tcptracer, &events), ["connect", "accept", "close", "close"]);
    }

    #[test]
    fn an_accept_that_is_first_seen_at_its_end_is_two_rows() {
        let mut both = fixture::event(&[EventKind::Accept, EventKind::Closing]);
        both.state = closing(TcpState::Established).state;
        assert_eq!(names(&mut Tcptracer, &[both]), ["accept", "close"]);
    }

    #[test]
    fn what_was_never_established_does_not_close() {
        let events = [TcpState::SynSent, TcpState::SynRecv, TcpState::Listen].map(closing);
        assert!(names(&mut Tcptracer, &events).is_empty());
    }
}
