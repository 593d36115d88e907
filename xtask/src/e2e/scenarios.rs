//! What is tried in the cluster. A scenario is a sentence and a function; each has a namespace of its own, which goes
//! away afterwards, and finds the cluster as it was.

mod bed;
mod chart_pod;

use std::{fmt::Write as _, fs, time::Duration};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::{
    cluster::{Cgroups, Cluster},
    kubectl::{Kubectl, wait_for},
    parts::WORKLOAD,
};
use crate::{image::Image, test::Report, workspace};

/// Sockeye's image in the cluster.
pub const IMAGE: &str = "e2e.test/sockeye:dev";

/// One of them.
struct Scenario {
    /// A sentence that is true when it passes.
    name: &'static str,
    /// Whether it is worth its time with the second kind of cgroups, too.
    in_both: bool,
    run: fn(&Bed<'_>, &Namespace) -> Result<()>,
}

/// All, in the order in which they run.
const ALL: [Scenario; 2] = [
    Scenario {
        name: "the cluster: Services, names, exec and logs, also after an outage",
        in_both: false,
        run: bed::run,
    },
    Scenario {
        name: "a pod with the chart's rights alone sees two others talk",
        in_both: true,
        run: chart_pod::run,
    },
];

/// What scenarios have at hand.
pub struct Bed<'a> {
    cluster: &'a Cluster,
    kubectl: Kubectl,
}

/// The namespace of one scenario.
struct Namespace {
    name: String,
    kubectl: Kubectl,
}

impl<'a> Bed<'a> {
    /// With the image known to the node.
    pub fn new(cluster: &'a Cluster, image: &Image) -> Result<Self> {
        let path = workspace::target().join("e2e-image.tar");
        fs::write(&path, &image.archive.bytes).with_context(|| format!("cannot write {}", path.display()))?;
        let told = cluster.import(&path)?;
        ensure!(told.contains(IMAGE), "ctr imported something else: {told}");
        Ok(Self { cluster, kubectl: cluster.kubectl() })
    }
}

/// Runs them and notes a step for each. What is in the cluster when one fails is shown.
pub fn run(bed: &Bed<'_>, mode: Cgroups, again: bool, filter: &[String], report: &mut Report) {
    let wanted = |name: &str| filter.is_empty() || filter.iter().any(|word| name.contains(word.as_str()));
    for (number, scenario) in ALL.iter().enumerate().filter(|(_, scenario)| wanted(scenario.name)) {
        if again && !scenario.in_both {
            continue;
        }
        report.step(&format!("e2e, cgroups {mode}: {}", scenario.name), || {
            let namespace = Namespace::new(&bed.kubectl, &format!("e2e-{number}"))?;
            let result = (scenario.run)(bed, &namespace);
            if result.is_err() {
                println!("{}", namespace.picture());
            }
            namespace.delete();
            result
        });
    }
}

impl Namespace {
    fn new(kubectl: &Kubectl, name: &str) -> Result<Self> {
        // One that failed may have left it.
        kubectl.output(["delete", "namespace", name, "--ignore-not-found", "--timeout=60s"])?;
        kubectl.output(["create", "namespace", name])?;
        let namespace = Self { name: name.to_owned(), kubectl: kubectl.clone() };
        // Pods are refused before it is there.
        wait_for("the namespace's service account", Duration::from_secs(20), || {
            Ok(namespace.output(&["get", "serviceaccount", "default"]).ok())
        })?;
        Ok(namespace)
    }

    /// What kubectl writes, called for this namespace.
    fn output(&self, arguments: &[&str]) -> Result<String> {
        self.kubectl.output(["-n", &self.name].iter().chain(arguments))
    }

    fn json(&self, arguments: &[&str]) -> Result<Value> {
        self.kubectl.json(["-n", &self.name].iter().chain(arguments))
    }

    /// Applies an object in YAML that names no namespace.
    fn apply(&self, object: &str) -> Result<()> {
        self.kubectl.apply(&self.name, object)
    }

    /// What a program in a pod writes.
    fn exec(&self, pod: &str, command: &[&str]) -> Result<String> {
        self.output(&[&["exec", pod, "--"], command].concat())
    }

    /// Makes a pod that runs the workload; `labels` as YAML (`{app: web}`).
    fn workload(&self, name: &str, labels: &str, command: &[&str]) -> Result<()> {
        let command = serde_json::to_string(command)?;
        self.pod(
            name,
            labels,
            &format!("  containers: [{{name: main, image: \"{WORKLOAD}\", command: {command}}}]\n"),
        )
    }

    /// Makes a pod; `spec` is the rest of its specification in YAML, indented by two.
    fn pod(&self, name: &str, labels: &str, spec: &str) -> Result<()> {
        self.apply(&format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, labels: {labels}}}\n\
             spec:\n  terminationGracePeriodSeconds: 0\n  restartPolicy: Never\n{spec}"
        ))
    }

    /// Waits until a pod is ready, and says its address.
    fn ready(&self, pod: &str) -> Result<String> {
        self.output(&["wait", "--for=condition=Ready", &format!("pod/{pod}"), "--timeout=60s"])?;
        let address = self.output(&["get", "pod", pod, "-o", "jsonpath={.status.podIP}"])?;
        ensure!(!address.is_empty(), "pod {pod} has no address");
        Ok(address)
    }

    /// Waits until a pod's containers have ended; whether all went well.
    fn ended(&self, pod: &str, limit: Duration) -> Result<bool> {
        wait_for(&format!("the end of pod {pod}"), limit, || {
            let phase = self.output(&["get", "pod", pod, "-o", "jsonpath={.status.phase}"])?;
            Ok(match phase.as_str() {
                "Succeeded" => Some(true),
                "Failed" => Some(false),
                _ => None,
            })
        })
    }

    /// What is in it, for whoever reads of a failure.
    fn picture(&self) -> String {
        let mut text = String::new();
        for arguments in [
            &["get", "pods", "-o", "wide"][..],
            &["get", "events", "--sort-by=.lastTimestamp"],
            &["logs", "--all-containers", "--prefix", "--tail=20", "--ignore-errors", "-l", "e2e=show"],
        ] {
            let part = self.output(arguments).unwrap_or_else(|error| format!("{error:#}\n"));
            let _ = writeln!(text, "-- kubectl {}\n{part}", arguments.join(" "));
        }
        text
    }

    fn delete(&self) {
        // The rest of the run need not wait for it.
        let _ = self.output(&["delete", "namespace", &self.name, "--wait=false"]);
    }
}
