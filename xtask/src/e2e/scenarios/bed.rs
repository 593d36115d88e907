//! The cluster itself: what the other scenarios stand on.

use std::time::Duration;

use anyhow::{Result, ensure};

use super::{Bed, Namespace};
use crate::e2e::kubectl::wait_for;

/// Two pods behind a Service, asked by name from a third; then the same again after an outage of the API server.
pub fn run(bed: &Bed<'_>, namespace: &Namespace) -> Result<()> {
    for name in ["web-a", "web-b"] {
        namespace.workload(name, "{app: web}", &["/workload", "serve", "8080"])?;
    }
    namespace.workload("client", "{app: client}", &["/workload", "pause"])?;
    namespace.apply(
        "apiVersion: v1\nkind: Service\nmetadata: {name: web}\n\
         spec: {selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}\n",
    )?;
    for pod in ["web-a", "web-b", "client"] {
        namespace.ready(pod)?;
    }
    // The Service's name is known and its address leads to both: not at once.
    wait_for("answers of both pods", Duration::from_secs(30), || {
        let answers = namespace.exec("client", &["/workload", "get", "web:80", "20"])?;
        Ok((answers.contains(" web-a") && answers.contains(" web-b")).then_some(()))
    })?;
    let logs = namespace.output(&["logs", "web-a"])?;
    ensure!(logs.contains("serving"), "kubectl logs: {logs}");

    bed.cluster.stop_api_server();
    ensure!(
        namespace.exec("client", &["/workload", "get", "web:80"]).is_err(),
        "an API server that is gone answers"
    );
    bed.cluster.start_api_server()?;
    let answer = namespace.exec("client", &["/workload", "get", "web:80"])?;
    ensure!(answer.contains(" web-"), "{answer}");
    let pods = namespace.json(&["get", "pods"])?;
    let restarts = pods["items"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|pod| pod["status"]["containerStatuses"][0]["restartCount"].as_u64());
    ensure!(restarts.clone().count() == 3 && restarts.sum::<u64>() == 0, "an outage restarts no pod");
    Ok(())
}
