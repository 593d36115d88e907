//! What it takes to say whose an event is, where its container is one of many that are known.

use std::hint::black_box;

use agent::{
    event::Event,
    host::Roots,
    identity::{
        names::Names,
        pods::Change,
        testing::{self, container_id, seen, uid},
    },
};
use tokio::sync::mpsc;

use super::{ROUNDS, cpu_ns, show};

/// Where the first container's cgroup is.
const FIRST: u64 = 3_000;

/// A full node, and two that no cluster has.
const KNOWN: [u32; 3] = [110, 10_000, 100_000];

/// Events of a round.
const EVENTS: usize = 1 << 18;

pub fn measure() {
    for known in KNOWN {
        let mut names = names(known);
        // Each event another container, in no order: nothing is in the cache because it was asked for just now.
        let mut random = 0x9e37_79b9_7f4a_7c15_u64;
        let mut next = || {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            FIRST + random % u64::from(known)
        };
        let ids: Vec<u64> = (0..EVENTS).map(|_| next()).collect();
        let mut event: Event = testing::event();
        let mut round = || {
            let begin = cpu_ns();
            for id in &ids {
                event.cgroup_id = Some(*id);
                black_box(names.of(black_box(&event)));
            }
            (cpu_ns() - begin) / ids.len() as f64
        };
        round();
        let times: Vec<f64> = (0..ROUNDS).map(|_| round()).collect();
        show("look-up", &known.to_string(), 0.0, &times);
    }
}

fn names(known: u32) -> Names {
    let nowhere = Roots { proc: "/nowhere".into(), sys: "/nowhere".into(), netns: Vec::new() };
    let (api, watch) = mpsc::channel(64);
    let mut names = Names::new(&nowhere, Some(watch));
    for number in 0..known {
        // Those of pods that are there stay, however many they are.
        let pod = seen("shop", "cart", number);
        assert!(api.try_send(Change::Applied(pod.into())).is_ok(), "there is room for one");
        names.refresh();
        let path = format!("/kubepods/besteffort/pod{}/{}", uid(number), container_id(number));
        names.cgroup_seen(FIRST + u64::from(number), &path);
    }
    assert_eq!(names.known_cgroups().1, 0, "none gave way to another");
    names
}
