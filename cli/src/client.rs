//! The client: servers, the way to each, their streams as one.
//!
//! ```text
//! tls       certificates of the command line -> a TLS client
//! dial      the way to a server: socket, TCP, TLS, or a port-forward through the API server
//! cluster   kubeconfig -> agents' pods, and the nodes that a filter's pods are on
//! server    a server that can be called
//! follow    a server's stream, taken up again where it broke off       (task each)
//! fleet     which servers there are, as nodes come and go              (task)
//! merge     streams of several nodes -> one, in order of time          (pure)
//! session   all of it -> what is shown, and what is said on stderr
//! replay    saved events instead of servers
//! ```

pub mod cluster;
pub mod dial;
pub mod fleet;
pub mod follow;
pub mod merge;
pub mod replay;
pub mod server;
pub mod session;
pub mod tls;

#[cfg(test)]
pub mod fake;

use thiserror::Error;

/// Why a server cannot be asked. One line each.
#[derive(Clone, Debug, Error)]
pub enum ClientError {
    /// What the command line names is wrong: a certificate, a kubeconfig, a token's file.
    #[error("{0}")]
    Named(String),
    /// It does not answer.
    #[error("{0}")]
    Unreachable(String),
    /// It answers with a refusal.
    #[error("{0}")]
    Refused(String),
    /// It says that the request is wrong.
    #[error("{0}")]
    Request(String),
}

impl ClientError {
    /// What a server's status means.
    pub fn of(status: &tonic::Status) -> Self {
        use tonic::Code;
        let text = if status.message().is_empty() { status.code().description() } else { status.message() };
        match status.code() {
            Code::InvalidArgument | Code::OutOfRange => Self::Request(text.to_owned()),
            Code::Unauthenticated => Self::Refused(format!("it does not know us: {text}")),
            Code::PermissionDenied | Code::ResourceExhausted | Code::NotFound => {
                Self::Refused(text.to_owned())
            }
            Code::Unimplemented => Self::Refused(format!("it cannot do that: {text}")),
            _ => Self::Unreachable(text.to_owned()),
        }
    }
}

/// An error with its causes on one line, none of them twice.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}
