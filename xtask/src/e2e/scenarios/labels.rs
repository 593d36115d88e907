//! A filter by labels follows pods as they come, change and go.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use super::{
    Bed, Namespace,
    stream::{Stream, pod},
};

const LIMIT: Duration = Duration::from_secs(30);

pub fn run(bed: &Bed<'_>, namespace: &Namespace) -> Result<()> {
    bed.release.with("")?;
    namespace.workload("server", "{app: server}", &["/workload", "serve", "8080"])?;
    let server = namespace.ready("server")?;
    let to = format!("{server}:8080");
    let talker = |name: &str, labels: &str| {
        namespace.workload(name, labels, &["/workload", "get", &to, "1000000", "50"])?;
        namespace.ready(name)
    };
    talker("early", "{watch: \"yes\"}")?;
    talker("other", "{watch: \"no\"}")?;
    let stream = bed.observe(&json!({
        "allow": [{ "namespaces": [namespace.name], "labelSelector": "watch=yes" }],
        "kinds": ["EVENT_KIND_ESTABLISHED"],
        "follow": true,
    }))?;
    seen(&stream, "early")?;
    talker("late", "{watch: \"yes\"}")?;
    seen(&stream, "late")?;
    ensure!(count(&stream.events(), "other") == 0, "a pod without the label");
    // Its label changes while it runs, and that of another goes.
    namespace.output(&["label", "pod", "other", "watch=yes", "--overwrite"])?;
    seen(&stream, "other")?;
    namespace.output(&["label", "pod", "early", "watch-"])?;
    let mut before = 0;
    let mut quiet = 0;
    // Others go on meanwhile: three looks in a row at a hundred of their events without one of it.
    for _ in 0..20 {
        let all = stream.events().len();
        stream.wait("events of the others", LIMIT, |events| (events.len() >= all + 60).then_some(()))?;
        let now = count(&stream.events(), "early");
        quiet = if now == before { quiet + 1 } else { 0 };
        before = now;
        if quiet == 3 {
            break;
        }
    }
    ensure!(quiet == 3, "a pod whose label is gone is still shown");
    namespace.output(&["delete", "pod", "late", "--grace-period=0", "--force"])?;
    talker("latest", "{watch: \"yes\"}")?;
    seen(&stream, "latest")
}

fn count(events: &[Value], name: &str) -> usize {
    events.iter().filter(|event| pod(event) == name).count()
}

fn seen(stream: &Stream, name: &str) -> Result<()> {
    stream.wait(&format!("events of {name}"), LIMIT, |events| (count(events, name) >= 5).then_some(()))
}
