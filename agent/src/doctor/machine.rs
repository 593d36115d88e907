//! Looks at the machine. What cannot be read is a value too, so that the report always comes.

use std::{fs, path::PathBuf};

use rustix::{param::page_size, process::Resource};

use crate::{
    engine::DEFAULT_RING_BYTES,
    host::{
        Roots,
        btf::Btf,
        capability::{Capabilities, CapabilityError},
        cgroup::{Cgroups, Mode},
        kernel::{Kernel, KernelError},
    },
};

/// What matters of the machine.
#[derive(Debug)]
pub struct Machine {
    /// The kernel.
    pub kernel: Result<Kernel, KernelError>,
    /// How many types the kernel shows, or why they cannot be used. `None` where it shows none.
    pub types: Option<Result<u32, String>>,
    /// What this process may do.
    pub capabilities: Result<Capabilities, CapabilityError>,
    /// Path of this program, for the command that grants it capabilities.
    pub exe: PathBuf,
    /// How cgroups are used, and where version 2 is; `None` where that cannot be read.
    pub cgroups: Option<(Mode, Option<PathBuf>)>,
    /// Whether the classic tracepoints can be looked up (tracefs mounted and readable).
    pub tracefs: bool,
    /// Sizes and limits.
    pub limits: Limits,
}

/// Sizes and limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// A page in bytes.
    pub page: u64,
    /// The default size of the bulk ring in bytes.
    pub ring: u64,
    /// RLIMIT_MEMLOCK in bytes; `None` = unlimited.
    pub memlock: Option<u64>,
    /// Whether programs are compiled to machine code; `None` = the kernel does not say.
    pub jit: Option<bool>,
    /// Whether the kernel measures every program (`kernel.bpf_stats_enabled`).
    pub stats: bool,
}

/// Looks at the machine.
pub fn inspect(roots: &Roots) -> Machine {
    let kernel = Kernel::read(roots);
    let btf = kernel.as_ref().ok().and_then(|kernel| kernel.btf.as_deref());
    let sysctl = |name: &str| fs::read_to_string(roots.proc.join("sys").join(name));
    Machine {
        types: btf.map(|path| Btf::from_file(path).map(|types| types.len()).map_err(|error| words(&error))),
        kernel,
        capabilities: Capabilities::read(roots),
        exe: std::env::current_exe().unwrap_or_else(|_| "sockeye".into()),
        cgroups: Cgroups::find(roots).ok().map(|found| (found.mode(), found.root().map(PathBuf::from))),
        tracefs: ["kernel/tracing/events", "kernel/debug/tracing/events"]
            .iter()
            .any(|folder| fs::read_dir(roots.sys.join(folder)).is_ok()),
        limits: Limits {
            page: u64::try_from(page_size()).unwrap_or(u64::MAX),
            ring: DEFAULT_RING_BYTES.into(),
            memlock: rustix::process::getrlimit(Resource::Memlock).current,
            // Only root may read it; 1 and 2 are on.
            jit: sysctl("net/core/bpf_jit_enable").ok().map(|value| value.trim() != "0"),
            stats: sysctl("kernel/bpf_stats_enabled").is_ok_and(|value| value.trim() == "1"),
        },
    }
}

/// An error with its causes, in one line.
pub(super) fn words(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        words = format!("{words}: {error}");
        cause = error.source();
    }
    words
}
