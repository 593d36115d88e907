//! What this machine is: the kernel's types, version, capabilities, cgroups, namespaces, processes, clock.
//!
//! Modules here read and change nothing. Where they look is a parameter ([`Roots`]), so tests bring their
//! own trees.

pub mod btf;
pub mod capability;
pub mod cgroup;
pub mod clock;
pub mod kernel;
mod mounts;
pub mod netns;
pub mod proc;

use std::path::PathBuf;

/// Where the kernel and `ip netns` show themselves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Roots {
    /// procfs.
    pub proc: PathBuf,
    /// sysfs.
    pub sys: PathBuf,
    /// Folders in which network namespaces have names.
    pub netns: Vec<PathBuf>,
}

impl Default for Roots {
    fn default() -> Self {
        Self {
            proc: "/proc".into(),
            sys: "/sys".into(),
            netns: vec!["/run/netns".into(), "/var/run/netns".into()],
        }
    }
}

/// A tree of files for a test, gone with the value.
#[cfg(test)]
pub(crate) struct Tree(PathBuf);

#[cfg(test)]
impl Tree {
    pub(crate) fn new(files: &[(&str, &str)]) -> Self {
        use std::sync::atomic::{AtomicU32, Ordering};
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("sockeye-host-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let tree = Self(std::env::temp_dir().join(name));
        std::fs::create_dir_all(&tree.0).unwrap();
        for (path, content) in files {
            let path = tree.0.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            match content.strip_prefix("-> ") {
                Some(target) => std::os::unix::fs::symlink(target, path).unwrap(),
                None => std::fs::write(path, content).unwrap(),
            }
        }
        tree
    }

    pub(crate) fn roots(&self) -> Roots {
        Roots { proc: self.0.join("proc"), sys: self.0.join("sys"), netns: vec![self.0.join("netns")] }
    }
}

#[cfg(test)]
impl Drop for Tree {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
