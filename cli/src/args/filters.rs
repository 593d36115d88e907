//! What to see: the filter options of `observe` and `sockets`, as `allow` and `deny` of a request.
//!
//! The options are a table (`filters/table.rs`), because `--not` is about the option behind it: their order matters, and
//! clap's structs do not keep it. `Draft` (`filters/draft.rs`) turns conditions into the API's filters.

mod draft;
mod table;

use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};
use proto::v1::{EventKind, Filter};

use self::{
    draft::Draft,
    table::{ENTRIES, Entry, Takes},
};
use super::UsageError;

const NOT: &str = "not";
const ALL_NAMESPACES: &str = "all-namespaces";
const HEADING: &str = "Filters (lists with commas; values of one option are alternatives)";

/// The filter options as they were given. `EVENTS`: with those that are about events.
#[derive(Clone, Debug, Default)]
pub struct FilterArgs<const EVENTS: bool> {
    /// In the order of the command line.
    conditions: Vec<Condition>,
    all_namespaces: bool,
    /// A `--not` with no option behind it.
    dangling: Option<&'static str>,
}

#[derive(Clone, Debug)]
struct Condition {
    entry: &'static Entry,
    text: String,
    negated: bool,
}

/// What a request takes from the filter options.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Wanted {
    /// Alternatives that let an event in.
    pub allow: Vec<Filter>,
    /// Alternatives that keep it out.
    pub deny: Vec<Filter>,
    /// Kinds of events; empty = the server's usual ones.
    pub kinds: Vec<EventKind>,
    /// States of sockets (`sockets` only); empty = all.
    pub states: Vec<i32>,
}

impl<const EVENTS: bool> FilterArgs<EVENTS> {
    /// The filters, checked. `namespace` is the one of the kubeconfig, for command lines that name none.
    pub fn wanted(&self, namespace: Option<&str>) -> Result<Wanted, UsageError> {
        if let Some(reason) = self.dangling {
            return Err(UsageError::Value { option: "--not", reason: reason.to_owned() });
        }
        let mut allow = Draft::default();
        let mut deny: Vec<(&'static str, Draft)> = Vec::new();
        for Condition { entry, text, negated } in &self.conditions {
            let draft = match deny.iter_mut().find(|(long, _)| *long == entry.long) {
                Some((_, draft)) if *negated => draft,
                _ if *negated => {
                    deny.push((entry.long, Draft::default()));
                    let Some((_, draft)) = deny.last_mut() else { continue };
                    draft
                }
                _ => &mut allow,
            };
            let refused = |error: super::value::ValueError| UsageError::Value {
                option: entry.long,
                reason: error.to_string(),
            };
            (entry.apply)(text, draft).map_err(refused)?;
        }
        if self.all_namespaces && allow.names_a_namespace() {
            return Err(UsageError::Exclusive { one: "-A/--all-namespaces", other: "-n/--namespace" });
        }
        if let Some(namespace) = namespace
            && !self.all_namespaces
        {
            allow.in_namespace(namespace);
        }
        let kinds = allow.kinds(EVENTS);
        let states = if EVENTS { Vec::new() } else { allow.take_states() };
        let mut wanted = Wanted { allow: allow.filters()?, deny: Vec::new(), kinds, states };
        for (_, draft) in deny {
            wanted.deny.extend(draft.filters()?);
        }
        // One filter without any condition lets everything in: the same as none.
        wanted.allow.retain(|filter| *filter != Filter::default());
        Ok(wanted)
    }

    /// Whether any filter was given.
    pub fn is_empty(&self) -> bool {
        self.conditions.is_empty()
    }

    fn shown() -> impl Iterator<Item = &'static Entry> {
        ENTRIES.iter().filter(|entry| EVENTS || !entry.events_only)
    }
}

impl<const EVENTS: bool> Args for FilterArgs<EVENTS> {
    fn augment_args(mut command: Command) -> Command {
        for entry in Self::shown() {
            let mut arg =
                Arg::new(entry.name()).long(entry.name()).help(entry.help).action(ArgAction::Append);
            arg = arg.help_heading(HEADING);
            if let Some(short) = entry.short {
                arg = arg.short(short);
            }
            for alias in entry.aliases {
                arg = arg.alias(*alias);
            }
            arg = match entry.takes {
                Takes::Value(name) => arg
                    .value_name(name)
                    .allow_hyphen_values(true)
                    // Checked here, so that the message has the option's name; applied in the order given, later.
                    .value_parser(|text: &str| {
                        (entry.apply)(text, &mut Draft::default()).map(|()| text.to_owned())
                    }),
                Takes::Nothing => arg.num_args(0).default_missing_value(""),
            };
            command = command.arg(arg);
        }
        command
            .arg(
                Arg::new(NOT)
                    .long(NOT)
                    .help("Negate the option that follows: leave out what it would let in")
                    .action(ArgAction::Append)
                    .num_args(0)
                    .default_missing_value("")
                    .help_heading(HEADING),
            )
            .arg(
                Arg::new(ALL_NAMESPACES)
                    .short('A')
                    .long(ALL_NAMESPACES)
                    .help("All namespaces, and what is in none")
                    .action(ArgAction::SetTrue)
                    .help_heading(HEADING),
            )
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl<const EVENTS: bool> FromArgMatches for FilterArgs<EVENTS> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut given: Vec<(usize, Option<(&'static Entry, String)>)> =
            matches.indices_of(NOT).into_iter().flatten().map(|index| (index, None)).collect();
        for entry in Self::shown() {
            let texts = matches.get_many::<String>(entry.name()).into_iter().flatten();
            let indices = matches.indices_of(entry.name()).into_iter().flatten();
            given.extend(indices.zip(texts).map(|(index, text)| (index, Some((entry, text.clone())))));
        }
        given.sort_unstable_by_key(|(index, _)| *index);
        let mut args = Self { all_namespaces: matches.get_flag(ALL_NAMESPACES), ..Self::default() };
        let mut negated = false;
        for (_, word) in given {
            match word {
                None if negated => {
                    args.dangling = Some("twice in a row; it negates the one option behind it");
                }
                None => negated = true,
                Some((entry, text)) => {
                    args.conditions.push(Condition { entry, text, negated });
                    negated = false;
                }
            }
        }
        if negated {
            args.dangling = Some("there is no filter behind it to negate; write it as --not --port 53");
        }
        Ok(args)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
