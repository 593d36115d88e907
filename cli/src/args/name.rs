//! Names of closed sets on the command line: the API's enums in kubectl's spelling (`connect-failed`), with the
//! nearest name where one is wrong.

use super::value::ValueError;

/// An enum of the API: numbers from 1 on, each with a name behind a common prefix.
pub trait Named: Copy + TryFrom<i32> + 'static {
    /// What comes before each name, for example `EVENT_KIND_`.
    const PREFIX: &'static str;
    /// What it is, for messages.
    const WHAT: &'static str;

    /// The whole name.
    fn full(self) -> &'static str;

    /// The name without what comes before it.
    fn short(self) -> &'static str {
        let full = self.full();
        full.strip_prefix(Self::PREFIX).unwrap_or(full)
    }

    /// As it is typed: lower case, with dashes.
    fn spelled(self) -> String {
        self.short().to_lowercase().replace('_', "-")
    }

    /// All of them but "not known".
    fn all() -> impl Iterator<Item = Self> {
        (1..64).filter_map(|number| Self::try_from(number).ok())
    }
}

macro_rules! named {
    ($($enum:ident $prefix:literal $what:literal,)*) => {$(
        impl Named for proto::v1::$enum {
            const PREFIX: &'static str = $prefix;
            const WHAT: &'static str = $what;

            fn full(self) -> &'static str {
                self.as_str_name()
            }
        }
    )*};
}

named! {
    EventKind "EVENT_KIND_" "kind of event",
    TcpState "TCP_STATE_" "state",
    Role "ROLE_" "role",
    CloseCause "CLOSE_CAUSE_" "cause of a close",
    CloseInitiator "CLOSE_INITIATOR_" "initiator",
    ConnectFailureCause "CONNECT_FAILURE_CAUSE_" "cause of a failed connect",
    RetransmitType "RETRANSMIT_TYPE_" "type of retransmit",
    IdentitySource "IDENTITY_SOURCE_" "source of an identity",
    ProcessRelation "PROCESS_RELATION_" "relation",
    Direction "DIRECTION_" "direction",
    CongestionState "CONGESTION_STATE_" "congestion state",
    ContainerKind "CONTAINER_KIND_" "kind of container",
    LossStage "LOSS_STAGE_" "stage",
    NodeState "NODE_STATE_" "state of a node",
    Health "HEALTH_" "health",
}

/// One name; case does not matter, and dashes are as good as underscores.
pub fn parse<E: Named>(text: &str) -> Result<E, ValueError> {
    let typed = text.to_lowercase().replace('_', "-");
    E::all().find(|one| one.spelled() == typed).ok_or_else(|| unknown::<E>(text))
}

fn unknown<E: Named>(text: &str) -> ValueError {
    let all: Vec<String> = E::all().map(Named::spelled).collect();
    ValueError::Unknown { what: E::WHAT, text: text.to_owned(), advice: nearest(text, &all) }
}

/// `did you mean drop?`, or all names.
pub fn nearest(text: &str, all: &[String]) -> String {
    let typed = text.to_lowercase();
    let likeness = |name: &String| strsim::jaro_winkler(&typed, name);
    let best = all.iter().max_by(|one, other| likeness(one).total_cmp(&likeness(other)));
    match best {
        Some(best) if likeness(best) > 0.8 => format!("did you mean {best}?"),
        _ => format!("there are {}", all.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use proto::v1::{EventKind, TcpState};

    use super::{Named as _, parse};

    #[test]
    fn names_are_typed_in_any_case_and_with_either_dash() {
        assert_eq!(parse("drop"), Ok(EventKind::Drop));
        assert_eq!(parse("connect-failed"), Ok(EventKind::ConnectFailed));
        assert_eq!(parse("Connect_Failed"), Ok(EventKind::ConnectFailed));
        assert_eq!(parse("ESTABLISHED"), Ok(TcpState::Established));
        assert_eq!(parse("fin-wait1"), Ok(TcpState::FinWait1));
        assert_eq!(EventKind::all().count(), 16);
    }

    #[test]
    fn a_wrong_name_comes_with_the_nearest_or_with_all() {
        let said = |text| parse::<EventKind>(text).unwrap_err().to_string();
        assert_eq!(said("retransmits"), "no kind of event \"retransmits\"; did you mean retransmit?");
        assert_eq!(said("conect"), "no kind of event \"conect\"; did you mean connect?");
        assert!(
            said("xyz")
                .starts_with("no kind of event \"xyz\"; there are state-change, connect, established,")
        );
        assert!(said("unspecified").starts_with("no kind of event"));
    }
}
