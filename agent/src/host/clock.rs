//! Wall-clock time of kernel events, which carry CLOCK_BOOTTIME.
//!
//! The difference between the two moves when somebody sets the wall clock or NTP steers it, so it is
//! measured again now and then.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// The wall clock, as seen from CLOCK_BOOTTIME.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clock {
    offset_ns: i64,
    measured_ns: u64,
}

/// How often a measurement is repeated, to get one that nothing interrupted.
const TRIES: usize = 3;

impl Clock {
    /// Measures the difference now.
    pub fn measure() -> Self {
        let mut best = sample();
        for _ in 1..TRIES {
            let next = sample();
            if next.0 < best.0 {
                best = next;
            }
        }
        best.1
    }

    /// Measures again if the last time is longer ago than `age`; says whether it did.
    pub fn refresh(&mut self, age: Duration) -> bool {
        let old = u128::from(boot_ns().saturating_sub(self.measured_ns)) > age.as_nanos();
        if old {
            *self = Self::measure();
        }
        old
    }

    /// Wall clock minus CLOCK_BOOTTIME, in nanoseconds.
    pub const fn offset_ns(&self) -> i64 {
        self.offset_ns
    }

    /// The wall clock, in nanoseconds since the Unix epoch, at a moment of CLOCK_BOOTTIME.
    pub const fn wall_ns(&self, boot_ns: u64) -> u64 {
        boot_ns.saturating_add_signed(self.offset_ns)
    }
}

/// CLOCK_BOOTTIME in nanoseconds.
pub fn boot_ns() -> u64 {
    read(ClockId::Boottime)
}

/// A measurement, and how long it took: the true difference is within that time.
fn sample() -> (u64, Clock) {
    let before = boot_ns();
    let wall = read(ClockId::Realtime);
    let took = boot_ns().saturating_sub(before);
    let middle = before + took / 2;
    (took, Clock { offset_ns: wall.wrapping_sub(middle).cast_signed(), measured_ns: middle })
}

fn read(clock: ClockId) -> u64 {
    let time = clock_gettime(clock);
    // Neither clock is before its epoch on a machine that runs.
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    seconds * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime, UNIX_EPOCH};

    use super::{Clock, boot_ns};

    #[test]
    fn now_by_boottime_is_now_by_the_wall_clock() {
        let clock = Clock::measure();
        let wall = u128::from(clock.wall_ns(boot_ns()));
        let system = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
        assert!(system.abs_diff(wall) < Duration::from_secs(1).as_nanos());
    }

    #[test]
    fn it_is_measured_again_only_when_it_is_old() {
        let mut clock = Clock::measure();
        assert!(!clock.refresh(Duration::from_secs(3600)));
        std::thread::sleep(Duration::from_millis(2));
        assert!(clock.refresh(Duration::from_millis(1)));
    }

    #[test]
    fn a_moment_before_the_offset_does_not_wrap() {
        let clock = Clock { offset_ns: -10, measured_ns: 0 };
        assert_eq!(clock.wall_ns(5), 0);
        assert_eq!(clock.wall_ns(15), 5);
    }
}
