//! The verbs, and how they fail.

#[cfg(feature = "node")]
pub mod agent;
pub mod completion;
#[cfg(feature = "node")]
pub mod doctor;
#[cfg(feature = "node")]
mod explain;
pub mod nodes;
pub mod observe;
pub mod sockets;
pub mod status;
#[cfg(feature = "node")]
pub mod trace;

use std::{
    io::{self, Write as _},
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use thiserror::Error;

use crate::{USAGE, args::UsageError, client::ClientError};
#[cfg(feature = "node")]
use crate::{journal::NoJournal, request::Unresolved};

/// What `sockeye` alone shows.
pub const WELCOME: &str = "\
Sockeye shows what the TCP stack does: connects, accepts, states, latency, lifetimes, per process and pod.

On this machine   sockeye trace tcplife       connections as they end: who, how long, how many bytes
                  sockeye trace tcpconnect    connects; with --failed, those that failed and why
                  sockeye doctor              what works here, and what does not

In a cluster      kubectl sockeye observe -n shop      what happens to the pods of a namespace, live
                  kubectl sockeye sockets -n shop      their sockets now
                  kubectl sockeye status               how the agents are

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
    /// A server, or the way to it.
    #[error("{0}")]
    Client(#[from] ClientError),
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
            Self::Client(ClientError::Named(_) | ClientError::Request(_)) => USAGE,
            _ => 1,
        }
    }
}

/// A runtime on this thread.
fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Failure::Runtime)
}

/// What ends a run from outside: Ctrl-C, SIGTERM, the time that was asked for. Heard from now on.
fn stop(duration: Option<Duration>) -> io::Result<impl Future<Output = ()>> {
    #[cfg(unix)]
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    #[cfg(unix)]
    let mut interrupt = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::interrupt())?;
    Ok(async move {
        let time_is_up = async {
            match duration {
                Some(duration) => tokio::time::sleep(duration).await,
                None => std::future::pending().await,
            }
        };
        #[cfg(unix)]
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            () = time_is_up => {}
        }
        #[cfg(not(unix))]
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            () = time_is_up => {}
        }
    })
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
