//! Arguments of tcpconnect.

use clap::Args;

use super::{Common, Format, Plan, UsageError, plan::PortArgs, value::Ports};
use crate::tool::Tool;

/// tcpconnect. `-L` is a column here, as in bcc's Python tool; the filter has only its long name.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  sockeye trace tcpconnect -P 80,443    only these destination ports
  sockeye trace tcpconnect --failed     connects that failed, with the cause
  sockeye trace tcpconnect -c --for 1m  how many, per destination")]
pub struct TcpconnectArgs {
    /// Only these destination ports
    #[arg(short = 'P', long = "port", value_name = "PORTS", allow_hyphen_values = true)]
    #[arg(visible_short_alias = 'D', visible_alias = "remoteport")]
    remote_ports: Vec<Ports>,
    /// Only these local ports; a connect is shown when its port is known, that is when it succeeded or failed
    #[arg(long = "localport", value_name = "PORTS", allow_hyphen_values = true)]
    local_ports: Vec<Ports>,
    /// Only connects that failed: the cause, the errno, the time it took. Also those that sent no SYN
    #[arg(long)]
    failed: bool,
    /// Count connects per source address and destination, and print the counts at the end
    #[arg(short, long)]
    count: bool,
    /// Print the local port (LPORT)
    #[arg(short = 'L', long)]
    lport: bool,
    /// Print the local port (SPORT); with -c, count per local port too
    #[arg(short = 's', long)]
    source_port: bool,
    /// Print the user id
    #[arg(short = 'U', long)]
    print_uid: bool,
    /// Print the name of the destination, as the system's resolver has it
    #[arg(short, long)]
    dns: bool,
    /// Say on stderr what runs in the kernel, then trace
    #[arg(short, long)]
    verbose: bool,
    #[command(flatten)]
    common: Common,
}

impl TcpconnectArgs {
    pub(super) fn plan(self) -> Result<Plan, UsageError> {
        for (with, other) in [(self.dns, "-d/--dns"), (self.failed, "--failed")] {
            if self.count && with {
                return Err(UsageError::Exclusive { one: "-c/--count", other });
            }
        }
        let ports = PortArgs { local: self.local_ports, remote: self.remote_ports };
        let mut plan = Plan::new(Tool::Tcpconnect, self.common, ports, false)?;
        plan.options.failed = self.failed;
        plan.options.count = self.count;
        plan.options.lport = self.lport;
        plan.options.sport = self.source_port;
        plan.options.needs_port =
            self.lport || self.source_port || matches!(plan.format, Format::Wide | Format::Json);
        plan.options.uid = self.print_uid;
        plan.options.dns = self.dns;
        plan.verbose = self.verbose;
        Ok(plan)
    }
}
