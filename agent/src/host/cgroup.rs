//! Cgroups of version 2: where they are mounted, their ids, what is below them.
//!
//! A cgroup's id is the inode of its directory, and is never used again while the machine runs.

use std::{
    collections::HashMap,
    fs, io,
    os::unix::fs::{DirEntryExt as _, MetadataExt as _},
    path::{Path, PathBuf},
};

use super::{Roots, mounts};

/// How this machine uses cgroups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Version 2 only.
    Unified,
    /// Version 2 beside hierarchies of version 1; processes placed in version 1 only are in 2's root.
    Hybrid,
    /// Version 1 only: a socket's cgroup says nothing.
    Legacy,
    /// No cgroup file system is mounted here.
    None,
}

impl Mode {
    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unified => "v2",
            Self::Hybrid => "hybrid (v1 and v2)",
            Self::Legacy => "v1 only",
            Self::None => "none mounted",
        }
    }
}

/// The cgroups of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cgroups {
    mode: Mode,
    root: Option<PathBuf>,
}

/// A cgroup that cannot be meant.
#[derive(Debug, thiserror::Error)]
pub enum CgroupError {
    /// The list of mounts could not be read.
    #[error("cannot read mounts from {}", path.display())]
    Mounts {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There is something else, or nothing.
    #[error("{}: is no cgroup ({reason})", path.display())]
    NotCgroup {
        /// The path.
        path: PathBuf,
        /// What it is instead.
        reason: NotCgroup,
    },
    /// Only version 2 has ids.
    #[error("{}: is a cgroup of version 1, which has no id; give one of version 2{}", path.display(), below(.root))]
    Version1 {
        /// The path.
        path: PathBuf,
        /// Where version 2 is mounted.
        root: Option<PathBuf>,
    },
    /// A relative path needs a place to start.
    #[error("{}: no cgroup2 file system is mounted to look below; give a whole path", path.display())]
    NoRoot {
        /// The path.
        path: PathBuf,
    },
    /// No cgroup has the id.
    #[error("{id}: no cgroup has this id")]
    NoId {
        /// The id.
        id: u64,
    },
}

/// Why a path is no cgroup.
#[derive(Debug, thiserror::Error)]
pub enum NotCgroup {
    /// There is nothing.
    #[error("no such directory")]
    Missing,
    /// It is a file.
    #[error("not a directory")]
    File,
    /// A directory of something else.
    #[error("not on a cgroup2 filesystem")]
    FileSystem,
    /// It cannot be looked at.
    #[error("{0}")]
    Unreadable(io::Error),
}

fn below(root: &Option<PathBuf>) -> String {
    root.as_ref().map(|root| format!(", below {}", root.display())).unwrap_or_default()
}

/// `CGROUP_SUPER_MAGIC` and `CGROUP2_SUPER_MAGIC` of `linux/magic.h`.
const VERSION_1: u64 = 0x0027_e0eb;
const VERSION_2: u64 = 0x6367_7270;

impl Cgroups {
    /// Finds where cgroups are mounted.
    pub fn find(roots: &Roots) -> Result<Self, CgroupError> {
        let mounts = mounts::read(&roots.proc)
            .map_err(|source| CgroupError::Mounts { path: roots.proc.join("self/mountinfo"), source })?;
        // A part of the tree can be mounted elsewhere too (in containers' file systems): take the whole.
        let whole = |mount: &&mounts::Mount| (mount.root != Path::new("/"), mount.point.as_os_str().len());
        let root = mounts
            .iter()
            .filter(|mount| mount.kind == "cgroup2")
            .min_by_key(whole)
            .map(|mount| mount.point.clone());
        let version_1 = mounts.iter().any(|mount| mount.kind == "cgroup");
        // A container of a hybrid machine has only version 1 mounted, and is in version 2 all the same.
        let own = fs::read_to_string(roots.proc.join("self/cgroup")).unwrap_or_default();
        let version_2 = root.is_some() || own.lines().any(|line| line.starts_with("0::"));
        let mode = match (version_2, version_1) {
            (true, false) if root.is_some() => Mode::Unified,
            (true, true) => Mode::Hybrid,
            (false, true) => Mode::Legacy,
            (_, false) => Mode::None,
        };
        Ok(Self { mode, root })
    }

    /// How this machine uses cgroups.
    pub const fn mode(&self) -> Mode {
        self.mode
    }

    /// Where version 2 is mounted.
    pub fn root(&self) -> Option<&Path> {
        self.root.as_deref()
    }

    /// The id of a cgroup given by a user: its path (a relative one is below the mount), or the id itself.
    pub fn parse(&self, text: &str) -> Result<u64, CgroupError> {
        match text.parse() {
            Ok(id) if self.walk().iter().any(|(known, _)| *known == id) => Ok(id),
            Ok(id) => Err(CgroupError::NoId { id }),
            Err(_) => self.id_of(Path::new(text)),
        }
    }

    /// The id of the cgroup at a path; a relative one is below the mount.
    pub fn id_of(&self, path: &Path) -> Result<u64, CgroupError> {
        let whole = match &self.root {
            _ if path.is_absolute() => path.to_owned(),
            Some(root) => root.join(path),
            None => return Err(CgroupError::NoRoot { path: path.to_owned() }),
        };
        let no = |reason| CgroupError::NotCgroup { path: whole.clone(), reason };
        let unreadable = |error: io::Error| match error.kind() {
            io::ErrorKind::NotFound => no(NotCgroup::Missing),
            io::ErrorKind::NotADirectory => no(NotCgroup::File),
            _ => no(NotCgroup::Unreadable(error)),
        };
        let metadata = fs::metadata(&whole).map_err(unreadable)?;
        let system = rustix::fs::statfs(&whole).map_err(|error| unreadable(error.into()))?;
        match u64::try_from(system.f_type) {
            Ok(VERSION_2) if metadata.is_dir() => Ok(metadata.ino()),
            Ok(VERSION_2) => Err(no(NotCgroup::File)),
            Ok(VERSION_1) => Err(CgroupError::Version1 { path: whole, root: self.root.clone() }),
            _ => Err(no(NotCgroup::FileSystem)),
        }
    }

    /// The ids of a cgroup and of all that are below it now; the id alone where it is not there (any more).
    pub fn subtree(&self, id: u64) -> Vec<u64> {
        let all = self.walk();
        let Some((_, top)) = all.iter().find(|(known, _)| *known == id) else { return vec![id] };
        all.iter().filter(|(_, path)| path.starts_with(top)).map(|(id, _)| *id).collect()
    }

    /// Every cgroup: id, and path from the mount on, beginning with `/`.
    pub fn walk(&self) -> Vec<(u64, PathBuf)> {
        self.root.as_deref().map(walk).unwrap_or_default()
    }
}

/// Ids and paths of a directory and all below it. What vanishes meanwhile is left out.
fn walk(root: &Path) -> Vec<(u64, PathBuf)> {
    let Ok(metadata) = fs::metadata(root) else { return Vec::new() };
    let mut found = vec![(metadata.ino(), PathBuf::from("/"))];
    let mut next = 0;
    while let Some((_, path)) = found.get(next) {
        next += 1;
        let path = path.clone();
        let Ok(entries) = fs::read_dir(root.join(path.strip_prefix("/").unwrap_or(&path))) else { continue };
        // The kernel gives type and inode with the name, so nothing has to be looked at twice.
        let below = entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        found.extend(below.map(|entry| (entry.ino(), path.join(entry.file_name()))));
    }
    found
}

/// Paths of cgroups by id, looked up once each.
#[derive(Debug)]
pub struct Paths {
    cgroups: Cgroups,
    /// `None` for an id that was gone when it was looked for; ids do not come back.
    known: HashMap<u64, Option<PathBuf>>,
}

/// How many ids are remembered; beyond, the memory starts anew from what is there.
const MAX_KNOWN: usize = 100_000;

impl Paths {
    /// Knows nothing yet.
    pub fn new(cgroups: Cgroups) -> Self {
        Self { cgroups, known: HashMap::new() }
    }

    /// A cgroup's path from the mount on, beginning with `/`; `None` where it is gone, or not in this
    /// mount. Cgroups once seen stay known after they are gone.
    pub fn path_of(&mut self, id: u64) -> Option<&Path> {
        if !self.known.contains_key(&id) {
            if self.known.len() >= MAX_KNOWN {
                self.known.clear();
            }
            let all = self.cgroups.walk();
            self.known.extend(all.into_iter().map(|(id, path)| (id, Some(path))));
            self.known.entry(id).or_insert(None);
        }
        self.known.get(&id)?.as_deref()
    }

    /// Whether a cgroup is another one or below it.
    pub fn is_below(&mut self, id: u64, ancestor: u64) -> bool {
        let Some(top) = self.path_of(ancestor).map(Path::to_owned) else { return id == ancestor };
        id == ancestor || self.path_of(id).is_some_and(|path| path.starts_with(&top))
    }
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::{Cgroups, Mode, Paths};
    use crate::host::{Roots, Tree};

    fn find(mountinfo: &str) -> (Mode, Option<PathBuf>) {
        let tree = Tree::new(&[("proc/self/mountinfo", mountinfo)]);
        let cgroups = Cgroups::find(&tree.roots()).unwrap();
        (cgroups.mode(), cgroups.root().map(Path::to_owned))
    }

    const V1: &str = "32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu\n";
    const TMPFS: &str = "31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755\n";

    #[test]
    fn version_2_is_found_wherever_it_is_mounted() {
        let unified = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";
        let beside = "41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";
        assert_eq!(find(unified), (Mode::Unified, Some("/sys/fs/cgroup".into())));
        assert_eq!(
            find(&[TMPFS, V1, beside].concat()),
            (Mode::Hybrid, Some("/sys/fs/cgroup/unified".into()))
        );
        assert_eq!(find(&[TMPFS, V1].concat()), (Mode::Legacy, None));
        assert_eq!(find(TMPFS), (Mode::None, None));
    }

    #[test]
    fn a_container_of_a_hybrid_machine_is_in_version_2_though_it_is_not_mounted_there() {
        let find = |cgroup| {
            let tree =
                Tree::new(&[("proc/self/mountinfo", &[TMPFS, V1].concat()), ("proc/self/cgroup", cgroup)]);
            Cgroups::find(&tree.roots()).unwrap()
        };
        let hybrid = find("1:cpu:/kubepods/a\n0::/kubepods/a\n");
        assert_eq!((hybrid.mode(), hybrid.root()), (Mode::Hybrid, None));
        assert_eq!(find("1:cpu:/kubepods/a\n").mode(), Mode::Legacy);
    }

    #[test]
    fn the_whole_tree_is_preferred_to_a_part_mounted_elsewhere() {
        let part = "90 23 0:26 /kubepods/x /c rw - cgroup2 cgroup2 rw\n";
        let whole = "30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";
        assert_eq!(find(&[part, whole].concat()).1, Some("/sys/fs/cgroup".into()));
        assert_eq!(find(part).1, Some("/c".into()));
    }

    /// A machine whose version 2 mount is a plain folder.
    fn fake(files: &[(&str, &str)]) -> (Tree, Cgroups) {
        let tree = Tree::new(files);
        let root = tree.0.join("cgroup");
        std::fs::create_dir_all(&root).unwrap();
        (tree, Cgroups { mode: Mode::Unified, root: Some(root) })
    }

    #[test]
    fn what_is_no_cgroup_is_refused_in_words() {
        let words = |cgroups: &Cgroups, path: &str| cgroups.id_of(Path::new(path)).unwrap_err().to_string();
        let (tree, cgroups) = fake(&[("cgroup/a/cgroup.procs", "")]);
        assert_eq!(words(&cgroups, "/tmp"), "/tmp: is no cgroup (not on a cgroup2 filesystem)");
        assert_eq!(words(&cgroups, "/no/such"), "/no/such: is no cgroup (no such directory)");
        let root = tree.0.join("cgroup");
        let root = root.display();
        assert_eq!(words(&cgroups, "b"), format!("{root}/b: is no cgroup (no such directory)"));
        assert_eq!(
            words(&cgroups, "a/cgroup.procs/x"),
            format!("{root}/a/cgroup.procs/x: is no cgroup (not a directory)")
        );
        let none = Cgroups { mode: Mode::None, root: None };
        assert_eq!(
            words(&none, "system.slice"),
            "system.slice: no cgroup2 file system is mounted to look below; give a whole path"
        );
        assert_eq!(
            cgroups.parse("18446744073709551615").unwrap_err().to_string(),
            "18446744073709551615: no cgroup has this id"
        );
    }

    #[test]
    fn a_subtree_is_the_cgroup_and_all_below_it() {
        let (_tree, cgroups) = fake(&[
            ("cgroup/a/cgroup.procs", ""),
            ("cgroup/a/b/c/cgroup.procs", ""),
            ("cgroup/ab/cgroup.procs", ""),
        ]);
        let all = cgroups.walk();
        let id = |path: &str| all.iter().find(|(_, known)| known == Path::new(path)).unwrap().0;
        assert_eq!(all.len(), 5);
        let mut below = cgroups.subtree(id("/a"));
        below.sort_unstable();
        let mut expected = vec![id("/a"), id("/a/b"), id("/a/b/c")];
        expected.sort_unstable();
        assert_eq!(below, expected);
        assert_eq!(cgroups.subtree(id("/")).len(), 5);
        assert_eq!(cgroups.subtree(u64::MAX), [u64::MAX]);
        assert_eq!(cgroups.parse(&id("/a/b").to_string()).unwrap(), id("/a/b"));
    }

    #[test]
    fn paths_are_found_for_new_cgroups_and_kept_for_dead_ones() {
        let (tree, cgroups) = fake(&[("cgroup/a/cgroup.procs", "")]);
        let id = |path: &str| cgroups.walk().iter().find(|(_, known)| known == Path::new(path)).unwrap().0;
        let mut paths = Paths::new(cgroups.clone());
        let a = id("/a");
        assert_eq!(paths.path_of(a), Some(Path::new("/a")));
        std::fs::create_dir(tree.0.join("cgroup/a/new")).unwrap();
        let new = id("/a/new");
        assert_eq!(paths.path_of(new), Some(Path::new("/a/new")));
        assert!(paths.is_below(new, a) && paths.is_below(a, a) && !paths.is_below(a, new));
        std::fs::remove_dir(tree.0.join("cgroup/a/new")).unwrap();
        assert_eq!(paths.path_of(new), Some(Path::new("/a/new")));
        assert_eq!(paths.path_of(u64::MAX), None);
        assert!(!paths.is_below(u64::MAX, a));
    }

    #[test]
    fn ids_of_this_machine_are_inodes_of_version_2_only() {
        let cgroups = Cgroups::find(&Roots::default()).unwrap();
        let Some(root) = cgroups.root() else { return };
        let id = cgroups.id_of(root).unwrap();
        assert_eq!(cgroups.walk()[0], (id, "/".into()));
        assert_eq!(cgroups.id_of(Path::new(".")).unwrap(), id);
        let file = root.join("cgroup.controllers");
        assert_eq!(
            cgroups.id_of(&file).unwrap_err().to_string(),
            format!("{}: is no cgroup (not a directory)", file.display())
        );
        let version_1 = Path::new("/sys/fs/cgroup/memory");
        if cgroups.mode() == Mode::Hybrid && version_1.is_dir() {
            assert_eq!(
                cgroups.id_of(version_1).unwrap_err().to_string(),
                format!(
                    "/sys/fs/cgroup/memory: is a cgroup of version 1, which has no id; give one of version 2, below {}",
                    root.display()
                )
            );
        }
    }
}
