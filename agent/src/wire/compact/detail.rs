//! The detail of an event as the columns of `CompactEvent`.

use proto::mask::Fields;

use crate::{
    event::{Event, EventKind},
    wire::{convert::Counted, numbers, write::zigzag},
};

/// `CompactEvent.duration_ns`, `codes` and `values`.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Columns {
    pub(super) duration_ns: u64,
    pub(super) codes: u32,
    values: [u64; 16],
    count: usize,
}

impl Columns {
    /// What the mask keeps of the detail.
    pub(super) fn of(event: &Event, kind: EventKind, kept: Fields, kept_counters: Fields) -> Self {
        let mut columns = Self::default();
        let has = |number: u32| kept & 1 << number != 0;
        match kind {
            EventKind::StateChange => {
                if let Some(state) = event.state {
                    columns.duration(has(3), state.in_old);
                    columns.codes(
                        if has(1) { numbers::state(state.old).into() } else { 0 },
                        if has(2) { numbers::state(state.new).into() } else { 0 },
                    );
                }
            }
            EventKind::Connect | EventKind::Closing | EventKind::Listen | EventKind::Reset => {}
            EventKind::SocketError => {
                if let Some(error) = event.error {
                    columns.codes(i32::from(has(2) && error.soft), 0);
                    columns.value(0, has(1), error.errno);
                }
            }
            EventKind::Established => {
                columns.duration(has(1), event.connect_latency);
                columns.value(0, has(3), event.syn_retransmits);
                // The kernel's, so in whole microseconds.
                let us = event.handshake_rtt.and_then(|rtt| u64::try_from(rtt.as_micros()).ok());
                columns.value(1, has(2), us);
            }
            EventKind::ConnectFailed => {
                if let Some(failure) = event.failure {
                    columns.codes(if has(1) { numbers::failure_cause(failure.cause).into() } else { 0 }, 0);
                    columns.value(0, has(2), failure.errno);
                    columns.duration(has(3), failure.elapsed);
                    columns.value(1, has(4), failure.syns_sent);
                }
            }
            EventKind::Accept => {
                columns.value(0, has(2), event.backlog.map(|(length, _)| length));
                columns.value(1, has(3), event.backlog.map(|(_, limit)| limit));
                // The decoder's, so in whole microseconds.
                let us = event.queue_time.and_then(|time| u64::try_from(time.as_micros()).ok());
                columns.value(2, has(1), us);
            }
            EventKind::Retransmit => {
                if let Some(again) = event.retransmit {
                    columns.codes(
                        if has(1) { numbers::retransmit_type(again.kind).into() } else { 0 },
                        if has(6) { numbers::congestion(again.congestion).into() } else { 0 },
                    );
                    columns.value(0, has(2), Some(again.segments));
                    columns.value(1, has(3), Some(again.bytes));
                    columns.value(2, has(5), again.attempt);
                    columns.value(3, has(4), again.sequence);
                    columns.value(4, has(7), again.error);
                }
            }
            EventKind::Close => {
                let has_counter = |number: u32| kept_counters & 1 << number != 0;
                let mut counted = Counted::of(event).0;
                if let (Some(sent), Some(acked), true) = (counted[0], counted[1], has_counter(1)) {
                    counted[1] = Some(zigzag(sent.wrapping_sub(acked).cast_signed()));
                }
                for (number, value) in (1..).zip(counted) {
                    columns.value(number as usize - 1, has_counter(number), value);
                }
                if let Some(close) = event.close {
                    columns.duration(has(1), close.duration);
                    columns.codes(
                        if has(3) { numbers::close_cause(close.how).into() } else { 0 },
                        if has(2) { numbers::initiator(close.initiator).into() } else { 0 },
                    );
                    columns.value(15, has(4), close.errno);
                }
            }
        }
        columns
    }

    /// Whether the columns can hold all of a kind's detail: texts they cannot.
    pub(super) const fn hold(kind: EventKind) -> bool {
        !matches!(kind, EventKind::Reset)
    }

    /// The values, without those at the end that are absent.
    pub(super) fn values(&self) -> &[u64] {
        &self.values[..self.count]
    }

    fn duration(&mut self, kept: bool, duration: Option<std::time::Duration>) {
        if let Some(duration) = duration.filter(|_| kept) {
            let ns = duration.as_secs().saturating_mul(1_000_000_000);
            self.duration_ns = ns.saturating_add(duration.subsec_nanos().into()).saturating_add(1);
        }
    }

    fn codes(&mut self, low: i32, high: i32) {
        self.codes = low.cast_unsigned() | high.cast_unsigned() << 4;
    }

    fn value(&mut self, index: usize, kept: bool, value: Option<impl Into<u64>>) {
        if let Some(value) = value.filter(|_| kept) {
            self.values[index] = value.into().saturating_add(1);
            self.count = self.count.max(index + 1);
        }
    }
}
