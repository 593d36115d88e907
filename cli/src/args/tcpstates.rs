//! Arguments of tcpstates.

use clap::Args;

use super::{Common, Plan, UsageError, plan::PortArgs, value::Ports};
use crate::tool::Tool;

/// tcpstates. In bcc's C tool `--timestamp` is the long name of `-T`; here it is that of `-t`, as in Python.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  sockeye trace tcpstates -L 80,443     only these local ports
  sockeye trace tcpstates -wT           wide, with the time of day
  sockeye trace tcpstates -o json | jq .
  sockeye trace tcpstates -Y            also to the journal")]
pub struct TcpstatesArgs {
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
    /// Also log every state change to the systemd journal
    #[arg(short = 'Y', long)]
    journal: bool,
    /// Say on stderr what runs in the kernel, then trace
    #[arg(short, long)]
    verbose: bool,
    #[command(flatten)]
    common: Common,
}

impl TcpstatesArgs {
    pub(super) fn plan(self) -> Result<Plan, UsageError> {
        let ports = PortArgs { local: self.local_ports, remote: self.remote_ports };
        let mut plan = Plan::new(Tool::Tcpstates, self.common, ports, self.csv)?;
        plan.options.wide_addresses |= self.wide;
        plan.options.journal = self.journal;
        plan.verbose = self.verbose;
        Ok(plan)
    }
}
