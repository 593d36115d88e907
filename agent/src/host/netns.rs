//! Network namespaces: their inodes, from whatever a user calls them, and how to enter each.

use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use super::{
    Roots, mounts,
    proc::{self, ProcessError},
};

/// A network namespace that can be entered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// Its inode.
    pub inode: u32,
    /// A file to open for `setns`.
    pub path: PathBuf,
}

/// What was found of network namespaces.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct All {
    /// Each once, by inode.
    pub known: Vec<Known>,
    /// Processes whose namespace this process may not see (without CAP_SYS_PTRACE).
    pub hidden: usize,
}

/// A network namespace that cannot be meant.
#[derive(Debug, thiserror::Error)]
pub enum NetnsError {
    /// There is something else, or nothing.
    #[error("{}: is no network namespace ({reason})", path.display())]
    NotNetns {
        /// The path.
        path: PathBuf,
        /// What it is instead.
        reason: NotNetns,
    },
    /// `ip netns` knows no such name.
    #[error(
        "{name}: no network namespace has this name; give a name of `ip netns`, a path, an inode or a pid"
    )]
    Name {
        /// The name.
        name: String,
    },
    /// No namespace has the inode.
    #[error("{inode}: no process and no mount is in a network namespace with this inode")]
    Inode {
        /// The inode.
        inode: u64,
    },
    /// The process is not there.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// The process keeps it from us.
    #[error("cannot read {}; CAP_SYS_PTRACE is needed for processes of others", path.display())]
    Read {
        /// The link.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Why a path is no network namespace.
#[derive(Debug, thiserror::Error)]
pub enum NotNetns {
    /// It is a plain file.
    #[error("not on nsfs")]
    FileSystem,
    /// Another kind of namespace.
    #[error("a namespace of another kind: {0}")]
    Kind(String),
    /// There is nothing, or it cannot be looked at.
    #[error("{0}")]
    Unreadable(io::Error),
}

/// `NSFS_MAGIC` of `linux/magic.h`.
const NSFS: u64 = 0x6e73_6673;

/// The largest pid that a kernel gives (`PID_MAX_LIMIT`); inodes of namespaces are far above.
const MAX_PID: u64 = 1 << 22;

/// The lowest inode of a namespace (`include/linux/proc_ns.h`).
const FIRST_INODE: u32 = 0xEFFF_FFF0;

/// The namespace of this process.
pub fn own(roots: &Roots) -> Result<u32, NetnsError> {
    of_link(&roots.proc.join("self/ns/net"))
}

/// The host's namespace; `None` where this process cannot see the host's first processes.
pub fn host(roots: &Roots) -> Option<u32> {
    if !proc::in_initial_pid_namespace(roots) {
        return None;
    }
    // Process 2 is the kernel's, and hidden less often than 1.
    ["2/ns/net", "1/ns/net"].iter().find_map(|link| inode_of_link(&roots.proc.join(link), "net"))
}

/// The namespace of a process.
pub fn of_process(roots: &Roots, pid: u32) -> Result<u32, NetnsError> {
    proc::check(roots, pid)?;
    of_link(&roots.proc.join(pid.to_string()).join("ns/net"))
}

/// The namespace that a file stands for, such as `/run/netns/blue` or `/proc/1/ns/net`.
pub fn of_path(roots: &Roots, path: &Path) -> Result<u32, NetnsError> {
    let no = |reason| NetnsError::NotNetns { path: path.to_owned(), reason };
    let unreadable = |error: io::Error| no(NotNetns::Unreadable(error));
    let metadata = fs::metadata(path).map_err(unreadable)?;
    let system = rustix::fs::statfs(path).map_err(|error| unreadable(error.into()))?;
    if u64::try_from(system.f_type) != Ok(NSFS) {
        return Err(no(NotNetns::FileSystem));
    }
    let inode = u32::try_from(metadata.ino()).map_err(|_| no(NotNetns::FileSystem))?;
    // Which kind it is, is in the link below /proc, and for a bind mount in the list of mounts.
    let kind = fs::read_link(path).ok().or_else(|| {
        let whole = path.canonicalize().ok()?;
        let mounts = mounts::read(&roots.proc).ok()?;
        mounts.into_iter().rev().find(|mount| mount.point == whole).map(|mount| mount.root)
    });
    match kind {
        Some(kind) if is_namespace(&kind) && !kind.as_os_str().as_encoded_bytes().starts_with(b"net:[") => {
            Err(no(NotNetns::Kind(kind.display().to_string())))
        }
        _ => Ok(inode),
    }
}

/// Whether a link's target or a mount's root names a namespace rather than a file.
fn is_namespace(target: &Path) -> bool {
    let target = target.as_os_str().as_encoded_bytes();
    target.ends_with(b"]") && target.windows(2).any(|pair| pair == b":[") && !target.starts_with(b"/")
}

/// The namespace that a user means: a path, an inode, a pid, or a name of `ip netns`.
pub fn parse(roots: &Roots, text: &str) -> Result<u32, NetnsError> {
    if text.contains('/') {
        return of_path(roots, Path::new(text));
    }
    match text.parse::<u64>() {
        Ok(pid) if pid <= MAX_PID => match of_process(roots, u32::try_from(pid).unwrap_or(u32::MAX)) {
            // `ip netns` takes digits for names.
            Err(NetnsError::Process(missing)) => of_name(roots, text).map_err(|_| missing.into()),
            other => other,
        },
        Ok(inode) => {
            let all = all(roots);
            let found = u32::try_from(inode).ok().filter(|inode| {
                // What we may not see may well have it.
                let may_be = all.hidden > 0 && *inode >= FIRST_INODE;
                may_be || all.known.iter().any(|known| known.inode == *inode)
            });
            found.ok_or(NetnsError::Inode { inode })
        }
        Err(_) => of_name(roots, text),
    }
}

fn of_name(roots: &Roots, name: &str) -> Result<u32, NetnsError> {
    let paths = roots.netns.iter().map(|folder| folder.join(name));
    match paths.into_iter().find(|path| !matches!(name, "." | "..") && path.exists()) {
        Some(path) => of_path(roots, &path),
        None => Err(NetnsError::Name { name: name.to_owned() }),
    }
}

/// Every network namespace that a process is in or that has a name or another mount. Those that are kept
/// alive only by a descriptor, or by a single thread of a process, are not found.
pub fn all(roots: &Roots) -> All {
    let mut found = BTreeMap::new();
    let mut hidden = 0;
    // Mounts first: they outlive processes.
    for mount in mounts::read(&roots.proc).unwrap_or_default() {
        if mount.kind == "nsfs"
            && let Some(inode) = inode_of(&mount.root, "net")
        {
            found.entry(inode).or_insert(mount.point);
        }
    }
    for process in fs::read_dir(&roots.proc).into_iter().flatten().flatten() {
        let name = process.file_name();
        if !name.as_encoded_bytes().iter().all(u8::is_ascii_digit) {
            continue;
        }
        let link = process.path().join("ns/net");
        match fs::read_link(&link) {
            Ok(target) => {
                if let Some(inode) = inode_of(&target, "net") {
                    found.entry(inode).or_insert(link);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => hidden += 1,
            // It ended.
            Err(_) => {}
        }
    }
    All { known: found.into_iter().map(|(inode, path)| Known { inode, path }).collect(), hidden }
}

fn of_link(path: &Path) -> Result<u32, NetnsError> {
    let read = |source| NetnsError::Read { path: path.to_owned(), source };
    let target = fs::read_link(path).map_err(read)?;
    inode_of(&target, "net").ok_or_else(|| read(io::Error::from(io::ErrorKind::InvalidData)))
}

/// The inode in a link of `/proc/<pid>/ns`, if it is of that kind.
pub(super) fn inode_of_link(path: &Path, kind: &str) -> Option<u32> {
    inode_of(&fs::read_link(path).ok()?, kind)
}

/// The inode in `net:[4026531840]`.
fn inode_of(target: &Path, kind: &str) -> Option<u32> {
    target.to_str()?.strip_prefix(kind)?.strip_prefix(":[")?.strip_suffix(']')?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{all, host, of_path, of_process, own, parse};
    use crate::host::{Roots, Tree};

    fn machine() -> Tree {
        Tree::new(&[
            ("proc/self/ns/net", "-> net:[4026531840]"),
            ("proc/self/ns/pid", "-> pid:[4026531836]"),
            ("proc/1/status", "Tgid:\t1\n"),
            ("proc/1/ns/net", "-> net:[4026531840]"),
            ("proc/2/ns/net", "-> net:[4026531840]"),
            ("proc/70/status", "Tgid:\t70\n"),
            ("proc/70/ns/net", "-> net:[4026532208]"),
            ("proc/71/status", "Tgid:\t71\n"),
            ("proc/71/ns/net", "-> net:[4026532208]"),
            ("proc/net/tcp", ""),
            (
                "proc/self/mountinfo",
                "99 23 0:4 net:[4026532300] /run/netns/blue rw - nsfs nsfs rw\n\
                 98 23 0:4 mnt:[4026532301] /run/mnt/x rw - nsfs nsfs rw\n",
            ),
        ])
    }

    #[test]
    fn a_number_is_a_pid_or_an_inode() {
        let tree = machine();
        let roots = tree.roots();
        assert_eq!(own(&roots).unwrap(), 4_026_531_840);
        assert_eq!(host(&roots), Some(4_026_531_840));
        assert_eq!(of_process(&roots, 70).unwrap(), 4_026_532_208);
        assert_eq!(parse(&roots, "70").unwrap(), 4_026_532_208);
        assert_eq!(parse(&roots, "4026532208").unwrap(), 4_026_532_208);
        assert_eq!(parse(&roots, "4026532300").unwrap(), 4_026_532_300);
    }

    #[test]
    fn what_is_no_network_namespace_is_refused_in_words() {
        let tree = machine();
        let words = |text: &str| parse(&tree.roots(), text).unwrap_err().to_string();
        assert_eq!(words("72"), "72: no such process");
        assert_eq!(words("0"), "0: no such process");
        assert_eq!(
            words("4026532301"),
            "4026532301: no process and no mount is in a network namespace with this inode"
        );
        assert_eq!(
            words("99999999999"),
            "99999999999: no process and no mount is in a network namespace with this inode"
        );
        assert_eq!(
            words("green"),
            "green: no network namespace has this name; give a name of `ip netns`, a path, an inode or a pid"
        );
        assert!(words("..").starts_with("..: no network namespace has this name"));
        assert_eq!(words("/tmp"), "/tmp: is no network namespace (not on nsfs)");
        assert!(words("/no/such").starts_with("/no/such: is no network namespace (No such file"));
    }

    #[test]
    fn every_namespace_is_found_once_with_a_way_in() {
        let tree = machine();
        let all = all(&tree.roots());
        let inodes: Vec<_> = all.known.iter().map(|known| known.inode).collect();
        assert_eq!(inodes, [4_026_531_840, 4_026_532_208, 4_026_532_300]);
        assert_eq!(all.known[2].path, Path::new("/run/netns/blue"));
        assert!(all.known[0].path.ends_with("ns/net"));
    }

    #[test]
    fn from_within_a_container_the_hosts_namespace_is_unknown() {
        let tree = Tree::new(&[
            ("proc/self/ns/pid", "-> pid:[4026532500]"),
            ("proc/1/ns/net", "-> net:[4026532501]"),
        ]);
        assert_eq!(host(&tree.roots()), None);
    }

    #[test]
    fn this_process_is_in_one_of_this_machines_namespaces() {
        let roots = Roots::default();
        let own = own(&roots).unwrap();
        assert!(all(&roots).known.iter().any(|known| known.inode == own));
        assert_eq!(of_path(&roots, Path::new("/proc/self/ns/net")).unwrap(), own);
        assert_eq!(parse(&roots, &std::process::id().to_string()).unwrap(), own);
        assert_eq!(parse(&roots, &own.to_string()).unwrap(), own);
        let error = parse(&roots, "/proc/self/ns/mnt").unwrap_err().to_string();
        assert!(
            error.starts_with(
                "/proc/self/ns/mnt: is no network namespace (a namespace of another kind: mnt:["
            ),
            "{error}"
        );
    }
}
