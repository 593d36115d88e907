//! Processes: their cgroups' paths, read from `/proc`, and the agent's own place, by which those are understood.
//!
//! A number of a process is used again. What `/proc` says counts only if the process had begun when the event
//! happened (then it is the one that had the number), and began when the kernel said that it did.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use foldhash::fast::FixedState;

use super::super::cgroup_path::{Place, is_uid, node_of, place, relative, resolve};
use crate::{
    host::{Roots, netns},
    identity::Identity,
};

/// How many processes are remembered; beyond, the memory starts anew.
const MOST: usize = 2_048;

/// How long what was read of a process is taken for the present: it can be moved to another cgroup.
const FRESH_NS: u64 = 10_000_000_000;

/// The inode of the initial cgroup namespace, fixed in `include/linux/proc_ns.h`.
const INITIAL_CGROUP_NAMESPACE: u64 = 0xEFFF_FFFB;

#[derive(Debug)]
pub(super) struct Processes {
    roots: Roots,
    /// Numbers of processes mean the same here as in the kernel.
    sees: bool,
    /// `/proc/<pid>/cgroup` shows paths relative to the agent.
    private: bool,
    /// There is only version 2, so that everything is placed by it.
    unified: bool,
    /// Pods will be known, and nothing may call itself one of them.
    watched: bool,
    ticks_a_second: u64,
    /// The agent's own cgroup.
    pub(super) own_id: Option<u64>,
    own: Option<Box<str>>,
    /// The root of the node that the agent's own path is in.
    node: Option<Box<str>>,
    known: HashMap<u32, Known, FixedState>,
}

#[derive(Debug)]
struct Known {
    start_ns: Option<u64>,
    read_boot_ns: u64,
    /// `None`: it could not be read, or it is another process.
    place: Option<Place>,
    who: Option<Arc<Identity>>,
}

impl Processes {
    pub(super) fn new(roots: &Roots, watched: bool) -> Self {
        let link = fs::read_link(roots.proc.join("self/ns/cgroup")).unwrap_or_default();
        let initial = format!("cgroup:[{INITIAL_CGROUP_NAMESPACE}]");
        let file = fs::read(roots.proc.join("self/cgroup")).unwrap_or_default();
        let mut processes = Self {
            roots: roots.clone(),
            sees: super::sees_processes(roots),
            private: link.as_os_str() != initial.as_str(),
            unified: lines(&file).all(|line| line.is_version_2),
            watched,
            ticks_a_second: rustix::param::clock_ticks_per_second(),
            own_id: None,
            own: None,
            node: None,
            known: HashMap::default(),
        };
        if !processes.private
            && let Some(path) = lines(&file).map(|line| line.path).find(|path| *path != "/")
        {
            processes.set_own(&path);
        }
        processes
    }

    pub(super) fn is_private(&self) -> bool {
        self.private
    }

    /// Every process is in a cgroup of version 2, so the root is a place like others.
    pub(super) fn places_all(&self) -> bool {
        self.unified
    }

    /// The agent's own path became known; whether that is new.
    pub(super) fn set_own(&mut self, path: &str) -> bool {
        if self.own.as_deref() == Some(path) {
            return false;
        }
        let in_pod = matches!(place(path, None), Place::Container(found) if found.pod_uid.is_some());
        self.node = in_pod.then(|| node_of(path).into());
        self.own = Some(path.into());
        self.known.clear();
        true
    }

    /// The node is the machine itself.
    pub(super) fn is_strict(&self) -> bool {
        self.node() == Some("/")
    }

    /// The agent of a cluster that counts processes as the kernel does is on a node that is the machine: nodes
    /// that are containers (kind) have numbers of their own.
    fn node(&self) -> Option<&str> {
        if self.watched && self.sees { Some("/") } else { self.node.as_deref() }
    }

    /// Where an absolute path leads.
    pub(super) fn place(&self, path: &str) -> Place {
        place(path, self.node())
    }

    /// Names are others now; places stay.
    pub(super) fn forget_names(&mut self) {
        self.known.values_mut().for_each(|known| known.who = None);
    }

    /// Who a process is, at the time of an event.
    pub(super) fn of(
        &mut self,
        pid: u32,
        start_ns: Option<u64>,
        boot_ns: u64,
        name: impl FnOnce(&Place) -> Arc<Identity>,
    ) -> Option<Arc<Identity>> {
        let fresh = |known: &Known| {
            known.start_ns == start_ns && boot_ns.saturating_sub(known.read_boot_ns) < FRESH_NS
        };
        if !self.known.get(&pid).is_some_and(fresh) {
            let place = self.read(pid, start_ns, boot_ns).map(|(place, _)| place);
            // One that has ended was where it was.
            let place = place.or_else(|| {
                let before = self.known.get_mut(&pid).filter(|known| known.start_ns == start_ns)?;
                start_ns.and(before.place.take())
            });
            if self.known.len() >= MOST {
                self.known.clear();
            }
            self.known.insert(pid, Known { start_ns, read_boot_ns: boot_ns, place, who: None });
        }
        let known = self.known.get_mut(&pid)?;
        let place = known.place.as_ref()?;
        Some(Arc::clone(known.who.get_or_insert_with(|| name(place))))
    }

    /// Where a process is, and its cgroup's absolute path where that is known.
    pub(super) fn read(
        &self,
        pid: u32,
        start_ns: Option<u64>,
        boot_ns: u64,
    ) -> Option<(Place, Option<Box<str>>)> {
        let folder = self.folder(pid)?;
        let file = fs::read(folder.join("cgroup")).ok()?;
        // Last, so that what was read before was the same process's.
        self.is_same(&folder, start_ns, boot_ns).then(|| self.placed(&file))
    }

    /// The network namespace that a process is in.
    pub(super) fn namespace(&self, pid: u32, start_ns: Option<u64>, boot_ns: u64) -> Option<u32> {
        let folder = self.folder(pid)?;
        let netns = netns::of_process(&self.roots, pid).ok()?;
        self.is_same(&folder, start_ns, boot_ns).then_some(netns)
    }

    fn folder(&self, pid: u32) -> Option<PathBuf> {
        (self.sees && pid != 0).then(|| self.roots.proc.join(pid.to_string()))
    }

    /// Whether the process was there when the event happened, and is the one that is meant.
    fn is_same(&self, folder: &Path, start_ns: Option<u64>, boot_ns: u64) -> bool {
        let Some(ticks) = fs::read(folder.join("stat")).ok().as_deref().and_then(start_ticks) else {
            return false;
        };
        let tick_ns = 1_000_000_000 / self.ticks_a_second.max(1);
        ticks.saturating_mul(tick_ns) <= boot_ns && start_ns.is_none_or(|start| start / tick_ns == ticks)
    }

    fn placed(&self, file: &[u8]) -> (Place, Option<Box<str>>) {
        let mut version_2 = None;
        let mut version_1 = None;
        for line in lines(file) {
            let place = self.place_of(&line.path);
            if line.is_version_2 {
                version_2 = Some((place, line.path));
            } else if !matches!(version_1, Some(Place::Container(_) | Place::Sibling(_) | Place::Own)) {
                // Any of version 1's hierarchies that places it; some place nobody.
                version_1 = Some(place);
            }
        }
        let is_in = |place: &Place| matches!(place, Place::Container(_) | Place::Sibling(_));
        // In version 2 it is elsewhere than this process: then that both are at one place of version 1 only says
        // that version 1 places nobody here.
        if version_1 == Some(Place::Own)
            && let Some((place, path)) = &version_2
            && self.private
            && path != "/"
        {
            let place = if *place == Place::Root { Place::Host } else { place.clone() };
            return (place, self.absolute(path));
        }
        match (version_2, version_1) {
            (Some((place, path)), _) if is_in(&place) => (place, self.absolute(&path)),
            // Runtimes of version 1 leave their containers where they themselves are in version 2.
            (_, Some(place)) if is_in(&place) || place == Place::Own => (place, None),
            (Some((Place::Root, _)) | None, Some(place)) => (place, None),
            // What a private namespace calls the root is the agent's, or (beside version 1) that of those that
            // version 2 does not place.
            (Some((Place::Own, path)), Some(place)) if path == "/" => (place, None),
            (Some((place, path)), _) => (place, self.absolute(&path)),
            (None, None) => (Place::Unknown, None),
        }
    }

    fn place_of(&self, path: &str) -> Place {
        match self.absolute(path) {
            Some(path) => place(&path, self.node()),
            None => relative(path),
        }
    }

    fn absolute(&self, path: &str) -> Option<Box<str>> {
        match (&self.own, self.private) {
            (_, false) => Some(path.into()),
            (Some(own), true) => resolve(own, path).map(Into::into),
            (None, true) => None,
        }
    }
}

/// The pod and the container that this process is: kubelets mount a file out of a folder with both names.
pub(super) fn own_container(roots: &Roots) -> Option<(Box<str>, Box<str>)> {
    mounts(roots).into_iter().filter(|(_, point)| point == "/dev/termination-log").find_map(|(file, _)| {
        // …/pods/<UID>/containers/<name>/<number>
        let (_, names) = file.rsplit_once("/pods/")?;
        let mut names = names.split('/');
        let uid = names.next().filter(|uid| is_uid(uid))?;
        let name = names.next().filter(|folder| *folder == "containers").and(names.next())?;
        Some((uid.into(), name.into()))
    })
}

/// What part of a file system is mounted at a point.
pub(super) fn mounted_at(roots: &Roots, point: &Path) -> Option<String> {
    let mounts = mounts(roots);
    // The last one hides those before.
    mounts.into_iter().rfind(|(_, known)| Path::new(known) == point).map(|(root, _)| root)
}

/// Roots and points of all mounts. Spaces in names stay escaped; nothing that is looked for here has any.
fn mounts(roots: &Roots) -> Vec<(String, String)> {
    let mounts = fs::read(roots.proc.join("self/mountinfo")).unwrap_or_default();
    let parse = |line: &str| {
        let mut fields = line.split(' ').skip(3);
        Some((fields.next()?.to_owned(), fields.next()?.to_owned()))
    };
    String::from_utf8_lossy(&mounts).lines().filter_map(parse).collect()
}

struct Line {
    is_version_2: bool,
    path: String,
}

/// The lines of `/proc/<pid>/cgroup`. Not read by the procfs crate: that gives up on a file in which one name
/// is not UTF-8, and everybody who may make a cgroup may call it anything.
fn lines(file: &[u8]) -> impl Iterator<Item = Line> {
    file.split(|byte| *byte == b'\n').filter_map(|line| {
        let mut parts = line.splitn(3, |byte| *byte == b':');
        let (number, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
        let is_version_2 = number == b"0" && controllers.is_empty();
        Some(Line { is_version_2, path: String::from_utf8_lossy(path).into_owned() })
    })
}

/// When a process began, in ticks since the machine did: the 22nd field of its `stat`. The second is a name in
/// parentheses with anything in it.
fn start_ticks(stat: &[u8]) -> Option<u64> {
    let end = stat.iter().rposition(|byte| *byte == b')')?;
    let mut fields = stat[end + 1..].split(|byte| *byte == b' ').filter(|field| !field.is_empty());
    std::str::from_utf8(fields.nth(19)?).ok()?.trim().parse().ok()
}
