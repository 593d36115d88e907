//! Streams of several nodes as one, in order of time. Pure: the caller tells what time it is.
//!
//! An event waits until every node said that nothing older will come (a watermark), or until it waited for the whole
//! window. So the order is right as long as no event is later than the window, nothing waits for ever for a node that
//! is silent, and nothing is lost: an event that comes too late goes out at once, behind younger ones.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque},
    time::{Duration, Instant},
};

/// Events that wait at most; beyond it the oldest go out early.
const HELD: usize = 100_000;

/// The merge.
#[derive(Debug)]
pub struct Merge<T> {
    window: Duration,
    sources: Vec<Source>,
    held: BinaryHeap<Reverse<Held<T>>>,
    /// When what arrived must be out at the latest, in the order of arrival, with its time.
    deadlines: VecDeque<(Instant, u64)>,
    /// Everything up to here has waited for long enough.
    level: u64,
    arrivals: u64,
}

#[derive(Clone, Copy, Debug)]
struct Source {
    /// It may still send something.
    open: bool,
    watermark: u64,
}

#[derive(Debug)]
struct Held<T> {
    time: u64,
    arrival: u64,
    item: T,
}

impl<T> Held<T> {
    const fn key(&self) -> (u64, u64) {
        (self.time, self.arrival)
    }
}

impl<T> PartialEq for Held<T> {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl<T> Eq for Held<T> {}

impl<T> PartialOrd for Held<T> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Held<T> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.key().cmp(&other.key())
    }
}

impl<T> Merge<T> {
    /// Nothing to merge yet.
    pub const fn new(window: Duration) -> Self {
        Self {
            window,
            sources: Vec::new(),
            held: BinaryHeap::new(),
            deadlines: VecDeque::new(),
            level: 0,
            arrivals: 0,
        }
    }

    /// The source may send something from now on; its watermark begins anew.
    pub fn open(&mut self, source: usize) {
        let closed = Source { open: false, watermark: 0 };
        self.sources.resize(self.sources.len().max(source + 1), closed);
        self.sources[source] = Source { open: true, watermark: 0 };
    }

    /// The source will not send anything, for now: nobody waits for it.
    pub fn close(&mut self, source: usize) {
        if let Some(source) = self.sources.get_mut(source) {
            source.open = false;
        }
    }

    /// The source will not send anything older.
    pub fn watermark(&mut self, source: usize, time: u64) {
        if let Some(source) = self.sources.get_mut(source) {
            source.watermark = source.watermark.max(time);
        }
    }

    /// Something of this time arrived.
    pub fn push(&mut self, time: u64, item: T, now: Instant) {
        self.held.push(Reverse(Held { time, arrival: self.arrivals, item }));
        self.arrivals += 1;
        self.deadlines.push_back((now + self.window, time));
    }

    /// The next one whose turn it is.
    pub fn pop(&mut self, now: Instant) -> Option<T> {
        while let Some((deadline, time)) = self.deadlines.front()
            && *deadline <= now
        {
            self.level = self.level.max(*time);
            self.deadlines.pop_front();
        }
        let first = self.held.peek()?;
        let ready = first.0.time <= self.level.max(self.lowest_watermark()) || self.held.len() > HELD;
        let item = if ready { self.held.pop() } else { None }?;
        if self.held.is_empty() {
            self.deadlines.clear();
        }
        Some(item.0.item)
    }

    /// When `pop` may have something without anything new.
    pub fn deadline(&self) -> Option<Instant> {
        self.deadlines.front().map(|(deadline, _)| *deadline)
    }

    /// Everything that waits, in order: nothing more will come.
    pub fn drain(&mut self) -> impl Iterator<Item = T> + '_ {
        self.deadlines.clear();
        std::iter::from_fn(|| self.held.pop().map(|held| held.0.item))
    }

    /// Up to here everybody said everything. A single source never makes itself wait.
    fn lowest_watermark(&self) -> u64 {
        let mut open = self.sources.iter().filter(|source| source.open);
        match (open.next(), open.next()) {
            (None | Some(_), None) => u64::MAX,
            (Some(one), Some(two)) => {
                open.fold(one.watermark.min(two.watermark), |low, source| low.min(source.watermark))
            }
            (None, Some(_)) => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use proptest::prelude::{Strategy, prop, prop_assert, prop_assert_eq, proptest};

    use super::{HELD, Merge};

    const WINDOW: Duration = Duration::from_millis(500);

    fn merge(sources: usize) -> Merge<(usize, u64)> {
        let mut merge = Merge::new(WINDOW);
        (0..sources).for_each(|source| merge.open(source));
        merge
    }

    fn pop_all(merge: &mut Merge<(usize, u64)>, now: Instant) -> Vec<u64> {
        std::iter::from_fn(|| merge.pop(now)).map(|(_, time)| time).collect()
    }

    #[test]
    fn events_wait_for_the_other_nodes_watermarks() {
        let (mut merge, now) = (merge(2), Instant::now());
        merge.push(30, (0, 30), now);
        merge.push(10, (0, 10), now);
        assert!(pop_all(&mut merge, now).is_empty());
        merge.watermark(0, 30);
        merge.watermark(1, 20);
        assert_eq!(pop_all(&mut merge, now), [10]);
        merge.push(25, (1, 25), now);
        merge.watermark(1, 40);
        assert_eq!(pop_all(&mut merge, now), [25, 30]);
    }

    #[test]
    fn a_node_that_went_keeps_nobody_waiting_and_one_alone_does_not_wait() {
        let (mut merge, now) = (merge(2), Instant::now());
        merge.push(10, (0, 10), now);
        assert!(pop_all(&mut merge, now).is_empty());
        merge.close(1);
        assert_eq!(pop_all(&mut merge, now), [10]);
    }

    #[test]
    fn silence_is_waited_for_as_long_as_the_window_and_no_longer() {
        let (mut merge, now) = (merge(2), Instant::now());
        merge.push(10, (0, 10), now);
        assert_eq!(merge.deadline(), Some(now + WINDOW));
        assert!(pop_all(&mut merge, now + WINDOW - Duration::from_nanos(1)).is_empty());
        assert_eq!(pop_all(&mut merge, now + WINDOW), [10]);
        assert_eq!(merge.deadline(), None);
    }

    #[test]
    fn what_is_older_goes_with_what_waited_long_enough() {
        let (mut merge, now) = (merge(2), Instant::now());
        merge.push(20, (0, 20), now);
        merge.push(10, (1, 10), now + WINDOW / 2);
        assert_eq!(pop_all(&mut merge, now + WINDOW), [10, 20]);
    }

    #[test]
    fn a_crowd_goes_out_early_rather_than_being_kept_or_lost() {
        let (mut merge, now) = (merge(2), Instant::now());
        for time in 0..HELD as u64 + 10 {
            merge.push(time, (0, time), now);
        }
        assert_eq!(pop_all(&mut merge, now).len(), 10);
        assert_eq!(merge.drain().count(), HELD);
    }

    /// Arrivals: (source, milliseconds from the start, how much later than it happened).
    fn arrivals(latest: u64) -> impl Strategy<Value = Vec<(usize, u64, u64)>> {
        prop::collection::vec((0usize..3, 0u64..3000, 0..latest), 0..200)
    }

    proptest! {
        #[test]
        fn order_is_right_within_the_window_and_nothing_is_lost_or_held(arrivals in arrivals(499)) {
            let start = Instant::now();
            let at = |ms| start + Duration::from_millis(ms);
            let mut arrivals = arrivals;
            arrivals.sort_by_key(|(_, happened, late)| happened + late);
            let mut merge = merge(3);
            let mut out: Vec<(u64, u64)> = Vec::new();
            for (number, (source, happened, late)) in arrivals.iter().enumerate() {
                let now = happened + late;
                // Times are made unique, so that the order has one answer.
                let time = happened * 1000 + number as u64;
                // What must be out by now comes out first, as the session's timer would have it.
                while let Some(item) = merge.pop(at(now)) {
                    out.push((item.1, now));
                }
                merge.push(time, (*source, time), at(now));
            }
            let end = 10_000;
            while let Some(item) = merge.pop(at(end)) {
                out.push((item.1, end));
            }
            prop_assert!(merge.deadline().is_none());
            prop_assert_eq!(out.len(), arrivals.len());
            let times: Vec<u64> = out.iter().map(|(time, _)| *time).collect();
            let by_ms: Vec<u64> = times.iter().map(|time| time / 1000).collect();
            prop_assert!(by_ms.is_sorted(), "{:?}", by_ms);
        }

        #[test]
        fn nothing_is_lost_however_late_it_is(arrivals in arrivals(5000), marks in prop::collection::vec((0usize..3, 0u64..4000), 0..20)) {
            let start = Instant::now();
            let mut merge = merge(3);
            let mut out = Vec::new();
            let mut marks = marks.into_iter();
            for (number, (source, happened, late)) in arrivals.iter().enumerate() {
                let now = start + Duration::from_millis(happened + late);
                merge.push(*happened, (*source, number as u64), now);
                if let Some((source, mark)) = marks.next() {
                    merge.watermark(source, mark);
                }
                out.extend(std::iter::from_fn(|| merge.pop(now)));
            }
            out.extend(merge.drain());
            let mut numbers: Vec<u64> = out.iter().map(|(_, number)| *number).collect();
            numbers.sort_unstable();
            prop_assert_eq!(numbers, (0..arrivals.len() as u64).collect::<Vec<_>>());
        }
    }
}
