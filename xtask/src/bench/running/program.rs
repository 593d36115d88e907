//! A program that was started: asked whether it still runs, interrupted, killed when dropped; its stderr in a file.

use std::{
    fs::{self, File},
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

/// How long it has to end.
pub const STOPPED_WITHIN: Duration = Duration::from_secs(5);

pub struct Program {
    name: String,
    child: Child,
    stderr: PathBuf,
}

impl Program {
    /// Starts it. `command` has its stdout.
    pub fn start(name: &str, command: &mut Command, stderr: PathBuf) -> Result<Self> {
        let file = File::create(&stderr).context("cannot make a file for a tool's stderr")?;
        let child = command.stdin(Stdio::null()).stderr(file).spawn();
        let child = child.with_context(|| format!("cannot start {name}"))?;
        Ok(Self { name: name.to_owned(), child, stderr })
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// An error with its own words if it has ended.
    pub fn check(&mut self) -> Result<()> {
        match self.child.try_wait().context("cannot ask for a child")? {
            Some(status) => bail!("{} ended ({status}): {}", self.name, self.last_words()),
            None => Ok(()),
        }
    }

    fn last_words(&self) -> String {
        let text = self.words();
        let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        lines[lines.len().saturating_sub(2)..].join("; ")
    }

    /// What it wrote to stderr.
    pub fn words(&self) -> String {
        // What cannot be read is not worth stopping for.
        fs::read(&self.stderr).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    /// Ends it as Ctrl-C does; `None` if it did not end in time.
    pub fn interrupt(&mut self) -> Result<Option<ExitStatus>> {
        // An error: it has ended by itself.
        let _ = kill_process(Pid::from_child(&self.child), Signal::INT);
        let asked = Instant::now();
        while asked.elapsed() < STOPPED_WITHIN {
            if let Some(status) = self.child.try_wait().context("cannot wait for a child")? {
                return Ok(Some(status));
            }
            sleep(Duration::from_millis(2));
        }
        Ok(None)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Both fail only if it is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
