//! Arguments of tcpretrans.

use clap::Args;

use super::{Common, Plan, TimeFormat, UsageError, plan::PortArgs, value::Ports};
use crate::tool::Tool;

/// tcpretrans. The time is always there, as in bcc.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  sockeye trace tcpretrans -l           tail loss probes marked L
  sockeye trace tcpretrans -c --for 1m  how many segments per connection, after a minute
  sockeye trace tcpretrans -o wide      with type, attempt, segments and congestion state")]
pub struct TcpretransArgs {
    /// Print the sequence number
    #[arg(short, long)]
    sequence: bool,
    /// Mark tail loss probes with L, not R
    #[arg(short, long)]
    lossprobe: bool,
    /// Count segments per connection, and print the counts at the end
    #[arg(short, long)]
    count: bool,
    /// Only these local ports
    #[arg(short = 'L', long = "localport", value_name = "PORTS", allow_hyphen_values = true)]
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

impl TcpretransArgs {
    pub(super) fn plan(self) -> Result<Plan, UsageError> {
        let ports = PortArgs { local: self.local_ports, remote: self.remote_ports };
        let mut plan = Plan::new(Tool::Tcpretrans, self.common, ports, false)?;
        plan.options.time.get_or_insert(TimeFormat::Clock);
        plan.options.sequence = self.sequence;
        plan.options.loss_probe = self.lossprobe;
        plan.options.count = self.count;
        plan.verbose = self.verbose;
        Ok(plan)
    }
}
