//! Lints: formatting, clippy for the host and for the kernel programs, and the workspace's own rules.

use std::{fs, process::Stdio};

use anyhow::{Context as _, Result, bail};
use cargo_metadata::MetadataCommand;

use crate::{cargo, process, workspace};

/// The kernel programs' crate; it builds for the BPF target only.
pub const KERNEL_CRATE: &str = "agent-ebpf";

/// All code is formatted.
pub fn format() -> Result<()> {
    process::run(cargo::command().args(["fmt", "--all", "--check"]))
}

/// Clippy for everything that runs on the host, tests and benches included.
pub fn clippy() -> Result<()> {
    let mut command = cargo::command();
    command.args(["clippy", "--quiet", "--workspace", "--exclude", KERNEL_CRATE, "--all-targets"]);
    process::run(command.args(["--", "--deny", "warnings"]).stdin(Stdio::null()))
}

/// Clippy for the client without the node's side: what builds for systems other than Linux.
pub fn clippy_client() -> Result<()> {
    let mut command = cargo::command();
    command.args(["clippy", "--quiet", "--package", "cli", "--no-default-features"]);
    process::run(command.args(["--", "--deny", "warnings"]).stdin(Stdio::null()))
}

/// Clippy for the kernel programs, with the flags that aya-build gives the real build.
pub fn clippy_kernel() -> Result<()> {
    let mut command = cargo::command();
    command.args(["clippy", "--quiet", "--package", KERNEL_CRATE, "--release"]);
    command.args(["--target", "bpfel-unknown-none", "-Z", "build-std=core"]);
    // A folder of its own: the switch for unstable features would rebuild what the host's crates share.
    command.arg("--target-dir").arg(workspace::target().join("lint-kernel"));
    command.env("RUSTC_BOOTSTRAP", "1").env("RUSTFLAGS", "--cfg bpf_target_arch=\"x86_64\"");
    process::run(command.args(["--", "--deny", "warnings"]).stdin(Stdio::null()))
}

/// Every crate takes the workspace's lints: a crate that forgot the line has none, and nobody notices.
pub fn lints_in_force() -> Result<()> {
    let metadata = MetadataCommand::new()
        .manifest_path(workspace::root().join("Cargo.toml"))
        .no_deps()
        .exec()
        .context("cannot read the workspace")?;
    let mut without = Vec::new();
    for package in metadata.workspace_packages() {
        let path = &package.manifest_path;
        let manifest = fs::read_to_string(path).with_context(|| format!("cannot read {path}"))?;
        if !takes_workspace_lints(&manifest) {
            without.push(package.name.to_string());
        }
    }
    if !without.is_empty() {
        bail!("without `[lints] workspace = true`: {}", without.join(", "));
    }
    Ok(())
}

fn takes_workspace_lints(manifest: &str) -> bool {
    let mut lines = manifest.lines().map(str::trim);
    lines.any(|line| line == "[lints]")
        && lines.take_while(|line| !line.starts_with('[')).any(|line| line == "workspace = true")
}

#[cfg(test)]
mod tests {
    use super::takes_workspace_lints;

    #[test]
    fn lints_are_in_force_only_by_their_own_section() {
        assert!(takes_workspace_lints("[package]\nname = \"a\"\n\n[lints]\nworkspace = true\n"));
        assert!(!takes_workspace_lints("[package]\nworkspace = true\n"));
        assert!(!takes_workspace_lints("[lints]\n[dependencies]\nworkspace = true\n"));
        assert!(!takes_workspace_lints(""));
    }
}
