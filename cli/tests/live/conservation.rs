//! Nothing is lost, nothing comes twice, and what is lost is counted: held against the kernel's own counters.

use std::{collections::HashMap, net::SocketAddr, time::Duration};

use rustix::process::Signal;

use crate::{
    bed::{
        PATIENCE,
        actor::{Actor, socket},
        event::Event,
        kernel,
        netns::Netns,
        order::{Order, Reply, Storm},
        trace::{Ended, Trace},
        until,
    },
    begin,
};

/// A namespace with a server and a client in it, and room for many connections.
pub struct Arena {
    netns: Netns,
    server: Actor,
    client: Actor,
    to: Vec<SocketAddr>,
    listener: u32,
}

impl Arena {
    pub fn new() -> Self {
        let netns = Netns::new();
        netns.sysctl("net/ipv4/ip_local_port_range", "1024 65535");
        netns.sysctl("net/core/somaxconn", "8192");
        let mut server = Actor::new("storm-server", &netns);
        let client = Actor::new("storm-client", &netns);
        let at = "0.0.0.0:1000".parse().unwrap();
        let listener = socket(server.order(&Order::Listen { at, backlog: 8192, dual_stack: false }));
        // Several destinations, so that TIME_WAIT does not use up the ports.
        let to = (1..=8).map(|last| SocketAddr::from(([127, 0, 0, last], 1000))).collect();
        Self { netns, server, client, to, listener: listener.number }
    }

    /// So many connections of which every second one is closed by the server first, or as many as the time
    /// allows. Gives their number.
    pub fn storm(&mut self, count: u32, at_most: Duration) -> u32 {
        self.server.start(&Order::Serve { listener: self.listener, count });
        self.client.start(&Order::Storm(Storm { to: self.to.clone(), count, at_most }));
        let patience = at_most + Duration::from_secs(30);
        let Reply::Count(made) = self.client.finish_within(patience) else { panic!("the storm failed") };
        let served = self.server.finish_within(patience);
        assert!(matches!(served, Reply::Done), "{served:?}");
        made
    }

    /// Waits until every connection is over: only listeners and TIME_WAIT are left. The last ACKs may be slow.
    fn settle(&self) {
        let all_over = || {
            let table = self.netns.enter(|| std::fs::read_to_string("/proc/thread-self/net/tcp")).unwrap();
            let mut states = table.lines().skip(1).filter_map(|row| row.split_whitespace().nth(3));
            states.all(|state| ["06", "0A"].contains(&state)).then_some(())
        };
        assert!(until(PATIENCE, all_over).is_some(), "connections that do not end");
    }

    fn active_opens(&self) -> u64 {
        self.netns.snmp("Tcp", "ActiveOpens")
    }

    fn passive_opens(&self) -> u64 {
        self.netns.snmp("Tcp", "PassiveOpens")
    }

    pub fn netns(&self) -> String {
        self.netns.inode.to_string()
    }
}

/// How many rows there are of each cookie, by role.
fn by_cookie(events: &[&Event], role: &str) -> HashMap<u64, u32> {
    let mut rows = HashMap::new();
    for event in events {
        if event.text("role") == role {
            *rows.entry(event.number("cookie")).or_default() += 1;
        }
    }
    rows
}

/// Holds that no end has more than one row; shows those of the first few that have.
fn once(rows: &HashMap<u64, u32>, events: &[&Event]) {
    let twice: Vec<u64> = rows.iter().filter(|(_, count)| **count != 1).map(|(cookie, _)| *cookie).collect();
    let shown = twice.iter().take(3).flat_map(|cookie| events.iter().filter(|event| event.of(*cookie)));
    let shown: Vec<String> = shown.map(|event| event.json.to_string()).collect();
    assert!(twice.is_empty(), "{} of {} came twice:\n{}", twice.len(), rows.len(), shown.join("\n"));
}

/// What the tool said that it lost: the sum of the numbers in front of "lost".
fn told_lost(ended: &Ended) -> u64 {
    ended.stderr.lines().filter(|line| line.contains("lost")).map(first_number).sum()
}

fn first_number(line: &str) -> u64 {
    let digits: String =
        line.chars().skip_while(|c| !c.is_ascii_digit()).take_while(char::is_ascii_digit).collect();
    digits.parse().unwrap_or_else(|_| panic!("no number in {line:?}"))
}

#[test]
fn every_open_of_a_hundred_thousand_connections_is_seen_exactly_once() {
    begin!();
    let mut arena = Arena::new();
    let netns = arena.netns();
    let trace = Trace::start(&["tcplife", "--netns", &netns, "--buffer-size", "8M"]);
    let before = (arena.active_opens(), arena.passive_opens());
    let made = arena.storm(kernel::many(100_000), Duration::from_secs(60));
    let opens = (arena.active_opens() - before.0, arena.passive_opens() - before.1);
    arena.settle();
    let ended = trace.stop();
    let all = ended.select(|event| !is_twin(event));
    let clients = by_cookie(&all, "client");
    let servers = by_cookie(&all, "server");
    let twins = ended.events.len() - all.len();
    println!("{made} connections, {} rows, {twins} twins, {:?}", ended.events.len(), ended.stderr);
    once(&clients, &all);
    once(&servers, &all);
    assert_eq!((clients.len(), servers.len()), (made as usize, made as usize), "stderr: {}", ended.stderr);
    let seen = (clients.len() as u64, (servers.len() + twins) as u64);
    assert_eq!(seen, opens, "the kernel's own counters; stderr: {}", ended.stderr);
    assert_eq!(told_lost(&ended), 0, "{}", ended.stderr);
    let (client, server) = (u64::from(arena.client.pid), u64::from(arena.server.pid));
    for event in all {
        let owner = if event.text("role") == "client" { client } else { server };
        assert_eq!(event.maybe("process.pid"), Some(owner), "{}", event.json);
        assert_eq!(event.number("close.bytes_sent"), if owner == client { 64 } else { 32 }, "{}", event.json);
        assert!(event.maybe("close.duration_ns").is_some(), "{}", event.json);
    }
}

/// Two segments of a client can be worked off on two CPUs at once: then the kernel makes its connection twice,
/// counts two passive opens, and throws one away before it is established.
fn is_twin(event: &Event) -> bool {
    event.text("state.old") == "SYN_RECV" && event.text("state.new") == "CLOSE"
}

#[test]
fn connects_and_accepts_are_each_seen_exactly_once() {
    begin!();
    let mut arena = Arena::new();
    let netns = arena.netns();
    let trace = Trace::start(&["tcptracer", "--netns", &netns, "--buffer-size", "8M"]);
    let made = u64::from(arena.storm(10_000, Duration::from_secs(20)));
    arena.settle();
    let ended = trace.stop();
    for (name, role, other) in [("connect", "client", "server"), ("accept", "server", "client")] {
        let rows: Vec<&Event> = ended.select(|event| event.text("event") == name);
        let seen = by_cookie(&rows, role);
        once(&seen, &rows);
        assert_eq!(seen.len() as u64, made, "{name}: {}", ended.stderr);
        assert!(by_cookie(&rows, other).is_empty(), "a {name} of the wrong side");
    }
    for role in ["client", "server"] {
        let rows = ended.select(|event| event.text("event") == "close");
        let closes = by_cookie(&rows, role);
        once(&closes, &rows);
        assert_eq!(closes.len() as u64, made, "closes of the {role}: {}", ended.stderr);
    }
}

#[test]
fn with_a_ring_of_one_page_seen_and_lost_add_up_to_the_truth() {
    begin!();
    let mut arena = Arena::new();
    let netns = arena.netns();
    let trace = Trace::start(&["tcplife", "--netns", &netns, "--buffer-size", "4096"]);
    let before = arena.active_opens() + arena.passive_opens();
    // A reader that does not read: so that there is a loss however fast it would be.
    trace.signal(Signal::STOP);
    arena.storm(500, Duration::from_secs(60));
    trace.signal(Signal::CONT);
    arena.storm(1_000, Duration::from_secs(60));
    arena.settle();
    let opens = arena.active_opens() + arena.passive_opens() - before;
    let ended = trace.stop();
    let (seen, lost) = (ended.events.len() as u64, told_lost(&ended));
    println!("{seen} seen, {lost} lost of {opens}: {:?}", ended.stderr);
    assert!(lost > 0, "1000 records do not fit into a page");
    assert_eq!(seen + lost, opens, "{}", ended.stderr);
    assert!(ended.stderr.contains("--buffer-size"), "what to do is said: {}", ended.stderr);
}

#[test]
fn losses_are_told_at_most_once_a_second() {
    begin!();
    let mut arena = Arena::new();
    let netns = arena.netns();
    let begin = std::time::Instant::now();
    let trace = Trace::start(&["tcpstates", "--netns", &netns, "--buffer-size", "4096"]);
    arena.storm(100_000, Duration::from_secs(3));
    let ended = trace.stop();
    let lines = ended.stderr.lines().filter(|line| line.contains("lost")).count() as u64;
    // One a second and the last one at the end.
    assert!(lines <= begin.elapsed().as_secs() + 2, "{lines} lines: {}", ended.stderr);
}

#[test]
fn thousands_closed_in_a_row_under_traffic_are_each_seen_exactly_once() {
    begin!();
    const HELD: u32 = 2000;
    let mut arena = Arena::new();
    let mut holder = Actor::new("holder", &arena.netns);
    let mut keeper = Actor::new("keeper", &arena.netns);
    let at: SocketAddr = "127.0.0.1:1001".parse().unwrap();
    let listener = socket(keeper.order(&Order::Listen { at, backlog: 8192, dual_stack: false }));
    let netns = arena.netns();
    let trace = Trace::start(&["tcpstates", "--netns", &netns, "--buffer-size", "64M"]);
    let before = arena.active_opens();
    let count = kernel::many(20_000);
    arena.server.start(&Order::Serve { listener: arena.listener, count });
    let storm = Storm { to: arena.to.clone(), count, at_most: Duration::from_secs(15) };
    arena.client.start(&Order::Storm(storm));
    let patience = Duration::from_secs(90);
    for _ in 0..2 {
        keeper.start(&Order::AcceptMany { listener: listener.number, count: HELD });
        holder.start(&Order::Hold { to: at, count: HELD });
        for actor in [&mut holder, &mut keeper] {
            let reply = actor.finish_within(patience);
            assert!(matches!(reply, Reply::Done), "{reply:?}");
        }
        // Both at once: their FINs meet, and softirqs run on top of the closing process.
        for actor in [&mut holder, &mut keeper] {
            actor.start(&Order::CloseHeld);
        }
        for actor in [&mut holder, &mut keeper] {
            let reply = actor.finish_within(patience);
            assert!(matches!(reply, Reply::Done), "{reply:?}");
        }
    }
    arena.client.finish_within(patience);
    arena.server.finish_within(patience);
    let opens = arena.active_opens() - before;
    arena.settle();
    let ended = trace.stop();
    println!("{opens} connections, {} rows, stderr {:?}", ended.events.len(), ended.stderr);
    assert_eq!(told_lost(&ended), 0, "{}", ended.stderr);
    for role in ["client", "server"] {
        let closes = ended.select(|event| {
            event.text("state.new") == "CLOSE" && event.text("state.old") != "LISTEN" && !is_twin(event)
        });
        let rows = by_cookie(&closes, role);
        once(&rows, &closes);
        let missing = unfinished(&ended, role);
        assert_eq!(rows.len() as u64, opens, "ends of the {role}: {}\n{missing:#?}", ended.stderr);
    }
    chains(&ended);
}

/// The last that was seen of sockets whose end was not.
fn unfinished(ended: &Ended, role: &str) -> Vec<String> {
    let mut last: HashMap<u64, &Event> = HashMap::new();
    for event in ended.select(|event| event.text("role") == role) {
        if let Some(cookie) = event.maybe("cookie") {
            last.insert(cookie, event);
        }
    }
    let open = last.into_values().filter(|event| event.text("state.new") != "CLOSE");
    open.map(|event| event.json.to_string()).take(10).collect()
}

/// The states of each socket join up: what one event enters the next one leaves.
fn chains(ended: &Ended) {
    let mut last: HashMap<u64, (String, &Event)> = HashMap::new();
    for event in &ended.events {
        let Some(cookie) = event.maybe("cookie") else { continue };
        if event.text("state.old") == "LISTEN" && event.text("state.new") == "SYN_RECV" {
            continue;
        }
        if let Some((state, before)) = last.get(&cookie) {
            let (old, gap) = (event.text("state.old"), event.is("gap"));
            assert!(state == old || gap, "{} then {}", before.json, event.json);
        }
        last.insert(cookie, (event.text("state.new").to_owned(), event));
    }
}
