//! How the agent is: one snapshot, which the hub fills, and what `GetServerStatus` and the metrics make of it.

use std::time::Duration;

use proto::v1;

use super::config::Config;
use crate::wire::convert::duration;

/// How the agent is now.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Snapshot {
    /// What each tool can have on this kernel.
    pub tools: Vec<Tool>,
    /// Programs that are attached.
    pub programs: Vec<Program>,
    /// Rings and maps.
    pub buffers: Vec<Buffer>,
    /// Who is subscribed.
    pub subscribers: Vec<Subscriber>,
    /// Events that subscribers were sent since the start, those of subscribers who left included.
    pub sent_events: u64,
    /// The watch of pods; absent outside of a cluster.
    pub watch: Option<Watch>,
    /// The past events that are kept; absent when none are.
    pub history: Option<History>,
    /// Events that left the kernel since the start, by kind (`connect`, `close`, ...).
    pub events: Vec<(&'static str, u64)>,
    /// Events that left the kernel in the last minute, per second.
    pub events_per_second: f64,
    /// What was lost since the start.
    pub lost: Vec<Loss>,
}

/// How well something works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// All of it works.
    Ok,
    /// Some of it is missing.
    Degraded,
    /// It cannot work here.
    Unavailable,
}

/// What a tool can have here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tool {
    /// Its name.
    pub name: &'static str,
    /// How well it works.
    pub health: Health,
    /// What is missing, and why.
    pub reasons: Vec<String>,
}

/// A kernel program that is attached.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Program {
    /// Its name.
    pub name: String,
    /// Where it is attached.
    pub hook: String,
    /// How often it ran; absent while the kernel does not count.
    pub run_count: Option<u64>,
    /// How long in all.
    pub run_time: Option<Duration>,
    /// How often the kernel skipped it.
    pub recursion_misses: Option<u64>,
}

/// A ring or map.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Buffer {
    /// Its name.
    pub name: String,
    /// A ring; its size and fill are bytes. Else a map, and they are entries.
    pub ring: bool,
    /// Its size.
    pub size: u64,
    /// How much of it is in use; absent where that cannot be read.
    pub used: Option<u64>,
    /// What did not fit since the start.
    pub lost: u64,
}

/// A subscriber.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subscriber {
    /// A number that tells streams apart.
    pub id: u64,
    /// Who it is.
    pub client: String,
    /// Since it came.
    pub age: Duration,
    /// Events that it was sent.
    pub sent: u64,
    /// Events that it lost in its own queue.
    pub lost: u64,
    /// Events that wait for it.
    pub queued: u64,
    /// Conditions that run in the kernel.
    pub in_kernel: Vec<String>,
    /// Conditions that run behind it.
    pub in_user_space: Vec<String>,
}

/// The watch of pods.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Watch {
    /// It follows the API server.
    pub synced: bool,
    /// Pods that are known.
    pub pods: u64,
    /// Since the API server's last word.
    pub since_last_event: Option<Duration>,
    /// Why it does not follow.
    pub error: Option<String>,
}

/// The past events that are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct History {
    /// Memory that they may take.
    pub size_bytes: u64,
    /// Memory that they take.
    pub used_bytes: u64,
    /// How many they are.
    pub events: u64,
}

/// What was lost at a stage since the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Loss {
    /// The stage's name in metrics.
    pub stage: &'static str,
    /// The stage in the API.
    pub api_stage: v1::LossStage,
    /// How many.
    pub count: u64,
    /// Nothing is missing: they were made up for.
    pub repaired: bool,
}

/// What does not change while the agent runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct About {
    /// This node.
    pub node_name: String,
    /// `uname -r`.
    pub kernel_release: String,
    /// `uname -m`.
    pub architecture: String,
}

impl About {
    /// Of this machine.
    pub fn this_machine(config: &Config) -> Self {
        let uname = rustix::system::uname();
        let host = || uname.nodename().to_string_lossy().into_owned();
        Self {
            node_name: config.node_name.clone().unwrap_or_else(host),
            kernel_release: uname.release().to_string_lossy().into_owned(),
            architecture: uname.machine().to_string_lossy().into_owned(),
        }
    }
}

impl Snapshot {
    /// As the API tells it.
    pub fn response(self, about: &About, uptime: Duration) -> v1::GetServerStatusResponse {
        v1::GetServerStatusResponse {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            node_name: about.node_name.clone(),
            kernel_release: about.kernel_release.clone(),
            architecture: about.architecture.clone(),
            uptime: Some(duration(uptime)),
            tools: self.tools.into_iter().map(tool).collect(),
            programs: self.programs.into_iter().map(program).collect(),
            buffers: self.buffers.into_iter().map(buffer).collect(),
            subscribers: self.subscribers.into_iter().map(subscriber).collect(),
            watch: self.watch.map(watch),
            events_per_second: self.events_per_second,
            lost: self.lost.into_iter().map(lost).collect(),
            nodes: Vec::new(),
        }
    }
}

fn tool(tool: Tool) -> v1::ToolStatus {
    let health = match tool.health {
        Health::Ok => v1::Health::Ok,
        Health::Degraded => v1::Health::Degraded,
        Health::Unavailable => v1::Health::Unavailable,
    };
    v1::ToolStatus { tool: tool.name.to_owned(), health: health.into(), reasons: tool.reasons }
}

fn program(program: Program) -> v1::ProgramStatus {
    v1::ProgramStatus {
        program: program.name,
        hook: program.hook,
        run_count: program.run_count,
        run_time: program.run_time.map(duration),
        recursion_misses: program.recursion_misses,
    }
}

fn buffer(buffer: Buffer) -> v1::BufferStatus {
    v1::BufferStatus { name: buffer.name, size: buffer.size, used: buffer.used, lost: buffer.lost }
}

fn subscriber(subscriber: Subscriber) -> v1::SubscriberStatus {
    v1::SubscriberStatus {
        id: subscriber.id,
        client: subscriber.client,
        age: Some(duration(subscriber.age)),
        sent: subscriber.sent,
        lost: subscriber.lost,
        queued: subscriber.queued,
        in_kernel: subscriber.in_kernel,
        in_user_space: subscriber.in_user_space,
    }
}

fn watch(watch: Watch) -> v1::WatchStatus {
    v1::WatchStatus {
        synced: watch.synced,
        pods: watch.pods,
        since_last_event: watch.since_last_event.map(duration),
        error: watch.error.unwrap_or_default(),
    }
}

fn lost(loss: Loss) -> v1::LostEvents {
    v1::LostEvents {
        stage: loss.api_stage.into(),
        count: Some(loss.count),
        repaired: loss.repaired,
        ..v1::LostEvents::default()
    }
}
