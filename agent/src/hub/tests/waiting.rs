//! Events that wait for a pod's name.

use super::event;
use crate::hub::waiting::Waiting;

const LONG: u64 = 500_000_000;

fn waiting() -> Waiting {
    Waiting::new(std::time::Duration::from_nanos(LONG))
}

#[test]
fn an_event_waits_for_its_pod_and_no_longer_than_it_may() {
    let mut waiting = waiting();
    assert!(waiting.push(event(10, 5)).is_none());
    assert_eq!(waiting.deadline(), Some(5 + LONG));
    assert_eq!(waiting.next(5 + LONG - 1, |_| false), None);
    assert!(waiting.has(Some(10)) && !waiting.has(Some(11)));
    assert_eq!(waiting.next(5 + LONG, |_| false), Some(event(10, 5)));
    assert_eq!((waiting.deadline(), waiting.has(Some(10))), (None, false));
}

#[test]
fn those_of_a_pod_that_became_known_go_first_and_in_order() {
    let mut waiting = waiting();
    for (cgroup, at) in [(10, 1), (11, 2), (11, 3), (10, 4)] {
        waiting.push(event(cgroup, at));
    }
    let is_known = |event: &crate::event::Event| event.cgroup_id == Some(11);
    let gone: Vec<u64> =
        std::iter::from_fn(|| waiting.next(5, is_known)).map(|event| event.boot_ns).collect();
    assert_eq!(gone, [2, 3]);
    assert_eq!(waiting.deadline(), Some(1 + LONG));
}

#[test]
fn where_too_many_wait_the_oldest_goes_on_and_none_is_lost() {
    let mut waiting = waiting();
    let gone: Vec<u64> =
        (0..5000).filter_map(|at| waiting.push(event(10, at))).map(|one| one.boot_ns).collect();
    let rest = std::iter::from_fn(|| waiting.next(u64::MAX, |_| false)).map(|one| one.boot_ns);
    let all: Vec<u64> = gone.into_iter().chain(rest).collect();
    assert_eq!(all, (0..5000).collect::<Vec<_>>());
}
