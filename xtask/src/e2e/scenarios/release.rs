//! Sockeye as helm installs it, and the ways to its API.

use std::{
    cell::RefCell,
    fs,
    io::{self, BufRead as _, BufReader},
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use super::IMAGE;
use crate::{
    e2e::{
        cluster::Cluster,
        kubectl::{Kubectl, wait_for},
    },
    process, workspace,
};

/// The release's name and its namespace.
pub const RELEASE: &str = "sockeye";
/// Where the agent serves on its loopback.
pub const API_PORT: u16 = 4250;

/// The release.
pub struct Release<'a> {
    helm: PathBuf,
    cluster: &'a Cluster,
    kubectl: Kubectl,
    /// The values that are installed now.
    values: RefCell<Option<String>>,
}

/// A port of this machine that leads into a pod, as long as it lives.
pub struct Forward {
    child: Child,
    /// `127.0.0.1:PORT`
    pub address: String,
}

impl<'a> Release<'a> {
    /// Not installed yet.
    pub fn new(helm: PathBuf, cluster: &'a Cluster) -> Self {
        Self { helm, kubectl: cluster.kubectl(), cluster, values: RefCell::default() }
    }

    /// Installs or changes it so that these values (YAML, beside the image's name) hold, and waits until its agent
    /// is ready.
    pub fn with(&self, values: &str) -> Result<()> {
        if self.values.borrow().as_deref() == Some(values) {
            return Ok(());
        }
        *self.values.borrow_mut() = None;
        let (repository, tag) = IMAGE.rsplit_once(':').context("an image without a tag")?;
        let file = workspace::target().join("e2e-values.yaml");
        let image = format!("image: {{repository: {repository}, tag: {tag}, pullPolicy: Never}}\n");
        fs::write(&file, image + values).with_context(|| format!("cannot write {}", file.display()))?;
        let mut command = self.helm();
        command
            .args(["upgrade", "--install", RELEASE])
            .arg(workspace::root().join("charts/sockeye"))
            .args(["--create-namespace", "--reset-values", "--wait", "--timeout=90s", "--values"])
            .arg(&file);
        process::output(&mut command).or_else(|error| bail!("{error:#}\n{}", self.picture()))?;
        // --wait is content with an old pod that is still to go.
        let rollout = self.kubectl.rollout(RELEASE, &format!("daemonset/{RELEASE}"));
        rollout.or_else(|error| bail!("{error:#}\n{}", self.picture()))?;
        wait_for("one agent", Duration::from_secs(60), || Ok((self.pods()?.len() == 1).then_some(())))?;
        *self.values.borrow_mut() = Some(values.to_owned());
        Ok(())
    }

    /// `helm test`.
    pub fn test(&self) -> Result<String> {
        process::output(self.helm().args(["test", RELEASE, "--logs", "--timeout=60s"]))
    }

    fn helm(&self) -> Command {
        let mut command = Command::new(&self.helm);
        command.env("KUBECONFIG", self.cluster.kubeconfig()).args(["--namespace", RELEASE]);
        command
    }

    /// The agent's pod.
    pub fn pod(&self) -> Result<Value> {
        let mut pods = self.pods()?;
        ensure!(pods.len() == 1, "{} agents", pods.len());
        pods.pop().context("no agent")
    }

    /// Pods of the daemon set, those that are going, too.
    fn pods(&self) -> Result<Vec<Value>> {
        let list = self.kubectl.json(["-n", RELEASE, "get", "pods"])?;
        let pods = list["items"].as_array().into_iter().flatten();
        let agents = pods.filter(|pod| pod["metadata"]["ownerReferences"][0]["kind"] == "DaemonSet");
        Ok(agents.cloned().collect())
    }

    /// How often its container was started again.
    pub fn restarts(&self) -> Result<u64> {
        let pod = self.pod()?;
        pod["status"]["containerStatuses"][0]["restartCount"].as_u64().context("a pod without a container")
    }

    /// The agent's process, as this machine sees it.
    pub fn process(&self) -> Result<i32> {
        let pod = self.pod()?;
        let id = pod["status"]["containerStatuses"][0]["containerID"].as_str().unwrap_or_default();
        self.cluster.container_process(id.rsplit('/').next().unwrap_or_default())
    }

    /// The agent's pod's address.
    pub fn address(&self) -> Result<String> {
        let pod = self.pod()?;
        pod["status"]["podIP"].as_str().map(str::to_owned).context("an agent without an address")
    }

    /// kubectl's own port-forward to the API.
    pub fn forward(&self) -> Result<Forward> {
        let pod = self.pod()?;
        let name = pod["metadata"]["name"].as_str().context("a pod without a name")?;
        let mut child = self
            .kubectl
            .command()
            .args(["-n", RELEASE, "port-forward", &format!("pod/{name}"), &format!(":{API_PORT}")])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .context("cannot start kubectl port-forward")?;
        let stdout = child.stdout.take().context("kubectl has no stdout")?;
        let mut forward = Forward { child, address: String::new() };
        let mut lines = BufReader::new(stdout);
        let mut line = String::new();
        lines.read_line(&mut line)?;
        // It says a word for each connection, and ends when nobody listens.
        thread::spawn(move || io::copy(&mut lines, &mut io::sink()));
        // Forwarding from 127.0.0.1:34567 -> 4250
        let address = line.split_whitespace().find(|word| word.starts_with("127.0.0.1:"));
        forward.address =
            address.with_context(|| format!("kubectl port-forward said `{}`", line.trim()))?.to_owned();
        Ok(forward)
    }

    /// What the agent says, for whoever reads of a failure.
    pub fn picture(&self) -> String {
        let daemons = format!("daemonset/{RELEASE}");
        let mut text = String::new();
        for arguments in [
            &["get", "pods", "-o", "wide"][..],
            &["get", "events", "--sort-by=.lastTimestamp"],
            &["logs", &daemons, "--tail=30"],
            &["logs", &daemons, "--tail=30", "--previous"],
        ] {
            let part = self.kubectl.output(["-n", RELEASE].iter().chain(arguments));
            text.push_str(&part.unwrap_or_else(|error| format!("{error:#}\n")));
        }
        text
    }
}

impl Drop for Forward {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
