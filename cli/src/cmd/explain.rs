//! `--explain`: what of a command line runs in the kernel, and what is done here.

use std::fmt::Write as _;

use agent::{engine::Config, event::Family, filter::Conjunction};

use crate::{args::Plan, message};

/// The explanation, several lines.
pub fn explain(plan: &Plan, config: &Config) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let mut line = |name: &str, value: &str| _ = writeln!(text, "{name:<12}{value}");
    let kinds: Vec<&str> = config.kinds.iter().map(agent::event::EventKind::name).collect();
    line("in kernel", &format!("events {}", kinds.join(", ")));
    match config.filter.allow.first() {
        Some(conjunction) => {
            for condition in conditions(conjunction, config) {
                line("", &condition);
            }
            line("", "all of these must hold; the verdict is kept with the socket");
        }
        None => line("", "no filter: every socket"),
    }
    if config.syscall_failures {
        line("", "also connects that fail before the socket's state changes, at the return of connect()");
    }
    for step in steps_here(plan) {
        line("here", &step);
    }
    line(
        "rings",
        &format!("{} for bulk events, an eighth of it for rare ones", message::size(config.ring_bytes)),
    );
    text
}

fn conditions(conjunction: &Conjunction, config: &Config) -> Vec<String> {
    let mut conditions = Vec::new();
    let mut one = |name: &str, values: Vec<String>| {
        if !values.is_empty() {
            conditions.push(format!("{name} {}", values.join(" or ")));
        }
    };
    let numbers = |numbers: &[u32]| numbers.iter().map(u32::to_string).collect::<Vec<_>>();
    let ports = |ports: &[u16]| ports.iter().map(u16::to_string).collect::<Vec<_>>();
    let prefixes = |prefixes: &[agent::filter::Prefix]| {
        prefixes.iter().map(|prefix| format!("{}/{}", prefix.address, prefix.length)).collect::<Vec<_>>()
    };
    one("network namespace", numbers(&conjunction.netns));
    one("cgroup, with all below it now and later,", conjunction.cgroups.iter().map(u64::to_string).collect());
    one("process", numbers(&conjunction.pids));
    one("user", numbers(&conjunction.uids));
    let family = conjunction.family.map(|family| match family {
        Family::V4 => "IPv4 (also v4-mapped)",
        Family::V6 => "IPv6",
    });
    one("family", family.map(str::to_owned).into_iter().collect());
    one("local port", ports(&conjunction.local_ports));
    one("remote port", ports(&conjunction.remote_ports));
    one("local address in", prefixes(&conjunction.local_prefixes));
    one("remote address in", prefixes(&conjunction.remote_prefixes));
    let map =
        |path: &Option<std::path::PathBuf>| path.iter().map(|path| path.display().to_string()).collect();
    one("cgroup in the pinned map", map(&config.pinned_cgroup));
    one("mount namespace in the pinned map", map(&config.pinned_mntns));
    conditions
}

fn steps_here(plan: &Plan) -> Vec<String> {
    let options = &plan.options;
    let mut steps = Vec::new();
    if !options.min_latency.is_zero() {
        let ms = options.min_latency.as_secs_f64() * 1000.0;
        steps.push(format!("connects faster than {ms} ms are left out"));
    }
    if options.failed && plan.tool == crate::tool::Tool::Tcpconnect {
        steps.push("connects that succeeded are left out".to_owned());
    }
    if options.count {
        steps.push("connects are counted".to_owned());
    }
    if options.dns {
        steps.push("names are asked of the system's resolver, on threads of their own".to_owned());
    }
    steps
}
