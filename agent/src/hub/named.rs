//! The hub's way to `identity::Names`.

use std::{collections::BTreeSet, sync::Arc};

use super::{condition::Places, naming::Naming, pods::PodCondition, wish::CgroupName};
use crate::{
    decode::CgroupMade,
    engine::TaskPlace,
    event::Event,
    filter::compile::Surroundings,
    identity::{Identity, names::Names},
};

/// Names on a node.
pub struct Named {
    names: Names,
    node: String,
}

impl Named {
    /// Names on a node of this name.
    pub fn new(names: Names, node: String) -> Self {
        Self { names, node }
    }
}

impl Surroundings for Named {
    fn is_below(&self, cgroup: u64, ancestor: u64) -> bool {
        self.names.is_below(cgroup, ancestor)
    }

    fn is_pinned_cgroup(&self, _: u64) -> bool {
        false
    }

    fn is_pinned_mntns(&self, _: u32) -> bool {
        false
    }
}

impl Places for Named {
    fn node(&self) -> &str {
        &self.node
    }

    fn is_below_path(&self, cgroup: u64, path: &str) -> bool {
        self.names.is_below_path(cgroup, path)
    }

    fn of_pods(&self, condition: &PodCondition, or_pending: bool) -> BTreeSet<u64> {
        // The kubelet tells of a new container a while after it runs: until then its name may be the one.
        let unnamed = |who: &Identity| {
            let container = who.container.as_ref();
            !condition.containers.is_empty()
                && who.pod.is_some()
                && container.is_none_or(|container| container.name.is_none())
        };
        let wanted = |who: &Identity| condition.matches(who) || (or_pending && (who.pending || unnamed(who)));
        self.names.places(wanted).cgroups.into_iter().collect()
    }

    fn subtree(&self, cgroup: &CgroupName) -> BTreeSet<u64> {
        let path = match cgroup {
            CgroupName::Path(path) => Some(path.as_str()),
            CgroupName::Id(id) => self.names.cgroup_path(*id),
        };
        let mut all: BTreeSet<u64> =
            path.map(|path| self.names.below_path(path)).unwrap_or_default().into_iter().collect();
        if let CgroupName::Id(id) = cgroup {
            // Known or not: the kernel adds what is made below it from now on.
            all.insert(*id);
        }
        all
    }
}

impl Naming for Named {
    fn of(&mut self, event: &Event) -> Arc<Identity> {
        self.names.of(event)
    }

    fn refresh(&mut self) -> bool {
        self.names.refresh()
    }

    fn knows_cgroup(&self, id: u64) -> bool {
        self.names.knows_cgroup(id)
    }

    fn cgroup_made(&mut self, made: &CgroupMade) {
        self.names.cgroup_made(made.id, made.parent, made.levels().map(|level| level.name), made.whole);
    }

    fn process(&mut self, place: &TaskPlace) {
        self.names.process_seen(place.pid, place.start_ns, place.cgroup_id, place.netns);
    }
}
