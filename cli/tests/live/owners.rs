//! Whose socket it is: right in softirq, across fork, descriptor passing and threads, and for processes that
//! are gone before anybody could look them up.

use crate::{
    bed::{
        PATIENCE,
        actor::{Actor, socket},
        event::Event,
        kernel::{Requirement, lacks},
        order::{Connect, Order, Reply},
        scratch,
        talk::{Over, Talk, is_process},
        until,
    },
    begin,
    life::close_of,
};

/// What the owner of an accepted socket is called: who accepted it, where that can be seen.
fn acceptor() -> &'static str {
    if lacks(Requirement::Fexit).is_none() { "acceptor" } else { "listener" }
}

#[test]
fn after_a_fork_acceptor_and_user_are_kept_apart() {
    begin!(Requirement::SendReceiveTracepoints);
    let mut talk = Talk::new("fork-client", "inetd");
    let listener = talk.listen(Over::V4, 0);
    let mut trace = talk.trace(&["tcplife"]);
    let connection = talk.connect(Over::V4, &listener);
    let reply = talk.server.order(&Order::GiveToChild {
        socket: connection.server.number,
        comm: "worker".to_owned(),
        receive: 100,
        send: 200,
    });
    let Reply::Child { pid } = reply else { panic!("{reply:?}") };
    talk.client.send(&connection.client, 100);
    talk.client.receive(&connection.client, 200);
    assert_eq!(talk.client.drain(&connection.client), 0);
    talk.client.close(&connection.client);
    let event = close_of(&mut trace, connection.server.cookie);
    assert_eq!(event.number("user.pid"), u64::from(pid), "{}", event.json);
    assert_eq!(event.text("user.comm"), "worker");
    assert_eq!(event.text("user.relation"), "user");
    is_process(&event, "owner", &talk.server);
    assert_eq!(event.text("owner.relation"), acceptor());
    assert_eq!(event.number("process.pid"), u64::from(pid), "the user is shown");
}

#[test]
fn a_passed_descriptor_has_its_receiver_as_user() {
    begin!(Requirement::SendReceiveTracepoints);
    let mut talk = Talk::new("pass-client", "pass-server");
    let listener = talk.listen(Over::V4, 0);
    let mut heir = Actor::new("heir", &talk.pair.b);
    let mut trace = talk.trace(&["tcplife"]);
    let connection = talk.connect(Over::V4, &listener);
    let path = scratch("pass");
    heir.start(&Order::TakePassed { path: path.clone() });
    talk.server.done(&Order::Pass { socket: connection.server.number, path });
    let passed = socket(heir.finish());
    assert_eq!(passed.cookie, connection.server.cookie);
    heir.send(&passed, 50);
    talk.client.receive(&connection.client, 50);
    heir.close(&passed);
    assert_eq!(talk.client.drain(&connection.client), 0);
    talk.client.close(&connection.client);
    let event = close_of(&mut trace, connection.server.cookie);
    is_process(&event, "user", &heir);
    is_process(&event, "owner", &talk.server);
}

#[test]
fn a_connect_in_a_thread_names_the_process_and_the_thread() {
    begin!();
    let mut talk = Talk::new("threads", "thread-server");
    let listener = talk.listen(Over::V4, 0);
    let mut trace = talk.trace(&["tcpconnect"]);
    let connect = Connect { in_thread: Some("resolver-7".to_owned()), ..Talk::to(Over::V4, &listener) };
    let truth = socket(talk.client.order(&Order::Connect(connect)));
    let event = trace.wait_for("the connect", |event| event.of(truth.cookie));
    assert_eq!(event.number("process.pid"), u64::from(talk.client.pid));
    assert_eq!(event.number("process.tid"), u64::from(truth.tid));
    assert_eq!(event.text("process.comm"), "resolver-7");
    assert_ne!(truth.tid, talk.client.pid);
}

#[test]
fn an_accept_without_a_read_or_write_has_its_owner() {
    begin!();
    let mut talk = Talk::new("quiet-client", "quiet-server");
    let listener = talk.listen(Over::V4, 0);
    let mut trace = talk.trace(&["tcplife"]);
    let connection = talk.connect(Over::V4, &listener);
    talk.server.close(&connection.server);
    talk.client.close(&connection.client);
    let event = close_of(&mut trace, connection.server.cookie);
    is_process(&event, "process", &talk.server);
    assert_eq!((event.text("close.initiator"), event.text("close.how")), ("local", "fin"));
}

#[test]
fn every_accept_is_told_once_even_if_nothing_was_read() {
    begin!();
    let mut talk = Talk::new("shut-client", "shut-server");
    let listener = talk.listen(Over::V4, 0);
    let mut trace = talk.trace(&["tcpaccept"]);
    let connection = talk.connect(Over::V4, &listener);
    talk.server.close(&connection.server);
    talk.client.close(&connection.client);
    let event = trace.wait_for("the accept", |event| event.of(connection.server.cookie));
    is_process(&event, "process", &talk.server);
    let second = talk.whole(Over::V4, &listener, 10, 10);
    trace.wait_for("the next accept", |event| event.of(second.server.cookie));
    let ended = trace.stop();
    for cookie in [connection.server.cookie, second.server.cookie] {
        assert_eq!(ended.select(|event| event.of(cookie)).len(), 1, "each accept once");
    }
}

#[test]
fn a_connection_that_nobody_accepts_is_no_accept() {
    begin!();
    let mut talk = Talk::new("lonely-client", "never-accepts");
    let listener = talk.listen(Over::V4, 0);
    let mut trace = talk.trace(&["tcptracer"]);
    let waiting = talk.client.connect(format!("10.77.0.2:{}", listener.local.port()).parse().unwrap());
    talk.client.close(&waiting);
    talk.server.close(&listener);
    trace.wait_for("the client's close", |event| event.text("event") == "close" && event.of(waiting.cookie));
    let ended = trace.stop();
    let accepts = ended.select(|event| {
        event.text("event") == "accept" && event.maybe("netns") == Some(u64::from(talk.pair.b.inode))
    });
    assert!(accepts.is_empty(), "{accepts:?}");
}

#[test]
fn the_server_that_closes_first_is_named_in_every_state() {
    begin!();
    let mut talk = Talk::new("patient", "hasty");
    let listener = talk.listen(Over::V4, 0);
    let mut trace = talk.trace(&["tcpstates", "-L", &listener.local.port().to_string()]);
    let connection = talk.connect(Over::V4, &listener);
    talk.exchange(&connection, 10, 10);
    talk.server.close(&connection.server);
    assert_eq!(talk.client.drain(&connection.client), 0);
    talk.client.close(&connection.client);
    let events = trace.wait_for_all("the server's states", 4, |event| {
        event.of(connection.server.cookie) && event.text("state.old") != "LISTEN"
    });
    let states: Vec<&str> = events.iter().map(|event| event.text("state.new")).collect();
    assert_eq!(states, ["ESTABLISHED", "FIN_WAIT1", "FIN_WAIT2", "CLOSE"]);
    for event in &events {
        is_process(event, "process", &talk.server);
    }
}

#[test]
fn a_process_that_is_gone_at_once_is_named() {
    begin!();
    let mut talk = Talk::new("-", "survivor");
    let listener = talk.listen(Over::V4, 0);
    let mut trace = talk.trace(&["tcplife"]);
    for round in 0..5 {
        let mut mayfly = Actor::new(&format!("mayfly-{round}"), &talk.pair.a);
        let (pid, comm) = (u64::from(mayfly.pid), mayfly.comm.clone());
        let truth = socket(mayfly.order(&Order::Connect(Talk::to(Over::V4, &listener))));
        let server = talk.server.accept(&listener);
        drop(mayfly);
        assert_eq!(talk.server.drain(&server), 0);
        talk.server.close(&server);
        let event = close_of(&mut trace, truth.cookie);
        assert_eq!((event.number("process.pid"), event.text("process.comm")), (pid, comm.as_str()));
    }
}

#[test]
fn the_user_id_is_the_one_of_the_process() {
    begin!();
    let mut talk = Talk::new("someone", "root-server");
    let listener = talk.listen(Over::V4, 0);
    talk.client.done(&Order::Uid(4242));
    let mut trace = talk.trace(&["tcplife", "-u", "4242"]);
    let connection = talk.whole(Over::V4, &listener, 1, 1);
    let event = close_of(&mut trace, connection.client.cookie);
    assert_eq!(event.number("process.uid"), 4242);
    let ended = trace.stop();
    assert!(ended.select(|event| event.of(connection.server.cookie)).is_empty(), "the server is root");
}

#[test]
fn an_accept_that_already_slept_is_found_by_its_first_use() {
    begin!();
    let mut talk = Talk::new("waker", "sleeper");
    let listener = talk.listen(Over::V4, 0);
    talk.server.start(&Order::Accept { listener: listener.number });
    sleeps_in_accept(&talk.server);
    let mut trace = talk.trace(&["tcpaccept"]);
    let client = socket(talk.client.order(&Order::Connect(Talk::to(Over::V4, &listener))));
    let server = socket(talk.server.finish());
    talk.client.send(&client, 3);
    talk.server.receive(&server, 3);
    let event: Event = trace.wait_for("the accept", |event| event.of(server.cookie));
    is_process(&event, "process", &talk.server);
}

/// Waits until a thread of the process waits for a connection.
fn sleeps_in_accept(actor: &Actor) {
    let sleeps = || {
        std::fs::read_dir(format!("/proc/{}/task", actor.pid)).unwrap().flatten().find_map(|task| {
            let wait = std::fs::read_to_string(task.path().join("wchan")).unwrap_or_default();
            let status = std::fs::read_to_string(task.path().join("stat")).unwrap_or_default();
            let sleeping = status.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('S'));
            // Without CONFIG_KALLSYMS there is no name to see; then sleeping must do.
            (sleeping && (wait.contains("accept") || wait == "0" || wait.is_empty())).then_some(())
        })
    };
    assert!(until(PATIENCE, sleeps).is_some(), "accept() does not sleep");
}
