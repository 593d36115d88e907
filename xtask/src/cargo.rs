//! Cargo: started quietly, its messages read, so that the caller knows what was built and where it is.

use std::{
    env,
    io::{BufReader, IsTerminal as _, Write as _, stderr},
    path::PathBuf,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use cargo_metadata::{Artifact, Message};

use crate::workspace;

/// What cargo built that can be run.
pub struct Executable {
    /// Name of the target (`sockeye`, `live`).
    pub name: String,
    /// The file.
    pub path: PathBuf,
    /// The folder of its crate: tests expect to run there.
    pub folder: PathBuf,
    /// Whether it runs tests.
    pub test: bool,
}

impl Executable {
    /// Whether it is the live tests: they need root and a kernel of their own choice.
    pub fn is_live(&self) -> bool {
        self.test && self.name == "live"
    }
}

/// A cargo command in the workspace, with cargo's own folder of programs on PATH: the linker for the kernel
/// programs is there, and a user who calls cargo by its path does not have it on PATH.
pub fn command() -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(workspace::root());
    if let Some(path) = path_with_programs() {
        command.env("PATH", path);
    }
    command
}

/// Cargo's home.
pub fn home() -> Option<PathBuf> {
    env::var_os("CARGO_HOME").map(PathBuf::from).or_else(|| Some(env::home_dir()?.join(".cargo")))
}

fn path_with_programs() -> Option<std::ffi::OsString> {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = std::iter::once(home()?.join("bin")).chain(env::split_paths(&path));
    env::join_paths(folders).ok()
}

/// Runs a command that builds and returns the executables. Warnings and errors go to stderr as cargo renders
/// them, and on a terminal one line that says how far it is.
pub fn build(command: &mut Command) -> Result<Vec<Executable>> {
    command
        .args(["--quiet", "--message-format=json-render-diagnostics"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    let mut child = command.spawn().context("cannot start cargo")?;
    let stdout = child.stdout.take().context("cargo has no stdout")?;
    let mut progress = Progress::new();
    let mut executables = Vec::new();
    for message in Message::parse_stream(BufReader::new(stdout)) {
        match message.context("cannot read cargo's messages")? {
            Message::CompilerArtifact(artifact) => {
                progress.built(&artifact);
                executables.extend(executable(&artifact)?);
            }
            Message::CompilerMessage(_) => progress.clear(),
            _ => {}
        }
    }
    progress.clear();
    let status = child.wait().context("cannot wait for cargo")?;
    if !status.success() {
        bail!("the build failed; cargo's words are above");
    }
    Ok(executables)
}

fn executable(artifact: &Artifact) -> Result<Option<Executable>> {
    let Some(path) = &artifact.executable else { return Ok(None) };
    let folder = artifact.manifest_path.parent().context("a manifest without a folder")?;
    Ok(Some(Executable {
        name: artifact.target.name.clone(),
        path: path.clone().into_std_path_buf(),
        folder: folder.to_owned().into_std_path_buf(),
        test: artifact.profile.test,
    }))
}

/// One line on a terminal, written over and over; elsewhere one line if it takes long, so that nobody
/// wonders and no log fills.
struct Progress {
    terminal: bool,
    started: Instant,
    built: usize,
    said: bool,
}

impl Progress {
    fn new() -> Self {
        Self { terminal: stderr().is_terminal(), started: Instant::now(), built: 0, said: false }
    }

    fn built(&mut self, artifact: &Artifact) {
        if artifact.fresh {
            return;
        }
        self.built += 1;
        if self.terminal {
            let seconds = self.started.elapsed().as_secs();
            eprint!("\r\x1b[2Kbuilding: {} crates, {seconds} s ({})", self.built, artifact.target.name);
            // A lost progress line is no reason to stop a build.
            let _ = stderr().flush();
            self.said = true;
        } else if !self.said && self.started.elapsed() > Duration::from_secs(1) {
            eprintln!("building …");
            self.said = true;
        }
    }

    fn clear(&self) {
        if self.terminal && self.said {
            eprint!("\r\x1b[2K");
        }
    }
}
