//! Arguments of observe.

use std::{
    path::PathBuf,
    time::{Duration, SystemTime},
};

use clap::{Args, ValueEnum};
use jiff::Timestamp;
use proto::v1::{EventKind, ObserveRequest};

use super::{
    ColorChoice, ConnectionArgs, FilterArgs, Surroundings, Target, TimeFormat, UsageError, Wanted,
    name::nearest,
    value::{self, ValueError},
};
use crate::tool::Tool;

/// observe.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  kubectl sockeye observe -n shop --pod cart -f                what happens to the pods cart-…, from now on
  kubectl sockeye observe -A --kind retransmit,reset           trouble, everywhere
  kubectl sockeye observe -n shop --not --port 53 --since 5m   the last five minutes, without DNS
  kubectl sockeye observe -n shop -o bcc --tool tcplife        tcplife's columns, with namespace and pod
  sockeye observe --last 20 -o json | jq .                     on a node, from its agent's history")]
pub struct ObserveArgs {
    #[command(flatten)]
    filters: FilterArgs<true>,

    /// Go on with what happens from now on (the default where nothing is asked of the history)
    #[arg(short, long, help_heading = WINDOW)]
    follow: bool,
    /// The newest events of the history; with -f, of each node's
    #[arg(long, value_name = "N", value_parser = value::count, allow_hyphen_values = true, help_heading = WINDOW)]
    last: Option<u64>,
    /// The oldest events of the history
    #[arg(long, value_name = "N", value_parser = value::count, allow_hyphen_values = true, help_heading = WINDOW)]
    first: Option<u64>,
    /// Nothing older: 5m ago, or a time as 2026-03-01T14:00:00Z
    #[arg(long, value_name = "TIME", value_parser = moment, allow_hyphen_values = true, help_heading = WINDOW)]
    since: Option<Moment>,
    /// Nothing newer
    #[arg(long, value_name = "TIME", value_parser = moment, allow_hyphen_values = true, help_heading = WINDOW)]
    until: Option<Moment>,

    /// How events are written
    #[arg(short, long, value_name = "FORMAT", help_heading = OUTPUT)]
    output: Option<ObserveFormat>,
    /// With -o bcc: whose columns; the default is tcptracer's
    #[arg(long, value_name = "TOOL", value_parser = tool, help_heading = OUTPUT)]
    tool: Option<Tool>,
    /// With -o bcc: exactly the tool's columns, without NAMESPACE and POD
    #[arg(long, help_heading = OUTPUT)]
    no_pod: bool,
    /// When to use colour
    #[arg(long, value_name = "WHEN", default_value = "auto", help_heading = OUTPUT)]
    color: ColorChoice,
    /// The form of the time
    #[arg(long, value_name = "FORM", help_heading = OUTPUT)]
    time_format: Option<TimeFormat>,
    /// Say nothing of nodes that come and go (losses are told all the same)
    #[arg(short, long, help_heading = OUTPUT)]
    quiet: bool,

    /// End after this long: 10s, 5m
    #[arg(long = "for", value_name = "DURATION", value_parser = value::duration, allow_hyphen_values = true)]
    #[arg(help_heading = RUN)]
    duration: Option<Duration>,
    /// End after this many events
    #[arg(long, value_name = "N", value_parser = value::count, allow_hyphen_values = true, help_heading = RUN)]
    max_events: Option<u64>,
    /// How long an event waits for older ones of other nodes
    #[arg(long, value_name = "DURATION", default_value = "500ms", value_parser = value::duration)]
    #[arg(allow_hyphen_values = true, help_heading = RUN)]
    merge_window: Duration,
    /// Show saved events (-o jsonpb) of a file instead; - is standard input
    #[arg(long, value_name = "PATH", help_heading = RUN)]
    input_file: Option<PathBuf>,
    /// Print the request as JSON and end: for grpcurl, and to see what the options mean
    #[arg(long, help_heading = RUN)]
    print_request: bool,

    #[command(flatten)]
    connection: ConnectionArgs,
}

const WINDOW: &str = "When";
const OUTPUT: &str = "Output";
const RUN: &str = "Run";

/// How events are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ObserveFormat {
    /// one readable line an event (the default)
    Compact,
    /// columns that fit 80 characters
    Table,
    /// all columns
    Wide,
    /// one flat JSON object a line
    Json,
    /// the API's messages as protobuf JSON, one a line
    Jsonpb,
    /// several lines an event, a name and a value each
    Dict,
    /// the columns of one of bcc's tools
    Bcc,
}

/// A point in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// So long ago.
    Ago(Duration),
    /// Then.
    At(SystemTime),
}

impl Moment {
    fn at(self, now: SystemTime) -> Option<SystemTime> {
        match self {
            Self::Ago(ago) => now.checked_sub(ago),
            Self::At(time) => Some(time),
        }
    }
}

fn moment(text: &str) -> Result<Moment, ValueError> {
    if let Ok(ago) = value::duration(text) {
        return Ok(Moment::Ago(ago));
    }
    let time = text.parse::<Timestamp>();
    time.map(|time| Moment::At(time.into())).map_err(|_| ValueError::NotATime(text.to_owned()))
}

fn tool(text: &str) -> Result<Tool, ValueError> {
    let short = |tool: Tool| tool.name().trim_start_matches("tcp");
    Tool::ALL.into_iter().find(|tool| [tool.name(), short(*tool)].contains(&text)).ok_or_else(|| {
        let names: Vec<String> = Tool::ALL.into_iter().map(|tool| tool.name().to_owned()).collect();
        ValueError::Unknown { what: "tool", text: text.to_owned(), advice: nearest(text, &names) }
    })
}

/// A checked command line of observe.
#[derive(Debug)]
pub struct ObservePlan {
    /// Where events come from.
    pub source: Source,
    /// How to connect.
    pub connection: ConnectionArgs,
    /// How events are written.
    pub format: ObserveFormat,
    /// Whose columns, for `bcc`.
    pub tool: Tool,
    /// Without namespace and pod in `bcc`.
    pub no_pod: bool,
    /// When to use colour.
    pub color: ColorChoice,
    /// The form of the time.
    pub time_format: Option<TimeFormat>,
    /// Nothing of nodes that come and go.
    pub quiet: bool,
    /// End after this long.
    pub duration: Option<Duration>,
    /// End after this many events.
    pub max_events: Option<u64>,
    /// How long an event waits for older ones.
    pub merge_window: Duration,
    /// Print the request and end.
    pub print_request: bool,
    filters: FilterArgs<true>,
    window: ObserveRequest,
}

/// Where events come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// Servers.
    Target(Target),
    /// A file; nothing = standard input.
    File(Option<PathBuf>),
}

impl ObserveArgs {
    /// What the arguments say, checked against each other.
    pub fn plan(self, surroundings: &Surroundings, now: SystemTime) -> Result<ObservePlan, UsageError> {
        let window = self.window(now)?;
        let format = match self.output {
            Some(format) => format,
            None if self.tool.is_some() || self.no_pod => ObserveFormat::Bcc,
            None => ObserveFormat::Compact,
        };
        if format != ObserveFormat::Bcc {
            for (given, one) in [(self.tool.is_some(), "--tool"), (self.no_pod, "--no-pod")] {
                if given {
                    return Err(UsageError::Needs { one, other: "-o bcc" });
                }
            }
        }
        let wanted = self.filters.wanted(None)?;
        if format == ObserveFormat::Bcc && !wanted.kinds.is_empty() {
            // The tool's rows are made of its own kinds.
            return Err(UsageError::Exclusive { one: "-k/--kind", other: "-o bcc" });
        }
        let source = match self.input_file {
            Some(path) => {
                // Saved events are shown as they are: filters are the servers' work.
                let filters = (!self.filters.is_empty(), "a filter");
                let last = [
                    (self.follow, "-f"),
                    (self.last.is_some(), "--last"),
                    (self.first.is_some(), "--first"),
                    (self.since.is_some(), "--since"),
                    (self.until.is_some(), "--until"),
                    (self.connection.server.is_some(), "--server"),
                    (self.connection.port_forward, "-P"),
                ];
                if let Some((_, other)) = [filters].into_iter().chain(last).find(|(given, _)| *given) {
                    return Err(UsageError::Exclusive { one: "--input-file", other });
                }
                Source::File((path.as_os_str() != "-").then_some(path))
            }
            None => Source::Target(self.connection.target(surroundings)?),
        };
        Ok(ObservePlan {
            source,
            connection: self.connection,
            format,
            tool: self.tool.unwrap_or(Tool::Tcptracer),
            no_pod: self.no_pod,
            color: self.color,
            time_format: self.time_format,
            quiet: self.quiet,
            duration: self.duration,
            max_events: self.max_events.or(window.first),
            merge_window: self.merge_window,
            print_request: self.print_request,
            filters: self.filters,
            window,
        })
    }

    fn window(&self, now: SystemTime) -> Result<ObserveRequest, UsageError> {
        let given = [
            (self.last.is_some(), "--last"),
            (self.first.is_some(), "--first"),
            (self.since.is_some(), "--since"),
            (self.until.is_some(), "--until"),
            (self.follow, "-f/--follow"),
        ];
        // What contradicts what: the API's own rules, told without asking a server.
        const NEVER: [(&str, &str); 5] = [
            ("--last", "--first"),
            ("--last", "--since"),
            ("--first", "--until"),
            ("--first", "-f/--follow"),
            ("--until", "-f/--follow"),
        ];
        let has = |name: &str| given.iter().any(|(given, known)| *given && *known == name);
        for (one, other) in NEVER {
            if has(one) && has(other) {
                return Err(UsageError::Exclusive { one, other });
            }
        }
        let at = |moment: Option<Moment>| moment.and_then(|moment| moment.at(now));
        let (since, until) = (at(self.since), at(self.until));
        if let (Some(since), Some(until)) = (since, until)
            && since >= until
        {
            let reason = "it is before --since: nothing can be between".to_owned();
            return Err(UsageError::Value { option: "--until", reason });
        }
        let history = self.last.is_some() || self.first.is_some() || since.is_some() || until.is_some();
        Ok(ObserveRequest {
            last: self.last,
            first: self.first,
            since: since.map(Into::into),
            until: until.map(Into::into),
            follow: self.follow || !history,
            ..ObserveRequest::default()
        })
    }
}

impl ObservePlan {
    /// The request; `namespace` as in [`FilterArgs::wanted`].
    pub fn request(&self, namespace: Option<&str>) -> Result<ObserveRequest, UsageError> {
        let Wanted { allow, deny, kinds, .. } = self.filters.wanted(namespace)?;
        let kinds = match self.format {
            ObserveFormat::Bcc => kinds_of(self.tool),
            _ => kinds,
        };
        let kinds = kinds.into_iter().map(i32::from).collect();
        Ok(ObserveRequest { allow, deny, kinds, ..self.window.clone() })
    }
}

/// The kinds that a tool's rows are made of. The API gives each kind of a record as an event of its own, so what the
/// view wants to know of the change (a listener that closes, a connect that never was) comes as a state change.
fn kinds_of(tool: Tool) -> Vec<EventKind> {
    let mut kinds: Vec<EventKind> = tool.kinds().iter().map(crate::show::kind_of).collect();
    if matches!(tool, Tool::Tcplife | Tool::Tcptracer) {
        kinds.push(EventKind::StateChange);
    }
    kinds
}

#[cfg(test)]
mod tests;
