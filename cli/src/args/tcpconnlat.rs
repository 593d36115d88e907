//! Arguments of tcpconnlat.

use std::time::Duration;

use clap::Args;

use super::{
    Common, Plan, UsageError,
    plan::PortArgs,
    value::{self, Ports},
};
use crate::tool::Tool;

/// tcpconnlat. `-L` is a column here, as in bcc; the filter has only its long name.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  sockeye trace tcpconnlat 5            only connects slower than 5 ms
  sockeye trace tcpconnlat 0.1          slower than 100 us
  sockeye trace tcpconnlat --failed     also timeouts and other failures, with the cause")]
pub struct TcpconnlatArgs {
    /// Only connects that took at least this many milliseconds
    #[arg(value_name = "DURATION_MS", value_parser = value::latency)]
    duration_ms: Option<Duration>,
    /// Only these destination ports
    #[arg(short = 'D', long = "remoteport", value_name = "PORTS", allow_hyphen_values = true)]
    remote_ports: Vec<Ports>,
    /// Only these local ports
    #[arg(long = "localport", value_name = "PORTS", allow_hyphen_values = true)]
    local_ports: Vec<Ports>,
    /// Also connects that timed out or failed otherwise, with the cause
    #[arg(long)]
    failed: bool,
    /// Print the local port (LPORT)
    #[arg(short = 'L', long)]
    lport: bool,
    /// Say on stderr what runs in the kernel, then trace
    #[arg(short, long)]
    verbose: bool,
    #[command(flatten)]
    common: Common,
}

impl TcpconnlatArgs {
    pub(super) fn plan(self) -> Result<Plan, UsageError> {
        let ports = PortArgs { local: self.local_ports, remote: self.remote_ports };
        let mut plan = Plan::new(Tool::Tcpconnlat, self.common, ports, false)?;
        plan.options.min_latency = self.duration_ms.unwrap_or_default();
        plan.options.failed = self.failed;
        plan.options.lport = self.lport;
        plan.verbose = self.verbose;
        Ok(plan)
    }
}
