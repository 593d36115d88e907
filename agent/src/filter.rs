//! What somebody wants to see: allow and deny lists of conjunctions, and their way into the kernel's sets.
//!
//! The types here are what a command line or an API request becomes after it was checked; `compile` (in
//! `filter/compile.rs`) turns any number of subscriptions into the kernel's maps, purely.

pub mod compile;

pub use agent_common::prefix::Prefix;

use crate::event::{EventKind, Family};

/// One filter: all conditions hold. An empty list is no condition; values in a list are alternatives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conjunction {
    /// Event kinds.
    pub kinds: Vec<EventKind>,
    /// Inodes of network namespaces.
    pub netns: Vec<u32>,
    /// Ids of v2 cgroups, each with everything below it, now and later.
    pub cgroups: Vec<u64>,
    /// Inodes of mount namespaces (of the owner).
    pub mntns: Vec<u32>,
    /// Process ids (of the owner or user).
    pub pids: Vec<u32>,
    /// Real user ids (of the owner).
    pub uids: Vec<u32>,
    /// Family after v4-mapped addresses became IPv4.
    pub family: Option<Family>,
    /// Local ports.
    pub local_ports: Vec<u16>,
    /// Remote ports.
    pub remote_ports: Vec<u16>,
    /// Local address prefixes.
    pub local_prefixes: Vec<Prefix>,
    /// Remote address prefixes.
    pub remote_prefixes: Vec<Prefix>,
    /// The socket's cgroup is a key of the pinned map given to the engine.
    pub pinned_cgroup: bool,
    /// The owner's mount namespace is a key of the pinned map given to the engine.
    pub pinned_mntns: bool,
}

/// A subscription's filter: an event passes that `allow` accepts (empty = all) and `deny` does not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Alternatives that let an event in; empty lets everything in.
    pub allow: Vec<Conjunction>,
    /// Alternatives that keep it out.
    pub deny: Vec<Conjunction>,
}
