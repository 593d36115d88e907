//! How a run begins and ends: durations, counts, pipes, Ctrl-C, colours, rights.

use std::{
    io::{BufRead as _, BufReader, Read as _},
    os::unix::process::CommandExt as _,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

use crate::{
    bed::{
        PATIENCE,
        actor::Actor,
        kernel,
        order::Order,
        talk::{Over, Talk},
        trace::{self, Trace},
        until,
    },
    begin,
    conservation::Arena,
};

#[test]
fn a_duration_ends_the_run_with_success() {
    begin!();
    let begin = Instant::now();
    let ended = Trace::start(&["tcpstates", "--for", "1s"]).wait();
    let took = begin.elapsed();
    assert!(ended.status.success(), "{}: {}", ended.status, ended.stderr);
    assert!(took >= Duration::from_secs(1) && took < Duration::from_secs(10), "{took:?}");
}

#[test]
fn a_count_ends_the_run_after_exactly_so_many_rows() {
    begin!();
    let mut talk = Talk::new("count-client", "count-server");
    let listener = talk.listen(Over::V4, 0);
    let trace = Trace::start(&["tcplife", "--netns", &talk.pair.a.inode.to_string(), "--max-events", "3"]);
    for _ in 0..5 {
        talk.whole(Over::V4, &listener, 1, 1);
    }
    let ended = trace.wait();
    assert!(ended.status.success(), "{}: {}", ended.status, ended.stderr);
    assert_eq!(ended.events.len(), 3);
}

#[test]
fn ctrl_c_ends_the_run_with_success_and_nothing_cut_off() {
    begin!();
    let mut talk = Talk::new("int-client", "int-server");
    let listener = talk.listen(Over::V4, 0);
    let trace = Trace::start(&["tcplife", "-D", &listener.local.port().to_string()]);
    let last = talk.whole(Over::V4, &listener, 1, 1);
    // At once: what is in the ring must still come.
    let ended = trace.stop();
    assert!(ended.status.success(), "{}: {}", ended.status, ended.stderr);
    assert_eq!(ended.select(|event| event.of(last.client.cookie)).len(), 1);
    assert!(trace::complaints(&ended.stderr).is_empty(), "{}", ended.stderr);
}

#[test]
fn head_ends_the_run_in_silence() {
    begin!();
    let mut talk = Talk::new("head-client", "head-server");
    let listener = talk.listen(Over::V4, 0);
    let (mut command, ready) = trace::command(&["tcplife", "--netns", &talk.pair.a.inode.to_string()]);
    let mut child = command.spawn().unwrap();
    trace::wait_until_ready(&mut child, &ready);
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    output.read_line(&mut line).unwrap();
    assert!(line.starts_with("PID"), "bcc's header first: {line:?}");
    drop(output);
    // The reader is gone; the next rows find out.
    let ends = until(PATIENCE, || {
        talk.whole(Over::V4, &listener, 1, 1);
        child.try_wait().unwrap()
    });
    let mut words = String::new();
    child.stderr.take().unwrap().read_to_string(&mut words).unwrap();
    let status = ends.expect("the tool ends when its reader is gone");
    assert!(status.success(), "{status}: {words}");
    assert!(trace::complaints(&words).is_empty(), "{words}");
}

#[test]
fn a_reader_that_stopped_reading_cannot_keep_the_run_from_its_end() {
    begin!();
    let mut arena = Arena::new();
    let netns = arena.netns();
    let cases: [(&str, &[&str]); 3] = [("INT", &[]), ("TERM", &[]), ("the duration", &["--for", "4s"])];
    for (how, more) in cases {
        let arguments = [&["tcpstates", "--netns", &netns], more].concat();
        let (mut command, ready) = trace::command(&arguments);
        let mut child = command.spawn().unwrap();
        trace::wait_until_ready(&mut child, &ready);
        // Ten rows a connection, so far more than a pipe holds; nobody reads them.
        arena.storm(1_000, Duration::from_secs(60));
        let begin = Instant::now();
        let pid = Pid::from_child(&child);
        match how {
            "INT" => kill_process(pid, Signal::INT).unwrap(),
            "TERM" => kill_process(pid, Signal::TERM).unwrap(),
            _ => {}
        }
        let ended = until(PATIENCE, || child.try_wait().unwrap());
        let _ = child.kill();
        let mut words = String::new();
        child.stderr.take().unwrap().read_to_string(&mut words).unwrap();
        let status = ended.unwrap_or_else(|| panic!("{how}: no end after {:?}: {words}", begin.elapsed()));
        assert_eq!(status.code(), Some(1), "{how}: rows were lost: {words}");
        assert!(words.contains("the rows behind are lost"), "{how}: {words}");
    }
}

#[test]
fn no_escape_sequence_reaches_a_pipe() {
    begin!();
    for (name, value) in [("NO_COLOR", "1"), ("TERM", "xterm-256color")] {
        let mut talk = Talk::new("pale-client", "pale-server");
        let listener = talk.listen(Over::V4, 0);
        let (mut command, ready) =
            trace::command(&["tcplife", "--max-events", "1", "-D", &listener.local.port().to_string()]);
        let mut child = command.env(name, value).spawn().unwrap();
        trace::wait_until_ready(&mut child, &ready);
        talk.whole(Over::V4, &listener, 1, 1);
        let output = child.wait_with_output().unwrap();
        assert!(!output.stdout.contains(&0x1b), "{}", String::from_utf8_lossy(&output.stdout));
        assert!(!output.stderr.contains(&0x1b), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

/// A name that would clear the screen, ring the bell, break the line and the CSV, and is no UTF-8.
const HOSTILE: &[u8] = b"\x1b[2J\r\n,\"\xff\xc3';\x07";

#[test]
fn a_hostile_name_touches_neither_terminal_nor_csv_nor_json() {
    begin!();
    for format in ["table", "wide", "csv", "json"] {
        let mut talk = Talk::new("-", "victim");
        let listener = talk.listen(Over::V4, 0);
        talk.client.done(&Order::Comm(HOSTILE.to_vec()));
        let port = listener.local.port().to_string();
        let (mut command, ready) =
            trace::command(&["tcplife", "-o", format, "--max-events", "1", "-D", &port]);
        let mut child = command.spawn().unwrap();
        trace::wait_until_ready(&mut child, &ready);
        talk.whole(Over::V4, &listener, 1, 1);
        let output = child.wait_with_output().unwrap();
        let text = String::from_utf8(output.stdout).expect("UTF-8");
        let rows = if format == "json" { 1 } else { 2 };
        assert_eq!(text.lines().count(), rows, "{format}: {text:?}");
        assert!(text.bytes().all(|byte| byte == b'\n' || !byte.is_ascii_control()), "{format}: {text:?}");
        if format == "json" {
            let event: serde_json::Value = serde_json::from_str(&text).unwrap();
            let hex: String = HOSTILE.iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(event["process"]["comm_hex"], hex, "{text}");
        }
        if format == "csv" {
            // Commas inside of quotes are none; a quote inside of them is two, which changes nothing.
            let columns =
                |line: &str| line.split('"').step_by(2).map(|part| part.matches(',').count()).sum::<usize>();
            let mut lines = text.lines();
            assert_eq!(columns(lines.next().unwrap()), columns(lines.next().unwrap()), "{text}");
        }
    }
}

#[test]
fn without_rights_one_line_says_which_are_missing() {
    begin!();
    // In a place that nobody may not read the binary could not even be started.
    let copy = crate::bed::scratch("sockeye");
    std::fs::copy(kernel::sockeye(), &copy).unwrap();
    let output = Command::new(&copy).args(["trace", "tcplife"]).uid(65534).gid(65534).output();
    std::fs::remove_file(&copy).unwrap();
    let output = output.unwrap();
    let words = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{words}");
    assert!(words.contains("CAP_BPF") && words.contains("CAP_PERFMON"), "{words}");
    assert!(words.contains("sudo"), "{words}");
    assert_eq!(words.trim_end().lines().count(), 1, "{words}");
    assert!(output.stdout.is_empty(), "no header before a refusal");
}

#[test]
fn what_does_not_exist_is_a_usage_error() {
    begin!();
    let cases: [&[&str]; 4] = [
        &["tcplife", "-p", "4194305"],
        &["tcplife", "--cgroup", "/proc"],
        &["tcplife", "--netns", "/proc/self/ns/mnt"],
        &["tcplife", "-C", "/nowhere/map"],
    ];
    for arguments in cases {
        let output = trace::command(arguments).0.output().unwrap();
        let words = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(64), "{arguments:?}: {words}");
        assert_eq!(words.trim_end().lines().count(), 1, "{arguments:?}: {words}");
    }
}

#[test]
fn nothing_is_left_in_the_kernel_after_a_kill() {
    begin!();
    let mut talk = Talk::new("kill-client", "kill-server");
    let listener = talk.listen(Over::V4, 0);
    let mut trace = talk.trace(&["tcplife"]);
    let first = talk.whole(Over::V4, &listener, 1, 1);
    trace.wait_for("a close", |event| event.of(first.client.cookie));
    trace.signal(Signal::KILL);
    let ended = trace.wait();
    assert!(!ended.status.success());
    // A second run is not disturbed by what the first one left in the sockets.
    let held = talk.connect(Over::V4, &listener);
    let mut again = talk.trace(&["tcplife"]);
    talk.close(&held);
    again.wait_for("a close", |event| event.of(held.client.cookie));
}

#[test]
fn two_tools_at_once_see_the_same() {
    begin!();
    let mut talk = Talk::new("both-client", "both-server");
    let listener = talk.listen(Over::V4, 0);
    let mut traces = [talk.trace(&["tcplife"]), talk.trace(&["tcplife"])];
    let connection = talk.whole(Over::V4, &listener, 10, 20);
    for trace in &mut traces {
        let event = trace.wait_for("the close", |event| event.of(connection.client.cookie));
        crate::life::bytes(&event, 10, 20);
    }
}

#[test]
fn the_header_is_there_before_the_first_row() {
    begin!();
    let headers = [
        ("tcpstates", "SKADDR"),
        ("tcpconnect", "PID"),
        ("tcpconnlat", "PID"),
        ("tcplife", "PID"),
        ("tcpaccept", "PID"),
        ("tcptracer", "T"),
    ];
    for (tool, first) in headers {
        let (mut command, ready) = trace::command(&[tool]);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        trace::wait_until_ready(&mut child, &ready);
        let mut line = String::new();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        // tcptracer says first what it does, as bcc does.
        while !line.starts_with(first) {
            line.clear();
            assert!(output.read_line(&mut line).unwrap() > 0, "{tool} has no header");
        }
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

#[test]
fn a_tool_can_be_ended_while_a_process_storms() {
    begin!();
    let mut talk = Talk::new("race-client", "race-server");
    let listener = talk.listen(Over::V4, 0);
    let mut other = Actor::new("other", &talk.pair.a);
    for _ in 0..3 {
        let trace = talk.trace(&["tcpstates"]);
        let to = format!("10.77.0.2:{}", listener.local.port()).parse().unwrap();
        other.start(&Order::Hold { to, count: 60 });
        let ended = trace.stop();
        assert!(ended.status.success(), "{}", ended.stderr);
        other.finish();
        talk.server.done(&Order::AcceptMany { listener: listener.number, count: 60 });
        talk.server.done(&Order::CloseHeld);
        other.done(&Order::CloseHeld);
    }
}
