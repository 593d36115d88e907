//! Other programs: started, waited for, and named when they fail.

use std::{
    borrow::Cow,
    env,
    ffi::OsStr,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use anyhow::{Context as _, Result, bail};

/// Runs a command with this process's own streams.
pub fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("cannot start {}", name(command)))?;
    if !status.success() {
        bail!("{} failed ({status})", line(command));
    }
    Ok(())
}

/// Runs a command and returns what it wrote to stdout. What it wrote to stderr is in the error if it fails.
pub fn output(command: &mut Command) -> Result<String> {
    let Output { status, stdout, stderr } =
        command.stdin(Stdio::null()).output().with_context(|| format!("cannot start {}", name(command)))?;
    if !status.success() {
        let stderr = String::from_utf8_lossy(&stderr);
        bail!("{} failed ({status}): {}", line(command), last_lines(&stderr, 5));
    }
    String::from_utf8(stdout).with_context(|| format!("{} wrote something that is not UTF-8", name(command)))
}

/// Looks for a program on PATH and where Debian keeps what is meant for root, which users' PATHs leave out.
pub fn find(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = env::split_paths(&path).collect();
    folders.extend(["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from));
    let folders = env::join_paths(folders).ok()?;
    which::which_in(program, Some(folders), Path::new("/")).ok()
}

/// Whether this process is root.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// The last non-empty lines of a text, joined by `; ` so that an error stays one line.
fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    lines[lines.len().saturating_sub(count)..].join("; ")
}

/// The program without its folder: an error names it, and where it was found is no news.
fn name(command: &Command) -> String {
    let program = Path::new(command.get_program());
    program.file_name().unwrap_or(program.as_os_str()).to_string_lossy().into_owned()
}

fn line(command: &Command) -> String {
    let arguments = command.get_args().map(OsStr::to_string_lossy).map(Cow::into_owned);
    std::iter::once(name(command)).chain(arguments).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::{last_lines, output};
    use std::process::Command;

    #[test]
    fn an_error_says_which_command_failed_and_what_it_said() {
        let error =
            output(Command::new("sh").args(["-c", "echo first >&2; echo why >&2; exit 3"])).unwrap_err();
        let text = error.to_string();
        assert!(
            text.starts_with("sh -c ") && text.contains("exit status: 3") && text.ends_with("first; why"),
            "{text}"
        );
    }

    #[test]
    fn last_lines_leaves_out_empty_ones() {
        assert_eq!(last_lines("a\n\n b\nc\n\n", 2), "b; c");
        assert_eq!(last_lines("", 2), "");
    }
}
