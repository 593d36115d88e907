//! `sockeye completion`: a script for the shell, on standard output.

use std::process::ExitCode;

use clap::CommandFactory as _;
use clap_complete::aot;

use crate::args::{Cli, Shell};

/// Prints the script.
pub fn run(shell: Shell) -> ExitCode {
    let shell = match shell {
        Shell::Bash => aot::Shell::Bash,
        Shell::Zsh => aot::Shell::Zsh,
        Shell::Fish => aot::Shell::Fish,
    };
    let mut script = Vec::new();
    aot::generate(shell, &mut Cli::command(), "sockeye", &mut script);
    super::print(&script)
}
