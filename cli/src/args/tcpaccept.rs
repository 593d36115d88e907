//! Arguments of tcpaccept.

use clap::Args;

use super::{Common, Plan, UsageError, plan::PortArgs, value::Ports};
use crate::tool::Tool;

/// tcpaccept. `-P` are local ports here and remote ones in tcpconnect, as in bcc.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  sockeye trace tcpaccept -P 80,443     only these local ports
  sockeye trace tcpaccept -o wide       with user, namespace and the accept queue")]
pub struct TcpacceptArgs {
    /// Only these local ports
    #[arg(short = 'P', long = "port", value_name = "PORTS", allow_hyphen_values = true)]
    #[arg(visible_short_alias = 'L', visible_alias = "localport")]
    local_ports: Vec<Ports>,
    /// Only these remote ports
    #[arg(short = 'D', long = "remoteport", value_name = "PORTS", allow_hyphen_values = true)]
    remote_ports: Vec<Ports>,
    /// Say on stderr what runs in the kernel, then trace
    #[arg(short, long)]
    verbose: bool,
    #[command(flatten)]
    common: Common,
}

impl TcpacceptArgs {
    pub(super) fn plan(self) -> Result<Plan, UsageError> {
        let ports = PortArgs { local: self.local_ports, remote: self.remote_ports };
        let mut plan = Plan::new(Tool::Tcpaccept, self.common, ports, false)?;
        plan.verbose = self.verbose;
        Ok(plan)
    }
}
