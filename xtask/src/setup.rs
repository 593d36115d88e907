//! `cargo xtask setup`: what building and testing take. The normal way first (rustup, cargo install, apt),
//! a second way where there is one; what is there already is left alone.

mod debian;
mod linker;
mod rust;

use std::{fmt, process::ExitCode};

use anyhow::Result;

use crate::tools::{self, Have, Tool};

#[derive(clap::Args)]
pub struct Arguments {
    /// Only what building takes
    #[arg(long)]
    build_only: bool,
}

/// How much is needed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// To build and run.
    Build,
    /// To test and measure, too.
    Everything,
}

/// What static executables are built for.
pub struct Target {
    /// The target triple.
    pub triple: String,
    /// Flags that make the executables static where the target alone does not.
    pub rustflags: Option<&'static str>,
}

/// What became of one thing.
pub enum Outcome {
    /// It was there.
    Found,
    /// It was not, and now is; how.
    Installed(&'static str),
    /// Another thing takes its place.
    Replaced(&'static str),
    /// It is not to be had here; why.
    Missing(String),
}

/// One thing, by name, and what became of it.
pub struct Step {
    name: String,
    outcome: Outcome,
}

impl fmt::Display for Step {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = &self.name;
        match &self.outcome {
            Outcome::Found => write!(formatter, "{name}: there"),
            Outcome::Installed(how) => write!(formatter, "{name}: installed by {how}"),
            Outcome::Replaced(by) => write!(formatter, "{name}: not to be had; {by} instead"),
            Outcome::Missing(why) => write!(formatter, "{name}: missing: {why}"),
        }
    }
}

pub fn main(arguments: &Arguments) -> Result<ExitCode> {
    let scope = if arguments.build_only { Scope::Build } else { Scope::Everything };
    // Whoever asks for it gets another attempt at what was not to be had.
    rust::forget_replacement();
    set_up(scope, |step| println!("{step}"))?;
    // Only on request: they take minutes, and what needs one builds it.
    if scope == Scope::Everything {
        for tool in &tools::ALL {
            println!("{}", built(tool));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Sets up what is not there yet, and mentions only that.
pub fn ensure(scope: Scope) -> Result<Target> {
    set_up(scope, |step| {
        if !matches!(step.outcome, Outcome::Found) {
            eprintln!("{step}");
        }
    })
}

fn set_up(scope: Scope, mut tell: impl FnMut(&Step)) -> Result<Target> {
    let toolchain = rust::Toolchain::active()?;
    tell(&toolchain.source()?);
    let (target, step) = toolchain.static_target()?;
    tell(&step);
    tell(&linker::install()?);
    if scope == Scope::Everything {
        for step in debian::install() {
            tell(&step);
        }
    }
    Ok(target)
}

/// A Go tool. One that does not build is no reason to stop: whatever needs it says so again.
fn built(tool: &Tool) -> Step {
    let outcome = if tool.is_there() {
        Outcome::Found
    } else {
        match tool.get() {
            Ok(Have::Yes(_)) => Outcome::Installed("go install"),
            Ok(Have::No(why)) => Outcome::Missing(why),
            Err(error) => Outcome::Missing(format!("{error:#}")),
        }
    };
    Step { name: format!("{} {}", tool.name, tool.version), outcome }
}

/// Whether to act as if rustup could add nothing: so the second way can be tested where the first one works.
/// What is there already is used all the same.
fn without_rustup() -> bool {
    std::env::var_os("SOCKEYE_SETUP_WITHOUT_RUSTUP").is_some_and(|value| value == "1")
}
