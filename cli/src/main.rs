//! The command `sockeye`: reads its arguments, runs a verb, turns its end into an exit code.
//!
//! ```text
//! args      the command line as text                         (pure)
//! request   looked up on this machine -> agent's Config
//! view      events -> rows, per tool                         (pure)
//! render    rows -> text: bcc's columns, JSON, CSV           (pure)
//! output    the sink: buffer, standard output, journal
//! cmd       the verbs
//! ```
//!
//! Exit codes: 0 done or stopped by a signal, 1 the run failed, 64 the command line is wrong. `doctor` has
//! its own (see its help).

#![cfg_attr(
    not(feature = "node"),
    expect(dead_code, reason = "views and renderers serve the node's verbs too")
)]

mod args;
mod client;
mod clock;
mod cmd;
mod dns;
mod escape;
#[cfg(test)]
mod fixture;
#[cfg(feature = "node")]
mod journal;
#[cfg(feature = "node")]
mod log;
#[cfg(feature = "node")]
mod machine;
mod message;
#[cfg(feature = "node")]
mod output;
mod patient;
mod render;
#[cfg(feature = "node")]
mod request;
mod show;
mod text;
mod tool;
mod view;

use std::process::ExitCode;

use args::{Cli, Command};

/// The command line is wrong: EX_USAGE of sysexits.h.
const USAGE: u8 = 64;

fn main() -> ExitCode {
    match args::parse() {
        Ok(cli) => run(cli),
        Err(error) if error.use_stderr() => {
            let words: Vec<String> =
                std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
            message::error(&args::describe(&error, &words));
            ExitCode::from(USAGE)
        }
        // Help and version.
        Err(text) => cmd::print(text.to_string().as_bytes()),
    }
}

fn run(cli: Cli) -> ExitCode {
    let Some(command) = cli.command else { return cmd::print(cmd::WELCOME.as_bytes()) };
    let ended: Result<(), cmd::Failure> = match command {
        #[cfg(feature = "node")]
        Command::Trace { tool } => cmd::trace::run(*tool),
        #[cfg(feature = "node")]
        Command::Doctor { output } => return cmd::doctor::run(output),
        #[cfg(feature = "node")]
        Command::Agent(args) => cmd::agent::run(&args),
        Command::Observe(args) => cmd::observe::run(*args),
        Command::Sockets(args) => cmd::sockets::run(&args),
        Command::Nodes(args) => cmd::nodes::run(&args),
        Command::Status(args) => match cmd::status::run(&args) {
            Ok(code) => return code,
            Err(failure) => Err(failure),
        },
        Command::Completion { shell } => return cmd::completion::run(shell),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            message::error(&failure.to_string());
            ExitCode::from(failure.exit_code())
        }
    }
}
