//! What was measured on, and with: absolute figures mean nothing without it.

use std::{fs, path::Path, process::Command};

use super::tool::PACKAGES;
use crate::{process, workspace};

/// Facts about this machine, in order.
pub struct Machine {
    pub facts: Vec<(&'static str, String)>,
}

impl Machine {
    /// `peers`: what is compared with are others' tools.
    pub fn look(sockeye: &Path, peers: bool) -> Self {
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let mut facts = vec![
            ("kernel", kernel()),
            ("processor", processor(&cpuinfo)),
            ("memory", memory().unwrap_or_else(unknown)),
            ("clock", file("/sys/devices/system/clocksource/clocksource0/current_clocksource")),
            ("preemption", preemption()),
            ("mitigations", mitigations()),
            ("load average before", load_average()),
            ("commit", commit()),
            ("binary", binary(sockeye)),
        ];
        if peers {
            facts.insert(facts.len() - 2, ("compared with", packages()));
        }
        if fs::read_to_string("/proc/sys/kernel/bpf_stats_enabled").is_ok_and(|text| text.trim() != "0") {
            facts.push(("attention", "kernel.bpf_stats_enabled is on: every program is slower".to_owned()));
        }
        Self { facts }
    }

    /// Once more, at the end.
    pub fn end(&mut self) {
        self.facts.push(("load average after", load_average()));
    }
}

/// The average number of running processes over the last minute.
pub fn load() -> Option<f64> {
    fs::read_to_string("/proc/loadavg").ok()?.split_whitespace().next()?.parse().ok()
}

/// Today, for the file's name.
pub fn date() -> anyhow::Result<String> {
    Ok(process::output(Command::new("date").arg("+%Y-%m-%d"))?.trim().to_owned())
}

fn unknown() -> String {
    "unknown".to_owned()
}

fn file(path: &str) -> String {
    fs::read_to_string(path).map_or_else(|_| unknown(), |text| text.trim().to_owned())
}

fn kernel() -> String {
    let name = rustix::system::uname();
    format!("{} ({})", name.release().to_string_lossy(), name.machine().to_string_lossy())
}

fn processor(cpuinfo: &str) -> String {
    let values = |key: &'static str| {
        cpuinfo.lines().filter_map(move |line| {
            let (name, value) = line.split_once(':')?;
            (name.trim() == key).then_some(value.trim())
        })
    };
    let model = values("model name").next().unwrap_or("unknown model");
    let cores = values("processor").count();
    let guest = values("flags").any(|flags| flags.split(' ').any(|flag| flag == "hypervisor"));
    format!("{model}, {cores} cores{}", if guest { ", in a virtual machine" } else { "" })
}

fn memory() -> Option<String> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let kib: f64 = text.strip_prefix("MemTotal:")?.split_whitespace().next()?.parse().ok()?;
    Some(format!("{:.1} GiB", kib / 1024.0 / 1024.0))
}

fn binary(path: &Path) -> String {
    path.metadata().map_or_else(|_| unknown(), |file| format!("{:.1} MB", file.len() as f64 / 1e6))
}

/// As far as the kernel's own version line says it.
fn preemption() -> String {
    let name = rustix::system::uname();
    let version = name.version().to_string_lossy();
    let word = version.split_whitespace().find(|word| word.starts_with("PREEMPT"));
    word.unwrap_or("none").to_owned()
}

fn mitigations() -> String {
    file("/sys/devices/system/cpu/vulnerabilities/spectre_v2")
}

fn load_average() -> String {
    file("/proc/loadavg").split(' ').take(3).collect::<Vec<_>>().join(" ")
}

fn packages() -> String {
    let versions = process::output(
        Command::new("dpkg-query").args(["--show", "--showformat=${Package} ${Version}, "]).args(PACKAGES),
    );
    // It fails when one of them is not there; then the tables say which.
    versions.map_or_else(|_| unknown(), |text| text.trim_end_matches(", ").to_owned())
}

fn commit() -> String {
    let git = |arguments: &[&str]| {
        process::output(Command::new("git").current_dir(workspace::root()).args(arguments))
    };
    let Ok(commit) = git(&["rev-parse", "--short=12", "HEAD"]) else { return unknown() };
    let code = ["status", "--porcelain", "--", "agent", "agent-common", "agent-ebpf", "cli"];
    let changed = git(&code).is_ok_and(|text| !text.trim().is_empty());
    format!("{}{}", commit.trim(), if changed { ", with changes" } else { "" })
}

#[cfg(test)]
mod tests {
    use super::processor;

    #[test]
    fn the_processor_says_whether_it_is_a_virtual_one() {
        let cpuinfo = "processor\t: 0\nmodel name\t: EPYC\nflags\t\t: fpu hypervisor\n\n\
                       processor\t: 1\nmodel name\t: EPYC\nflags\t\t: fpu hypervisor\n";
        assert_eq!(processor(cpuinfo), "EPYC, 2 cores, in a virtual machine");
        assert_eq!(processor("processor\t: 0\nflags\t: fpu\n"), "unknown model, 1 cores");
    }
}
