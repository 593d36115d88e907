//! The tools that are compared: what they are called, how they are started, which can run here.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    process::Command,
};

use super::running::{Output, Running};
use crate::process;

/// Ours.
pub const OUR_STATES: &str = "sockeye tcpstates";
pub const OUR_LIFE: &str = "sockeye tcplife";
/// Debian's libbpf-tools.
pub const STATES: &str = "tcpstates";
pub const LIFE: &str = "tcplife";
/// bpftrace, at the same tracepoint.
pub const COUNT: &str = "bpftrace count";
pub const PRINT: &str = "bpftrace printf";

/// The program of ours that every state event runs; others have one program only.
const OUR_STATE_PROGRAM: &str = "set_state";

/// The packages that the peers come from.
pub const PACKAGES: [&str; 3] = ["libbpf-tools", "bpftrace", "iproute2"];

/// A tool that watches connections.
#[derive(Clone, Debug)]
pub struct Tool {
    pub name: &'static str,
    program: PathBuf,
    arguments: Vec<OsString>,
    kind: Kind,
    beside: Option<Beside>,
}

/// Who has to run beside a tool, so that it has something to do.
#[derive(Clone, Debug)]
pub struct Beside {
    pub program: PathBuf,
    pub arguments: Vec<OsString>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Sockeye,
    Libbpf,
    Bpftrace,
    /// Serves one who runs beside it.
    Agent,
}

impl Tool {
    fn new(name: &'static str, kind: Kind, program: &Path, arguments: &[&str]) -> Self {
        let arguments = arguments.iter().map(Into::into).collect();
        Self { name, program: program.to_owned(), arguments, kind, beside: None }
    }

    /// A program of ours that makes a ready file.
    pub fn own(name: &'static str, program: &Path, arguments: &[&str]) -> Self {
        Self::new(name, Kind::Sockeye, program, arguments)
    }

    /// An agent with its subscriber, which makes the ready file.
    pub fn agent(name: &'static str, program: &Path, arguments: Vec<OsString>, subscriber: Beside) -> Self {
        let program = program.to_owned();
        Self { name, program, arguments, kind: Kind::Agent, beside: Some(subscriber) }
    }

    /// Who runs beside it.
    pub fn beside(&self) -> Option<&Beside> {
        self.beside.as_ref()
    }

    pub fn is_ours(&self) -> bool {
        matches!(self.kind, Kind::Sockeye | Kind::Agent)
    }

    /// Whether it writes something for every connection.
    pub fn prints(&self) -> bool {
        self.name != COUNT
    }

    /// Whether its first line comes with the first change of a connection's state; else with its end.
    pub fn prints_states(&self) -> bool {
        matches!(self.name, OUR_STATES | STATES | PRINT)
    }

    /// The tool of ours that does the same.
    pub fn counterpart(&self) -> Option<&'static str> {
        match self.name {
            OUR_STATES | STATES | PRINT => Some(OUR_STATES),
            OUR_LIFE | LIFE => Some(OUR_LIFE),
            _ => None,
        }
    }

    /// Whether it attaches by links, so that the moment can be seen from outside. bpftrace has none.
    pub fn has_links(&self) -> bool {
        self.kind != Kind::Bpftrace
    }

    /// The program that runs for every state event; `None`: it has but one.
    pub fn state_program(&self) -> Option<&'static str> {
        self.is_ours().then_some(OUR_STATE_PROGRAM)
    }

    /// How it is started. Lines at once, if they are wanted: of libbpf-tools' output nothing comes out of a
    /// pipe before 4 KiB of it are there.
    pub fn command(&self, lines_at_once: bool) -> Command {
        let mut command = match self.kind {
            Kind::Libbpf if lines_at_once => {
                let mut command = Command::new("stdbuf");
                command.arg("--output=L").arg(&self.program);
                command
            }
            _ => Command::new(&self.program),
        };
        command.args(&self.arguments);
        if self.kind == Kind::Agent {
            // It reads its settings from variables, too.
            command.env_clear();
        }
        if self.kind == Kind::Bpftrace && lines_at_once {
            command.args(["-B", "line"]);
        }
        command
    }
}

/// The tools that can run here, and why the others cannot.
pub fn available(sockeye: &Path) -> (Vec<Tool>, Vec<Absent>) {
    let mut tools = vec![
        Tool::new(OUR_STATES, Kind::Sockeye, sockeye, &["trace", "tcpstates"]),
        Tool::new(OUR_LIFE, Kind::Sockeye, sockeye, &["trace", "tcplife"]),
    ];
    let mut absent = Vec::new();
    for (name, kind, program, arguments) in PEERS {
        let Some(path) = process::find(program) else {
            absent.push(Absent { name, why: format!("no program {program}") });
            continue;
        };
        tools.push(Tool::new(name, kind, &path, arguments));
    }
    tools.retain(|tool| match Running::start(tool, Output::Nowhere).and_then(Running::stop) {
        Ok(_) => true,
        Err(error) => {
            absent.push(Absent { name: tool.name, why: format!("{error:#}") });
            false
        }
    });
    (tools, absent)
}

/// A tool that is left out.
pub struct Absent {
    pub name: &'static str,
    pub why: String,
}

const PEERS: [(&str, Kind, &str, &[&str]); 4] = [
    (STATES, Kind::Libbpf, "tcpstates", &[]),
    (LIFE, Kind::Libbpf, "tcplife", &[]),
    (COUNT, Kind::Bpftrace, "bpftrace", &["-e", "tracepoint:sock:inet_sock_set_state { @ = count(); }"]),
    (
        PRINT,
        Kind::Bpftrace,
        "bpftrace",
        &[
            "-e",
            "tracepoint:sock:inet_sock_set_state { printf(\"%d %s %d %d %d %d\\n\", pid, comm, args->sport, \
             args->dport, args->oldstate, args->newstate); }",
        ],
    ),
];
