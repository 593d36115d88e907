//! What a user has: `helm test`, `sockeye status` and `sockeye observe`, from outside of the cluster by a kubeconfig.

use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::{Bed, Namespace};
use crate::process;

pub fn run(bed: &Bed<'_>, namespace: &Namespace) -> Result<()> {
    bed.release.with("")?;
    println!("{}", bed.release.test()?);
    let sockeye = |arguments: &[&str]| {
        let mut command = Command::new(&bed.sockeye);
        process::output(command.args(arguments).arg("--kubeconfig").arg(bed.cluster.kubeconfig()))
    };
    // Not every machine has fexit; what is missing is the doctor's business.
    let status = sockeye(&["status", "--accept-degraded"])?;
    println!("{status}");
    ensure!(status.contains("node1"), "status names the node: {status}");
    let (server, client) = namespace.pair()?;
    let observe = |format: &str| {
        let mine = ["observe", "-n", &namespace.name, "--pod", "client", "--kind", "close"];
        sockeye(&[&mine[..], &["-f", "--for", "30s", "--max-events", "5", "-o", format]].concat())
    };
    let text = observe("jsonpb")?;
    let lines: Vec<Value> =
        text.lines().map(serde_json::from_str).collect::<Result<_, _>>().context(text.clone())?;
    ensure!(lines.len() == 5, "--max-events 5: {} lines", lines.len());
    for line in &lines {
        let line = line.to_string();
        ensure!(line.contains(&format!("\"{client}\"")) && line.contains(&format!("\"{server}\"")), "{line}");
        ensure!(line.contains("\"client\"") && line.contains(&format!("\"{}\"", namespace.name)), "{line}");
    }
    let text = observe("compact")?;
    println!("{text}");
    let named = text.lines().filter(|line| line.contains("client") && line.contains(":8080"));
    ensure!(named.count() == 5, "five lines that name the pod and the port: {text}");
    Ok(())
}
