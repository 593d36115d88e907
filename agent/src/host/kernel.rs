//! The running kernel: its release, whether it shows its types, and what lockdown forbids.

use std::{fs, io, path::PathBuf};

use super::Roots;

/// What is known of the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kernel {
    /// `uname -r`.
    pub release: String,
    /// `uname -m`.
    pub arch: &'static str,
    /// Where its types are; `None` where it does not show them.
    pub btf: Option<PathBuf>,
    /// What lockdown is set to.
    pub lockdown: Lockdown,
}

/// How much the kernel keeps from its own root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lockdown {
    /// Nothing.
    None,
    /// Root cannot change the kernel.
    Integrity,
    /// Root cannot read the kernel either: no `bpf_probe_read_kernel`, no kprobes, no classic tracepoints.
    Confidentiality,
    /// securityfs is not mounted or not readable.
    Unknown,
}

impl Lockdown {
    /// The kernel's word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Integrity => "integrity",
            Self::Confidentiality => "confidentiality",
            Self::Unknown => "unknown",
        }
    }
}

/// A kernel about which nothing can be learned.
#[derive(Debug, thiserror::Error)]
pub enum KernelError {
    /// Nothing is known without procfs.
    #[error("cannot read the kernel's release from {}; procfs must be mounted there", path.display())]
    Release {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl Kernel {
    /// Reads what the kernel says of itself.
    pub fn read(roots: &Roots) -> Result<Self, KernelError> {
        let path = roots.proc.join("sys/kernel/osrelease");
        let release = match fs::read_to_string(&path) {
            Ok(release) => release.trim_end().to_owned(),
            Err(source) => return Err(KernelError::Release { path, source }),
        };
        let btf = roots.sys.join("kernel/btf/vmlinux");
        Ok(Self {
            release,
            arch: std::env::consts::ARCH,
            btf: btf.is_file().then_some(btf),
            lockdown: lockdown(roots),
        })
    }

    /// Major and minor version, for messages and for what is only dear and not wrong to assume: what a kernel can do is
    /// found by trying.
    pub fn version(&self) -> Option<(u32, u32)> {
        let mut parts = self.release.split(|c: char| !c.is_ascii_digit());
        Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
    }

    /// Whether a task can be put aside in the middle of a program at a tracepoint: since 7.0, by default, and until
    /// it runs again its CPU misses everything else at that tracepoint. Seen in 7.3: `preempt_schedule_irq` above
    /// `__bpf_trace_inet_sock_set_state`. The types show nothing of it.
    pub fn preempts_tracepoints(&self) -> bool {
        self.version().is_some_and(|version| version >= (7, 0))
    }

    /// Whether maps count against RLIMIT_MEMLOCK (before 5.11; since then against the memory cgroup).
    pub fn locks_memory(&self) -> bool {
        self.version().is_some_and(|version| version < (5, 11))
    }
}

fn lockdown(roots: &Roots) -> Lockdown {
    let security = roots.sys.join("kernel/security");
    match fs::read_to_string(security.join("lockdown")) {
        // The level in force is the one in brackets: `none [integrity] confidentiality`.
        Ok(levels) => match levels.split_once('[').and_then(|(_, rest)| rest.split_once(']')) {
            Some(("none", _)) => Lockdown::None,
            Some(("integrity", _)) => Lockdown::Integrity,
            Some(("confidentiality", _)) => Lockdown::Confidentiality,
            _ => Lockdown::Unknown,
        },
        // securityfs is there (its list of modules is), so this kernel was built without lockdown.
        Err(error) if error.kind() == io::ErrorKind::NotFound && security.join("lsm").exists() => {
            Lockdown::None
        }
        Err(_) => Lockdown::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::{Kernel, Lockdown};
    use crate::host::{Roots, Tree};

    const RELEASE: (&str, &str) = ("proc/sys/kernel/osrelease", "6.12.107+deb13-cloud-amd64\n");

    #[test]
    fn the_running_kernel_says_what_it_is() {
        let kernel = Kernel::read(&Roots::default()).unwrap();
        assert!(kernel.version().is_some(), "{}", kernel.release);
    }

    #[test]
    fn lockdown_is_the_level_in_brackets() {
        let levels = [
            ("[none] integrity confidentiality\n", Lockdown::None),
            ("none [integrity] confidentiality\n", Lockdown::Integrity),
            ("none integrity [confidentiality]\n", Lockdown::Confidentiality),
            ("none integrity confidentiality\n", Lockdown::Unknown),
            ("", Lockdown::Unknown),
        ];
        for (content, expected) in levels {
            let tree = Tree::new(&[RELEASE, ("sys/kernel/security/lockdown", content)]);
            assert_eq!(Kernel::read(&tree.roots()).unwrap().lockdown, expected, "{content}");
        }
    }

    #[test]
    fn without_securityfs_lockdown_is_unknown_and_without_the_module_it_is_none() {
        let tree = Tree::new(&[RELEASE]);
        assert_eq!(Kernel::read(&tree.roots()).unwrap().lockdown, Lockdown::Unknown);
        let tree = Tree::new(&[RELEASE, ("sys/kernel/security/lsm", "capability,bpf")]);
        assert_eq!(Kernel::read(&tree.roots()).unwrap().lockdown, Lockdown::None);
    }

    #[test]
    fn types_are_there_or_not() {
        let tree = Tree::new(&[RELEASE]);
        assert_eq!(Kernel::read(&tree.roots()).unwrap().btf, None);
        let tree = Tree::new(&[RELEASE, ("sys/kernel/btf/vmlinux", "")]);
        assert!(Kernel::read(&tree.roots()).unwrap().btf.is_some());
    }

    #[test]
    fn versions_are_read_from_releases_of_all_distributions() {
        let version = |release: &str| {
            let tree = Tree::new(&[("proc/sys/kernel/osrelease", release)]);
            let kernel = Kernel::read(&tree.roots()).unwrap();
            (kernel.version(), kernel.locks_memory())
        };
        assert_eq!(version("5.10.0-32-cloud-amd64\n"), (Some((5, 10)), true));
        assert_eq!(version("5.11\n"), (Some((5, 11)), false));
        assert_eq!(version("6.18.44-fc-v595"), (Some((6, 18)), false));
        assert_eq!(version("7.3-rc1"), (Some((7, 3)), false));
        assert_eq!(version("strange"), (None, false));
    }

    #[test]
    fn without_procfs_the_error_names_the_file() {
        let tree = Tree::new(&[]);
        let error = Kernel::read(&tree.roots()).unwrap_err().to_string();
        assert!(error.contains("proc/sys/kernel/osrelease; procfs must be mounted there"), "{error}");
    }
}
