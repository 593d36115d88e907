//! A subscriber that knows nothing of Sockeye but its reflection: grpcurl, whose answers are read while they come.

use std::{
    fs::File,
    io::BufReader,
    path::Path,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use serde_json::{Deserializer, Value};

use super::release::Forward;
use crate::{e2e::kubectl::wait_for, workspace};

const OBSERVE: &str = "sockeye.v1.ObserverService/Observe";

/// A stream of answers.
pub struct Stream {
    child: Child,
    answers: Arc<Mutex<Vec<Value>>>,
    /// Held while nobody is to read.
    reading: Arc<Mutex<()>>,
    /// What it comes through.
    _forward: Option<Forward>,
}

impl Stream {
    /// Subscribes through a port of this machine.
    pub fn through(grpcurl: &Path, forward: Forward, request: &Value) -> Result<Self> {
        let mut command = Command::new(grpcurl);
        command
            .args(["-plaintext", "-max-msg-sz", "16777216", "-d", &request.to_string()])
            .args([&forward.address, OBSERVE]);
        Self::start(command, Some(forward))
    }

    /// Subscribes from inside the network namespace of a process.
    pub fn inside(grpcurl: &Path, process: i32, address: &str, request: &Value) -> Result<Self> {
        let mut command = Command::new("nsenter");
        command.args(["-t", &process.to_string(), "--net", "--"]).arg(grpcurl);
        command.args(["-plaintext", "-max-msg-sz", "16777216", "-d", &request.to_string(), address, OBSERVE]);
        Self::start(command, None)
    }

    /// Of a call that is prepared.
    pub fn start(mut command: Command, forward: Option<Forward>) -> Result<Self> {
        let errors = workspace::target().join("e2e-grpcurl.err");
        let errors = File::options().create(true).append(true).open(&errors)?;
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(errors)
            .spawn()
            .context("cannot start grpcurl")?;
        let stdout = child.stdout.take().context("grpcurl has no stdout")?;
        let answers = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&answers);
        let reading = Arc::new(Mutex::new(()));
        let allowed = Arc::clone(&reading);
        thread::spawn(move || {
            for answer in Deserializer::from_reader(BufReader::new(stdout)).into_iter() {
                let Ok(answer) = answer else { break };
                drop(allowed.lock());
                sink.lock().unwrap_or_else(PoisonError::into_inner).push(answer);
            }
        });
        Ok(Self { child, answers, reading, _forward: forward })
    }

    /// All answers so far.
    pub fn answers(&self) -> Vec<Value> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// All events so far.
    pub fn events(&self) -> Vec<Value> {
        let answers = self.answers();
        let batches = answers.iter().filter_map(|answer| answer["events"]["events"].as_array());
        batches.flatten().cloned().collect()
    }

    /// How many events are lost so far, as it was told.
    pub fn lost(&self) -> u64 {
        let answers = self.answers();
        answers.iter().filter_map(|answer| number(&answer["lost"]["count"])).sum()
    }

    /// Waits until the events are so.
    pub fn wait<T>(
        &self,
        what: &str,
        limit: Duration,
        mut so: impl FnMut(&[Value]) -> Option<T>,
    ) -> Result<T> {
        let result = wait_for(what, limit, || Ok(so(&self.events())));
        result.or_else(|error| {
            let events = self.events();
            let last: Vec<String> = events.iter().rev().take(3).map(Value::to_string).collect();
            bail!("{error:#}; {} events, the last: {}", events.len(), last.join(" "))
        })
    }

    /// Whether it has ended.
    pub fn ended(&mut self) -> bool {
        self.child.try_wait().is_ok_and(|status| status.is_some())
    }

    /// Stops reading for as long as what is returned lives. grpcurl blocks on its output then and takes nothing more
    /// from the stream, while its connection answers pings: a client that is slow, not one that is dead.
    pub fn pause(&self) -> MutexGuard<'_, ()> {
        self.reading.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A 64-bit number, which JSON of protobuf has as text.
pub fn number(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}

/// The pod to which an event belongs.
pub fn pod(event: &Value) -> &str {
    event["local"]["pod"].as_str().unwrap_or_default()
}

/// Its remote port.
pub fn remote_port(event: &Value) -> u64 {
    event["socket"]["remote"]["port"].as_u64().unwrap_or_default()
}

/// Its local port.
pub fn local_port(event: &Value) -> u64 {
    event["socket"]["local"]["port"].as_u64().unwrap_or_default()
}
