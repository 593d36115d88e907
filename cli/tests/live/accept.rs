//! tcpaccept: every accepted connection, by whom and from where.

use std::time::{Duration, Instant};

use crate::{
    bed::{
        actor::socket,
        kernel::{self, Requirement},
        order::Order,
        talk::{Over, Talk, is_process},
    },
    begin,
};

fn shows(over: Over) {
    let mut talk = Talk::new("acc-client", "acc-server");
    let listener = talk.listen(over, 0);
    let mut trace = talk.trace(&["tcpaccept"]);
    let connection = talk.whole(over, &listener, 1, 1);
    let event = trace.wait_for("the accept", |event| event.of(connection.server.cookie));
    assert_eq!(event.text("event"), "accept");
    connection.is_server(&event, &talk);
    is_process(&event, "process", &talk.server);
    let ended = trace.stop();
    assert_eq!(ended.select(|event| event.of(connection.server.cookie)).len(), 1, "one row for one accept");
    assert_eq!(ended.select(|event| event.of(connection.client.cookie)).len(), 0, "a connect is no accept");
}

#[test]
fn tcpaccept_shows_an_accept_over_ipv4() {
    begin!();
    shows(Over::V4);
}

#[test]
fn tcpaccept_shows_an_accept_over_ipv6() {
    begin!();
    shows(Over::V6);
}

#[test]
fn tcpaccept_shows_an_accept_from_a_v4_mapped_address_as_ipv4() {
    begin!();
    shows(Over::Mapped);
}

#[test]
fn the_acceptor_is_known_before_it_reads_anything() {
    begin!(Requirement::Fexit);
    let mut talk = Talk::new("idle-client", "idle-server");
    let listener = talk.listen(Over::V4, 0);
    let mut trace = talk.trace(&["tcpaccept"]);
    let connection = talk.connect(Over::V4, &listener);
    let event = trace.wait_for("the accept", |event| event.of(connection.server.cookie));
    is_process(&event, "process", &talk.server);
    assert_eq!(event.text("process.relation"), "acceptor");
}

#[test]
fn an_accept_tells_how_long_the_queue_was_when_its_connection_came() {
    begin!();
    let mut talk = Talk::new("queue-client", "queue-server");
    let listener = talk.listen(Over::V4, 0);
    let mut trace = talk.trace(&["tcpaccept"]);
    let clients: Vec<_> =
        (0..3).map(|_| talk.client.order(&Order::Connect(Talk::to(Over::V4, &listener)))).collect();
    let clients: Vec<_> = clients.into_iter().map(socket).collect();
    for (waiting, client) in clients.iter().enumerate() {
        let server = talk.server.accept(&listener);
        talk.client.send(client, 1);
        talk.server.receive(&server, 1);
        let event = trace.wait_for("the accept", |event| event.of(server.cookie));
        assert_eq!(event.number("accept.queue"), waiting as u64, "{}", event.json);
        assert_eq!(event.number("accept.limit"), 64, "{}", event.json);
    }
}

#[test]
fn an_accept_tells_how_long_its_connection_waited_in_the_queue() {
    begin!();
    let mut talk = Talk::new("late-client", "late-server");
    let listener = talk.listen(Over::V4, 0);
    let mut trace = talk.trace(&["tcpaccept"]);
    let begin = Instant::now();
    let client = socket(talk.client.order(&Order::Connect(Talk::to(Over::V4, &listener))));
    // The server is late: no condition to wait for, the time itself is what is tested.
    std::thread::sleep(Duration::from_millis(250));
    let server = talk.server.accept(&listener);
    let longest = begin.elapsed();
    talk.client.send(&client, 1);
    talk.server.receive(&server, 1);
    let event = trace.wait_for("the accept", |event| event.of(server.cookie));
    if kernel::lacks(Requirement::Fexit).is_some() {
        assert!(event.get("accept.queue_time_ns").is_null(), "accept() is not seen here: {}", event.json);
        return;
    }
    let waited = Duration::from_nanos(event.number("accept.queue_time_ns"));
    assert!(waited >= Duration::from_millis(200) && waited <= longest, "{waited:?} of {longest:?}");
}
