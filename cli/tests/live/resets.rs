//! tcpreset: RSTs with who sent them and why, and the errors that sockets were told of.

use std::net::SocketAddr;

use crate::{
    bed::{
        event::Event,
        kernel::{self, Requirement, lacks},
        netns::address,
        order::{Connect, Order},
        talk::{Over, Talk},
    },
    begin,
};

/// Whether the running kernel says why it sends a RST; one that does tells of those without a socket, too.
fn has_reasons() -> bool {
    kernel::btf_has("sk_rst_reason")
}

fn is_reset(event: &Event, direction: &str) -> bool {
    event.text("event") == "reset" && event.text("reset.direction") == direction
}

#[test]
fn a_refused_connect_is_a_reset_of_nobody_and_an_error_of_the_client() {
    begin!();
    for over in Over::ALL {
        let mut talk = Talk::new("asks", "is-not-there");
        let mut trace = talk.trace(&["tcpreset"]);
        let to = SocketAddr::new(address(over.server()), 9);
        let how = Connect { mapped: over == Over::Mapped, ..Connect::to(to) };
        let (errno, _) = talk.client.fail_to_connect(&how);
        assert_eq!(errno, 111);
        let client = u64::from(talk.client.pid);
        let error = trace.wait_for("the error", |event| event.text("event") == "socket_error");
        assert_eq!(error.number("error.errno"), 111);
        assert_eq!(error.text("error.errno_name"), "ECONNREFUSED");
        assert!(!error.is("error.soft"));
        assert_eq!(error.number("process.pid"), client);
        let received = trace.wait_for("the RST that came", |event| is_reset(event, "receive"));
        assert_eq!(received.text("reset.state"), "SYN_SENT");
        assert_eq!(received.number("process.pid"), client);
        assert_eq!(received.end("remote"), to.to_string());
        assert_eq!(received.text("family"), over.family());
        let has_packets = has_reasons() && lacks(Requirement::ProbeReads).is_none();
        if has_packets {
            let sent = trace.wait_for("the RST that was sent", |event| is_reset(event, "transmit"));
            assert_eq!(sent.end("local"), to.to_string());
            assert_eq!(sent.end("remote"), received.end("local"));
            assert_eq!(sent.number("netns"), u64::from(talk.pair.b.inode));
            assert!(sent.get("process").is_null(), "nobody's: {}", sent.json);
            assert_eq!(sent.text("reset.reason"), "NO_SOCKET");
        }
        let ended = trace.stop();
        let sent = ended.select(|event| is_reset(event, "transmit")).len();
        if has_packets {
            assert_eq!(sent as u64, talk.pair.b.snmp("Tcp", "OutRsts"), "{:?}", ended.events);
        }
    }
}

#[test]
fn an_abort_is_a_reset_of_its_process_and_an_error_of_the_peer() {
    begin!();
    for over in Over::ALL {
        let mut talk = Talk::new("aborts", "is-told");
        let listener = talk.listen(over, 0);
        let connection = talk.connect(over, &listener);
        let mut trace = talk.trace(&["tcpreset"]);
        talk.client.done(&Order::Reset { socket: connection.client.number });
        let sent = trace.wait_for("the RST that was sent", |event| is_reset(event, "transmit"));
        assert_eq!(sent.number("process.pid"), u64::from(talk.client.pid));
        assert_eq!(sent.maybe("remote.port"), Some(u64::from(listener.local.port())));
        assert_eq!(sent.get("reset.reason").is_string(), has_reasons(), "{}", sent.json);
        let received = trace.wait_for("the RST that came", |event| is_reset(event, "receive"));
        assert_eq!(received.number("process.pid"), u64::from(talk.server.pid));
        assert_eq!(received.text("reset.state"), "ESTABLISHED");
        assert!(received.get("reset.reason").is_null(), "nobody says it to the other side");
        let server = |event: &Event| event.maybe("process.pid") == Some(u64::from(talk.server.pid));
        let error =
            trace.wait_for("the error", |event| event.text("event") == "socket_error" && server(event));
        assert_eq!(error.number("error.errno"), 104);
        let ended = trace.stop();
        assert_eq!(ended.select(|event| is_reset(event, "transmit")).len(), 1, "{:?}", ended.events);
        assert_eq!(ended.select(|event| is_reset(event, "receive")).len(), 1, "{:?}", ended.events);
    }
}
