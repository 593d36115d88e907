//! The end of a connection: who began, how, how long it lasted, and its exact payload.
//!
//! The state that a socket is in when it reaches CLOSE tells most of it, also for sockets whose beginning
//! nobody saw: FIN_WAIT1 and FIN_WAIT2 are reached only by closing first, CLOSE_WAIT and LAST_ACK only after
//! the peer's FIN, CLOSING only when both FINs crossed.

use std::time::Duration;

use agent_common::record::{Counters, Header, Socket, flag};

use super::{
    between,
    failure::{self, SHUTDOWN_BOTH, errno},
    known,
};
use crate::event::{Close, CloseHow, FailureCause, Initiator, Payload, TcpState};

/// `sk_shutdown`: the receiving side is shut.
const RCV_SHUTDOWN: u8 = 1;

/// The counters, unless they were not read or the kernel had wiped them.
pub(super) fn counters(header: &Header, counters: &Counters) -> Option<Counters> {
    if header.flags & flag::COUNTERS == 0 {
        return None;
    }
    // A repair reads at tcp_destroy_sock. SO_LINGER 0 and connect(AF_UNSPEC) have zeroed everything by
    // then; a connection that was ESTABLISHED received at least one segment.
    let wiped = header.flags & flag::REPAIRED != 0 && counters.segs_in == 0;
    (!wiped).then_some(*counters)
}

/// How the socket ended.
pub(super) fn close(header: &Header, socket: &Socket, counters: Option<&Counters>) -> Close {
    let end = End { header, socket, counters, old: TcpState::from_number(socket.old_state) };
    Close { duration: end.duration(), initiator: end.initiator(), how: end.how(), errno: known(socket.error) }
}

struct End<'a> {
    header: &'a Header,
    socket: &'a Socket,
    counters: Option<&'a Counters>,
    old: Option<TcpState>,
}

impl End<'_> {
    fn has(&self, bit: u32) -> bool {
        self.header.flags & bit != 0
    }

    fn duration(&self) -> Option<Duration> {
        // The time of a repair is that of the descriptor's end, which can be long after the connection's.
        if self.has(flag::REPAIRED) {
            return None;
        }
        let from = match known(self.socket.established_ns) {
            // Established, but when was missed: from connect() on it would count the handshake.
            None if self.has(flag::WAS_ESTABLISHED) => None,
            None => known(self.socket.start_ns),
            established => established,
        };
        between(from, Some(self.header.time_ns))
    }

    /// The socket was closed or disconnected by a system call, not by a segment or a timer. (A process also
    /// runs the segments that arrived while it held the socket, so process context alone is no proof; but
    /// what these can do without an error never ends ESTABLISHED or CLOSE_WAIT.)
    fn by_call(&self) -> bool {
        self.has(flag::PROCESS_CONTEXT) || self.socket.shutdown == SHUTDOWN_BOTH
    }

    fn initiator(&self) -> Initiator {
        match self.old {
            Some(TcpState::FinWait1 | TcpState::FinWait2 | TcpState::TimeWait) => Initiator::Local,
            Some(TcpState::CloseWait | TcpState::LastAck) => Initiator::Remote,
            Some(TcpState::Closing) => Initiator::Both,
            Some(TcpState::SynSent) => match failure::cause(self.header, self.socket, self.counters) {
                FailureCause::Abandoned => Initiator::Local,
                FailureCause::Refused | FailureCause::Reset => Initiator::Remote,
                FailureCause::Unknown => Initiator::Unknown,
                _ => Initiator::Kernel,
            },
            Some(TcpState::Listen) => Initiator::Local,
            _ => self.initiator_of_abort(),
        }
    }

    /// From ESTABLISHED (or SYN_RECV) to CLOSE in one step.
    fn initiator_of_abort(&self) -> Initiator {
        match self.socket.error {
            errno::ECONNRESET | errno::EPIPE => Initiator::Remote,
            0 => match (self.has(flag::LOCAL_FIRST), self.has(flag::REMOTE_FIRST)) {
                (true, false) => Initiator::Local,
                (false, true) => Initiator::Remote,
                (false, false) if !self.has(flag::REPAIRED) && self.by_call() => Initiator::Local,
                _ => Initiator::Unknown,
            },
            _ => Initiator::Kernel,
        }
    }

    fn how(&self) -> CloseHow {
        match self.socket.error {
            0 => self.how_without_error(),
            // A socket that can receive no more and gets data answers with a RST and the same errno as if
            // it had received one (tcp_rcv_state_process, TCPAbortOnData): which of the two is not to be seen.
            errno::ECONNRESET
                if matches!(self.old, Some(TcpState::FinWait1 | TcpState::FinWait2))
                    && self.socket.shutdown & RCV_SHUTDOWN != 0
                    && !self.has(flag::FIN_RECEIVED) =>
            {
                CloseHow::Unknown
            }
            errno::ECONNRESET | errno::EPIPE => CloseHow::RstReceived,
            // A RST counts as a segment, an ICMP message does not.
            errno::ECONNREFUSED if self.counters.is_some_and(|counters| counters.segs_in > 0) => {
                CloseHow::RstReceived
            }
            errno::ETIMEDOUT => CloseHow::Timeout,
            errno::ECONNABORTED => CloseHow::Abort,
            _ => CloseHow::Error,
        }
    }

    fn how_without_error(&self) -> CloseHow {
        let repaired = self.has(flag::REPAIRED);
        let process = self.has(flag::PROCESS_CONTEXT);
        let fin_received = self.has(flag::FIN_RECEIVED);
        match self.old {
            // SO_LINGER 0, unread data, or connect(AF_UNSPEC). A repair sees no error either way.
            Some(TcpState::Established | TcpState::CloseWait) if self.by_call() && !repaired => {
                CloseHow::RstSent
            }
            // FINs always lead through FIN_WAIT2 or CLOSING; straight to CLOSE goes an abort by the process.
            Some(TcpState::FinWait1) if repaired && fin_received => CloseHow::Fin,
            Some(TcpState::FinWait1) if process && !repaired => CloseHow::RstSent,
            Some(TcpState::FinWait2) if !fin_received && process && !repaired && self.unread() > 0 => {
                CloseHow::RstSent
            }
            // The peer's FIN, or its wait was handed to the TIME_WAIT minisock, or that wait timed out.
            Some(TcpState::FinWait2 | TcpState::TimeWait) => CloseHow::Fin,
            // Either the last ACK was worked off by a process with data left in the queue, or close() threw
            // that data away and sent a RST.
            Some(TcpState::LastAck | TcpState::Closing) if process && !repaired && self.unread() > 0 => {
                CloseHow::Unknown
            }
            Some(TcpState::LastAck | TcpState::Closing) => CloseHow::Fin,
            _ => CloseHow::Unknown,
        }
    }

    /// Payload that the application never read; the FIN, if it was not read either, counts 1 in the kernel.
    fn unread(&self) -> u32 {
        let fin = u32::from(self.has(flag::FIN_RECEIVED));
        self.counters.map_or(0, |counters| counters.unread.saturating_sub(fin))
    }
}

/// The payload that sequence numbers prove: SYN and FIN take one each, and are taken off.
///
/// Not from `bytes_sent - bytes_retrans`: a segment that the device refused counts in `bytes_sent` each time
/// that it is tried, and in `bytes_retrans` never (`__tcp_transmit_skb` counts before it knows).
pub(super) fn payload(header: &Header, socket: &Socket, counters: &Counters) -> Payload {
    let has = |bit| header.flags & bit != 0;
    let by_counters = counters.bytes_sent.saturating_sub(counters.bytes_retrans);
    let received = counters.bytes_received.saturating_sub(u64::from(has(flag::FIN_RECEIVED)));
    let state = TcpState::from_number(socket.old_state);
    if matches!(state, None | Some(TcpState::SynSent | TcpState::SynRecv)) {
        // The SYN itself may be unacknowledged; only TCP Fast Open has payload here.
        return Payload { sent: by_counters, acked: counters.bytes_acked.min(by_counters), received };
    }
    let fin_made = !matches!(state, Some(TcpState::Established | TcpState::CloseWait));
    let fin_acked = u64::from(fin_made && counters.unacked == 0);
    // The FIN comes last: it is under way only if nothing waits to be sent.
    let fin_in_flight = u64::from(fin_made && counters.unacked > 0 && counters.unsent == 0);
    let in_flight = u64::from(counters.unacked.saturating_sub(counters.unsent)).saturating_sub(fin_in_flight);
    let acked = |syn: u64| counters.bytes_acked.saturating_sub(syn + fin_acked);
    let acked = match (has(flag::ACTIVE), has(flag::PASSIVE)) {
        (true, false) => acked(1),
        (false, true) => acked(0),
        // Who connected was not seen: the counters can tell whether a SYN is in the sum.
        _ if acked(0).saturating_add(in_flight) > by_counters => acked(1),
        _ => acked(0),
    };
    Payload { sent: acked.saturating_add(in_flight), acked, received }
}
