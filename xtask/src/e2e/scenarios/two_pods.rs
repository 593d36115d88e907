//! What everybody tries first: two pods talk, and each end is named.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::json;

use super::{
    Bed, Namespace,
    stream::{local_port, pod, remote_port},
};

const LIMIT: Duration = Duration::from_secs(30);

pub fn run(bed: &Bed<'_>, namespace: &Namespace) -> Result<()> {
    bed.release.with("")?;
    let (server, client) = namespace.pair()?;
    let stream = bed.observe(&json!({
        "allow": [{ "namespaces": [namespace.name] }],
        "kinds": ["EVENT_KIND_ESTABLISHED", "EVENT_KIND_ACCEPT", "EVENT_KIND_CLOSE"],
        "follow": true,
    }))?;
    let opened = stream.wait("an established connection of the client", LIMIT, |events| {
        let found =
            events.iter().find(|event| event["kind"] == "EVENT_KIND_ESTABLISHED" && pod(event) == "client");
        found.cloned()
    })?;
    println!("{opened:#}");
    let local = &opened["local"];
    ensure!(local["namespace"] == namespace.name.as_str() && local["container"] == "main", "{local}");
    let uid = namespace.output(&["get", "pod", "client", "-o", "jsonpath={.metadata.uid}"])?;
    ensure!(local["podUid"] == uid.as_str(), "the UID is {uid}: {local}");
    ensure!(local["source"] == "IDENTITY_SOURCE_SOCKET_CGROUP", "{local}");
    let socket = &opened["socket"];
    ensure!(
        socket["local"]["ip"] == client.as_str() && socket["remote"]["ip"] == server.as_str(),
        "{socket}"
    );
    ensure!(opened["process"]["comm"] == "workload", "{}", opened["process"]);
    // The other end of the same connection, by its ports.
    let port = local_port(&opened);
    let accepted = stream.wait("the server's end of the same connection", LIMIT, |events| {
        let same = |event: &&serde_json::Value| remote_port(event) == port && local_port(event) == 8080;
        events.iter().filter(same).find(|event| event["kind"] == "EVENT_KIND_CLOSE").cloned()
    })?;
    ensure!(
        pod(&accepted) == "server" && accepted["local"]["namespace"] == namespace.name.as_str(),
        "{accepted:#}"
    );
    let closed = stream.wait("the end of the connection", LIMIT, |events| {
        let own = |event: &&serde_json::Value| local_port(event) == port && pod(event) == "client";
        events.iter().filter(own).find(|event| event["kind"] == "EVENT_KIND_CLOSE").cloned()
    })?;
    ensure!(closed["socket"]["cookie"] == opened["socket"]["cookie"], "one socket, one cookie");
    let counters = &closed["close"]["counters"];
    ensure!(counters["bytesReceived"].is_string() && counters["bytesSent"].is_string(), "{counters}");
    // Nobody else's.
    let others: Vec<_> =
        stream.events().into_iter().filter(|event| !["server", "client"].contains(&pod(event))).collect();
    ensure!(others.is_empty(), "events of others: {others:?}");
    Ok(())
}
