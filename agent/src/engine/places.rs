//! Where processes are that are older than the engine: their cgroups and network namespaces.
//!
//! `iter/task` tells of every process of the engine's pid namespace, whatever cgroup and mount namespace that
//! process is in; nothing of procfs is read.

use agent_common::record;

use super::iterator;
use crate::{bpf::Object, decode::known, probes};

/// Where a process was when the engine was loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TaskPlace {
    /// Process id in the initial pid namespace.
    pub pid: u32,
    /// Id of its cgroup in the v2 hierarchy; the root's means that version 2 places it nowhere.
    pub cgroup_id: Option<u64>,
    /// Inode of its network namespace; an exiting process has none.
    pub netns: Option<u32>,
    /// When it began, CLOCK_BOOTTIME.
    pub start_ns: Option<u64>,
}

/// Reads them all, by pid.
pub(super) fn take(object: &mut Object) -> Result<Vec<TaskPlace>, String> {
    let file = object.open_iterator(probes::TASKS.program).map_err(|fault| fault.reason)?;
    let mut places = Vec::new();
    iterator::read(file, |record, _| places.push(place(&record))).map_err(|error| error.to_string())?;
    Ok(sorted(places))
}

fn place(record: &record::TaskPlace) -> TaskPlace {
    TaskPlace {
        pid: record.pid,
        cgroup_id: known(record.cgroup_id),
        netns: known(record.netns),
        start_ns: known(record.start_ns),
    }
}

/// Each process once.
fn sorted(mut places: Vec<TaskPlace>) -> Vec<TaskPlace> {
    places.sort_by_key(|place| place.pid);
    places.dedup_by_key(|place| place.pid);
    places
}

#[cfg(test)]
mod tests {
    use agent_common::record;

    use super::{TaskPlace, place, sorted};

    #[test]
    fn what_the_kernel_did_not_say_of_a_process_is_none() {
        let record = record::TaskPlace { pid: 7, cgroup_id: 1, ..record::TaskPlace::default() };
        let expected = TaskPlace { pid: 7, cgroup_id: Some(1), netns: None, start_ns: None };
        assert_eq!(place(&record), expected);
    }

    #[test]
    fn a_process_that_the_kernel_told_of_twice_is_there_once() {
        let at = |pid| place(&record::TaskPlace { pid, ..record::TaskPlace::default() });
        let pids: Vec<_> = sorted(vec![at(9), at(2), at(9), at(2)]).iter().map(|place| place.pid).collect();
        assert_eq!(pids, [2, 9]);
    }
}
