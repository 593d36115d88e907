//! Live tests: the static binary in `SOCKEYE_BIN` against a real kernel, as root, one test at a time; run by
//! `cargo xtask test` here and in virtual machines. A test that cannot run prints `SKIP <test>: <reason>`; where
//! the kernel is to blame the reason begins with "this kernel lacks", and everything else fails in CI.
//! Without `SOCKEYE_BIN` (plain `cargo test`) there is nothing to test against.
//!
//! They are black-box: connections are made in own network namespaces by own processes, which know what they
//! did, and what the tool printed is compared with that.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod accept;
mod agent;
mod bed;
mod closes;
mod connect;
mod conservation;
mod doctor;
mod failures;
mod filters;
mod forge;
mod journal;
mod life;
mod names;
mod older;
mod owners;
mod peers;
mod refusal;
mod resets;
mod retransmits;
mod run;
mod sockets;
mod states;
mod terminal;
mod tracer;
mod wakeups;
