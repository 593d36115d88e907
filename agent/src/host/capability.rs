//! What this process may do, what is missing to load programs, and how to grant it.

use std::{fmt, fs, io, path::Path, path::PathBuf};

use super::{Roots, proc::status_field};

/// A capability that plays a part, by the kernel's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Capability {
    /// Another user's files, such as tracefs.
    DacReadSearch = 2,
    /// Everything about networks.
    NetAdmin = 12,
    /// Namespaces of other processes.
    SysPtrace = 19,
    /// Stands in for many, also for BPF and PERFMON.
    SysAdmin = 21,
    /// More locked memory than RLIMIT_MEMLOCK allows.
    SysResource = 24,
    /// Tracing programs and performance events.
    Perfmon = 38,
    /// BPF programs and maps.
    Bpf = 39,
}

impl Capability {
    /// All of them, by number.
    pub const ALL: [Self; 7] = [
        Self::DacReadSearch,
        Self::NetAdmin,
        Self::SysPtrace,
        Self::SysAdmin,
        Self::SysResource,
        Self::Perfmon,
        Self::Bpf,
    ];

    /// The name in manuals.
    pub const fn name(self) -> &'static str {
        match self {
            Self::DacReadSearch => "CAP_DAC_READ_SEARCH",
            Self::NetAdmin => "CAP_NET_ADMIN",
            Self::SysPtrace => "CAP_SYS_PTRACE",
            Self::SysAdmin => "CAP_SYS_ADMIN",
            Self::SysResource => "CAP_SYS_RESOURCE",
            Self::Perfmon => "CAP_PERFMON",
            Self::Bpf => "CAP_BPF",
        }
    }
}

/// The capabilities of this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    effective: u64,
    initial: bool,
}

/// Capabilities that cannot be told, or do not suffice.
#[derive(Debug, thiserror::Error)]
pub enum CapabilityError {
    /// procfs does not say.
    #[error("cannot read the capabilities of this process from {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Some are missing.
    #[error("{missing} missing: run with sudo, or grant once with `{}`", grant(&missing.0, exe))]
    Missing {
        /// Which.
        missing: Missing,
        /// The program that lacks them.
        exe: PathBuf,
    },
    /// The process has them, but only inside a container's user namespace.
    #[error(
        "no capability of this user namespace reaches the kernel's BPF: run as root outside the container, or \
         in one without a user namespace of its own"
    )]
    UserNamespace,
}

/// Capabilities that are not there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing(pub Vec<Capability>);

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.0.iter().map(|capability| capability.name()).collect();
        match names.as_slice() {
            [] => f.write_str("nothing is"),
            [one] => write!(f, "{one} is"),
            [first @ .., last] => write!(f, "{} and {last} are", first.join(", ")),
        }
    }
}

/// The inode of the initial user namespace, fixed in `include/linux/proc_ns.h`.
const INITIAL_USER_NAMESPACE: u32 = 0xEFFF_FFFD;

impl Capabilities {
    /// Reads them.
    pub fn read(roots: &Roots) -> Result<Self, CapabilityError> {
        let path = roots.proc.join("self/status");
        let read = |source| CapabilityError::Read { path: path.clone(), source };
        let status = fs::read(&path).map_err(read)?;
        let effective =
            status_field(&status, "CapEff")
                .and_then(|mask| u64::from_str_radix(mask, 16).ok())
                .ok_or_else(|| read(io::Error::new(io::ErrorKind::InvalidData, "it has no CapEff line")))?;
        // Without user namespaces in the kernel there is no such link, and only the initial one.
        let initial = super::netns::inode_of_link(&roots.proc.join("self/ns/user"), "user")
            .is_none_or(|inode| inode == INITIAL_USER_NAMESPACE);
        Ok(Self { effective, initial })
    }

    /// Whether the process has it where it counts.
    pub const fn has(self, capability: Capability) -> bool {
        self.initial && self.effective & 1 << capability as u8 != 0
    }

    /// Whether the process is in the user namespace whose capabilities reach BPF.
    pub const fn in_initial_user_namespace(self) -> bool {
        self.initial
    }

    /// What is missing to load and attach the programs.
    pub fn missing_to_load(self) -> Missing {
        let needed = [Capability::Bpf, Capability::Perfmon];
        let lacks = |capability: &Capability| !self.has(*capability) && !self.has(Capability::SysAdmin);
        Missing(needed.into_iter().filter(lacks).collect())
    }

    /// An error that says what is missing to load and how to grant it to the program at `exe`.
    pub fn check(self, exe: &Path) -> Result<(), CapabilityError> {
        let missing = self.missing_to_load();
        if missing.0.is_empty() {
            return Ok(());
        }
        let inside =
            Capability::ALL.into_iter().any(|capability| self.effective & 1 << capability as u8 != 0);
        if !self.initial && inside {
            return Err(CapabilityError::UserNamespace);
        }
        Err(CapabilityError::Missing { missing, exe: exe.to_owned() })
    }
}

impl fmt::Display for Capabilities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> =
            Capability::ALL.into_iter().filter(|one| self.has(*one)).map(Capability::name).collect();
        f.write_str(&if names.is_empty() { "none".to_owned() } else { names.join(", ") })
    }
}

/// The command that grants capabilities to a program for good.
pub fn grant(capabilities: &[Capability], exe: &Path) -> String {
    let names: Vec<_> = capabilities.iter().map(|capability| capability.name().to_lowercase()).collect();
    format!("sudo setcap {}+ep {}", names.join(","), exe.display())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{Capabilities, Capability};
    use crate::host::{Roots, Tree};

    fn read(mask: &str, user_namespace: &str) -> Capabilities {
        let status = format!("Name:\tsockeye\nCapPrm:\tffffffffffffffff\nCapEff:\t{mask}\nCapBnd:\t0\n");
        let link = format!("-> user:[{user_namespace}]");
        let tree = Tree::new(&[("proc/self/status", &status), ("proc/self/ns/user", &link)]);
        Capabilities::read(&tree.roots()).unwrap()
    }

    fn refusal(mask: &str, user_namespace: &str) -> String {
        let checked = read(mask, user_namespace).check(Path::new("/usr/bin/sockeye"));
        checked.err().map_or_else(|| "fine".to_owned(), |error| error.to_string())
    }

    const INITIAL: &str = "4026531837";

    #[test]
    fn root_lacks_nothing() {
        assert_eq!(refusal("000001ffffffffff", INITIAL), "fine");
    }

    #[test]
    fn bpf_and_perfmon_suffice_and_sys_admin_stands_in_for_both() {
        assert_eq!(refusal("000000c000000000", INITIAL), "fine");
        assert_eq!(refusal("0000000000200000", INITIAL), "fine");
    }

    #[test]
    fn what_is_missing_is_named_with_the_way_to_grant_it() {
        assert_eq!(
            refusal("0000000000000000", INITIAL),
            "CAP_BPF and CAP_PERFMON are missing: run with sudo, or grant once with \
             `sudo setcap cap_bpf,cap_perfmon+ep /usr/bin/sockeye`"
        );
        assert_eq!(
            refusal("0000008000000000", INITIAL),
            "CAP_PERFMON is missing: run with sudo, or grant once with \
             `sudo setcap cap_perfmon+ep /usr/bin/sockeye`"
        );
    }

    #[test]
    fn root_in_a_user_namespace_of_its_own_counts_for_nothing() {
        let words = refusal("000001ffffffffff", "4026532999");
        assert!(
            words.starts_with("no capability of this user namespace reaches the kernel's BPF"),
            "{words}"
        );
        assert!(!read("000001ffffffffff", "4026532999").has(Capability::SysPtrace));
        // Who has none inside either is told what is missing first.
        assert!(refusal("0000000000000000", "4026532999").starts_with("CAP_BPF and CAP_PERFMON are missing"));
    }

    #[test]
    fn capabilities_are_shown_by_name() {
        assert_eq!(read("000000c000080000", INITIAL).to_string(), "CAP_SYS_PTRACE, CAP_PERFMON, CAP_BPF");
        assert_eq!(read("0000000000000001", INITIAL).to_string(), "none");
    }

    #[test]
    fn a_status_without_the_line_is_an_error_that_names_the_file() {
        let tree = Tree::new(&[("proc/self/status", "Name:\tx\n")]);
        let error = Capabilities::read(&tree.roots()).unwrap_err().to_string();
        assert!(error.ends_with("proc/self/status"), "{error}");
    }

    #[test]
    fn this_process_has_readable_capabilities() {
        Capabilities::read(&Roots::default()).unwrap();
    }
}
