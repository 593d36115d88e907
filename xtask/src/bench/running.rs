//! A tool while it runs: started, waited for until it sees events, stopped, asked what it lost.

use std::{
    fs::{self, File},
    os::fd::OwnedFd,
    path::PathBuf,
    process::{Child, ExitStatus, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use rustix::{
    event::{PollFd, PollFlags, poll},
    fs::inotify,
    process::{Pid, Signal, kill_process},
    time::Timespec,
};

use super::{observe, tool::Tool};
use crate::workspace;

/// A tool that is not ready by then never will be.
const READY_WITHIN: Duration = Duration::from_secs(15);
const STOPPED_WITHIN: Duration = Duration::from_secs(5);

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
    child: Child,
    folder: Folder,
    started: Instant,
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
        if tool.is_ours() {
            command.arg("--ready-file").arg(folder.ready_file());
        }
        let stderr = File::create(folder.stderr()).context("cannot make a file for a tool's stderr")?;
        command.stdin(Stdio::null()).stderr(stderr).stdout(match output {
            Output::Nowhere => Stdio::null(),
            Output::Lines(file) => file.into(),
        });
        let started = Instant::now();
        let child = command.spawn().with_context(|| format!("cannot start {}", tool.name))?;
        Ok(Self { tool: tool.clone(), child, folder, started })
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
        match self.child.try_wait().context("cannot ask for a child")? {
            Some(status) => bail!("{} ended ({status}): {}", self.tool.name, self.last_words()),
            None => Ok(()),
        }
    }

    fn last_words(&self) -> String {
        let text = self.stderr();
        let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        lines[lines.len().saturating_sub(2)..].join("; ")
    }

    fn stderr(&self) -> String {
        // What cannot be read is not worth stopping for.
        fs::read(self.folder.stderr())
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn tool(&self) -> &Tool {
        &self.tool
    }

    /// When it was started.
    pub fn started(&self) -> Instant {
        self.started
    }

    /// Stops the tool as Ctrl-C does. Returns its first words about lost events.
    pub fn stop(mut self) -> Result<Option<String>> {
        self.check()?;
        let status = self.interrupt()?;
        // A peer that takes its time is killed: what was measured is measured.
        if status.is_none() && self.tool.is_ours() {
            bail!("{} did not stop within {STOPPED_WITHIN:?}", self.tool.name);
        }
        let words = self.stderr();
        let lost = words.lines().find(|line| line.to_lowercase().contains("lost "));
        Ok(lost.map(|line| line.trim().to_owned()))
    }

    fn interrupt(&mut self) -> Result<Option<ExitStatus>> {
        // An error: it has ended by itself.
        let _ = kill_process(Pid::from_child(&self.child), Signal::INT);
        let asked = Instant::now();
        while asked.elapsed() < STOPPED_WITHIN {
            if let Some(status) = self.child.try_wait().context("cannot wait for a child")? {
                return Ok(Some(status));
            }
            sleep(Duration::from_millis(2));
        }
        Ok(None)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail only if it is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
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

    fn stderr(&self) -> PathBuf {
        self.0.join("stderr")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // A folder that stays behind lies in cargo's target folder.
        let _ = fs::remove_dir_all(&self.0);
    }
}
