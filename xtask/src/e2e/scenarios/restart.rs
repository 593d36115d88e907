//! The agent is killed under load: connections do not notice, the kernel keeps nothing of it, and it comes back.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::json;

use super::{Bed, Namespace, stream::pod};
use crate::{
    e2e::{daemon::Process, kubectl::wait_for},
    process,
};

const LIMIT: Duration = Duration::from_secs(60);
/// For 20,000 connections on a busy machine.
const STORM: Duration = Duration::from_secs(240);

pub fn run(bed: &Bed<'_>, namespace: &Namespace) -> Result<()> {
    let release = &bed.release;
    release.with("")?;
    namespace.workload("server", "{app: server}", &["/workload", "serve", "8080"])?;
    let server = namespace.ready("server")?;
    namespace.workload(
        "client",
        "{app: client}",
        &["/workload", "storm", &format!("{server}:8080"), "20000"],
    )?;
    namespace.ready("client")?;
    let request = json!({
        "allow": [{ "namespaces": [namespace.name], "pods": ["client"] }],
        "kinds": ["EVENT_KIND_ESTABLISHED"],
        "follow": true,
    });
    let mut stream = bed.observe(&request)?;
    stream.wait("events under load", LIMIT, |events| (events.len() >= 100).then_some(()))?;
    let restarts = release.restarts()?;
    let agent = Process::at(release.process()?).context("the agent does not run")?;
    let programs = programs_of(agent.pid)?;
    ensure!(!programs.is_empty(), "the agent has loaded no program");
    agent.kill();
    wait_for("the end of the stream", LIMIT, || Ok(stream.ended().then_some(())))?;
    wait_for("the agent's programs to be gone", LIMIT, || {
        let left = all_programs()?;
        Ok((!programs.iter().any(|id| left.contains(id))).then_some(()))
    })?;
    wait_for("the agent to be back", LIMIT, || Ok((release.restarts()? > restarts).then_some(())))?;
    bed.kubectl.rollout(super::release::RELEASE, "daemonset/sockeye")?;
    namespace.workload("again", "{}", &["/workload", "get", &format!("{server}:8080"), "1000000", "50"])?;
    let again = bed.observe(&json!({
        "allow": [{ "namespaces": [namespace.name] }], "kinds": ["EVENT_KIND_ESTABLISHED"], "follow": true,
    }))?;
    again.wait("events after the restart", LIMIT, |events| {
        events.iter().any(|event| pod(event) == "again").then_some(())
    })?;
    ensure!(namespace.ended("client", STORM)?, "a connection failed while the agent was killed");
    let told = namespace.output(&["logs", "client"])?;
    println!("{}", told.trim());
    ensure!(told.contains(" 0 failed"), "{told}");
    Ok(())
}

/// The programs that a process holds, by their ids.
fn programs_of(pid: i32) -> Result<Vec<u64>> {
    let mut ids = Vec::new();
    for entry in std::fs::read_dir(format!("/proc/{pid}/fdinfo"))?.flatten() {
        let text = std::fs::read_to_string(entry.path()).unwrap_or_default();
        let id = text.lines().find_map(|line| line.strip_prefix("prog_id:"));
        ids.extend(id.and_then(|id| id.trim().parse::<u64>().ok()));
    }
    Ok(ids)
}

fn all_programs() -> Result<Vec<u64>> {
    let text = process::output(std::process::Command::new("bpftool").args(["prog", "show", "--json"]))?;
    let list: Vec<serde_json::Value> = serde_json::from_str(&text).context("bpftool wrote no JSON")?;
    Ok(list.iter().filter_map(|program| program["id"].as_u64()).collect())
}
