//! What a cluster leaves on the machine apart from its daemons: containers, links, tables, cgroups, mounts, settings
//! of the kernel. Each is found by what only ours has, so that it also goes away after a run that crashed.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, bail};

use super::daemon::Process;

/// The bridge of the pods' network.
pub const BRIDGE: &str = "cni0";

/// That network's name.
pub const NETWORK: &str = "sockeye-e2e";

/// Settings that kubelet and we change.
const SYSCTLS: [&str; 7] = [
    "net/ipv4/ip_forward",
    "vm/overcommit_memory",
    "vm/panic_on_oom",
    "kernel/panic",
    "kernel/panic_on_oops",
    "kernel/keys/root_maxkeys",
    "kernel/keys/root_maxbytes",
];

/// Where kubelet, containerd and the network plugins write whatever they are told.
const FOLDERS: [&str; 6] = [
    "/var/lib/kubelet",
    "/var/log/containers",
    "/var/log/pods",
    "/var/lib/cni",
    "/run/cni",
    "/run/containerd",
];

/// A kubelet that is not ours: it would fight over cgroups, links and ports.
pub fn another_kubelet() -> Option<i32> {
    processes().into_iter().find(|&pid| {
        let command = command_line(pid);
        let program = command.first().and_then(|word| word.rsplit('/').next()).unwrap_or_default();
        program == "kubelet" || (program == "kube" && command.get(1).is_some_and(|word| word == "kubelet"))
    })
}

/// Ends daemons that nobody noted, because the run that started them was killed: programs of a cluster that have its
/// folder in their arguments.
pub fn daemons(state: &Path) {
    let ours = |pid: &i32| {
        let command = command_line(*pid);
        let program = command.first().and_then(|word| word.rsplit('/').next()).unwrap_or_default();
        let folder = format!("{}/", state.display());
        ["kube", "etcd", "containerd"].contains(&program) && command.iter().any(|word| word.contains(&folder))
    };
    processes().into_iter().filter(ours).filter_map(Process::at).for_each(Process::kill);
}

/// Ends the containers of a containerd: its shims, known by its socket in their arguments, and all below them.
pub fn containers(socket: &Path) {
    let socket = socket.display().to_string();
    let is_shim = |pid: &i32| {
        let command = command_line(*pid);
        command.first().is_some_and(|word| word.ends_with("containerd-shim-runc-v2"))
            && command.contains(&socket)
    };
    let shims: BTreeSet<i32> = processes().into_iter().filter(is_shim).collect();
    // Twice: what was being started meanwhile.
    for _ in 0..2 {
        let all = below(&shims);
        all.into_iter().filter_map(Process::at).for_each(Process::kill);
    }
    // Whose shim was gone already: only a kubelet makes such a cgroup, and there is no other kubelet here.
    if another_kubelet().is_none() {
        let ours = |pid: &i32| {
            fs::read_to_string(format!("/proc/{pid}/cgroup")).is_ok_and(|text| text.contains("/kubepods/"))
        };
        processes().into_iter().filter(ours).filter_map(Process::at).for_each(Process::kill);
    }
}

/// The processes, and all that descend from them; those below first.
fn below(roots: &BTreeSet<i32>) -> Vec<i32> {
    let parents: Vec<(i32, i32)> =
        processes().into_iter().filter_map(|pid| Some((pid, parent(pid)?))).collect();
    descendants(roots, &parents)
}

fn descendants(roots: &BTreeSet<i32>, parents: &[(i32, i32)]) -> Vec<i32> {
    let mut all: Vec<i32> = roots.iter().copied().collect();
    let mut at = 0;
    while let Some(&parent) = all.get(at) {
        all.extend(
            parents.iter().filter(|(pid, of)| *of == parent && !roots.contains(pid)).map(|(pid, _)| *pid),
        );
        at += 1;
    }
    all.reverse();
    all
}

/// The bridge, its ends, and kube-proxy's tables. The pods' own ends went with their namespaces.
pub fn network() {
    quietly(Command::new("ip").args(["link", "delete", BRIDGE]));
    for family in ["ip", "ip6"] {
        quietly(Command::new("nft").args(["delete", "table", family, "kube-proxy"]));
    }
}

/// The cgroups of pods, in every hierarchy; empty by now.
pub fn cgroups() {
    let root = Path::new("/sys/fs/cgroup");
    let entries = fs::read_dir(root).into_iter().flatten().flatten().map(|entry| entry.path());
    for hierarchy in entries.chain([root.to_owned()]) {
        remove_cgroup(&hierarchy.join("kubepods"));
    }
}

fn remove_cgroup(path: &Path) {
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    for entry in entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
        remove_cgroup(&entry.path());
    }
    // Not there, or a process that does not die: there is nothing to be done about either.
    let _ = fs::remove_dir(path);
}

/// Takes away all that is mounted below a folder and on it.
pub fn mounts(folder: &Path) -> Result<()> {
    // A mount may hide others.
    for _ in 0..8 {
        let text = fs::read_to_string("/proc/self/mounts").context("cannot read what is mounted")?;
        let mounted = mounted_below(&text, folder);
        if mounted.is_empty() {
            return Ok(());
        }
        for path in mounted {
            quietly(Command::new("umount").arg("--lazy").arg(path));
        }
    }
    bail!("something stays mounted below {}", folder.display())
}

/// Mount points, those inside others first.
fn mounted_below(mounts: &str, folder: &Path) -> Vec<PathBuf> {
    let points = mounts.lines().filter_map(|line| line.split(' ').nth(1)).map(PathBuf::from);
    let points: BTreeSet<PathBuf> = points.filter(|point| point.starts_with(folder)).collect();
    points.into_iter().rev().collect()
}

/// Notes which folders are not there yet, and the kernel's settings before they change.
pub fn note(state: &Path) -> Result<()> {
    let absent = FOLDERS.iter().filter(|folder| !Path::new(folder).exists());
    let absent: String = absent.map(|folder| format!("{folder}\n")).collect();
    fs::write(state.join("folders"), absent).context("cannot note what is there")?;
    let path = |name: &str| Path::new("/proc/sys").join(name);
    let line = |name: &&str| Some(format!("{name} {}\n", fs::read_to_string(path(name)).ok()?.trim()));
    fs::write(state.join("sysctls"), SYSCTLS.iter().filter_map(line).collect::<String>())
        .context("cannot note the kernel's settings")
}

/// Sets them as they were.
pub fn sysctls(state: &Path) {
    let text = fs::read_to_string(state.join("sysctls")).unwrap_or_default();
    for (name, value) in text.lines().filter_map(|line| line.split_once(' ')) {
        let path = Path::new("/proc/sys").join(name);
        if fs::read_to_string(&path).is_ok_and(|now| now.trim() != value)
            && let Err(error) = fs::write(&path, value)
        {
            eprintln!("cluster: {name} was {value} and cannot be set again: {error}");
        }
    }
}

/// Removes the folders that came with the cluster; from those that were there before, what names the cluster.
pub fn folders(state: &Path) {
    for folder in fs::read_to_string(state.join("folders")).unwrap_or_default().lines() {
        let _ = fs::remove_dir_all(folder);
    }
    let files = |folder: &str| fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let ours = |link: &PathBuf| fs::read_link(link).is_ok_and(|to| to.starts_with(state));
    let results = |path: &PathBuf| {
        path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&format!("{NETWORK}-")))
    };
    for path in files("/var/log/containers").filter(ours).chain(files("/var/lib/cni/results").filter(results))
    {
        let _ = fs::remove_file(path);
    }
}

fn quietly(command: &mut Command) {
    let _ = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
}

fn processes() -> Vec<i32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

fn command_line(pid: i32) -> Vec<String> {
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    bytes.split(|&byte| byte == 0).map(|word| String::from_utf8_lossy(word).into_owned()).collect()
}

fn parent(pid: i32) -> Option<i32> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    text.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, path::Path};

    use super::{descendants, mounted_below};

    #[test]
    fn what_is_mounted_inside_goes_first_and_others_stay() {
        let mounts =
            "a /s ext4 rw 0 0\nb /s/run/x tmpfs rw 0 0\nc /sother tmpfs rw 0 0\nd /s/run tmpfs rw 0 0\n";
        let points: Vec<_> =
            mounted_below(mounts, Path::new("/s")).iter().map(|path| path.display().to_string()).collect();
        assert_eq!(points, ["/s/run/x", "/s/run", "/s"]);
    }

    #[test]
    fn children_of_children_end_before_their_parents_and_nobody_elses() {
        let parents = [(2, 1), (10, 1), (11, 10), (12, 11), (20, 1), (21, 20), (30, 2)];
        assert_eq!(descendants(&BTreeSet::from([10, 20]), &parents), [12, 21, 11, 20, 10]);
    }
}
