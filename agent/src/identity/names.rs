//! An event -> whose socket it is.
//!
//! The socket's own cgroup comes first, then the process that was seen with it, then the network namespace,
//! which is never the host's. What is known of a cgroup is made ready when it becomes known, so that an event
//! costs one look into a table and the clone of an `Arc`. Nothing is guessed: each step either knows or passes
//! the event on, and the last is [`IdentitySource::Unknown`].
//!
//! Everything is owned by the engine's thread; the watch sends its changes through a channel.

mod cgroups;
mod namespaces;
mod processes;

use std::{net::IpAddr, sync::Arc};

use tokio::sync::mpsc::Receiver;

use self::{cgroups::Cgroups, namespaces::Namespaces, processes::Processes};
use super::{
    Container, Identity, Pod,
    cgroup_path::{ContainerRef, Place},
    pods::{Change, Now, Pods},
};
use crate::{
    event::{Event, IdentitySource},
    host::{Roots, cgroup, clock, netns, proc},
};

/// Id of the root of version 2's hierarchy, on every kernel so far.
const ROOT: u64 = 1;

/// How often at most the store is looked through for what is over.
const EXPIRE_NS: u64 = 1_000_000_000;

/// Who has what.
#[derive(Debug)]
pub struct Names {
    host_netns: Option<u32>,
    cgroups: Cgroups,
    processes: Processes,
    namespaces: Namespaces,
    pods: Pods,
    watch: Option<Receiver<Change>>,
    common: Common,
    expired_boot_ns: u64,
    changed: Vec<Box<str>>,
    dirty: bool,
}

/// Identities that many sockets have.
#[derive(Debug)]
struct Common {
    unknown: Arc<Identity>,
    /// A process of the node, in the host's network namespace.
    host: Arc<Identity>,
    /// A process of the node, elsewhere: by its cgroup, by its process.
    host_by_cgroup: Arc<Identity>,
    host_by_process: Arc<Identity>,
    /// UID and container's name of the agent itself.
    own: Option<(Box<str>, Box<str>)>,
}

impl Common {
    fn new(roots: &Roots) -> Self {
        let plain = |source, host| {
            Arc::new(Identity { source, pod_uid: None, pod: None, container: None, host, pending: false })
        };
        Self {
            unknown: plain(IdentitySource::Unknown, false),
            host: plain(IdentitySource::Host, true),
            host_by_cgroup: plain(IdentitySource::SocketCgroup, true),
            host_by_process: plain(IdentitySource::Process, true),
            own: processes::own_container(roots),
        }
    }
}

/// Where the sockets of some pods are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Places {
    /// Ids of cgroups, ascending.
    pub cgroups: Vec<u64>,
    /// Inodes of network namespaces that no other pod shares, ascending.
    pub netns: Vec<u32>,
}

impl Names {
    /// Knows the cgroups that this machine shows, and what `watch` tells; without a watch a pod is its UID.
    pub fn new(roots: &Roots, watch: Option<Receiver<Change>>) -> Self {
        let processes = Processes::new(roots, watch.is_some());
        let mut names = Self {
            host_netns: netns::host(roots),
            cgroups: Cgroups::new(),
            processes,
            namespaces: Namespaces::default(),
            pods: Pods::default(),
            watch,
            common: Common::new(roots),
            expired_boot_ns: 0,
            changed: Vec::new(),
            dirty: false,
        };
        if names.processes.places_all() {
            names.put(ROOT, Place::Root, Some("/".into()));
        }
        names.scan(roots);
        names
    }

    /// Takes in the cgroups below the mount of version 2, where there is one. In a private cgroup namespace
    /// that is the agent's own container, whose id tells which of the kernel's paths is the agent's.
    fn scan(&mut self, roots: &Roots) {
        let Ok(cgroups) = cgroup::Cgroups::find(roots) else { return };
        // A part of the tree can be all that is mounted (in Docker), or a part above the agent's own.
        let top = cgroups.root().and_then(|point| processes::mounted_at(roots, point));
        let Some(top) = top.filter(|top| !top.starts_with("/..")) else { return };
        for (id, path) in cgroups.walk() {
            let path = format!("{}{}", top.trim_end_matches('/'), path.to_string_lossy());
            if !self.processes.is_private() {
                self.cgroup_seen(id, if path == "/" { "/" } else { path.trim_end_matches('/') });
            } else if top == "/" {
                if path == "/" {
                    self.processes.own_id = Some(id);
                }
                self.put(id, Place::Own, None);
            }
        }
    }

    /// Whose socket it is. Does not allocate for a cgroup or a process that is known.
    pub fn of(&mut self, event: &Event) -> Arc<Identity> {
        if let Some(id) = event.cgroup_id
            && let Some(slot) = self.cgroups.slot(id)
        {
            if Arc::ptr_eq(&slot.who, &self.common.host_by_cgroup) {
                return self.of_host(event, IdentitySource::SocketCgroup);
            }
            if slot.is_in(event.netns) {
                return Arc::clone(&slot.who);
            }
            let who = Arc::clone(&slot.who);
            self.learn_namespace(event, id, &who);
            return who;
        }
        self.of_process_or_namespace(event)
    }

    fn of_host(&self, event: &Event, source: IdentitySource) -> Arc<Identity> {
        Arc::clone(match source {
            _ if event.netns.is_some() && event.netns == self.host_netns => &self.common.host,
            IdentitySource::Process => &self.common.host_by_process,
            _ => &self.common.host_by_cgroup,
        })
    }

    #[cold]
    fn of_process_or_namespace(&mut self, event: &Event) -> Arc<Identity> {
        if let Some(process) = &event.process {
            let node = self.pods_are_watched();
            let Self { processes, pods, common, .. } = self;
            let who = processes.of(process.pid, process.start_ns, event.boot_ns, |place| {
                identity(place, IdentitySource::Process, pods, node, common)
            });
            match who {
                Some(who) if Arc::ptr_eq(&who, &self.common.host_by_process) => {
                    return self.of_host(event, IdentitySource::Process);
                }
                Some(who) if who.source != IdentitySource::Unknown => return who,
                _ => {}
            }
        }
        // Not the host's, and where it is not known which that is, none at all.
        let foreign = event.netns.filter(|netns| self.host_netns.is_some_and(|host| host != *netns));
        foreign.and_then(|netns| self.of_namespace(netns)).unwrap_or_else(|| Arc::clone(&self.common.unknown))
    }

    fn of_namespace(&mut self, netns: u32) -> Option<Arc<Identity>> {
        let watched = self.pods_are_watched();
        let Self { namespaces, pods, common, .. } = self;
        namespaces.of(
            netns,
            |uid| pods.is_alive(uid) || pods.get(uid).is_none(),
            |uid| {
                let place = Place::Container(ContainerRef { pod_uid: Some(uid.into()), container_id: None });
                identity(&place, IdentitySource::Netns, pods, watched, common)
            },
        )
    }

    /// A container has a socket in a namespace that it was not seen in yet.
    #[cold]
    fn learn_namespace(&mut self, event: &Event, id: u64, who: &Identity) {
        self.cgroups.set_netns(id, event.netns);
        let (Some(netns), Some(host), Some(uid)) = (event.netns, self.host_netns, &who.pod_uid) else {
            return;
        };
        if netns == host || self.namespaces.knows(netns, uid) || !self.namespaces.is_new(id, netns) {
            return;
        }
        // Some open sockets in others' namespaces (ambient meshes do): the process must live there itself.
        let lives = event.process.is_some_and(|process| {
            self.processes.namespace(process.pid, process.start_ns, event.boot_ns) == Some(netns)
        });
        if lives {
            self.namespaces.claim(netns, uid);
        }
    }

    /// The kernel told of a cgroup: its id, and its path from the hierarchy's root on.
    pub fn cgroup_seen(&mut self, id: u64, path: &str) {
        if self.processes.own_id == Some(id) && self.processes.set_own(path) {
            self.look_again();
        }
        let place = self.processes.place(path);
        self.put(id, place, Some(path.into()));
    }

    /// The kernel told of a new cgroup: its parent, and the names of its levels, its own first. `whole` says
    /// that they go up to the root. Names are any bytes.
    pub fn cgroup_made<N: AsRef<[u8]>>(
        &mut self,
        id: u64,
        parent: Option<u64>,
        mut levels: impl DoubleEndedIterator<Item = N>,
        whole: bool,
    ) {
        let above = parent.filter(|_| !whole).and_then(|parent| self.cgroups.path(parent));
        let mut path = String::new();
        match above {
            Some(above) => {
                let Some(name) = levels.next() else { return };
                path.push_str(above.trim_end_matches('/'));
                path.push('/');
                path.push_str(&String::from_utf8_lossy(name.as_ref()));
            }
            // The upper levels are missing: where the machine is the node, more levels than there is room for
            // are those of a container's own making, and whose it is is not known.
            None if !whole && self.processes.is_strict() => return,
            None => {
                for name in levels.rev() {
                    path.push('/');
                    path.push_str(&String::from_utf8_lossy(name.as_ref()));
                }
            }
        }
        if whole || above.is_some() {
            self.cgroup_seen(id, &path);
        } else if let place @ Place::Container(_) = self.processes.place(&path) {
            self.put(id, place, None);
        }
    }

    /// The kernel told where a process is that was there before: its cgroup's id. The path is read here.
    pub fn process_cgroup(&mut self, pid: u32, cgroup_id: u64) {
        self.process_seen(pid, None, Some(cgroup_id), None);
    }

    /// The same with all that the kernel tells of it.
    pub fn process_seen(
        &mut self,
        pid: u32,
        start_ns: Option<u64>,
        cgroup_id: Option<u64>,
        netns: Option<u32>,
    ) {
        let cgroup_id = cgroup_id.filter(|id| *id != ROOT);
        if pid == std::process::id() && self.processes.is_private() {
            self.processes.own_id = cgroup_id;
        }
        let known = cgroup_id.is_some_and(|id| self.cgroups.knows(id));
        let claims = netns.is_some() && netns != self.host_netns && self.host_netns.is_some();
        if known && !claims {
            return;
        }
        let Some((place, path)) = self.processes.read(pid, start_ns, clock::boot_ns()) else { return };
        if let Place::Container(ContainerRef { pod_uid: Some(uid), .. }) = &place
            && let Some(netns) = netns.filter(|_| claims)
        {
            self.namespaces.claim(netns, uid);
        }
        if let Some(id) = cgroup_id.filter(|_| !known) {
            self.put(id, place, path);
        }
    }

    fn put(&mut self, id: u64, place: Place, path: Option<Box<str>>) {
        // Beside version 1, version 2 does not say who is in no container: runtimes can have placed a container
        // by version 1 alone, and left it where they are themselves. The process knows.
        let who = match place {
            Place::Host | Place::Root if !self.processes.places_all() => Arc::clone(&self.common.unknown),
            _ => self.by_cgroup(&place),
        };
        // What is not known is asked again at the next event.
        if who.source == IdentitySource::Unknown && path.is_none() {
            return;
        }
        let known = who.source != IdentitySource::Unknown;
        self.dirty |= known && !who.host;
        let pods = &self.pods;
        self.cgroups.put(id, place, path, known.then_some(who), |uid| pods.is_alive(uid));
    }

    fn by_cgroup(&self, place: &Place) -> Arc<Identity> {
        let watched = self.pods_are_watched();
        identity(place, IdentitySource::SocketCgroup, &self.pods, watched, &self.common)
    }

    /// The agent's own path is known now: everything is seen with other eyes.
    fn look_again(&mut self) {
        for (id, path) in self.cgroups.paths() {
            let place = if id == ROOT { Place::Root } else { self.processes.place(&path) };
            self.put(id, place, Some(path));
        }
        self.dirty = true;
    }

    fn pods_are_watched(&self) -> bool {
        self.watch.is_some()
    }

    /// Takes in what the watch told since the last call. Whether anything is known now that was not before, or
    /// is another: [`Names::places`] may answer something else then.
    pub fn refresh(&mut self) -> bool {
        let boot_ns = clock::boot_ns();
        let wall = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let wall_ns = u64::try_from(wall.as_nanos()).unwrap_or(u64::MAX);
        self.refresh_at(Now { boot_ns, wall_ns })
    }

    fn refresh_at(&mut self, now: Now) -> bool {
        let Some(watch) = &mut self.watch else { return std::mem::take(&mut self.dirty) };
        while let Ok(change) = watch.try_recv() {
            self.pods.apply(change, now, &mut self.changed);
        }
        if now.boot_ns.saturating_sub(self.expired_boot_ns) >= EXPIRE_NS {
            self.expired_boot_ns = now.boot_ns;
            self.pods.expire(now, &mut self.changed);
        }
        if !self.changed.is_empty() {
            self.dirty = true;
            let changed = std::mem::take(&mut self.changed);
            for (id, place) in self.cgroups.concerned(&changed) {
                // Each of these pods is known now, or known to be over: none is waited for.
                let who = identity(&place, IdentitySource::SocketCgroup, &self.pods, false, &self.common);
                self.cgroups.rename(id, (who.source != IdentitySource::Unknown).then_some(who));
            }
            self.processes.forget_names();
            self.namespaces.forget_names();
            for uid in changed.iter().filter(|uid| self.pods.get(uid).is_none()) {
                self.namespaces.release(uid);
            }
        }
        std::mem::take(&mut self.dirty)
    }

    /// Where the sockets of all those are whom `wanted` accepts.
    pub fn places(&self, wanted: impl Fn(&Identity) -> bool) -> Places {
        let mut cgroups: Vec<_> =
            self.cgroups.all().filter(|(_, who)| wanted(who)).map(|(id, _)| id).collect();
        cgroups.sort_unstable();
        let whole = |uid: &str| {
            let place = ContainerRef { pod_uid: Some(uid.into()), container_id: None };
            wanted(&identity(
                &Place::Container(place),
                IdentitySource::Netns,
                &self.pods,
                self.pods_are_watched(),
                &self.common,
            ))
        };
        Places { cgroups, netns: self.namespaces.of_pods(whole) }
    }

    /// The pod that had an address at a moment (nanoseconds since the Unix epoch).
    pub fn pod_with_address(&self, address: IpAddr, wall_ns: u64) -> Option<&Arc<Pod>> {
        self.pods.with_address(address, wall_ns)
    }

    /// Whether a cgroup is known.
    pub fn knows_cgroup(&self, id: u64) -> bool {
        self.cgroups.knows(id)
    }

    /// A cgroup's path from the hierarchy's root on.
    pub fn cgroup_path(&self, id: u64) -> Option<&str> {
        self.cgroups.path(id)
    }

    /// Whether a cgroup is at a path or below it.
    pub fn is_below_path(&self, id: u64, path: &str) -> bool {
        self.cgroups.path(id).is_some_and(|known| is_below(known, path))
    }

    /// Whether a cgroup is another one or below it.
    pub fn is_below(&self, id: u64, ancestor: u64) -> bool {
        id == ancestor || self.cgroups.path(ancestor).is_some_and(|path| self.is_below_path(id, path))
    }

    /// The known cgroups at a path and below it.
    pub fn below_path(&self, path: &str) -> Vec<u64> {
        let mut below = self.cgroups.below(|known| is_below(known, path));
        below.sort_unstable();
        below
    }

    /// How many cgroups are known, and how many gave way to others.
    pub fn known_cgroups(&self) -> (usize, u64) {
        self.cgroups.count()
    }

    /// The pods of this node.
    pub fn pods(&self) -> &Pods {
        &self.pods
    }
}

fn is_below(path: &str, top: &str) -> bool {
    path.strip_prefix(top.trim_end_matches('/')).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Whether this process counts processes as the kernel does and can look them up.
fn sees_processes(roots: &Roots) -> bool {
    proc::in_initial_pid_namespace(roots)
}

/// Who is at a place.
fn identity(
    place: &Place,
    source: IdentitySource,
    pods: &Pods,
    watched: bool,
    common: &Common,
) -> Arc<Identity> {
    let (uid, id) = match place {
        Place::Container(ContainerRef { pod_uid, container_id }) => {
            (pod_uid.as_deref(), container_id.as_deref())
        }
        Place::Sibling(id) => (common.own.as_ref().map(|(uid, _)| &**uid), Some(&**id)),
        Place::Own => match &common.own {
            Some((uid, name)) => (Some(&**uid), pods.container_id(uid, name)),
            None => return Arc::clone(&common.unknown),
        },
        Place::Host | Place::Root if source == IdentitySource::Process => {
            return Arc::clone(&common.host_by_process);
        }
        Place::Host | Place::Root => return Arc::clone(&common.host_by_cgroup),
        Place::Unknown => return Arc::clone(&common.unknown),
    };
    // A container whose path does not have its pod is known by the pod that has its id.
    let pod = match (uid, id) {
        (Some(uid), _) => pods.get(uid),
        (None, Some(id)) => pods.with_container(id),
        (None, None) => None,
    };
    let uid: Option<Box<str>> = uid.or(pod.map(|pod| &*pod.uid)).map(Box::from);
    let container = id.map(|id| Container {
        id: id.into(),
        name: uid.as_deref().and_then(|uid| pods.container(uid, id)).map(|(name, kind)| (name.into(), kind)),
    });
    let pending = watched && uid.is_some() && pod.is_none();
    Arc::new(Identity { source, pod_uid: uid, pod: pod.cloned(), container, host: false, pending })
}

#[cfg(test)]
mod tests;
