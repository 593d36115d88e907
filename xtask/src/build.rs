//! `cargo xtask build`: the static binary, and where it is.

use std::{
    path::PathBuf,
    process::{Command, ExitCode},
};

use anyhow::{Context as _, Result};

use crate::{
    cargo,
    setup::{self, Scope, Target},
};

pub fn main() -> Result<ExitCode> {
    println!("{}", sockeye()?.display());
    Ok(ExitCode::SUCCESS)
}

/// Builds `sockeye` for release, after setting up what that takes.
pub fn sockeye() -> Result<PathBuf> {
    let target = setup::ensure(Scope::Build)?;
    let mut command = cargo::command();
    command.args(["build", "--release", "--package", "cli", "--bin", "sockeye"]);
    for_target(&mut command, &target);
    let executables = cargo::build(&mut command)?;
    let sockeye = executables.into_iter().find(|executable| executable.name == "sockeye");
    Ok(sockeye.context("cargo built no sockeye")?.path)
}

/// Has a cargo command build static executables.
pub fn for_target(command: &mut Command, target: &Target) {
    command.args(["--target", &target.triple]);
    if let Some(flags) = target.rustflags {
        // By the target's own variable: flags for everything would reach build scripts and proc macros,
        // and a proc macro cannot be static.
        let variable = format!("CARGO_TARGET_{}_RUSTFLAGS", target.triple.to_uppercase().replace('-', "_"));
        command.env(variable, flags);
    }
}
