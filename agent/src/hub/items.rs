//! Events one behind the other, each written once: where it stays.
//!
//! An event is half a KiB. As part of a larger value it is put together elsewhere and then moved here; beside what
//! belongs to it, in a vector of its own, it is copied once.

use std::sync::Arc;

use crate::{
    event::{Event, Kinds},
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

/// An [`Item`] that is elsewhere.
#[derive(Clone, Copy, Debug)]
pub struct ItemRef<'a> {
    /// What happened; its kinds are those that the subscriber wants.
    pub event: &'a Event,
    /// Whose socket it is.
    pub local: &'a Arc<Identity>,
    /// Counts the events of this run of the agent.
    pub seq: u64,
}

impl Item {
    /// The same, borrowed.
    pub const fn borrowed(&self) -> ItemRef<'_> {
        ItemRef { event: &self.event, local: &self.local, seq: self.seq }
    }
}

/// Events, oldest first.
#[derive(Debug, Default)]
pub struct Items {
    events: Vec<Event>,
    beside: Vec<Beside>,
}

#[derive(Debug)]
struct Beside {
    local: Arc<Identity>,
    seq: u64,
}

impl Items {
    /// Bytes that one takes.
    pub const EACH: usize = size_of::<Event>() + size_of::<Beside>();

    /// Room for so many.
    pub fn with_capacity(capacity: usize) -> Self {
        Self { events: Vec::with_capacity(capacity), beside: Vec::with_capacity(capacity) }
    }

    /// How many there are.
    pub const fn len(&self) -> usize {
        self.events.len()
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// So many fit without an allocation.
    pub fn capacity(&self) -> usize {
        self.events.capacity().min(self.beside.capacity())
    }

    /// Adds an event, of which only these kinds count.
    #[inline]
    pub fn push(&mut self, event: &Event, kinds: Kinds, local: &Arc<Identity>, seq: u64) {
        let index = self.events.len();
        self.events.extend_from_slice(std::slice::from_ref(event));
        self.events[index].kinds = kinds;
        self.beside.push(Beside { local: Arc::clone(local), seq });
    }

    /// Writes an event over another.
    #[inline]
    pub fn replace(&mut self, index: usize, event: &Event, kinds: Kinds, local: &Arc<Identity>, seq: u64) {
        let place = &mut self.events[index];
        *place = *event;
        place.kinds = kinds;
        self.beside[index] = Beside { local: Arc::clone(local), seq };
    }

    /// One of them.
    pub fn get(&self, index: usize) -> Option<ItemRef<'_>> {
        let event = self.events.get(index)?;
        let Beside { local, seq } = self.beside.get(index)?;
        Some(ItemRef { event, local, seq: *seq })
    }

    /// All of them.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = ItemRef<'_>> {
        let both = self.events.iter().zip(&self.beside);
        both.map(|(event, Beside { local, seq })| ItemRef { event, local, seq: *seq })
    }

    /// Forgets all of them, and keeps the room.
    pub fn clear(&mut self) {
        self.events.clear();
        self.beside.clear();
    }

    /// Forgets the first so many.
    pub fn remove_first(&mut self, count: usize) {
        self.events.drain(..count);
        self.beside.drain(..count);
    }

    /// Moves the first so many behind those of `into`.
    pub fn move_first(&mut self, count: usize, into: &mut Self) {
        into.events.extend(self.events.drain(..count));
        into.beside.extend(self.beside.drain(..count));
    }
}
