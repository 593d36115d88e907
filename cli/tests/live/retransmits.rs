//! tcpretrans: what is lost is sent again, and the kernel's own counters say how often.

use std::{net::SocketAddr, time::Duration};

use crate::{
    bed::{
        actor::Actor,
        event::Event,
        netns::{Netns, Pair, address},
        order::{Connect, Order},
        talk::{Over, Talk},
        trace::{Ended, Trace},
        until,
    },
    begin,
};

/// What was sent again, of one type, or of all with "". What could not be sent (its original had not left the host, for
/// example) is told with its errno, and the kernel does not count it.
fn sent<'a>(ended: &'a Ended, kind: &'a str) -> impl Iterator<Item = &'a Event> {
    let went_out = |event: &&Event| event.get("retransmit.errno").is_null();
    let of_kind = move |event: &&Event| kind.is_empty() || event.text("retransmit.type") == kind;
    ended.events.iter().filter(went_out).filter(of_kind)
}

fn segments(ended: &Ended, kind: &str) -> u64 {
    sent(ended, kind).map(|event| event.number("retransmit.segments")).sum()
}

fn count(ended: &Ended, kind: &str) -> u64 {
    sent(ended, kind).count() as u64
}

/// A tool that looks at one namespace.
fn trace(netns: &Netns) -> Trace {
    Trace::start(&["tcpretrans", "--netns", &netns.inode.to_string()])
}

#[test]
fn a_syn_without_an_answer_is_sent_again_as_often_as_the_kernel_counts() {
    begin!();
    for over in Over::ALL {
        let pair = Pair::new();
        // Nobody has it.
        let lost = if over == Over::V6 { "fd77::99" } else { "10.77.0.99" };
        pair.a.lose(lost, "to_b");
        let mut actor = Actor::new("syn-again", &pair.a);
        let mut trace = trace(&pair.a);
        let to = SocketAddr::new(address(lost), 80);
        let give_up_after = Some(Duration::from_millis(3500));
        actor.order(&Order::Connect(Connect {
            give_up_after,
            mapped: over == Over::Mapped,
            ..Connect::to(to)
        }));
        let counted = pair.a.snmp("Tcp", "RetransSegs");
        assert!(counted > 0);
        let times = usize::try_from(counted).unwrap();
        trace.wait_for_all("the SYNs", times, |_| true);
        let ended = trace.stop();
        assert_eq!(ended.events.len(), times, "{:?}", ended.events);
        for (attempt, event) in (1..).zip(&ended.events) {
            assert_eq!(event.text("event"), "retransmit");
            assert_eq!(event.text("retransmit.type"), "syn");
            assert_eq!(event.text("retransmit.state"), "SYN_SENT");
            assert_eq!(event.number("retransmit.attempt"), attempt);
            assert_eq!((event.number("retransmit.segments"), event.number("retransmit.bytes")), (1, 0));
            assert_eq!(event.number("process.pid"), u64::from(actor.pid));
            assert_eq!(event.text("process.comm"), actor.comm);
            assert_eq!(event.end("remote"), to.to_string());
            assert_eq!(event.text("family"), over.family());
        }
    }
}

#[test]
fn a_syn_ack_without_an_answer_is_the_listeners() {
    begin!();
    for over in [Over::V4, Over::V6] {
        let mut talk = Talk::new("asks", "answers");
        let listener = talk.listen(over, 0);
        // The client knows the server's hardware address by now.
        talk.whole(over, &listener, 1, 1);
        talk.pair.b.lose(over.client(), "to_a");
        let mut trace = trace(&talk.pair.b);
        let to = SocketAddr::new(address(over.server()), listener.local.port());
        let give_up_after = Some(Duration::from_millis(3500));
        talk.client.order(&Order::Connect(Connect { give_up_after, ..Connect::to(to) }));
        let counted = talk.pair.b.snmp("Tcp", "RetransSegs");
        assert!(counted > 0);
        trace.wait_for_all("the SYN-ACKs", usize::try_from(counted).unwrap(), |_| true);
        let server = u64::from(talk.server.pid);
        let ended = trace.stop();
        assert!(segments(&ended, "") >= counted, "{:?}", ended.events);
        for event in &ended.events {
            assert_eq!(event.text("retransmit.type"), "syn_ack");
            assert_eq!(event.number("process.pid"), server);
            assert_eq!(event.text("process.relation"), "listener");
            assert_eq!(event.end("local"), to.to_string());
            assert_eq!(event.text("family"), over.family());
            assert!(event.get("retransmit.sequence").is_null());
        }
    }
}

#[test]
fn data_that_is_lost_is_sent_again_segment_by_segment_as_the_kernel_counts() {
    begin!();
    let mut talk = Talk::new("loses", "gets");
    let trace = trace(&talk.pair.a);
    let listener = talk.listen(Over::V4, 0);
    let connection = talk.connect(Over::V4, &listener);
    // A round-trip time is known, and the window is open.
    talk.client.send(&connection.client, 100_000);
    talk.server.receive(&connection.server, 100_000);
    let (client, server) = (connection.client, connection.server);
    // Until the timer has run out three times: probes, timeouts.
    talk.pair.a.lose("10.77.0.2", "to_b");
    talk.client.send(&client, 50_000);
    let timers = until(Duration::from_secs(20), || (talk.pair.a.tcp_ext("TCPTimeouts") >= 3).then_some(()));
    assert!(timers.is_some(), "no timeout");
    talk.pair.a.find("10.77.0.2", "to_b");
    talk.server.receive(&server, 50_000);
    // Lost in the middle: what comes behind it tells of it.
    const BULK: u64 = 64 << 20;
    talk.server.start(&Order::Receive { socket: server.number, bytes: BULK });
    talk.client.start(&Order::Send { socket: client.number, bytes: BULK });
    for _ in 0..3 {
        std::thread::sleep(Duration::from_millis(20));
        talk.pair.a.lose("10.77.0.2", "to_b");
        talk.pair.a.find("10.77.0.2", "to_b");
    }
    talk.client.finish();
    talk.server.finish();
    let counted = talk.pair.a.snmp("Tcp", "RetransSegs");
    let counts = ["TCPTimeouts", "TCPFastRetrans", "TCPSlowStartRetrans", "TCPLossProbes"]
        .map(|name| talk.pair.a.tcp_ext(name));
    // The last has to come through, too: it is told of in order.
    std::thread::sleep(Duration::from_millis(300));
    let ended = trace.stop();
    let told = (
        segments(&ended, ""),
        count(&ended, "rto"),
        segments(&ended, "fast"),
        segments(&ended, "loss_recovery"),
    );
    let failed: Vec<&str> =
        ended.events.iter().filter_map(|event| event.get("retransmit.errno_name").as_str()).collect();
    println!(
        "{} events, {failed:?}; kernel: {counted} segments, {counts:?}; told: {told:?}",
        ended.events.len()
    );
    let [timeouts, fast, slow_start, probes] = counts;
    assert_eq!(told, (counted, timeouts, fast, slow_start));
    assert!(count(&ended, "tlp") <= probes);
    assert_eq!(count(&ended, "other"), 0);
    let rto: Vec<&Event> =
        ended.events.iter().filter(|event| event.text("retransmit.type") == "rto").collect();
    for (attempt, event) in (1..=3).zip(&rto) {
        assert_eq!(event.number("retransmit.attempt"), attempt);
        assert_eq!(event.text("retransmit.congestion_state"), "loss");
        assert!(event.number("retransmit.bytes") > 0);
        assert_eq!(event.number("process.pid"), u64::from(talk.client.pid));
        assert_eq!(event.text("retransmit.state"), "ESTABLISHED");
    }
}
