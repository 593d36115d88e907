//! Pods on the node's network share its addresses with everybody: only cgroup and process tell them apart.

use std::{io::Read as _, net::TcpStream, time::Duration};

use anyhow::{Result, ensure};
use serde_json::json;

use super::{Bed, Namespace, stream::pod};
use crate::e2e::parts::WORKLOAD;

const LIMIT: Duration = Duration::from_secs(30);

pub fn run(bed: &Bed<'_>, namespace: &Namespace) -> Result<()> {
    bed.release.with("")?;
    namespace.workload("server", "{app: server}", &["/workload", "serve", "8080"])?;
    let server = namespace.ready("server")?;
    let to = format!("{server}:8080");
    let command = json!(["/workload", "get", to, "1000000", "200"]);
    namespace.pod(
        "on-the-host",
        "{e2e: show}",
        &format!(
            "  hostNetwork: true\n  containers: [{{name: main, image: \"{WORKLOAD}\", command: {command}}}]\n"
        ),
    )?;
    namespace.ready("on-the-host")?;
    let stream = bed.observe(&json!({
        "allow": [{ "remotePorts": [8080] }], "kinds": ["EVENT_KIND_ESTABLISHED"], "follow": true,
    }))?;
    let own = stream.wait("a connection of the pod on the node's network", LIMIT, |events| {
        events.iter().find(|event| pod(event) == "on-the-host").cloned()
    })?;
    println!("{own:#}");
    let source = &own["local"]["source"];
    ensure!(source == "IDENTITY_SOURCE_SOCKET_CGROUP" || source == "IDENTITY_SOURCE_PROCESS", "{source}");
    ensure!(own["local"]["host"] != true, "a pod is not the host: {}", own["local"]);
    // And this process, from the same address, is no pod.
    let mut connection = TcpStream::connect(&to)?;
    let port = connection.local_addr()?.port();
    let ours = stream.wait("this test's own connection", LIMIT, |events| {
        events.iter().find(|event| event["socket"]["local"]["port"] == port).cloned()
    })?;
    ensure!(
        pod(&ours).is_empty() && ours["local"]["host"] == true,
        "a process of the host: {}",
        ours["local"]
    );
    connection.set_read_timeout(Some(Duration::from_millis(10)))?;
    let _ = connection.read(&mut [0]);
    Ok(())
}
