//! A subscriber's queue: bounded; the oldest give way, and are counted.
//!
//! The engine's thread puts in, the stream's task takes out. The lock is held for a push or for moving a batch
//! out; nobody waits while holding it.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;

use crate::{
    event::{Event, Lost},
    identity::Identity,
};

/// An event on its way to a subscriber.
#[derive(Clone, Debug)]
pub struct Item {
    /// What happened; its kinds are those that the subscriber wants.
    pub event: Event,
    /// Whose socket it is.
    pub local: Arc<Identity>,
    /// Counts the events of this run of the agent.
    pub seq: u64,
}

/// What a subscriber lost in its own queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Overflow {
    /// How many events.
    pub count: u64,
    /// When the oldest of them happened, nanoseconds since the Unix epoch.
    pub first_ns: u64,
    /// When the newest of them happened.
    pub last_ns: u64,
}

/// What is taken out at once, in the order in which it is to be told: what was lost, then what is there.
#[derive(Debug, Default)]
pub struct Batch {
    /// What this subscriber lost since the last batch: all of it older than `items`.
    pub overflow: Option<Overflow>,
    /// What was lost on the way here, for all.
    pub lost: Vec<Lost>,
    /// Events.
    pub items: Vec<Item>,
    /// More is there.
    pub more: bool,
    /// No more will come.
    pub ended: Option<End>,
}

/// Why a stream ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// The agent stops: come back.
    Stopping,
    /// The engine broke.
    Broken(String),
}

/// The queue.
pub struct Queue {
    inner: Mutex<Inner>,
    capacity: usize,
    /// Something is there.
    news: Notify,
}

#[derive(Default)]
struct Inner {
    items: VecDeque<Item>,
    overflow: Overflow,
    lost: Vec<Lost>,
    ended: Option<End>,
    total_lost: u64,
    total_taken: u64,
}

/// Kinds of losses that a subscriber can have waiting; a full list adds up in its last entries.
const MOST_LOST: usize = 64;

impl Queue {
    /// A queue for so many events; they take room only while they are there.
    pub fn new(capacity: usize) -> Self {
        Self { inner: Mutex::default(), capacity: capacity.max(1), news: Notify::new() }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nobody panics while holding it; and if so, the events are still whole.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts an event in; a full queue loses its oldest.
    pub fn push(&self, item: Item) {
        let mut inner = self.lock();
        if inner.items.len() >= self.capacity
            && let Some(oldest) = inner.items.pop_front()
        {
            let at = oldest.event.wall_ns;
            let overflow = &mut inner.overflow;
            if overflow.count == 0 {
                overflow.first_ns = at;
            }
            overflow.count += 1;
            overflow.last_ns = at;
            inner.total_lost += 1;
        }
        inner.items.push_back(item);
    }

    /// Tells of a loss before the queue.
    pub fn lost(&self, lost: &[Lost]) {
        let mut inner = self.lock();
        for one in lost {
            let has_room = inner.lost.len() < MOST_LOST;
            let same = inner.lost.iter_mut().find(|old| old.stage == one.stage && old.cpu == one.cpu);
            match same {
                Some(old) => {
                    old.count += one.count;
                    old.until_wall_ns = one.until_wall_ns;
                }
                None if has_room => inner.lost.push(*one),
                None => {
                    // One of the same stage, whatever its CPU, is there by now: CPUs are what there is many of.
                    if let Some(old) = inner.lost.iter_mut().find(|old| old.stage == one.stage) {
                        old.cpu = None;
                        old.count += one.count;
                        old.until_wall_ns = one.until_wall_ns;
                    }
                }
            }
        }
        drop(inner);
        self.news.notify_one();
    }

    /// Says that no more will come.
    pub fn end(&self, end: End) {
        self.lock().ended.get_or_insert(end);
        self.news.notify_one();
    }

    /// Wakes the reader, if anything is there.
    pub fn wake(&self) {
        if !self.lock().items.is_empty() {
            self.news.notify_one();
        }
    }

    /// Waits until something is there.
    pub async fn news(&self) {
        self.news.notified().await;
    }

    /// How many events wait.
    pub fn len(&self) -> usize {
        self.lock().items.len()
    }

    /// Whether no event waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Moves at most `most` events out into `into`, whose allocations are used again.
    pub fn take(&self, most: usize, into: &mut Batch) {
        into.items.clear();
        into.lost.clear();
        let mut inner = self.lock();
        let count = inner.items.len().min(most);
        into.items.extend(inner.items.drain(..count));
        into.lost.append(&mut inner.lost);
        let overflow = std::mem::take(&mut inner.overflow);
        into.overflow = (overflow.count > 0).then_some(overflow);
        into.more = !inner.items.is_empty();
        // What is there goes out first.
        into.ended = if into.more { None } else { inner.ended.clone() };
        inner.total_taken += count as u64;
    }

    /// Events that were taken out, and lost, since the beginning.
    pub fn totals(&self) -> (u64, u64) {
        let inner = self.lock();
        (inner.total_taken, inner.total_lost)
    }
}
