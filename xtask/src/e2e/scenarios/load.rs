//! ghz, a load generator that knows nothing of Sockeye: many calls and many streams at once, none fails, and the agent
//! is the same afterwards.

use std::{process::Command, time::Duration};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::{Bed, Namespace, release::API_PORT};
use crate::process;

const CALLS: u64 = 2000;
const STREAMS: u64 = 200;

pub fn run(bed: &Bed<'_>, namespace: &Namespace) -> Result<()> {
    bed.release.with("")?;
    namespace.pair()?;
    let restarts = bed.release.restarts()?;
    // Fills the history.
    let follow = bed.observe(&json!({ "allow": [{ "namespaces": [namespace.name] }], "follow": true }))?;
    follow.wait("events", Duration::from_secs(30), |events| (events.len() >= 50).then_some(()))?;
    for (method, count, request) in [
        ("GetServerStatus", CALLS, json!({})),
        ("Observe", STREAMS, json!({ "last": 20, "allow": [{ "namespaces": [namespace.name] }] })),
    ] {
        let told = ghz(bed, method, count, &request)?;
        println!(
            "{method}: {count} calls, 20 at a time, {:.0} a second, the slowest took {:.0} ms",
            told["rps"].as_f64().unwrap_or(f64::NAN),
            told["slowest"].as_f64().unwrap_or(f64::NAN) / 1e6
        );
        let codes = &told["statusCodeDistribution"];
        ensure!(*codes == json!({ "OK": count }), "{method}: {codes}, {}", told["errorDistribution"]);
    }
    ensure!(follow.lost() == 0, "another subscriber lost {} events", follow.lost());
    ensure!(bed.release.restarts()? == restarts, "the agent was restarted");
    Ok(())
}

/// From inside the agent's network namespace: kubectl's port-forward would be what is measured.
fn ghz(bed: &Bed<'_>, method: &str, count: u64, request: &Value) -> Result<Value> {
    let mut command = Command::new("nsenter");
    command.args(["-t", &bed.release.process()?.to_string(), "--net", "--"]).arg(&bed.ghz);
    command
        .args(["--insecure", "--call", &format!("sockeye.v1.ObserverService.{method}")])
        .args(["-n", &count.to_string(), "-c", "20", "--connections", "4", "-O", "json"])
        .args(["-d", &request.to_string(), &format!("127.0.0.1:{API_PORT}")]);
    serde_json::from_str(&process::output(&mut command)?).context("ghz wrote no JSON")
}
