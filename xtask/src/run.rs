//! `cargo xtask run`: sets up, builds and becomes `sockeye`.

use std::{
    ffi::OsString,
    os::unix::process::CommandExt as _,
    process::{Command, ExitCode},
};

use anyhow::{Context as _, Result, bail};

use crate::{build, process};

#[derive(clap::Args)]
pub struct Arguments {
    /// What to pass to sockeye, for example `trace tcplife`
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGUMENTS")]
    sockeye: Vec<OsString>,
}

pub fn main(arguments: &Arguments) -> Result<ExitCode> {
    let sockeye = build::sockeye()?;
    let mut command = Command::new(&sockeye);
    if loads_programs(&arguments.sockeye) && !process::is_root() {
        let Some(sudo) = process::find("sudo") else {
            bail!(
                "loading programs into the kernel takes root, and there is no sudo: run `{}` as root",
                sockeye.display()
            );
        };
        command = Command::new(sudo);
        command.arg(&sockeye);
    }
    // No child: signals, the terminal and the exit status are sockeye's own.
    let error = command.args(&arguments.sockeye).exec();
    Err(error).with_context(|| format!("cannot run {}", command.get_program().display()))
}

/// Whether sockeye will load programs: only then root is asked for. Help needs none.
fn loads_programs(arguments: &[OsString]) -> bool {
    let help = arguments.iter().any(|argument| argument == "--help" || argument == "-h");
    let command = arguments.iter().find(|argument| !argument.as_encoded_bytes().starts_with(b"-"));
    !help && command.is_some_and(|command| command == "trace" || command == "agent")
}

#[cfg(test)]
mod tests {
    use super::loads_programs;

    fn loads(line: &str) -> bool {
        loads_programs(&line.split_whitespace().map(Into::into).collect::<Vec<_>>())
    }

    #[test]
    fn root_is_asked_for_only_to_load() {
        assert!(loads("trace tcplife -p 1"));
        assert!(loads("--verbose agent"));
        assert!(!loads("trace tcplife --help"));
        assert!(!loads("doctor"));
        assert!(!loads("completion trace"));
        assert!(!loads(""));
    }
}
