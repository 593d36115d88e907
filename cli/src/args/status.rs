//! Arguments of status and nodes.

use clap::{Args, ValueEnum};

use super::{ColorChoice, ConnectionArgs};

/// status.
#[derive(Args, Debug)]
pub struct StatusArgs {
    /// How to print the report
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    pub output: ReportFormat,
    /// When to use colour
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    pub color: ColorChoice,
    /// Exit with 0 where every server answers, though one may lack something that its kernel does not have
    #[arg(long)]
    pub accept_degraded: bool,
    #[command(flatten)]
    pub connection: ConnectionArgs,
}

/// How a report is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ReportFormat {
    /// for people
    Text,
    /// JSON
    Json,
}
