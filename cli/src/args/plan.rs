//! What the arguments of a tool say, after they were checked against each other.

use agent_common::prefix::Prefix;

use super::{
    Common, Format, Options, Output, UsageError,
    value::{Ports, Prefixes},
};
use crate::tool::Tool;

/// A checked command line of a tool. Nothing in it was compared with the machine yet.
#[derive(Debug)]
pub struct Plan {
    /// The tool.
    pub tool: Tool,
    /// What all tools share.
    pub common: Common,
    /// Local ports; empty = all.
    pub local_ports: Vec<u16>,
    /// Remote ports; empty = all.
    pub remote_ports: Vec<u16>,
    /// How rows are written.
    pub format: Format,
    /// What they show.
    pub options: Options,
    /// Say on stderr what runs in the kernel, and go on.
    pub verbose: bool,
}

impl Plan {
    /// A plan from the parts that every tool has. `csv` and `wide` are bcc's `-s` and `-w`.
    pub(super) fn new(tool: Tool, common: Common, ports: PortArgs, csv: bool) -> Result<Self, UsageError> {
        let format = match (common.output, csv) {
            (None, true) | (Some(Output::Csv), _) => Format::Csv,
            (Some(Output::Wide), false) => Format::Wide,
            (Some(Output::Json), false) => Format::Json,
            (None | Some(Output::Table | Output::Bcc), false) => Format::Table,
            (Some(_), true) => {
                return Err(UsageError::Exclusive { one: "-s/--csv", other: "another -o/--output" });
            }
        };
        if common.ipv4 && common.ipv6 {
            return Err(UsageError::Exclusive { one: "-4", other: "-6" });
        }
        let time_asked = common.time.then_some(super::TimeFormat::Clock);
        let options = Options {
            time: common.time_format.or(time_asked),
            timestamp: common.timestamp,
            wide_addresses: format == Format::Wide,
            local_port_filter: !ports.local.is_empty(),
            ..Options::default()
        };
        Ok(Self {
            tool,
            common,
            local_ports: sorted(ports.local),
            remote_ports: sorted(ports.remote),
            format,
            options,
            verbose: false,
        })
    }
}

/// The port options of a tool, whatever their letters are.
#[derive(Debug, Default)]
pub(super) struct PortArgs {
    /// Local ports.
    pub local: Vec<Ports>,
    /// Remote ports.
    pub remote: Vec<Ports>,
}

/// An option given twice means both lists.
fn sorted(lists: Vec<Ports>) -> Vec<u16> {
    let mut ports: Vec<u16> = lists.into_iter().flat_map(|list| list.0).collect();
    ports.sort_unstable();
    ports.dedup();
    ports
}

/// All prefixes of an option.
pub fn prefixes(lists: &[Prefixes]) -> Vec<Prefix> {
    lists.iter().flat_map(|list| list.0.iter().copied()).collect()
}
