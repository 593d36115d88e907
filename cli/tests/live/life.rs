//! tcplife: every connection is one row, with its owner, its time and its bytes.

use crate::{
    bed::{
        event::Event,
        talk::{Connection, Over, Talk, is_process},
        trace::Trace,
    },
    begin,
};

/// The close of one end.
pub fn close_of(trace: &mut Trace, cookie: u64) -> Event {
    trace.wait_for("the close", |event| event.text("event") == "close" && event.of(cookie))
}

fn whole_life(over: Over) {
    let mut talk = Talk::new("life-client", "life-server");
    let listener = talk.listen(over, 0);
    let mut trace = talk.trace(&["tcplife"]);
    let connection = talk.whole(over, &listener, 10_000, 20_000);
    let client = close_of(&mut trace, connection.client.cookie);
    let server = close_of(&mut trace, connection.server.cookie);
    connection.is_client(&client, &talk);
    connection.is_server(&server, &talk);
    is_process(&client, "process", &talk.client);
    is_process(&client, "owner", &talk.client);
    assert_eq!(client.text("owner.relation"), "owner");
    is_process(&server, "process", &talk.server);
    is_process(&server, "owner", &talk.server);
    assert!(["acceptor", "listener"].contains(&server.text("owner.relation")), "{}", server.json);
    bytes(&client, 10_000, 20_000);
    bytes(&server, 20_000, 10_000);
    assert_eq!((client.text("close.initiator"), client.text("close.how")), ("local", "fin"));
    assert_eq!((server.text("close.initiator"), server.text("close.how")), ("remote", "fin"));
    once(trace, &connection);
}

/// Payload that went and came.
pub fn bytes(event: &Event, sent: u64, received: u64) {
    assert_eq!(event.number("close.bytes_sent"), sent, "sent in {}", event.json);
    assert_eq!(event.number("close.bytes_acked"), sent, "acked in {}", event.json);
    assert_eq!(event.number("close.bytes_received"), received, "received in {}", event.json);
}

/// Each end has one row in all.
fn once(trace: Trace, connection: &Connection) {
    let ended = trace.stop();
    for cookie in [connection.client.cookie, connection.server.cookie] {
        assert_eq!(ended.select(|event| event.of(cookie)).len(), 1, "one row for one end");
    }
}

#[test]
fn tcplife_shows_both_ends_over_ipv4() {
    begin!();
    whole_life(Over::V4);
}

#[test]
fn tcplife_shows_both_ends_over_ipv6() {
    begin!();
    whole_life(Over::V6);
}

#[test]
fn tcplife_shows_v4_mapped_connections_as_ipv4() {
    begin!();
    whole_life(Over::Mapped);
}

#[test]
fn the_duration_lies_between_what_both_processes_measured() {
    begin!();
    let mut talk = Talk::new("time-client", "time-server");
    let listener = talk.listen(Over::V4, 0);
    let mut trace = talk.trace(&["tcplife"]);
    let outer = std::time::Instant::now();
    let connection = talk.connect(Over::V4, &listener);
    let inner = std::time::Instant::now();
    talk.exchange(&connection, 1, 1);
    std::thread::sleep(std::time::Duration::from_millis(120));
    let inner = inner.elapsed();
    talk.close(&connection);
    let outer = outer.elapsed();
    for cookie in [connection.client.cookie, connection.server.cookie] {
        let duration = u128::from(close_of(&mut trace, cookie).number("close.duration_ns"));
        assert!(inner.as_nanos() <= duration, "{inner:?} <= {duration} ns");
        assert!(duration <= outer.as_nanos(), "{duration} ns <= {outer:?}");
    }
}
