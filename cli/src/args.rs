//! The command line as text: what clap takes, checked without looking at the machine.
//!
//! Each tool has its own struct because bcc's letters mean different things per tool; what all tools share is
//! `common::Common`. `Plan` is what a tool's arguments say; `request.rs` then asks the machine.

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

#[cfg(feature = "node")]
mod agent;
#[cfg(feature = "node")]
mod common;
mod connection;
mod filters;
pub mod name;
mod nodes;
mod observe;
mod options;
#[cfg(feature = "node")]
mod plan;
mod sockets;
mod status;
#[cfg(feature = "node")]
mod tcpaccept;
#[cfg(feature = "node")]
mod tcpconnect;
#[cfg(feature = "node")]
mod tcpconnlat;
#[cfg(feature = "node")]
mod tcplife;
#[cfg(feature = "node")]
mod tcpreset;
#[cfg(feature = "node")]
mod tcpretrans;
#[cfg(feature = "node")]
mod tcpstates;
#[cfg(feature = "node")]
mod tcptracer;
mod usage;
pub mod value;

#[cfg(feature = "node")]
pub use agent::AgentArgs;
#[cfg(feature = "node")]
pub use common::{Common, Output};
pub use connection::{Address, ConnectionArgs, Surroundings, Target};
pub use filters::{FilterArgs, Wanted};
pub use nodes::NodesArgs;
pub use observe::{ObserveArgs, ObserveFormat, ObservePlan, Source};
pub use options::{ColorChoice, Format, Options, TimeFormat};
#[cfg(feature = "node")]
pub use plan::{Plan, prefixes};
pub use sockets::{SocketsArgs, SocketsFormat};
pub use status::{ReportFormat, StatusArgs};
pub use usage::{UsageError, describe};

/// See what the TCP stack does: connects, accepts, states, latency, lifetimes, per process.
#[derive(Debug, Parser)]
#[command(name = "sockeye", version, propagate_version = true, disable_help_subcommand = true)]
pub struct Cli {
    /// What to do; nothing shows the short screen.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Command {
    #[cfg(feature = "node")]
    /// Trace sockets of this machine: bcc's TCP tools with their options and columns
    #[command(
        subcommand_value_name = "TOOL",
        subcommand_help_heading = "Tools (each also without \"tcp\")",
        subcommand_required = true,
        override_usage = "sockeye trace <TOOL> [OPTIONS]"
    )]
    Trace {
        /// Which tool.
        #[command(subcommand)]
        tool: Box<ToolArgs>,
    },
    #[cfg(feature = "node")]
    /// Say what works on this machine, what does not, and why
    ///
    /// Exit code: 0 all tools work, 1 at least one works with less, 2 at least one does not work.
    Doctor {
        /// How to print the report
        #[arg(short, long, value_name = "FORMAT", default_value = "text")]
        output: DoctorOutput,
    },
    #[cfg(feature = "node")]
    /// Serve what the TCP stack of this node does, with the pods' names, to clients and collectors
    ///
    /// Each setting is also a variable (SOCKEYE_NODE_NAME) and a key of the file (node-name). A flag goes before a
    /// variable, a variable before the file.
    Agent(AgentArgs),
    /// Show events as they happen: connects, failures, resets, retransmits, closes, with their pods
    #[command(visible_alias = "events")]
    Observe(Box<ObserveArgs>),
    /// Say how the agents are: what they have, what they lack, what was lost
    ///
    /// Exit code: 0 healthy, 1 something is degraded, 2 something cannot be reached.
    Status(StatusArgs),
    /// List the sockets there are now, with their pods
    Sockets(Box<SocketsArgs>),
    /// List the nodes with their agents
    Nodes(NodesArgs),
    /// Print a completion script: sockeye completion bash > /etc/bash_completion.d/sockeye
    Completion {
        /// The shell
        shell: Shell,
    },
}

/// The shells that a completion script can be had for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Shell {
    /// GNU Bash.
    Bash,
    /// Z shell.
    Zsh,
    /// Friendly interactive shell.
    Fish,
}

/// How `doctor` prints.
#[cfg(feature = "node")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum DoctorOutput {
    /// For people.
    Text,
    /// One JSON object.
    Json,
}

/// A tool with its arguments.
#[cfg(feature = "node")]
#[derive(Debug, Subcommand)]
pub enum ToolArgs {
    /// Print every state change of a socket, and how long the old state lasted
    #[command(alias = "states", disable_help_flag = true, display_name = "sockeye")]
    Tcpstates(tcpstates::TcpstatesArgs),
    /// Print every connect whose SYN was sent; with --failed, those that failed and why
    #[command(alias = "connect", disable_help_flag = true, display_name = "sockeye")]
    Tcpconnect(tcpconnect::TcpconnectArgs),
    /// Print how long connects took
    #[command(alias = "connlat", disable_help_flag = true, display_name = "sockeye")]
    Tcpconnlat(tcpconnlat::TcpconnlatArgs),
    /// Print each connection when it ends: who, how long, how many bytes
    #[command(alias = "life", disable_help_flag = true, display_name = "sockeye")]
    Tcplife(tcplife::TcplifeArgs),
    /// Print every accepted connection
    #[command(alias = "accept", disable_help_flag = true, display_name = "sockeye")]
    Tcpaccept(tcpaccept::TcpacceptArgs),
    /// Print connects, accepts and closes in one stream
    #[command(alias = "tracer", disable_help_flag = true, display_name = "sockeye")]
    Tcptracer(tcptracer::TcptracerArgs),
    /// Print segments that were sent again, and why
    #[command(alias = "retrans", disable_help_flag = true, display_name = "sockeye")]
    Tcpretrans(tcpretrans::TcpretransArgs),
    /// Print resets and errors of sockets, with their reasons
    #[command(alias = "reset", disable_help_flag = true, display_name = "sockeye")]
    Tcpreset(tcpreset::TcpresetArgs),
}

#[cfg(feature = "node")]
impl ToolArgs {
    /// What the arguments say, checked against each other.
    pub fn plan(self) -> Result<Plan, UsageError> {
        match self {
            Self::Tcpstates(args) => args.plan(),
            Self::Tcpconnect(args) => args.plan(),
            Self::Tcpconnlat(args) => args.plan(),
            Self::Tcplife(args) => args.plan(),
            Self::Tcpaccept(args) => args.plan(),
            Self::Tcptracer(args) => args.plan(),
            Self::Tcpretrans(args) => args.plan(),
            Self::Tcpreset(args) => args.plan(),
        }
    }
}

/// The program's name as its user typed it: as a plugin it is `kubectl sockeye`.
pub fn program() -> &'static str {
    if is_kubectl() { "kubectl sockeye" } else { "sockeye" }
}

/// Whether the program was called by kubectl, which looks for `kubectl-sockeye` on PATH.
pub fn is_kubectl() -> bool {
    let called = std::env::args_os().next();
    let name = called.as_deref().and_then(|path| std::path::Path::new(path).file_stem());
    name.is_some_and(|name| name.as_encoded_bytes().starts_with(b"kubectl-"))
}

/// Reads this process's command line. The usage lines name the program as it was called.
pub fn parse() -> Result<Cli, clap::Error> {
    let command = Cli::command().bin_name(program());
    Cli::from_arg_matches(&command.try_get_matches()?)
}
