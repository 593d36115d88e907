//! What a state change means, as pure functions: who is running, what is known after it, which events it is.
//!
//! The kernel program `agent-ebpf/src/engine.rs` feeds them; they are tested here, on the host.

use crate::{kind::EventKind, record::flag, state::TcpState};

const ESTABLISHED: u8 = TcpState::Established.number();
const SYN_SENT: u8 = TcpState::SynSent.number();
const SYN_RECV: u8 = TcpState::SynRecv.number();
const FIN_WAIT1: u8 = TcpState::FinWait1.number();
const CLOSE: u8 = TcpState::Close.number();
const CLOSE_WAIT: u8 = TcpState::CloseWait.number();
const LAST_ACK: u8 = TcpState::LastAck.number();
const LISTEN: u8 = TcpState::Listen.number();

const EPIPE: u32 = 32;
const ECONNRESET: u32 = 104;

/// Whether a transition runs in the context of the process that asked for it. Only then is the current task
/// somebody who has to do with the socket; everywhere else it is whoever the softirq interrupted.
///
/// `-> FIN_WAIT1` and `-> LAST_ACK` come from close() and shutdown() alone (`tcp_close_state` in
/// net/ipv4/tcp.c); `-> CLOSE` without an error from close(), disconnect() or a connect() that found no port.
#[inline(always)]
pub const fn runs_in_process(old: u8, new: u8, error: u32) -> bool {
    if old == CLOSE || new == FIN_WAIT1 || new == LAST_ACK {
        return true;
    }
    new == CLOSE
        && error == 0
        && (old == ESTABLISHED || old == CLOSE_WAIT || old == LISTEN || old == SYN_SENT)
}

/// The lasting flags after a transition, given those before it. `error` is `sk_err` at `-> CLOSE`, else 0.
#[inline(always)]
pub const fn flags_after(flags: u32, old: u8, new: u8, error: u32, in_process: bool) -> u32 {
    if new == ESTABLISHED {
        return flags | flag::WAS_ESTABLISHED;
    }
    if flags & (flag::LOCAL_FIRST | flag::REMOTE_FIRST) != 0 || old == LISTEN || old == SYN_SENT {
        return flags;
    }
    if new == FIN_WAIT1 || (new == CLOSE && error == 0 && in_process) {
        flags | flag::LOCAL_FIRST
    } else if new == CLOSE_WAIT || (new == CLOSE && (error == ECONNRESET || error == EPIPE)) {
        flags | flag::REMOTE_FIRST
    } else {
        flags
    }
}

/// The bits of the event kinds that a transition stands for. `flags` are the lasting ones after it;
/// `has_socket` tells whether a process has the socket (it left the accept queue).
///
/// The caller sets `CLOSING_SENT` and `ACCEPT_SENT` when their bit is in the answer, so that each is told once.
#[inline(always)]
pub const fn kinds(old: u8, new: u8, flags: u32, has_socket: bool) -> u32 {
    let mut kinds = EventKind::StateChange.bit();
    if new == SYN_SENT {
        kinds |= EventKind::Connect.bit();
    }
    if new == LISTEN {
        kinds |= EventKind::Listen.bit();
    }
    if new == ESTABLISHED && flags & flag::ACTIVE != 0 {
        kinds |= EventKind::Established.bit();
    }
    let ends = new == FIN_WAIT1 || new == LAST_ACK || new == CLOSE;
    if !ends || old == LISTEN {
        return kinds;
    }
    let was_up = flags & flag::WAS_ESTABLISHED != 0 || (old != SYN_SENT && old != SYN_RECV);
    if was_up && flags & flag::CLOSING_SENT == 0 {
        kinds |= EventKind::Closing.bit();
    }
    let unseen = flags & (flag::PASSIVE | flag::WAS_ESTABLISHED | flag::ACCEPT_SENT)
        == (flag::PASSIVE | flag::WAS_ESTABLISHED);
    if unseen && has_socket {
        // A process has it, so accept() returned it, and nothing else told us.
        kinds |= EventKind::Accept.bit();
    }
    if new == CLOSE {
        kinds |= EventKind::Close.bit();
        if flags & (flag::ACTIVE | flag::WAS_ESTABLISHED) == flag::ACTIVE {
            kinds |= EventKind::ConnectFailed.bit();
        }
    }
    kinds
}

#[cfg(test)]
mod tests {
    use super::*;

    const SYN_SENT_TO_CLOSE: (u8, u8) = (SYN_SENT, CLOSE);

    fn names(bits: u32) -> impl Iterator<Item = &'static str> {
        EventKind::ALL.into_iter().filter(move |kind| bits & kind.bit() != 0).map(EventKind::name)
    }

    #[track_caller]
    fn assert_kinds(bits: u32, expected: &[&str]) {
        assert!(names(bits).eq(expected.iter().copied()), "{bits:#b}");
    }

    #[test]
    fn a_refused_connect_is_a_failure_and_an_end_but_no_closing_by_the_application() {
        let (old, new) = SYN_SENT_TO_CLOSE;
        assert_kinds(kinds(old, new, flag::ACTIVE, true), &["state_change", "connect_failed", "close"]);
    }

    #[test]
    fn the_first_end_of_an_established_connection_is_the_closing_and_only_the_first() {
        let flags = flag::ACTIVE | flag::WAS_ESTABLISHED;
        assert_kinds(kinds(ESTABLISHED, FIN_WAIT1, flags, true), &["state_change", "closing"]);
        let told = flags | flag::CLOSING_SENT;
        assert_kinds(kinds(TcpState::FinWait2.number(), CLOSE, told, false), &["state_change", "close"]);
    }

    #[test]
    fn a_connection_that_nobody_accepted_has_no_accept_at_its_end() {
        let flags = flag::PASSIVE | flag::WAS_ESTABLISHED;
        assert_kinds(kinds(ESTABLISHED, CLOSE, flags, false), &["state_change", "closing", "close"]);
        assert_kinds(kinds(ESTABLISHED, CLOSE, flags, true), &["state_change", "accept", "closing", "close"]);
    }

    #[test]
    fn a_listener_that_ends_is_no_connection_that_ends() {
        assert_kinds(kinds(LISTEN, CLOSE, 0, true), &["state_change"]);
    }

    #[test]
    fn an_established_server_side_is_no_established_connect() {
        assert_kinds(
            kinds(SYN_RECV, ESTABLISHED, flag::PASSIVE | flag::WAS_ESTABLISHED, false),
            &["state_change"],
        );
    }

    #[test]
    fn whoever_sends_the_first_fin_or_rst_closed_first() {
        let up = flag::WAS_ESTABLISHED;
        assert_eq!(flags_after(up, ESTABLISHED, FIN_WAIT1, 0, true), up | flag::LOCAL_FIRST);
        assert_eq!(flags_after(up, ESTABLISHED, CLOSE_WAIT, 0, false), up | flag::REMOTE_FIRST);
        assert_eq!(flags_after(up, ESTABLISHED, CLOSE, ECONNRESET, false), up | flag::REMOTE_FIRST);
        assert_eq!(flags_after(up, ESTABLISHED, CLOSE, 0, true), up | flag::LOCAL_FIRST);
        let remote = up | flag::REMOTE_FIRST;
        assert_eq!(flags_after(remote, CLOSE_WAIT, LAST_ACK, 0, true), remote);
    }

    #[test]
    fn a_timeout_is_nobodys_close() {
        const ETIMEDOUT: u32 = 110;
        let up = flag::WAS_ESTABLISHED;
        assert_eq!(flags_after(up, ESTABLISHED, CLOSE, ETIMEDOUT, false), up);
    }

    #[test]
    fn a_process_is_named_only_where_the_transition_runs_in_its_context() {
        assert!(runs_in_process(CLOSE, SYN_SENT, 0));
        assert!(runs_in_process(CLOSE, LISTEN, 0));
        assert!(runs_in_process(ESTABLISHED, FIN_WAIT1, 0));
        assert!(runs_in_process(CLOSE_WAIT, LAST_ACK, 0));
        assert!(runs_in_process(ESTABLISHED, CLOSE, 0));
        assert!(!runs_in_process(ESTABLISHED, CLOSE, ECONNRESET));
        assert!(!runs_in_process(SYN_SENT, ESTABLISHED, 0));
        assert!(!runs_in_process(LISTEN, SYN_RECV, 0));
        assert!(!runs_in_process(ESTABLISHED, CLOSE_WAIT, 0));
        assert!(!runs_in_process(LAST_ACK, CLOSE, 0));
        assert!(!runs_in_process(TcpState::FinWait2.number(), CLOSE, 0));
    }
}
