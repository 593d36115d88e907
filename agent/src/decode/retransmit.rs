//! What made TCP send a segment again, from what the kernel had noted by then.
//!
//! The congestion state comes first: in fast recovery some timer is armed, whichever. Only the probe leaves its own
//! mark; the retransmission timer takes it away before it sends (net/ipv4/tcp_timer.c).

use agent_common::record::{self, ca_state, pending};

use super::known;
use crate::event::{CongestionState, Retransmit, RetransmitType, TcpState};

/// TCP's flags as in its header.
const FIN: u8 = 0x01;
const SYN: u8 = 0x02;

pub(super) fn of(record: &record::Retransmit) -> Retransmit {
    let is_syn_ack = record.is_syn_ack != 0;
    let kind = kind(record);
    // The sequence numbers count a SYN and a FIN.
    let counted = record.end_sequence.wrapping_sub(record.sequence);
    let control = u32::from(record.tcp_flags & SYN != 0) + u32::from(record.tcp_flags & FIN != 0);
    let attempt = match kind {
        // What was counted so far is without this one.
        RetransmitType::SynAck => Some(u32::from(record.attempts) + 1),
        RetransmitType::Syn | RetransmitType::Rto => known(u32::from(record.attempts)),
        _ => None,
    };
    Retransmit {
        kind,
        segments: record.segments,
        bytes: counted.saturating_sub(control),
        sequence: (!is_syn_ack).then_some(record.sequence),
        attempt,
        congestion: if is_syn_ack { None } else { congestion(record.ca_state) },
        error: known(record.error),
    }
}

fn kind(record: &record::Retransmit) -> RetransmitType {
    if record.is_syn_ack != 0 {
        return RetransmitType::SynAck;
    }
    if record.socket.new_state == TcpState::SynSent.number() {
        return RetransmitType::Syn;
    }
    match (record.ca_state, record.pending) {
        (ca_state::RECOVERY, _) => RetransmitType::Fast,
        (ca_state::LOSS, pending::NONE) => RetransmitType::Rto,
        (ca_state::LOSS, _) => RetransmitType::LossRecovery,
        (_, pending::LOSS_PROBE) => RetransmitType::Tlp,
        _ => RetransmitType::Other,
    }
}

const fn congestion(state: u8) -> Option<CongestionState> {
    Some(match state {
        ca_state::OPEN => CongestionState::Open,
        ca_state::DISORDER => CongestionState::Disorder,
        ca_state::CWR => CongestionState::Cwr,
        ca_state::RECOVERY => CongestionState::Recovery,
        ca_state::LOSS => CongestionState::Loss,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use agent_common::record::{self, Socket};

    use super::of;
    use crate::event::{CongestionState, RetransmitType, TcpState};

    fn record(state: TcpState, ca_state: u8, pending: u8) -> record::Retransmit {
        let number = state.number();
        record::Retransmit {
            socket: Socket { old_state: number, new_state: number, ..Socket::default() },
            sequence: u32::MAX - 99,
            end_sequence: 1348,
            segments: 1,
            attempts: 2,
            ca_state,
            pending,
            tcp_flags: 0x10,
            ..record::Retransmit::default()
        }
    }

    #[test]
    fn the_congestion_state_tells_the_type_before_the_timer_does() {
        let table = [
            (TcpState::SynSent, 0, 0, RetransmitType::Syn),
            (TcpState::Established, 3, 5, RetransmitType::Fast),
            (TcpState::Established, 3, 0, RetransmitType::Fast),
            (TcpState::Established, 4, 0, RetransmitType::Rto),
            (TcpState::FinWait1, 4, 1, RetransmitType::LossRecovery),
            (TcpState::Established, 0, 5, RetransmitType::Tlp),
            (TcpState::Established, 2, 5, RetransmitType::Tlp),
            (TcpState::Established, 0, 1, RetransmitType::Other),
        ];
        for (state, ca_state, pending, kind) in table {
            assert_eq!(of(&record(state, ca_state, pending)).kind, kind, "{state:?} {ca_state} {pending}");
        }
    }

    #[test]
    fn a_segment_says_what_it_carries_and_the_how_manieth_it_is() {
        let timer = of(&record(TcpState::Established, 4, 0));
        assert_eq!((timer.bytes, timer.sequence), (1448, Some(u32::MAX - 99)));
        assert_eq!((timer.attempt, timer.congestion), (Some(2), Some(CongestionState::Loss)));
        let fin = of(&record::Retransmit { tcp_flags: 0x11, ..record(TcpState::FinWait1, 4, 0) });
        assert_eq!(fin.bytes, 1447);
        assert_eq!(of(&record(TcpState::Established, 3, 1)).attempt, None, "no timer counts");
        let failed = record::Retransmit { error: 1, ..record(TcpState::Established, 4, 0) };
        assert_eq!((of(&failed).error, timer.error), (Some(1), None));
    }

    #[test]
    fn a_syn_ack_has_no_congestion_and_its_own_count() {
        let first = of(&record::Retransmit {
            is_syn_ack: 1,
            attempts: 0,
            sequence: 0,
            end_sequence: 0,
            tcp_flags: 0,
            ..record(TcpState::NewSynRecv, 0, 0)
        });
        assert_eq!((first.kind, first.attempt), (RetransmitType::SynAck, Some(1)));
        assert_eq!((first.sequence, first.congestion, first.bytes), (None, None, 0));
    }
}
