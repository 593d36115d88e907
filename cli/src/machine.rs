//! What the command line names, looked up on this machine; and whether this process may load programs.

use std::{
    error::Error,
    io,
    path::{Path, PathBuf},
};

use agent::{
    decode::Context,
    host::{
        Roots,
        capability::{self, Capabilities},
        cgroup::Cgroups,
        netns, proc,
    },
};
use rustix::fs::statfs;

use crate::{
    request::{Machine, Refusal},
    tool::Tool,
};

/// The machine that the program runs on.
#[derive(Default)]
pub struct ThisMachine {
    roots: Roots,
}

/// `BPF_FS_MAGIC` of linux/magic.h.
const BPF_FS: u64 = 0xcafe_4a11;

impl Machine for ThisMachine {
    fn check_process(&self, pid: u32) -> Result<(), Refusal> {
        // From within a pid namespace the host's processes cannot be seen; events carry their ids.
        if !proc::in_initial_pid_namespace(&self.roots) {
            return Ok(());
        }
        proc::check(&self.roots, pid).map_err(|error| refusal(&error))
    }

    fn netns(&self, text: &str) -> Result<u32, Refusal> {
        netns::parse(&self.roots, text).map_err(|error| refusal(&error))
    }

    fn cgroup(&self, text: &str) -> Result<u64, Refusal> {
        let cgroups = Cgroups::find(&self.roots).map_err(|error| refusal(&error))?;
        cgroups.parse(text).map_err(|error| refusal(&error))
    }

    fn roots(&self) -> Roots {
        self.roots.clone()
    }

    fn is_in_bpffs(&self, path: &Path) -> bool {
        statfs(path).is_ok_and(|found| u64::try_from(found.f_type) == Ok(BPF_FS))
    }
}

impl ThisMachine {
    /// What is missing to load the programs, and how to get it, in one line.
    pub fn check_rights(&self, tool: Tool) -> Result<(), String> {
        let capabilities = Capabilities::read(&self.roots).map_err(|error| one_line(&error))?;
        let exe = std::env::current_exe().unwrap_or_else(|_| PathBuf::from("sockeye"));
        let Err(error) = capabilities.check(&exe) else { return Ok(()) };
        let missing = capabilities.missing_to_load().0;
        if !capabilities.in_initial_user_namespace() || missing.is_empty() {
            return Err(one_line(&error));
        }
        let names: Vec<_> = missing.iter().map(|one| one.name()).collect();
        let lacks = match names.as_slice() {
            [one] => format!("lacks {one}"),
            _ => "has neither".to_owned(),
        };
        Err(format!(
            "loading BPF programs needs CAP_BPF and CAP_PERFMON; this process {lacks}. Try: sudo sockeye trace {} \
             (or grant them once: {})",
            tool.name(),
            capability::grant(&missing, &exe)
        ))
    }

    /// What the decoder needs to know about this machine.
    pub fn context(&self) -> Context {
        Context {
            wall_offset_ns: 0,
            host_netns: netns::host(&self.roots),
            root_cgroup: ROOT_CGROUP,
            reset_reasons: &[],
        }
    }
}

/// Id of the root of the v2 hierarchy, on every kernel so far.
const ROOT_CGROUP: u64 = 1;

fn refusal(error: &(dyn Error + 'static)) -> Refusal {
    Refusal { reason: one_line(error), forbidden: causes(error).any(is_permission) }
}

fn is_permission(error: &(dyn Error + 'static)) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::PermissionDenied)
}

/// An error, what caused it, what caused that.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error| (*error).source())
}

/// An error with its causes, on one line.
pub fn one_line(error: &(dyn Error + 'static)) -> String {
    let mut text = String::new();
    for reason in causes(error).map(ToString::to_string) {
        if text.is_empty() {
            text = reason;
        } else if !text.contains(&reason) {
            // Some errors repeat their source in their own words.
            text.push_str(": ");
            text.push_str(&reason);
        }
    }
    text.replace('\n', " ")
}
