//! tcptracer and tcpconnlat: connects, accepts and closes in one stream; how long connects took.

use std::time::Duration;

use crate::{
    bed::{
        event::Event,
        talk::{Over, Talk, is_process},
    },
    begin,
};

fn one_stream(over: Over) {
    let mut talk = Talk::new("trc-client", "trc-server");
    let listener = talk.listen(over, 0);
    let mut trace = talk.trace(&["tcptracer"]);
    let connection = talk.whole(over, &listener, 10, 10);
    let client = trace.wait_for_all("the client's", 2, |event| event.of(connection.client.cookie));
    let server = trace.wait_for_all("the server's", 2, |event| event.of(connection.server.cookie));
    let names =
        |events: &[Event]| events.iter().map(|event| event.text("event").to_owned()).collect::<Vec<_>>();
    assert_eq!(names(&client), ["connect", "close"]);
    assert_eq!(names(&server), ["accept", "close"]);
    for event in &client {
        connection.is_client(event, &talk);
        is_process(event, "process", &talk.client);
    }
    for event in &server {
        connection.is_server(event, &talk);
        is_process(event, "process", &talk.server);
    }
    let ended = trace.stop();
    let ours = |event: &Event| event.of(connection.client.cookie) || event.of(connection.server.cookie);
    assert_eq!(ended.select(ours).len(), 4, "nothing twice");
}

#[test]
fn tcptracer_shows_connect_accept_and_close_over_ipv4() {
    begin!();
    one_stream(Over::V4);
}

#[test]
fn tcptracer_shows_connect_accept_and_close_over_ipv6() {
    begin!();
    one_stream(Over::V6);
}

#[test]
fn tcptracer_shows_v4_mapped_connections_as_ipv4() {
    begin!();
    one_stream(Over::Mapped);
}

fn latency(over: Over) {
    let mut talk = Talk::new("lat-client", "lat-server");
    let listener = talk.listen(over, 0);
    let mut trace = talk.trace(&["tcpconnlat"]);
    let connection = talk.whole(over, &listener, 1, 1);
    let event = trace.wait_for("the connect", |event| event.of(connection.client.cookie));
    assert_eq!(event.text("event"), "established");
    connection.is_client(&event, &talk);
    is_process(&event, "process", &talk.client);
    let told = Duration::from_nanos(event.number("connect.latency_ns"));
    assert!(told <= connection.client.took, "{told:?} told, {:?} measured", connection.client.took);
    assert!(told > Duration::ZERO);
    let ended = trace.stop();
    assert_eq!(ended.select(|event| event.of(connection.client.cookie)).len(), 1);
    assert!(ended.select(|event| event.of(connection.server.cookie)).is_empty());
}

#[test]
fn tcpconnlat_measures_over_ipv4() {
    begin!();
    latency(Over::V4);
}

#[test]
fn tcpconnlat_measures_over_ipv6() {
    begin!();
    latency(Over::V6);
}

#[test]
fn tcpconnlat_measures_v4_mapped_connects() {
    begin!();
    latency(Over::Mapped);
}

#[test]
fn tcpconnlat_shows_only_what_took_at_least_as_long_as_asked() {
    begin!();
    let mut talk = Talk::new("slow-client", "slow-server");
    let listener = talk.listen(Over::V4, 0);
    let mut all = talk.trace(&["tcpconnlat"]);
    let slow = talk.trace(&["tcpconnlat", "10000"]);
    let connection = talk.whole(Over::V4, &listener, 1, 1);
    all.wait_for("the connect", |event| event.of(connection.client.cookie));
    let ended = slow.stop();
    assert!(ended.select(|event| event.of(connection.client.cookie)).is_empty());
}
