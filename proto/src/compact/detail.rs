//! The detail of an event, out of the columns.

use prost_types::Duration;

use super::{
    CompactError, SECOND, bits,
    read::{Said, unzigzag},
};
use crate::v1::{
    Accept, Close, Closing, Connect, ConnectFailed, Counters, Established, EventKind, Listen, Retransmit,
    SocketError, StateChange, event::Detail,
};

/// What the fields say of it; none where they say nothing.
pub(super) fn detail(said: &Said) -> Result<Option<Detail>, CompactError> {
    if said.kind_and_flags & bits::DETAIL == 0 {
        return Ok(None);
    }
    let number = said.kind_and_flags & bits::KIND;
    let kind = EventKind::try_from(number.cast_signed()).unwrap_or_default();
    let time = said.duration_ns.checked_sub(1).map(duration);
    let codes = said.codes;
    let (low, high) = ((codes & 15).cast_signed(), (codes >> 4).cast_signed());
    let value = |index: usize| said.value(index).and_then(|value| value.checked_sub(1));
    // What does not fit was never such a number.
    let small = |index| value(index).and_then(|value| u32::try_from(value).ok());
    Ok(Some(match kind {
        EventKind::StateChange => {
            Detail::StateChange(StateChange { old_state: low, new_state: high, time_in_old_state: time })
        }
        EventKind::Connect => Detail::Connect(Connect {}),
        EventKind::Established => {
            let rtt = value(1).map(|us| duration(us.saturating_mul(1000)));
            Detail::Established(Established { latency: time, handshake_rtt: rtt, syn_retransmits: small(0) })
        }
        EventKind::ConnectFailed => Detail::ConnectFailed(ConnectFailed {
            cause: low,
            error_number: small(0),
            elapsed: time,
            syns_sent: small(1),
        }),
        EventKind::Accept => {
            let waited = value(2).map(|us| duration(us.saturating_mul(1000)));
            Detail::Accept(Accept { queue_time: waited, queue_length: small(0), queue_limit: small(1) })
        }
        EventKind::Close => {
            let acked = value(1).map(|acked| match value(0) {
                Some(sent) => sent.wrapping_sub(unzigzag(acked).cast_unsigned()),
                None => acked,
            });
            let us = |index| value(index).map(|us| duration(us.saturating_mul(1000)));
            let counters = Counters {
                bytes_sent: value(0),
                bytes_acked: acked,
                bytes_received: value(2),
                bytes_retransmitted: value(3),
                segments_in: value(4),
                segments_out: value(5),
                data_segments_in: value(6),
                data_segments_out: value(7),
                retransmits: value(8),
                srtt: us(9),
                rtt_variation: us(10),
                min_rtt: us(11),
                congestion_window: small(12),
                unsent_bytes: value(13),
                unread_bytes: value(14),
            };
            Detail::Close(Close {
                duration: time,
                initiator: high,
                cause: low,
                error_number: small(15),
                counters: (counters != Counters::default()).then_some(counters),
            })
        }
        EventKind::Listen => Detail::Listen(Listen {}),
        EventKind::Closing => Detail::Closing(Closing {}),
        EventKind::Retransmit => Detail::Retransmit(Retransmit {
            r#type: low,
            segments: small(0),
            bytes: value(1),
            sequence: small(3),
            attempt: small(2),
            congestion_state: high,
            send_error_number: small(4),
        }),
        EventKind::SocketError => {
            Detail::SocketError(SocketError { error_number: small(0).unwrap_or_default(), soft: low != 0 })
        }
        EventKind::Unspecified
        | EventKind::Drop
        | EventKind::Reset
        | EventKind::ReadLatency
        | EventKind::ListenOverflow
        | EventKind::PortExhausted
        | EventKind::PacketPoint => return Err(CompactError::Kind { kind: number }),
    }))
}

fn duration(ns: u64) -> Duration {
    let second = SECOND.cast_unsigned();
    // At most 2^64 / 10^9, and the remainder is below 10^9.
    Duration { seconds: (ns / second).cast_signed(), nanos: (ns % second) as i32 }
}
