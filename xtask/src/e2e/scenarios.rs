//! What is tried in the cluster. A scenario is a sentence and a function; each has a namespace of its own, which goes
//! away afterwards, and finds the cluster as it was.

mod bed;
mod chart_pod;
mod client;
mod host_network;
mod install;
mod labels;
mod load;
mod outage;
mod own_only;
mod release;
mod restart;
mod same_address;
mod short_lived;
mod slow;
mod strangers;
mod stream;
mod two_pods;

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use self::{release::Release, stream::Stream};
use super::{
    cluster::{Cgroups, Cluster},
    kubectl::{Kubectl, wait_for},
    parts::WORKLOAD,
};
use crate::{
    image::Image,
    process,
    test::Report,
    tools::{self, Have, Tool},
    workspace,
};

/// Sockeye's image in the cluster.
pub const IMAGE: &str = "e2e.test/sockeye:dev";

/// One of them.
struct Scenario {
    /// A sentence that is true when it passes.
    name: &'static str,
    /// Whether it is worth its time with the second kind of cgroups, too.
    in_both: bool,
    needs: Needs,
    run: Run,
}

/// What the binary must have for a scenario.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Needs {
    /// `sockeye trace`.
    Trace,
    /// `sockeye agent`.
    Agent,
    /// An agent that sends events.
    Events,
    /// `sockeye observe`.
    Client,
}

/// All, in the order in which they run: those with the same values for the chart follow each other.
const ALL: [Scenario; 16] = [
    once("the cluster: Services, names, exec and logs, also after an outage", Needs::Trace, bed::run),
    both("a pod with the chart's rights alone sees two others talk", Needs::Trace, chart_pod::run),
    both("helm installs the chart, a foreign client finds the API", Needs::Agent, install::run),
    both("two pods talk, both ends are named", Needs::Events, two_pods::run),
    both("a pod on the node's network is named, and the node is no pod", Needs::Events, host_network::run),
    once("an address used again belongs to whoever had it", Needs::Events, same_address::run),
    once("a label filter follows pods that come, change and go", Needs::Events, labels::run),
    once("two subscribers each get exactly their own", Needs::Events, own_only::run),
    both("100 short-lived pods are all named", Needs::Events, short_lived::run),
    once("a foreign load of calls and streams is served without an error", Needs::Events, load::run),
    once("helm test, status and observe as a user has them", Needs::Client, client::run),
    once("the agent is killed under load and comes back", Needs::Events, restart::run),
    once("a minute without the API server", Needs::Events, outage::run),
    once("a slow client loses its own events only and is told", Needs::Events, slow::run),
    once("without the right certificate nobody gets in", Needs::Agent, strangers::certificates),
    once("a token shows what its account may get", Needs::Events, strangers::tokens),
];

type Run = fn(&Bed<'_>, &Namespace) -> Result<()>;

const fn both(name: &'static str, needs: Needs, run: Run) -> Scenario {
    Scenario { name, in_both: true, needs, run }
}

const fn once(name: &'static str, needs: Needs, run: Run) -> Scenario {
    Scenario { name, in_both: false, needs, run }
}

/// What scenarios have at hand.
pub struct Bed<'a> {
    cluster: &'a Cluster,
    kubectl: Kubectl,
    /// The binary, as a client.
    sockeye: PathBuf,
    grpcurl: PathBuf,
    ghz: PathBuf,
    release: Release<'a>,
}

/// The namespace of one scenario.
struct Namespace {
    name: String,
    kubectl: Kubectl,
}

impl<'a> Bed<'a> {
    /// With the image known to the node.
    pub fn new(cluster: &'a Cluster, sockeye: &Path, image: &Image) -> Result<Self> {
        let path = workspace::target().join("e2e-image.tar");
        fs::write(&path, &image.archive.bytes).with_context(|| format!("cannot write {}", path.display()))?;
        let told = cluster.import(&path)?;
        ensure!(told.contains(IMAGE), "ctr imported something else: {told}");
        let tool = |tool: Tool| match tool.get()? {
            Have::Yes(program) => Ok(program),
            Have::No(why) => bail!("no {}: {why}", tool.name),
        };
        let release = Release::new(tool(tools::HELM)?, cluster);
        let (grpcurl, ghz) = (tool(tools::GRPCURL)?, tool(tools::GHZ)?);
        Ok(Self { cluster, kubectl: cluster.kubectl(), sockeye: sockeye.to_owned(), grpcurl, ghz, release })
    }

    /// Why a scenario cannot be true with this binary, if it cannot.
    fn lacks(&self, needs: Needs) -> Option<String> {
        let verb = |verb: &str| {
            let help = process::output(Command::new(&self.sockeye).args([verb, "--help"]));
            help.err().map(|_| format!("this sockeye has no {verb}"))
        };
        match needs {
            Needs::Trace => None,
            Needs::Agent => verb("agent"),
            Needs::Events => verb("agent").or_else(|| self.silent()),
            Needs::Client => verb("agent").or_else(|| verb("observe")).or_else(|| self.silent()),
        }
    }

    /// Why its agent sends no events, if it does not. Whatever else is wrong is the scenario's to find.
    fn silent(&self) -> Option<String> {
        self.release.with("").ok()?;
        let forward = self.release.forward().ok()?;
        let mut command = Command::new(&self.grpcurl);
        command.args([
            "-plaintext",
            "-max-time",
            "2",
            "-d",
            "{}",
            &forward.address,
            "sockeye.v1.ObserverService/Observe",
        ]);
        let error = format!("{:#}", process::output(&mut command).err()?);
        error.contains("Unimplemented").then(|| "this agent has no source of events".to_owned())
    }

    /// Subscribes as a foreign client does: kubectl's port-forward, grpcurl, reflection.
    fn observe(&self, request: &Value) -> Result<Stream> {
        Stream::through(&self.grpcurl, self.release.forward()?, request)
    }
}

/// Runs them and notes a step for each. What is in the cluster when one fails is shown.
pub fn run(bed: &Bed<'_>, mode: Cgroups, again: bool, filter: &[String], report: &mut Report) {
    let wanted = |name: &str| filter.is_empty() || filter.iter().any(|word| name.contains(word.as_str()));
    for (number, scenario) in ALL.iter().enumerate().filter(|(_, scenario)| wanted(scenario.name)) {
        if again && !scenario.in_both {
            continue;
        }
        let name = format!("e2e, cgroups {mode}: {}", scenario.name);
        if let Some(why) = bed.lacks(scenario.needs) {
            report.skip(&name, &why);
            continue;
        }
        report.step(&name, || {
            let namespace = Namespace::new(&bed.kubectl, &format!("e2e-{number}"))?;
            let result = (scenario.run)(bed, &namespace);
            if result.is_err() {
                println!("{}\n{}", namespace.picture(), bed.release.picture());
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

    /// A pod that serves and one that asks it ten times a second, `server` and `client`; their addresses.
    fn pair(&self) -> Result<(String, String)> {
        self.workload("server", "{app: server}", &["/workload", "serve", "8080"])?;
        let server = self.ready("server")?;
        let to = format!("{server}:8080");
        self.workload("client", "{app: client}", &["/workload", "get", &to, "1000000", "100"])?;
        Ok((server, self.ready("client")?))
    }

    /// Has a pod connect until a stream shows it: from now on it shows everything of that pod, and nothing more of
    /// what was before is on its way.
    fn seen(&self, stream: &Stream, pod: &str, to: &str) -> Result<()> {
        wait_for(&format!("events of {pod}"), Duration::from_secs(30), || {
            let told = self.exec(pod, &["/workload", "get", to])?;
            let port = told.split(' ').next().and_then(|address| address.rsplit(':').next()?.parse().ok());
            let port: u64 = port.with_context(|| format!("the workload said {told}"))?;
            let there =
                || stream.events().iter().any(|event| stream::local_port(event) == port).then_some(());
            Ok(wait_for("it", Duration::from_secs(2), || Ok(there())).ok())
        })
    }

    /// Waits until a pod is ready, and says its address.
    fn ready(&self, pod: &str) -> Result<String> {
        self.ready_within(pod, Duration::from_secs(60))
    }

    fn ready_within(&self, pod: &str, limit: Duration) -> Result<String> {
        let limit = format!("--timeout={}s", limit.as_secs());
        self.output(&["wait", "--for=condition=Ready", &format!("pod/{pod}"), &limit])?;
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
