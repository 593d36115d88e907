//! What a tool shows: flags that views and renderers of all tools read. Small and `Copy`, so that nobody
//! needs the whole command line.

use std::{io::IsTerminal, time::Duration};

use clap::ValueEnum;

/// The choices that shape rows. A tool that does not have an option leaves it at its default.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Options {
    /// The TIME column and its form.
    pub time: Option<TimeFormat>,
    /// The TIME(s) column: seconds since the first row.
    pub timestamp: bool,
    /// Columns wide enough for IPv6 addresses, with IP (bcc's `-w`).
    pub wide_addresses: bool,
    /// The UID column.
    pub uid: bool,
    /// The local port where bcc's Python tool has it (LPORT).
    pub lport: bool,
    /// The local port where the C tool has it (SPORT; LPORT in the counts).
    pub sport: bool,
    /// A row shows the local port somewhere: tcpconnect waits for it.
    pub needs_port: bool,
    /// The QUERY column.
    pub dns: bool,
    /// Count instead of printing each.
    pub count: bool,
    /// Sequence numbers.
    pub sequence: bool,
    /// Tail loss probes have a letter of their own.
    pub loss_probe: bool,
    /// Failed connects.
    pub failed: bool,
    /// tcptracer's words, nanoseconds and NETNS.
    pub verbose: bool,
    /// One network namespace was asked for, so tcptracer does not repeat it.
    pub one_netns: bool,
    /// Also to the journal.
    pub journal: bool,
    /// A local port was asked for: a connect can be judged only once its port is chosen.
    pub local_port_filter: bool,
    /// Connects that took less are not shown.
    pub min_latency: Duration,
}

/// How rows are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// bcc's columns.
    Table,
    /// bcc's columns and more.
    Wide,
    /// One JSON object a line.
    Json,
    /// Comma-separated values with a header.
    Csv,
}

/// When to use colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ColorChoice {
    /// on a terminal, unless NO_COLOR is set
    #[default]
    Auto,
    /// always
    Always,
    /// never
    Never,
}

/// The form of the TIME column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TimeFormat {
    /// 14:03:09, local time, as bcc
    Clock,
    /// 14:03:09.123, local time
    ClockMs,
    /// 2026-03-01T14:03:09.123456+01:00, local time with its offset
    Rfc3339,
    /// 2026-03-01T13:03:09.123456Z
    Utc,
    /// 1772370189.123456, seconds since 1970
    Unix,
}

impl ColorChoice {
    /// Whether what goes to `output` has colour.
    pub fn on(self, output: &impl IsTerminal) -> bool {
        match self {
            Self::Always => true,
            Self::Never => false,
            Self::Auto => output.is_terminal() && colour_is_welcome(),
        }
    }
}

fn colour_is_welcome() -> bool {
    let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
    !set("NO_COLOR") && !dumb
}
