//! The engine's sink: names each event, and puts it into the queues of those who want it.

use std::{
    ops::ControlFlow,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    condition::Condition,
    history::History,
    items::{Item, ItemRef},
    naming::Naming,
    queue::Queue,
    waiting::Waiting,
    wish::Wish,
};
use crate::{
    decode::CgroupMade,
    engine::{Routing, Sink},
    event::{Event, EventKind, Kinds, Lost, LostStage},
    filter::{
        Conjunction, Filter,
        compile::{Compiled, Request, compile},
    },
    host::clock,
    identity::Identity,
};

/// A subscriber, or one that may come back.
pub struct Subscription {
    /// Its number.
    pub id: u64,
    /// Who it is, for the status.
    pub client: String,
    /// What it wants.
    pub wish: Wish,
    /// Its queue; `None` while it is away.
    pub queue: Option<Arc<Queue>>,
    /// When it came.
    pub since: Instant,
    /// When it went away.
    pub left: Option<Instant>,
    /// Events that it wanted and that left the history while it was away: their numbers, ascending.
    pub missed: Vec<u64>,
    /// The kernel has not bits enough for it: it shares them with others, and all of its filters run here.
    pub shares: bool,
    /// The kernel's verdict alone decides.
    exact: bool,
}

/// Numbers kept of what a subscriber misses while it is away; beyond that only their count would be known.
const MOST_MISSED: usize = 65_536;

/// The sink.
pub struct Exchange<N> {
    /// Who has what.
    pub names: N,
    /// The subscribers, in the order of the kernel's shares.
    pub subscriptions: Vec<Subscription>,
    /// The newest events.
    pub history: History,
    /// Keep the history although nobody is subscribed.
    pub always: bool,
    /// The number of the last event.
    pub seq: u64,
    /// What was lost since the start.
    pub losses: Vec<(LostStage, u64)>,
    /// Filters must be made anew: pods came or went.
    pub stale: bool,
    waiting: Waiting,
    /// How long the filter of a subscriber that went away stays in force, so that it can come back without a gap.
    linger: Duration,
    dirty: bool,
    /// Events since the start, by kind.
    counts: [u64; EventKind::ALL.len()],
    /// What those took who left for good.
    sent_before: u64,
}

impl<N: Naming> Exchange<N> {
    /// An exchange without subscribers.
    pub fn new(names: N, history_bytes: usize, always: bool, wait: Duration, linger: Duration) -> Self {
        Self {
            names,
            subscriptions: Vec::new(),
            history: History::new(history_bytes),
            always,
            seq: 0,
            losses: Vec::new(),
            stale: false,
            waiting: Waiting::new(wait),
            linger,
            dirty: false,
            counts: [0; EventKind::ALL.len()],
            sent_before: 0,
        }
    }

    /// Adds a subscriber; its filter is in force after the next [`Exchange::compiled`].
    pub fn add(&mut self, id: u64, client: String, wish: Wish, queue: Arc<Queue>) {
        let since = Instant::now();
        self.subscriptions.push(Subscription {
            id,
            client,
            wish,
            queue: Some(queue),
            since,
            left: None,
            missed: Vec::new(),
            shares: false,
            exact: false,
        });
    }

    /// A subscriber went away; its filter stays for a while.
    pub fn leave(&mut self, id: u64) {
        if let Some(subscription) = self.subscriptions.iter_mut().find(|one| one.id == id) {
            self.sent_before += subscription.queue.take().map_or(0, |queue| queue.totals().0);
            subscription.left = Some(Instant::now());
        }
    }

    /// Forgets those who went away too long ago; whether there were any.
    pub fn forget(&mut self, now: Instant) -> bool {
        let before = self.subscriptions.len();
        let linger = self.linger;
        self.subscriptions.retain(|one| one.left.is_none_or(|left| now.duration_since(left) < linger));
        self.subscriptions.len() != before
    }

    /// When somebody who went away is to be forgotten.
    pub fn next_to_forget(&self) -> Option<Instant> {
        self.subscriptions.iter().filter_map(|one| one.left).min().map(|left| left + self.linger)
    }

    /// What of the history a new subscriber gets, and how much of what it asked for is gone: `None` = unknown.
    pub fn past(&mut self, wish: &Wish, epoch: u64) -> (Vec<Item>, Option<Option<u64>>) {
        let past = &wish.past;
        let mut gone = None;
        let mut items: Vec<Item> = Vec::new();
        let since = past.since_ns.unwrap_or(0);
        let until = past.until_ns.unwrap_or(u64::MAX);
        let after = match past.resume {
            Some(token) if token.epoch == epoch && token.seq <= self.seq => {
                let away = self.subscriptions.iter().position(|one| one.id == token.subscription);
                gone = match away.filter(|index| self.subscriptions[*index].queue.is_none()) {
                    Some(index) => {
                        let was = self.subscriptions.remove(index);
                        let missed = was.missed.iter().filter(|seq| **seq > token.seq).count() as u64;
                        (missed > 0).then_some(Some(missed))
                    }
                    // Nobody kept its filter: what happened meanwhile was not looked at for it.
                    None => Some(None),
                };
                token.seq
            }
            // Another run of the agent.
            Some(_) => {
                gone = Some(None);
                self.seq
            }
            None => 0,
        };
        for item in self.history.after(after) {
            if item.event.wall_ns < since || item.event.wall_ns > until {
                continue;
            }
            let kinds = wanted(wish, item.event, item.local, &self.names);
            if kinds != Kinds::default() {
                let event = Event { kinds, ..*item.event };
                items.push(Item { event, local: Arc::clone(item.local), seq: item.seq });
            }
        }
        if let Some(last) = past.last {
            let superfluous = items.len().saturating_sub(usize::try_from(last).unwrap_or(usize::MAX));
            items.drain(..superfluous);
        }
        if let Some(first) = past.first {
            items.truncate(usize::try_from(first).unwrap_or(usize::MAX));
        }
        (items, gone)
    }

    /// The kernel's sets for everybody, as things are now.
    pub fn compiled(&mut self) -> Compiled {
        self.stale = false;
        let mut filters: Vec<(Filter, Kinds)> = Vec::with_capacity(self.subscriptions.len() + 1);
        for subscription in &mut self.subscriptions {
            let wish = &subscription.wish;
            filters.push((kernel_filter(wish, &self.names), wish.kinds));
            subscription.exact = wish.allow.iter().chain(&wish.deny).all(Condition::is_exact_in_kernel);
        }
        if self.always {
            filters.push((Filter::default(), super::wish::default_kinds()));
        }
        let requests: Vec<Request<'_>> =
            filters.iter().map(|(filter, kinds)| Request { filter, kinds: *kinds }).collect();
        let compiled = compile(&requests, |id| vec![id]);
        for (subscription, share) in self.subscriptions.iter_mut().zip(&compiled.shares) {
            subscription.shares = share.needs_user_filter;
            subscription.exact &= !share.needs_user_filter;
        }
        compiled
    }

    /// Whether somebody is there, or the history is to be kept.
    pub fn is_wanted(&self) -> bool {
        self.always || self.subscriptions.iter().any(|one| one.queue.is_some())
    }

    /// All kinds that somebody wants.
    pub fn kinds(&self) -> Kinds {
        let wanted = self.subscriptions.iter().map(|one| one.wish.kinds.0);
        let always = if self.always { super::wish::default_kinds().0 } else { 0 };
        Kinds(wanted.fold(always, |all, one| all | one))
    }

    /// Events since the start, by kind.
    pub fn by_kind(&self) -> Vec<(&'static str, u64)> {
        EventKind::ALL.into_iter().map(|kind| (kind.name(), self.counts[kind as usize])).collect()
    }

    /// Events that were taken out of queues since the start.
    pub fn sent(&self) -> u64 {
        let queues = self.subscriptions.iter().filter_map(|one| one.queue.as_ref());
        self.sent_before + queues.map(|queue| queue.totals().0).sum::<u64>()
    }

    /// Takes in what became known of pods, and lets go who waited for it.
    pub fn refresh(&mut self, now_boot_ns: u64) {
        if self.names.refresh() {
            self.stale |= self.subscriptions.iter().any(|one| has_pods(&one.wish));
        }
        self.release(now_boot_ns);
    }

    fn release(&mut self, now_boot_ns: u64) {
        loop {
            let names = &mut self.names;
            let next = self.waiting.next(now_boot_ns, |event| !names.of(event).pending);
            let Some(event) = next else { return };
            let who = self.names.of(&event);
            self.hand_out(&event, &who, None);
        }
    }

    /// Puts an event into the queues of those who want it.
    fn hand_out(&mut self, event: &Event, who: &Arc<Identity>, routing: Option<&Routing<'_>>) {
        let seq = self.seq + 1;
        let verdict = routing.filter(|routing| routing.is_current);
        let mut all = Kinds::default();
        for (index, subscription) in self.subscriptions.iter().enumerate() {
            let wish = &subscription.wish;
            let by_kernel =
                verdict.map(|routing| routing.compiled.share(index, routing.verdict, event.kinds));
            let kinds = match by_kernel {
                Some(kinds) if subscription.exact || kinds == Kinds::default() => kinds,
                _ => wanted(wish, event, who, &self.names),
            };
            if kinds == Kinds::default() {
                continue;
            }
            all.0 |= kinds.0;
            if let Some(queue) = &subscription.queue {
                queue.push(event, kinds, who, seq);
            }
        }
        if self.always {
            all.0 |= event.kinds.0 & super::wish::default_kinds().0;
        }
        if all == Kinds::default() {
            return;
        }
        self.seq = seq;
        self.dirty = true;
        let newest = ItemRef { event, local: who, seq };
        let gone = if self.history.is_off() { Some(newest) } else { self.history.next_to_go() };
        if let Some(gone) = gone {
            note_missed(&mut self.subscriptions, gone, &self.names);
        }
        self.history.push(event, all, who, seq);
    }

    /// Wakes the readers of what was handed out.
    fn wake(&mut self) {
        if std::mem::take(&mut self.dirty) {
            for queue in self.subscriptions.iter().filter_map(|one| one.queue.as_ref()) {
                queue.wake();
            }
        }
    }
}

impl<N: Naming> Sink for Exchange<N> {
    fn event(&mut self, event: &Event) -> ControlFlow<()> {
        let who = self.names.of(event);
        self.hand_out(event, &who, None);
        ControlFlow::Continue(())
    }

    fn record(&mut self, event: &mut Event, routing: &Routing<'_>) -> ControlFlow<()> {
        for kind in event.kinds.iter() {
            self.counts[kind as usize] += 1;
        }
        let who = self.names.of(event);
        if who.pending || self.waiting.has(event.cgroup_id) {
            if let Some(oldest) = self.waiting.push(*event) {
                let who = self.names.of(&oldest);
                self.hand_out(&oldest, &who, None);
            }
        } else {
            self.hand_out(event, &who, Some(routing));
        }
        ControlFlow::Continue(())
    }

    fn cgroup(&mut self, made: &CgroupMade) {
        self.names.cgroup_made(made);
    }

    fn idle(&mut self, now_boot_ns: u64) -> ControlFlow<()> {
        // The end of time is when a run ends; here it goes on after a command.
        self.refresh(if now_boot_ns == u64::MAX { clock::boot_ns() } else { now_boot_ns });
        self.wake();
        if self.stale { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn deadline(&self) -> Option<u64> {
        self.waiting.deadline()
    }

    fn lost(&mut self, lost: &[Lost]) -> ControlFlow<()> {
        for one in lost {
            match self.losses.iter_mut().find(|(stage, _)| *stage == one.stage) {
                Some((_, count)) => *count += one.count,
                None => self.losses.push((one.stage, one.count)),
            }
        }
        for queue in self.subscriptions.iter().filter_map(|one| one.queue.as_ref()) {
            queue.lost(lost);
        }
        ControlFlow::Continue(())
    }
}

/// An event leaves the history: those who are away, and wanted it, miss it.
fn note_missed(subscriptions: &mut [Subscription], gone: ItemRef<'_>, names: &impl Naming) {
    for subscription in subscriptions.iter_mut().filter(|one| one.queue.is_none()) {
        let kinds = wanted(&subscription.wish, gone.event, gone.local, names);
        if kinds != Kinds::default() && subscription.missed.len() < MOST_MISSED {
            subscription.missed.push(gone.seq);
        }
    }
}

/// The kinds of an event that a subscriber wants.
pub fn wanted(wish: &Wish, event: &Event, who: &Identity, names: &impl Naming) -> Kinds {
    let any = |conditions: &[Condition]| {
        conditions.iter().fold(0, |kinds, condition| kinds | condition.holds(event, who, names).0)
    };
    let allowed = if wish.allow.is_empty() { u32::MAX } else { any(&wish.allow) };
    let asked = event.kinds.0 & wish.kinds.0 & allowed;
    if asked == 0 || wish.deny.is_empty() { Kinds(asked) } else { Kinds(asked & !any(&wish.deny)) }
}

fn has_pods(wish: &Wish) -> bool {
    wish.allow.iter().any(|condition| condition.pods.is_some() || !condition.rest.cgroups.is_empty())
}

/// The kernel's filter for a wish: it lets through at least what the wish lets through.
fn kernel_filter(wish: &Wish, names: &impl Naming) -> Filter {
    let mut allow: Vec<Conjunction> =
        wish.allow.iter().filter_map(|condition| condition.to_allow(names)).collect();
    if allow.is_empty() && !wish.allow.is_empty() {
        // No socket is in the network namespace 0: nothing gets in now.
        allow.push(Conjunction { netns: vec![0], ..Conjunction::default() });
    }
    Filter { allow, deny: wish.deny.iter().filter_map(Condition::to_deny).collect() }
}
