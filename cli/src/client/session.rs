//! The streams of all servers, merged and shown; what is to be said about nodes and losses, on stderr.

use std::{
    collections::VecDeque,
    io::{self, Write},
    ops::ControlFlow,
    pin::pin,
    sync::Arc,
    time::{Duration, Instant},
};

use proto::v1::{
    EventBatch, LossStage, LostEvents, NodeState, NodeStatus, ObserveResponse, observe_response::Payload,
};
use tokio::sync::mpsc::Receiver;

use super::{
    ClientError,
    follow::{News, Update},
    merge::Merge,
};
use crate::{
    args::name::Named as _,
    patient,
    show::{Item, Show, nanoseconds},
};

/// A buffer this full is written even if more news wait.
const FULL: usize = 64 << 10;
/// How often something that waits to be shown is looked at.
const TICK: Duration = Duration::from_millis(20);
/// How far behind its node a socket's next event may be, for views that wait for it.
const BEHIND: Duration = Duration::from_millis(500);

/// How a session runs.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Nothing of nodes that come and go.
    pub quiet: bool,
    /// End after so many rows.
    pub max_rows: Option<u64>,
    /// How long an event waits for older ones.
    pub window: Duration,
    /// Only the newest so many events of all: they are known at the end.
    pub newest: Option<u64>,
}

/// A session. `say` gets the lines for stderr.
pub struct Session<W, S> {
    show: Box<dyn Show>,
    writer: W,
    say: S,
    settings: Settings,
    merge: Merge<Item>,
    nodes: Vec<Node>,
    newest: Option<VecDeque<Item>>,
    buffer: Vec<u8>,
    left: Option<u64>,
    broken: Option<io::Error>,
    /// Time of the newest event that was shown, and when that was.
    shown: (u64, Instant),
    failure: Option<ClientError>,
}

/// A server, as the session sees it.
struct Node {
    name: Arc<str>,
    label: String,
    state: State,
    ever: bool,
    /// What was said of its trouble last.
    said: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Connecting,
    Connected,
    Broken,
    /// Nothing more comes from it.
    Over,
}

impl<W: Write, S: FnMut(&str)> Session<W, S> {
    /// A session that writes to `writer`.
    pub fn new(show: Box<dyn Show>, writer: W, say: S, settings: Settings) -> Self {
        Self {
            show,
            writer,
            say,
            merge: Merge::new(settings.window),
            nodes: Vec::new(),
            newest: settings.newest.map(|_| VecDeque::new()),
            buffer: Vec::with_capacity(2 * FULL),
            left: settings.max_rows,
            broken: None,
            shown: (0, Instant::now()),
            failure: None,
            settings,
        }
    }

    /// Runs until all servers said all, `stop`, the row that was the last one asked for, or nobody reads.
    pub async fn run(
        mut self,
        mut updates: Receiver<Update>,
        stop: impl Future<Output = ()>,
    ) -> Result<(), Trouble> {
        let mut stop = pin!(stop);
        self.show.header(&mut self.buffer);
        let mut going = self.flush();
        while going.is_continue() {
            let timer = self.timer();
            let sleep = async {
                match timer {
                    Some(at) => tokio::time::sleep_until(at.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                update = updates.recv() => match update {
                    Some(update) => going = self.news(update),
                    None => break,
                },
                () = sleep => {}
                () = &mut stop => break,
            }
            // What is there already is merged in one go.
            while going.is_continue()
                && self.buffer.len() < FULL
                && let Ok(update) = updates.try_recv()
            {
                going = self.news(update);
            }
            if going.is_continue() {
                going = self.release();
            }
        }
        self.finish()
    }

    fn timer(&self) -> Option<Instant> {
        let tick = self.show.waits().then(|| Instant::now() + TICK);
        self.merge.deadline().into_iter().chain(tick).min()
    }

    fn news(&mut self, Update { server, news }: Update) -> ControlFlow<()> {
        match news {
            News::Added { name, label } => {
                self.nodes.push(Node { name, label, state: State::Connecting, ever: false, said: None });
                self.merge.open(server);
            }
            News::Connected => self.connected(server),
            News::Said(response) => self.said(server, *response),
            News::Broken { error, pause } => return self.broke(server, error, pause),
            News::Ended | News::Gone => {
                if matches!(news, News::Gone) {
                    self.tell_of(server, "gone: nothing that was asked for is on it any more");
                }
                self.over(server);
                return self.end_if_all_are_over();
            }
            News::Failed(error) => {
                self.over(server);
                let others = self.nodes.iter().any(|node| node.state != State::Over || node.ever);
                let known = self.nodes.get(server).is_some();
                if !known || !others || self.nodes.len() == 1 {
                    self.failure = Some(error);
                    return ControlFlow::Break(());
                }
                self.warn_of(server, &error.to_string());
                self.failure.get_or_insert(error);
                return self.end_if_all_are_over();
            }
            News::Blind(error) => {
                let text = format!("the cluster cannot be looked at for new nodes: {error}");
                self.tell(&text);
            }
        }
        ControlFlow::Continue(())
    }

    fn connected(&mut self, server: usize) {
        self.merge.open(server);
        let Some(node) = self.nodes.get_mut(server) else { return };
        let again = node.said.take().is_some();
        (node.state, node.ever) = (State::Connected, true);
        if again {
            self.tell_of(server, "connected again");
        }
    }

    fn broke(&mut self, server: usize, error: ClientError, pause: Duration) -> ControlFlow<()> {
        self.merge.close(server);
        let Some(node) = self.nodes.get_mut(server) else { return ControlFlow::Continue(()) };
        node.state = State::Broken;
        let hopeless = self.nodes.iter().all(|node| !node.ever && node.state != State::Connecting);
        if hopeless {
            // Not one server was ever there: what was asked for is wrong, not only late.
            let label =
                if self.nodes.len() == 1 { String::new() } else { format!("{}: ", self.nodes[server].label) };
            self.failure = Some(match error {
                ClientError::Unreachable(text) => ClientError::Unreachable(format!("{label}{text}")),
                other => other,
            });
            return ControlFlow::Break(());
        }
        let text = error.to_string();
        let node = &mut self.nodes[server];
        if node.said.as_ref() != Some(&text) {
            node.said = Some(text.clone());
            let seconds = pause.as_secs_f64();
            self.tell_of(server, &format!("{text}; trying again in {seconds:.1} s"));
        }
        ControlFlow::Continue(())
    }

    fn over(&mut self, server: usize) {
        self.merge.close(server);
        if let Some(node) = self.nodes.get_mut(server) {
            node.state = State::Over;
        }
    }

    fn end_if_all_are_over(&mut self) -> ControlFlow<()> {
        if self.nodes.iter().all(|node| node.state == State::Over) {
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }

    fn said(&mut self, server: usize, response: ObserveResponse) {
        let Some(node) = self.nodes.get(server) else { return };
        let name = if response.node_name.is_empty() {
            Arc::clone(&node.name)
        } else {
            response.node_name.as_str().into()
        };
        match response.payload {
            Some(Payload::Events(EventBatch { events, .. })) => {
                let now = Instant::now();
                for event in events {
                    let time = nanoseconds(event.time.as_ref());
                    let item = Item { node: Arc::clone(&name), time: response.time, event };
                    self.merge.push(time, item, now);
                }
            }
            Some(Payload::Heartbeat(heartbeat)) => {
                self.merge.watermark(server, nanoseconds(heartbeat.watermark.as_ref()));
            }
            Some(Payload::Lost(lost)) => {
                let text = format!("node {name}: {}", loss(&lost));
                (self.say)(&text);
                self.keep(&ObserveResponse { payload: Some(Payload::Lost(lost)), ..response });
            }
            Some(Payload::NodeStatus(status)) => {
                for line in node_lines(&name, &status) {
                    self.tell(&line);
                }
                self.keep(&ObserveResponse { payload: Some(Payload::NodeStatus(status)), ..response });
            }
            // Nothing of it was asked for; a newer server may have more to say than is known here.
            None | Some(Payload::CompactEvents(_) | Payload::Report(_)) => {}
            Some(Payload::Stacks(_)) => self.keep(&response),
        }
    }

    /// For formats that keep everything.
    fn keep(&mut self, response: &ObserveResponse) {
        self.show.message(response, &mut self.buffer);
    }

    /// Shows what has waited long enough.
    fn release(&mut self) -> ControlFlow<()> {
        while let Some(item) = self.merge.pop(Instant::now()) {
            self.take(item);
            if self.left == Some(0) {
                break;
            }
            if self.buffer.len() >= FULL {
                self.flush()?;
            }
        }
        if self.show.waits() && self.left != Some(0) {
            let behind = self.shown.1.elapsed().saturating_sub(BEHIND);
            let up_to = self.shown.0.saturating_add(u64::try_from(behind.as_nanos()).unwrap_or(u64::MAX));
            let rows = self.show.idle(if behind.is_zero() { 0 } else { up_to }, &mut self.buffer);
            self.count(rows);
        }
        self.flush()
    }

    fn take(&mut self, item: Item) {
        match (&mut self.newest, self.settings.newest) {
            (Some(newest), Some(most)) => {
                // A node that answers late is let go by the merge behind others: here the time alone counts.
                let at = |item: &Item| nanoseconds(item.event.time.as_ref());
                let place = newest.partition_point(|one| at(one) <= at(&item));
                newest.insert(place, item);
                if newest.len() as u64 > most {
                    newest.pop_front();
                }
            }
            _ => self.show_one(&item),
        }
    }

    fn show_one(&mut self, item: &Item) {
        self.shown = (nanoseconds(item.event.time.as_ref()), Instant::now());
        let rows = self.show.event(item, &mut self.buffer);
        self.count(rows);
    }

    fn count(&mut self, rows: u64) {
        if let Some(left) = &mut self.left {
            *left = left.saturating_sub(rows);
        }
    }

    fn flush(&mut self) -> ControlFlow<()> {
        if !self.buffer.is_empty() && self.broken.is_none() {
            self.broken = patient::write_all(&mut self.writer, &self.buffer).err();
        }
        self.buffer.clear();
        if self.broken.is_some() || self.left == Some(0) {
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }

    fn finish(mut self) -> Result<(), Trouble> {
        let rest: Vec<Item> = self.merge.drain().collect();
        for item in rest {
            if self.left == Some(0) {
                break;
            }
            self.take(item);
        }
        for item in self.newest.take().into_iter().flatten() {
            self.show_one(&item);
        }
        if self.left != Some(0) {
            self.show.finish(&mut self.buffer);
        }
        let _ = self.flush();
        patient::verdict(self.broken).map_err(Trouble::Output)?;
        self.failure.map_or(Ok(()), |error| Err(Trouble::Client(error)))
    }

    fn tell(&mut self, text: &str) {
        if !self.settings.quiet {
            (self.say)(text);
        }
    }

    fn tell_of(&mut self, server: usize, text: &str) {
        let Some(node) = self.nodes.get(server) else { return };
        let text = format!("{}: {text}", node.label);
        self.tell(&text);
    }

    /// What is said also to those who want quiet: something of what was asked for is missing.
    fn warn_of(&mut self, server: usize, text: &str) {
        let Some(node) = self.nodes.get(server) else { return };
        let text = format!("{}: {text}", node.label);
        (self.say)(&text);
    }
}

/// Why a session failed.
#[derive(Debug)]
pub enum Trouble {
    /// A server.
    Client(ClientError),
    /// Standard output.
    Output(io::Error),
}

/// What was lost, where, and what would help.
pub fn loss(lost: &LostEvents) -> String {
    let count = match lost.count {
        Some(1) => "1 event".to_owned(),
        Some(count) => format!("{count} events"),
        None => "events".to_owned(),
    };
    let kind = match lost.kind() {
        proto::v1::EventKind::Unspecified => String::new(),
        kind => format!(" ({})", kind.spelled()),
    };
    let place = match lost.stage() {
        LossStage::Unspecified => "somewhere",
        LossStage::KernelRing => "in the ring between kernel and agent",
        LossStage::KernelMap => "because a map of the kernel programs was full",
        LossStage::KernelMissed => "because the kernel skipped a program",
        LossStage::AgentQueue => "in a queue of the agent",
        LossStage::SubscriberQueue => "in this subscription's queue: it is read too slowly",
        LossStage::History => "from the history: it does not reach back so far",
        LossStage::CollectorQueue => "in a queue of the collector",
        LossStage::Sampling => "on purpose, by sampling",
        LossStage::Decode => "because the agent could not read them",
    };
    let remedy = match lost.remedy.as_str() {
        "" => String::new(),
        remedy => format!("; raise {remedy}"),
    };
    match lost.repaired {
        true => format!("{count}{kind} not seen as they happened, made up later and marked"),
        false => format!("{count}{kind} lost {place}{remedy}"),
    }
}

/// A node's state, and what its tools lack.
fn node_lines(name: &str, status: &NodeStatus) -> Vec<String> {
    let node = if status.node_name.is_empty() { name } else { &status.node_name };
    let mut lines = Vec::new();
    let state = match status.state() {
        // Said only where there is more to say.
        NodeState::Unspecified | NodeState::Connected => None,
        other => Some(other.spelled()),
    };
    match (state, status.message.as_str()) {
        (None, "") => {}
        (Some(state), "") => lines.push(format!("node {node}: {state}")),
        (None, message) => lines.push(format!("node {node}: {message}")),
        (Some(state), message) => lines.push(format!("node {node}: {state}: {message}")),
    }
    for tool in &status.degraded_tools {
        lines.push(format!("node {node}: {}: {}", tool.tool, tool.reasons.join("; ")));
    }
    lines
}

#[cfg(test)]
mod tests;
