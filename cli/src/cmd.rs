//! The verbs, and how they fail.

#[cfg(feature = "node")]
pub mod agent;
pub mod completion;
#[cfg(feature = "node")]
pub mod doctor;
#[cfg(feature = "node")]
mod explain;
#[cfg(feature = "node")]
pub mod trace;

use std::{
    io::{self, Write as _},
    path::PathBuf,
    process::ExitCode,
};

use thiserror::Error;

use crate::{USAGE, args::UsageError};
#[cfg(feature = "node")]
use crate::{journal::NoJournal, request::Unresolved};

/// What `sockeye` alone shows.
pub const WELCOME: &str = "\
Sockeye shows what the TCP stack does: connects, accepts, states, latency, lifetimes, per process.

On this machine   sockeye trace tcplife       connections as they end: who, how long, how many bytes
                  sockeye trace tcpconnect    connects; with --failed, those that failed and why
                  sockeye doctor              what works here, and what does not

More              sockeye trace --help        all tools
                  sockeye trace tcplife --help
";

/// Why a verb did not do what was asked. One line each.
#[derive(Debug, Error)]
pub enum Failure {
    /// The command line contradicts itself.
    #[error(transparent)]
    Usage(#[from] UsageError),
    /// The command line names what is not there.
    #[cfg(feature = "node")]
    #[error(transparent)]
    Unresolved(#[from] Unresolved),
    /// The engine refused what the command line named (a pinned map of another shape).
    #[error("{0}")]
    Named(String),
    /// A right is missing.
    #[error("{0}")]
    Rights(String),
    /// No journal to write to.
    #[cfg(feature = "node")]
    #[error("{0}: {source}", source = std::error::Error::source(.0).map(ToString::to_string).unwrap_or_default())]
    Journal(#[from] NoJournal),
    /// The engine could not start, or broke.
    #[error("{0}")]
    Engine(String),
    /// Standard output.
    #[error("cannot write to standard output: {0}")]
    Output(#[source] io::Error),
    /// The file that says that the tool runs.
    #[error("--ready-file: cannot create {}: {error}", path.display())]
    Ready {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The runtime.
    #[error("cannot start: {0}")]
    Runtime(#[source] io::Error),
}

impl Failure {
    /// The exit code.
    pub const fn exit_code(&self) -> u8 {
        match self {
            #[cfg(feature = "node")]
            Self::Unresolved(unresolved) if unresolved.forbidden() => 1,
            #[cfg(feature = "node")]
            Self::Unresolved(_) => USAGE,
            Self::Usage(_) | Self::Named(_) => USAGE,
            _ => 1,
        }
    }
}

/// Prints a text and ends. A reader that went away is no failure.
pub fn print(text: &[u8]) -> ExitCode {
    let mut out = io::stdout().lock();
    match out.write_all(text).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            crate::message::error(&Failure::Output(error).to_string());
            ExitCode::FAILURE
        }
        _ => ExitCode::SUCCESS,
    }
}
