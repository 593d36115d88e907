//! What each tool can and cannot have on this machine, and why: the facts behind `sockeye doctor`.
//!
//! [`inspect`] looks at the machine, the engine tries what it can attach ([`Support`]), and [`report`] turns
//! both into verdicts, purely.

mod facts;
mod machine;
#[cfg(test)]
mod tests;
mod tools;

pub use self::{
    machine::{Limits, Machine, inspect},
    tools::concern,
};
use crate::engine::Degraded;

/// How well a tool or a feature works here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Health {
    /// Everything.
    Ok,
    /// It works, with less.
    Degraded,
    /// It does not work.
    Unavailable,
}

/// The verdict for one tool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolReport {
    /// The tool's name (`tcplife`).
    pub tool: &'static str,
    /// The verdict.
    pub health: Health,
    /// One line each: what is missing, what the user will notice, why, what would fix it.
    pub notes: Vec<Note>,
}

/// One thing that is missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// What the user will notice.
    pub effect: String,
    /// Why.
    pub reason: String,
    /// What would fix it, if anything on this machine can.
    pub remedy: Option<String>,
}

/// One line about the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fact {
    /// Its name: `kernel`, `btf`, `lockdown`, `capabilities`, `cgroup`, `tracefs`, `rings`, `maps`, `jit`.
    pub name: &'static str,
    /// How it is.
    pub health: Health,
    /// What was found, one line.
    pub value: String,
}

/// The whole report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The machine.
    pub facts: Vec<Fact>,
    /// The tools.
    pub tools: Vec<ToolReport>,
}

impl Report {
    /// The worst health of any tool.
    pub fn health(&self) -> Health {
        self.tools.iter().map(|tool| tool.health).max().unwrap_or(Health::Ok)
    }
}

/// What the engine found out by trying.
#[derive(Clone, Copy, Debug)]
pub enum Support<'a> {
    /// It loads everything but these.
    Loads(&'a [Degraded]),
    /// It does not load at all, for this reason.
    Refused(&'a str),
}

/// The verdicts, from what the machine is and what the engine could do on it.
pub fn report(machine: &Machine, support: Support<'_>) -> Report {
    Report { facts: facts::facts(machine), tools: tools::tools(machine, support) }
}
