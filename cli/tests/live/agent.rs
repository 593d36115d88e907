//! `sockeye agent` on this machine: many subscribers on one engine, each with exactly its own events.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};

use crate::{
    bed::{
        PATIENCE,
        actor::{Actor, socket},
        cgroup::Cgroup,
        kernel,
        netns::Netns,
        order::{Order, Reply, Storm},
        scratch, until,
    },
    begin,
};

/// A running agent.
pub struct Agent {
    child: Child,
    socket: PathBuf,
    admin: SocketAddr,
}

impl Agent {
    /// Starts one without Kubernetes, and waits until it serves.
    pub fn start(arguments: &[&str]) -> Self {
        let folder = scratch("agent");
        std::fs::create_dir(&folder).unwrap();
        let socket = folder.join("agent.sock");
        // Free a moment ago, and nobody else here takes ports.
        let admin = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let child = Command::new(kernel::sockeye())
            .args(["agent", "--kubernetes", "off", "--listen", &format!("unix:{}", socket.display())])
            .args(["--admin-listen", &admin.to_string()])
            .args(arguments)
            // The tests' own variables are no settings of the agent's, and it says so.
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut agent = Self { child, socket, admin };
        let ready = || agent.page("/readyz").filter(|page| page.contains("200"));
        if until(PATIENCE, ready).is_none() {
            agent.child.kill().unwrap();
            let mut words = String::new();
            agent.child.stderr.take().unwrap().read_to_string(&mut words).unwrap();
            panic!("the agent is not ready: {words}");
        }
        agent
    }

    /// A page of the admin port, with its head.
    pub fn page(&self, path: &str) -> Option<String> {
        let mut stream = TcpStream::connect(self.admin).ok()?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: agent\r\nConnection: close\r\n\r\n").ok()?;
        let mut text = String::new();
        stream.read_to_string(&mut text).ok()?;
        Some(text)
    }

    /// Samples whose name begins so, added up.
    pub fn metric(&self, name: &str) -> f64 {
        let page = self.page("/metrics").unwrap();
        let samples = page.lines().filter(|line| line.starts_with(name));
        samples.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }

    /// A client's command that asks it.
    pub fn client(&self, verb: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(kernel::sockeye());
        command.arg(verb).args(arguments).args(["--server", &format!("unix://{}", self.socket.display())]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// What it says of itself.
    pub fn status(&self) -> serde_json::Value {
        let output = self.client("status", &["-o", "json"]).output().unwrap();
        let answer: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        answer["nodes"][0]["status"].clone()
    }

    /// Clients that follow, many started at once.
    pub fn observe_each(&self, arguments: &[Vec<&str>]) -> Vec<Observer> {
        let start = |arguments: &Vec<&str>| {
            let mut command = self.client("observe", &[&["-f", "-o", "json"], &arguments[..]].concat());
            let output = scratch("observed");
            let child = command.stdout(File::create(&output).unwrap()).spawn().unwrap();
            Observer { child, output }
        };
        let mut observers = Vec::new();
        // More at once, and on an emulated machine none of them would be connected in time.
        for some in arguments.chunks(if kernel::is_emulated() { 5 } else { 35 }) {
            observers.extend(some.iter().map(start));
            // By the page: to ask with yet another client takes longer than to answer.
            let are_there = || self.metric("sockeye_subscribers") >= observers.len() as f64;
            let all = until(PATIENCE, || are_there().then_some(()));
            assert!(all.is_some(), "{} of {} subscribers", self.subscribers(), observers.len());
        }
        observers
    }

    /// A client that follows; it is there when the agent says so.
    pub fn observe(&self, arguments: &[&str]) -> Observer {
        let before = self.subscribers();
        let mut command = self.client("observe", &[&["-f", "-o", "json"], arguments].concat());
        // Into a file: a pipe that is read at the end only holds a client up after 64 KiB.
        let output = scratch("observed");
        let child = command.stdout(File::create(&output).unwrap()).spawn().unwrap();
        assert!(until(PATIENCE, || (self.subscribers() > before).then_some(())).is_some(), "no subscriber");
        Observer { child, output }
    }

    fn subscribers(&self) -> usize {
        self.status()["subscribers"].as_array().map_or(0, Vec::len)
    }

    fn programs(&self) -> usize {
        self.status()["programs"].as_array().map_or(0, Vec::len)
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(self.socket.parent().unwrap());
    }
}

/// A following client.
pub struct Observer {
    child: Child,
    output: PathBuf,
}

impl Observer {
    /// Ends it, and gives its events.
    pub fn stop(self) -> Vec<serde_json::Value> {
        Self::settle();
        self.stop_now()
    }

    /// Waits for what is under way: it may be held back for a batch, and the machine may be busy.
    fn settle() {
        std::thread::sleep(Duration::from_secs(if kernel::is_emulated() { 6 } else { 2 }));
    }

    fn stop_now(mut self) -> Vec<serde_json::Value> {
        kill_process(Pid::from_child(&self.child), Signal::INT).unwrap();
        self.child.wait().unwrap();
        let text = std::fs::read_to_string(&self.output).unwrap();
        std::fs::remove_file(&self.output).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// A server and a client in a namespace of their own.
struct Arena {
    netns: Netns,
    server: Actor,
    client: Actor,
    listener: u32,
}

impl Arena {
    fn new(cgroup: Option<&Cgroup>) -> Self {
        let netns = Netns::new();
        netns.sysctl("net/ipv4/ip_local_port_range", "1024 65535");
        let mut server = Actor::new("arena-server", &netns);
        let client = Actor::new("arena-client", &netns);
        if let Some(cgroup) = cgroup {
            [&server, &client].into_iter().for_each(|actor| cgroup.add(actor.pid));
        }
        let at: SocketAddr = "0.0.0.0:1000".parse().unwrap();
        let listener = socket(server.order(&Order::Listen { at, backlog: 4096, dual_stack: false }));
        Self { netns, server, client, listener: listener.number }
    }

    fn storm(&mut self, count: u32) -> u32 {
        self.server.start(&Order::Serve { listener: self.listener, count });
        let at_most = Duration::from_secs(60);
        // Eight addresses, so that TIME_WAIT does not use up the ports.
        let to = (1..=8).map(|last| SocketAddr::from(([127, 0, 0, last], 1000))).collect();
        self.client.start(&Order::Storm(Storm { to, count, at_most }));
        let Reply::Count(made) = self.client.finish_within(2 * at_most) else { panic!("the storm failed") };
        assert!(matches!(self.server.finish_within(2 * at_most), Reply::Done));
        made
    }
}

/// Closes by network namespace.
fn closes(events: &[serde_json::Value]) -> BTreeMap<u64, usize> {
    let mut count = BTreeMap::new();
    for event in events.iter().filter(|event| event["event"] == "close") {
        *count.entry(event["netns"].as_u64().unwrap()).or_default() += 1;
    }
    count
}

#[test]
fn two_subscribers_with_different_filters_see_exactly_their_own() {
    begin!();
    let agent = Agent::start(&["--history-size", "off"]);
    let mut arenas = [Arena::new(None), Arena::new(None)];
    let inodes = [arenas[0].netns.inode, arenas[1].netns.inode];
    let observers = inodes.map(|inode| agent.observe(&["--netns", &inode.to_string(), "--kind", "close"]));
    let made = [arenas[0].storm(300), arenas[1].storm(200)].map(|made| 2 * made as usize);
    for ((observer, inode), made) in observers.into_iter().zip(inodes).zip(made) {
        let seen = closes(&observer.stop());
        assert_eq!(seen, BTreeMap::from([(u64::from(inode), made)]));
    }
}

#[test]
fn more_subscribers_than_the_kernel_has_bits_for_see_exactly_their_own() {
    begin!();
    // To lay out so many namespaces can take longer than programs stay attached for nobody.
    let agent = Agent::start(&["--history-size", "off", "--detach-delay", "600s"]);
    let arenas: Vec<Netns> = (0..70).map(|_| Netns::new()).collect();
    let inodes: Vec<String> = arenas.iter().map(|netns| netns.inode.to_string()).collect();
    let arguments: Vec<Vec<&str>> =
        inodes.iter().map(|inode| vec!["--netns", inode, "--kind", "close"]).collect();
    let observers = agent.observe_each(&arguments);
    let status = agent.status();
    let subscribers = status["subscribers"].as_array().unwrap();
    let of = |where_to: &str| {
        let runs = |one: &&serde_json::Value| {
            one[where_to].as_array().is_some_and(|parts| parts.iter().any(|part| part == "netns"))
        };
        subscribers.iter().filter(runs).count()
    };
    assert_eq!((of("inKernel"), of("inUserSpace")), (31, 39), "{status}");
    for (count, netns) in arenas.iter().enumerate() {
        netns.enter(|| {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            for _ in 0..=count % 3 {
                let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
                let (mut server, _) = listener.accept().unwrap();
                drop(client);
                assert_eq!(server.read(&mut [0; 1]).unwrap(), 0);
            }
        });
    }
    Observer::settle();
    for (count, (observer, netns)) in observers.into_iter().zip(&arenas).enumerate() {
        let seen = closes(&observer.stop_now());
        assert_eq!(
            seen,
            BTreeMap::from([(u64::from(netns.inode), 2 * (count % 3 + 1))]),
            "subscriber {count}"
        );
    }
}

#[test]
fn what_the_kernel_counts_of_programs_is_told_while_it_counts_and_absent_otherwise() {
    begin!();
    let switch = "/proc/sys/kernel/bpf_stats_enabled";
    let before = std::fs::read_to_string(switch).unwrap();
    let agent = Agent::start(&["--history-size", "off"]);
    let mut arena = Arena::new(None);
    let observer = agent.observe(&["--netns", &arena.netns.inode.to_string()]);
    let state = |agent: &Agent| {
        let programs = agent.status()["programs"].as_array().unwrap().clone();
        programs.into_iter().find(|one| one["program"] == "set_state").unwrap()
    };
    std::fs::write(switch, "0").unwrap();
    arena.storm(10);
    let off = state(&agent);
    std::fs::write(switch, "1").unwrap();
    arena.storm(10);
    let on = state(&agent);
    let told = until(PATIENCE, || (agent.metric("sockeye_program_runs_total") >= 100.0).then_some(()));
    std::fs::write(switch, before).unwrap();
    assert!(off["runCount"].is_null() && off["runTime"].is_null(), "{off}");
    // Ten connections of two sockets with five changes each; protobuf's JSON has 64-bit numbers as text.
    let runs: u64 = on["runCount"].as_str().unwrap().parse().unwrap();
    assert!(runs >= 100 && on["runTime"].is_string(), "{on}");
    assert!(told.is_some(), "the metrics lack it");
    observer.stop();
}

#[test]
fn what_a_filter_keeps_out_never_leaves_the_kernel() {
    begin!();
    let agent = Agent::start(&["--history-size", "off"]);
    let (asked, other) = (Cgroup::new("asked"), Cgroup::new("other"));
    let mut wanted = Arena::new(Some(&asked));
    let mut unwanted = Arena::new(Some(&other));
    let observer = agent.observe(&["--cgroup", &asked.id.to_string()]);
    std::thread::sleep(Duration::from_millis(200));
    let count = || {
        // Published every two seconds.
        std::thread::sleep(Duration::from_secs(3));
        agent.metric("sockeye_events_total")
    };
    let before = count();
    let made = unwanted.storm(kernel::many(100_000));
    let after = count();
    assert!(after - before < 50.0, "{} events of {made} connections that nobody wants", after - before);
    let seen = wanted.storm(20);
    let events = observer.stop();
    let inode = u64::from(wanted.netns.inode);
    assert_eq!(closes(&events), BTreeMap::from([(inode, 2 * seen as usize)]));
}

#[test]
fn nothing_is_attached_once_the_last_one_left_and_nothing_is_left_after_a_kill() {
    begin!();
    let mut agent = Agent::start(&["--history-size", "off", "--detach-delay", "1s"]);
    let observer = agent.observe(&[]);
    assert!(agent.programs() > 0);
    observer.stop();
    assert!(until(PATIENCE, || (agent.programs() == 0).then_some(())).is_some(), "still attached");
    let _observer = agent.observe(&[]);
    let programs = kernel::programs_of(agent.child.id());
    assert!(!programs.is_empty());
    agent.child.kill().unwrap();
    agent.child.wait().unwrap();
    let gone = || programs.iter().all(|id| !kernel::has_program(*id)).then_some(());
    assert!(until(PATIENCE, gone).is_some(), "programs are left");
}

#[test]
fn the_history_has_what_nobody_watched() {
    begin!();
    let agent = Agent::start(&[]);
    assert!(until(PATIENCE, || (agent.programs() > 0).then_some(())).is_some(), "nothing is attached");
    let mut arena = Arena::new(None);
    let made = arena.storm(30);
    let netns = arena.netns.inode.to_string();
    let asked = ["--last", "1000", "--netns", &netns, "--kind", "close", "-o", "json"];
    let all = || {
        let output = agent.client("observe", &asked).output().unwrap();
        let lines = String::from_utf8(output.stdout).unwrap().lines().count();
        (lines == 2 * made as usize).then_some(())
    };
    assert!(until(PATIENCE, all).is_some(), "{made} connections have two closes each");
}
