//! Processes: whether one is there, and its mount namespace.

use std::{fs, io, path::PathBuf};

use super::{Roots, netns::inode_of_link};

/// A process that cannot be meant.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// There is none.
    #[error("{pid}: no such process")]
    Missing {
        /// The number.
        pid: u32,
    },
    /// Events carry processes, not threads, so nothing would ever match.
    #[error("{pid}: is a thread of process {process}; give the process")]
    Thread {
        /// The number.
        pid: u32,
        /// The process it belongs to.
        process: u32,
    },
    /// procfs does not say.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// The inode of the initial pid namespace, fixed in `include/linux/proc_ns.h`.
const INITIAL_PID_NAMESPACE: u32 = 0xEFFF_FFFC;

/// Whether there is a process with this id (and not a mere thread).
pub fn check(roots: &Roots, pid: u32) -> Result<(), ProcessError> {
    let path = roots.proc.join(pid.to_string()).join("status");
    let status = match fs::read(&path) {
        Ok(status) => status,
        // A process can end between open and read.
        Err(error) if error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(ESRCH) => {
            return Err(ProcessError::Missing { pid });
        }
        Err(source) => return Err(ProcessError::Read { path, source }),
    };
    match status_field(&status, "Tgid").and_then(|tgid| tgid.parse().ok()) {
        Some(process) if process != pid => Err(ProcessError::Thread { pid, process }),
        _ => Ok(()),
    }
}

const ESRCH: i32 = 3;

/// The inode of a process's mount namespace.
pub fn mntns(roots: &Roots, pid: u32) -> Result<u32, ProcessError> {
    check(roots, pid)?;
    let path = roots.proc.join(pid.to_string()).join("ns/mnt");
    match fs::read_link(&path) {
        Ok(_) => inode_of_link(&path, "mnt").ok_or_else(|| ProcessError::Read {
            path,
            source: io::Error::new(io::ErrorKind::InvalidData, "it is no mount namespace"),
        }),
        Err(source) => Err(ProcessError::Read { path, source }),
    }
}

/// Whether this process counts processes as the kernel does: elsewhere a pid given by the user is another
/// process than the one with that number in an event.
pub fn in_initial_pid_namespace(roots: &Roots) -> bool {
    inode_of_link(&roots.proc.join("self/ns/pid"), "pid").is_none_or(|inode| inode == INITIAL_PID_NAMESPACE)
}

/// The value of a line of `/proc/<pid>/status`. Looked for as bytes: the first line has a name of any bytes,
/// in which the kernel escapes newlines.
pub(super) fn status_field<'a>(status: &'a [u8], name: &str) -> Option<&'a str> {
    status.split(|byte| *byte == b'\n').find_map(|line| {
        let value = line.strip_prefix(name.as_bytes())?.strip_prefix(b":")?;
        Some(std::str::from_utf8(value).ok()?.trim())
    })
}

#[cfg(test)]
mod tests {
    use super::{check, in_initial_pid_namespace, mntns, status_field};
    use crate::host::{Roots, Tree};

    #[test]
    fn this_process_is_there_with_its_mount_namespace() {
        let roots = Roots::default();
        check(&roots, std::process::id()).unwrap();
        assert_ne!(mntns(&roots, std::process::id()).unwrap(), 0);
    }

    #[test]
    fn a_missing_process_and_a_thread_are_told_apart() {
        let tree = Tree::new(&[("proc/8/status", "Name:\tx\nTgid:\t7\nPid:\t8\n")]);
        let words = |pid| check(&tree.roots(), pid).unwrap_err().to_string();
        assert_eq!(words(9), "9: no such process");
        assert_eq!(words(8), "8: is a thread of process 7; give the process");
        assert_eq!(mntns(&tree.roots(), 9).unwrap_err().to_string(), "9: no such process");
    }

    #[test]
    fn a_name_of_strange_bytes_hides_nothing() {
        assert_eq!(status_field(b"Name:\t\xff\\nTgid: 1\nTgid:\t7\n", "Tgid"), Some("7"));
        assert_eq!(status_field(b"Name:\tx\n", "Tgid"), None);
    }

    #[test]
    fn the_initial_pid_namespace_is_known_by_its_number() {
        let initial = |link: &str| {
            let tree = Tree::new(&[("proc/self/ns/pid", &format!("-> {link}"))]);
            in_initial_pid_namespace(&tree.roots())
        };
        assert!(initial("pid:[4026531836]"));
        assert!(!initial("pid:[4026532501]"));
    }
}
