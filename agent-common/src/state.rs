//! TCP states, numbered as in the kernel's `include/net/tcp_states.h`.

/// A TCP state as `inet_sock_set_state` reports it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum TcpState {
    /// Data flows.
    Established = 1,
    /// SYN sent, waiting for the answer.
    SynSent = 2,
    /// SYN received and answered.
    SynRecv = 3,
    /// Our FIN is sent, not yet acknowledged.
    FinWait1 = 4,
    /// Our FIN is acknowledged, the peer's is missing.
    FinWait2 = 5,
    /// Both FINs seen; only the kernel's small twin of the socket is in this state.
    TimeWait = 6,
    /// Not in use.
    Close = 7,
    /// The peer's FIN is here, ours is not sent.
    CloseWait = 8,
    /// Our FIN, sent after the peer's, is not yet acknowledged.
    LastAck = 9,
    /// Waiting for connections.
    Listen = 10,
    /// Both FINs are under way at once.
    Closing = 11,
    /// A request socket; never seen in state events.
    NewSynRecv = 12,
}

impl TcpState {
    /// The state with the kernel's number, if there is one.
    pub const fn from_number(number: u8) -> Option<Self> {
        Some(match number {
            1 => Self::Established,
            2 => Self::SynSent,
            3 => Self::SynRecv,
            4 => Self::FinWait1,
            5 => Self::FinWait2,
            6 => Self::TimeWait,
            7 => Self::Close,
            8 => Self::CloseWait,
            9 => Self::LastAck,
            10 => Self::Listen,
            11 => Self::Closing,
            12 => Self::NewSynRecv,
            _ => return None,
        })
    }

    /// The kernel's number.
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The word that bcc's tcpstates and `ss` users know.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Established => "ESTABLISHED",
            Self::SynSent => "SYN_SENT",
            Self::SynRecv => "SYN_RECV",
            Self::FinWait1 => "FIN_WAIT1",
            Self::FinWait2 => "FIN_WAIT2",
            Self::TimeWait => "TIME_WAIT",
            Self::Close => "CLOSE",
            Self::CloseWait => "CLOSE_WAIT",
            Self::LastAck => "LAST_ACK",
            Self::Listen => "LISTEN",
            Self::Closing => "CLOSING",
            Self::NewSynRecv => "NEW_SYN_RECV",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::TcpState;

    #[test]
    fn numbers_and_states_convert_both_ways() {
        for number in 0..=255 {
            if let Some(state) = TcpState::from_number(number) {
                assert_eq!(state.number(), number);
            } else {
                assert!(number == 0 || number > 12);
            }
        }
    }
}
