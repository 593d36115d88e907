//! The pods of this node, from the API server to the store.
//!
//! One task watches and sends [`Change`]s into a bounded channel; whoever owns the store takes them out. If the
//! channel is full the watch waits, so nothing is lost, and if the API server is away nothing but this task
//! notices: what is known stays known. What kube-rs' watcher yields is the reflector's state and nothing else is
//! taken for it; the watcher itself resumes, relists after 410, and asks for bookmarks.

mod pod;
mod state;

use std::{
    collections::HashSet,
    hash::{BuildHasher as _, Hasher as _},
    pin::pin,
    sync::Arc,
    time::Duration,
};

use futures::{Stream, StreamExt as _};
use kube::{
    Api, Client,
    runtime::watcher::{self, Event, InitialListStrategy},
};
use tokio::sync::mpsc::{Sender, error::SendError};

use self::pod::Watched;
pub use self::state::{WatchSnapshot, WatchState};
use super::pods::Change;

/// How the watch behaves.
#[derive(Clone, Debug)]
pub struct Settings {
    /// This node's name.
    pub node: String,
    /// The first request comes after a random part of this: the agents of all nodes start together.
    pub jitter: Duration,
    /// The pause after an error, which doubles with each up to the longest.
    pub shortest_pause: Duration,
    /// The longest pause.
    pub longest_pause: Duration,
    /// How long a streamed list may take: a server that does not know them never ends one.
    pub list_timeout: Duration,
}

impl Settings {
    /// What is right in a cluster.
    pub fn new(node: &str) -> Self {
        Self {
            node: node.to_owned(),
            jitter: Duration::from_secs(2),
            shortest_pause: Duration::from_millis(500),
            longest_pause: Duration::from_secs(30),
            list_timeout: Duration::from_secs(30),
        }
    }
}

/// Watches until nobody takes the changes any more. `state` says how it goes.
pub async fn run(client: Client, settings: Settings, changes: Sender<Change>, state: Arc<WatchState>) {
    tokio::time::sleep(part_of(settings.jitter)).await;
    let pods: Api<Watched> = Api::all(client);
    let mut strategy = InitialListStrategy::StreamingList;
    let mut task = Task { settings, changes, state, listed: None, pods: HashSet::new() };
    loop {
        let config = watcher::Config {
            initial_list_strategy: strategy.clone(),
            // Lists that are not streamed are held whole in memory.
            page_size: Some(50),
            ..watcher::Config::default().fields(&format!("spec.nodeName={}", task.settings.node))
        };
        match task.follow(watcher::watcher(pods.clone(), config)).await {
            Ok(Unstreamed) => {
                tracing::info!("the API server streams no lists; pods are listed in pages");
                strategy = InitialListStrategy::ListWatch;
            }
            Err(Closed) => return,
        }
    }
}

/// The server streams no lists.
struct Unstreamed;

/// Nobody takes changes any more.
struct Closed;

impl<T> From<SendError<T>> for Closed {
    fn from(_: SendError<T>) -> Self {
        Self
    }
}

struct Task {
    settings: Settings,
    changes: Sender<Change>,
    state: Arc<WatchState>,
    /// UIDs of the list that has begun and not ended.
    listed: Option<HashSet<Box<str>>>,
    pods: HashSet<Box<str>>,
}

impl Task {
    async fn follow(
        &mut self,
        events: impl Stream<Item = watcher::Result<Event<Watched>>>,
    ) -> Result<Unstreamed, Closed> {
        let mut events = pin!(events);
        let mut pause = self.settings.shortest_pause;
        loop {
            let next = tokio::select! {
                next = next_within(&mut events, self.listed.as_ref().map(|_| self.settings.list_timeout)) => next,
                () = self.changes.closed() => return Err(Closed),
            };
            // A server that does not know streamed lists begins a plain watch, which has no end of a list.
            let Some(Some(event)) = next else { return Ok(Unstreamed) };
            match event {
                Ok(event) => {
                    pause = self.settings.shortest_pause;
                    self.take(event).await?;
                }
                Err(error) => {
                    if streams_no_lists(&error) {
                        return Ok(Unstreamed);
                    }
                    self.listed = None;
                    if let Some(text) = self.state.failed(&error) {
                        tracing::warn!(
                            error = text,
                            "the watch of pods does not follow; names may be missing"
                        );
                    }
                    let wait = pause / 2 + part_of(pause / 2);
                    tokio::select! {
                        () = tokio::time::sleep(wait) => {}
                        () = self.changes.closed() => return Err(Closed),
                    }
                    pause = (pause * 2).min(self.settings.longest_pause);
                }
            }
        }
    }

    async fn take(&mut self, event: Event<Watched>) -> Result<(), Closed> {
        match event {
            Event::Init => {
                self.listed = Some(HashSet::new());
                self.changes.send(Change::Restart).await?;
            }
            Event::InitApply(pod) => {
                if let Some(seen) = pod.seen() {
                    if let Some(listed) = &mut self.listed {
                        listed.insert(seen.uid.clone());
                    }
                    self.changes.send(Change::Listed(seen.into())).await?;
                }
            }
            Event::InitDone => {
                self.pods = self.listed.take().unwrap_or_default();
                self.changes.send(Change::Complete).await?;
                if self.state.synced(self.pods.len()) {
                    tracing::info!(pods = self.pods.len(), "the watch of pods follows");
                }
            }
            Event::Apply(pod) => {
                if let Some(seen) = pod.seen() {
                    self.pods.insert(seen.uid.clone());
                    self.changes.send(Change::Applied(seen.into())).await?;
                    self.state.followed(self.pods.len());
                }
            }
            Event::Delete(pod) => {
                if let Some(seen) = pod.seen() {
                    self.pods.remove(&seen.uid);
                    self.changes.send(Change::Deleted(seen.uid)).await?;
                    self.state.followed(self.pods.len());
                }
            }
        }
        Ok(())
    }
}

async fn next_within<S: Stream + Unpin>(events: &mut S, limit: Option<Duration>) -> Option<Option<S::Item>> {
    match limit {
        Some(limit) => tokio::time::timeout(limit, events.next()).await.ok(),
        None => Some(events.next().await),
    }
}

/// Whether the server refused a watch because it was to begin with a list: it does not know such watches (400,
/// 422), or its etcd does not (500: "a watch stream was requested by the client but the required storage feature
/// RequestWatchProgress is disabled").
fn streams_no_lists(error: &watcher::Error) -> bool {
    let says = |status: &kube::core::Status| {
        matches!(status.code, 400 | 422 | 500)
            && ["sendInitialEvents", "RequestWatchProgress"].iter().any(|word| status.message.contains(word))
    };
    match error {
        watcher::Error::WatchStartFailed(kube::Error::Api(status)) => says(status),
        watcher::Error::WatchError(status) => says(status),
        _ => false,
    }
}

/// A random part of a time. Chance enough for spreading: the standard library's hash keys are random.
fn part_of(time: Duration) -> Duration {
    let random = std::hash::RandomState::new().build_hasher().finish();
    time.mul_f64((random >> 11) as f64 / (1_u64 << 53) as f64)
}

#[cfg(test)]
mod tests;
