//! tcpstates: every state change of a socket in order, with the time in the old state and the owner.

use crate::{
    bed::{
        event::Event,
        kernel,
        talk::{Over, Talk},
    },
    begin,
};

fn changes(events: &[Event]) -> Vec<String> {
    events.iter().map(|event| format!("{}>{}", event.text("state.old"), event.text("state.new"))).collect()
}

const CLIENT: [&str; 5] = [
    "CLOSE>SYN_SENT",
    "SYN_SENT>ESTABLISHED",
    "ESTABLISHED>FIN_WAIT1",
    "FIN_WAIT1>FIN_WAIT2",
    "FIN_WAIT2>CLOSE",
];
const SERVER: [&str; 4] =
    ["SYN_RECV>ESTABLISHED", "ESTABLISHED>CLOSE_WAIT", "CLOSE_WAIT>LAST_ACK", "LAST_ACK>CLOSE"];

fn all_states(over: Over) {
    let mut talk = Talk::new("states-client", "states-server");
    let mut trace = talk.trace(&["tcpstates"]);
    let listener = talk.listen(over, 0);
    let connection = talk.connect(over, &listener);
    talk.exchange(&connection, 1000, 1000);
    // The client's FIN is answered before the server closes: else it may skip nothing but be in any order.
    talk.close(&connection);
    talk.server.close(&listener);

    let client = trace.wait_for_all("the client's states", 5, |event| event.of(connection.client.cookie));
    assert_eq!(changes(&client), CLIENT);
    let server = trace.wait_for_all("the server's states", 4, |event| {
        event.of(connection.server.cookie) && event.text("state.old") != "LISTEN"
    });
    assert_eq!(changes(&server), SERVER);
    let of_listener = |event: &Event| event.of(listener.cookie) && event.text("state.new") != "SYN_RECV";
    let listening = trace.wait_for_all("the listener's states", 2, of_listener);
    assert_eq!(changes(&listening), ["CLOSE>LISTEN", "LISTEN>CLOSE"]);

    // Before the connection is made the local port may be unknown; the addresses never are.
    for event in &client[1..] {
        connection.is_client(event, &talk);
    }
    for event in &server {
        connection.is_server(event, &talk);
    }
    for (events, actor) in [(&client, &talk.client), (&server, &talk.server), (&listening, &talk.server)] {
        for event in events {
            assert_eq!(event.maybe("process.pid"), Some(u64::from(actor.pid)), "owner in {}", event.json);
            assert_eq!(event.text("process.comm"), actor.comm, "owner in {}", event.json);
        }
    }
    times(&client);
    times(&server);
}

/// The time in a state is the time between the events around it.
fn times(events: &[Event]) {
    for pair in events.windows(2) {
        let between = time_ns(&pair[1]) - time_ns(&pair[0]);
        let told = pair[1].number("state.time_in_old_ns");
        assert!(
            told.abs_diff(between) <= 1_000,
            "{told} ns in the old state, {between} ns between the events"
        );
    }
}

/// The event's time of day in nanoseconds.
pub fn time_ns(event: &Event) -> u64 {
    let time = event.text("time");
    let (_, clock) = time.split_once('T').unwrap_or_else(|| panic!("time in {}", event.json));
    let clock = clock.trim_end_matches('Z');
    let mut parts = clock.splitn(3, ':');
    let mut part = || parts.next().unwrap_or_else(|| panic!("time in {}", event.json));
    let (hours, minutes): (u64, u64) = (part().parse().unwrap(), part().parse().unwrap());
    let (seconds, fraction) = part().split_once('.').unwrap();
    let nanoseconds: u64 = format!("{fraction:0<9}").parse().unwrap();
    ((hours * 60 + minutes) * 60 + seconds.parse::<u64>().unwrap()) * 1_000_000_000 + nanoseconds
}

#[test]
fn tcpstates_shows_every_state_over_ipv4() {
    begin!();
    all_states(Over::V4);
}

#[test]
fn tcpstates_shows_every_state_over_ipv6() {
    begin!();
    all_states(Over::V6);
}

#[test]
fn tcpstates_shows_every_state_of_v4_mapped_sockets() {
    begin!();
    all_states(Over::Mapped);
}

#[test]
fn a_clone_of_a_listener_is_shown_from_its_first_state_on() {
    begin!();
    let mut talk = Talk::new("clone-client", "clone-server");
    let listener = talk.listen(Over::V4, 0);
    let port = listener.local.port();
    let mut trace = talk.trace(&["tcpstates", "-L", &port.to_string()]);
    let connection = talk.connect(Over::V4, &listener);
    let first = trace.wait_for("the first state of the clone", |event| event.text("state.old") == "LISTEN");
    assert_eq!(first.text("state.new"), "SYN_RECV");
    assert_eq!(first.number("local.port"), u64::from(port));
    // Where the kernel does not have peer and cookie yet they are unknown, never wrong.
    let peer = first.maybe("remote.port");
    assert!(peer.is_none_or(|peer| peer == u64::from(connection.client.local.port())), "{}", first.json);
    let cookie = first.maybe("cookie");
    assert!(cookie.is_none_or(|cookie| cookie == connection.server.cookie), "{}", first.json);
    // The reason in BTF, not in a version: 6.16 made both right at once.
    if !kernel::btf_has("btf_trace_tcp_retransmit_synack") {
        panic!("no tracepoints in this kernel's BTF");
    }
}
