//! The two clocks at one moment.

use rustix::time::{ClockId, clock_gettime};

/// CLOCK_BOOTTIME, which the kernel programs use, and the wall clock.
#[derive(Clone, Copy)]
pub(super) struct Clock {
    boot_ns: u64,
    wall_ns: u64,
}

impl Clock {
    pub(super) fn now() -> Self {
        Self { boot_ns: read(ClockId::Boottime), wall_ns: read(ClockId::Realtime) }
    }

    pub(super) fn boot_ns(self) -> u64 {
        self.boot_ns
    }

    pub(super) fn wall_ns(self) -> u64 {
        self.wall_ns
    }

    /// Wall clock minus CLOCK_BOOTTIME.
    pub(super) fn wall_offset_ns(self) -> i64 {
        self.wall_ns.wrapping_sub(self.boot_ns) as i64
    }
}

fn read(clock: ClockId) -> u64 {
    let time = clock_gettime(clock);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}
