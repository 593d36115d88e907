//! The engine: probes attached, filters in place, snapshot taken; events come out.
//!
//! ```text
//! Engine::load(&host, config) -> Engine        changes the kernel: programs loaded and attached
//! engine.run(&mut sink, shutdown).await        rings -> decode -> sink, until the sink or shutdown ends it
//! drop(engine)                                 the kernel is as before: links are owned, nothing is pinned
//! ```

use std::{ops::ControlFlow, path::PathBuf};

use crate::{
    event::{Event, Kinds, Lost},
    filter::Filter,
};

/// What to load, and for whom.
#[derive(Clone, Debug)]
pub struct Config {
    /// Event kinds that are wanted; decides which probes are attached.
    pub kinds: Kinds,
    /// The filter.
    pub filter: Filter,
    /// Size of the bulk ring in bytes; rounded up to a power of two of pages. The rare ring is an eighth.
    pub ring_bytes: u32,
    /// Also connects that fail before any state (no route, denied): two more programs, on system calls.
    pub syscall_failures: bool,
    /// Look for sockets that are older than the engine, so that they have an owner.
    pub snapshot: bool,
    /// A pinned hash map whose keys are cgroup ids (bcc's `--cgroupmap`).
    pub pinned_cgroup: Option<PathBuf>,
    /// A pinned hash map whose keys are inodes of mount namespaces (bcc's `--mntnsmap`).
    pub pinned_mntns: Option<PathBuf>,
}

/// The default of [`Config::ring_bytes`].
pub const DEFAULT_RING_BYTES: u32 = 4 << 20;

/// Something that the engine has to do without on this kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Degraded {
    /// The probe or feature, by its name in the probe table.
    pub what: &'static str,
    /// What the user will notice.
    pub effect: &'static str,
    /// Why: the kernel's or the table's own words.
    pub reason: String,
}

/// Where events go.
pub trait Sink {
    /// One event. `Break` ends the run (a count was reached, the pipe is closed).
    fn event(&mut self, event: &Event) -> ControlFlow<()>;

    /// All events that were there have been given: flush. Also called when a deadline passed.
    fn idle(&mut self, now_boot_ns: u64) -> ControlFlow<()>;

    /// When `idle` must be called at the latest (CLOCK_BOOTTIME), for events that the sink holds back.
    fn deadline(&self) -> Option<u64> {
        None
    }

    /// What was lost since the last call; at most once a second, never empty.
    fn lost(&mut self, lost: &[Lost]) -> ControlFlow<()>;
}
