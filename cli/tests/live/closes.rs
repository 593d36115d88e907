//! How connections end: who began, how, and exactly the bytes that the applications moved, on both sides.

use std::process::Command;

use crate::{
    bed::{
        actor::socket,
        event::Event,
        order::{Connect, Order, Reply},
        skip,
        talk::{Connection, Over, Talk},
        trace::Trace,
    },
    begin,
    life::{bytes, close_of},
    test_name,
};

/// A connection of a fresh pair, seen by tcplife from its start.
struct Scene {
    talk: Talk,
    connection: Connection,
    trace: Trace,
}

impl Scene {
    fn new() -> Self {
        Self::with(|talk, listener| talk.connect(Over::V4, listener))
    }

    fn with(connect: impl FnOnce(&mut Talk, &crate::bed::order::Truth) -> Connection) -> Self {
        let mut talk = Talk::new("end-client", "end-server");
        let listener = talk.listen(Over::V4, 0);
        let trace = talk.trace(&["tcplife"]);
        let connection = connect(&mut talk, &listener);
        Self { talk, connection, trace }
    }

    fn exchange(&mut self, there: u64, back: u64) {
        self.talk.exchange(&self.connection, there, back);
    }

    /// Both ends' last events.
    fn ends(&mut self) -> (Event, Event) {
        let client = close_of(&mut self.trace, self.connection.client.cookie);
        let server = close_of(&mut self.trace, self.connection.server.cookie);
        (client, server)
    }
}

fn ended(event: &Event, initiator: &str, how: &str) {
    let told = (event.text("close.initiator"), event.text("close.how"));
    assert_eq!(told, (initiator, how), "{}", event.json);
}

#[test]
fn the_client_closes_first() {
    begin!();
    let mut scene = Scene::new();
    scene.exchange(3000, 5000);
    scene.talk.close(&scene.connection);
    let (client, server) = scene.ends();
    ended(&client, "local", "fin");
    ended(&server, "remote", "fin");
    bytes(&client, 3000, 5000);
    bytes(&server, 5000, 3000);
}

#[test]
fn the_server_closes_first() {
    begin!();
    let mut scene = Scene::new();
    scene.exchange(3000, 5000);
    scene.talk.server.close(&scene.connection.server);
    assert_eq!(scene.talk.client.drain(&scene.connection.client), 0);
    scene.talk.client.close(&scene.connection.client);
    let (client, server) = scene.ends();
    ended(&client, "remote", "fin");
    ended(&server, "local", "fin");
    bytes(&client, 3000, 5000);
    bytes(&server, 5000, 3000);
}

#[test]
fn a_half_close_lets_the_other_side_go_on() {
    begin!();
    let mut scene = Scene::new();
    let Scene { talk, connection, .. } = &mut scene;
    talk.client.send(&connection.client, 700);
    talk.client.done(&Order::ShutdownWrite { socket: connection.client.number });
    assert_eq!(talk.server.drain(&connection.server), 700);
    talk.server.send(&connection.server, 900);
    talk.server.close(&connection.server);
    assert_eq!(talk.client.drain(&connection.client), 900);
    talk.client.close(&connection.client);
    let (client, server) = scene.ends();
    ended(&client, "local", "fin");
    ended(&server, "remote", "fin");
    bytes(&client, 700, 900);
    bytes(&server, 900, 700);
}

#[test]
fn linger_zero_is_a_reset_by_us() {
    begin!();
    let mut scene = Scene::new();
    scene.exchange(100, 200);
    scene.talk.client.done(&Order::Reset { socket: scene.connection.client.number });
    let (client, server) = scene.ends();
    ended(&client, "local", "rst_sent");
    ended(&server, "remote", "rst_received");
    assert!(client.get("close.errno").is_null());
    assert_eq!(server.text("close.errno_name"), "ECONNRESET");
    bytes(&client, 100, 200);
    bytes(&server, 200, 100);
}

#[test]
fn a_reset_after_the_peers_fin_is_still_begun_by_the_peer() {
    begin!();
    let mut scene = Scene::new();
    scene.exchange(100, 200);
    scene.talk.client.close(&scene.connection.client);
    assert_eq!(scene.talk.server.drain(&scene.connection.server), 0);
    scene.talk.server.done(&Order::Reset { socket: scene.connection.server.number });
    let (client, server) = scene.ends();
    assert_eq!(client.text("close.initiator"), "local");
    ended(&server, "remote", "rst_sent");
    bytes(&server, 200, 100);
}

#[test]
fn unread_data_at_close_is_a_reset_and_counted_as_received() {
    begin!();
    let mut scene = Scene::new();
    scene.exchange(10, 10);
    scene.talk.client.send(&scene.connection.client, 4000);
    // The data is there before the server closes: its receive queue says so.
    let Connection { server, .. } = scene.connection;
    scene.talk.wait_until_received(&server, 4000);
    scene.talk.server.close(&server);
    let (client, server) = scene.ends();
    ended(&server, "local", "rst_sent");
    ended(&client, "remote", "rst_received");
    bytes(&server, 10, 4010);
    assert_eq!(server.number("close.unread"), 4000);
    bytes(&client, 4010, 10);
}

#[test]
fn disconnecting_is_a_reset_by_us() {
    begin!();
    let mut scene = Scene::new();
    scene.exchange(1, 1);
    scene.talk.client.done(&Order::Disconnect { socket: scene.connection.client.number });
    let (client, server) = scene.ends();
    ended(&client, "local", "rst_sent");
    ended(&server, "remote", "rst_received");
}

#[test]
fn data_still_unsent_at_close_is_counted_once_it_went() {
    begin!();
    const BYTES: u64 = 40_000;
    let mut scene = Scene::with(|talk, listener| {
        // A small window at the client keeps most of the data in the server's send queue.
        let how = Connect { receive_buffer: Some(4096), ..Talk::to(Over::V4, listener) };
        let client = socket(talk.client.order(&Order::Connect(how)));
        Connection { over: Over::V4, client, server: talk.server.accept(listener) }
    });
    let Scene { talk, connection, .. } = &mut scene;
    talk.server.done(&Order::SendBuffer { socket: connection.server.number, bytes: 200_000 });
    talk.server.send(&connection.server, BYTES);
    talk.server.close(&connection.server);
    assert_eq!(talk.client.drain(&connection.client), BYTES);
    talk.client.close(&connection.client);
    let (client, server) = scene.ends();
    ended(&server, "local", "fin");
    ended(&client, "remote", "fin");
    bytes(&server, BYTES, 0);
    bytes(&client, 0, BYTES);
}

#[test]
fn megabytes_are_counted_to_the_byte() {
    begin!();
    let mut scene = Scene::new();
    scene.exchange(20_000_001, 7_000_003);
    scene.talk.close(&scene.connection);
    let (client, server) = scene.ends();
    bytes(&client, 20_000_001, 7_000_003);
    bytes(&server, 7_000_003, 20_000_001);
    assert!(client.number("close.data_segs_out") <= client.number("close.segs_out"));
    assert!(client.maybe("close.srtt_us").is_some() && client.maybe("close.min_rtt_us").is_some());
}

#[test]
fn a_peer_that_falls_silent_ends_in_a_timeout_by_the_kernel() {
    begin!();
    let mut scene = Scene::new();
    scene.exchange(5, 5);
    let Scene { talk, connection, .. } = &mut scene;
    let client = connection.client;
    talk.client.done(&Order::UserTimeout { socket: client.number, milliseconds: 1000 });
    // Its packets arrive, and nobody answers.
    talk.pair.b.ip(&["addr", "del", "10.77.0.2/24", "dev", "to_a"]);
    talk.client.send(&client, 50);
    let reply = talk.client.order(&Order::Drain { socket: client.number });
    assert!(matches!(reply, Reply::Bytes { count: 0, errno: Some(110) }), "{reply:?}");
    let event = close_of(&mut scene.trace, client.cookie);
    ended(&event, "kernel", "timeout");
    assert_eq!(event.text("close.errno_name"), "ETIMEDOUT");
    assert_eq!(event.number("close.bytes_sent"), 55);
    assert_eq!(event.number("close.bytes_acked"), 5, "the last 50 never arrived");
}

#[test]
fn what_the_device_refused_is_not_counted_again_for_each_try() {
    begin!();
    let mut scene = Scene::new();
    scene.exchange(5, 5);
    let Scene { talk, connection, trace } = &mut scene;
    let client = connection.client;
    talk.client.done(&Order::UserTimeout { socket: client.number, milliseconds: 1000 });
    talk.pair.b.ip(&["link", "set", "to_a", "down"]);
    talk.client.send(&client, 50);
    let reply = talk.client.order(&Order::Drain { socket: client.number });
    assert!(matches!(reply, Reply::Bytes { count: 0, errno: Some(110 | 113) }), "{reply:?}");
    let event = close_of(trace, client.cookie);
    assert_eq!(event.text("close.initiator"), "kernel");
    // Whether the first try left the host depends on how fast the kernel saw the carrier go.
    assert!([5, 55].contains(&event.number("close.bytes_sent")), "{}", event.json);
    assert_eq!(event.number("close.bytes_acked"), 5);
}

#[test]
fn an_abort_from_outside_is_told_as_one() {
    begin!();
    let mut scene = Scene::new();
    scene.exchange(5, 5);
    let Scene { talk, connection, trace } = &mut scene;
    let port = connection.client.local.port().to_string();
    let kill = || Command::new("ss").args(["-K", "-t", "sport", "=", &port]).output();
    let output = match talk.pair.a.enter(kill) {
        Ok(output) => String::from_utf8_lossy(&output.stdout).into_owned(),
        Err(error) => return skip(test_name!(), &format!("ss: {error}")),
    };
    if !output.contains(&port) {
        return skip(test_name!(), "this kernel lacks CONFIG_INET_DIAG_DESTROY (ss -K did nothing)");
    }
    let event = close_of(trace, connection.client.cookie);
    ended(&event, "kernel", "abort");
    assert_eq!(event.text("close.errno_name"), "ECONNABORTED");
}

#[test]
fn crossing_fins_are_begun_by_both() {
    begin!();
    let mut scene = Scene::new();
    scene.exchange(5, 5);
    let Scene { talk, connection, .. } = &mut scene;
    // Slow enough that each side's FIN is on its way when the other's is sent.
    for (netns, device) in [(&talk.pair.a, "to_b"), (&talk.pair.b, "to_a")] {
        let slow = || {
            Command::new("tc")
                .args(["qdisc", "add", "dev", device, "root", "netem", "delay", "300ms"])
                .output()
        };
        match netns.enter(slow) {
            Ok(output) if output.status.success() => {}
            Ok(output) => {
                let reason = String::from_utf8_lossy(&output.stderr).trim().to_owned();
                return skip(test_name!(), &format!("this kernel lacks netem ({reason})"));
            }
            Err(error) => return skip(test_name!(), &format!("tc: {error}")),
        }
    }
    talk.client.close(&connection.client);
    talk.server.close(&connection.server);
    let (client, server) = scene.ends();
    ended(&client, "both", "fin");
    ended(&server, "both", "fin");
}
