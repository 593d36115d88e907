//! The JSON lines, exactly; docs/json.md describes them.

use std::time::Duration;

use agent_common::event::{Event, EventKind, FailureCause, TcpState};

use super::Json;
use crate::{args::Options, fixture, render::Render as _, tool::Tool, view::Row};

fn line(tool: Tool, name: &'static str, event: &Event) -> String {
    let row = Row { event, name, process: event.process.as_ref(), query: None };
    let mut out = Vec::new();
    Json::new(tool, &Options::default()).row(&row, &mut out);
    let text = String::from_utf8(out).unwrap();
    let line = text.strip_suffix('\n').unwrap().to_owned();
    assert!(!line.contains('\n'));
    serde_json::from_str::<serde_json::Value>(&line).unwrap();
    line
}

const HEAD: &str = r#""cpu":1,"cookie":4099,"netns":4026531840,"cgroup_id":7312,"identity_source":"socket_cgroup","family":"ipv4","socket_family":"ipv4","role":"client","local":{"address":"10.0.0.1","port":45678},"remote":{"address":"10.0.0.2","port":443},"#;
const CURL: &str = r#"{"pid":1234,"tid":1234,"uid":1000,"comm":"curl","mntns":4026531841,"start_time":"2026-03-01T13:03:04.123456789Z","relation":"owner"}"#;
const TAIL: &str = r#""start_unknown":false,"gap":false,"repaired":false,"synthetic":false}"#;
const TIME: &str = "2026-03-01T13:03:09.123456789Z";

#[test]
fn a_state_change() {
    assert_eq!(
        line(Tool::Tcpstates, "state_change", &fixture::state(TcpState::SynSent, TcpState::Established)),
        format!(
            r#"{{"time":"{TIME}","tool":"tcpstates","event":"state_change",{HEAD}"process":{CURL},"state":{{"old":"SYN_SENT","new":"ESTABLISHED","time_in_old_ns":2345678}},{TAIL}"#
        )
    );
}

#[test]
fn a_connect_and_its_ends() {
    let mut established = fixture::event(&[EventKind::Established]);
    established.connect_latency = Some(Duration::from_micros(350));
    established.syn_retransmits = Some(1);
    assert_eq!(
        line(Tool::Tcpconnlat, "established", &established),
        format!(
            r#"{{"time":"{TIME}","tool":"tcpconnlat","event":"established",{HEAD}"process":{CURL},"connect":{{"latency_ns":350000,"handshake_rtt_ns":null,"syn_retransmits":1}},{TAIL}"#
        )
    );
    assert_eq!(
        line(Tool::Tcpconnect, "connect_failed", &fixture::failed(FailureCause::TimedOut, 3_000_000)),
        format!(
            r#"{{"time":"{TIME}","tool":"tcpconnect","event":"connect_failed",{HEAD}"process":{CURL},"failure":{{"cause":"timed_out","errno":110,"errno_name":"ETIMEDOUT","elapsed_ns":3000000000,"syns_sent":3}},{TAIL}"#
        )
    );
}

#[test]
fn an_accept_has_its_processes_and_the_queue() {
    let mut accept = fixture::event(&[EventKind::Accept]);
    accept.backlog = Some((2, 128));
    accept.queue_time = Some(Duration::from_micros(90));
    accept.owner = accept.process;
    assert_eq!(
        line(Tool::Tcpaccept, "accept", &accept),
        format!(
            r#"{{"time":"{TIME}","tool":"tcpaccept","event":"accept",{HEAD}"process":{CURL},"owner":{CURL},"user":null,"accept":{{"queue":2,"limit":128,"queue_time_ns":90000}},{TAIL}"#
        )
    );
    accept.backlog = None;
    accept.queue_time = None;
    assert!(
        line(Tool::Tcpaccept, "accept", &accept)
            .contains(r#""accept":{"queue":null,"limit":null,"queue_time_ns":null}"#)
    );
}

#[test]
fn a_close_has_exact_payload_and_raw_counters() {
    assert_eq!(
        line(Tool::Tcplife, "close", &fixture::close()),
        format!(
            r#"{{"time":"{TIME}","tool":"tcplife","event":"close",{HEAD}"process":{CURL},"owner":{CURL},"user":null,"state":{{"old":"FIN_WAIT2","new":"CLOSE","time_in_old_ns":2345678}},"connect":{{"latency_ns":350000,"handshake_rtt_ns":null,"syn_retransmits":null}},"close":{{"duration_ns":12344999,"initiator":"local","how":"fin","errno":null,"errno_name":null,"bytes_sent":3000,"bytes_acked":3000,"bytes_received":5000,"segs_in":9,"segs_out":10,"data_segs_in":4,"data_segs_out":5,"retransmits":1,"srtt_us":412,"min_rtt_us":301,"cwnd":10,"unsent":0,"unacked":0,"unread":0}},{TAIL}"#
        )
    );
}

#[test]
fn what_is_unknown_is_null_and_never_0() {
    let text = line(Tool::Tcplife, "close", &fixture::unknown(fixture::close()));
    for part in [
        r#""cookie":null,"netns":null,"cgroup_id":null,"identity_source":"unknown""#,
        r#""role":"unknown","local":{"address":null,"port":null},"remote":null,"process":null"#,
        r#""close":{"duration_ns":null,"initiator":"unknown","how":"unknown","errno":null,"errno_name":null,"bytes_sent":null,"#,
        r#""segs_in":null"#,
        r#""start_unknown":true"#,
    ] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    let mut unmeasured = fixture::close();
    let counters = unmeasured.counters.as_mut().unwrap();
    counters.srtt_us = 0;
    counters.min_rtt_us = u32::MAX;
    assert!(line(Tool::Tcplife, "close", &unmeasured).contains(r#""srtt_us":null,"min_rtt_us":null"#));
}

#[test]
fn a_name_that_is_not_utf8_comes_in_hexadecimal_too() {
    let mut event = fixture::close();
    event.process = Some(fixture::process_of_bytes(7, b"a\x1b\"\xff"));
    let text = line(Tool::Tcplife, "close", &event);
    assert!(text.contains("\"comm\":\"a\\u001b\\\"\u{fffd}\",\"comm_hex\":\"611b22ff\""), "{text}");
    event.process = Some(fixture::process(7, "früh"));
    let text = line(Tool::Tcplife, "close", &event);
    assert!(text.contains("\"comm\":\"früh\",\"mntns\""), "{text}");
}

#[test]
fn the_destinations_name_is_there_only_with_dns() {
    let event = fixture::event(&[EventKind::Connect]);
    let with_dns = |query| {
        let row = Row { event: &event, name: "connect", process: None, query };
        let mut out = Vec::new();
        Json::new(Tool::Tcpconnect, &Options { dns: true, ..Options::default() }).row(&row, &mut out);
        String::from_utf8(out).unwrap()
    };
    assert!(!line(Tool::Tcpconnect, "connect", &event).contains("query"));
    assert!(with_dns(Some(b"db.example".as_slice())).contains(r#""query":"db.example""#));
    assert!(with_dns(None).contains(r#""query":null"#));
}

#[test]
fn ipv6_and_v4_mapped_are_told_apart() {
    let text = line(Tool::Tcpconnect, "connect", &fixture::over_v6(fixture::event(&[EventKind::Connect])));
    assert!(text.contains(
        r#""family":"ipv6","socket_family":"ipv6","role":"client","local":{"address":"2001:db8::1","port":45678}"#
    ));
    let mut mapped = fixture::event(&[EventKind::Connect]);
    mapped.socket_v6 = true;
    assert!(line(Tool::Tcpconnect, "connect", &mapped).contains(r#""family":"ipv4","socket_family":"ipv6""#));
}

#[test]
fn every_key_is_documented() {
    fn keys(value: &serde_json::Value, found: &mut Vec<String>) {
        if let Some(object) = value.as_object() {
            for (key, value) in object {
                found.push(key.clone());
                keys(value, found);
            }
        }
    }
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/json.md");
    let page = std::fs::read_to_string(page).unwrap();
    let mut hostile = fixture::close();
    hostile.process = Some(fixture::process_of_bytes(7, b"\xff"));
    let mut accept = fixture::event(&[EventKind::Accept, EventKind::Established]);
    accept.backlog = Some((2, 128));
    let mut found = Vec::new();
    for event in [hostile, accept, fixture::failed(FailureCause::Refused, 1)] {
        keys(&serde_json::from_str(&line(Tool::Tcplife, "close", &event)).unwrap(), &mut found);
    }
    assert!(found.len() > 60);
    for key in found {
        assert!(page.contains(&format!("`{key}`")), "{key} is not in docs/json.md");
    }
}
