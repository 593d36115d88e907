//! `--explain`: what of a command line runs in the kernel, and what is done here.

use std::fmt::Write as _;

use agent::engine::Config;

use crate::{args::Plan, message};

/// The explanation, several lines.
pub fn explain(plan: &Plan, config: &Config) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let mut line = |name: &str, value: &str| _ = writeln!(text, "{name:<12}{value}");
    let kinds: Vec<&str> = config.kinds.iter().map(agent_common::event::EventKind::name).collect();
    line("in kernel", &format!("events {}", kinds.join(", ")));
    for condition in agent::filter::compile::explain(&config.filter) {
        line("", &condition);
    }
    line("", "the verdict is kept with the socket");
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
