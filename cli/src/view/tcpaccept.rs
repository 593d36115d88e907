//! tcpaccept: every accepted connection is a row, with the process that accepted it.

use agent_common::event::{Event, EventKind, Process, Relation};

use super::{Plain, Row};

/// Keeps nothing.
pub struct Tcpaccept;

impl Plain for Tcpaccept {
    fn row<'a>(&self, event: &'a Event) -> Option<Row<'a>> {
        let row = Row { process: acceptor(event), ..Row::of(event, EventKind::Accept.name()) };
        event.kinds.has(EventKind::Accept).then_some(row)
    }
}

/// Who called accept(), where that was seen; else the best that is known.
pub(super) fn acceptor(event: &Event) -> Option<&Process> {
    let accepted = |process: &&Process| process.relation == Relation::Acceptor;
    event.owner.as_ref().filter(accepted).or(event.process.as_ref())
}

#[cfg(test)]
mod tests {
    use agent_common::event::{EventKind, Relation};

    use super::{Tcpaccept, acceptor};
    use crate::{fixture, view::tests::names};

    #[test]
    fn the_acceptor_is_shown_where_it_was_seen() {
        let mut event = fixture::event(&[EventKind::Accept]);
        let mut acceptor_process = fixture::process(10, "inetd");
        acceptor_process.relation = Relation::Acceptor;
        event.owner = Some(acceptor_process);
        event.process = Some(fixture::process(11, "cat"));
        assert_eq!(acceptor(&event).map(|process| process.pid), Some(10));

        acceptor_process.relation = Relation::Listener;
        event.owner = Some(acceptor_process);
        assert_eq!(acceptor(&event).map(|process| process.pid), Some(11));
    }

    #[test]
    fn only_accepts_are_rows() {
        let accept = fixture::event(&[EventKind::Accept]);
        let close = fixture::close();
        assert_eq!(names(&mut Tcpaccept, &[accept, close]), ["accept"]);
    }
}
