//! A tool while it runs: started, waited for until it sees events, stopped, asked what it lost.

mod program;

use std::{
    fs,
    os::fd::OwnedFd,
    path::PathBuf,
    process::{Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use rustix::{
    event::{PollFd, PollFlags, poll},
    fs::inotify,
    time::Timespec,
};

use self::program::{Program, STOPPED_WITHIN};
use super::{observe, tool::Tool};
use crate::workspace;

/// A tool that is not ready by then never will be.
const READY_WITHIN: Duration = Duration::from_secs(15);

/// After the program is attached: a tool has still to open its rings and to go to sleep.
const SETTLE: Duration = Duration::from_millis(50);

/// bpftrace shows no link; its program is attached some time after it was loaded.
const SETTLE_WITHOUT_LINK: Duration = Duration::from_millis(250);

/// How often somebody else's process is looked at.
const LOOK_EVERY: Duration = Duration::from_micros(200);

/// Where a tool writes to.
pub enum Output {
    Nowhere,
    /// To a file of this program's, line by line.
    Lines(OwnedFd),
}

/// A tool that runs. Killed when dropped.
pub struct Running {
    tool: Tool,
    program: Program,
    beside: Option<Program>,
    folder: Folder,
    started: Instant,
}

/// What a tool says in the end.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Last {
    /// Its first words about lost events.
    pub lost: Option<String>,
    /// How many events arrived, where it counts them.
    pub received: Option<u64>,
    /// How many of them were of pods with a name.
    pub of_pods: Option<u64>,
}

/// How long a start took.
#[derive(Clone, Copy, Debug)]
pub struct Start {
    /// Until the first program was attached; for a tool that shows it.
    pub attached: Option<Duration>,
    /// Until everything is attached and older sockets are known; ours only.
    pub ready: Option<Duration>,
}

impl Running {
    /// Starts a tool and returns when it sees events.
    pub fn start(tool: &Tool, output: Output) -> Result<Self> {
        let mut running = Self::spawn(tool, output)?;
        if tool.is_ours() {
            running.until(|running| Ok(running.folder.ready_file().exists()))?;
        } else if tool.has_links() {
            running.until(|running| Ok(observe::open(running.id())?.links > 0))?;
        } else {
            let attached = |open: observe::Open| open.programs > 0 && open.perf_events > 0;
            running.until(|running| Ok(attached(observe::open(running.id())?)))?;
            sleep(SETTLE_WITHOUT_LINK);
        }
        sleep(SETTLE);
        running.check()?;
        Ok(running)
    }

    /// Starts a tool and measures how long that takes.
    pub fn measure(tool: &Tool) -> Result<(Self, Start)> {
        let watch = Folder::new()?;
        let news = inotify::init(inotify::CreateFlags::CLOEXEC).context("cannot use inotify")?;
        inotify::add_watch(&news, watch.signals(), inotify::WatchFlags::CREATE)
            .context("cannot watch a folder")?;
        let mut running = Self::spawn_in(tool, Output::Nowhere, watch)?;
        let pause = Timespec { tv_sec: 0, tv_nsec: LOOK_EVERY.as_nanos() as i64 };
        let mut start = Start { attached: None, ready: None };
        loop {
            // Sleeps for as long as nothing is looked at, and wakes at once when the file is there.
            let mut files = [PollFd::new(&news, PollFlags::IN)];
            let ready = poll(&mut files, Some(&pause)).context("cannot wait for a file")? > 0;
            let now = running.started.elapsed();
            if ready {
                start.ready = Some(now);
            }
            let open = observe::open(running.id());
            running.check()?;
            if start.attached.is_none() && open?.links > 0 {
                start.attached = Some(now);
            }
            if start.attached.is_some() && start.ready.is_some() == tool.is_ours() {
                sleep(SETTLE);
                running.check()?;
                return Ok((running, start));
            }
            if now > READY_WITHIN {
                bail!("{} was not ready within {READY_WITHIN:?}", tool.name);
            }
        }
    }

    /// Starts a tool and does not wait.
    pub fn spawn(tool: &Tool, output: Output) -> Result<Self> {
        Self::spawn_in(tool, output, Folder::new()?)
    }

    fn spawn_in(tool: &Tool, output: Output, folder: Folder) -> Result<Self> {
        let mut command = tool.command(matches!(output, Output::Lines(_)));
        if tool.is_ours() && tool.beside().is_none() {
            command.arg("--ready-file").arg(folder.ready_file());
        }
        command.stdout(match output {
            Output::Nowhere => Stdio::null(),
            Output::Lines(file) => file.into(),
        });
        let started = Instant::now();
        let program = Program::start(tool.name, &mut command, folder.0.join("stderr"))?;
        let beside = tool.beside().map(|beside| {
            let mut command = Command::new(&beside.program);
            command
                .args(&beside.arguments)
                .arg("--ready-file")
                .arg(folder.ready_file())
                .stdout(Stdio::null());
            let name = format!("who goes with {}", tool.name);
            Program::start(&name, &mut command, folder.0.join("stderr-beside"))
        });
        Ok(Self { tool: tool.clone(), program, beside: beside.transpose()?, folder, started })
    }

    fn until(&mut self, mut is_there: impl FnMut(&Self) -> Result<bool>) -> Result<()> {
        loop {
            let found = is_there(self);
            // First of all: of one that has ended, /proc has nothing to say.
            self.check()?;
            if found? {
                return Ok(());
            }
            if self.started.elapsed() > READY_WITHIN {
                bail!("{} was not ready within {READY_WITHIN:?}", self.tool.name);
            }
            sleep(Duration::from_millis(2));
        }
    }

    /// An error with the tool's own words if it has ended.
    fn check(&mut self) -> Result<()> {
        // Who goes with a tool ends after it and for its sake.
        self.program.check()?;
        self.beside.as_mut().map_or(Ok(()), Program::check)
    }

    pub fn id(&self) -> u32 {
        self.program.id()
    }

    pub fn tool(&self) -> &Tool {
        &self.tool
    }

    /// When it was started.
    pub fn started(&self) -> Instant {
        self.started
    }

    /// Stops the tool as Ctrl-C does, first of all who goes with it.
    pub fn stop(mut self) -> Result<Last> {
        self.check()?;
        let mut ended = true;
        if let Some(beside) = &mut self.beside {
            ended = beside.interrupt()?.is_some();
        }
        ended &= self.program.interrupt()?.is_some();
        // A peer that takes its time is killed: what was measured is measured.
        if !ended && self.tool.is_ours() {
            bail!("{} did not stop within {STOPPED_WITHIN:?}", self.tool.name);
        }
        let words = self.beside.as_ref().unwrap_or(&self.program).words();
        Ok(Last::read(&words))
    }
}

impl Last {
    fn read(words: &str) -> Self {
        let lost = words.lines().find(|line| line.to_lowercase().contains("lost "));
        // `received 80000 events, 79990 of them of pods`
        let counts = words.lines().find_map(|line| line.strip_prefix("received "));
        let mut counts =
            counts.into_iter().flat_map(|counts| counts.split(' ')).filter_map(|word| word.parse().ok());
        Self {
            lost: lost.map(|line| line.trim().to_owned()),
            received: counts.next(),
            of_pods: counts.next(),
        }
    }
}

/// A folder for one run; removed when dropped.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("run-{}-{number}", std::process::id());
        let path = workspace::target().join("bench").join(name);
        let folder = Self(path);
        let signals = folder.signals();
        fs::create_dir_all(&signals).with_context(|| format!("cannot make {}", signals.display()))?;
        Ok(folder)
    }

    /// Nothing but the ready file comes into being here.
    fn signals(&self) -> PathBuf {
        self.0.join("signals")
    }

    fn ready_file(&self) -> PathBuf {
        self.signals().join("ready")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // A folder that stays behind lies in cargo's target folder.
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::Last;

    #[test]
    fn what_was_lost_and_what_arrived_is_read_from_the_last_words() {
        let last = Last::read("lost 3 events\nreceived 80000 events, 79990 of them of pods\n");
        let lost = Some("lost 3 events".to_owned());
        assert_eq!(last, Last { lost, received: Some(80_000), of_pods: Some(79_990) });
        assert_eq!(Last::read("received 7 events\n"), Last { received: Some(7), ..Last::default() });
        assert_eq!(Last::read("something else\n"), Last::default());
    }
}
