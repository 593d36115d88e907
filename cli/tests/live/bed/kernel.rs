//! What this kernel must be able to do: looked up where the tool does not look, so that a test is skipped
//! only where the hook is not there, and fails where it is.

use std::{path::PathBuf, process::Command, sync::OnceLock};

use serde_json::Value;

/// Something that a kernel may lack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Requirement {
    /// fexit programs: the acceptor is known at accept(). Refused under lockdown and where the kernel was
    /// built without them; only the kernel's own EPERM counts, found in the doctor's words.
    Fexit,
    /// `sock_send_length` and `sock_recv_length` (6.3): first reads and writes are seen.
    SendReceiveTracepoints,
    /// Programs may read what their types do not reach. Refused under lockdown=confidentiality.
    ProbeReads,
    /// System calls are seen at their tracepoints: what fails before the socket has a state. They have no number
    /// under lockdown=confidentiality, where tracefs stays empty.
    SyscallTracepoints,
}

/// Why it cannot be had, or `None` where it can. Begins with the words that `xtask test` accepts as a reason.
pub fn lacks(requirement: Requirement) -> Option<String> {
    match requirement {
        Requirement::SendReceiveTracepoints => (!btf_has("btf_trace_sock_send_length"))
            .then(|| "this kernel lacks the sock_send_length tracepoint".to_owned()),
        Requirement::ProbeReads => {
            is_confidential().then(|| "this kernel lacks probe reads: lockdown=confidentiality".to_owned())
        }
        Requirement::SyscallTracepoints => {
            is_confidential().then(|| "this kernel lacks tracefs: lockdown=confidentiality".to_owned())
        }
        Requirement::Fexit => {
            let report = doctor();
            let tools = report["tools"].as_array().expect("the doctor's tools");
            let accept = tools.iter().find(|tool| tool["tool"] == "tcpaccept").expect("tcpaccept");
            let words = accept.to_string();
            if !words.contains("fexit") {
                return None;
            }
            let refused = words.contains("EPERM") || words.contains("not permitted");
            assert!(refused, "fexit must load unless the kernel says EPERM: {words}");
            Some("this kernel lacks fexit: it refuses such programs (EPERM)".to_owned())
        }
    }
}

fn is_confidential() -> bool {
    let modes = std::fs::read_to_string("/sys/kernel/security/lockdown").unwrap_or_default();
    modes.contains("[confidentiality]")
}

/// Whether the running kernel is one that must be refused (5.10), and nothing else can be tested.
pub fn refusal_expected() -> bool {
    std::env::var("SOCKEYE_EXPECT").is_ok_and(|expected| expected == "refusal")
}

/// The program under test.
pub fn sockeye() -> PathBuf {
    std::env::var_os("SOCKEYE_BIN").map(PathBuf::from).expect("a test that begins with begin!() has it")
}

/// `sockeye doctor -o json`.
pub fn doctor() -> Value {
    let output = Command::new(sockeye()).args(["doctor", "-o", "json"]).output().unwrap();
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
        panic!("doctor -o json: {error}: {}", String::from_utf8_lossy(&output.stderr))
    })
}

/// Mounts tracefs where nobody has, for tools that attach through it. Stays: it is the machine's own.
///
/// Under lockdown=confidentiality it is mounted and empty, for nothing may be created in it (fs/tracefs/inode.c,
/// `tracefs_create_file`); what needs it is then lacking, and says so itself.
pub fn mount_tracefs() -> Result<(), String> {
    let tracefs = std::path::Path::new("/sys/kernel/tracing");
    if tracefs.join("events").exists() {
        return Ok(());
    }
    let none = rustix::mount::MountFlags::empty();
    match rustix::mount::mount("none", tracefs, "tracefs", none, None) {
        Ok(()) | Err(rustix::io::Errno::BUSY) => Ok(()),
        Err(error) => Err(format!("tracefs: {error}")),
    }
}

/// Whether a type of this name is in the running kernel's BTF. The strings are NUL-terminated.
pub fn btf_has(name: &str) -> bool {
    static BTF: OnceLock<Vec<u8>> = OnceLock::new();
    let btf = BTF.get_or_init(|| std::fs::read("/sys/kernel/btf/vmlinux").unwrap_or_default());
    let needle = [b"\0", name.as_bytes(), b"\0"].concat();
    btf.windows(needle.len()).any(|window| window == needle)
}

/// Whether the machine is emulated: a guest of `cargo xtask vm`, a tenth as fast.
pub fn is_emulated() -> bool {
    std::env::var_os("SOCKEYE_EMULATED").is_some()
}

/// So many connections, and a fifth of them where the machine is emulated.
pub fn many(count: u32) -> u32 {
    if is_emulated() { count / 5 } else { count }
}

/// The kernel's ids of the BPF programs that a process has descriptors of.
pub fn programs_of(pid: u32) -> Vec<u32> {
    let folder = std::fs::read_dir(format!("/proc/{pid}/fdinfo")).unwrap();
    let texts = folder.flatten().filter_map(|file| std::fs::read_to_string(file.path()).ok());
    let ids = texts.filter_map(|text| {
        let line = text.lines().find_map(|line| line.strip_prefix("prog_id:"))?;
        line.trim().parse().ok()
    });
    ids.collect()
}

/// Whether the kernel has a program with this id.
pub fn has_program(id: u32) -> bool {
    aya::programs::loaded_programs().flatten().any(|program| program.id() == id)
}
