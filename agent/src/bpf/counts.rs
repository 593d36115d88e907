//! What the kernel counts of a program: in the descriptor's fdinfo (`bpf_prog_show_fdinfo` in kernel/bpf/syscall.c),
//! which needs no capability.

use std::{
    os::fd::{AsFd as _, AsRawFd as _},
    time::Duration,
};

use aya::programs::ProgramFd;

/// What the kernel counted of a program since its load; `None` where it does not say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// How often it ran; `None` while the kernel does not count (`kernel.bpf_stats_enabled`).
    pub runs: Option<u64>,
    /// How long in all; as `runs`.
    pub run_time: Option<Duration>,
    /// How often it was skipped because it was already running on that CPU (since 5.12).
    pub recursion_misses: Option<u64>,
}

/// Reads them; runs and their time only where the kernel [is counting](is_counting).
pub(super) fn of(program: &ProgramFd, is_counting: bool) -> Counts {
    let counts = said_of(program);
    // Zeros while nobody counts, and what an earlier hour counted, are no counts.
    if is_counting { counts } else { Counts { runs: None, run_time: None, ..counts } }
}

/// [`Counts::recursion_misses`] alone, which are always counted.
pub(super) fn recursion_misses(program: &ProgramFd) -> Option<u64> {
    said_of(program).recursion_misses
}

/// What is there, zeros included.
fn said_of(program: &ProgramFd) -> Counts {
    let path = format!("/proc/self/fdinfo/{}", program.as_fd().as_raw_fd());
    parse(&std::fs::read_to_string(path).unwrap_or_default())
}

/// Whether the kernel counts runs; that takes time, so it seldom does.
pub(super) fn is_counting() -> bool {
    let switch = std::fs::read_to_string("/proc/sys/kernel/bpf_stats_enabled");
    switch.is_ok_and(|switch| switch.trim() == "1")
}

fn parse(fdinfo: &str) -> Counts {
    let number = |name: &str| -> Option<u64> {
        let line = fdinfo.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        line.trim().parse().ok()
    };
    Counts {
        runs: number("run_cnt"),
        run_time: number("run_time_ns").map(Duration::from_nanos),
        recursion_misses: number("recursion_misses"),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Counts, parse};

    #[test]
    fn what_fdinfo_says_is_read_and_what_it_lacks_is_absent() {
        let text = "pos:\t0\nprog_type:\t26\nprog_jited:\t1\nrun_time_ns:\t21984\nrun_cnt:\t17\nrecursion_misses:\t3\nverified_insns:\t900\n";
        let (runs, run_time) = (Some(17), Some(Duration::from_nanos(21_984)));
        assert_eq!(parse(text), Counts { runs, run_time, recursion_misses: Some(3) });
        let old = text.replace("recursion_misses", "something");
        assert_eq!(parse(&old), Counts { runs, run_time, recursion_misses: None });
        assert_eq!(parse(""), Counts::default());
    }
}
