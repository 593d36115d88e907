//! The newest events, bounded in bytes.

use std::sync::Arc;

use super::items::{ItemRef, Items};
use crate::{
    event::{Event, Kinds},
    identity::Identity,
};

/// The history: a ring.
pub struct History {
    items: Items,
    /// Where the oldest is, once all places are taken.
    first: usize,
    capacity: usize,
}

impl History {
    /// A history of so many bytes; 0 keeps nothing. What identities hold is shared and not counted.
    pub fn new(bytes: usize) -> Self {
        Self { items: Items::default(), first: 0, capacity: bytes / Items::EACH }
    }

    /// The event that has to go for the next one, if there is one.
    pub fn next_to_go(&self) -> Option<ItemRef<'_>> {
        if self.items.len() < self.capacity { None } else { self.items.get(self.first) }
    }

    /// Whether it keeps nothing.
    pub const fn is_off(&self) -> bool {
        self.capacity == 0
    }

    /// Adds the newest.
    pub fn push(&mut self, event: &Event, kinds: Kinds, local: &Arc<Identity>, seq: u64) {
        if self.items.len() < self.capacity {
            if self.items.is_empty() {
                // All of it at once: what grows step by step ends up larger than asked for. Memory that is not written
                // yet is none.
                self.items = Items::with_capacity(self.capacity);
            }
            self.items.push(event, kinds, local, seq);
        } else if self.capacity > 0 {
            self.items.replace(self.first, event, kinds, local, seq);
            self.first = (self.first + 1) % self.capacity;
        }
    }

    /// What came after a number.
    pub fn after(&self, seq: u64) -> impl Iterator<Item = ItemRef<'_>> {
        let newer = self.items.iter().skip(self.first);
        let older = self.items.iter().take(self.first);
        newer.chain(older).skip_while(move |item| item.seq <= seq)
    }

    /// How many events there are.
    pub const fn len(&self) -> usize {
        self.items.len()
    }

    /// Bytes that they take.
    pub const fn bytes(&self) -> usize {
        self.items.len() * Items::EACH
    }
}
