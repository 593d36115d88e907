//! Against the real libbpf-tools, where they are and run: the same connections, ports and bytes, the times
//! within a bound.

use std::{
    collections::HashMap,
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, channel},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

use crate::{
    bed::{
        event::Event,
        kernel, skip,
        talk::{Over, Talk},
        until,
    },
    begin,
    life::close_of,
    test_name,
};

const CONNECTIONS: usize = 20;

/// A running libbpf-tool.
struct Peer {
    child: Child,
    lines: Receiver<String>,
}

impl Peer {
    /// Starts it and waits until it sees what happens; `None` with the reason where it does not run.
    fn start(tool: &str, arguments: &[&str], talk: &mut Talk) -> Result<Self, String> {
        let path = format!("/usr/sbin/{tool}");
        if !Path::new(&path).exists() {
            return Err(format!("{path} is not there (Debian package libbpf-tools)"));
        }
        // They attach through tracefs.
        kernel::mount_tracefs()?;
        let mut child = Command::new(&path)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| format!("{path}: {error}"))?;
        let output = BufReader::new(child.stdout.take().unwrap());
        let (give, lines) = channel();
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                if give.send(line).is_err() {
                    break;
                }
            }
        });
        let mut peer = Self { child, lines };
        // They do not say when they are ready, and print in blocks when nobody reads along at a terminal: time.
        let ready = until(Duration::from_secs(3), || peer.child.try_wait().unwrap());
        if let Some(status) = ready {
            let mut words = String::new();
            let _ = std::io::Read::read_to_string(&mut peer.child.stderr.take().unwrap(), &mut words);
            let last = words.trim().lines().last().unwrap_or_default();
            return Err(format!("this kernel lacks what {tool} needs ({status}: {last})"));
        }
        let listener = talk.listen(Over::V4, 0);
        talk.whole(Over::V4, &listener, 1, 1);
        Ok(peer)
    }

    /// Ends it and gives its rows.
    fn stop(mut self) -> Vec<Vec<String>> {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        // What is in its perf buffers is read every 100 ms.
        std::thread::sleep(Duration::from_millis(500));
        kill_process(pid, Signal::INT).unwrap();
        let end = Instant::now() + Duration::from_secs(10);
        let mut rows = Vec::new();
        while let Ok(line) = self.lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
            rows.push(line.split_whitespace().map(str::to_owned).collect());
        }
        self.child.wait().unwrap();
        rows
    }
}

/// The times of both, in milliseconds. The two run one after the other at the same event, and where the machine
/// is emulated or busy either may be held up before it looks at the clock: most are near each other, all are
/// of one size.
#[derive(Default)]
struct Times(Vec<(f64, f64)>);

impl Times {
    fn hold(&self) {
        let apart = |ours: f64, theirs: f64| (ours - theirs).abs() / f64::max(theirs / 20.0, 2.0);
        let near = self.0.iter().filter(|(ours, theirs)| apart(*ours, *theirs) <= 1.0).count();
        assert!(near * 2 >= self.0.len(), "only {near} of these are near each other: {:?}", self.0);
        let far: Vec<_> = self.0.iter().filter(|(ours, theirs)| apart(*ours, *theirs) > 25.0).collect();
        assert!(far.is_empty(), "far apart: {far:?}");
    }
}

#[test]
fn tcplife_says_what_the_libbpf_tool_says() {
    begin!();
    let mut talk = Talk::new("peer-client", "peer-server");
    let peer = match Peer::start("tcplife", &[], &mut talk) {
        Ok(peer) => peer,
        Err(reason) => return skip(test_name!(), &reason),
    };
    let listener = talk.listen(Over::V4, 0);
    let mut trace = talk.trace(&["tcplife"]);
    let connections: Vec<_> =
        (0..CONNECTIONS).map(|number| talk.whole(Over::V4, &listener, 4096 * number as u64, 100)).collect();
    let ours: Vec<Event> =
        connections.iter().map(|connection| close_of(&mut trace, connection.client.cookie)).collect();
    // PID COMM LADDR LPORT RADDR RPORT TX_KB RX_KB MS
    let theirs: HashMap<String, Vec<String>> = peer
        .stop()
        .into_iter()
        .filter(|row| row.len() == 9 && row[2] == "10.77.0.1")
        .map(|row| (row[3].clone(), row))
        .collect();
    let mut times = Times::default();
    for (connection, ours) in connections.iter().zip(&ours) {
        let port = connection.client.local.port().to_string();
        let Some(theirs) = theirs.get(&port) else { panic!("the libbpf-tool lost port {port}: {theirs:?}") };
        assert_eq!(ours.number("remote.port").to_string(), theirs[5]);
        assert_eq!(ours.text("remote.address"), theirs[4]);
        // Theirs are the raw counters: SYN and FIN are two bytes more.
        for (ours, theirs, extra) in [
            (ours.number("close.bytes_acked"), &theirs[6], 2.0),
            (ours.number("close.bytes_received"), &theirs[7], 1.0),
        ] {
            let raw = (ours as f64 + extra) / 1024.0;
            let theirs: f64 = theirs.parse().unwrap();
            assert!((raw - theirs).abs() <= 0.006, "{raw} KB, they {theirs}");
        }
        let ours_ms = ours.number("close.duration_ns") as f64 / 1e6;
        let theirs_ms: f64 = theirs[8].parse().unwrap();
        times.0.push((ours_ms, theirs_ms));
    }
    times.hold();
}

#[test]
fn tcpstates_says_what_the_libbpf_tool_says() {
    begin!();
    let mut talk = Talk::new("peer-client", "peer-server");
    let peer = match Peer::start("tcpstates", &[], &mut talk) {
        Ok(peer) => peer,
        Err(reason) => return skip(test_name!(), &reason),
    };
    let listener = talk.listen(Over::V4, 0);
    let mut trace = talk.trace(&["tcpstates"]);
    let connections: Vec<_> = (0..CONNECTIONS).map(|_| talk.whole(Over::V4, &listener, 10, 10)).collect();
    // SKADDR PID COMM LADDR LPORT RADDR RPORT OLDSTATE -> NEWSTATE MS
    let mut theirs: HashMap<String, Vec<Vec<String>>> = HashMap::new();
    for row in peer.stop() {
        if row.len() == 11 && row[3] == "10.77.0.1" {
            theirs.entry(row[4].clone()).or_default().push(row);
        }
    }
    let mut times = Times::default();
    for connection in connections {
        let ours = trace.wait_for_all("states", 5, |event| event.of(connection.client.cookie));
        let port = connection.client.local.port().to_string();
        // Their first row has port 0, and their last one may be lost to recursion.
        let theirs = &theirs[&port];
        let ours: HashMap<(String, String), f64> = ours
            .iter()
            .filter_map(|event| {
                let key = (event.text("state.old").to_owned(), event.text("state.new").to_owned());
                Some((key, event.maybe("state.time_in_old_ns")? as f64 / 1e6))
            })
            .collect();
        assert!(theirs.len() >= 3, "{theirs:?}");
        for row in theirs {
            let ours = ours[&(row[7].clone(), row[9].clone())];
            let theirs: f64 = row[10].parse().unwrap();
            times.0.push((ours, theirs));
        }
    }
    times.hold();
}

#[test]
fn tcpconnect_says_what_the_libbpf_tool_says() {
    begin!();
    let mut talk = Talk::new("peer-client", "peer-server");
    let peer = match Peer::start("tcpconnect", &["-s"], &mut talk) {
        Ok(peer) => peer,
        Err(reason) => return skip(test_name!(), &reason),
    };
    let listener = talk.listen(Over::V4, 0);
    let mut trace = talk.trace(&["tcpconnect", "-s"]);
    let connections: Vec<_> = (0..CONNECTIONS).map(|_| talk.whole(Over::V4, &listener, 1, 1)).collect();
    let rows = peer.stop();
    for connection in connections {
        let ours = trace.wait_for("the connect", |event| event.of(connection.client.cookie));
        let port = connection.client.local.port().to_string();
        // PID COMM IP SADDR DADDR SPORT DPORT, in whatever order this version has them.
        let theirs = rows.iter().find(|row| row.contains(&port) && row.contains(&"10.77.0.1".to_owned()));
        let theirs = theirs.unwrap_or_else(|| panic!("the libbpf-tool lost port {port}"));
        assert_eq!(theirs[0], ours.number("process.pid").to_string());
        assert!(theirs.contains(&ours.number("remote.port").to_string()), "{theirs:?}");
        assert!(theirs.contains(&"10.77.0.2".to_owned()));
    }
}
