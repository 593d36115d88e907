//! Pods that connect once and are gone before anybody could ask the API server about them.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use anyhow::{Result, ensure};
use serde_json::json;

use super::{Bed, Namespace, stream::pod};
use crate::e2e::{kubectl::wait_for, parts::WORKLOAD};

const PODS: usize = 100;

pub fn run(bed: &Bed<'_>, namespace: &Namespace) -> Result<()> {
    bed.release.with("")?;
    namespace.workload("server", "{app: server}", &["/workload", "serve", "8080"])?;
    let server = namespace.ready("server")?;
    // Not by namespace: whoever is taken for somebody else is to be seen.
    let stream = bed.observe(&json!({
        "allow": [{ "remoteCidrs": [server], "remotePorts": [8080] }],
        "kinds": ["EVENT_KIND_ESTABLISHED"],
        "follow": true,
    }))?;
    let command = json!(["/workload", "get", format!("{server}:8080")]);
    namespace.apply(&format!(
        "apiVersion: batch/v1\nkind: Job\nmetadata: {{name: short}}\nspec:\n  completions: {PODS}\n  parallelism: 20\n  \
         backoffLimit: 0\n  template:\n    spec:\n      restartPolicy: Never\n      terminationGracePeriodSeconds: 0\n      \
         containers: [{{name: main, image: \"{WORKLOAD}\", command: {command}}}]\n"
    ))?;
    wait_for("the end of all pods", Duration::from_secs(240), || {
        let done = namespace.output(&["get", "job", "short", "-o", "jsonpath={.status.succeeded}"])?;
        Ok((done == PODS.to_string()).then_some(()))
    })?;
    let list = namespace.json(&["get", "pods", "-l", "job-name=short"])?;
    let pods: BTreeMap<&str, &str> = list["items"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|pod| Some((pod["metadata"]["uid"].as_str()?, pod["metadata"]["name"].as_str()?)))
        .collect();
    ensure!(pods.len() == PODS, "{} pods", pods.len());
    stream.wait("a connection of each pod", Duration::from_secs(10), |events| {
        let seen: BTreeSet<_> = events.iter().filter_map(|event| event["local"]["podUid"].as_str()).collect();
        pods.keys().all(|uid| seen.contains(uid)).then_some(())
    })?;
    let mut pending = 0;
    for event in stream.events() {
        let uid = event["local"]["podUid"].as_str().unwrap_or_default();
        let Some(&name) = pods.get(uid) else {
            ensure!(uid.is_empty(), "a pod that is none of these: {event}");
            continue;
        };
        if event["local"]["metadataPending"] == true {
            pending += 1;
        } else {
            ensure!(pod(&event) == name, "{uid} is {name}, not {}", pod(&event));
            let workload = &event["local"]["workload"];
            ensure!(workload["name"] == "short", "its workload is the job: {workload}");
        }
    }
    println!("{PODS} pods, {pending} events before the pod's name was known");
    ensure!(pending <= PODS / 20, "{pending} of {PODS} went out without a name");
    Ok(())
}
