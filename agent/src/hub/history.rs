//! The newest events, bounded in bytes.

use std::{collections::VecDeque, mem::size_of};

use super::queue::Item;

/// The history.
pub struct History {
    items: VecDeque<Item>,
    capacity: usize,
}

impl History {
    /// A history of so many bytes; 0 keeps nothing. What identities hold is shared and not counted.
    pub fn new(bytes: usize) -> Self {
        Self { items: VecDeque::new(), capacity: bytes / size_of::<Item>() }
    }

    /// Adds the newest; gives the oldest where it has to go for it.
    pub fn push(&mut self, item: Item) -> Option<Item> {
        if self.capacity == 0 {
            return Some(item);
        }
        if self.items.capacity() == 0 {
            // All of it at once: what grows step by step ends up larger than asked for. Memory that is not written yet
            // is none.
            self.items.reserve_exact(self.capacity);
        }
        let gone = if self.items.len() >= self.capacity { self.items.pop_front() } else { None };
        self.items.push_back(item);
        gone
    }

    /// What came after a number.
    pub fn after(&self, seq: u64) -> impl Iterator<Item = &Item> {
        let first = self.items.partition_point(|item| item.seq <= seq);
        self.items.range(first..)
    }

    /// How many events there are.
    pub fn len(&self) -> usize {
        self.items.len()
    }
}
