//! Events a second over the last minute, from a count that only grows.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

const MINUTE: Duration = Duration::from_secs(60);
/// Points kept: one every two seconds at most.
const APART: Duration = Duration::from_secs(2);

/// The count at some times of the last minute.
#[derive(Default)]
pub struct Rate {
    points: VecDeque<(Instant, u64)>,
}

impl Rate {
    /// Notes the count, unless that was done a moment ago.
    pub fn note(&mut self, count: u64, now: Instant) {
        if self.points.back().is_none_or(|(at, _)| now.duration_since(*at) >= APART) {
            self.points.push_back((now, count));
        }
        // One older than a minute stays: it is where the minute begins.
        while self.points.get(1).is_some_and(|(at, _)| now.duration_since(*at) >= MINUTE) {
            self.points.pop_front();
        }
    }

    /// The rate over the last minute, or over what is known of it.
    pub fn per_second(&mut self, count: u64, now: Instant) -> f64 {
        self.note(count, now);
        let Some((at, then)) = self.points.front() else { return 0.0 };
        let seconds = now.duration_since(*at).as_secs_f64();
        if seconds > 0.0 { (count - then) as f64 / seconds } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::Rate;

    #[test]
    fn the_rate_is_that_of_the_last_minute_and_not_of_before() {
        let start = Instant::now();
        let mut rate = Rate::default();
        for second in 0..300u64 {
            // Many at first, then ten a second.
            rate.note(
                if second < 100 { second * 1000 } else { 100_000 + (second - 100) * 10 },
                start + Duration::from_secs(second),
            );
        }
        let now = rate.per_second(100_000 + 200 * 10, start + Duration::from_secs(300));
        assert!((9.0..11.0).contains(&now), "{now}");
    }

    #[test]
    fn nothing_is_nothing() {
        assert!(Rate::default().per_second(0, Instant::now()).abs() < f64::EPSILON);
    }
}
