//! From the bytes in the ring to events at the client, on one core, without kernel and network: an example of the
//! agent's that measures itself, built as the product is.

use std::process::Command;

use anyhow::{Context as _, Result};

use crate::{
    build, cargo, process,
    setup::{self, Scope},
};

pub fn run() -> Result<()> {
    let target = setup::ensure(Scope::Build)?;
    let mut command = cargo::command();
    command.args(["build", "--release", "--package", "agent", "--example", "pipeline"]);
    build::for_target(&mut command, &target);
    let executables = cargo::build(&mut command)?;
    let pipeline = executables.into_iter().find(|executable| executable.name == "pipeline");
    process::run(&mut Command::new(pipeline.context("cargo built no example")?.path))
}
