//! The cgroups that are known: a small table that every event looks into, and beside it what is needed to
//! make its entries anew.
//!
//! Nobody tells when a cgroup is gone, and sockets outlive theirs: so entries stay. When there are too many,
//! those give way that are of no living pod and had no event since the last look, the oldest first.

use std::{
    cell::Cell,
    collections::{HashMap, VecDeque},
    num::NonZeroU32,
    sync::Arc,
};

use foldhash::fast::FixedState;

use super::super::cgroup_path::{ContainerRef, Place};
use crate::identity::Identity;

/// How many are kept, unless living pods have more; an entry takes half a KiB.
const MANY: usize = 8_192;

/// How many are kept at most.
const MOST: usize = 131_072;

/// What an event needs.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) who: Arc<Identity>,
    /// The network namespace that its sockets were last seen in.
    netns: Option<NonZeroU32>,
    /// It was asked for since room was made.
    used: Cell<bool>,
}

impl Slot {
    /// Whether its sockets were seen there last, or it is not known where this one is.
    #[inline]
    pub(super) fn is_in(&self, netns: Option<u32>) -> bool {
        netns.is_none_or(|netns| self.netns.map(NonZeroU32::get) == Some(netns))
    }
}

#[derive(Debug)]
struct Known {
    place: Place,
    path: Option<Box<str>>,
}

#[derive(Debug)]
pub(super) struct Cgroups {
    /// The kernel counts the ids up, nobody can choose them to collide: a hash without a secret will do, and
    /// foldhash's takes a nanosecond where the standard one takes ten.
    slots: HashMap<u64, Slot, FixedState>,
    known: HashMap<u64, Known, FixedState>,
    /// By the pod's UID.
    of_pod: HashMap<Box<str>, Vec<u64>>,
    /// Containers whose path does not say which pod they are of.
    of_any: Vec<u64>,
    order: VecDeque<u64>,
    limit: usize,
    forgotten: u64,
}

impl Cgroups {
    pub(super) fn new() -> Self {
        Self {
            slots: HashMap::default(),
            known: HashMap::default(),
            of_pod: HashMap::new(),
            of_any: Vec::new(),
            order: VecDeque::new(),
            limit: MANY,
            forgotten: 0,
        }
    }

    #[inline]
    pub(super) fn slot(&self, id: u64) -> Option<&Slot> {
        let slot = self.slots.get(&id)?;
        slot.used.set(true);
        Some(slot)
    }

    pub(super) fn knows(&self, id: u64) -> bool {
        self.known.contains_key(&id)
    }

    pub(super) fn path(&self, id: u64) -> Option<&str> {
        self.known.get(&id)?.path.as_deref()
    }

    pub(super) fn count(&self) -> (usize, u64) {
        (self.known.len(), self.forgotten)
    }

    pub(super) fn set_netns(&mut self, id: u64, netns: Option<u32>) {
        if let Some(slot) = self.slots.get_mut(&id) {
            slot.netns = netns.and_then(NonZeroU32::new);
        }
    }

    /// Notes a cgroup, or notes it anew.
    pub(super) fn put(
        &mut self,
        id: u64,
        place: Place,
        path: Option<Box<str>>,
        who: Option<Arc<Identity>>,
        is_alive: impl Fn(&str) -> bool,
    ) {
        match self.known.get(&id) {
            Some(known) if known.place == place => {}
            Some(_) => {
                self.unlist(id);
                self.list(id, &place);
            }
            None => {
                if self.known.len() >= self.limit {
                    self.make_room(is_alive);
                }
                self.order.push_back(id);
                self.list(id, &place);
            }
        }
        let path = path.or_else(|| self.known.remove(&id)?.path);
        self.known.insert(id, Known { place, path });
        self.rename(id, who);
    }

    /// The identity is another one now; none where it is not known.
    pub(super) fn rename(&mut self, id: u64, who: Option<Arc<Identity>>) {
        match who {
            Some(who) => {
                let before = self.slots.remove(&id).map(|slot| (slot.netns, slot.used));
                let (netns, used) = before.unwrap_or_default();
                self.slots.insert(id, Slot { who, netns, used });
            }
            None => {
                self.slots.remove(&id);
            }
        }
    }

    fn list(&mut self, id: u64, place: &Place) {
        match place {
            Place::Container(ContainerRef { pod_uid: Some(uid), .. }) => {
                self.of_pod.entry(uid.clone()).or_default().push(id);
            }
            Place::Container(_) | Place::Sibling(_) | Place::Own => self.of_any.push(id),
            Place::Host | Place::Root | Place::Unknown => {}
        }
    }

    fn unlist(&mut self, id: u64) {
        match self.known.get(&id).map(|known| &known.place) {
            Some(Place::Container(ContainerRef { pod_uid: Some(uid), .. })) => {
                if let Some(of_pod) = self.of_pod.get_mut(uid) {
                    of_pod.retain(|one| *one != id);
                    if of_pod.is_empty() {
                        self.of_pod.remove(uid);
                    }
                }
            }
            Some(Place::Container(_) | Place::Sibling(_) | Place::Own) => {
                self.of_any.retain(|one| *one != id);
            }
            _ => {}
        }
    }

    /// Drops one. If all are of living pods there is room for more, up to an end.
    fn make_room(&mut self, is_alive: impl Fn(&str) -> bool) {
        // Twice around: the first time those that were used give up that they were.
        for _ in 0..2 * self.order.len() {
            let Some(id) = self.order.pop_front() else { return };
            let uid = match self.known.get(&id).map(|known| &known.place) {
                Some(Place::Container(ContainerRef { pod_uid, .. })) => pod_uid.as_deref(),
                _ => None,
            };
            let used = self.slots.get(&id).is_some_and(|slot| slot.used.replace(false));
            if id == super::ROOT || used || uid.is_some_and(&is_alive) {
                self.order.push_back(id);
            } else {
                self.drop(id);
                return;
            }
        }
        if self.limit < MOST {
            self.limit *= 2;
        } else if let Some(id) = self.order.pop_front() {
            self.drop(id);
        }
    }

    fn drop(&mut self, id: u64) {
        self.unlist(id);
        self.known.remove(&id);
        self.slots.remove(&id);
        self.forgotten += 1;
    }

    /// The cgroups that a change of these pods can concern.
    pub(super) fn concerned(&self, pods: &[Box<str>]) -> Vec<(u64, Place)> {
        let of_pods = pods.iter().filter_map(|uid| self.of_pod.get(uid)).flatten();
        of_pods.chain(&self.of_any).filter_map(|id| Some((*id, self.known.get(id)?.place.clone()))).collect()
    }

    /// All with their paths.
    pub(super) fn paths(&self) -> Vec<(u64, Box<str>)> {
        self.known.iter().filter_map(|(id, known)| Some((*id, known.path.clone()?))).collect()
    }

    pub(super) fn below(&self, is_below: impl Fn(&str) -> bool) -> Vec<u64> {
        let paths = self.known.iter().filter(|(_, known)| known.path.as_deref().is_some_and(&is_below));
        paths.map(|(id, _)| *id).collect()
    }

    pub(super) fn all(&self) -> impl Iterator<Item = (u64, &Identity)> {
        self.slots.iter().map(|(id, slot)| (*id, &*slot.who))
    }
}
