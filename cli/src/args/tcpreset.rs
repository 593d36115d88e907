//! Arguments of tcpreset.

use clap::Args;

use super::{Common, Plan, TimeFormat, UsageError, plan::PortArgs, value::Ports};
use crate::tool::Tool;

/// tcpreset, which bcc does not have.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  sockeye trace tcpreset -D 443         only connections to this port
  sockeye trace tcpreset -o wide        with user, namespace and cgroup")]
pub struct TcpresetArgs {
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

impl TcpresetArgs {
    pub(super) fn plan(self) -> Result<Plan, UsageError> {
        let ports = PortArgs { local: self.local_ports, remote: self.remote_ports };
        let mut plan = Plan::new(Tool::Tcpreset, self.common, ports, false)?;
        plan.options.time.get_or_insert(TimeFormat::Clock);
        plan.verbose = self.verbose;
        Ok(plan)
    }
}
