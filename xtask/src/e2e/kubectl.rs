//! kubectl as a program: what a person would type.

use std::{
    ffi::OsStr,
    io::Write as _,
    path::PathBuf,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::process;

/// kubectl with a kubeconfig.
#[derive(Clone)]
pub struct Kubectl {
    program: PathBuf,
    kubeconfig: PathBuf,
}

impl Kubectl {
    /// With that program and that file.
    pub fn new(program: PathBuf, kubeconfig: PathBuf) -> Self {
        Self { program, kubeconfig }
    }

    /// A call to be made.
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("--kubeconfig").arg(&self.kubeconfig).stdin(Stdio::null());
        command
    }

    /// What a call writes.
    pub fn output(&self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Result<String> {
        process::output(self.command().args(arguments))
    }

    /// What a call with `-o json` writes.
    pub fn json(&self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Result<Value> {
        let text = process::output(self.command().args(arguments).args(["-o", "json"]))?;
        serde_json::from_str(&text).context("kubectl wrote no JSON")
    }

    /// Applies objects in YAML or JSON; those that name no namespace go into this one.
    pub fn apply(&self, namespace: &str, objects: &str) -> Result<()> {
        let mut child = self
            .command()
            .args(["-n", namespace, "apply", "--server-side", "-f", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .context("cannot start kubectl")?;
        child.stdin.take().context("kubectl has no stdin")?.write_all(objects.as_bytes())?;
        let output = child.wait_with_output()?;
        if !output.status.success() {
            bail!("kubectl apply: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(())
    }

    /// Waits until a deployment or daemon set is there; what its pods say is in the error if it is not.
    pub fn rollout(&self, namespace: &str, what: &str) -> Result<()> {
        let result = self.output(["-n", namespace, "rollout", "status", what, "--timeout=90s"]);
        result.map(|_| ()).or_else(|error| {
            let pods = self.output(["-n", namespace, "get", "pods", "-o", "wide"]).unwrap_or_default();
            let events = self.output(["-n", namespace, "get", "events", "--sort-by=.lastTimestamp"]);
            let events = events.unwrap_or_default();
            let events = events.lines().rev().take(8).collect::<Vec<_>>().join("\n");
            bail!("{error:#}\n{pods}\n{events}")
        })
    }
}

/// Looks until something is there.
pub fn wait_for<T>(what: &str, limit: Duration, mut look: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let start = Instant::now();
    loop {
        let last = look();
        if let Ok(Some(value)) = last {
            return Ok(value);
        }
        if start.elapsed() > limit {
            let why = last.err().map(|error| format!(": {error:#}")).unwrap_or_default();
            bail!("{what}: not within {} s{why}", limit.as_secs());
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}
