//! `sockeye trace …` as a user runs it: started, waited for, read line by line, ended by Ctrl-C.

use std::{
    io::{BufRead as _, BufReader, Read as _},
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

use super::{PATIENCE, event::Event, kernel, scratch, until};

/// A running tool.
#[derive(Debug)]
pub struct Trace {
    child: Child,
    lines: Receiver<(Instant, String)>,
    errors: Option<JoinHandle<String>>,
    /// What it printed so far, in order.
    pub events: Vec<Event>,
}

/// What a tool left behind.
#[derive(Debug)]
pub struct Ended {
    /// All events.
    pub events: Vec<Event>,
    /// All of stderr.
    pub stderr: String,
    /// How it ended.
    pub status: ExitStatus,
}

/// A command line of `sockeye trace`, with the sign that it is ready.
pub fn command(arguments: &[&str]) -> (Command, std::path::PathBuf) {
    let ready = scratch("ready");
    let mut command = Command::new(kernel::sockeye());
    command.arg("trace").args(arguments).arg("--ready-file").arg(&ready);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    (command, ready)
}

/// Waits until a tool that was started with [`command`] sees everything from now on.
pub fn wait_until_ready(child: &mut Child, ready: &std::path::Path) {
    let is_ready = until(PATIENCE, || {
        if let Some(status) = child.try_wait().unwrap() {
            let mut words = String::new();
            child.stderr.take().unwrap().read_to_string(&mut words).unwrap();
            panic!("the tool ended at its start: {status}: {words}");
        }
        ready.exists().then_some(())
    });
    assert!(is_ready.is_some(), "the tool is not ready after {PATIENCE:?}");
    let _ = std::fs::remove_file(ready);
}

impl Trace {
    /// Starts a tool with JSON output and waits until it is ready.
    pub fn start(arguments: &[&str]) -> Self {
        let (mut command, ready) = command(&[arguments, &["-o", "json"]].concat());
        let mut child = command.spawn().unwrap();
        wait_until_ready(&mut child, &ready);
        let output = BufReader::new(child.stdout.take().unwrap());
        let (give, lines) = channel();
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                if give.send((Instant::now(), line)).is_err() {
                    break;
                }
            }
        });
        let mut errors = child.stderr.take().unwrap();
        let errors = std::thread::spawn(move || {
            let mut text = String::new();
            let _ = errors.read_to_string(&mut text);
            text
        });
        Self { child, lines, errors: Some(errors), events: Vec::new() }
    }

    /// The tool's process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    fn take(&mut self, patience: Duration) -> Result<(), RecvTimeoutError> {
        let (at, line) = self.lines.recv_timeout(patience)?;
        let json = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error} in {line:?}"));
        self.events.push(Event { json, at });
        Ok(())
    }

    /// Waits until an event is there for which `wanted` holds, and gives it.
    pub fn wait_for(&mut self, what: &str, wanted: impl Fn(&Event) -> bool) -> Event {
        self.wait_for_all(what, 1, wanted).swap_remove(0)
    }

    /// Waits until so many are there, and gives them in order. More than that is for the test to find out.
    pub fn wait_for_all(&mut self, what: &str, count: usize, wanted: impl Fn(&Event) -> bool) -> Vec<Event> {
        let end = Instant::now() + PATIENCE;
        let mut found: Vec<Event> = self.events.iter().filter(|event| wanted(event)).cloned().collect();
        while found.len() < count {
            let left = end.saturating_duration_since(Instant::now());
            if self.take(left).is_err() {
                let last = self.events.iter().rev().take(20).rev();
                let seen: Vec<String> = last.map(|event| event.json.to_string()).collect();
                let words = self.end();
                panic!(
                    "{what}: {} of {count} came; stderr {words:?}; the last seen:\n{}",
                    found.len(),
                    seen.join("\n")
                );
            }
            let event = self.events.last().unwrap();
            if wanted(event) {
                found.push(event.clone());
            }
        }
        found
    }

    /// Ctrl-C, and all that it printed until it ended.
    pub fn stop(self) -> Ended {
        self.signal(Signal::INT);
        self.wait()
    }

    /// Waits for its own end.
    pub fn wait(mut self) -> Ended {
        let end = Instant::now() + PATIENCE;
        while self.take(end.saturating_duration_since(Instant::now())).is_ok() {}
        let status = until(PATIENCE, || self.child.try_wait().unwrap());
        let Some(status) = status else { panic!("the tool does not end; stderr: {}", self.end()) };
        let stderr = self.errors.take().unwrap().join().unwrap();
        Ended { events: std::mem::take(&mut self.events), stderr, status }
    }

    /// Kills it and gives its words.
    fn end(&mut self) -> String {
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.errors.take().map(|errors| errors.join().unwrap()).unwrap_or_default()
    }
}

impl Drop for Trace {
    fn drop(&mut self) {
        self.end();
    }
}

/// What was said on stderr without the warnings about what this kernel lacks.
pub fn complaints(stderr: &str) -> Vec<&str> {
    stderr.lines().filter(|line| !line.starts_with("warning: ")).collect()
}

impl Ended {
    /// The events for which `wanted` holds.
    pub fn select(&self, wanted: impl Fn(&Event) -> bool) -> Vec<&Event> {
        self.events.iter().filter(|event| wanted(event)).collect()
    }
}
