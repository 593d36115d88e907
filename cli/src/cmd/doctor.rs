//! `sockeye doctor`: what works on this machine, what does not, and why.

use std::{fmt::Write as _, process::ExitCode};

use agent::doctor::{Health, Note, Report};
use serde_json::{Value, json};

use crate::{args::DoctorOutput, escape, message};

/// Prints the report. Exit code: 0 all tools work, 1 one works with less, 2 one does not work.
pub fn run(output: DoctorOutput) -> ExitCode {
    let _ = (output, text, object, exit_code);
    message::error("the examination is not in this build yet");
    ExitCode::FAILURE
}

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

/// For people: a line a fact, a line a tool, a line a note.
fn text(report: &Report) -> String {
    const NAME: usize = 14;
    const HEALTH: usize = 13;
    let mut text = String::new();
    for fact in &report.facts {
        let health =
            if fact.health == Health::Ok { String::new() } else { format!("  ({})", word(fact.health)) };
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{:<NAME$}{}{health}", fact.name, escape::line(&fact.value));
    }
    text.push('\n');
    for tool in &report.tools {
        let mut name = tool.tool;
        let mut health = word(tool.health);
        if tool.notes.is_empty() {
            let _ = writeln!(text, "{name:<NAME$}{health}");
        }
        for note in &tool.notes {
            let _ = writeln!(text, "{name:<NAME$}{health:<HEALTH$}{}", sentence(note));
            (name, health) = ("", "");
        }
    }
    text
}

fn sentence(note: &Note) -> String {
    let remedy = note.remedy.as_ref().map(|remedy| format!("; {remedy}")).unwrap_or_default();
    escape::line(&format!("{}: {}{remedy}", note.effect, note.reason))
}

/// One JSON object; docs/json.md has its schema.
fn object(report: &Report) -> Value {
    let facts = report
        .facts
        .iter()
        .map(|fact| json!({ "name": fact.name, "health": word(fact.health), "value": fact.value }));
    let tools = report.tools.iter().map(|tool| {
        let notes = tool
            .notes
            .iter()
            .map(|note| json!({ "effect": note.effect, "reason": note.reason, "remedy": note.remedy }));
        json!({ "tool": tool.tool, "health": word(tool.health), "notes": notes.collect::<Vec<_>>() })
    });
    json!({
        "health": word(report.health()),
        "facts": facts.collect::<Vec<_>>(),
        "tools": tools.collect::<Vec<_>>(),
    })
}
