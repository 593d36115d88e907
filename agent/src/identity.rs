//! Whose a socket is: cgroup, process or network namespace -> container -> pod.
//!
//! ```text
//! cgroup_path   a cgroup's path -> pod UID and container id              (pure)
//! labels        a pod's labels in one piece of memory                    (pure)
//! selector      Kubernetes' label selectors                              (pure)
//! workload      a pod's owner, without asking the cluster                (pure)
//! pods          the pods of this node, slim; the deleted ones for a while (pure)
//! watch         the API server -> pods
//! names         an event -> Identity
//! ```

pub mod cgroup_path;
pub mod labels;
pub mod names;
pub mod pods;
pub mod selector;
pub mod testing;
pub mod watch;
pub mod workload;

use std::sync::Arc;

use self::labels::Labels;
use crate::event::IdentitySource;

/// A pod, as far as it is used. The names are shared by all its containers' identities.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pod {
    /// Namespace.
    pub namespace: Box<str>,
    /// Name.
    pub name: Box<str>,
    /// UID, as Kubernetes writes it (with dashes; static pods: without).
    pub uid: Box<str>,
    /// What it belongs to.
    pub workload: Option<Workload>,
    /// Labels, sorted by key.
    pub labels: Labels,
}

/// What a pod belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workload {
    /// For example `Deployment`.
    pub kind: Box<str>,
    /// Its name.
    pub name: Box<str>,
    /// Concluded from names, not read.
    pub derived: bool,
}

/// What kind of container it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ContainerKind {
    /// One of the pod's containers.
    Main,
    /// An init container.
    Init,
    /// An init container that is restarted always.
    Sidecar,
    /// `kubectl debug`.
    Ephemeral,
}

/// A container, as far as it is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container {
    /// Its id, without the runtime's name.
    pub id: Box<str>,
    /// Its name and kind: the API server tells them.
    pub name: Option<(Box<str>, ContainerKind)>,
}

/// Who a socket belongs to. Made once for each container and shared by its events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// What it was concluded from.
    pub source: IdentitySource,
    /// The pod's UID, where the cgroup path or the API server told it.
    pub pod_uid: Option<Box<str>>,
    /// The pod, once the API server told of it.
    pub pod: Option<Arc<Pod>>,
    /// The container.
    pub container: Option<Container>,
    /// It is the node itself, or a process of it.
    pub host: bool,
    /// A pod that the API server has not told of yet.
    pub pending: bool,
}
