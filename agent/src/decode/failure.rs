//! Why a connect failed, from what the kernel left in the socket or returned from the call.

use std::time::Duration;

use agent_common::record::{Counters, Header, Socket, flag};

use super::{between, known};
use crate::event::{Failure, FailureCause};

/// Errnos of `asm-generic/errno.h`, which is what x86_64 and aarch64 use.
pub(super) mod errno {
    pub const EPERM: u32 = 1;
    pub const EACCES: u32 = 13;
    pub const EPIPE: u32 = 32;
    pub const EADDRNOTAVAIL: u32 = 99;
    pub const ENETUNREACH: u32 = 101;
    pub const ECONNABORTED: u32 = 103;
    pub const ECONNRESET: u32 = 104;
    pub const ETIMEDOUT: u32 = 110;
    pub const ECONNREFUSED: u32 = 111;
    pub const EHOSTUNREACH: u32 = 113;
}

/// `sk_shutdown` of a socket that the application closed: both directions.
pub(super) const SHUTDOWN_BOTH: u8 = 3;

/// The cause that an errno names.
fn by_errno(error: u32) -> FailureCause {
    match error {
        0 => FailureCause::Unknown,
        errno::ECONNREFUSED => FailureCause::Refused,
        errno::ETIMEDOUT => FailureCause::TimedOut,
        errno::EHOSTUNREACH => FailureCause::HostUnreachable,
        errno::ENETUNREACH => FailureCause::NetUnreachable,
        errno::ECONNRESET => FailureCause::Reset,
        errno::EPERM | errno::EACCES => FailureCause::Denied,
        errno::EADDRNOTAVAIL => FailureCause::NoLocalPort,
        _ => FailureCause::Other,
    }
}

/// The cause of `SYN_SENT -> CLOSE`. `counters` where they were read.
pub(super) fn cause(header: &Header, socket: &Socket, counters: Option<&Counters>) -> FailureCause {
    if socket.error != 0 {
        return by_errno(socket.error);
    }
    // When a repair looks, the application may have fetched the error and the kernel wiped the rest.
    if header.flags & flag::REPAIRED != 0 {
        return FailureCause::Unknown;
    }
    let closed = socket.shutdown == SHUTDOWN_BOTH;
    match counters.map(|counters| counters.segs_out) {
        // No port means that no SYN can have left, so the counter is a confirmation where there is one.
        Some(0) | None if socket.local_port == 0 && !closed => FailureCause::NoLocalPort,
        // A bound port whose connection exists already, or a route lost on the way: the kernel leaves no
        // trace of which, and the call that fails runs in process context too.
        Some(0) if !closed => FailureCause::Unknown,
        _ if closed || header.flags & flag::PROCESS_CONTEXT != 0 => FailureCause::Abandoned,
        _ => FailureCause::Unknown,
    }
}

/// A connect that failed after its state changed.
pub(super) fn of_socket(header: &Header, socket: &Socket, counters: Option<&Counters>) -> Failure {
    let cause = cause(header, socket, counters);
    let late = header.flags & flag::REPAIRED != 0;
    Failure {
        cause,
        errno: match cause {
            FailureCause::NoLocalPort => Some(errno::EADDRNOTAVAIL),
            _ => known(socket.error),
        },
        elapsed: if late { None } else { between(known(socket.start_ns), Some(header.time_ns)) },
        syns_sent: if late { None } else { Some(syns_sent(cause, socket, counters)) },
    }
}

fn syns_sent(cause: FailureCause, socket: &Socket, counters: Option<&Counters>) -> u32 {
    if cause == FailureCause::NoLocalPort {
        return 0;
    }
    let tried = 1 + u32::from(socket.syn_retransmits);
    // A retransmit that found no way to the host (ARP failed) was tried but did not leave.
    counters.map_or(tried, |counters| tried.min(counters.segs_out))
}

/// A connect() that failed before the state changed: no SYN was made.
pub(super) fn of_syscall(error: u32, elapsed_ns: u64) -> Failure {
    Failure {
        cause: by_errno(error),
        errno: known(error),
        elapsed: Some(Duration::from_nanos(elapsed_ns)),
        syns_sent: Some(0),
    }
}
