//! Names on made-up machines: a folder for `/proc`, a channel for the API server.

use tokio::sync::mpsc::{Receiver, Sender, channel};

use super::{Names, Places};
use crate::{
    event::{Event, IdentitySource},
    host::Tree,
    identity::{
        ContainerKind, Identity,
        pods::{Change, Now, Seen},
        testing::{self, container_id, event, process, seen, uid},
    },
};

const HOST: u32 = 4_026_531_840;
const SECOND: u64 = 1_000_000_000;
const LIVES: &str = "pid:[4026531836]";
/// What makes a cgroup namespace the machine's own.
const MACHINES: &str = "cgroup:[4026531835]";

/// A machine with processes: number, cgroups, start in ticks, network namespace.
fn machine(own: &[(&str, &str)], processes: &[(u32, &str, u64, u32)]) -> Tree {
    let mut files: Vec<(String, String)> = vec![
        ("proc/self/ns/pid".into(), format!("-> {LIVES}")),
        ("proc/2/ns/net".into(), format!("-> net:[{HOST}]")),
    ];
    files.extend(own.iter().map(|(file, content)| ((*file).to_owned(), (*content).to_owned())));
    for (pid, cgroup, start, netns) in processes {
        files.push((format!("proc/{pid}/cgroup"), format!("{cgroup}\n")));
        files.push((format!("proc/{pid}/status"), format!("Name:\tx\nTgid:\t{pid}\n")));
        files.push((format!("proc/{pid}/stat"), stat(*pid, *start)));
        files.push((format!("proc/{pid}/ns/net"), format!("-> net:[{netns}]")));
    }
    let files: Vec<_> = files.iter().map(|(file, content)| (&**file, &**content)).collect();
    Tree::new(&files)
}

fn stat(pid: u32, start: u64) -> String {
    format!("{pid} (a) (b c) S 1 1 1 0 -1 4194560 9 8 7 6 5 4 3 2 20 0 1 0 {start} 11 12 13\n")
}

/// A plain machine with version 2 only, the agent one of its processes.
fn plain(processes: &[(u32, &str, u64, u32)]) -> Tree {
    machine(
        &[
            ("proc/self/ns/cgroup", &format!("-> {MACHINES}")),
            ("proc/self/cgroup", "0::/system.slice/agent.service\n"),
        ],
        processes,
    )
}

/// Names, and the watch's end of their channel.
fn watched(tree: &Tree) -> (Names, Sender<Change>) {
    let (sender, receiver): (_, Receiver<Change>) = channel(64);
    (Names::new(&tree.roots(), Some(receiver)), sender)
}

fn tell(names: &mut Names, api: &Sender<Change>, change: Change, second: u64) -> bool {
    api.try_send(change).unwrap();
    names.refresh_at(at(second))
}

fn at(second: u64) -> Now {
    Now { boot_ns: second * SECOND, wall_ns: testing::EPOCH_NS + second * SECOND }
}

fn applied(seen: Seen) -> Change {
    Change::Applied(seen.into())
}

fn path(number: u32) -> String {
    format!("/kubepods/besteffort/pod{}/{}", uid(number), container_id(number))
}

fn of_cgroup(id: u64) -> Event {
    Event { cgroup_id: Some(id), ..event() }
}

fn pod(who: &Identity) -> Option<&str> {
    who.pod.as_deref().map(|pod| &*pod.name)
}

#[test]
fn a_container_is_its_uid_and_id_until_the_api_server_told_of_its_pod() {
    let tree = plain(&[]);
    let (mut names, api) = watched(&tree);
    names.cgroup_seen(70, &path(1));
    let who = names.of(&of_cgroup(70));
    assert_eq!(who.source, IdentitySource::SocketCgroup);
    assert_eq!(who.pod_uid.as_deref(), Some(&*uid(1)));
    assert_eq!(*who.container.as_ref().unwrap().id, container_id(1));
    assert!(who.pending && who.pod.is_none() && !who.host);

    assert!(tell(&mut names, &api, applied(seen("shop", "cart-0", 1)), 1));
    let who = names.of(&of_cgroup(70));
    assert_eq!(pod(&who), Some("cart-0"));
    assert_eq!(who.container.as_ref().unwrap().name, Some(("app".into(), ContainerKind::Main)));
    assert!(!who.pending);
    assert!(!names.refresh_at(at(2)), "nothing new");
}

#[test]
fn a_pod_known_before_its_container_is_named_at_once() {
    let tree = plain(&[]);
    let (mut names, api) = watched(&tree);
    tell(&mut names, &api, applied(seen("shop", "cart-0", 1)), 1);
    names.cgroup_seen(70, &path(1));
    assert_eq!(pod(&names.of(&of_cgroup(70))), Some("cart-0"));
    assert!(names.refresh_at(at(1)), "a filter for the pod has to take in the new cgroup");
}

#[test]
fn without_a_watch_a_pod_is_its_uid_and_nobody_waits_for_more() {
    let tree = plain(&[]);
    let mut names = Names::new(&tree.roots(), None);
    names.cgroup_seen(70, &path(1));
    let who = names.of(&of_cgroup(70));
    assert_eq!((who.pod_uid.as_deref(), who.pending), (Some(&*uid(1)), false));
}

#[test]
fn a_deleted_pod_keeps_its_name_for_a_minute_and_its_uid_after_that() {
    let tree = plain(&[]);
    let (mut names, api) = watched(&tree);
    names.cgroup_seen(70, &path(1));
    tell(&mut names, &api, applied(seen("shop", "cart-0", 1)), 1);
    tell(&mut names, &api, Change::Deleted(uid(1).into()), 10);
    names.refresh_at(at(69));
    assert_eq!(pod(&names.of(&of_cgroup(70))), Some("cart-0"));
    assert!(names.refresh_at(at(71)));
    let who = names.of(&of_cgroup(70));
    assert_eq!((pod(&who), who.pod_uid.as_deref(), who.pending), (None, Some(&*uid(1)), false));
}

#[test]
fn a_pod_in_the_hosts_network_is_that_pod_and_no_other() {
    let tree = plain(&[]);
    let (mut names, api) = watched(&tree);
    names.cgroup_seen(70, &path(1));
    names.cgroup_seen(71, &path(2));
    for (name, number) in [("proxy", 1), ("cni", 2)] {
        let mut seen = seen("kube-system", name, number);
        seen.host_network = true;
        tell(&mut names, &api, applied(seen), 1);
    }
    let of = |id| Event { netns: Some(HOST), ..of_cgroup(id) };
    assert_eq!(pod(&names.of(&of(70))), Some("proxy"));
    assert_eq!(pod(&names.of(&of(71))), Some("cni"));
    assert_eq!(names.of(&of(72)).source, IdentitySource::Unknown);
    assert!(names.places(|who| pod(who) == Some("cni")).netns.is_empty());
}

#[test]
fn a_process_of_the_node_is_the_host() {
    let tree = plain(&[(80, "0::/system.slice/sshd.service", 100, HOST)]);
    let (mut names, _api) = watched(&tree);
    names.cgroup_seen(5, "/system.slice/sshd.service");
    let who = |names: &mut Names, event: Event| {
        let who = names.of(&event);
        assert!(who.host && who.pod_uid.is_none());
        who.source
    };
    let in_host = Event { netns: Some(HOST), ..of_cgroup(5) };
    assert_eq!(who(&mut names, in_host), IdentitySource::Host);
    let elsewhere = Event { netns: Some(77), ..of_cgroup(5) };
    assert_eq!(who(&mut names, elsewhere), IdentitySource::SocketCgroup);
    let by_process = Event { process: Some(process(80, Some(SECOND))), ..event() };
    assert_eq!(who(&mut names, by_process), IdentitySource::Process);
    assert_eq!(who(&mut names, Event { netns: Some(HOST), ..by_process }), IdentitySource::Host);
    // The kernel's own sockets are in the root, where version 2 places everything.
    assert_eq!(who(&mut names, Event { netns: Some(HOST), ..of_cgroup(1) }), IdentitySource::Host);
}

#[test]
fn what_nobody_knows_stays_unknown() {
    let tree = plain(&[]);
    let (mut names, _api) = watched(&tree);
    for event in [
        event(),
        of_cgroup(99),
        Event { netns: Some(HOST), ..event() },
        Event { netns: Some(77), ..event() },
        Event { process: Some(process(80, None)), ..event() },
    ] {
        let who = names.of(&event);
        assert_eq!(who.source, IdentitySource::Unknown);
        assert!(!who.host && who.pod_uid.is_none() && who.container.is_none() && !who.pending);
    }
}

#[test]
fn the_sockets_cgroup_counts_before_the_process_and_that_before_the_namespace() {
    let (two, three) = (path(2), path(3));
    let tree = plain(&[(80, &format!("0::{two}"), 100, 77), (90, &format!("0::{three}"), 100, 88)]);
    let (mut names, _api) = watched(&tree);
    names.cgroup_seen(70, &path(1));
    names.process_seen(90, Some(SECOND), None, Some(88));
    let whole = Event { process: Some(process(80, Some(SECOND))), netns: Some(88), ..of_cgroup(70) };
    let of = |names: &mut Names, event: Event| {
        let who = names.of(&event);
        (who.source, who.pod_uid.clone().unwrap_or_default().into_string())
    };
    assert_eq!(of(&mut names, whole), (IdentitySource::SocketCgroup, uid(1)));
    let by_process = Event { cgroup_id: Some(4711), ..whole };
    assert_eq!(of(&mut names, by_process), (IdentitySource::Process, uid(2)));
    let by_namespace = Event { process: None, ..by_process };
    assert_eq!(of(&mut names, by_namespace), (IdentitySource::Netns, uid(3)));
}

#[test]
fn a_number_of_a_process_that_was_used_again_says_nothing() {
    let one = path(1);
    // Began 10 s after the machine.
    let tree = plain(&[(80, &format!("0::{one}"), 1_000, 77)]);
    let (mut names, _api) = watched(&tree);
    let at = |second: u64, start: Option<u64>| Event {
        boot_ns: second * SECOND,
        process: Some(process(80, start)),
        ..event()
    };
    let mut source = |event: Event| names.of(&event).source;
    assert_eq!(source(at(9, None)), IdentitySource::Unknown, "an event before the process");
    assert_eq!(source(at(20, Some(9 * SECOND))), IdentitySource::Unknown, "one that began earlier");
    assert_eq!(source(at(20, None)), IdentitySource::Process);
    assert_eq!(source(at(20, Some(10 * SECOND + 9_999_999))), IdentitySource::Process, "within the tick");
    assert_eq!(source(at(20, Some(10 * SECOND + 10_000_000))), IdentitySource::Unknown);
}

#[test]
fn a_process_that_ended_stays_where_it_was() {
    let one = path(1);
    let tree = plain(&[(80, &format!("0::{one}"), 100, 77)]);
    let (mut names, _api) = watched(&tree);
    let at =
        |second: u64| Event { boot_ns: second * SECOND, process: Some(process(80, Some(SECOND))), ..event() };
    assert_eq!(names.of(&at(5)).pod_uid.as_deref(), Some(&*uid(1)));
    std::fs::remove_dir_all(tree.roots().proc.join("80")).unwrap();
    assert_eq!(names.of(&at(500)).pod_uid.as_deref(), Some(&*uid(1)));
    assert_eq!(names.of(&at(1_000)).pod_uid.as_deref(), Some(&*uid(1)));
}

#[test]
fn a_namespace_of_two_pods_is_nobodys_and_a_deleted_pod_has_none() {
    let (one, two) = (path(1), path(2));
    let tree = plain(&[(80, &format!("0::{one}"), 100, 77), (90, &format!("0::{two}"), 100, 77)]);
    let (mut names, api) = watched(&tree);
    let here = Event { netns: Some(77), ..event() };
    tell(&mut names, &api, applied(seen("shop", "cart-0", 1)), 1);
    names.process_seen(80, None, None, Some(77));
    assert_eq!(pod(&names.of(&here)), Some("cart-0"));
    assert_eq!(names.places(|who| pod(who) == Some("cart-0")), Places { cgroups: vec![], netns: vec![77] });
    names.process_seen(90, None, None, Some(77));
    assert_eq!(names.of(&here).source, IdentitySource::Unknown);
    assert!(names.places(|who| pod(who) == Some("cart-0")).netns.is_empty());
    tell(&mut names, &api, Change::Deleted(uid(1).into()), 2);
    assert_eq!(names.of(&here).pod_uid.as_deref(), Some(&*uid(2)), "the one that is left");
    tell(&mut names, &api, applied(seen("shop", "web-0", 2)), 3);
    tell(&mut names, &api, Change::Deleted(uid(2).into()), 4);
    assert_eq!(names.of(&here).source, IdentitySource::Unknown);
}

#[test]
fn a_namespace_is_learnt_from_a_process_that_lives_there_and_not_from_a_guest() {
    let (one, two) = (path(1), path(2));
    let tree = plain(&[(80, &format!("0::{one}"), 100, 77), (90, &format!("0::{two}"), 100, 88)]);
    let (mut names, _api) = watched(&tree);
    names.cgroup_seen(70, &one);
    names.cgroup_seen(71, &two);
    let socket = |cgroup, pid, netns| Event {
        process: Some(process(pid, Some(SECOND))),
        netns: Some(netns),
        ..of_cgroup(cgroup)
    };
    let here = Event { netns: Some(77), ..event() };
    assert_eq!(names.of(&socket(71, 90, 77)).pod_uid.as_deref(), Some(&*uid(2)));
    assert_eq!(names.of(&here).source, IdentitySource::Unknown);
    names.of(&socket(70, 80, 77));
    assert_eq!(names.of(&here).pod_uid.as_deref(), Some(&*uid(1)));
}

#[test]
fn a_new_cgroup_is_told_by_its_levels_and_its_parent() {
    let tree = plain(&[]);
    let (mut names, _api) = watched(&tree);
    let pod_level = format!("pod{}", uid(1));
    let container = container_id(1);
    let [a, b, c] = [&b"kubepods"[..], b"besteffort", pod_level.as_bytes()];
    names.cgroup_made(60, Some(50), [c, b, a].into_iter(), true);
    let who = names.of(&of_cgroup(60));
    assert_eq!((who.pod_uid.as_deref(), &who.container), (Some(&*uid(1)), &None));
    // Only its own name is needed where the parent is known.
    names.cgroup_made(61, Some(60), [container.as_bytes()].into_iter(), false);
    assert_eq!(names.cgroup_path(61), Some(&*path(1)));
    names.cgroup_made(62, Some(61), [&b"\xff\xfe"[..]].into_iter(), false);
    assert_eq!(*names.of(&of_cgroup(62)).container.as_ref().unwrap().id, container);
    assert!(names.is_below(62, 60) && !names.is_below(60, 61) && names.is_below(9, 9));
    assert!(names.is_below_path(62, "/kubepods") && !names.is_below_path(62, "/kubepod"));
    assert_eq!(names.below_path("/kubepods/besteffort/"), [60, 61, 62]);
    // Deep below something that is not known: it could be anybody's invention.
    names.cgroup_made(63, Some(4711), [container.as_bytes(), c, b, a, b"x"].into_iter(), false);
    assert!(!names.knows_cgroup(63));
    assert_eq!(names.of(&of_cgroup(63)).source, IdentitySource::Unknown);
}

#[test]
fn a_workload_that_calls_its_cgroups_after_another_pod_stays_itself() {
    let tree = plain(&[]);
    let (mut names, api) = watched(&tree);
    tell(&mut names, &api, applied(seen("shop", "victim", 2)), 1);
    names.cgroup_seen(70, &format!("{}{}", path(1), path(2)));
    assert_eq!(names.of(&of_cgroup(70)).pod_uid.as_deref(), Some(&*uid(1)));
}

#[test]
fn where_version_2_places_nobody_the_process_tells_by_version_1() {
    let one = path(1);
    let tree = machine(
        &[
            ("proc/self/ns/cgroup", &format!("-> {MACHINES}")),
            ("proc/self/cgroup", "12:pids:/system.slice\n1:name=systemd:/system.slice/agent.service\n0::/\n"),
        ],
        &[
            (80, &format!("12:pids:{one}\n5:cpu:/\n1:name=systemd:{one}\n0::/"), 100, 77),
            (81, "12:pids:/system.slice\n1:name=systemd:/system.slice/sshd.service\n0::/", 100, HOST),
            // An old runc: by version 2 the container is where containerd is.
            (82, &format!("12:pids:{one}\n0::/system.slice/containerd.service"), 100, 77),
        ],
    );
    let (mut names, _api) = watched(&tree);
    names.cgroup_seen(1, "/");
    names.cgroup_seen(6, "/system.slice/containerd.service");
    names.cgroup_seen(7, &path(3));
    let root = |pid| Event { process: Some(process(pid, Some(SECOND))), ..of_cgroup(1) };
    let who = names.of(&root(80));
    assert_eq!((who.source, who.pod_uid.as_deref()), (IdentitySource::Process, Some(&*uid(1))));
    assert!(names.of(&root(81)).host);
    assert_eq!(names.of(&of_cgroup(1)).source, IdentitySource::Unknown, "the root is no place");
    assert_eq!(names.of(&of_cgroup(6)).source, IdentitySource::Unknown, "nor is the runtime's");
    let in_old = Event { cgroup_id: Some(6), ..root(82) };
    assert_eq!(names.of(&in_old).pod_uid.as_deref(), Some(&*uid(1)));
    assert_eq!(names.of(&of_cgroup(7)).pod_uid.as_deref(), Some(&*uid(3)), "a pod in version 2 is one");
}

#[test]
fn a_mount_of_a_part_of_the_tree_is_taken_for_that_part() {
    let one = path(1);
    let folder = Tree::new(&[("cgroup/init.scope/cgroup.procs", "")]);
    let point = folder.roots().proc.parent().unwrap().join("cgroup");
    let mounts = |top: &str| format!("30 23 0:26 {top} {} rw - cgroup2 cgroup2 rw\n", point.display());
    let with = |top: &str, namespace: &str, own: &str| {
        machine(
            &[
                ("proc/self/ns/cgroup", &format!("-> {namespace}")),
                ("proc/self/cgroup", &format!("0::{own}\n")),
                ("proc/self/mountinfo", &mounts(top)),
            ],
            &[],
        )
    };
    let paths = |tree: &Tree| {
        let names = Names::new(&tree.roots(), None);
        names.below_path("/").into_iter().filter_map(|id| names.cgroup_path(id).map(str::to_owned)).collect()
    };
    let sorted = |mut paths: Vec<String>| {
        paths.sort();
        paths
    };
    let part = with(&one, MACHINES, &one);
    assert_eq!(sorted(paths(&part)), ["/".to_owned(), one.clone(), format!("{one}/init.scope")]);
    let whole = with("/", MACHINES, &one);
    assert!(sorted(paths(&whole)).contains(&"/init.scope".to_owned()));
    let above = with("/../..", "cgroup:[4026532500]", "/");
    assert_eq!(sorted(paths(&above)), ["/"]);
}

/// A machine as an agent sees it in a pod with a cgroup namespace of its own.
fn private(processes: &[(u32, &str, u64, u32)]) -> Tree {
    let mounts = format!(
        "700 690 8:1 /var/lib/kubelet/pods/{}/containers/agent/0af3 /dev/termination-log rw - ext4 /dev/x rw\n",
        uid(9)
    );
    machine(
        &[
            ("proc/self/ns/cgroup", "-> cgroup:[4026532500]"),
            ("proc/self/cgroup", "0::/\n"),
            ("proc/self/mountinfo", &mounts),
        ],
        processes,
    )
}

#[test]
fn in_a_private_cgroup_namespace_processes_are_found_by_relative_paths() {
    let (pod_level, other, sibling) = (uid(2), container_id(2), container_id(8));
    let tree = private(&[
        (std::process::id(), "0::/", 100, 99),
        (80, &format!("0::/../../pod{pod_level}/{other}"), 100, 77),
        (81, "0::/../../../..", 100, HOST),
        (82, &format!("0::/../{sibling}"), 100, 99),
    ]);
    let (mut names, api) = watched(&tree);
    names.process_cgroup(std::process::id(), 90);
    names.process_cgroup(80, 70);
    names.process_cgroup(81, 71);
    names.process_cgroup(82, 72);
    assert_eq!(names.of(&of_cgroup(70)).pod_uid.as_deref(), Some(&*uid(2)));
    assert!(names.of(&of_cgroup(71)).host);
    let who = names.of(&of_cgroup(72));
    assert_eq!(who.pod_uid.as_deref(), Some(&*uid(9)), "the agent's own pod");
    assert_eq!(*who.container.as_ref().unwrap().id, sibling);
    let mut agent = seen("sockeye", "agent-x", 9);
    agent.containers[0].1 = "agent".into();
    tell(&mut names, &api, applied(agent), 1);
    let who = names.of(&of_cgroup(90));
    assert_eq!((pod(&who), who.source), (Some("agent-x"), IdentitySource::SocketCgroup));
    assert_eq!(*who.container.as_ref().unwrap().id, container_id(9));
}

#[test]
fn when_the_agents_own_path_becomes_known_relative_ones_are_absolute() {
    let tree = private(&[
        (std::process::id(), "0::/", 100, 99),
        (82, &format!("0::/../{}", container_id(8)), 100, 99),
    ]);
    let (mut names, _api) = watched(&tree);
    names.process_cgroup(std::process::id(), 90);
    names.cgroup_seen(90, &path(9));
    names.process_cgroup(82, 72);
    let parent = format!("/kubepods/besteffort/pod{}", uid(9));
    assert_eq!(names.cgroup_path(72), Some(&*format!("{parent}/{}", container_id(8))));
    assert_eq!(names.of(&of_cgroup(72)).pod_uid.as_deref(), Some(&*uid(9)));
}

#[test]
fn places_follow_the_pods() {
    let tree = plain(&[]);
    let (mut names, api) = watched(&tree);
    names.cgroup_seen(70, &path(1));
    names.cgroup_seen(71, &path(2));
    names.cgroup_seen(5, "/system.slice/sshd.service");
    names.refresh_at(at(1));
    let cart = |names: &Names| {
        names
            .places(|who| who.pod.as_deref().is_some_and(|pod| pod.labels.get("app") == Some("cart")))
            .cgroups
    };
    assert!(cart(&names).is_empty());
    assert!(tell(&mut names, &api, applied(seen("shop", "cart", 1)), 1));
    assert_eq!(cart(&names), [70]);
    let mut other = seen("shop", "other", 2);
    assert!(tell(&mut names, &api, applied(other.clone()), 2));
    assert_eq!(cart(&names), [70]);
    other.labels = [("app", "cart")].into_iter().collect();
    assert!(tell(&mut names, &api, applied(other.clone()), 3));
    assert_eq!(cart(&names), [70, 71]);
    names.cgroup_seen(72, &format!("{}/init.scope", path(2)));
    assert!(names.refresh_at(at(4)));
    assert_eq!(cart(&names), [70, 71, 72]);
    assert!(!tell(&mut names, &api, applied(other), 5), "the same again");
}

#[test]
fn a_known_cgroup_and_a_known_process_cost_no_allocation() {
    let one = path(1);
    let tree = plain(&[(80, &format!("0::{one}"), 100, 77)]);
    let (mut names, _api) = watched(&tree);
    names.cgroup_seen(70, &path(1));
    let events = [
        of_cgroup(70),
        Event { process: Some(process(80, Some(SECOND))), ..event() },
        Event { netns: Some(HOST), ..of_cgroup(1) },
        of_cgroup(99),
    ];
    for event in &events {
        names.of(event);
    }
    let allocated = allocation_counter::measure(|| {
        for event in events.iter().cycle().take(1_000) {
            std::hint::black_box(names.of(event));
        }
    });
    assert_eq!(allocated.count_total, 0);
}

#[test]
fn this_machine_can_be_asked_where_this_process_is() {
    let roots = crate::host::Roots::default();
    let mut names = Names::new(&roots, None);
    let now = crate::host::clock::boot_ns();
    let of_this = Event { boot_ns: now, process: Some(process(std::process::id(), None)), ..event() };
    let who = names.of(&of_this);
    if crate::host::proc::in_initial_pid_namespace(&roots) {
        assert_eq!(who.source, IdentitySource::Process, "{who:?}");
        assert!(who.host != (who.container.is_some() || who.pod_uid.is_some()), "{who:?}");
    } else {
        assert_eq!(who.source, IdentitySource::Unknown, "numbers mean other processes here");
    }
}

#[test]
fn cgroups_give_way_to_others_but_not_those_of_living_pods_nor_those_in_use() {
    let tree = plain(&[]);
    let (mut names, api) = watched(&tree);
    tell(&mut names, &api, applied(seen("shop", "cart-0", 1)), 1);
    names.cgroup_seen(70, &path(1));
    names.cgroup_seen(71, "/system.slice/sshd.service");
    names.cgroup_seen(72, "/system.slice/cron.service");
    for id in 1_000..31_000 {
        names.cgroup_seen(id, &format!("/user.slice/session-{id}.scope"));
        if id % 1_000 == 0 {
            names.of(&of_cgroup(71));
        }
    }
    let (known, forgotten) = names.known_cgroups();
    assert_eq!(known, 8_192);
    assert_eq!(forgotten, 30_000 + 4 - 8_192, "with the root");
    assert!(names.knows_cgroup(1) && names.knows_cgroup(70) && names.knows_cgroup(71));
    assert!(!names.knows_cgroup(72) && !names.knows_cgroup(1_000) && names.knows_cgroup(30_999));
    assert_eq!(names.of(&of_cgroup(72)).source, IdentitySource::Unknown);
}
