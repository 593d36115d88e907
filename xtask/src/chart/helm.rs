//! Helm, the real one, without a cluster.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use anyhow::{Context as _, Result, ensure};

use super::folder;
use crate::process;

/// Releases of Kubernetes that the chart is made for: the oldest that Chart.yaml lets in, and the newest whose API
/// is to be had. Versions of their Go modules.
pub const OLDEST: &str = "v1.33.13";
/// See [`OLDEST`].
pub const NEWEST: &str = "v1.36.3";

/// Name and namespace of the release in renderings.
const RELEASE: &str = "sockeye";

/// Helm's program.
pub struct Helm {
    program: PathBuf,
}

/// A file of values, and what it is called without its ending.
pub struct Case {
    pub name: String,
    pub values: PathBuf,
}

impl Helm {
    pub fn new(program: PathBuf) -> Self {
        Self { program }
    }

    /// Renders the chart with a file of values, for a release of Kubernetes.
    pub fn render(&self, values: &Path, kubernetes: &str) -> Result<String> {
        let mut command = self.template(kubernetes);
        process::output(command.arg("--values").arg(values))
    }

    /// What helm says about values that it must refuse, or nothing if it takes them.
    pub fn refusal(&self, sets: &[&str]) -> Result<Option<String>> {
        let mut command = self.template(NEWEST);
        for set in sets {
            command.args(["--set", set]);
        }
        let Output { status, stderr, .. } = command.output().context("cannot start helm")?;
        let text = String::from_utf8_lossy(&stderr).into_owned();
        Ok((!status.success()).then_some(text))
    }

    fn template(&self, kubernetes: &str) -> Command {
        let mut command = self.command();
        command.args(["template", RELEASE]).arg(folder()).args(["--namespace", RELEASE]);
        command.args(["--kube-version", kubernetes]);
        command
    }

    /// Lints the chart with every file of values.
    pub fn lint_all(&self) -> Result<()> {
        for case in cases()? {
            let mut command = self.command();
            command.args(["lint", "--strict", "--quiet", "--kube-version", NEWEST, "--values"]);
            process::output(command.arg(&case.values).arg(folder()))
                .with_context(|| format!("with {}", case.name))?;
        }
        Ok(())
    }

    /// Without what the user's own helm knows: its repositories, its plugins, its cluster.
    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.stdin(Stdio::null()).env("KUBECONFIG", "/nonexistent");
        for name in ["HELM_NAMESPACE", "HELM_KUBECONTEXT", "HELM_DEBUG", "HELM_PLUGINS"] {
            command.env_remove(name);
        }
        command
    }
}

/// The files of values, by name.
pub fn cases() -> Result<Vec<Case>> {
    let path = folder().join("ci");
    let mut cases = Vec::new();
    for entry in fs::read_dir(&path).with_context(|| format!("cannot read {}", path.display()))? {
        let values = entry?.path();
        let name = values.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let Some(name) = name.strip_suffix("-values.yaml") else {
            anyhow::bail!("{} is not named *-values.yaml", values.display());
        };
        cases.push(Case { name: name.to_owned(), values });
    }
    ensure!(!cases.is_empty(), "no values in {}", path.display());
    cases.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(cases)
}

#[cfg(test)]
mod tests {
    use super::{NEWEST, OLDEST, folder};
    use std::fs;

    #[test]
    fn the_oldest_release_that_is_checked_is_the_oldest_that_the_chart_lets_in() {
        let chart = fs::read_to_string(folder().join("Chart.yaml")).unwrap();
        let (minor, _) = OLDEST.rsplit_once('.').unwrap();
        let line = format!("kubeVersion: \">={}.0-0\"", minor.trim_start_matches('v'));
        assert!(chart.contains(&line), "Chart.yaml lacks {line}");
        assert!(OLDEST < NEWEST);
    }

    #[test]
    fn the_chart_installs_the_version_of_this_workspace() {
        let chart = fs::read_to_string(folder().join("Chart.yaml")).unwrap();
        let line = format!("\nappVersion: {}\n", env!("CARGO_PKG_VERSION"));
        assert!(chart.contains(&line), "Chart.yaml lacks {line}");
    }
}
