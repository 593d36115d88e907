//! tcpreset: every RST that was sent or came in is a row, and every error that a socket was told of.

use agent_common::event::{Event, EventKind};

use super::{Plain, Row};

/// Keeps nothing.
pub struct Tcpreset;

impl Plain for Tcpreset {
    fn row<'a>(&self, event: &'a Event) -> Option<Row<'a>> {
        let kind =
            [EventKind::Reset, EventKind::SocketError].into_iter().find(|kind| event.kinds.has(*kind))?;
        Some(Row::of(event, kind.name()))
    }
}

#[cfg(test)]
mod tests {
    use super::Tcpreset;
    use crate::{fixture, view::tests::names};

    #[test]
    fn resets_and_errors_are_rows() {
        let events = [fixture::reset(true), fixture::close(), fixture::socket_error(104)];
        assert_eq!(names(&mut Tcpreset, &events), ["reset", "socket_error"]);
    }
}
