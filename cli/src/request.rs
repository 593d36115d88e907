//! The second step of a command line: what the plan says, looked up on this machine. A name of a namespace
//! becomes an inode, a path becomes a cgroup's id; what is not there is said in one line.

use std::path::{Path, PathBuf};

use agent::{
    engine::Config,
    event::Family,
    filter::{Conjunction, Filter},
    host::Roots,
};
use thiserror::Error;

use crate::args::{Plan, prefixes};

/// What is asked of the machine. Behind a trait so that tests need no cgroups.
pub trait Machine {
    /// Whether the process exists, else why it cannot be meant.
    fn check_process(&self, pid: u32) -> Result<(), Refusal>;

    /// The inode of a network namespace, given as path, inode, pid or name.
    fn netns(&self, text: &str) -> Result<u32, Refusal>;

    /// The v2 id of a cgroup, given as path or id.
    fn cgroup(&self, text: &str) -> Result<u64, Refusal>;

    /// Where the machine shows itself.
    fn roots(&self) -> Roots;

    /// Whether the path is in a BPF file system.
    fn is_in_bpffs(&self, path: &Path) -> bool;
}

/// Why the machine does not answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// In words.
    pub reason: String,
    /// It may be there, but this process may not look.
    pub forbidden: bool,
}

impl Refusal {
    /// There is no such thing.
    pub fn absent(reason: String) -> Self {
        Self { reason, forbidden: false }
    }
}

/// What an option names could not be found.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{option}: {}", refusal.reason)]
pub struct Unresolved {
    option: &'static str,
    refusal: Refusal,
}

impl Unresolved {
    /// Not the command line is wrong, a right is missing.
    pub const fn forbidden(&self) -> bool {
        self.refusal.forbidden
    }
}

/// Looks the plan up.
pub fn resolve(plan: &Plan, machine: &dyn Machine) -> Result<Config, Unresolved> {
    let common = &plan.common;
    let pids: Vec<u32> = common.pid.iter().flat_map(|ids| ids.0.iter().copied()).collect();
    for pid in &pids {
        machine.check_process(*pid).map_err(of("--pid"))?;
    }
    let netns = each(&common.netns, "--netns", |text| machine.netns(text))?;
    let mut cgroups = each(&common.cgroup, "--cgroup", |text| machine.cgroup(text))?;
    let mut pinned_cgroup = None;
    if let Some(text) = &common.cgroupmap {
        let place = map_or_cgroup(text, machine);
        match place.map_err(of("--cgroupmap"))? {
            Place::Map(path) => pinned_cgroup = Some(path),
            Place::Cgroup(id) => cgroups.push(id),
        }
    }
    let pinned_mntns = common.mntnsmap.clone();
    if let Some(path) = &pinned_mntns {
        must_be_pinned(path, machine).map_err(of("--mntnsmap"))?;
    }
    let family = match (common.ipv4, common.ipv6) {
        (true, false) => Some(Family::V4),
        (false, true) => Some(Family::V6),
        _ => None,
    };
    let conjunction = Conjunction {
        kinds: Vec::new(),
        netns,
        cgroups,
        mntns: Vec::new(),
        pids,
        uids: common.uid.iter().flat_map(|ids| ids.0.iter().copied()).collect(),
        family,
        local_ports: plan.local_ports.clone(),
        remote_ports: plan.remote_ports.clone(),
        local_prefixes: prefixes(&common.local),
        remote_prefixes: prefixes(&common.remote),
        pinned_cgroup: pinned_cgroup.is_some(),
        pinned_mntns: pinned_mntns.is_some(),
    };
    let allow = if conjunction == Conjunction::default() { Vec::new() } else { vec![conjunction] };
    Ok(Config {
        shared: false,
        kinds: plan.tool.kinds(),
        filter: Filter { allow, deny: Vec::new() },
        ring_bytes: common.buffer_size,
        syscall_failures: plan.options.failed,
        snapshot: true,
        names: false,
        roots: machine.roots(),
        pinned_cgroup,
        pinned_mntns,
    })
}

fn each<T>(
    texts: &[String],
    option: &'static str,
    look_up: impl Fn(&str) -> Result<T, Refusal>,
) -> Result<Vec<T>, Unresolved> {
    texts.iter().map(|text| look_up(text).map_err(of(option))).collect()
}

fn of(option: &'static str) -> impl Fn(Refusal) -> Unresolved {
    move |refusal| Unresolved { option, refusal }
}

enum Place {
    Map(PathBuf),
    Cgroup(u64),
}

/// `-C` takes what bcc takes, a pinned map, and a cgroup itself.
fn map_or_cgroup(text: &str, machine: &dyn Machine) -> Result<Place, Refusal> {
    let path = Path::new(text);
    if text.contains('/') && machine.is_in_bpffs(path) {
        return Ok(Place::Map(path.to_owned()));
    }
    let cgroup = machine.cgroup(text).map(Place::Cgroup);
    cgroup.map_err(|no| Refusal { reason: format!("{}, and no pinned BPF map", no.reason), ..no })
}

fn must_be_pinned(path: &Path, machine: &dyn Machine) -> Result<(), Refusal> {
    if machine.is_in_bpffs(path) {
        return Ok(());
    }
    let reason = format!("{}: is no pinned BPF map (not on a BPF file system)", path.display());
    Err(Refusal::absent(reason))
}

#[cfg(test)]
mod tests;
