//! What a known container costs. Not a test of the ordinary runs: `cargo test --release -p agent identity --
//! --ignored --nocapture`.

use std::{hint::black_box, time::Instant};

use super::{applied, of_cgroup, path, plain, tell, watched};
use crate::{event::Event, identity::testing::seen};

#[test]
#[ignore = "a measurement, for a release build on a quiet machine"]
fn a_known_container_costs_12_ns_among_ten_thousand_and_25_among_a_hundred_thousand() {
    for (known, limit) in [(110, None), (10_000, Some(12.0)), (100_000, Some(25.0))] {
        let tree = plain(&[]);
        let (mut names, api) = watched(&tree);
        let first = 3_000;
        for number in 0..known {
            // Those of pods that are there stay, however many they are.
            tell(&mut names, &api, applied(seen("shop", "cart", number)), 1);
            names.cgroup_seen(first + u64::from(number), &path(number));
        }
        assert_eq!(names.known_cgroups().1, 0);
        // Each event another container, in no order: nothing is in the cache because it was asked for just now.
        let mut random = 0x9e37_79b9_7f4a_7c15_u64;
        let mut next = || {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            first + random % u64::from(known)
        };
        let ids: Vec<u64> = (0..1 << 18).map(|_| next()).collect();
        let mut event: Event = of_cgroup(first);
        let mut best = f64::MAX;
        for _ in 0..25 {
            let begin = Instant::now();
            for id in &ids {
                event.cgroup_id = Some(*id);
                black_box(names.of(black_box(&event)));
            }
            best = best.min(begin.elapsed().as_nanos() as f64 / ids.len() as f64);
        }
        println!("{known} containers known: {best:.1} ns an event");
        if let Some(limit) = limit {
            assert!(best <= limit, "{known} containers known: {best:.1} ns, at most {limit} wanted");
        }
    }
}
