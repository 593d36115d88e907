//! The image, run with the rights that the chart gives and no others.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::Value;

use super::{Bed, IMAGE, Namespace};

/// Three capabilities, nothing writable, the runtime's own system call filter, the node's processes in sight.
const RIGHTS: &str = "{runAsUser: 0, privileged: false, allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, \
                      capabilities: {drop: [ALL], add: [BPF, PERFMON, SYS_PTRACE]}, \
                      seccompProfile: {type: RuntimeDefault}}";

pub fn run(_: &Bed<'_>, namespace: &Namespace) -> Result<()> {
    namespace.workload("server", "{app: server}", &["/workload", "serve", "8080"])?;
    let server = namespace.ready("server")?;
    let to = format!("{server}:8080");
    namespace.workload("client", "{app: client}", &["/workload", "get", &to, "1000000", "100"])?;
    let client = namespace.ready("client")?;
    for (name, arguments) in [("doctor", "[doctor]"), ("trace", "[trace, tcplife, --for, 5s, -o, json]")] {
        let container =
            format!("{{name: main, image: \"{IMAGE}\", args: {arguments}, securityContext: {RIGHTS}}}");
        namespace.pod(name, "{e2e: show}", &format!("  hostPID: true\n  containers: [{container}]\n"))?;
    }
    let limit = Duration::from_secs(60);
    // It fails when a tool works with less, as accept does on a kernel that refuses fexit.
    namespace.ended("doctor", limit)?;
    let doctor = namespace.output(&["logs", "doctor"])?;
    println!("{doctor}");
    let line = |name: &str| doctor.lines().find(|line| line.starts_with(name)).unwrap_or_default().to_owned();
    let capabilities = line("capabilities");
    let has = |name: &&str| capabilities.contains(*name);
    ensure!(["CAP_SYS_PTRACE", "CAP_PERFMON", "CAP_BPF"].iter().all(has), "{capabilities}");
    ensure!(capabilities.matches("CAP_").count() == 3, "these and no others: {capabilities}");
    ensure!(line("tcplife").ends_with("ok"), "tcplife has what it needs: {}", line("tcplife"));
    ensure!(namespace.ended("trace", limit)?, "sockeye trace failed");
    let text = namespace.output(&["logs", "trace"])?;
    let rows: Vec<Value> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let between = rows.iter().filter(|row| {
        let row = row.to_string();
        row.contains(&format!("\"{client}\""))
            && row.contains(&format!("\"{server}\""))
            && row.contains("8080")
    });
    let count = between.count();
    println!("{} connections, {count} of them from {client} to {to}", rows.len());
    // One in 100 ms, two ends; a busy machine may be slow.
    ensure!(count >= 5, "few connections from {client} to {to} among {} rows", rows.len());
    Ok(())
}
