//! The words for closed sets: the same in columns, CSV and JSON. docs/json.md lists them.

use agent_common::event::{
    CloseHow, CongestionState, Counters, FailureCause, IdentitySource, Initiator, Relation, RetransmitType,
    Role,
};

/// Why a connect failed.
pub const fn cause(cause: FailureCause) -> &'static str {
    match cause {
        FailureCause::Refused => "refused",
        FailureCause::TimedOut => "timed_out",
        FailureCause::HostUnreachable => "host_unreachable",
        FailureCause::NetUnreachable => "net_unreachable",
        FailureCause::Reset => "reset",
        FailureCause::NoLocalPort => "no_local_port",
        FailureCause::Denied => "denied",
        FailureCause::Abandoned => "abandoned",
        FailureCause::Other => "other",
        FailureCause::Unknown => "unknown",
    }
}

/// Who ended a connection.
pub const fn initiator(initiator: Initiator) -> &'static str {
    match initiator {
        Initiator::Local => "local",
        Initiator::Remote => "remote",
        Initiator::Both => "both",
        Initiator::Kernel => "kernel",
        Initiator::Unknown => "unknown",
    }
}

/// How it ended.
pub const fn how(how: CloseHow) -> &'static str {
    match how {
        CloseHow::Fin => "fin",
        CloseHow::RstSent => "rst_sent",
        CloseHow::RstReceived => "rst_received",
        CloseHow::Timeout => "timeout",
        CloseHow::Abort => "abort",
        CloseHow::Error => "error",
        CloseHow::Unknown => "unknown",
    }
}

/// What made TCP send again.
pub const fn retransmit(kind: RetransmitType) -> &'static str {
    match kind {
        RetransmitType::Syn => "syn",
        RetransmitType::SynAck => "syn_ack",
        RetransmitType::Fast => "fast",
        RetransmitType::Rto => "rto",
        RetransmitType::LossRecovery => "loss_recovery",
        RetransmitType::Tlp => "tlp",
        RetransmitType::Other => "other",
    }
}

/// TCP's congestion state.
pub const fn congestion(state: CongestionState) -> &'static str {
    match state {
        CongestionState::Open => "open",
        CongestionState::Disorder => "disorder",
        CongestionState::Cwr => "cwr",
        CongestionState::Recovery => "recovery",
        CongestionState::Loss => "loss",
    }
}

/// Which side.
pub const fn role(role: Role) -> &'static str {
    match role {
        Role::Client => "client",
        Role::Server => "server",
        Role::Unknown => "unknown",
    }
}

/// What the owner's place was read from.
pub const fn identity_source(source: IdentitySource) -> &'static str {
    match source {
        IdentitySource::SocketCgroup => "socket_cgroup",
        IdentitySource::Process => "process",
        IdentitySource::Netns => "netns",
        IdentitySource::Host => "host",
        IdentitySource::Unknown => "unknown",
    }
}

/// What a process has to do with a socket.
pub const fn relation(relation: Relation) -> &'static str {
    match relation {
        Relation::Owner => "owner",
        Relation::Acceptor => "acceptor",
        Relation::User => "user",
        Relation::Listener => "listener",
        Relation::Unknown => "unknown",
    }
}

/// The name of an errno that TCP sockets and connect() give. The numbers are those of x86_64 and aarch64.
pub const fn errno(errno: u32) -> Option<&'static str> {
    Some(match errno {
        1 => "EPERM",
        4 => "EINTR",
        9 => "EBADF",
        11 => "EAGAIN",
        12 => "ENOMEM",
        13 => "EACCES",
        14 => "EFAULT",
        16 => "EBUSY",
        22 => "EINVAL",
        32 => "EPIPE",
        71 => "EPROTO",
        88 => "ENOTSOCK",
        90 => "EMSGSIZE",
        92 => "ENOPROTOOPT",
        97 => "EAFNOSUPPORT",
        98 => "EADDRINUSE",
        99 => "EADDRNOTAVAIL",
        100 => "ENETDOWN",
        101 => "ENETUNREACH",
        102 => "ENETRESET",
        103 => "ECONNABORTED",
        104 => "ECONNRESET",
        105 => "ENOBUFS",
        106 => "EISCONN",
        107 => "ENOTCONN",
        110 => "ETIMEDOUT",
        111 => "ECONNREFUSED",
        112 => "EHOSTDOWN",
        113 => "EHOSTUNREACH",
        114 => "EALREADY",
        115 => "EINPROGRESS",
        _ => return None,
    })
}

/// The smallest round-trip time; the kernel keeps all ones until it measured one.
pub const fn min_rtt_us(counters: &Counters) -> Option<u32> {
    match counters.min_rtt_us {
        u32::MAX => None,
        us => Some(us),
    }
}

/// The smoothed round-trip time; 0 until one was measured.
pub const fn srtt_us(counters: &Counters) -> Option<u32> {
    match counters.srtt_us {
        0 => None,
        us => Some(us),
    }
}
