//! The tools of `sockeye trace`: their names, in one table. Everything else about a tool is in files of its
//! name: `args/`, `view/`, `render/bcc/` and docs/tools/; a test at the end looks for them.

use agent_common::event::{EventKind, Kinds};

/// A tool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Tool {
    /// State changes and how long each state lasted.
    Tcpstates,
    /// Connects.
    Tcpconnect,
    /// How long connects took.
    Tcpconnlat,
    /// Connections from beginning to end.
    Tcplife,
    /// Accepts.
    Tcpaccept,
    /// Connects, accepts and closes in one stream.
    Tcptracer,
    /// Segments sent again.
    Tcpretrans,
    /// Resets and errors of sockets.
    Tcpreset,
}

impl Tool {
    /// Every tool, in the order of the help.
    pub const ALL: [Self; 8] = [
        Self::Tcpstates,
        Self::Tcpconnect,
        Self::Tcpconnlat,
        Self::Tcplife,
        Self::Tcpaccept,
        Self::Tcptracer,
        Self::Tcpretrans,
        Self::Tcpreset,
    ];

    /// The name, as bcc has it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tcpstates => "tcpstates",
            Self::Tcpconnect => "tcpconnect",
            Self::Tcpconnlat => "tcpconnlat",
            Self::Tcplife => "tcplife",
            Self::Tcpaccept => "tcpaccept",
            Self::Tcptracer => "tcptracer",
            Self::Tcpretrans => "tcpretrans",
            Self::Tcpreset => "tcpreset",
        }
    }

    /// The event kinds that the tool's view needs.
    pub fn kinds(self) -> Kinds {
        let kinds: &[EventKind] = match self {
            Self::Tcpstates => &[EventKind::StateChange],
            Self::Tcpconnect => &[EventKind::Connect, EventKind::Established, EventKind::ConnectFailed],
            Self::Tcpconnlat => &[EventKind::Established, EventKind::ConnectFailed],
            Self::Tcplife => &[EventKind::Close],
            Self::Tcpaccept => &[EventKind::Accept],
            Self::Tcpreset => &[EventKind::Reset, EventKind::SocketError],
            Self::Tcpretrans => &[EventKind::Retransmit],
            Self::Tcptracer => &[EventKind::Established, EventKind::Accept, EventKind::Closing],
        };
        kinds.iter().copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use clap::CommandFactory as _;

    use super::Tool;
    use crate::args::Cli;

    #[test]
    fn every_tool_has_its_files_and_its_page() {
        let cli = Path::new(env!("CARGO_MANIFEST_DIR"));
        for tool in Tool::ALL {
            let name = tool.name();
            for file in [
                format!("src/args/{name}.rs"),
                format!("src/view/{name}.rs"),
                format!("src/render/bcc/{name}.rs"),
                format!("../docs/tools/{name}.md"),
            ] {
                assert!(cli.join(&file).is_file(), "{name} has no {file}");
            }
        }
    }

    #[test]
    fn every_option_is_on_its_tools_page_or_on_the_page_of_what_all_share() {
        let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/tools");
        let page = |name: &str| std::fs::read_to_string(docs.join(format!("{name}.md"))).unwrap();
        let shared = page("common");
        let cli = Cli::command();
        let trace = cli.find_subcommand("trace").unwrap();
        for tool in Tool::ALL {
            let own = page(tool.name());
            let command = trace.find_subcommand(tool.name()).unwrap();
            for option in command.get_arguments().filter(|option| !option.is_hide_set()) {
                let name = option.get_long().map_or_else(
                    || format!("[{}]", option.get_value_names().unwrap()[0]),
                    |long| format!("--{long}"),
                );
                let written = |text: &str| text.split(['`', ' ', ',']).any(|word| word == name);
                assert!(written(&own) || written(&shared), "{}: {name}", tool.name());
            }
        }
    }
}
