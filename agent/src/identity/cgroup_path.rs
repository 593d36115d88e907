//! A cgroup's path tells pod UID and container id, without asking anyone.
//!
//! Paths come absolute from the kernel, and from `/proc/<pid>/cgroup` as the reader's cgroup namespace shows
//! them: absolute in the machine's own, relative to the reader in a private one. Kubelets write them in two
//! ways (systemd's slices, plain cgroupfs) and runtimes in several; all are known by the shape of single
//! levels: a level is a pod, a container, or neither.
//!
//! Of the levels of one path the outermost decides, from the node's own root on: what a workload makes below
//! its own container is that container's, whatever it calls it. A node that is itself a container (kind) is
//! cut off by [`node_of`]; where it is not known what the node is, the innermost pod is taken.

/// A container, a pod, or both, as a path has them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ContainerRef {
    /// The pod's UID as its kubelet has it: with dashes; that of a static pod is 32 digits without.
    pub pod_uid: Option<Box<str>>,
    /// The container's id; none for what is in the pod and in none of its containers.
    pub container_id: Option<Box<str>>,
}

/// Where a path leads.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    /// Into a container, or at least a pod.
    Container(ContainerRef),
    /// Into the container beside the reader's, which is of the same pod, if the reader's is of one.
    Sibling(Box<str>),
    /// Into the reader's own container.
    Own,
    /// To a process of the node.
    Host,
    /// To the root: on machines with version 1 this is where everything is that version 2 does not place.
    Root,
    /// Somewhere near the reader, and it cannot be said where.
    Unknown,
}

/// Where an absolute path leads. `node` is the node's own root (see [`node_of`]), where it is known.
pub fn place(path: &str, node: Option<&str>) -> Place {
    let path = alive(path);
    if levels(path).next().is_none() {
        return Place::Root;
    }
    let found = match node {
        Some(node) => outermost(below(path, node).unwrap_or(path)),
        None => innermost(path),
    };
    found.map_or(Place::Host, Place::Container)
}

/// Where a path leads that `/proc/<pid>/cgroup` shows in a private cgroup namespace: `/` is the reader's own
/// cgroup, `/..` the one above. Better than this is [`resolve`], where the reader's own path is known.
pub fn relative(path: &str) -> Place {
    let path = alive(path);
    let ups = levels(path).take_while(|level| *level == "..").count();
    if ups == 0 {
        return Place::Own;
    }
    // crun puts a container one level deeper (`…/crio-<id>.scope/container`): from there a sibling is two up.
    if let Some(id) = levels(path).nth(ups).and_then(container) {
        return Place::Sibling(id.into());
    }
    match outermost(path) {
        Some(found) => Place::Container(found),
        // A container is at least three levels deep in Kubernetes (kubepods, pod, container), and below the
        // kubepods' level only pods have processes.
        None if ups >= 3 => Place::Host,
        None => Place::Unknown,
    }
}

/// A relative path as an absolute one, by the reader's own absolute path; none if it leads above the root.
pub fn resolve(own: &str, path: &str) -> Option<String> {
    let mut whole: Vec<&str> = own.split('/').filter(|level| !level.is_empty()).collect();
    for level in alive(path).split('/').filter(|level| !level.is_empty()) {
        if level == ".." {
            whole.pop()?;
        } else {
            whole.push(level);
        }
    }
    Some(format!("/{}", whole.join("/")))
}

/// The root of the node in which a pod's container runs, from the container's absolute path: `/`, or, if the
/// node is a container itself (kind), that one's path.
pub fn node_of(own: &str) -> &str {
    let mut start = 0;
    let mut last_container_end = 0;
    let mut node_end = 0;
    for level in own.split('/') {
        let end = start + level.len();
        if pod(level).is_some() {
            node_end = last_container_end;
        } else if container(level).is_some() {
            last_container_end = end;
        }
        start = end + 1;
    }
    if node_end == 0 { "/" } else { &own[..node_end] }
}

/// The path without the note that its cgroup is gone.
fn alive(path: &str) -> &str {
    path.strip_suffix(" (deleted)").unwrap_or(path)
}

/// The part of a path below another one; `None` where it is not below.
fn below<'p>(path: &'p str, top: &str) -> Option<&'p str> {
    let rest = path.strip_prefix(top.trim_end_matches('/'))?;
    (rest.is_empty() || rest.starts_with('/')).then_some(rest)
}

/// The levels of a path. A colon parts levels too: containerd with the systemd way of writing and runc with
/// the other make one folder `kubepods-pod<UID>.slice:cri-containerd:<id>` of them.
fn levels(path: &str) -> impl DoubleEndedIterator<Item = &str> {
    path.split(['/', ':']).filter(|level| !level.is_empty())
}

/// The first level that is a pod or a container, with the container in it.
fn outermost(path: &str) -> Option<ContainerRef> {
    let mut levels = levels(path);
    while let Some(level) = levels.next() {
        if let Some(uid) = pod(level) {
            let id = levels.find_map(container).map(Box::from);
            return Some(ContainerRef { pod_uid: Some(uid), container_id: id });
        }
        if let Some(id) = container(level) {
            return Some(ContainerRef { pod_uid: None, container_id: Some(id.into()) });
        }
    }
    None
}

/// The last pod with the container in it, else the last container.
fn innermost(path: &str) -> Option<ContainerRef> {
    let mut pod_uid = None;
    let mut inside = None;
    for level in levels(path).rev() {
        pod_uid = pod(level);
        if pod_uid.is_some() {
            break;
        }
        // Going up, the last one seen is the pod's own; what is inside of that is not Kubernetes'.
        inside = container(level).or(inside);
    }
    let container_id =
        if pod_uid.is_some() { inside } else { levels(path).rev().find_map(container) }.map(Box::from);
    (pod_uid.is_some() || container_id.is_some()).then_some(ContainerRef { pod_uid, container_id })
}

/// The UID of a level that is a pod: `pod<UID>`, or `<anything>-pod<UID>.slice` with the dashes in the UID
/// as underscores (kubelet's way) or `\x2d` (systemd's own).
fn pod(level: &str) -> Option<Box<str>> {
    let uid = match level.strip_suffix(".slice") {
        Some(slice) => match slice.rfind("-pod") {
            Some(place) => &slice[place + "-pod".len()..],
            None => slice.strip_prefix("pod")?,
        },
        None => level.strip_prefix("pod")?,
    };
    let uid = uid.replace("\\x2d", "-").replace('_', "-");
    is_uid(&uid).then(|| uid.into())
}

/// 8-4-4-4-12 digits with dashes, or (static pods: a hash of the file) 32 without.
pub(super) fn is_uid(text: &str) -> bool {
    let bytes = text.as_bytes();
    match bytes.len() {
        32 => bytes.iter().all(u8::is_ascii_hexdigit),
        36 => bytes.iter().enumerate().all(|(place, byte)| match place {
            8 | 13 | 18 | 23 => *byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        }),
        _ => false,
    }
}

/// The id of a level that is a container: 64 hexadecimal digits, maybe with the runtime's name and a dash in
/// front and `.scope` behind. conmon, CRI-O's and Podman's helper beside a container, is none.
fn container(level: &str) -> Option<&str> {
    let name = level.strip_suffix(".scope").unwrap_or(level);
    let id = match name.rsplit_once('-') {
        Some((runtime, _)) if runtime.ends_with("conmon") => return None,
        Some((_, id)) => id,
        None if level.len() == name.len() => name,
        None => return None,
    };
    (id.len() == 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(id)
}

#[cfg(test)]
mod tests;
