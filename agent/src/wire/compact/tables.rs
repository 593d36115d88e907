//! Numbers for what repeats. Whoever asks for the number of something new gets the next one, and the entry is written
//! into the batch.

use std::{
    collections::{HashMap, hash_map::Entry},
    hash::{Hash, Hasher},
    net::IpAddr,
    sync::Arc,
};

use foldhash::fast::RandomState;
use proto::mask::Fields;

use crate::{
    event::{Comm, Event, Process, Relation},
    identity::Identity,
    wire::{convert::wall_ns, encode, write::Out},
};

/// How many entries a table has before all of them begin anew. Numbers of up to 14 bits take two bytes.
const LIMIT: usize = 4096;

#[derive(Debug)]
pub(super) struct Tables {
    /// By the address of the `Arc`, which is kept so that no other identity gets it.
    identities: HashMap<usize, (u32, Arc<Identity>), RandomState>,
    /// With 0 for one of which the mask leaves nothing.
    processes: HashMap<ProcessKey, u32, RandomState>,
    last_process: u32,
    addresses: HashMap<Address, u32, RandomState>,
    places: HashMap<Place, u32, RandomState>,
    /// What is kept of process, owner and user; and for each the first that keeps the same.
    kept: [Fields; 3],
    alike: [u8; 3],
}

/// Where a socket is: `CompactPlace`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) netns: Option<u32>,
    pub(super) cgroup_id: Option<u64>,
    pub(super) identity: u32,
}

// Each part that is hashed costs as much as the rest of a look-up, so these are hashed by what tells most of them apart.

impl Hash for Place {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let netns = u64::from(self.netns.unwrap_or_default());
        state.write_u64(self.cgroup_id.unwrap_or_default() ^ netns << 32);
    }
}

impl Hash for ProcessKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(u64::from(self.tid) << 8 | u64::from(self.relation as u8));
    }
}

impl Hash for Address {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match self.0 {
            IpAddr::V4(ip) => state.write_u64(ip.to_bits().into()),
            IpAddr::V6(ip) => state.write_u128(ip.to_bits()),
        }
    }
}

/// An address, hashed all at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Address(IpAddr);

/// What makes two processes the same entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct ProcessKey {
    /// Whose mask it was written under.
    mask: u8,
    pid: u32,
    tid: u32,
    uid: u32,
    mntns: Option<u32>,
    comm: Comm,
    start_ns: Option<i64>,
    relation: Relation,
}

impl Tables {
    pub(super) fn new(kept: [Fields; 3]) -> Self {
        let alike =
            kept.map(|fields| kept.iter().position(|other| *other == fields).unwrap_or_default() as u8);
        Self {
            identities: HashMap::default(),
            processes: HashMap::default(),
            last_process: 0,
            addresses: HashMap::default(),
            places: HashMap::default(),
            kept,
            alike,
        }
    }

    pub(super) fn are_full(&self) -> bool {
        [self.identities.len(), self.processes.len(), self.addresses.len(), self.places.len()]
            .into_iter()
            .any(|entries| entries >= LIMIT)
    }

    pub(super) fn clear(&mut self) {
        self.identities.clear();
        self.processes.clear();
        self.last_process = 0;
        self.addresses.clear();
        self.places.clear();
    }

    /// `encoded` is the identity under the stream's mask.
    pub(super) fn identity(&mut self, identity: &Arc<Identity>, encoded: &[u8], batch: &mut Vec<u8>) -> u32 {
        if encoded.is_empty() {
            return 0;
        }
        let next = self.identities.len() as u32 + 1;
        match self.identities.entry(Arc::as_ptr(identity).addr()) {
            Entry::Occupied(known) => known.get().0,
            Entry::Vacant(new) => {
                new.insert((next, Arc::clone(identity)));
                Out::new(batch, Fields::MAX).block(2, encoded);
                next
            }
        }
    }

    /// `index`: 0 the process, 1 the owner, 2 the user.
    pub(super) fn process(
        &mut self,
        index: usize,
        process: &Process,
        event: &Event,
        batch: &mut Vec<u8>,
    ) -> u32 {
        let key = ProcessKey {
            mask: self.alike[index],
            pid: process.pid,
            tid: process.tid,
            uid: process.uid,
            mntns: process.mntns,
            comm: process.comm,
            start_ns: process.start_ns.map(|start| wall_ns(event, start)),
            relation: process.relation,
        };
        let fields = self.kept[index];
        *self.processes.entry(key).or_insert_with(|| {
            let before = batch.len();
            Out::new(batch, Fields::MAX).message(3, fields, |out| encode::process(out, process, event));
            if batch.len() == before {
                return 0;
            }
            self.last_process += 1;
            self.last_process
        })
    }

    pub(super) fn address(&mut self, ip: IpAddr, batch: &mut Vec<u8>) -> u32 {
        number(&mut self.addresses, Address(ip), || {
            let mut out = Out::new(batch, Fields::MAX);
            match ip {
                IpAddr::V4(ip) => out.block(4, &ip.octets()),
                IpAddr::V6(ip) => out.block(4, &ip.octets()),
            }
        })
    }

    /// 0 for a place of which nothing is known.
    pub(super) fn place(&mut self, place: Place, batch: &mut Vec<u8>) -> u32 {
        if place == Place::default() {
            return 0;
        }
        number(&mut self.places, place, || {
            Out::new(batch, Fields::MAX).message(9, Fields::MAX, |out| {
                out.optional(1, place.netns);
                out.optional(2, place.cgroup_id);
                out.plain(3, place.identity);
            });
        })
    }
}

fn number<K: Eq + Hash>(table: &mut HashMap<K, u32, RandomState>, entry: K, write: impl FnOnce()) -> u32 {
    let next = table.len() as u32 + 1;
    *table.entry(entry).or_insert_with(|| {
        write();
        next
    })
}
