//! What an agent knows of single sockets: `sockeye sockets`, with what the kernel counted so far, and the times of the
//! handshake and of the accept queue.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::{
    agent::Agent,
    bed::{
        PATIENCE,
        actor::socket,
        kernel::{self, Requirement},
        order::{Order, Truth},
        talk::{Connection, Over, Talk},
        until,
    },
    begin,
};

/// The sockets of a talk's two namespaces.
fn sockets(agent: &Agent, talk: &Talk) -> Vec<Value> {
    let [a, b] = [&talk.pair.a, &talk.pair.b].map(|netns| netns.inode.to_string());
    let arguments = ["-o", "json", "--netns", &a, "--netns", &b];
    let output = agent.client("sockets", &arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The row of a socket, which must be one.
fn row(rows: &[Value], socket: &Truth) -> Value {
    let mut rows = rows.iter().filter(|row| row["cookie"] == socket.cookie);
    let found = rows.next().unwrap_or_else(|| panic!("no row of {socket:?}"));
    assert_eq!(rows.next(), None, "two rows of {socket:?}");
    found.clone()
}

/// The row of a connection's end, once its last byte is acknowledged: it must have sent and received just this.
fn counted(agent: &Agent, talk: &Talk, socket: &Truth, sent: u64, received: u64) -> Value {
    let mut last = Value::Null;
    let settled = until(PATIENCE, || {
        last = row(&sockets(agent, talk), socket);
        (last["bytes_acked"] == sent).then_some(())
    });
    assert!(settled.is_some(), "{sent} bytes were acknowledged: {last}");
    assert_eq!((&last["bytes_sent"], &last["bytes_received"]), (&sent.into(), &received.into()), "{last}");
    assert_eq!((&last["state"], &last["unsent"]), (&"ESTABLISHED".into(), &0.into()), "{last}");
    assert!(last["data_segs_out"].as_u64().unwrap() > 0 && last["srtt_us"].is_u64(), "{last}");
    assert!(last["queue"].is_null() && last["limit"].is_null(), "a listener's alone: {last}");
    last
}

#[test]
fn connections_that_are_still_open_have_sent_and_received_exactly_so_much() {
    begin!();
    let mut talk = Talk::new("list-client", "list-server");
    let megabytes = [3_333_333, 2_222_222];
    let connections = |talk: &mut Talk| {
        [Over::V4, Over::V6].map(|over| {
            let listener = talk.listen(over, 0);
            let connection = talk.connect(over, &listener);
            talk.exchange(&connection, megabytes[0], megabytes[1]);
            connection
        })
    };
    let older = connections(&mut talk);
    // Programs are attached at its start, and here long enough that what comes now is seen from its beginning.
    let agent = Agent::start(&["--history-size", "off", "--detach-delay", "600s"]);
    let newer = connections(&mut talk);
    for (connection, is_new) in
        older.iter().map(|one| (one, false)).chain(newer.iter().map(|one| (one, true)))
    {
        let client = counted(&agent, &talk, &connection.client, megabytes[0], megabytes[1]);
        let server = counted(&agent, &talk, &connection.server, megabytes[1], megabytes[0]);
        for (row, role) in [(client, "client"), (server, "server")] {
            assert_eq!(row["age_ns"].is_u64(), is_new, "{row}");
            assert_eq!(row["role"], if is_new { role } else { "unknown" }, "{row}");
        }
    }
    // What the process has not read is told, too.
    talk.client.send(&newer[0].client, 1000);
    talk.wait_until_received(&newer[0].server, 1000);
    let server = row(&sockets(&agent, &talk), &newer[0].server);
    assert_eq!((&server["unread"], &server["bytes_received"]), (&1000.into(), &3_334_333.into()), "{server}");
}

#[test]
fn the_handshake_and_the_wait_in_the_queue_come_through_the_agent() {
    begin!();
    let mut talk = Talk::new("wait-client", "wait-server");
    let agent = Agent::start(&["--history-size", "off"]);
    let listener = talk.listen(Over::V4, 0);
    let netns = [&talk.pair.a, &talk.pair.b].map(|netns| netns.inode.to_string()).join(",");
    let observer = agent.observe(&["--netns", &netns, "--kind", "established,accept"]);
    let begin = Instant::now();
    let client = socket(talk.client.order(&Order::Connect(Talk::to(Over::V4, &listener))));
    std::thread::sleep(Duration::from_millis(250));
    let server = talk.server.accept(&listener);
    let longest = begin.elapsed();
    talk.exchange(&Connection { over: Over::V4, client, server }, 1, 1);
    let events = observer.stop();
    let of = |socket: &Truth| row(&events, socket);
    let connect = of(&client)["connect"].clone();
    let (rtt, latency) =
        (connect["handshake_rtt_ns"].as_u64().unwrap(), connect["latency_ns"].as_u64().unwrap());
    assert!(0 < rtt && rtt <= latency, "{connect}");
    let waited = &of(&server)["accept"]["queue_time_ns"];
    if kernel::lacks(Requirement::Fexit).is_some() {
        return assert!(waited.is_null(), "accept() is not seen here: {waited}");
    }
    let waited = Duration::from_nanos(waited.as_u64().unwrap());
    assert!(waited >= Duration::from_millis(200) && waited <= longest, "{waited:?} of {longest:?}");
}

#[test]
fn a_listener_has_its_queue_and_no_counters() {
    begin!();
    let mut talk = Talk::new("queue-client", "queue-server");
    let listener = talk.listen(Over::V4, 0);
    let clients: Vec<Truth> =
        (0..3).map(|_| socket(talk.client.order(&Order::Connect(Talk::to(Over::V4, &listener))))).collect();
    let agent = Agent::start(&["--history-size", "off"]);
    let rows = sockets(&agent, &talk);
    let found = row(&rows, &listener);
    assert_eq!((&found["queue"], &found["limit"]), (&3.into(), &64.into()), "{found}");
    for counter in ["bytes_sent", "bytes_acked", "bytes_received", "segs_out", "srtt_us", "cwnd", "unread"] {
        assert!(found[counter].is_null(), "{counter} of {found}");
    }
    for client in &clients {
        assert_eq!(row(&rows, client)["bytes_sent"], 0);
    }
}
