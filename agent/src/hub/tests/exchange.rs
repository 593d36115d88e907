//! Who gets what: filters, waiting, history, resuming.

use std::{sync::Arc, time::Duration};

use proto::v1;

use super::{MadeUp, event, wish};
use crate::{
    engine::{Routing, Sink as _},
    event::{Event, EventKind, Kinds},
    filter::compile::Compiled,
    hub::{
        exchange::Exchange,
        queue::{Batch, Queue},
        wish::{Past, Token, Wish},
    },
};

const EPOCH: u64 = 7;
const HISTORY: usize = 1 << 20;

struct Bed {
    exchange: Exchange<MadeUp>,
    compiled: Compiled,
}

impl Bed {
    fn new(names: MadeUp, history: usize) -> Self {
        let mut exchange =
            Exchange::new(names, history, false, Duration::from_millis(500), Duration::from_secs(5));
        let compiled = exchange.compiled();
        Self { exchange, compiled }
    }

    fn add(&mut self, id: u64, wish: Wish) -> Arc<Queue> {
        let queue = Arc::new(Queue::new(1000));
        self.exchange.add(id, "test".to_owned(), wish, Arc::clone(&queue));
        self.compiled = self.exchange.compiled();
        queue
    }

    /// An event, by the verdict of the kernel: everything, for no filter here is the kernel's alone.
    fn happens(&mut self, mut event: Event) {
        let routing = Routing { compiled: &self.compiled, verdict: u64::MAX, is_current: false };
        assert!(self.exchange.record(&mut event, &routing).is_continue());
    }
}

fn taken(queue: &Queue) -> Vec<u64> {
    let mut batch = Batch::default();
    queue.take(usize::MAX, &mut batch);
    batch.items.iter().map(|item| item.event.wall_ns).collect()
}

fn pods(pattern: &str) -> v1::Filter {
    v1::Filter { pods: vec![pattern.to_owned()], ..v1::Filter::default() }
}

#[test]
fn each_subscriber_gets_exactly_its_own() {
    let mut bed = Bed::new(MadeUp::with(&[10, 11]), HISTORY);
    let first = bed.add(1, wish(&[pods("cart-0")], &[]));
    let second = bed.add(2, wish(&[pods("cart-1")], &[]));
    let both = bed.add(3, wish(&[], &[]));
    let neither =
        bed.add(4, wish(&[pods("cart-*")], &[v1::Filter { ports: vec![443], ..v1::Filter::default() }]));
    bed.happens(event(10, 1));
    bed.happens(event(11, 2));
    bed.happens(event(12, 3));
    assert_eq!(taken(&first), [1]);
    assert_eq!(taken(&second), [2]);
    assert_eq!(taken(&both), [1, 2, 3]);
    assert!(taken(&neither).is_empty());
}

#[test]
fn the_kernels_verdict_alone_decides_where_it_is_exact_and_of_the_filter_in_force() {
    let mut bed = Bed::new(MadeUp::default(), HISTORY);
    let port = |port| v1::Filter { local_ports: vec![port], ..v1::Filter::default() };
    let exact = bed.add(1, wish(&[port(1)], &[]));
    let mut happens = |verdict, is_current| {
        let routing = Routing { compiled: &bed.compiled, verdict, is_current };
        assert!(bed.exchange.record(&mut event(10, 1), &routing).is_continue());
    };
    happens(bed.compiled.config.allow, true);
    assert_eq!(taken(&exact).len(), 1, "what the kernel says is not looked at again");
    happens(bed.compiled.config.allow, false);
    assert!(taken(&exact).is_empty(), "port 45678 is not 1");
    happens(0, true);
    assert!(taken(&exact).is_empty());
}

#[test]
fn more_subscribers_than_the_kernel_has_bits_for_get_each_exactly_its_own() {
    let mut bed = Bed::new(MadeUp::default(), HISTORY);
    let netns = |inode| v1::Filter { netns: vec![inode], ..v1::Filter::default() };
    let queues: Vec<_> =
        (1..=70_u32).map(|number| bed.add(number.into(), wish(&[netns(number)], &[]))).collect();
    let of = |number: u32| Event { netns: Some(number), ..event(10, number.into()) };
    for number in (1..=71).rev() {
        // The kernel's verdict: the subscriptions' bits of this namespace.
        let sets = &bed.compiled.netns;
        let verdict = sets.iter().find(|(inode, _)| *inode == number).map_or(0, |(_, set)| *set);
        let routing = Routing { compiled: &bed.compiled, verdict, is_current: true };
        assert!(bed.exchange.record(&mut of(number), &routing).is_continue());
    }
    for (number, queue) in (1..).zip(&queues) {
        assert_eq!(taken(queue), [number]);
    }
    let sharing = bed.exchange.subscriptions.iter().filter(|one| one.shares).count();
    // A bit and its guard each, and the last two of the 64 for everybody else.
    assert_eq!(sharing, 70 - 31);
}

#[test]
fn a_pods_events_wait_for_its_name_and_keep_their_order() {
    let mut names = MadeUp::default();
    names.pending.insert(10);
    let mut bed = Bed::new(names, HISTORY);
    let queue = bed.add(1, wish(&[pods("cart-0")], &[]));
    bed.happens(event(10, 1));
    bed.happens(event(10, 2));
    assert!(taken(&queue).is_empty());
    bed.exchange.names.told(10);
    bed.happens(event(10, 3));
    bed.exchange.refresh(4);
    assert_eq!(taken(&queue), [1, 2, 3]);
    assert!(bed.exchange.stale, "the kernel's filter is to follow the pod");
}

#[test]
fn a_pod_that_stays_unknown_goes_out_marked() {
    let mut names = MadeUp::default();
    names.pending.insert(10);
    let mut bed = Bed::new(names, HISTORY);
    let queue = bed.add(1, wish(&[], &[]));
    bed.happens(event(10, 1));
    bed.exchange.refresh(1 + 500_000_000);
    let mut batch = Batch::default();
    queue.take(10, &mut batch);
    assert!(batch.items.get(0).unwrap().local.pending);
}

#[test]
fn the_kernels_filter_has_the_pods_that_match_and_those_nobody_knows_yet() {
    let mut names = MadeUp::with(&[10, 11]);
    names.pending.insert(12);
    let mut bed = Bed::new(names, HISTORY);
    bed.add(1, wish(&[pods("cart-1")], &[]));
    let cgroups: Vec<u64> = bed.compiled.cgroup.iter().map(|(id, _)| *id).collect();
    assert_eq!(cgroups, [11, 12]);
}

#[test]
fn a_filter_that_nobody_fulfils_now_lets_nothing_out_of_the_kernel() {
    let mut bed = Bed::new(MadeUp::with(&[10]), HISTORY);
    bed.add(1, wish(&[pods("db-0")], &[]));
    assert_eq!((bed.compiled.netns.len(), bed.compiled.cgroup.len()), (0, 0));
    assert_ne!(bed.compiled.config.used, 0, "a dimension is looked at, and nothing is in it");
}

#[test]
fn the_history_gives_the_newest_the_oldest_and_a_span() {
    let mut bed = Bed::new(MadeUp::default(), HISTORY);
    bed.add(1, wish(&[], &[]));
    (1..=9).for_each(|at| bed.happens(event(10, at)));
    let mut past = |past: Past| {
        let (items, gone) = bed.exchange.past(&Wish { past, ..wish(&[], &[]) }, EPOCH);
        assert_eq!(gone, None);
        items.iter().map(|item| item.event.wall_ns).collect::<Vec<_>>()
    };
    assert_eq!(past(Past { last: Some(2), ..Past::default() }), [8, 9]);
    assert_eq!(past(Past { first: Some(2), ..Past::default() }), [1, 2]);
    assert_eq!(past(Past { since_ns: Some(4), until_ns: Some(6), ..Past::default() }), [4, 5, 6]);
    assert!(past(Past { last: Some(0), ..Past::default() }).is_empty());
}

fn resume(bed: &mut Bed, epoch: u64, seq: u64) -> (Vec<u64>, Option<Option<u64>>) {
    let token = Token { epoch, subscription: 1, seq };
    let wish = Wish { past: Past { resume: Some(token), ..Past::default() }, ..wish(&[], &[]) };
    let (items, gone) = bed.exchange.past(&wish, EPOCH);
    (items.iter().map(|item| item.event.wall_ns).collect(), gone)
}

#[test]
fn who_comes_back_soon_goes_on_without_a_gap_and_without_a_double() {
    let mut bed = Bed::new(MadeUp::default(), HISTORY);
    let queue = bed.add(1, wish(&[], &[]));
    (1..=4).for_each(|at| bed.happens(event(10, at)));
    assert_eq!(taken(&queue), [1, 2, 3, 4]);
    bed.exchange.leave(1);
    bed.compiled = bed.exchange.compiled();
    (5..=6).for_each(|at| bed.happens(event(10, at)));
    // The last two that were sent did not arrive.
    assert_eq!(resume(&mut bed, EPOCH, 2), (vec![3, 4, 5, 6], None));
}

#[test]
fn who_comes_back_is_told_how_much_the_history_no_longer_has() {
    // Room for three.
    let mut bed = Bed::new(MadeUp::default(), 3 * crate::hub::Items::EACH);
    bed.add(1, wish(&[], &[]));
    (1..=4).for_each(|at| bed.happens(event(10, at)));
    bed.exchange.leave(1);
    (5..=9).for_each(|at| bed.happens(event(10, at)));
    assert_eq!(resume(&mut bed, EPOCH, 4), (vec![7, 8, 9], Some(Some(2))));
}

#[test]
fn who_comes_back_to_another_run_of_the_agent_is_told_that_something_may_be_missing() {
    let mut bed = Bed::new(MadeUp::default(), HISTORY);
    bed.add(1, wish(&[], &[]));
    (1..=4).for_each(|at| bed.happens(event(10, at)));
    assert_eq!(resume(&mut bed, EPOCH + 1, 2), (vec![], Some(None)));
    // The same run, but its filter is forgotten.
    bed.exchange.subscriptions.clear();
    assert_eq!(resume(&mut bed, EPOCH, 2), (vec![3, 4], Some(None)));
}

#[test]
fn only_the_kinds_that_were_asked_for_are_in_an_event() {
    let mut bed = Bed::new(MadeUp::default(), HISTORY);
    let closes = Wish { kinds: [EventKind::Close].into_iter().collect(), ..wish(&[], &[]) };
    let queue = bed.add(1, closes);
    let both: Kinds = [EventKind::Close, EventKind::StateChange].into_iter().collect();
    bed.happens(Event { kinds: both, ..event(10, 1) });
    let mut batch = Batch::default();
    queue.take(10, &mut batch);
    assert_eq!(batch.items.get(0).unwrap().event.kinds.iter().collect::<Vec<_>>(), [EventKind::Close]);
}

#[test]
fn events_that_nobody_wants_are_not_kept() {
    let mut bed = Bed::new(MadeUp::default(), HISTORY);
    bed.happens(event(10, 1));
    assert_eq!((bed.exchange.history.len(), bed.exchange.seq), (0, 0));
}

#[test]
fn the_unspecified_address_is_in_no_prefix_but_itself_on_either_side() {
    let mut bed = Bed::new(MadeUp::default(), HISTORY);
    let cidrs = |cidr: &str| v1::Filter { cidrs: vec![cidr.to_owned()], ..v1::Filter::default() };
    let all = bed.add(1, wish(&[cidrs("0.0.0.0/0")], &[]));
    let none = bed.add(2, wish(&[cidrs("0.0.0.0")], &[]));
    let here = "0.0.0.0".parse().ok();
    bed.happens(event(10, 1));
    bed.happens(Event { local: here, remote: None, ..event(10, 2) });
    bed.happens(Event { local: None, remote: None, ..event(10, 3) });
    assert_eq!(taken(&all), [1]);
    assert_eq!(taken(&none), [2, 3]);
}
