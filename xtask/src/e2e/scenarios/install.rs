//! The chart as it is: one agent on the node, ready, with the rights that it says and no others; a foreign client finds
//! the API by reflection, through kubectl's own port-forward.

use std::{fs, process::Command};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::{Bed, Namespace};
use crate::process;

/// PERFMON, BPF and SYS_PTRACE, by their bits.
const ALLOWED: u64 = 1 << 38 | 1 << 39 | 1 << 19;

pub fn run(bed: &Bed<'_>, _: &Namespace) -> Result<()> {
    bed.release.with("")?;
    let pod = bed.release.pod()?;
    let security = &pod["spec"]["containers"][0]["securityContext"];
    println!("{security}");
    ensure!(
        security["readOnlyRootFilesystem"] == true && security["allowPrivilegeEscalation"] == false,
        "{security}"
    );
    ensure!(security["seccompProfile"]["type"] == "RuntimeDefault", "{security}");
    ensure!(
        pod["spec"]["volumes"].as_array().into_iter().flatten().all(|volume| volume["hostPath"].is_null())
    );
    // What the kernel says of the process, not what the chart says.
    let process = bed.release.process()?;
    let status = fs::read_to_string(format!("/proc/{process}/status")).context("the agent has no process")?;
    let field = |name: &str| {
        status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().trim().to_owned()
    };
    for set in ["CapEff:", "CapPrm:", "CapBnd:"] {
        let bits = u64::from_str_radix(&field(set), 16).context("capabilities that are no number")?;
        ensure!(bits & !ALLOWED == 0, "{set} {bits:x}: more than BPF, PERFMON and SYS_PTRACE");
    }
    ensure!(
        field("NoNewPrivs:") == "1" && field("Seccomp:") == "2",
        "no new privileges, a system call filter: {status}"
    );

    let forward = bed.release.forward()?;
    let grpcurl = |arguments: &[&str]| {
        let mut command = Command::new(&bed.grpcurl);
        process::output(command.arg("-plaintext").args(arguments))
    };
    let services = grpcurl(&[&forward.address, "list"])?;
    for service in
        ["sockeye.v1.ObserverService", "grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection"]
    {
        ensure!(services.contains(service), "{service} is not among {services}");
    }
    let health = grpcurl(&[&forward.address, "grpc.health.v1.Health/Check"])?;
    ensure!(health.contains("SERVING"), "{health}");
    let status = grpcurl(&[&forward.address, "sockeye.v1.ObserverService/GetServerStatus"])?;
    let status: Value = serde_json::from_str(&status).context("grpcurl wrote no JSON")?;
    println!("{status}");
    ensure!(status["nodeName"] == "node1" && status["version"] == env!("CARGO_PKG_VERSION"), "{status}");
    Ok(())
}
