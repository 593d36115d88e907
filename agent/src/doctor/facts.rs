//! One line for each thing that matters of the machine.

use super::{Fact, Health, Machine, machine::words};
use crate::host::{capability::Capability, cgroup::Mode, kernel::Lockdown};

pub(super) fn facts(machine: &Machine) -> Vec<Fact> {
    let facts = [
        ("kernel", kernel(machine)),
        ("btf", btf(machine)),
        ("lockdown", lockdown(machine)),
        ("capabilities", capabilities(machine)),
        ("cgroup", cgroup(machine)),
        ("tracefs", tracefs(machine)),
        ("rings", rings(machine)),
        ("maps", maps(machine)),
        ("jit", jit(machine)),
    ];
    facts.into_iter().map(|(name, (health, value))| Fact { name, health, value }).collect()
}

type Line = (Health, String);

fn kernel(machine: &Machine) -> Line {
    match &machine.kernel {
        Ok(kernel) => (Health::Ok, format!("{} {}", kernel.release, kernel.arch)),
        Err(error) => (Health::Unavailable, words(error)),
    }
}

fn btf(machine: &Machine) -> Line {
    match &machine.types {
        Some(Ok(types)) => (Health::Ok, format!("{types} types")),
        Some(Err(error)) => (Health::Unavailable, error.clone()),
        None => (Health::Unavailable, "none: this kernel was built without CONFIG_DEBUG_INFO_BTF".to_owned()),
    }
}

fn lockdown(machine: &Machine) -> Line {
    let lockdown = machine.kernel.as_ref().map_or(Lockdown::Unknown, |kernel| kernel.lockdown);
    let note = match lockdown {
        Lockdown::None => return (Health::Ok, lockdown.name().to_owned()),
        Lockdown::Integrity => "forbids nothing that Sockeye does",
        Lockdown::Confidentiality => {
            "typed loads still work, classic tracepoints (failures before a SYN) do not"
        }
        Lockdown::Unknown => "securityfs is not mounted or not readable",
    };
    let health = if lockdown == Lockdown::Confidentiality { Health::Degraded } else { Health::Ok };
    (health, format!("{}: {note}", lockdown.name()))
}

fn capabilities(machine: &Machine) -> Line {
    let capabilities = match &machine.capabilities {
        Ok(capabilities) => capabilities,
        Err(error) => return (Health::Unavailable, words(error)),
    };
    if let Err(error) = capabilities.check(&machine.exe) {
        return (Health::Unavailable, error.to_string());
    }
    if capabilities.has(Capability::SysPtrace) || capabilities.has(Capability::SysAdmin) {
        return (Health::Ok, capabilities.to_string());
    }
    let lacks = "without CAP_SYS_PTRACE the network namespaces of other users' processes are not seen";
    (Health::Degraded, format!("{capabilities}; {lacks}"))
}

fn cgroup(machine: &Machine) -> Line {
    let (mode, root) = match &machine.cgroups {
        Some((mode, root)) => {
            (*mode, root.as_ref().map(|root| root.display().to_string()).unwrap_or_default())
        }
        None => return (Health::Degraded, "unknown: the list of mounts cannot be read".to_owned()),
    };
    match mode {
        Mode::Unified => (Health::Ok, format!("{} at {root}", mode.name())),
        Mode::Hybrid => {
            let place =
                if root.is_empty() { "v2 not mounted here".to_owned() } else { format!("v2 at {root}") };
            let text = format!("{}, {place}: what is placed in v1 only shows as v2's root", mode.name());
            (Health::Degraded, text)
        }
        Mode::Legacy => (Health::Degraded, format!("{}: a socket's cgroup is always v2's root", mode.name())),
        Mode::None => (Health::Degraded, format!("{}: ids of cgroups have no paths", mode.name())),
    }
}

fn tracefs(machine: &Machine) -> Line {
    if machine.tracefs {
        (Health::Ok, "readable".to_owned())
    } else {
        (Health::Degraded, "not mounted or not readable: failures before a SYN are not seen".to_owned())
    }
}

fn rings(machine: &Machine) -> Line {
    let limits = &machine.limits;
    let (bulk, rare, page) = (bytes(limits.ring), bytes(limits.ring / 8), bytes(limits.page));
    (Health::Ok, format!("{bulk} and {rare} by default, in pages of {page}"))
}

fn maps(machine: &Machine) -> Line {
    let locks = machine.kernel.as_ref().is_ok_and(|kernel| kernel.locks_memory());
    let lifts = machine.capabilities.as_ref().is_ok_and(|has| has.has(Capability::SysResource));
    match (locks, machine.limits.memlock) {
        (false, _) => (Health::Ok, "counted as this process's memory".to_owned()),
        (true, None) => (Health::Ok, "locked memory is unlimited".to_owned()),
        (true, Some(limit)) if lifts => (
            Health::Ok,
            format!("locked memory is limited to {}, which CAP_SYS_RESOURCE lifts", bytes(limit)),
        ),
        (true, Some(limit)) => {
            let remedy = "raise it with `ulimit -l unlimited` or grant CAP_SYS_RESOURCE";
            (Health::Unavailable, format!("locked memory is limited to {}: {remedy}", bytes(limit)))
        }
    }
}

fn jit(machine: &Machine) -> Line {
    let jit = machine.limits.jit;
    let mut slow = Vec::new();
    if jit == Some(false) {
        slow.push("off, programs are interpreted: `sysctl net.core.bpf_jit_enable=1`");
    }
    if machine.limits.stats {
        slow.push("every program is measured, which slows it: `sysctl kernel.bpf_stats_enabled=0`");
    }
    match (slow.is_empty(), jit) {
        (false, _) => (Health::Degraded, slow.join("; ")),
        (true, Some(_)) => (Health::Ok, "on".to_owned()),
        (true, None) => (Health::Ok, "unknown: not readable".to_owned()),
    }
}

/// A size in the unit that has the fewest digits without a fraction.
fn bytes(bytes: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    UNITS
        .iter()
        .find(|(unit, _)| bytes >= *unit && bytes.is_multiple_of(*unit))
        .map_or_else(|| format!("{bytes} bytes"), |(unit, name)| format!("{} {name}", bytes / unit))
}
