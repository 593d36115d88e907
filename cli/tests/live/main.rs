//! Live tests: the static binary in `SOCKEYE_BIN` against a real kernel, as root, one test at a time; run by
//! `cargo xtask test` here and in virtual machines. A test that cannot run prints `SKIP <test>: <reason>`; where
//! the kernel is to blame the reason begins with "this kernel lacks", and everything else fails in CI.
//! Without `SOCKEYE_BIN` (plain `cargo test`) there is nothing to test against.

mod refusal;

use std::{env, path::PathBuf, process::Command};

/// The binary under test, if there is one.
fn sockeye() -> Option<Command> {
    Some(Command::new(PathBuf::from(env::var_os("SOCKEYE_BIN")?)))
}

#[test]
fn the_binary_runs_on_this_kernel() {
    let Some(mut sockeye) = sockeye() else { return };
    sockeye.arg("--version").output().expect("SOCKEYE_BIN can be started");
}
