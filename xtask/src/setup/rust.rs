//! What the pinned toolchain lacks: the source of core for the BPF target, and a target for static binaries.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};

use super::{Outcome, Step, Target, without_rustup};
use crate::{apt::Apt, process, workspace};

/// Where Debian may have the source of a Rust that is newer than its stable release.
const SUITES: [&str; 3] = ["trixie-backports", "forky", "sid"];

/// The toolchain that cargo uses in this workspace.
pub struct Toolchain {
    sysroot: PathBuf,
}

impl Toolchain {
    pub fn active() -> Result<Self> {
        let sysroot = process::output(rustc().args(["--print", "sysroot"]))?;
        Ok(Self { sysroot: PathBuf::from(sysroot.trim_end()) })
    }

    /// The source of core: rustup's component, else Debian's package of the same version, unpacked where
    /// rustup would have put it.
    pub fn source(&self) -> Result<Step> {
        let step = |outcome| Ok(Step { name: "rust-src".to_owned(), outcome });
        let library = self.sysroot.join("lib/rustlib/src/rust/library");
        let there = || library.join("core/Cargo.toml").exists();
        if there() {
            return step(Outcome::Found);
        }
        let rustup = rustup(&["component", "add", "rust-src"]);
        if there() {
            return step(Outcome::Installed("rustup"));
        }
        let reason =
            rustup.err().map_or_else(|| "rustup put it elsewhere".to_owned(), |error| format!("{error:#}"));
        source_from_debian(&library)
            .with_context(|| format!("rust-src: not by rustup ({reason}), not from Debian"))?;
        step(Outcome::Installed("Debian's package"))
    }

    /// The target for static binaries: musl, else the host's own with the C library linked in.
    pub fn static_target(&self) -> Result<(Target, Step)> {
        let musl = format!("{}-unknown-linux-musl", env::consts::ARCH);
        let there = || self.sysroot.join("lib/rustlib").join(&musl).join("lib").exists();
        let outcome = match () {
            () if there() => Outcome::Found,
            () if replacement().exists() => Outcome::Found,
            () => {
                // Whatever rustup says: what counts is whether the target is there afterwards.
                let _ = rustup(&["target", "add", &musl]);
                if there() {
                    Outcome::Installed("rustup")
                } else {
                    Outcome::Replaced("glibc, linked statically")
                }
            }
        };
        if there() {
            let step = Step { name: format!("target {musl}"), outcome };
            return Ok((Target { triple: musl, rustflags: None }, step));
        }
        // Without a network rustup takes long to give up: once is enough for a workspace.
        fs::create_dir_all(workspace::target()).context("cannot make the target folder")?;
        fs::write(replacement(), "").context("cannot write into the target folder")?;
        let triple = format!("{}-unknown-linux-gnu", env::consts::ARCH);
        let step = Step { name: format!("target {musl} or {triple}"), outcome };
        Ok((Target { triple, rustflags: Some("-C target-feature=+crt-static") }, step))
    }
}

/// A file that says that musl is not to be had.
fn replacement() -> PathBuf {
    workspace::target().join("without-musl")
}

/// Has the next set-up try to get musl again.
pub fn forget_replacement() {
    // Usually it is not there.
    let _ = fs::remove_file(replacement());
}

/// The workspace's rustc: its toolchain file decides which one that is.
fn rustc() -> Command {
    let mut command = Command::new("rustc");
    command.current_dir(workspace::root());
    command
}

/// Asks rustup, with a limit: without a network it tries for minutes.
fn rustup(arguments: &[&str]) -> Result<()> {
    if without_rustup() {
        bail!("SOCKEYE_SETUP_WITHOUT_RUSTUP is set");
    }
    let mut command = Command::new("timeout");
    process::output(command.args(["120", "rustup"]).args(arguments).current_dir(workspace::root()))?;
    Ok(())
}

fn source_from_debian(library: &Path) -> Result<()> {
    let verbose = process::output(rustc().arg("-vV"))?;
    let release = verbose
        .lines()
        .find_map(|line| line.strip_prefix("release: "))
        .context("rustc -vV has no release")?;
    let apt = Apt::open(&workspace::cache("apt-rust-src")?, &SUITES, false)?;
    let versions = apt.versions("rust-src")?;
    // Debian's versions look like 1.95.0+dfsg1-1~bpo13+1.
    let version = versions.iter().find(|version| version.split(['+', '-']).next() == Some(release));
    let version = version.with_context(|| format!("Debian has no rust-src {release}"))?;
    let unpacked = workspace::cache("rust-src")?;
    apt.unpack(&[format!("rust-src={version}")], &unpacked)?;
    let parent = library.parent().context("the library folder has no parent")?;
    fs::create_dir_all(parent).with_context(|| format!("cannot make {}", parent.display()))?;
    let from = unpacked.join("usr/src").join(format!("rustc-{release}")).join("library");
    process::output(Command::new("cp").arg("-a").arg(&from).arg(library))?;
    fs::remove_dir_all(&unpacked).with_context(|| format!("cannot remove {}", unpacked.display()))
}
