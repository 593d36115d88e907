//! The reader sleeps when nothing happens and is woken by the first event: no wake-up is ever lost.

use std::time::{Duration, Instant};

use crate::{
    bed::{
        PATIENCE,
        talk::{Over, Talk},
    },
    begin,
};

/// Far below the second after which a lost wake-up would be noticed anyway; far above a loaded machine's delay.
const BOUND: Duration = Duration::from_millis(500);

#[test]
fn the_first_event_after_each_pause_comes_at_once() {
    begin!();
    let mut talk = Talk::new("burst-client", "burst-server");
    let listener = talk.listen(Over::V4, 0);
    let port = listener.local.port().to_string();
    let mut trace = talk.trace(&["tcpconnect", "-P", &port]);
    let mut late = Vec::new();
    let mut slowest = Duration::ZERO;
    let end = Instant::now() + Duration::from_secs(20);
    let mut random = 12_345_u64;
    let mut bursts = 0;
    while Instant::now() < end && bursts < 400 {
        // xorshift: the same pauses in every run. Most are around the time at which the reader goes to sleep.
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        std::thread::sleep(Duration::from_micros(random % 40_000));
        let begin = Instant::now();
        let count = 1 + random % 3;
        let cookies: Vec<u64> = (0..count)
            .map(|_| {
                let connection = talk.connect(Over::V4, &listener);
                talk.client.close(&connection.client);
                talk.server.close(&connection.server);
                connection.client.cookie
            })
            .collect();
        let first = trace.wait_for("the burst's first", |event| event.of(cookies[0]));
        let took = first.at.saturating_duration_since(begin);
        slowest = slowest.max(took);
        if took > BOUND {
            late.push((bursts, took));
        }
        trace.wait_for("the burst's last", |event| event.of(cookies[cookies.len() - 1]));
        bursts += 1;
    }
    println!("{bursts} bursts, the slowest first event after {slowest:?}");
    assert!(late.is_empty(), "late: {late:?}");
}

#[test]
fn an_event_after_a_long_silence_comes_at_once() {
    begin!();
    let mut talk = Talk::new("silent-client", "silent-server");
    let listener = talk.listen(Over::V4, 0);
    let port = listener.local.port().to_string();
    let mut trace = talk.trace(&["tcplife", "-D", &port]);
    for silence in [0, 1, 2].map(|seconds| Duration::from_millis(seconds * 1300)) {
        assert!(silence < PATIENCE);
        std::thread::sleep(silence);
        let begin = Instant::now();
        let connection = talk.whole(Over::V4, &listener, 1, 1);
        let event = trace.wait_for("the close", |event| event.of(connection.client.cookie));
        let took = event.at.saturating_duration_since(begin);
        assert!(took < BOUND, "{took:?} after {silence:?}");
    }
}

#[test]
fn an_idle_tool_sleeps() {
    begin!();
    let talk = Talk::new("idle-client", "idle-server");
    // A namespace in which nothing happens: whatever the rest of the machine does is filtered in the kernel.
    let trace = talk.trace(&["tcplife", "--netns", &talk.pair.a.inode.to_string()]);
    let begin = wake_ups(trace.pid());
    std::thread::sleep(Duration::from_secs(1));
    let settled = wake_ups(trace.pid());
    std::thread::sleep(Duration::from_secs(5));
    let woken = wake_ups(trace.pid()) - settled;
    println!("{} wake-ups in the first second, {woken} in the next five", settled - begin);
    assert!(woken <= 10, "more than two a second: {woken} in five");
}

/// How often all threads of a process went to sleep of their own accord.
fn wake_ups(pid: u32) -> u64 {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap().flatten();
    let switches = tasks.filter_map(|task| {
        let status = std::fs::read_to_string(task.path().join("status")).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"))?;
        line.trim().parse::<u64>().ok()
    });
    switches.sum()
}
