//! Event kinds: what a record tells, as bits.
//!
//! One transition of a socket can be several events at once (`SYN_SENT -> CLOSE` is a state change and a
//! failed connect). The kernel sends it once, with a bit for each kind that somebody wants.

/// Every event kind, in the order of its bit. Numbers are never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum EventKind {
    /// Any change of a socket's state.
    StateChange = 0,
    /// A connect was started: `CLOSE -> SYN_SENT`.
    Connect = 1,
    /// A connect succeeded: `SYN_SENT -> ESTABLISHED`.
    Established = 2,
    /// A connect failed, before or after its SYN was sent.
    ConnectFailed = 3,
    /// A passive connection reached a process: `accept()` returned, or the first sign of its use.
    Accept = 4,
    /// The application ended its side: the first of `-> FIN_WAIT1`, `-> LAST_ACK`, `-> CLOSE`.
    Closing = 5,
    /// The socket is done: `-> CLOSE`, with its final counters.
    Close = 6,
    /// A socket started to listen: `CLOSE -> LISTEN`.
    Listen = 7,
    /// Segments were sent again.
    Retransmit = 8,
    /// A RST was sent or received.
    Reset = 9,
    /// The socket got an error.
    SocketError = 10,
}

impl EventKind {
    /// All kinds, by bit number.
    pub const ALL: [Self; 11] = [
        Self::StateChange,
        Self::Connect,
        Self::Established,
        Self::ConnectFailed,
        Self::Accept,
        Self::Closing,
        Self::Close,
        Self::Listen,
        Self::Retransmit,
        Self::Reset,
        Self::SocketError,
    ];

    /// The kinds that a change of a socket's state can be, some of them at once.
    pub const OF_STATES: [Self; 8] = [
        Self::StateChange,
        Self::Connect,
        Self::Established,
        Self::ConnectFailed,
        Self::Accept,
        Self::Closing,
        Self::Close,
        Self::Listen,
    ];

    /// The kind's bit in a mask.
    pub const fn bit(self) -> u32 {
        1 << self as u8
    }

    /// The name used in JSON, in flags and in metric labels.
    pub const fn name(self) -> &'static str {
        match self {
            Self::StateChange => "state_change",
            Self::Connect => "connect",
            Self::Established => "established",
            Self::ConnectFailed => "connect_failed",
            Self::Accept => "accept",
            Self::Closing => "closing",
            Self::Close => "close",
            Self::Listen => "listen",
            Self::Retransmit => "retransmit",
            Self::Reset => "reset",
            Self::SocketError => "socket_error",
        }
    }
}

/// How many kinds a filter has room for. More than [`EventKind::ALL`], so that the map need not grow.
pub const MAX_KINDS: usize = 32;

#[cfg(test)]
mod tests {
    use super::EventKind;

    #[test]
    fn every_kind_stands_at_the_index_of_its_bit() {
        for (index, kind) in EventKind::ALL.iter().enumerate() {
            assert_eq!(1 << index, kind.bit(), "{}", kind.name());
        }
    }
}
