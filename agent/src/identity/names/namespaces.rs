//! Network namespaces and the pods whose processes live in them.
//!
//! A namespace of two pods (somebody entered another's) is nobody's. Inodes are used again, so that a pod's
//! claim ends with the pod.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use foldhash::fast::FixedState;

use crate::identity::Identity;

/// How many are kept; a node has a few hundred.
const MOST: usize = 4_096;

#[derive(Debug, Default)]
pub(super) struct Namespaces {
    known: HashMap<u32, Claims, FixedState>,
    /// Cgroups and namespaces that were looked at: nobody looks twice.
    looked: HashSet<(u64, u32), FixedState>,
}

#[derive(Debug, Default)]
struct Claims {
    /// UIDs of pods.
    pods: Vec<Box<str>>,
    who: Option<Arc<Identity>>,
}

impl Namespaces {
    /// Whether a pod is known to live there.
    pub(super) fn knows(&self, netns: u32, uid: &str) -> bool {
        self.known.get(&netns).is_some_and(|claims| claims.pods.iter().any(|one| **one == *uid))
    }

    /// Whether a cgroup's sockets are seen in a namespace for the first time.
    pub(super) fn is_new(&mut self, cgroup: u64, netns: u32) -> bool {
        if self.looked.len() >= MOST {
            self.looked.clear();
        }
        self.looked.insert((cgroup, netns))
    }

    /// A process of the pod lives there.
    pub(super) fn claim(&mut self, netns: u32, uid: &str) {
        if self.known.len() >= MOST && !self.known.contains_key(&netns) || self.knows(netns, uid) {
            return;
        }
        let claims = self.known.entry(netns).or_default();
        claims.pods.push(uid.into());
        claims.who = None;
    }

    /// The pod is gone.
    pub(super) fn release(&mut self, uid: &str) {
        self.known.retain(|_, claims| {
            claims.pods.retain(|one| **one != *uid);
            !claims.pods.is_empty()
        });
    }

    /// Names are others now.
    pub(super) fn forget_names(&mut self) {
        self.known.values_mut().for_each(|claims| claims.who = None);
    }

    /// The pod of a namespace, if exactly one that `counts` lives there.
    pub(super) fn of(
        &mut self,
        netns: u32,
        counts: impl Fn(&str) -> bool,
        name: impl FnOnce(&str) -> Arc<Identity>,
    ) -> Option<Arc<Identity>> {
        let claims = self.known.get_mut(&netns)?;
        let mut pods = claims.pods.iter().filter(|uid| counts(uid));
        let (Some(uid), None) = (pods.next(), pods.next()) else { return None };
        match &claims.who {
            Some(who) if who.pod_uid.as_deref() == Some(&**uid) => Some(Arc::clone(who)),
            _ => Some(Arc::clone(claims.who.insert(name(uid)))),
        }
    }

    /// The namespaces of pods that nobody else lives in.
    pub(super) fn of_pods(&self, wanted: impl Fn(&str) -> bool) -> Vec<u32> {
        let only = |claims: &&Claims| matches!(&claims.pods[..], [uid] if wanted(uid));
        let mut netns: Vec<_> =
            self.known.iter().filter(|(_, claims)| only(claims)).map(|(netns, _)| *netns).collect();
        netns.sort_unstable();
        netns
    }
}
