//! Arguments of tcptracer.

use clap::Args;

use super::{Common, Plan, UsageError, plan::PortArgs, value::Ports};
use crate::tool::Tool;

/// tcptracer. `-v` changes the columns, as in bcc's Python tool; in the C tool it is for debugging.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  sockeye trace tcptracer -N web        only this network namespace
  sockeye trace tcptracer -tv           words, nanoseconds, network namespaces
  sockeye trace tcptracer -U -u 1000    only this user, with the UID column")]
pub struct TcptracerArgs {
    /// Only these local ports
    #[arg(short = 'L', long = "localport", value_name = "PORTS", allow_hyphen_values = true)]
    local_ports: Vec<Ports>,
    /// Only these remote ports
    #[arg(short = 'D', long = "remoteport", value_name = "PORTS", allow_hyphen_values = true)]
    remote_ports: Vec<Ports>,
    /// Print the user id
    #[arg(short = 'U', long)]
    print_uid: bool,
    /// Print words for the types, the network namespace, and -t in nanoseconds
    #[arg(short, long)]
    verbose: bool,
    #[command(flatten)]
    common: Common,
}

impl TcptracerArgs {
    pub(super) fn plan(self) -> Result<Plan, UsageError> {
        let ports = PortArgs { local: self.local_ports, remote: self.remote_ports };
        let mut plan = Plan::new(Tool::Tcptracer, self.common, ports, false)?;
        plan.options.uid = self.print_uid;
        plan.options.verbose = self.verbose || plan.options.wide_addresses;
        plan.options.one_netns = plan.common.netns.len() == 1;
        Ok(plan)
    }
}
