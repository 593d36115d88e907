//! bpf-linker, which turns LLVM bitcode into the kernel's object.

use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};

use super::{Outcome, Step};
use crate::{cargo, process};

/// The newest that works with the pinned Rust's LLVM: 0.11 wants LLVM 23. It loads rustc's own library, so
/// no LLVM has to be installed.
const VERSION: &str = "0.10.3";

pub fn install() -> Result<Step> {
    let name = format!("bpf-linker {VERSION}");
    if installed().is_some_and(|version| version == VERSION) {
        return Ok(Step { name, outcome: Outcome::Found });
    }
    eprintln!("{name}: installing by cargo, about a minute …");
    process::run(
        cargo::command()
            .args(["install", "bpf-linker", "--version", VERSION, "--locked", "--force", "--quiet"])
            // Flags and folders that are meant for this workspace must not change somebody else's tool.
            .env_remove("RUSTFLAGS")
            .env_remove("CARGO_TARGET_DIR")
            .stdin(Stdio::null())
            .stdout(Stdio::null()),
    )
    .context("bpf-linker is needed to build the kernel programs")?;
    Ok(Step { name, outcome: Outcome::Installed("cargo install") })
}

/// The version that a build would use: cargo's own folder comes first on its PATH.
fn installed() -> Option<String> {
    let own = cargo::home()?.join("bin/bpf-linker");
    let program = if own.exists() { own } else { process::find("bpf-linker")? };
    let text = process::output(Command::new(program).arg("--version")).ok()?;
    text.split_whitespace().nth(1).map(str::to_owned)
}
