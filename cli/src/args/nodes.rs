//! Arguments of nodes.

use clap::Args;

use super::{ColorChoice, ConnectionArgs, ReportFormat};

/// nodes.
#[derive(Args, Debug)]
pub struct NodesArgs {
    /// How to print the list; json is one object a node and line
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    pub output: ReportFormat,
    /// When to use colour
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    pub color: ColorChoice,
    #[command(flatten)]
    pub connection: ConnectionArgs,
}
