//! The pods of this node: slim, by UID, and the deleted ones for a minute more.
//!
//! The store's state comes from a reflector's steps ([`Change`]) alone: what a list that was begun and completed
//! does not have, is gone. Times are given from outside ([`Now`]), so everything here is the same every time.
//!
//! An address belongs to a pod from one moment to another. The moments are known to the second at best (a
//! pod's start is written in whole seconds): where two pods could have had it, nobody had.

use std::{
    borrow::Borrow,
    collections::{HashMap, VecDeque},
    hash::{Hash, Hasher},
    net::IpAddr,
    num::NonZeroU64,
    sync::Arc,
};

use super::{ContainerKind, Pod, Workload, labels::Labels};

/// How long a deleted pod stays known: its last events come after it.
pub const KEPT_NS: u64 = 60 * SECOND;

const SECOND: u64 = 1_000_000_000;

/// The present, on both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// CLOCK_BOOTTIME: how long something is ago.
    pub boot_ns: u64,
    /// Since the Unix epoch: what Kubernetes writes.
    pub wall_ns: u64,
}

/// A pod as it was seen in the cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Namespace.
    pub namespace: Box<str>,
    /// Name.
    pub name: Box<str>,
    /// The UID that its cgroups have: for a static pod not the one of its mirror in the API server.
    pub uid: Box<str>,
    /// It has the node's network namespace.
    pub host_network: bool,
    /// Labels.
    pub labels: Labels,
    /// What it belongs to.
    pub workload: Option<Workload>,
    /// Containers that have been started: id, name, kind. One without an id is the only one that the pod has.
    pub containers: Vec<(Box<str>, Box<str>, ContainerKind)>,
    /// Its addresses, unless they are the node's.
    pub addresses: Vec<IpAddr>,
    /// When the kubelet took it, to the second.
    pub since_wall_ns: Option<u64>,
    /// When its last container ended for good.
    pub over_wall_ns: Option<u64>,
}

/// A step of the reflector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A list of everything begins.
    Restart,
    /// It has this pod.
    Listed(Box<Seen>),
    /// That was everything.
    Complete,
    /// A pod is new or another.
    Applied(Box<Seen>),
    /// The pod with this UID is gone.
    Deleted(Box<str>),
}

/// The store.
#[derive(Debug, Default)]
pub struct Pods {
    known: HashMap<ByUid, Record>,
    /// Who had which address, sorted by address and beginning. Not a tree: a node has some hundred pods, and
    /// trees are half empty where they grow in order.
    addresses: Vec<Held>,
    /// When pods were deleted, the oldest first.
    gone: VecDeque<(u64, Arc<Pod>)>,
    list: u32,
    listing: bool,
    /// Address spans that have ended, at most.
    ended: usize,
}

/// A pod, found by its UID: the UID is there once.
#[derive(Debug)]
struct ByUid(Arc<Pod>);

impl Borrow<str> for ByUid {
    fn borrow(&self) -> &str {
        &self.0.uid
    }
}

impl Hash for ByUid {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        (*self.0.uid).hash(hasher);
    }
}

impl PartialEq for ByUid {
    fn eq(&self, other: &Self) -> bool {
        self.0.uid == other.0.uid
    }
}

impl Eq for ByUid {}

#[derive(Debug)]
struct Record {
    containers: Containers,
    /// CLOCK_BOOTTIME.
    gone_ns: Option<NonZeroU64>,
    /// The list that had it last.
    list: u32,
    host_network: bool,
}

/// A pod has had an address.
#[derive(Debug)]
struct Held {
    /// IPv4 as v4-mapped.
    address: [u8; 16],
    since_wall_ns: u64,
    /// `u64::MAX`: it still has.
    until_wall_ns: u64,
    pod: Arc<Pod>,
}

impl Pods {
    /// Takes a step. UIDs whose pod, or whose containers' names, are others now are added to `changed`.
    pub fn apply(&mut self, change: Change, now: Now, changed: &mut Vec<Box<str>>) {
        match change {
            Change::Restart => {
                self.list = self.list.wrapping_add(1);
                self.listing = true;
            }
            Change::Listed(seen) | Change::Applied(seen) => self.put(*seen, now, changed),
            // A second end of the same list says nothing.
            Change::Complete if self.listing => {
                self.listing = false;
                let missing = |record: &Record| record.list != self.list && record.gone_ns.is_none();
                let missing = self.known.iter().filter(|(_, record)| missing(record));
                let missing: Vec<_> = missing.map(|(by_uid, _)| by_uid.0.uid.clone()).collect();
                missing.iter().for_each(|uid| self.remove(uid, now));
            }
            Change::Complete => {}
            Change::Deleted(uid) => self.remove(&uid, now),
        }
    }

    /// Forgets what is gone for long enough; UIDs that are not known any more are added to `changed`.
    pub fn expire(&mut self, now: Now, changed: &mut Vec<Box<str>>) {
        while let Some((gone_ns, pod)) = self.gone.front() {
            if now.boot_ns.saturating_sub(*gone_ns) < KEPT_NS {
                break;
            }
            // It can be back, and gone again.
            let same = |record: &Record| record.gone_ns.map(NonZeroU64::get) == Some(*gone_ns);
            if self.known.get(&*pod.uid).is_some_and(same) {
                self.known.remove(&*pod.uid);
                changed.push(pod.uid.clone());
            }
            self.gone.pop_front();
        }
        if self.ended > 0 {
            let known = &self.known;
            self.addresses.retain(|held| {
                let over = held.until_wall_ns < now.wall_ns.saturating_sub(KEPT_NS);
                !over && known.contains_key(&*held.pod.uid)
            });
            self.ended = self.addresses.iter().filter(|held| held.until_wall_ns != u64::MAX).count();
        }
    }

    fn put(&mut self, seen: Seen, now: Now, changed: &mut Vec<Box<str>>) {
        let Seen { namespace, name, uid, host_network, labels, workload, .. } = seen;
        let pod = Pod { namespace, name, uid, workload, labels };
        let containers = Containers::new(&seen.containers);
        let record = Record { containers, gone_ns: None, list: self.list, host_network };
        let pod = match self.known.remove_entry(&*pod.uid) {
            Some((old, was)) => {
                let same = *old.0 == pod;
                if !same || was.containers != record.containers || was.host_network != host_network {
                    changed.push(pod.uid.clone());
                }
                if same { old.0 } else { Arc::new(pod) }
            }
            None => {
                changed.push(pod.uid.clone());
                Arc::new(pod)
            }
        };
        let since = seen.since_wall_ns.unwrap_or(now.wall_ns);
        if !host_network {
            for address in &seen.addresses {
                self.hold(*address, since, seen.over_wall_ns, &pod, now);
            }
        }
        self.known.insert(ByUid(pod), record);
    }

    fn hold(&mut self, address: IpAddr, since: u64, over: Option<u64>, pod: &Arc<Pod>, now: Now) {
        let address = octets(address);
        let mut until = over.unwrap_or(u64::MAX);
        if until < now.wall_ns.saturating_sub(KEPT_NS) {
            return;
        }
        self.ended += usize::from(until != u64::MAX);
        let first = self.addresses.partition_point(|held| held.address < address);
        let others = self.addresses[first..].iter().take_while(|held| held.address == address);
        if let Some(place) = others.clone().position(|held| held.pod.uid == pod.uid) {
            let held = &mut self.addresses[first + place];
            held.until_wall_ns = held.until_wall_ns.min(until);
            held.pod = Arc::clone(pod);
            return;
        }
        let place = first + others.take_while(|held| held.since_wall_ns <= since).count();
        let mut from = since;
        if let Some(before) = self.addresses[first..place].last_mut()
            && before.until_wall_ns > since
        {
            // In this second one pod had it and then the other.
            before.until_wall_ns = since;
            from = since + SECOND;
            self.ended += 1;
        }
        if let Some(next) = self.addresses.get(place).filter(|next| next.address == address) {
            until = until.min(next.since_wall_ns);
        }
        if from >= until {
            return;
        }
        if self.addresses.len() == self.addresses.capacity() {
            self.addresses.reserve_exact(self.addresses.len() / 8 + 4);
        }
        let held = Held { address, since_wall_ns: from, until_wall_ns: until, pod: Arc::clone(pod) };
        self.addresses.insert(place, held);
    }

    fn remove(&mut self, uid: &str, now: Now) {
        let Some((ByUid(pod), _)) = self.known.get_key_value(uid) else { return };
        let pod = Arc::clone(pod);
        let Some(record) = self.known.get_mut(uid) else { return };
        if record.gone_ns.is_some() {
            return;
        }
        record.gone_ns = NonZeroU64::new(now.boot_ns.max(1));
        for held in self.addresses.iter_mut().filter(|held| held.pod.uid == pod.uid) {
            held.until_wall_ns = held.until_wall_ns.min(now.wall_ns);
            self.ended += 1;
        }
        self.gone.push_back((now.boot_ns.max(1), pod));
    }

    /// A pod by its UID, also one that is gone since less than a minute.
    pub fn get(&self, uid: &str) -> Option<&Arc<Pod>> {
        self.known.get_key_value(uid).map(|(by_uid, _)| &by_uid.0)
    }

    /// Whether the pod is known and has not been deleted.
    pub fn is_alive(&self, uid: &str) -> bool {
        self.known.get(uid).is_some_and(|record| record.gone_ns.is_none())
    }

    /// Whether the pod has the node's network namespace.
    pub fn has_host_network(&self, uid: &str) -> Option<bool> {
        self.known.get(uid).map(|record| record.host_network)
    }

    /// Name and kind of a pod's container.
    pub fn container(&self, uid: &str, id: &str) -> Option<(&str, ContainerKind)> {
        self.known.get(uid)?.containers.find(id)
    }

    /// The id of a pod's container with a name, the newest.
    pub fn container_id(&self, uid: &str, name: &str) -> Option<&str> {
        let mut containers = self.known.get(uid)?.containers.iter();
        containers.find(|(id, known, _)| *known == name && !id.is_empty()).map(|(id, ..)| id)
    }

    /// The pod that has a container. Looks at all of them: not for every event.
    pub fn with_container(&self, id: &str) -> Option<&Arc<Pod>> {
        let has = |record: &Record| record.containers.iter().any(|(known, ..)| known == id);
        self.known.iter().find_map(|(by_uid, record)| has(record).then_some(&by_uid.0))
    }

    /// The pod that had an address at a moment.
    pub fn with_address(&self, address: IpAddr, wall_ns: u64) -> Option<&Arc<Pod>> {
        let key = (octets(address), wall_ns);
        let after = self.addresses.partition_point(|held| (held.address, held.since_wall_ns) <= key);
        let held = self.addresses[..after].last().filter(|held| held.address == key.0)?;
        (wall_ns < held.until_wall_ns).then_some(&held.pod)
    }

    /// How many pods there are, the deleted ones left out.
    pub fn len(&self) -> usize {
        self.known.values().filter(|record| record.gone_ns.is_none()).count()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

fn octets(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    }
    .octets()
}

/// Containers in one piece of memory: for each its id, its name after a letter for its kind, each ended by NUL.
#[derive(Debug, PartialEq, Eq)]
struct Containers(Box<str>);

const KINDS: [(ContainerKind, &str); 4] = [
    (ContainerKind::Main, "m"),
    (ContainerKind::Init, "i"),
    (ContainerKind::Sidecar, "s"),
    (ContainerKind::Ephemeral, "e"),
];

impl Containers {
    fn new(containers: &[(Box<str>, Box<str>, ContainerKind)]) -> Self {
        let letter = |kind| KINDS.iter().find(|(one, _)| *one == kind).map_or("m", |(_, letter)| letter);
        let fits = |text: &str| !text.contains('\0');
        let mut text = String::new();
        for (id, name, kind) in containers.iter().filter(|(id, name, _)| fits(id) && fits(name)) {
            for part in [id, "\0", letter(*kind), name, "\0"] {
                text.push_str(part);
            }
        }
        Self(text.into())
    }

    fn iter(&self) -> impl Iterator<Item = (&str, &str, ContainerKind)> {
        let mut parts = self.0.split_terminator('\0');
        std::iter::from_fn(move || {
            let (id, name) = (parts.next()?, parts.next()?);
            let (letter, name) = name.split_at_checked(1)?;
            let (kind, _) = KINDS.iter().find(|(_, one)| *one == letter)?;
            Some((id, name, *kind))
        })
    }

    fn find(&self, id: &str) -> Option<(&str, ContainerKind)> {
        let with =
            |id: &str| self.iter().find(|(known, ..)| *known == id).map(|(_, name, kind)| (name, kind));
        with(id).or_else(|| with(""))
    }
}

#[cfg(test)]
mod tests;
