//! The verdict for each tool: what it needs, what the engine could not have, and what would fix it.

use agent_common::fields::Need;

use super::{Health, Machine, Note, Support, ToolReport, machine::words};
use crate::{
    engine::Degraded,
    host::{
        capability::{CapabilityError, grant},
        kernel::{Kernel, Lockdown},
    },
    probes::{self, Probe},
};

/// A tool and the probes, by their names in the probe table, without which it shows less.
pub(super) struct Tool {
    pub(super) name: &'static str,
    pub(super) probes: &'static [&'static str],
    needs: &'static [Need],
    /// The probe whose events it shows: without it there is nothing.
    own: &'static Probe,
}

/// Fields that show in every tool or can be filtered for in every tool.
macro_rules! and_common {
    ($($need:ident),*) => {
        &[Need::Cgroup, Need::CgroupTree, Need::MountNamespace, Need::StartTime, $(Need::$need),*]
    };
}

/// What each tool takes. Nothing works without `state`.
pub(super) const TOOLS: [Tool; 8] = [
    Tool {
        name: "tcpstates",
        probes: &["state", "destroy", "usage", "cgroup", "snapshot"],
        needs: and_common!(Snapshot),
        own: &probes::STATE,
    },
    Tool {
        name: "tcpconnect",
        probes: &["state", "cgroup", "sys_connect"],
        needs: and_common!(SyscallConnect),
        own: &probes::STATE,
    },
    Tool {
        name: "tcpconnlat",
        probes: &["state", "cgroup", "sys_connect"],
        needs: and_common!(SyscallConnect),
        own: &probes::STATE,
    },
    Tool {
        name: "tcplife",
        probes: &["state", "destroy", "usage", "cgroup", "snapshot"],
        needs: and_common!(Snapshot, Counters),
        own: &probes::STATE,
    },
    Tool {
        name: "tcpaccept",
        probes: &["state", "accept", "cgroup", "snapshot"],
        needs: and_common!(Snapshot, Backlog),
        own: &probes::STATE,
    },
    Tool {
        name: "tcptracer",
        probes: &["state", "destroy", "accept", "cgroup", "snapshot"],
        needs: and_common!(Snapshot),
        own: &probes::STATE,
    },
    Tool {
        name: "tcpretrans",
        probes: &["retransmit", "state", "usage", "cgroup", "snapshot"],
        needs: and_common!(Snapshot, Retransmit),
        own: &probes::RETRANSMIT_TWO_ARGS,
    },
    Tool {
        name: "tcpreset",
        probes: &["reset", "socket_error", "state", "usage", "cgroup", "snapshot"],
        needs: and_common!(Snapshot, SocketError, Packet),
        own: &probes::RECEIVE_RESET,
    },
];

/// What the engine calls an absent field: its [`Degraded::what`]; the effect is then the need's name.
const FIELDS: &str = "fields";

/// The probe without which there are no events.
const STATE: &str = "state";

pub(super) fn tools(machine: &Machine, support: Support<'_>) -> Vec<ToolReport> {
    let tried = tried(machine, support);
    let report = |tool: &Tool| match &tried {
        Ok(degraded) => verdict(machine, degraded, tool),
        Err(note) => ToolReport { tool: tool.name, health: Health::Unavailable, notes: vec![note.clone()] },
    };
    TOOLS.iter().map(report).collect()
}

/// What the engine had to do without; or why nothing works at all, the first cause first: what the kernel
/// then says is only the consequence.
fn tried<'a>(machine: &Machine, support: Support<'a>) -> Result<&'a [Degraded], Note> {
    const TYPES: &str = "run a kernel with CONFIG_DEBUG_INFO_BTF=y, 5.15 or later";
    let refusal = |reason: String, remedy: Option<String>| {
        Err(Note { effect: without(Need::Engine).to_owned(), reason, remedy })
    };
    match &machine.types {
        None => {
            return refusal(
                "this kernel does not show its types (no BTF)".to_owned(),
                Some(TYPES.to_owned()),
            );
        }
        Some(Err(error)) => return refusal(error.clone(), Some(TYPES.to_owned())),
        Some(Ok(_)) => {}
    }
    match machine.capabilities.as_ref().map(|capabilities| capabilities.check(&machine.exe)) {
        Ok(Err(CapabilityError::Missing { missing, exe })) => {
            let remedy = format!("run with sudo, or grant once with `{}`", grant(&missing.0, &exe));
            return refusal(format!("{missing} missing"), Some(remedy));
        }
        Ok(Err(error)) => return refusal(words(&error), None),
        // If procfs does not say, the kernel has the word.
        Ok(Ok(())) | Err(_) => {}
    }
    match support {
        Support::Loads(degraded) => Ok(degraded),
        Support::Refused(reason) => {
            let version = machine.kernel.as_ref().ok().and_then(Kernel::version);
            let old = version.is_some_and(|version| version < (5, 15));
            refusal(reason.to_owned(), old.then(|| "run Linux 5.15 or later".to_owned()))
        }
    }
}

fn verdict(machine: &Machine, degraded: &[Degraded], tool: &Tool) -> ToolReport {
    let mut notes: Vec<Note> = Vec::new();
    let mut health = Health::Ok;
    for missing in degraded {
        let Some(effect) = effect(tool, missing) else { continue };
        let own = missing.what == tool.own.name && missing.effect == tool.own.effect;
        let fields = need(missing).is_some_and(|need| tool.own.needs.contains(&need));
        let gone = own || missing.what == STATE || fields;
        health = health.max(if gone { Health::Unavailable } else { Health::Degraded });
        // Several programs, or a program and its fields, can be missing for one feature.
        match notes.iter_mut().find(|note| note.effect == effect) {
            Some(note) if note.reason.contains(&missing.reason) => {}
            Some(note) => note.reason = format!("{}; {}", note.reason, missing.reason),
            None => notes.push(Note {
                effect: effect.to_owned(),
                reason: missing.reason.clone(),
                remedy: remedy(machine, missing).map(str::to_owned),
            }),
        }
    }
    ToolReport { tool: tool.name, health, notes }
}

/// What the user of the tool with this name notices of something that is missing; `None` where nothing.
pub fn concern(tool: &str, missing: &Degraded) -> Option<&'static str> {
    TOOLS.iter().find(|known| known.name == tool).and_then(|tool| effect(tool, missing))
}

/// What the tool's user notices of something that is missing; `None` where the tool does not need it.
fn effect(tool: &Tool, missing: &Degraded) -> Option<&'static str> {
    match need(missing) {
        None => tool.probes.contains(&missing.what).then_some(missing.effect),
        Some(Need::Engine) => Some("no events"),
        Some(need) => tool.needs.contains(&need).then(|| without(need)),
    }
}

/// For absent fields, what needs them.
fn need(missing: &Degraded) -> Option<Need> {
    const ALL: [Need; 14] = [
        Need::Engine,
        Need::Counters,
        Need::Cgroup,
        Need::CgroupTree,
        Need::MountNamespace,
        Need::StartTime,
        Need::Snapshot,
        Need::Backlog,
        Need::SyscallConnect,
        Need::CgroupNames,
        Need::Places,
        Need::Retransmit,
        Need::SocketError,
        Need::Packet,
    ];
    ALL.into_iter().find(|need| missing.what == FIELDS && need.name() == missing.effect)
}

/// What the user notices where fields are absent. Where a probe goes with them, in its words.
const fn without(need: Need) -> &'static str {
    match need {
        Need::Engine => probes::STATE.effect,
        Need::Counters => "bytes, segments and round-trip times at close are unknown",
        Need::Cgroup => "the cgroup of a socket is unknown and cannot be filtered for",
        Need::CgroupTree => probes::CGROUP.effect,
        Need::MountNamespace => "the mount namespace of a process is unknown and cannot be filtered for",
        Need::StartTime => "the start time of a process is unknown",
        Need::Snapshot => probes::FILES.effect,
        Need::Backlog => "the length of the accept queue is unknown",
        Need::SyscallConnect => probes::ENTER_CONNECT.effect,
        Need::CgroupNames => probes::CGROUP_NAMED.effect,
        Need::Places => probes::TASKS.effect,
        Need::Retransmit => probes::RETRANSMIT_TWO_ARGS.effect,
        Need::SocketError => probes::SOCKET_ERROR.effect,
        Need::Packet => probes::SEND_RESET_PACKET.effect,
    }
}

/// What would fix it, if something on this machine or another kernel can.
fn remedy(machine: &Machine, missing: &Degraded) -> Option<&'static str> {
    let lockdown = machine.kernel.as_ref().map_or(Lockdown::Unknown, |kernel| kernel.lockdown);
    let absent = missing.reason.contains("is not in this kernel");
    Some(match missing.what {
        "accept" => "use a kernel and a host policy that allow fexit programs",
        "usage" if absent => "run Linux 6.3 or later",
        "sys_connect" if lockdown == Lockdown::Confidentiality => "boot without lockdown=confidentiality",
        "sys_connect" if !machine.tracefs => {
            "run as root with tracefs mounted: `mount -t tracefs tracefs /sys/kernel/tracing`"
        }
        FIELDS => "run a newer kernel",
        _ => return None,
    })
}
