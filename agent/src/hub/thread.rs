//! The engine's thread: the programs are attached while somebody wants them, and a while after.

use std::{
    sync::{Arc, Mutex, PoisonError},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use tokio::sync::{mpsc, oneshot};

use super::{
    condition::Condition,
    exchange::Exchange,
    items::Item,
    naming::Naming,
    queue::{End, Queue},
    rate::Rate,
    wish::{Token, Wish},
};
use crate::{
    bpf::{Counts, pages},
    decode::Context,
    engine::{Config, Degraded, Engine, EngineError},
    event::{Event, Kinds, LostStage},
    filter::Filter,
    host::{
        Roots,
        clock::{self, Clock},
    },
};

/// How the hub is set up.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Size of the bulk ring in bytes.
    pub ring_bytes: u32,
    /// Bytes of the history.
    pub history_bytes: usize,
    /// Keep the history although nobody is subscribed.
    pub history_always: bool,
    /// Events that can wait for one subscriber.
    pub queue_events: usize,
    /// Subscribers at a time.
    pub most_subscribers: usize,
    /// How long the programs stay attached after the last one left.
    pub detach_after: Duration,
    /// How long an event waits for its pod's name.
    pub metadata_wait: Duration,
    /// Where the machine shows itself.
    pub roots: Roots,
    /// What records do not say.
    pub context: Context,
}

/// Why there is no subscription.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubscribeError {
    /// There are too many.
    #[error("{0} subscribers are the limit of this agent")]
    TooMany(usize),
    /// The kernel programs cannot be loaded.
    #[error("{0}")]
    Engine(String),
    /// The agent stops.
    #[error("the agent stops")]
    Stopping,
}

/// A subscriber's end.
pub struct Subscriber {
    /// Its number.
    pub id: u64,
    /// Its queue.
    pub queue: Arc<Queue>,
    /// What it asked for of the past.
    pub past: Vec<Item>,
    /// How much of that is gone: `Some(None)` = not known how much.
    pub gone: Option<Option<u64>>,
    /// This run of the agent.
    epoch: u64,
    /// The newest event when it came.
    pub seq: u64,
    commands: mpsc::UnboundedSender<Command>,
}

impl Subscriber {
    /// Where a stream can go on after an event.
    pub fn token(&self, seq: u64) -> Token {
        Token { epoch: self.epoch, subscription: self.id, seq }
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        // The thread may be gone already.
        let _ = self.commands.send(Command::Leave(self.id));
    }
}

/// What the hub is doing.
#[derive(Clone, Debug, Default)]
pub struct Status {
    /// The programs that are attached, with what the kernel counted of each.
    pub programs: Vec<(&'static str, Counts)>,
    /// What this kernel cannot give.
    pub degraded: Vec<Degraded>,
    /// What was lost since the start.
    pub losses: Vec<(LostStage, u64)>,
    /// Who is subscribed.
    pub subscribers: Vec<SubscriptionStatus>,
    /// Events since the start, by kind.
    pub events_by_kind: Vec<(&'static str, u64)>,
    /// Events that subscribers took since the start, those who left included.
    pub sent: u64,
    /// The rings, while there is an engine.
    pub rings: Vec<RingStatus>,
    /// Events in the history.
    pub history: usize,
    /// Bytes that they take.
    pub history_bytes: usize,
    /// Events a second in the last minute.
    pub events_per_second: f64,
    /// When it started, nanoseconds since the Unix epoch.
    pub started_wall_ns: u64,
    /// Now.
    pub now_wall_ns: u64,
    /// Why the engine does not run, where it should.
    pub error: Option<String>,
}

/// A ring, for the status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RingStatus {
    /// Its name, as bpftool shows it.
    pub name: &'static str,
    /// Its size in bytes.
    pub size: u64,
    /// Bytes that wait to be read.
    pub used: u64,
}

/// A subscriber, for the status.
#[derive(Clone, Debug)]
pub struct SubscriptionStatus {
    /// Its number.
    pub id: u64,
    /// Who it is.
    pub client: String,
    /// Since it came.
    pub age: Duration,
    /// Events that it took.
    pub taken: u64,
    /// Events that it lost in its queue.
    pub lost: u64,
    /// Events that wait for it.
    pub queued: u64,
    /// Parts of its filters that run in the kernel.
    pub in_kernel: Vec<String>,
    /// Parts that run behind it.
    pub in_user_space: Vec<String>,
}

enum Command {
    Subscribe(Box<Wish>, String, oneshot::Sender<Result<Subscriber, SubscribeError>>),
    Leave(u64),
    Status(oneshot::Sender<Status>),
    Sockets(Box<Wish>, oneshot::Sender<Result<Vec<Item>, SubscribeError>>),
    Refresh,
    Stop,
}

/// The way to the thread.
#[derive(Clone)]
pub struct Hub {
    commands: mpsc::UnboundedSender<Command>,
    published: Arc<Mutex<Arc<Status>>>,
}

impl Hub {
    /// Starts the thread, which makes its names itself. It ends after [`Hub::stop`].
    pub fn start<N, F>(settings: Settings, names: F) -> std::io::Result<(Self, JoinHandle<()>)>
    where
        N: Naming,
        F: FnOnce() -> N + Send + 'static,
    {
        let (commands, inbox) = mpsc::unbounded_channel();
        let sender = commands.clone();
        let published = Arc::default();
        let publish = Arc::clone(&published);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let thread = std::thread::Builder::new().name("engine".to_owned()).spawn(move || {
            let mut running = Running::new(settings, names(), inbox, sender, publish);
            runtime.block_on(running.run());
        })?;
        Ok((Self { commands, published }, thread))
    }

    /// Subscribes.
    pub async fn subscribe(&self, wish: Wish, client: String) -> Result<Subscriber, SubscribeError> {
        let (reply, answer) = oneshot::channel();
        let command = Command::Subscribe(Box::new(wish), client, reply);
        self.commands.send(command).map_err(|_| SubscribeError::Stopping)?;
        answer.await.map_err(|_| SubscribeError::Stopping)?
    }

    /// What the hub is doing; `None` when it stopped.
    pub async fn status(&self) -> Option<Status> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(Command::Status(reply)).ok()?;
        answer.await.ok()
    }

    /// What the hub was doing a moment ago; waits for nobody.
    pub fn last_status(&self) -> Arc<Status> {
        Arc::clone(&self.published.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Every socket now that a wish's filters let in, as synthetic events.
    pub async fn sockets(&self, wish: Wish) -> Result<Vec<Item>, SubscribeError> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(Command::Sockets(Box::new(wish), reply)).map_err(|_| SubscribeError::Stopping)?;
        answer.await.map_err(|_| SubscribeError::Stopping)?
    }

    /// More is known of pods: the thread is to look.
    pub fn refresh(&self) {
        let _ = self.commands.send(Command::Refresh);
    }

    /// Ends all streams, then the thread.
    pub fn stop(&self) {
        let _ = self.commands.send(Command::Stop);
    }
}

/// How old the published status may be.
const PUBLISH_EVERY: Duration = Duration::from_secs(2);

/// After the engine could not be loaded, how long until it is tried again by itself.
const TRY_AGAIN: Duration = Duration::from_secs(30);

struct Running<N> {
    settings: Settings,
    exchange: Exchange<N>,
    engine: Option<Engine>,
    /// The kinds for which probes are attached.
    attached_for: Kinds,
    inbox: mpsc::UnboundedReceiver<Command>,
    commands: mpsc::UnboundedSender<Command>,
    epoch: u64,
    next_id: u64,
    error: Option<String>,
    tried: Option<Instant>,
    /// Nobody has wanted anything since.
    idle_since: Option<Instant>,
    /// Somebody came or went: filters are to be made anew.
    changed: bool,
    /// Code ran that runs rarely: its pages can go.
    ran_rare_code: bool,
    stopping: bool,
    rate: Rate,
    published: Arc<Mutex<Arc<Status>>>,
    publish_at: Instant,
    started_wall_ns: u64,
}

fn ring_status((name, size, used): (&'static str, u64, u64)) -> RingStatus {
    RingStatus { name, size, used }
}

/// Nanoseconds since the Unix epoch.
fn wall_ns() -> u64 {
    Clock::measure().wall_ns(clock::boot_ns())
}

impl<N: Naming> Running<N> {
    fn new(
        settings: Settings,
        names: N,
        inbox: mpsc::UnboundedReceiver<Command>,
        commands: mpsc::UnboundedSender<Command>,
        published: Arc<Mutex<Arc<Status>>>,
    ) -> Self {
        let exchange = Exchange::new(
            names,
            settings.history_bytes,
            settings.history_always,
            settings.metadata_wait,
            settings.detach_after,
        );
        Self {
            settings,
            exchange,
            engine: None,
            attached_for: Kinds::default(),
            inbox,
            commands,
            // Different for each run, as the clock is.
            epoch: clock::boot_ns() ^ u64::from(std::process::id()).rotate_left(48),
            next_id: 1,
            error: None,
            tried: None,
            idle_since: None,
            changed: true,
            ran_rare_code: true,
            stopping: false,
            rate: Rate::default(),
            published,
            publish_at: Instant::now(),
            started_wall_ns: wall_ns(),
        }
    }

    async fn run(&mut self) {
        // Once at the start: what this kernel can and cannot do is known before somebody asks.
        if let Err(error) = self.attach(super::wish::default_kinds()) {
            self.broke(&error);
        }
        while !self.stopping {
            self.settle();
            if Instant::now() >= self.publish_at {
                self.publish();
            }
            let command = self.until_command().await;
            match command {
                Some(command) => self.obey(command),
                None => self.stopping |= self.inbox.is_closed() && self.inbox.is_empty(),
            }
            // Whatever else has come meanwhile: one change of the filter for all of them.
            while let Ok(command) = self.inbox.try_recv() {
                self.obey(command);
            }
        }
        for subscription in &self.exchange.subscriptions {
            if let Some(queue) = &subscription.queue {
                queue.end(End::Stopping);
            }
        }
        self.engine = None;
    }

    /// Runs the engine, if there is one, until a command comes or something is due.
    async fn until_command(&mut self) -> Option<Command> {
        let due = self.due();
        let inbox = &mut self.inbox;
        let mut command = None;
        let next = async {
            let timer = async {
                match due {
                    Some(due) => tokio::time::sleep_until(due.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                next = inbox.recv() => command = next,
                () = timer => {}
            }
        };
        match &mut self.engine {
            Some(engine) => {
                let mut context = self.settings.context;
                if let Err(error) = engine.run(&mut self.exchange, &mut context, next).await {
                    self.broke(&error);
                }
            }
            None => next.await,
        }
        command
    }

    /// When something is to be done without a command.
    fn due(&self) -> Option<Instant> {
        let detach =
            self.engine.as_ref().and(self.idle_since).map(|since| since + self.settings.detach_after);
        let again = self.error.as_ref().and(self.tried).map(|tried| tried + TRY_AGAIN);
        let publish = Some(self.publish_at);
        [detach, again, publish, self.exchange.next_to_forget()].into_iter().flatten().min()
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Subscribe(wish, client, reply) => {
                let _ = reply.send(self.subscribe(*wish, client));
            }
            Command::Leave(id) => self.exchange.leave(id),
            Command::Status(reply) => {
                let _ = reply.send(self.status());
            }
            Command::Sockets(wish, reply) => {
                let _ = reply.send(self.sockets(&wish));
            }
            Command::Refresh => self.exchange.refresh(clock::boot_ns()),
            Command::Stop => self.stopping = true,
        }
    }

    fn subscribe(&mut self, wish: Wish, client: String) -> Result<Subscriber, SubscribeError> {
        let present = self.exchange.subscriptions.iter().filter(|one| one.queue.is_some()).count();
        if present >= self.settings.most_subscribers {
            return Err(SubscribeError::TooMany(self.settings.most_subscribers));
        }
        let (past, gone) =
            if wish.past.is_wanted() { self.exchange.past(&wish, self.epoch) } else { (Vec::new(), None) };
        let id = self.next_id;
        self.next_id += 1;
        let queue = Arc::new(Queue::new(self.settings.queue_events));
        if wish.follow || wish.until_ns.is_some() {
            self.exchange.add(id, client, wish, Arc::clone(&queue));
            self.changed = true;
            self.settle();
            if let Some(error) = &self.error {
                let error = error.clone();
                self.exchange.subscriptions.retain(|one| one.id != id);
                self.changed = true;
                return Err(SubscribeError::Engine(error));
            }
        }
        let commands = self.commands.clone();
        Ok(Subscriber { id, queue, past, gone, epoch: self.epoch, seq: self.exchange.seq, commands })
    }

    /// Makes the kernel what those who are there want.
    fn settle(&mut self) {
        let now = Instant::now();
        self.changed |= self.exchange.forget(now) || self.exchange.stale;
        let kinds = self.exchange.kinds();
        if !self.exchange.is_wanted() {
            let since = *self.idle_since.get_or_insert(now);
            if now.duration_since(since) >= self.settings.detach_after {
                self.engine = None;
                self.exchange.subscriptions.clear();
                self.attached_for = Kinds::default();
                self.error = None;
            }
        } else {
            self.idle_since = None;
        }
        let retry = self.error.is_some() && self.tried.is_some_and(|tried| now - tried >= TRY_AGAIN);
        if !(self.changed || retry) || !self.exchange.is_wanted() && self.engine.is_none() {
            return;
        }
        self.changed = false;
        if let Err(error) = self.attach(kinds) {
            self.broke(&error);
            return;
        }
        let compiled = self.exchange.compiled();
        let names = &self.exchange.names;
        if let Some(engine) = &mut self.engine {
            match engine.set_filter(compiled, &|cgroup| names.knows_cgroup(cgroup)) {
                Ok(()) => self.error = None,
                // Everything passes now, and is filtered here.
                Err(error) => {
                    tracing::warn!(%error, "filters do not fit into the kernel; they run in user space");
                }
            }
        }
    }

    fn attach(&mut self, kinds: Kinds) -> Result<(), EngineError> {
        let config = Config {
            kinds,
            filter: Filter::default(),
            ring_bytes: self.settings.ring_bytes,
            syscall_failures: false,
            snapshot: true,
            names: true,
            roots: self.settings.roots.clone(),
            pinned_cgroup: None,
            pinned_mntns: None,
            shared: true,
        };
        self.tried = Some(Instant::now());
        if self.engine.is_some() && kinds == self.attached_for {
            return Ok(());
        }
        self.ran_rare_code = true;
        match &mut self.engine {
            Some(engine) => engine.adjust(&config)?,
            None => {
                let mut engine = Engine::load(&config)?;
                for place in engine.take_places() {
                    self.exchange.names.process(&place);
                }
                self.engine = Some(engine);
            }
        }
        self.attached_for = kinds;
        Ok(())
    }

    /// The engine does not run: those who wait for it are told.
    fn broke(&mut self, error: &EngineError) {
        let mut text = error.to_string();
        let mut source = std::error::Error::source(error);
        while let Some(cause) = source {
            text = format!("{text}: {cause}");
            source = cause.source();
        }
        tracing::error!(error = text, "the kernel programs do not run");
        self.engine = None;
        self.attached_for = Kinds::default();
        for subscription in &self.exchange.subscriptions {
            if let Some(queue) = &subscription.queue {
                queue.end(End::Broken(text.clone()));
            }
        }
        self.error = Some(text);
    }

    /// Puts down how things are, for those who cannot wait.
    fn publish(&mut self) {
        let status = Arc::new(self.status());
        *self.published.lock().unwrap_or_else(PoisonError::into_inner) = status;
        self.publish_at = Instant::now() + PUBLISH_EVERY;
        if std::mem::take(&mut self.ran_rare_code) {
            pages::let_go(&self.settings.roots);
        }
    }

    fn status(&mut self) -> Status {
        let now = Instant::now();
        let subscribers = self.exchange.subscriptions.iter().filter_map(|one| {
            let queue = one.queue.as_ref()?;
            let (taken, lost) = queue.totals();
            let (mut in_kernel, mut in_user_space) = (Vec::new(), Vec::new());
            for condition in one.wish.allow.iter().chain(&one.wish.deny) {
                condition.explain(&mut in_kernel, &mut in_user_space);
            }
            if one.shares {
                // The kernel lets through what others want, too.
                in_user_space.append(&mut in_kernel);
                if in_user_space.is_empty() {
                    in_user_space.push("kinds".to_owned());
                }
            }
            Some(SubscriptionStatus {
                id: one.id,
                client: one.client.clone(),
                age: now - one.since,
                taken,
                lost,
                queued: queue.len() as u64,
                in_kernel,
                in_user_space,
            })
        });
        Status {
            error: self.error.clone(),
            programs: self.engine.as_ref().map(|engine| engine.programs().collect()).unwrap_or_default(),
            degraded: self.engine.as_ref().map(|engine| engine.degraded().to_vec()).unwrap_or_default(),
            losses: self.exchange.losses.clone(),
            subscribers: subscribers.collect(),
            events_by_kind: self.exchange.by_kind(),
            sent: self.exchange.sent(),
            rings: self.engine.iter().flat_map(Engine::rings).map(ring_status).collect(),
            events_per_second: self.rate.per_second(self.exchange.seq, now),
            started_wall_ns: self.started_wall_ns,
            now_wall_ns: wall_ns(),
            history: self.exchange.history.len(),
            history_bytes: self.exchange.history.bytes(),
        }
    }

    fn sockets(&mut self, wish: &Wish) -> Result<Vec<Item>, SubscribeError> {
        if self.engine.is_none() {
            if let Err(error) = self.attach(Kinds::default()) {
                self.broke(&error);
            }
            self.idle_since = Some(Instant::now());
        }
        let Some(engine) = &mut self.engine else {
            return Err(SubscribeError::Engine(self.error.clone().unwrap_or_default()));
        };
        let mut found: Vec<Event> = Vec::new();
        let context = Context { wall_offset_ns: Clock::measure().offset_ns(), ..self.settings.context };
        engine
            .sockets(&self.settings.roots, &context, &mut |event| found.push(*event))
            .map_err(|error| SubscribeError::Engine(error.to_string()))?;
        let names = &mut self.exchange.names;
        let items = found.into_iter().map(|event| Item { event, local: names.of(&event), seq: 0 });
        let items: Vec<Item> = items.collect();
        let is_wanted = |item: &Item| {
            let holds = |condition: &Condition| {
                condition.holds_for_socket(&item.event, &item.local, &self.exchange.names)
            };
            (wish.allow.is_empty() || wish.allow.iter().any(holds)) && !wish.deny.iter().any(holds)
        };
        Ok(items.into_iter().filter(is_wanted).collect())
    }
}
