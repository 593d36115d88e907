//! What the hub needs to know of containers; `identity::Names` knows it, tests make it up.

use std::sync::Arc;

use super::condition::Places;
use crate::{decode::CgroupMade, engine::TaskPlace, event::Event, identity::Identity};

/// Who has what.
pub trait Naming: Places {
    /// Whose socket it is. Does not allocate where that is known.
    fn of(&mut self, event: &Event) -> Arc<Identity>;

    /// Takes in what became known since the last call; whether anything did.
    fn refresh(&mut self) -> bool;

    /// The kernel told of a new cgroup.
    fn cgroup_made(&mut self, made: &CgroupMade);

    /// The kernel told where a process is.
    fn process(&mut self, place: &TaskPlace);

    /// Whether a cgroup is known, or one that was made a moment ago.
    fn knows_cgroup(&self, id: u64) -> bool;
}
