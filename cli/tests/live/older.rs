//! Sockets that are older than the tool: owner and state are found, what was not seen is marked and unknown.

use crate::{
    bed::{
        actor::Actor,
        cgroup::Cgroup,
        event::Event,
        talk::{Over, Talk, is_process},
        trace::Trace,
    },
    begin,
    life::{bytes, close_of},
};

#[test]
fn an_older_connection_has_its_owner_and_no_invented_duration() {
    begin!();
    let mut talk = Talk::new("old-client", "old-server");
    for over in Over::ALL {
        let listener = talk.listen(over, 0);
        let connection = talk.connect(over, &listener);
        talk.exchange(&connection, 1234, 567);
        let mut trace = talk.trace(&["tcplife"]);
        talk.close(&connection);
        for (truth, netns, actor, sent, received) in [
            (&connection.client, talk.pair.a.inode, &talk.client, 1234, 567),
            (&connection.server, talk.pair.b.inode, &talk.server, 567, 1234),
        ] {
            let event = close_of(&mut trace, truth.cookie);
            is_process(&event, "process", actor);
            assert!(event.is("start_unknown"), "{}", event.json);
            assert!(event.get("close.duration_ns").is_null(), "{}", event.json);
            assert!(!event.is("synthetic") && !event.is("gap"), "{}", event.json);
            assert_eq!(event.number("netns"), u64::from(netns));
            bytes(&event, sent, received);
        }
        let client = close_of(&mut trace, connection.client.cookie);
        assert_eq!((client.text("close.initiator"), client.text("close.how")), ("local", "fin"));
        let server = close_of(&mut trace, connection.server.cookie);
        assert_eq!((server.text("close.initiator"), server.text("close.how")), ("remote", "fin"));
    }
}

#[test]
fn the_time_in_the_state_that_nobody_saw_begin_is_unknown_and_the_next_is_known() {
    begin!();
    let mut talk = Talk::new("ms-client", "ms-server");
    let listener = talk.listen(Over::V4, 0);
    let connection = talk.connect(Over::V4, &listener);
    let mut trace = talk.trace(&["tcpstates"]);
    talk.close(&connection);
    let events = trace.wait_for_all("the last states", 3, |event| event.of(connection.client.cookie));
    assert!(events[0].get("state.time_in_old_ns").is_null(), "{}", events[0].json);
    assert!(events[0].is("start_unknown"));
    for event in &events[1..] {
        assert!(event.maybe("state.time_in_old_ns").is_some(), "{}", event.json);
    }
    for event in &events {
        is_process(event, "process", &talk.client);
    }
}

#[test]
fn the_snapshot_itself_is_no_event() {
    begin!();
    let mut talk = Talk::new("still-client", "still-server");
    let listener = talk.listen(Over::V4, 0);
    let quiet = talk.connect(Over::V4, &listener);
    let mut trace = talk.trace(&["tcpstates"]);
    let marker = talk.whole(Over::V4, &listener, 1, 1);
    trace
        .wait_for("the marker", |event| event.of(marker.client.cookie) && event.text("state.new") == "CLOSE");
    let ended = trace.stop();
    let of_quiet = |event: &Event| event.of(quiet.client.cookie) || event.of(quiet.server.cookie);
    assert!(ended.select(of_quiet).is_empty());
    assert!(ended.select(|event| event.is("synthetic")).is_empty());
}

#[test]
fn a_connection_from_an_older_listener_has_the_listeners_owner_and_a_known_start() {
    begin!();
    let mut talk = Talk::new("new-client", "old-listener");
    let listener = talk.listen(Over::V4, 0);
    let mut trace = talk.trace(&["tcplife"]);
    let connection = talk.connect(Over::V4, &listener);
    // Nobody reads or writes on the server's side, and the client resets: only the listener is known.
    talk.client.done(&crate::bed::order::Order::Reset { socket: connection.client.number });
    let event = close_of(&mut trace, connection.server.cookie);
    is_process(&event, "process", &talk.server);
    assert!(!event.is("start_unknown"), "{}", event.json);
    assert!(event.maybe("close.duration_ns").is_some());
}

#[test]
fn a_connection_in_an_older_accept_queue_is_found_and_its_accept_is_not_made_up() {
    begin!();
    let mut talk = Talk::new("queue-client", "queue-server");
    let listener = talk.listen(Over::V4, 0);
    let client = talk.client.connect(format!("10.77.0.2:{}", listener.local.port()).parse().unwrap());
    let mut trace = talk.trace(&["tcplife"]);
    let server = talk.server.accept(&listener);
    talk.client.close(&client);
    assert_eq!(talk.server.drain(&server), 0);
    talk.server.close(&server);
    let event = close_of(&mut trace, server.cookie);
    assert!(event.is("start_unknown"), "{}", event.json);
    is_process(&event, "process", &talk.server);
}

#[test]
fn filters_hold_for_older_sockets() {
    begin!();
    let mut talk = Talk::new("f-client", "f-server");
    let listener = talk.listen(Over::V4, 0);
    let cgroup = Cgroup::new("older");
    let mut inside = Actor::in_cgroup("f-inside", &talk.pair.a, Some(&cgroup));
    let to = format!("10.77.0.2:{}", listener.local.port()).parse().unwrap();
    let pid = inside.pid.to_string();
    for filter in [["--cgroup", cgroup.path.to_str().unwrap()], ["-p", &pid]] {
        let (wanted, unwanted) = (inside.connect(to), talk.client.connect(to));
        let arguments = [&["tcplife"], filter.as_slice()].concat();
        let mut trace = Trace::start(&arguments);
        talk.client.close(&unwanted);
        inside.close(&wanted);
        // One side's close does not end a connection: the server must close, too.
        for _ in 0..2 {
            let server = talk.server.accept(&listener);
            talk.server.close(&server);
        }
        close_of(&mut trace, wanted.cookie);
        let ended = trace.stop();
        assert!(ended.select(|event| event.of(unwanted.cookie)).is_empty(), "{filter:?}");
    }
}
