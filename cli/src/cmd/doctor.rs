//! `sockeye doctor`: what works on this machine, what does not, and why.

use std::{fmt::Write as _, process::ExitCode};

use agent::{
    doctor::{self, Health, Note, Report, Support, ToolReport},
    engine::{Config, Engine},
    event::EventKind,
    filter::Filter,
    host::Roots,
};
use serde::Serialize;
use tokio::runtime::Runtime;

use crate::{args::DoctorOutput, escape, machine::one_line};

/// Prints the report. Exit code: 0 all tools work, 1 one works with less, 2 one does not work.
pub fn run(output: DoctorOutput) -> ExitCode {
    let report = examine();
    let printed = match output {
        DoctorOutput::Text => super::print(text(&report).as_bytes()),
        DoctorOutput::Json => super::print(format!("{}\n", json(&report)).as_bytes()),
    };
    if printed == ExitCode::SUCCESS { ExitCode::from(exit_code(&report)) } else { printed }
}

/// Looks at the machine, and tries: loads everything that any tool needs, for a moment.
fn examine() -> Report {
    let machine = doctor::inspect(&Roots::default());
    let config = Config {
        kinds: EventKind::ALL.into_iter().collect(),
        filter: Filter::default(),
        ring_bytes: SMALL_RING,
        syscall_failures: true,
        snapshot: true,
        names: false,
        roots: Roots::default(),
        pinned_cgroup: None,
        pinned_mntns: None,
        shared: false,
    };
    // Rings are watched by a runtime, if only for the time that it takes to drop them.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let _inside = runtime.as_ref().map(Runtime::enter);
    match Engine::load(&config) {
        Ok(engine) => doctor::report(&machine, Support::Loads(engine.degraded())),
        Err(error) => doctor::report(&machine, Support::Refused(&one_line(&error))),
    }
}

/// Enough to load with; nothing is read from it.
const SMALL_RING: u32 = 4096;

fn exit_code(report: &Report) -> u8 {
    match report.health() {
        Health::Ok => 0,
        Health::Degraded => 1,
        Health::Unavailable => 2,
    }
}

const fn word(health: Health) -> &'static str {
    match health {
        Health::Ok => "ok",
        Health::Degraded => "degraded",
        Health::Unavailable => "unavailable",
    }
}

/// For people: a line a fact, a line a tool, and under it what is missing, why, and what would help.
fn text(report: &Report) -> String {
    const NAME: usize = 14;
    const HEALTH: usize = 13;
    const INDENT: usize = NAME + HEALTH;
    let mut text = String::new();
    for fact in &report.facts {
        let health =
            if fact.health == Health::Ok { String::new() } else { format!("  ({})", word(fact.health)) };
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{:<NAME$}{}{health}", fact.name, escape::line(&fact.value));
    }
    text.push('\n');
    let mut before: Option<&ToolReport> = None;
    for tool in &report.tools {
        let mut head = format!("{:<NAME$}{:<HEALTH$}", tool.tool, word(tool.health));
        let same = before.filter(|before| !tool.notes.is_empty() && before.notes == tool.notes);
        if let Some(before) = same {
            let _ = writeln!(text, "{head}as {}", before.tool);
            continue;
        }
        if tool.notes.is_empty() {
            let _ = writeln!(text, "{}", head.trim_end());
        }
        for Note { effect, reason, remedy } in &tool.notes {
            let _ = writeln!(text, "{head:<INDENT$}{}", escape::line(effect));
            let _ = writeln!(text, "{:<INDENT$}why: {}", "", escape::line(reason));
            if let Some(remedy) = remedy {
                let _ = writeln!(text, "{:<INDENT$}fix: {}", "", escape::line(remedy));
            }
            head.clear();
        }
        before = Some(tool);
    }
    text
}

/// The report as one JSON object; docs/json.md has its schema.
#[derive(Serialize)]
struct Object<'a> {
    health: &'static str,
    facts: Vec<FactObject<'a>>,
    tools: Vec<ToolObject<'a>>,
}

#[derive(Serialize)]
struct FactObject<'a> {
    name: &'static str,
    health: &'static str,
    value: &'a str,
}

#[derive(Serialize)]
struct ToolObject<'a> {
    tool: &'static str,
    health: &'static str,
    notes: Vec<NoteObject<'a>>,
}

#[derive(Serialize)]
struct NoteObject<'a> {
    effect: &'a str,
    reason: &'a str,
    remedy: Option<&'a str>,
}

impl<'a> NoteObject<'a> {
    fn of(note: &'a Note) -> Self {
        Self { effect: &note.effect, reason: &note.reason, remedy: note.remedy.as_deref() }
    }
}

fn json(report: &Report) -> String {
    let object = Object {
        health: word(report.health()),
        facts: report
            .facts
            .iter()
            .map(|fact| FactObject { name: fact.name, health: word(fact.health), value: &fact.value })
            .collect(),
        tools: report
            .tools
            .iter()
            .map(|tool| ToolObject {
                tool: tool.tool,
                health: word(tool.health),
                notes: tool.notes.iter().map(NoteObject::of).collect(),
            })
            .collect(),
    };
    serde_json::to_string(&object).expect("strings and lists always have a JSON form")
}

#[cfg(test)]
mod tests {
    use agent::doctor::{Fact, Health, Note, Report, ToolReport};

    use super::{exit_code, json, text};

    fn report(health: Health) -> Report {
        let note = Note {
            effect: "accept() is seen late".to_owned(),
            reason: "fexit refused\x1b[2J".to_owned(),
            remedy: Some("another kernel".to_owned()),
        };
        let tool = |tool, health, notes| ToolReport { tool, health, notes };
        Report {
            facts: vec![
                Fact { name: "kernel", health: Health::Ok, value: "6.18.44".to_owned() },
                Fact { name: "cgroup", health: Health::Degraded, value: "hybrid".to_owned() },
            ],
            tools: vec![
                tool("tcplife", Health::Ok, Vec::new()),
                tool("tcpaccept", health, vec![note.clone()]),
                tool("tcptracer", health, vec![note]),
            ],
        }
    }

    #[test]
    fn people_read_facts_then_tools_with_why_and_fix() {
        assert_eq!(
            text(&report(Health::Degraded)),
            "\
kernel        6.18.44
cgroup        hybrid  (degraded)

tcplife       ok
tcpaccept     degraded     accept() is seen late
                           why: fexit refused\\x1b[2J
                           fix: another kernel
tcptracer     degraded     as tcpaccept
"
        );
    }

    #[test]
    fn programs_read_the_same_as_json() {
        assert_eq!(
            json(&report(Health::Unavailable)),
            r#"{"health":"unavailable","facts":[{"name":"kernel","health":"ok","value":"6.18.44"},{"name":"cgroup","health":"degraded","value":"hybrid"}],"tools":[{"tool":"tcplife","health":"ok","notes":[]},{"tool":"tcpaccept","health":"unavailable","notes":[{"effect":"accept() is seen late","reason":"fexit refused\u001b[2J","remedy":"another kernel"}]},{"tool":"tcptracer","health":"unavailable","notes":[{"effect":"accept() is seen late","reason":"fexit refused\u001b[2J","remedy":"another kernel"}]}]}"#
        );
    }

    #[test]
    fn the_exit_code_is_that_of_the_worst_tool() {
        assert_eq!(exit_code(&report(Health::Ok)), 0);
        assert_eq!(exit_code(&report(Health::Degraded)), 1);
        assert_eq!(exit_code(&report(Health::Unavailable)), 2);
    }
}
