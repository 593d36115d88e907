//! Cgroups of the v2 hierarchy, wherever this machine has it.

use std::{
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::OnceLock,
};

/// A cgroup; removed when dropped.
#[derive(Debug)]
pub struct Cgroup {
    /// Its directory.
    pub path: PathBuf,
    /// Its id: the directory's inode.
    pub id: u64,
}

impl Cgroup {
    /// A new one below the root.
    pub fn new(name: &str) -> Self {
        let own = super::scratch(name);
        Self::at(root().join(own.file_name().unwrap()))
    }

    /// A new one below this one.
    pub fn child(&self, name: &str) -> Self {
        Self::at(self.path.join(name))
    }

    fn at(path: PathBuf) -> Self {
        std::fs::create_dir(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let id = path.metadata().unwrap().ino();
        Self { path, id }
    }

    /// Moves a process here.
    pub fn add(&self, pid: u32) {
        std::fs::write(self.path.join("cgroup.procs"), pid.to_string()).unwrap();
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // Its processes were just ended: the kernel may need a moment to see the cgroup empty.
        let _ = super::until(std::time::Duration::from_secs(2), || std::fs::remove_dir(&self.path).ok());
    }
}

/// Where the v2 hierarchy is mounted; mounts it where nobody has.
fn root() -> &'static Path {
    static ROOT: OnceLock<PathBuf> = OnceLock::new();
    ROOT.get_or_init(|| {
        let mounts = std::fs::read_to_string("/proc/mounts").unwrap();
        let mounted = mounts.lines().find_map(|line| {
            let mut words = line.split(' ').skip(1);
            let path = words.next()?;
            (words.next()? == "cgroup2").then(|| PathBuf::from(path))
        });
        mounted.unwrap_or_else(|| {
            let path = super::scratch("cgroup2");
            std::fs::create_dir(&path).unwrap();
            rustix::mount::mount("none", &path, "cgroup2", rustix::mount::MountFlags::empty(), None).unwrap();
            path
        })
    })
}
