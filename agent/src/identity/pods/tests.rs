//! The store against made-up clusters.

use std::net::IpAddr;

use super::{Change, Now, Pods, SECOND, Seen};
use crate::identity::{
    ContainerKind, Workload,
    testing::{self, seen},
};

fn at(seconds: u64) -> Now {
    Now { boot_ns: seconds * SECOND, wall_ns: testing::EPOCH_NS + seconds * SECOND }
}

fn wall(seconds: u64) -> u64 {
    at(seconds).wall_ns
}

fn apply(pods: &mut Pods, change: Change, now: Now) -> Vec<Box<str>> {
    let mut changed = Vec::new();
    pods.apply(change, now, &mut changed);
    changed
}

fn put(pods: &mut Pods, seen: Seen, seconds: u64) -> usize {
    apply(pods, Change::Applied(seen.into()), at(seconds)).len()
}

#[test]
fn a_pod_is_known_by_its_uid_with_its_containers_of_every_kind() {
    let mut pods = Pods::default();
    let mut cart = seen("shop", "cart-0", 1);
    cart.containers = vec![
        ("a".into(), "app".into(), ContainerKind::Main),
        ("b".into(), "setup".into(), ContainerKind::Init),
        ("c".into(), "proxy".into(), ContainerKind::Sidecar),
        ("d".into(), "debugger".into(), ContainerKind::Ephemeral),
    ];
    let uid = cart.uid.clone();
    assert_eq!(put(&mut pods, cart.clone(), 1), 1);
    assert_eq!(put(&mut pods, cart, 2), 0, "nothing is new");
    assert_eq!(&*pods.get(&uid).unwrap().name, "cart-0");
    assert_eq!(pods.container(&uid, "a"), Some(("app", ContainerKind::Main)));
    assert_eq!(pods.container(&uid, "b"), Some(("setup", ContainerKind::Init)));
    assert_eq!(pods.container(&uid, "c"), Some(("proxy", ContainerKind::Sidecar)));
    assert_eq!(pods.container(&uid, "d"), Some(("debugger", ContainerKind::Ephemeral)));
    assert_eq!(pods.container(&uid, "app"), None);
    assert_eq!(pods.with_container("c").unwrap().uid, uid);
    assert_eq!(pods.with_container("mapp"), None);
    assert_eq!(pods.get("other"), None);
}

#[test]
fn a_container_that_is_not_told_of_yet_is_named_where_it_is_the_only_one() {
    let mut pods = Pods::default();
    let mut job = seen("shop", "job", 1);
    job.containers = vec![(Box::default(), "app".into(), ContainerKind::Main)];
    let uid = job.uid.clone();
    put(&mut pods, job, 1);
    assert_eq!(pods.container(&uid, "any"), Some(("app", ContainerKind::Main)));
    assert_eq!(
        (pods.with_container("any"), pods.with_container("x"), pods.container_id(&uid, "app")),
        (None, None, None)
    );
    put(&mut pods, seen("shop", "cart", 2), 1);
    assert_eq!(pods.container(&testing::uid(2), "any"), None);
}

#[test]
fn a_pod_that_is_gone_is_known_for_a_minute() {
    let mut pods = Pods::default();
    let cart = seen("shop", "cart-0", 1);
    let uid = cart.uid.clone();
    put(&mut pods, cart, 1);
    apply(&mut pods, Change::Deleted(uid.clone()), at(10));
    apply(&mut pods, Change::Deleted(uid.clone()), at(40));
    let mut changed = Vec::new();
    pods.expire(at(69), &mut changed);
    assert!(pods.get(&uid).is_some() && !pods.is_alive(&uid) && pods.is_empty() && changed.is_empty());
    pods.expire(at(70), &mut changed);
    assert_eq!((pods.get(&uid), changed), (None, vec![uid]));
}

#[test]
fn a_pod_that_comes_back_stays() {
    let mut pods = Pods::default();
    let cart = seen("shop", "cart-0", 1);
    let uid = cart.uid.clone();
    put(&mut pods, cart.clone(), 1);
    apply(&mut pods, Change::Deleted(uid.clone()), at(10));
    put(&mut pods, cart, 20);
    pods.expire(at(80), &mut Vec::new());
    assert!(pods.is_alive(&uid));
    apply(&mut pods, Change::Deleted(uid.clone()), at(81));
    pods.expire(at(140), &mut Vec::new());
    assert!(pods.get(&uid).is_some());
    pods.expire(at(141), &mut Vec::new());
    assert!(pods.get(&uid).is_none());
}

#[test]
fn what_a_complete_list_does_not_have_is_gone_and_an_incomplete_one_says_nothing() {
    let mut pods = Pods::default();
    let (cart, web) = (seen("shop", "cart-0", 1), seen("shop", "web-0", 2));
    for change in [
        Change::Restart,
        Change::Listed(cart.clone().into()),
        Change::Listed(web.clone().into()),
        Change::Complete,
    ] {
        apply(&mut pods, change, at(1));
    }
    assert_eq!(pods.len(), 2);
    apply(&mut pods, Change::Restart, at(2));
    apply(&mut pods, Change::Listed(web.clone().into()), at(2));
    assert_eq!(pods.len(), 2, "the list can break off here");
    apply(&mut pods, Change::Restart, at(3));
    apply(&mut pods, Change::Listed(cart.clone().into()), at(3));
    apply(&mut pods, Change::Complete, at(3));
    assert!(pods.is_alive(&cart.uid) && !pods.is_alive(&web.uid));
    assert!(pods.get(&web.uid).is_some(), "for a minute");
}

#[test]
fn a_change_is_told_and_takes_effect() {
    let mut pods = Pods::default();
    let mut cart = seen("shop", "cart-0", 1);
    put(&mut pods, cart.clone(), 1);
    cart.labels = [("app", "other")].into_iter().collect();
    assert_eq!(put(&mut pods, cart.clone(), 2), 1);
    assert_eq!(pods.get(&cart.uid).unwrap().labels.get("app"), Some("other"));
    assert_eq!(pods.with_address(cart.addresses[0], wall(9)).unwrap().labels.get("app"), Some("other"));
    cart.containers.push(("new".into(), "new".into(), ContainerKind::Ephemeral));
    assert_eq!(put(&mut pods, cart, 3), 1);
}

fn address(pods: &Pods, address: IpAddr, second: u64) -> Option<&str> {
    pods.with_address(address, wall(second)).map(|pod| &*pod.name)
}

#[test]
fn an_address_used_again_belongs_to_whoever_had_it_at_the_time() {
    let mut pods = Pods::default();
    let (mut old, mut new) = (seen("shop", "old", 1), seen("shop", "new", 2));
    let ip = old.addresses[0];
    (old.since_wall_ns, new.since_wall_ns) = (Some(wall(10)), Some(wall(100)));
    new.addresses = vec![ip];
    put(&mut pods, old.clone(), 11);
    assert_eq!(address(&pods, ip, 9), None, "before the pod");
    assert_eq!(address(&pods, ip, 10), Some("old"));
    apply(&mut pods, Change::Deleted(old.uid), at(90));
    put(&mut pods, new, 101);
    assert_eq!(address(&pods, ip, 89), Some("old"));
    assert_eq!(address(&pods, ip, 95), None, "between the two");
    assert_eq!(address(&pods, ip, 100), Some("new"));
    // The old one's time is forgotten with it; nobody else inherits it.
    pods.expire(at(160), &mut Vec::new());
    assert_eq!(address(&pods, ip, 50), None);
    assert_eq!(address(&pods, ip, 155), Some("new"));
}

#[test]
fn where_two_pods_could_have_had_an_address_nobody_had() {
    let mut pods = Pods::default();
    let (mut old, mut new) = (seen("shop", "old", 1), seen("shop", "new", 2));
    let ip = old.addresses[0];
    (old.since_wall_ns, new.since_wall_ns) = (Some(wall(10)), Some(wall(100)));
    new.addresses = vec![ip];
    // The new pod is seen before the old one's end.
    put(&mut pods, old.clone(), 11);
    put(&mut pods, new, 101);
    assert_eq!(address(&pods, ip, 99), Some("old"));
    assert_eq!(address(&pods, ip, 100), None, "somewhen in this second");
    assert_eq!(address(&pods, ip, 101), Some("new"));
    put(&mut pods, old.clone(), 102);
    apply(&mut pods, Change::Deleted(old.uid), at(103));
    assert_eq!(address(&pods, ip, 104), Some("new"));
    assert_eq!(address(&pods, ip, 99), Some("old"));
}

#[test]
fn the_order_in_which_pods_are_told_changes_nothing() {
    let mut pods = Pods::default();
    let (mut old, mut new) = (seen("shop", "old", 1), seen("shop", "new", 2));
    let ip = old.addresses[0];
    (old.since_wall_ns, old.over_wall_ns) = (Some(wall(10)), Some(wall(90)));
    (new.since_wall_ns, new.addresses) = (Some(wall(100)), vec![ip]);
    put(&mut pods, new, 101);
    put(&mut pods, old, 102);
    assert_eq!(address(&pods, ip, 89), Some("old"));
    assert_eq!(address(&pods, ip, 91), None);
    assert_eq!(address(&pods, ip, 100), Some("new"));
}

#[test]
fn a_pod_whose_containers_have_ended_has_given_its_address_back() {
    let mut pods = Pods::default();
    let mut job = seen("shop", "job", 1);
    (job.since_wall_ns, job.over_wall_ns) = (Some(wall(10)), Some(wall(20)));
    let ip = job.addresses[0];
    put(&mut pods, job.clone(), 21);
    assert_eq!(address(&pods, ip, 15), Some("job"));
    assert_eq!(address(&pods, ip, 25), None);
    pods.expire(at(81), &mut Vec::new());
    put(&mut pods, job, 82);
    assert_eq!(address(&pods, ip, 15), None, "long over");
}

#[test]
fn the_nodes_address_belongs_to_none_of_its_pods() {
    let mut pods = Pods::default();
    let mut agent = seen("kube-system", "agent", 1);
    agent.host_network = true;
    let (ip, uid) = (agent.addresses[0], agent.uid.clone());
    put(&mut pods, agent, 1);
    assert_eq!(address(&pods, ip, 10_000), None);
    assert_eq!(pods.has_host_network(&uid), Some(true));
}

#[test]
fn ten_thousand_pods_take_at_most_0_3_kib_each_beyond_their_names() {
    const PODS: u32 = 10_000;
    let changes: Vec<_> = (0..PODS).map(|number| Change::Listed(testing::typical(number).into())).collect();
    let names: usize = changes.iter().map(bytes_of_names).sum();
    let mut pods = Pods::default();
    let mut changed = Vec::with_capacity(changes.len());
    // What is moved in was allocated before; so is counted what stays when the rest is gone.
    let taken = allocation_counter::measure(|| {
        let fresh: Vec<_> = changes.clone();
        for change in fresh {
            pods.apply(change, at(1), &mut changed);
        }
        changed = Vec::new();
    });
    assert_eq!(pods.len(), PODS as usize);
    let each = (usize::try_from(taken.bytes_current).unwrap() - names) / PODS as usize;
    println!("{each} bytes a pod beyond its names ({} with them)", taken.bytes_current / i64::from(PODS));
    assert!(each <= 307, "{each} bytes a pod beyond {} of names", names / PODS as usize);
}

/// Everything that is text of the cluster.
fn bytes_of_names(change: &Change) -> usize {
    let Change::Listed(seen) = change else { return 0 };
    let Seen { namespace, name, uid, labels, workload, containers, .. } = &**seen;
    let Workload { kind, name: owner, derived: _ } = workload.as_ref().unwrap();
    [namespace, name, uid, kind, owner].iter().map(|text| text.len()).sum::<usize>()
        + labels.bytes()
        + containers.iter().map(|(id, name, _)| id.len() + name.len()).sum::<usize>()
}
