//! Mistakes on the command line, each as one line that says what would be right. clap's own messages are
//! several lines; `describe` says the same in ours.

use std::error::Error as _;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use thiserror::Error;

use super::value::ValueError;

/// A command line that contradicts itself.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum UsageError {
    /// Two options that cannot be had together.
    #[error("{one} and {other} exclude each other")]
    Exclusive {
        /// The one.
        one: &'static str,
        /// The other.
        other: &'static str,
    },
    /// An option that makes no sense without another.
    #[error("{one} needs {other}")]
    Needs {
        /// The one.
        one: &'static str,
        /// What is missing.
        other: &'static str,
    },
    /// A value that is wrong, alone or beside others.
    #[error("{option}: {reason}")]
    Value {
        /// The option.
        option: &'static str,
        /// What is wrong, and what would be right.
        reason: String,
    },
}

/// The line for an error of clap's. `words` is the command line without the program's name.
pub fn describe(error: &clap::Error, words: &[String]) -> String {
    let place = Place::of(words);
    let argument = text(error, ContextKind::InvalidArg);
    // `--localport <PORTS>`: the name alone.
    let name =
        argument.as_deref().map(|name| name.split([' ', '=']).next().unwrap_or(name)).unwrap_or_default();
    match error.kind() {
        ErrorKind::InvalidSubcommand => {
            let word = text(error, ContextKind::InvalidSubcommand).unwrap_or_default();
            let what = if place.verb == Some("trace") { "tool" } else { "command" };
            format!("no {what} \"{word}\"{} ({} --help lists them)", did_you_mean(error), place.path(1))
        }
        ErrorKind::MissingSubcommand | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            format!("which tool? ({} --help lists them)", place.path(1))
        }
        ErrorKind::UnknownArgument => unknown_argument(error, name, place, words),
        ErrorKind::ValueValidation => {
            let reason = error.source().map(ToString::to_string).unwrap_or_default();
            if name.starts_with('-') { format!("{name}: {reason}") } else { reason }
        }
        ErrorKind::InvalidValue => invalid_value(error, name),
        ErrorKind::NoEquals | ErrorKind::WrongNumberOfValues | ErrorKind::TooFewValues => {
            format!("{name} needs a value")
        }
        ErrorKind::TooManyValues => format!("{name} takes no value"),
        ErrorKind::ArgumentConflict => match text(error, ContextKind::PriorArg) {
            Some(prior) if Some(&prior) != argument.as_ref() => {
                let prior = prior.split(' ').next().unwrap_or_default();
                format!("{name} and {prior} exclude each other")
            }
            _ => format!("{name} is given twice"),
        },
        ErrorKind::MissingRequiredArgument => {
            let missing = argument.unwrap_or_default();
            let missing = missing.trim_matches(['<', '>']).to_lowercase();
            format!("{} needs a {missing} ({} --help says more)", place.path(1), place.path(1))
        }
        ErrorKind::InvalidUtf8 => "the command line is not UTF-8".to_owned(),
        _ => {
            let rendered = error.to_string();
            let line = rendered.lines().next().unwrap_or_default();
            line.strip_prefix("error: ").unwrap_or(line).to_owned()
        }
    }
}

fn unknown_argument(error: &clap::Error, name: &str, place: Place<'_>, words: &[String]) -> String {
    // clap takes `-5` for an option; as tcpconnlat's argument it is a latency below 0.
    if place.tool.is_some_and(|tool| tool.ends_with("connlat"))
        && let Some(number) =
            words.iter().find(|word| word.starts_with(name) && word.parse::<f64>().is_ok_and(|ms| ms < 0.0))
    {
        return ValueError::NotALatency(number.clone()).to_string();
    }
    let path = place.path(2);
    if name.starts_with('-') {
        format!("no option {name}{} ({path} --help lists them)", did_you_mean(error))
    } else {
        format!("\"{name}\" is one argument too many ({path} --help says more)")
    }
}

fn invalid_value(error: &clap::Error, name: &str) -> String {
    let value = text(error, ContextKind::InvalidValue).unwrap_or_default();
    match error.get(ContextKind::ValidValue) {
        Some(ContextValue::Strings(valid)) if !valid.is_empty() && !value.is_empty() => {
            let name = if name.starts_with('-') { format!("{name}: ") } else { String::new() };
            format!("{name}no \"{value}\"; there are {}", valid.join(", "))
        }
        _ => format!("{name} needs a value"),
    }
}

fn did_you_mean(error: &clap::Error) -> String {
    let nearest = [ContextKind::SuggestedSubcommand, ContextKind::SuggestedArg].into_iter().find_map(
        |kind| match error.get(kind)? {
            ContextValue::String(one) => Some(one.as_str()),
            // Sorted by likeness, the nearest last.
            ContextValue::Strings(all) => all.last().map(String::as_str),
            _ => None,
        },
    );
    nearest.map(|name| format!("; did you mean {name}?")).unwrap_or_default()
}

fn text(error: &clap::Error, kind: ContextKind) -> Option<String> {
    match error.get(kind)? {
        ContextValue::String(text) => Some(text.clone()),
        ContextValue::Strings(texts) => texts.first().cloned(),
        _ => None,
    }
}

/// Which command the words belong to.
#[derive(Clone, Copy)]
struct Place<'a> {
    verb: Option<&'a str>,
    tool: Option<&'a str>,
}

impl<'a> Place<'a> {
    fn of(words: &'a [String]) -> Self {
        let word = |index: usize| words.get(index).map(String::as_str).filter(|word| !word.starts_with('-'));
        let verb = word(0);
        Self { verb, tool: if verb == Some("trace") { word(1) } else { None } }
    }

    /// `sockeye trace tcplife`, at most `depth` words behind the program.
    fn path(self, depth: usize) -> String {
        const VERBS: [&str; 8] =
            ["trace", "doctor", "completion", "observe", "status", "sockets", "nodes", "agent"];
        let known = self.verb.filter(|verb| VERBS.contains(verb));
        [super::program()]
            .into_iter()
            .chain(known.into_iter().chain(self.tool).take(depth))
            .collect::<Vec<_>>()
            .join(" ")
    }
}
