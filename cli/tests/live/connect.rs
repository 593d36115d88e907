//! tcpconnect: every connect whose SYN was sent, by whom and to where.

use crate::{
    bed::{
        order::Connect,
        talk::{Over, Talk, is_process},
    },
    begin,
};

fn shows(over: Over) {
    let mut talk = Talk::new("conn-client", "conn-server");
    let listener = talk.listen(over, 0);
    let mut trace = talk.trace(&["tcpconnect"]);
    let connection = talk.whole(over, &listener, 1, 1);
    let event = trace.wait_for("the connect", |event| event.of(connection.client.cookie));
    assert_eq!(event.text("event"), "connect");
    is_process(&event, "process", &talk.client);
    assert_eq!(event.text("process.relation"), "owner");
    assert_eq!(event.text("local.address"), over.client());
    assert_eq!(event.text("remote.address"), over.server());
    assert_eq!(event.number("remote.port"), u64::from(listener.local.port()));
    assert_eq!(event.text("family"), over.family());
    assert_eq!(event.text("socket_family"), over.socket_family());
    assert_eq!(event.number("process.uid"), 0);
    let ended = trace.stop();
    assert_eq!(ended.select(|event| event.of(connection.client.cookie)).len(), 1, "one row for one connect");
    assert_eq!(ended.select(|event| event.of(connection.server.cookie)).len(), 0, "an accept is no connect");
}

#[test]
fn tcpconnect_shows_a_connect_over_ipv4() {
    begin!();
    shows(Over::V4);
}

#[test]
fn tcpconnect_shows_a_connect_over_ipv6() {
    begin!();
    shows(Over::V6);
}

#[test]
fn tcpconnect_shows_a_connect_to_a_v4_mapped_address_as_ipv4() {
    begin!();
    shows(Over::Mapped);
}

#[test]
fn tcpconnect_shows_refused_connects_too() {
    begin!();
    let mut talk = Talk::new("refused", "nobody");
    let mut trace = talk.trace(&["tcpconnect", "-P", "9"]);
    let (errno, _) = talk.client.fail_to_connect(&Connect::to("10.77.0.2:9".parse().unwrap()));
    assert_eq!(errno, 111);
    let pid = u64::from(talk.client.pid);
    let event = trace.wait_for("the connect", |event| event.maybe("process.pid") == Some(pid));
    assert_eq!(event.text("event"), "connect");
    assert_eq!(event.end("remote"), "10.77.0.2:9");
}

#[test]
fn counts_are_printed_at_the_end_per_source_and_destination() {
    begin!();
    let mut talk = Talk::new("count-client", "count-server");
    let [one, two] = [7301, 7302].map(|port| talk.listen(Over::V4, port));
    let trace = talk.trace(&["tcpconnect", "-c", "--netns", &talk.pair.a.inode.to_string()]);
    for (listener, times) in [(one, 3), (two, 1)] {
        for _ in 0..times {
            talk.whole(Over::V4, &listener, 1, 1);
        }
    }
    let ended = trace.stop();
    let counts: Vec<(String, u64)> =
        ended.events.iter().map(|event| (event.end("remote"), event.number("connects"))).collect();
    assert_eq!(counts, [("10.77.0.2:7301".to_owned(), 3), ("10.77.0.2:7302".to_owned(), 1)]);
    assert!(ended.events.iter().all(|event| event.text("event") == "count"));
}
