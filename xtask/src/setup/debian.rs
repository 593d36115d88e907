//! Debian packages that tests and benchmarks use: installed by apt where this is Debian and we are root.
//! What is missing in the end makes tests skip, by name; it does not stop anybody here.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::Result;

use super::{Outcome, Step};
use crate::process;

/// What packages are for, and their names.
const GROUPS: [(&str, &[&str]); 5] = [
    ("live tests", &["iproute2", "nftables", "systemd", "bpftool"]),
    ("virtual machines", &["qemu-system-x86", "busybox-static", "kmod", "zstd", "xz-utils"]),
    ("comparison with libbpf-tools", &["libbpf-tools"]),
    ("benchmarks", &["bpftrace"]),
    (
        "end-to-end tests",
        &[
            "etcd-server",
            "containerd",
            "runc",
            "containernetworking-plugins",
            "nftables",
            "iproute2",
            "util-linux",
        ],
    ),
];

/// One step for each group.
pub fn install() -> Vec<Step> {
    let all = || GROUPS.iter().flat_map(|(_, names)| names.iter().copied());
    let before = missing(all());
    let failure = if before.is_empty() { None } else { get(&before).err().map(|error| format!("{error:#}")) };
    let after = if before.is_empty() { BTreeSet::new() } else { missing(all()) };
    let step = |(purpose, names): &(&str, &[&str])| {
        let lacks: Vec<&str> = names.iter().copied().filter(|name| after.contains(name)).collect();
        let outcome = if !lacks.is_empty() {
            let why = failure.as_deref().unwrap_or("apt did not install it");
            Outcome::Missing(format!("{} ({why})", lacks.join(" ")))
        } else if names.iter().any(|name| before.contains(name)) {
            Outcome::Installed("apt")
        } else {
            Outcome::Found
        };
        Step { name: format!("packages for {purpose}"), outcome }
    };
    GROUPS.iter().map(step).collect()
}

/// Those that dpkg does not have; all of them where there is no dpkg.
fn missing(names: impl Iterator<Item = &'static str>) -> BTreeSet<&'static str> {
    let names: BTreeSet<&str> = names.collect();
    // It fails when it does not know one of them, and lists the others all the same.
    let output = Command::new("dpkg-query")
        .args(["--show", "--showformat=${Package} ${db:Status-Status}\n"])
        .args(&names)
        .stderr(Stdio::null())
        .output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    let installed: BTreeSet<&str> = text.lines().filter_map(|line| line.strip_suffix(" installed")).collect();
    names.into_iter().filter(|name| !installed.contains(name)).collect()
}

/// While it lives, packages start no services: nobody asked for an etcd on this machine, only for its program.
struct NoServices(bool);

impl NoServices {
    const POLICY: &str = "/usr/sbin/policy-rc.d";

    fn new() -> Self {
        let policy = Path::new(Self::POLICY);
        // A machine that has a policy keeps its own. Where none can be written, services start.
        let made = !policy.exists()
            && fs::write(policy, "#!/bin/sh\nexit 101\n").is_ok()
            && fs::set_permissions(policy, fs::Permissions::from_mode(0o755)).is_ok();
        Self(made)
    }
}

impl Drop for NoServices {
    fn drop(&mut self) {
        if self.0 {
            let _ = fs::remove_file(Self::POLICY);
        }
    }
}

/// Installs what it can; an error for the first reason why not.
fn get(packages: &BTreeSet<&str>) -> Result<()> {
    let names = packages.iter().copied().collect::<Vec<_>>().join(" ");
    anyhow::ensure!(process::find("apt-get").is_some(), "no apt-get on this machine");
    anyhow::ensure!(process::is_root(), "not root; `sudo apt-get install {names}`");
    eprintln!("packages: installing {names} by apt …");
    let _no_services = NoServices::new();
    let apt = || {
        let mut command = Command::new("apt-get");
        command.env("DEBIAN_FRONTEND", "noninteractive").env("LC_ALL", "C");
        command.args(["-qq", "-y", "-o", "DPkg::Lock::Timeout=120"]);
        command
    };
    let install = |packages: &[&str]| {
        process::output(apt().args(["install", "--no-install-recommends"]).args(packages)).map(|_| ())
    };
    let packages: Vec<&str> = packages.iter().copied().collect();
    if install(&packages).is_ok() {
        return Ok(());
    }
    // The lists are missing or old. An archive of somebody else may fail the update; what counts is whether
    // the packages can be installed afterwards.
    let _ = process::output(apt().arg("update"));
    let Err(error) = install(&packages) else { return Ok(()) };
    // One unknown name keeps apt from all the others.
    for package in packages {
        let _ = install(&[package]);
    }
    Err(error)
}
