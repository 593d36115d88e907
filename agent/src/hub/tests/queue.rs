//! A queue that is full, ends, and tells of losses.

use super::{event, identity};
use crate::{
    event::{Lost, LostStage},
    hub::queue::{Batch, End, Overflow, Queue},
};

fn push(queue: &Queue, at: u64) {
    let event = event(10, at);
    queue.push(&event, event.kinds, &identity(None, false), at);
}

fn times(batch: &Batch) -> Vec<u64> {
    batch.items.iter().map(|item| item.event.wall_ns).collect()
}

#[test]
fn a_full_queue_loses_its_oldest_and_says_how_many_and_when() {
    let queue = Queue::new(3);
    (1..=5).for_each(|at| push(&queue, at));
    let mut batch = Batch::default();
    queue.take(10, &mut batch);
    assert_eq!(batch.overflow, Some(Overflow { count: 2, first_ns: 1, last_ns: 2 }));
    assert_eq!(times(&batch), [3, 4, 5]);
    queue.take(10, &mut batch);
    assert_eq!((batch.overflow, batch.items.len()), (None, 0), "told once");
    assert_eq!(queue.totals(), (3, 2));
}

#[test]
fn a_large_queue_is_taken_in_batches_and_in_order() {
    let queue = Queue::new(100);
    (1..=5).for_each(|at| push(&queue, at));
    let mut batch = Batch::default();
    queue.take(2, &mut batch);
    assert_eq!((times(&batch), batch.more), (vec![1, 2], true));
    queue.take(3, &mut batch);
    assert_eq!((times(&batch), batch.more), (vec![3, 4, 5], false));
}

#[test]
fn many_events_come_out_whole_and_in_order_whatever_is_lost_and_taken_between() {
    const CAPACITY: usize = 1500;
    let queue = Queue::new(CAPACITY);
    let mut batch = Batch::default();
    let (mut at, mut expected) = (0, 1);
    for (pushed, most) in [(700, 512), (900, 512), (3000, 512), (1, 100), (511, 512), (2000, 7)].repeat(3) {
        for _ in 0..pushed {
            at += 1;
            push(&queue, at);
        }
        assert!(queue.len() <= CAPACITY);
        queue.take(most, &mut batch);
        assert!(batch.items.len() <= most);
        let lost = batch.overflow.unwrap_or_default();
        assert!(lost.count == 0 || (lost.first_ns, lost.last_ns) == (expected, expected + lost.count - 1));
        expected += lost.count;
        for time in times(&batch) {
            assert_eq!(time, expected);
            expected += 1;
        }
        assert_eq!((queue.len() as u64, batch.more), (at + 1 - expected, at + 1 > expected));
    }
    let (taken, lost) = queue.totals();
    assert_eq!(taken + lost + queue.len() as u64, at);
}

#[test]
fn after_a_burst_its_memory_is_used_again_and_given_back_when_it_is_quiet() {
    let queue = Queue::new(8192);
    let mut batch = Batch::default();
    (1..=8192).for_each(|at| push(&queue, at));
    let full = queue.room();
    while !queue.is_empty() {
        queue.take(512, &mut batch);
    }
    let emptied = queue.room();
    assert!(full >= 8192 && emptied >= full - 512, "{full}, then {emptied}");
    (1..=4096).for_each(|at| push(&queue, at));
    assert_eq!(queue.room(), emptied, "what is there is used again");
    assert!(queue.is_untidy());
    queue.tidy();
    assert!(!queue.is_untidy());
    assert_eq!((queue.len(), queue.room()), (4096, 4096));
}

#[test]
fn the_end_comes_after_all_that_is_there() {
    let queue = Queue::new(100);
    (1..=3).for_each(|at| push(&queue, at));
    queue.end(End::Stopping);
    queue.end(End::Broken("later".to_owned()));
    let mut batch = Batch::default();
    queue.take(2, &mut batch);
    assert_eq!(batch.ended, None);
    queue.take(2, &mut batch);
    assert_eq!((times(&batch), batch.ended), (vec![3], Some(End::Stopping)));
}

#[test]
fn losses_of_one_stage_add_up_until_they_are_told() {
    let lost = |count, until| Lost {
        stage: LostStage::Recursion,
        count,
        since_wall_ns: 1,
        until_wall_ns: until,
        cpu: None,
    };
    let queue = Queue::new(1);
    queue.lost(&[lost(2, 10)]);
    queue.lost(&[lost(3, 20)]);
    let mut batch = Batch::default();
    queue.take(1, &mut batch);
    assert_eq!(batch.lost, [lost(5, 20)]);
}

#[test]
fn losses_on_more_cpus_than_there_is_room_for_are_still_counted() {
    let queue = Queue::new(1);
    for cpu in 0..1000 {
        let stage = LostStage::Recursion;
        queue.lost(&[Lost { stage, count: 1, since_wall_ns: 1, until_wall_ns: 2, cpu: Some(cpu) }]);
    }
    let mut batch = Batch::default();
    queue.take(1, &mut batch);
    assert_eq!(batch.lost.iter().map(|lost| lost.count).sum::<u64>(), 1000);
    assert!(batch.lost.len() <= 64, "{}", batch.lost.len());
}
