//! tcpaccept: every accepted connection, by whom and from where.

use crate::{
    bed::{
        kernel::Requirement,
        talk::{Over, Talk, is_process},
        trace::Trace,
    },
    begin,
};

fn shows(over: Over) {
    let mut talk = Talk::new("acc-client", "acc-server");
    let listener = talk.listen(over, 0);
    let mut trace = Trace::start(&["tcpaccept"]);
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
    let mut trace = Trace::start(&["tcpaccept"]);
    let connection = talk.connect(Over::V4, &listener);
    let event = trace.wait_for("the accept", |event| event.of(connection.server.cookie));
    is_process(&event, "process", &talk.server);
    assert_eq!(event.text("process.relation"), "acceptor");
}
