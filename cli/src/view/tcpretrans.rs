//! tcpretrans: everything that was sent again is a row.

use agent_common::event::{Event, EventKind};

use super::{Plain, Row};

/// Keeps nothing.
pub struct Tcpretrans;

impl Plain for Tcpretrans {
    fn row<'a>(&self, event: &'a Event) -> Option<Row<'a>> {
        event.kinds.has(EventKind::Retransmit).then(|| Row::of(event, EventKind::Retransmit.name()))
    }
}

#[cfg(test)]
mod tests {
    use super::Tcpretrans;
    use crate::{fixture, view::tests::names};

    #[test]
    fn only_retransmits_are_rows() {
        assert_eq!(names(&mut Tcpretrans, &[fixture::retransmit(), fixture::close()]), ["retransmit"]);
    }
}
