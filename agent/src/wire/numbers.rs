//! The agent's enums as the API's. Every match is exhaustive: a new word without a number does not compile.

use proto::v1;

use crate::{
    event::{
        CloseHow, CongestionState, EventKind, FailureCause, Family, IdentitySource, Initiator, Relation,
        RetransmitType, Role, TcpState,
    },
    identity::ContainerKind,
};

/// A kind of events, as the API has it.
pub const fn kind(kind: EventKind) -> v1::EventKind {
    match kind {
        EventKind::StateChange => v1::EventKind::StateChange,
        EventKind::Connect => v1::EventKind::Connect,
        EventKind::Established => v1::EventKind::Established,
        EventKind::ConnectFailed => v1::EventKind::ConnectFailed,
        EventKind::Accept => v1::EventKind::Accept,
        EventKind::Closing => v1::EventKind::Closing,
        EventKind::Close => v1::EventKind::Close,
        EventKind::Listen => v1::EventKind::Listen,
        EventKind::Retransmit => v1::EventKind::Retransmit,
        EventKind::Reset => v1::EventKind::Reset,
        EventKind::SocketError => v1::EventKind::SocketError,
    }
}

/// The member of `Event.detail` that a kind has.
pub(super) const fn detail(kind: EventKind) -> u32 {
    match kind {
        EventKind::StateChange => 20,
        EventKind::Connect => 21,
        EventKind::Established => 22,
        EventKind::ConnectFailed => 23,
        EventKind::Accept => 24,
        EventKind::Close => 25,
        EventKind::Retransmit => 26,
        EventKind::Reset => 28,
        EventKind::SocketError => 29,
        EventKind::Listen => 34,
        EventKind::Closing => 35,
    }
}

pub(super) const fn state(state: TcpState) -> v1::TcpState {
    match state {
        TcpState::Established => v1::TcpState::Established,
        TcpState::SynSent => v1::TcpState::SynSent,
        TcpState::SynRecv => v1::TcpState::SynRecv,
        TcpState::FinWait1 => v1::TcpState::FinWait1,
        TcpState::FinWait2 => v1::TcpState::FinWait2,
        TcpState::TimeWait => v1::TcpState::TimeWait,
        TcpState::Close => v1::TcpState::Close,
        TcpState::CloseWait => v1::TcpState::CloseWait,
        TcpState::LastAck => v1::TcpState::LastAck,
        TcpState::Listen => v1::TcpState::Listen,
        TcpState::Closing => v1::TcpState::Closing,
        TcpState::NewSynRecv => v1::TcpState::NewSynRecv,
    }
}

pub(super) const fn family(family: Family) -> v1::AddressFamily {
    match family {
        Family::V4 => v1::AddressFamily::Ipv4,
        Family::V6 => v1::AddressFamily::Ipv6,
    }
}

pub(super) const fn role(role: Role) -> v1::Role {
    match role {
        Role::Client => v1::Role::Client,
        Role::Server => v1::Role::Server,
        Role::Unknown => v1::Role::Unspecified,
    }
}

pub(super) const fn relation(relation: Relation) -> v1::ProcessRelation {
    match relation {
        Relation::Owner => v1::ProcessRelation::Owner,
        Relation::Acceptor => v1::ProcessRelation::Acceptor,
        Relation::User => v1::ProcessRelation::User,
        Relation::Listener => v1::ProcessRelation::Listener,
        Relation::Unknown => v1::ProcessRelation::Unspecified,
    }
}

pub(super) const fn failure_cause(cause: FailureCause) -> v1::ConnectFailureCause {
    match cause {
        FailureCause::Refused => v1::ConnectFailureCause::Refused,
        FailureCause::TimedOut => v1::ConnectFailureCause::TimedOut,
        FailureCause::HostUnreachable => v1::ConnectFailureCause::HostUnreachable,
        FailureCause::NetUnreachable => v1::ConnectFailureCause::NetUnreachable,
        FailureCause::Reset => v1::ConnectFailureCause::Reset,
        FailureCause::NoLocalPort => v1::ConnectFailureCause::NoLocalPort,
        FailureCause::Denied => v1::ConnectFailureCause::Denied,
        FailureCause::Abandoned => v1::ConnectFailureCause::Abandoned,
        FailureCause::Other => v1::ConnectFailureCause::Other,
        FailureCause::Unknown => v1::ConnectFailureCause::Unspecified,
    }
}

pub(super) const fn initiator(initiator: Initiator) -> v1::CloseInitiator {
    match initiator {
        Initiator::Local => v1::CloseInitiator::Local,
        Initiator::Remote => v1::CloseInitiator::Remote,
        Initiator::Both => v1::CloseInitiator::Both,
        Initiator::Kernel => v1::CloseInitiator::Kernel,
        Initiator::Unknown => v1::CloseInitiator::Unspecified,
    }
}

pub(super) const fn close_cause(how: CloseHow) -> v1::CloseCause {
    match how {
        CloseHow::Fin => v1::CloseCause::Fin,
        CloseHow::RstSent => v1::CloseCause::RstSent,
        CloseHow::RstReceived => v1::CloseCause::RstReceived,
        CloseHow::Timeout => v1::CloseCause::Timeout,
        CloseHow::Abort => v1::CloseCause::Abort,
        CloseHow::Error => v1::CloseCause::Error,
        CloseHow::Unknown => v1::CloseCause::Unspecified,
    }
}

pub(super) const fn direction(sent: bool) -> v1::Direction {
    if sent { v1::Direction::Transmit } else { v1::Direction::Receive }
}

pub(super) const fn retransmit_type(kind: RetransmitType) -> v1::RetransmitType {
    match kind {
        RetransmitType::Syn => v1::RetransmitType::Syn,
        RetransmitType::SynAck => v1::RetransmitType::SynAck,
        RetransmitType::Fast => v1::RetransmitType::Fast,
        RetransmitType::Rto => v1::RetransmitType::Rto,
        RetransmitType::LossRecovery => v1::RetransmitType::LossRecovery,
        RetransmitType::Tlp => v1::RetransmitType::Tlp,
        RetransmitType::Other => v1::RetransmitType::Other,
    }
}

pub(super) const fn congestion(state: Option<CongestionState>) -> v1::CongestionState {
    match state {
        Some(CongestionState::Open) => v1::CongestionState::Open,
        Some(CongestionState::Disorder) => v1::CongestionState::Disorder,
        Some(CongestionState::Cwr) => v1::CongestionState::Cwr,
        Some(CongestionState::Recovery) => v1::CongestionState::Recovery,
        Some(CongestionState::Loss) => v1::CongestionState::Loss,
        None => v1::CongestionState::Unspecified,
    }
}

pub(super) const fn source(source: IdentitySource) -> v1::IdentitySource {
    match source {
        IdentitySource::SocketCgroup => v1::IdentitySource::SocketCgroup,
        IdentitySource::Process => v1::IdentitySource::Process,
        IdentitySource::Netns => v1::IdentitySource::Netns,
        IdentitySource::Host => v1::IdentitySource::Host,
        IdentitySource::Unknown => v1::IdentitySource::Unspecified,
    }
}

pub(super) const fn container_kind(kind: ContainerKind) -> v1::ContainerKind {
    match kind {
        ContainerKind::Main => v1::ContainerKind::Main,
        ContainerKind::Init => v1::ContainerKind::Init,
        ContainerKind::Sidecar => v1::ContainerKind::Sidecar,
        ContainerKind::Ephemeral => v1::ContainerKind::Ephemeral,
    }
}
