//! The client's verbs, as their users run them: the built program against a server that says what the test wrote down.

#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a test that panics fails")]

use std::{
    io::Write as _,
    os::unix::process::CommandExt as _,
    process::{Command, Output, Stdio},
};

use proto::v1::{
    ConnectFailed, ConnectFailureCause, Event, EventBatch, EventKind, GetServerStatusResponse, Health,
    Identity, ListSocketsResponse, LossStage, LostEvents, ObserveResponse, Process, Role, Socket,
    SocketAddress, SocketEntry, TcpState, ToolStatus, WatchStatus, event::Detail, observe_response::Payload,
};
use tonic::Status;

#[expect(dead_code, reason = "it is the unit tests' too, and they use more of it")]
#[path = "../src/client/fake.rs"]
mod fake;

use fake::{Fake, Served, Step};

fn sockeye(served: &Served, words: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sockeye"));
    command.args(words.split_whitespace()).arg("--server").arg(format!("unix://{}", served.path.display()));
    command.env("TZ", "UTC").env_remove("KUBECONFIG");
    command
}

fn run(served: &Served, words: &str) -> (String, String, Option<i32>) {
    told(&sockeye(served, words).output().unwrap())
}

fn told(output: &Output) -> (String, String, Option<i32>) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (text(&output.stdout), text(&output.stderr), output.status.code())
}

fn address(ip: &str, port: Option<u32>) -> Option<SocketAddress> {
    Some(SocketAddress { ip: ip.to_owned(), port })
}

fn identity() -> Identity {
    Identity {
        namespace: "shop".to_owned(),
        pod: "cart-7d9f-x2p".to_owned(),
        container: "app".to_owned(),
        ..Identity::default()
    }
}

fn socket() -> Socket {
    Socket {
        cookie: Some(4099),
        local: address("10.0.3.7", Some(41_822)),
        remote: address("10.0.9.9", Some(5432)),
        role: Role::Client.into(),
        state: TcpState::CloseWait.into(),
        ..Socket::default()
    }
}

fn event() -> Event {
    let failed = ConnectFailed {
        cause: ConnectFailureCause::Refused.into(),
        error_number: Some(111),
        elapsed: Some(prost_types::Duration { seconds: 0, nanos: 400_000 }),
        syns_sent: Some(1),
    };
    Event {
        time: Some(prost_types::Timestamp { seconds: 1_772_370_189, nanos: 123_456_789 }),
        kind: EventKind::ConnectFailed.into(),
        socket: Some(socket()),
        process: Some(Process { pid: 7, comm: "curl".to_owned(), ..Process::default() }),
        local: Some(identity()),
        detail: Some(Detail::ConnectFailed(failed)),
        ..Event::default()
    }
}

fn say(payload: Payload) -> Step {
    Step::Say(Box::new(ObserveResponse { node_name: "b".to_owned(), time: None, payload: Some(payload) }))
}

fn events(count: usize) -> Step {
    say(Payload::Events(EventBatch { events: vec![event(); count], resume_token: b"t".to_vec() }))
}

const LINE: &str = "13:03:09.123  shop/cart-7d9f-x2p:app  CONNECT FAILED  10.0.3.7:41822 → 10.0.9.9:5432  \
                    refused after 0.4 ms, 1 SYN\n";

#[test]
fn events_go_to_stdout_and_all_else_to_stderr() {
    let lost = LostEvents {
        stage: LossStage::SubscriberQueue.into(),
        count: Some(12),
        remedy: "queue-size".to_owned(),
        ..LostEvents::default()
    };
    let fake = Fake::new([vec![events(2), say(Payload::Lost(lost))]]);
    let served = fake.serve("cli-observe");
    let (out, err, code) = run(&served, "observe --last 20");
    assert_eq!(out, LINE.repeat(2));
    assert_eq!(
        err,
        "node b: 12 events lost in this subscription's queue: it is read too slowly; raise queue-size\n"
    );
    assert_eq!(code, Some(0));
    let requests = fake.requests.lock().unwrap();
    assert_eq!(requests[0].last, Some(20));
    assert!(requests[0].allow.is_empty());
}

#[test]
fn filters_reach_the_server() {
    let fake = Fake::new([vec![events(1)]]);
    let served = fake.serve("cli-filters");
    run(&served, "observe --last 1 -n shop --pod cart -k drop,retransmit --not --port 53");
    let requests = fake.requests.lock().unwrap();
    assert_eq!(requests[0].allow[0].namespaces, ["shop"]);
    assert_eq!(requests[0].allow[0].pods, ["cart*"]);
    assert_eq!(requests[0].deny[0].ports, [53]);
    assert_eq!(requests[0].kinds, [i32::from(EventKind::Retransmit), i32::from(EventKind::Drop)]);
}

#[test]
fn what_is_saved_is_shown_again() {
    let served = Fake::new([vec![events(2)]]).serve("cli-replay");
    let (saved, _, _) = run(&served, "observe --last 20 -o jsonpb");
    assert_eq!(saved.lines().count(), 2);
    let replay = |words: &str, input: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sockeye"));
        command.args(["observe", "--input-file", "-"]).args(words.split_whitespace()).env("TZ", "UTC");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        told(&child.wait_with_output().unwrap())
    };
    assert_eq!(replay("", &saved), (LINE.repeat(2), String::new(), Some(0)));
    assert_eq!(replay("--max-events 1", &saved), (LINE.to_owned(), String::new(), Some(0)));
    assert_eq!(replay("-o jsonpb", &saved).0, saved, "again and again");
    let (out, err, code) = replay("", &format!("{saved}\nnot json\n"));
    assert_eq!((out.as_str(), code), (LINE.repeat(2).as_str(), Some(1)));
    assert!(err.starts_with("error: --input-file: line 4 is no event as -o jsonpb writes it:"), "{err}");
}

#[test]
fn a_reader_that_goes_away_ends_it_quietly() {
    // It follows: without the reader's end it would run for ever.
    let endless: Vec<Step> = (0..2000).map(|_| events(50)).chain([Step::Hang]).collect();
    let served = Fake::new([endless]).serve("cli-head");
    let mut child =
        sockeye(&served, "observe -f").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut reader = std::io::BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    std::io::BufRead::read_line(&mut reader, &mut line).unwrap();
    assert_eq!(line, LINE);
    drop(reader);
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), b"".as_slice()));
}

#[test]
fn a_refusal_is_one_line_and_the_exit_code_says_whose_fault_it_is() {
    let wrong = Status::invalid_argument("allow[0].label_selector: \"a==\" has no value");
    let served = Fake::new([vec![Step::Fail(wrong)]]).serve("cli-wrong");
    let (out, err, code) = run(&served, "observe -l a==");
    assert_eq!(out, "");
    assert_eq!(err, "error: allow[0].label_selector: \"a==\" has no value\n");
    assert_eq!(code, Some(64));
    let denied = Status::permission_denied("you may not get pods in namespace shop");
    let served = Fake::new([vec![Step::Fail(denied)]]).serve("cli-denied");
    let (_, err, code) = run(&served, "observe -n shop");
    assert_eq!(err, "error: you may not get pods in namespace shop\n");
    assert_eq!(code, Some(1));
    let nowhere = Command::new(env!("CARGO_BIN_EXE_sockeye"))
        .args(["observe", "--server", "unix:///nonexistent/s"])
        .output()
        .unwrap();
    let (_, err, code) = told(&nowhere);
    assert_eq!(err, "error: /nonexistent/s: there is no such socket: no agent runs here\n");
    assert_eq!(code, Some(1));
}

#[test]
fn the_variable_names_the_server_too() {
    let served = Fake::new([vec![events(1)]]).serve("cli-variable");
    let mut command = Command::new(env!("CARGO_BIN_EXE_sockeye"));
    command.args(["observe", "--last", "1"]).env("SOCKEYE_SERVER", format!("unix:{}", served.path.display()));
    assert_eq!(told(&command.env("TZ", "UTC").output().unwrap()), (LINE.to_owned(), String::new(), Some(0)));
}

fn with_status(tools: Vec<ToolStatus>) -> Fake {
    let status = GetServerStatusResponse {
        version: "0.1.0".to_owned(),
        node_name: "b".to_owned(),
        kernel_release: "6.12.107".to_owned(),
        architecture: "x86_64".to_owned(),
        uptime: Some(prost_types::Duration { seconds: 11_100, nanos: 0 }),
        tools,
        watch: Some(WatchStatus { synced: true, pods: 110, ..WatchStatus::default() }),
        events_per_second: 1520.25,
        ..GetServerStatusResponse::default()
    };
    Fake { status, ..Fake::default() }
}

fn tool(name: &str, health: Health, reasons: &[&str]) -> ToolStatus {
    let reasons = reasons.iter().map(|reason| (*reason).to_owned()).collect();
    ToolStatus { tool: name.to_owned(), health: health.into(), reasons }
}

#[test]
fn status_is_one_screen_and_its_exit_code_says_how_bad_it_is() {
    let healthy = with_status(vec![tool("tcplife", Health::Ok, &[])]).serve("cli-healthy");
    let (out, err, code) = run(&healthy, "status");
    assert_eq!(
        out,
        "\
node        b
health      healthy
sockeye     0.1.0, up 3h05m
kernel      6.12.107 x86_64
pods        110 known, in step with the API server
events      1520.2 a second in the last minute
tools       tcplife     ok
programs    none attached: nobody is subscribed
subscribers none
"
    );
    assert_eq!((err.as_str(), code), ("", Some(0)));
    let degraded =
        with_status(vec![tool("tcpaccept", Health::Degraded, &["no fexit"])]).serve("cli-degraded");
    let (out, _, code) = run(&degraded, "status");
    assert!(
        out.contains("health      degraded\n")
            && out.contains("tools       tcpaccept   degraded  no fexit\n")
    );
    assert_eq!(code, Some(1));
    // What an installation's test asks: whether all answer.
    assert_eq!(run(&degraded, "status --accept-degraded").2, Some(0));
    let (out, _, code) = run(&degraded, "status -o json");
    let json: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(json["health"], "degraded");
    assert_eq!(json["nodes"][0]["message"], "tcpaccept degraded: no fexit");
    assert_eq!(json["nodes"][0]["status"]["watch"]["pods"], "110");
    assert_eq!(code, Some(1));
    let nowhere = Command::new(env!("CARGO_BIN_EXE_sockeye"))
        .args(["status", "--accept-degraded", "--server", "unix:///nonexistent/s"])
        .output()
        .unwrap();
    let (out, err, code) = told(&nowhere);
    assert_eq!(out, "");
    assert_eq!(err, "warning: /nonexistent/s: /nonexistent/s: there is no such socket: no agent runs here\n");
    assert_eq!(code, Some(2));
}

#[test]
fn nodes_of_an_agent_is_that_agent() {
    let served = with_status(vec![]).serve("cli-nodes");
    let (out, _, code) = run(&served, "nodes");
    assert_eq!(
        out,
        "\
NODE                 STATE       VERSION  POD                        MESSAGE
b                    connected   0.1.0    -                          -
"
    );
    assert_eq!(code, Some(0));
    let (out, _, _) = run(&served, "nodes -o json");
    assert_eq!(
        out,
        "{\"node\":\"b\",\"state\":\"connected\",\"version\":\"0.1.0\",\"pod\":null,\"message\":null}\n"
    );
}

#[test]
fn sockets_are_a_row_each() {
    let entry = SocketEntry {
        socket: Some(socket()),
        local: Some(identity()),
        age: Some(prost_types::Duration { seconds: 723, nanos: 0 }),
        ..SocketEntry::default()
    };
    let mut established = entry.clone();
    established.socket.as_mut().unwrap().state = TcpState::Established.into();
    let sockets = vec![ListSocketsResponse { sockets: vec![entry, established] }];
    let served = Fake { sockets, ..Fake::default() }.serve("cli-sockets");
    let (out, err, code) = run(&served, "sockets --state close-wait");
    assert_eq!(
        out,
        "\
POD                    STATE       LOCAL              REMOTE             AGE
shop/cart-7d9f-x2p:app CLOSE_WAIT  10.0.3.7:41822     10.0.9.9:5432      12m03s
"
    );
    assert_eq!((err.as_str(), code), ("", Some(0)));
    let (out, _, _) = run(&served, "sockets -o json");
    assert_eq!(out.lines().count(), 2);
    let json: serde_json::Value = serde_json::from_str(out.lines().next().unwrap()).unwrap();
    assert_eq!((&json["state"], &json["age_ns"]), (&"CLOSE_WAIT".into(), &723_000_000_000u64.into()));
}

#[test]
fn where_no_server_answers_there_is_no_table() {
    let command = "sockets --server unix:///nowhere/agent.sock".split(' ');
    let (out, err, code) = told(&Command::new(env!("CARGO_BIN_EXE_sockeye")).args(command).output().unwrap());
    assert_eq!((out.as_str(), code), ("", Some(1)));
    assert!(err.starts_with("error: ") && err.lines().count() == 1, "{err}");
}

#[test]
fn as_a_plugin_it_is_called_kubectl_sockeye() {
    let plugin = |words: &[&str]| {
        told(
            &Command::new(env!("CARGO_BIN_EXE_sockeye"))
                .arg0("/usr/bin/kubectl-sockeye")
                .args(words)
                .output()
                .unwrap(),
        )
    };
    let (out, _, code) = plugin(&["observe", "--help"]);
    assert!(out.contains("Usage: kubectl sockeye observe [OPTIONS]"), "{out}");
    assert_eq!(code, Some(0));
    let (_, err, code) = plugin(&["observ"]);
    assert_eq!(
        err,
        "error: no command \"observ\"; did you mean observe? (kubectl sockeye --help lists them)\n"
    );
    assert_eq!(code, Some(64));
    // It goes to the cluster, whatever runs on this machine.
    let (_, err, code) = plugin(&["observe", "--kubeconfig", "/nonexistent/config"]);
    assert!(err.starts_with("error: --kubeconfig: /nonexistent/config: "), "{err}");
    assert_eq!((err.lines().count(), code), (1, Some(64)));
}

#[test]
fn the_request_can_be_looked_at() {
    let output = Command::new(env!("CARGO_BIN_EXE_sockeye"))
        .args(["observe", "-n", "shop", "--last", "3", "--print-request"])
        .output()
        .unwrap();
    assert_eq!(told(&output).0, "{\"allow\":[{\"namespaces\":[\"shop\"]}],\"last\":\"3\"}\n");
}

#[test]
fn completions_know_the_verbs_and_the_filters() {
    for shell in ["bash", "zsh", "fish"] {
        let output =
            Command::new(env!("CARGO_BIN_EXE_sockeye")).args(["completion", shell]).output().unwrap();
        let (script, _, code) = told(&output);
        assert_eq!(code, Some(0));
        for word in ["observe", "sockets", "nodes", "status", "from-pod", "retransmit-type", "kubeconfig"] {
            assert!(script.contains(word), "{shell}: {word}");
        }
    }
}

#[test]
fn mistakes_are_one_line_and_exit_code_64() {
    for (words, said) in [
        ("observe --kind dorp", "--kind: no kind of event \"dorp\"; did you mean drop?"),
        ("observe --state establish", "--state: no state \"establish\"; did you mean established?"),
        (
            "observe --server db",
            "--server: \"db\" is no server; write it as unix:///path, host:port or [::1]:port",
        ),
        ("observe --last 1 --first 2", "--last and --first exclude each other"),
        ("observe --not", "--not: there is no filter behind it to negate; write it as --not --port 53"),
        (
            "observe --namespce x",
            "no option --namespce; did you mean --namespace? (sockeye observe --help lists them)",
        ),
        ("observe -o yaml", "-o: no \"yaml\"; there are compact, table, wide, json, jsonpb, dict, bcc"),
        ("sockets --kind drop", "no option --kind; did you mean --uid? (sockeye sockets --help lists them)"),
        ("nodes extra", "\"extra\" is one argument too many (sockeye nodes --help says more)"),
        (
            "observe --input-file /nonexistent/f",
            "--input-file: /nonexistent/f: No such file or directory (os error 2)",
        ),
        (
            "observe --server a:1 --tls-ca /nonexistent/ca",
            "--tls-ca: /nonexistent/ca: No such file or directory (os error 2)",
        ),
    ] {
        let output =
            Command::new(env!("CARGO_BIN_EXE_sockeye")).args(words.split_whitespace()).output().unwrap();
        let (out, err, code) = told(&output);
        assert_eq!((out.as_str(), code), ("", Some(64)), "{words}: {err}");
        assert_eq!(
            err.trim_end().strip_prefix("error: ").unwrap_or(&err).replace("--output", "-o"),
            said,
            "{words}"
        );
    }
}
