//! Arguments of tcplife.

use clap::Args;

use super::{Common, Plan, UsageError, plan::PortArgs, value::Ports};
use crate::tool::Tool;

/// tcplife.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  sockeye trace tcplife -D 443          only this remote port
  sockeye trace tcplife -wT             wide, with the time of day
  sockeye trace tcplife -o wide         with segments, retransmits, round-trip times, who closed and how
  sockeye trace tcplife -o json | jq .")]
pub struct TcplifeArgs {
    /// Only these local ports
    #[arg(short = 'L', long = "localport", value_name = "PORTS", allow_hyphen_values = true)]
    local_ports: Vec<Ports>,
    /// Only these remote ports
    #[arg(short = 'D', long = "remoteport", value_name = "PORTS", allow_hyphen_values = true)]
    remote_ports: Vec<Ports>,
    /// Wide columns (fit IPv6 addresses)
    #[arg(short, long)]
    wide: bool,
    /// Comma-separated values
    #[arg(short = 's', long)]
    csv: bool,
    /// Say on stderr what runs in the kernel, then trace
    #[arg(short, long)]
    verbose: bool,
    #[command(flatten)]
    common: Common,
}

impl TcplifeArgs {
    pub(super) fn plan(self) -> Result<Plan, UsageError> {
        let ports = PortArgs { local: self.local_ports, remote: self.remote_ports };
        let mut plan = Plan::new(Tool::Tcplife, self.common, ports, self.csv)?;
        plan.options.wide_addresses |= self.wide;
        plan.verbose = self.verbose;
        Ok(plan)
    }
}
