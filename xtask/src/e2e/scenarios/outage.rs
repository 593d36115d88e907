//! A minute without the API server: the stream goes on, nobody is restarted, and afterwards new pods have names.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use serde_json::json;

use super::{
    Bed, Namespace,
    release::API_PORT,
    stream::{Stream, pod},
};

const OUTAGE: Duration = Duration::from_secs(60);

/// For a new pod, once the API server is back.
const START: Duration = Duration::from_secs(180);

/// For its name, once it is ready: the agent's longest pause between two tries is 30 s.
const FOLLOW: Duration = Duration::from_secs(45);

pub fn run(bed: &Bed<'_>, namespace: &Namespace) -> Result<()> {
    let release = &bed.release;
    release.with("")?;
    namespace.pair()?;
    let restarts = release.restarts()?;
    // kubectl's port-forward goes through the API server: this one must not.
    let stream = Stream::inside(
        &bed.grpcurl,
        release.process()?,
        &format!("127.0.0.1:{API_PORT}"),
        &json!({
            "allow": [{ "namespaces": [namespace.name] }], "kinds": ["EVENT_KIND_ESTABLISHED"], "follow": true,
        }),
    )?;
    let count = |name: &str| stream.events().iter().filter(|event| pod(event) == name).count();
    stream.wait("events before the outage", Duration::from_secs(30), |events| {
        (events.len() >= 20).then_some(())
    })?;
    bed.cluster.stop_api_server();
    let start = Instant::now();
    let mut last = count("client");
    let mut result = Ok(());
    while start.elapsed() < OUTAGE && result.is_ok() {
        thread::sleep(Duration::from_secs(5));
        let now = count("client");
        if now < last + 10 {
            result = Err(anyhow::anyhow!("{} events in five seconds of the outage", now - last));
        }
        last = now;
    }
    bed.cluster.start_api_server()?;
    result?;
    println!("{last} events of the client, no gap in {} s without the API server", OUTAGE.as_secs());
    ensure!(release.restarts()? == restarts, "the agent was restarted");
    // The node's lease ran out, and everybody's back-off is at its longest: a new pod takes its time to start. What
    // is asked of the agent counts from there.
    namespace.workload(
        "late",
        "{}",
        &["/workload", "get", &format!("{}:8080", namespace.ready("server")?), "1000000", "100"],
    )?;
    namespace.ready_within("late", START)?;
    let start = Instant::now();
    stream.wait("events of a pod that came after the outage", FOLLOW, |events| {
        events.iter().any(|event| pod(event) == "late").then_some(())
    })?;
    println!("a pod that came later was named {:.1} s after it was ready", start.elapsed().as_secs_f64());
    ensure!(stream.lost() == 0, "{} events lost", stream.lost());
    Ok(())
}
