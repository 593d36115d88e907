//! Programs that run on after this one has ended, and are found again by what they left in a file: the process's
//! number with its start time, so that nobody else's process is ever ended in its place.

use std::{
    fs::{self, OpenOptions},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};

/// How often a condition is looked at.
const LOOK: Duration = Duration::from_millis(100);

/// The folder with the files.
pub struct Daemons {
    folder: PathBuf,
    logs: PathBuf,
}

/// A process, for as long as it is the same one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its number.
    pub pid: i32,
    started: u64,
}

impl Daemons {
    /// Below a folder.
    pub fn new(state: &Path) -> Self {
        Self { folder: state.join("run"), logs: state.join("log") }
    }

    /// Starts a program unless it runs already.
    pub fn start(&self, name: &str, command: &mut Command) -> Result<Process> {
        if let Some(process) = self.running(name) {
            return Ok(process);
        }
        for folder in [&self.folder, &self.logs] {
            fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        }
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.log(name))
            .with_context(|| format!("cannot write the log of {name}"))?;
        // A group of its own: Ctrl-C on a terminal is not for it.
        let child = command
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        let pid = i32::try_from(child.id()).context("a process number that is none")?;
        let process = Process::at(pid).with_context(|| format!("{name} ended at once"))?;
        fs::write(self.file(name), format!("{} {}\n", process.pid, process.started))
            .with_context(|| format!("cannot note that {name} runs"))?;
        Ok(process)
    }

    /// The process that was started under this name, if it still runs.
    pub fn running(&self, name: &str) -> Option<Process> {
        let text = fs::read_to_string(self.file(name)).ok()?;
        let (pid, started) = text.trim().split_once(' ')?;
        let process = Process { pid: pid.parse().ok()?, started: started.parse().ok()? };
        process.runs().then_some(process)
    }

    /// Ends it at once: nothing of a test's cluster is worth a gentle end. Returns when it is gone.
    pub fn kill(&self, name: &str) {
        if let Some(process) = self.running(name) {
            process.kill();
        }
        let _ = fs::remove_file(self.file(name));
    }

    /// Waits for something that a daemon does; its last words are in the error when it ends or takes too long.
    pub fn wait(&self, name: &str, limit: Duration, mut ready: impl FnMut() -> bool) -> Result<()> {
        let start = Instant::now();
        while !ready() {
            if self.running(name).is_none() {
                bail!("{name} ended: {}", self.last_words(name));
            }
            if start.elapsed() > limit {
                bail!("{name} is not ready after {} s: {}", limit.as_secs(), self.last_words(name));
            }
            thread::sleep(LOOK);
        }
        Ok(())
    }

    /// Where it writes.
    pub fn log(&self, name: &str) -> PathBuf {
        self.logs.join(format!("{name}.log"))
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.pid"))
    }

    fn last_words(&self, name: &str) -> String {
        let text = fs::read(self.log(name)).unwrap_or_default();
        let text = String::from_utf8_lossy(&text).into_owned();
        let lines: Vec<&str> = text.lines().rev().filter(|line| !line.trim().is_empty()).take(3).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join(" | ")
    }
}

impl Process {
    /// The process with this number now.
    pub fn at(pid: i32) -> Option<Self> {
        let (state, started) = stat(pid)?;
        (state != 'Z').then_some(Self { pid, started })
    }

    /// Whether it is still the same one, and runs.
    pub fn runs(self) -> bool {
        Self::at(self.pid) == Some(self)
    }

    /// What it takes of the memory.
    pub fn resident_kib(self) -> u64 {
        let text = fs::read_to_string(format!("/proc/{}/status", self.pid)).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
    }

    /// Ends it and waits until it is gone.
    pub fn kill(self) {
        let Some(pid) = Pid::from_raw(self.pid) else { return };
        let limit = Instant::now() + Duration::from_secs(10);
        while self.runs() && Instant::now() < limit {
            let _ = kill_process(pid, Signal::KILL);
            thread::sleep(Duration::from_millis(5));
        }
        // It may have been a child of ours: then it waits for this. If not, that is an error, and none.
        let _ = waitpid(Some(pid), WaitOptions::NOHANG);
    }
}

/// State and start time of a process.
fn stat(pid: i32) -> Option<(char, u64)> {
    parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// `12 (a name) with) S …`: the fields behind the last parenthesis count from the third.
fn parse(stat: &str) -> Option<(char, u64)> {
    let (_, rest) = stat.rsplit_once(") ")?;
    let mut words = rest.split(' ');
    let state = words.next()?.chars().next()?;
    Some((state, words.nth(18)?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use std::{fs, process::Command, time::Duration};

    use super::{Daemons, Process, parse};

    #[test]
    fn a_process_is_its_number_and_its_start() {
        let line = "7 (a) b) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4711 20";
        assert_eq!(parse(line), Some(('S', 4711)));
        assert_eq!(parse("nonsense"), None);
        let own = Process::at(std::process::id().cast_signed()).unwrap();
        assert!(own.runs());
        assert!(!Process { started: own.started + 1, ..own }.runs(), "another one with the number");
    }

    #[test]
    fn a_daemon_is_found_again_and_ended_and_its_last_words_are_told() {
        let folder = std::env::temp_dir().join(format!("sockeye-daemon-{}", std::process::id()));
        let daemons = Daemons::new(&folder);
        let sleep = || {
            let mut command = Command::new("sh");
            command.args(["-c", "echo about to sleep; sleep 1000"]);
            command
        };
        let process = daemons.start("one", &mut sleep()).unwrap();
        assert_eq!(daemons.start("one", &mut sleep()).unwrap(), process, "not a second one");
        assert_eq!(Daemons::new(&folder).running("one"), Some(process));
        let error = daemons.wait("one", Duration::from_millis(500), || false).unwrap_err().to_string();
        assert!(error.contains("not ready") && error.ends_with("about to sleep"), "{error}");
        daemons.kill("one");
        assert!(!process.runs() && daemons.running("one").is_none());
        let error = daemons.wait("one", Duration::from_secs(9), || false).unwrap_err().to_string();
        assert!(error.starts_with("one ended: "), "{error}");
        fs::remove_dir_all(folder).unwrap();
    }
}
