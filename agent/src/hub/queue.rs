//! A subscriber's queue: bounded; the oldest give way, and are counted.
//!
//! The engine's thread puts in, the stream's task takes out. The lock is held for a push or for handing a batch
//! out; nobody waits while holding it.
//!
//! Events lie in blocks, and a block goes out as it is: nothing is copied, and a block that comes back is written
//! again while the caches still have it. When nothing has come for a while, the empty blocks are given back; not
//! before, for memory that comes anew is cleared by the kernel, page by page, in the engine's time.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;

use super::items::Items;
use crate::{
    event::{Event, Kinds, Lost},
    identity::Identity,
};

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
    pub items: Items,
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
    /// Never an empty one.
    blocks: VecDeque<Items>,
    /// So many of the first block are lost already.
    skip: usize,
    /// Events that are there.
    len: usize,
    /// Empty ones, to be used again.
    spare: Vec<Items>,
    overflow: Overflow,
    lost: Vec<Lost>,
    ended: Option<End>,
    total_lost: u64,
    total_taken: u64,
}

/// Kinds of losses that a subscriber can have waiting; a full list adds up in its last entries.
const MOST_LOST: usize = 64;

/// Events of a block; a batch is one.
const BLOCK: usize = 512;

impl Inner {
    /// Nothing of the first block is wanted any more: it can be used again.
    fn drop_first(&mut self) {
        self.skip = 0;
        if let Some(mut block) = self.blocks.pop_front().filter(|block| block.capacity() > 0) {
            block.clear();
            self.spare.push(block);
        }
    }

    /// Loses the oldest event.
    fn lose(&mut self) {
        let Some(first) = self.blocks.front() else { return };
        let (Some(oldest), length) = (first.get(self.skip), first.len()) else { return };
        let at = oldest.event.wall_ns;
        let overflow = &mut self.overflow;
        if overflow.count == 0 {
            overflow.first_ns = at;
        }
        overflow.count += 1;
        overflow.last_ns = at;
        self.total_lost += 1;
        self.len -= 1;
        self.skip += 1;
        if length == self.skip {
            self.drop_first();
        }
    }
}

impl Queue {
    /// A queue for so many events; they take room only while they are there.
    pub fn new(capacity: usize) -> Self {
        Self { inner: Mutex::default(), capacity: capacity.max(1), news: Notify::new() }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nobody panics while holding it; and if so, the events are still whole.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts an event in, of which its subscriber wants these kinds; a full queue loses its oldest.
    pub fn push(&self, event: &Event, kinds: Kinds, local: &Arc<Identity>, seq: u64) {
        let mut inner = self.lock();
        if inner.len >= self.capacity {
            inner.lose();
        }
        inner.len += 1;
        match inner.blocks.back_mut().filter(|block| block.len() < block.capacity()) {
            Some(block) => block.push(event, kinds, local, seq),
            None => {
                let spare = inner.spare.pop();
                let mut block = spare.unwrap_or_else(|| Items::with_capacity(BLOCK.min(self.capacity)));
                block.push(event, kinds, local, seq);
                inner.blocks.push_back(block);
            }
        }
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
        if !self.is_empty() {
            self.news.notify_one();
        }
    }

    /// Waits until something is there.
    pub async fn news(&self) {
        self.news.notified().await;
    }

    /// How many events wait.
    pub fn len(&self) -> usize {
        self.lock().len
    }

    /// Whether no event waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Moves the oldest events, at most `most`, out into `into`, whose allocations are used again. There may be more.
    pub fn take(&self, most: usize, into: &mut Batch) {
        into.items.clear();
        into.lost.clear();
        let mut inner = self.lock();
        let skip = std::mem::take(&mut inner.skip);
        if let Some(first) = inner.blocks.front_mut() {
            // What is lost is not told as there.
            first.remove_first(skip);
            if first.len() <= most {
                std::mem::swap(first, &mut into.items);
                inner.drop_first();
            } else {
                first.move_first(most, &mut into.items);
            }
        }
        // Small blocks go together; of a large one a part would have to be copied, and the rest moved.
        while let Some(next) = inner.blocks.front_mut().filter(|next| into.items.len() + next.len() <= most) {
            next.move_first(next.len(), &mut into.items);
            inner.drop_first();
        }
        let count = into.items.len();
        inner.len -= count;
        into.lost.append(&mut inner.lost);
        let overflow = std::mem::take(&mut inner.overflow);
        into.overflow = (overflow.count > 0).then_some(overflow);
        into.more = inner.len > 0;
        // What is there goes out first.
        into.ended = if into.more { None } else { inner.ended.clone() };
        inner.total_taken += count as u64;
    }

    /// Gives back the memory of blocks that are empty. Whoever waits for news calls it: then none is needed soon.
    pub fn tidy(&self) {
        let spare = std::mem::take(&mut self.lock().spare);
        // Not with the lock: it takes the kernel a while.
        drop(spare);
    }

    /// Whether there is something to tidy.
    pub fn is_untidy(&self) -> bool {
        !self.lock().spare.is_empty()
    }

    /// Events that there is memory for.
    #[cfg(test)]
    pub fn room(&self) -> usize {
        let inner = self.lock();
        inner.blocks.iter().chain(&inner.spare).map(Items::capacity).sum()
    }

    /// Events that were taken out, and lost, since the beginning.
    pub fn totals(&self) -> (u64, u64) {
        let inner = self.lock();
        (inner.total_taken, inner.total_lost)
    }
}
