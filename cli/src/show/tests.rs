//! Every output of observe, exactly.

use jiff::tz::TimeZone;
use proto::v1::{
    Accept, Direction, Drop, Established, Event, EventKind, Identity, PortExhausted, Reset, SocketError,
    StateChange, TcpState, event::Detail,
};

use super::{
    Item, Show, bcc::Bcc, compact::Compact, dict::Dict, fixture, json::Json, jsonpb::Jsonpb, table::Table,
};
use crate::{args::TimeFormat, clock::Clock, tool::Tool};

fn clock(format: TimeFormat) -> Clock {
    Clock::in_zone(format, TimeZone::UTC)
}

fn item(event: Event) -> Item {
    Item { node: "a".into(), time: Some(fixture::TIME), event }
}

fn shown(show: &mut dyn Show, events: Vec<Event>) -> String {
    let mut out = Vec::new();
    show.header(&mut out);
    for event in events {
        show.event(&item(event), &mut out);
    }
    show.finish(&mut out);
    String::from_utf8(out).unwrap()
}

fn compact(event: Event) -> String {
    shown(&mut Compact::new(clock(TimeFormat::ClockMs), false), vec![event])
}

/// What of a compact line is about the event.
fn told(kind: EventKind, detail: Detail) -> String {
    let line = compact(fixture::event(kind, detail));
    line.trim_end().strip_prefix("13:03:09.123  shop/cart-7d9f-x2p:app  ").unwrap().to_owned()
}

#[test]
fn compact_is_one_readable_line() {
    assert_eq!(
        compact(fixture::timed_out()),
        "13:03:09.123  shop/cart-7d9f-x2p:app  CONNECT FAILED  10.0.3.7 → shop/db-0:5432  timed out after 3.1 s, 3 SYNs\n"
    );
    assert_eq!(
        compact(fixture::retransmit()),
        "13:03:09.123  shop/cart-7d9f-x2p:app  RETRANSMIT RTO  10.0.3.7:41822 → 10.0.9.2:443  2 segments, 2.8 KiB, attempt 2\n"
    );
    assert_eq!(
        compact(fixture::close()),
        "13:03:09.123  shop/cart-7d9f-x2p:app  CLOSE  10.0.3.7:41822 → 10.0.9.2:443  41.2 s  tx 12.1 KiB rx 88 KiB  by us, rtt 0.4 ms\n"
    );
}

#[test]
fn each_kind_says_what_it_knows() {
    let ends = "10.0.3.7:41822 → 10.0.9.2:443";
    let established =
        Established { latency: fixture::us(400), handshake_rtt: None, syn_retransmits: Some(1) };
    assert_eq!(
        told(EventKind::Established, Detail::Established(established)),
        format!("CONNECTED  {ends}  in 0.4 ms, 1 SYN sent again")
    );
    let accept = Accept { queue_time: fixture::us(90), queue_length: Some(3), queue_limit: Some(128) };
    assert_eq!(
        told(EventKind::Accept, Detail::Accept(accept)),
        format!("ACCEPT  {ends}  waited 90 µs, queue 3 of 128")
    );
    let change = StateChange {
        old_state: TcpState::SynSent.into(),
        new_state: TcpState::Established.into(),
        time_in_old_state: None,
    };
    assert_eq!(
        told(EventKind::StateChange, Detail::StateChange(change)),
        format!("STATE  {ends}  SYN_SENT → ESTABLISHED")
    );
    let drop = Drop {
        reason: "NETFILTER_DROP".to_owned(),
        direction: Direction::Receive.into(),
        tcp_flags: Some(0x12),
        length: Some(60),
        interface: "eth0".to_owned(),
        ..Drop::default()
    };
    assert_eq!(
        told(EventKind::Drop, Detail::Drop(drop)),
        format!("DROP  {ends}  NETFILTER_DROP, received, 60 B, SYN ACK, eth0")
    );
    let reset = Reset { direction: Direction::Transmit.into(), reason: String::new() };
    assert_eq!(told(EventKind::Reset, Detail::Reset(reset)), format!("RESET  {ends}  sent"));
    let error = SocketError { error_number: 111, soft: false };
    assert_eq!(
        told(EventKind::SocketError, Detail::SocketError(error)),
        format!("SOCKET ERROR  {ends}  ECONNREFUSED")
    );
    let exhausted = PortExhausted { range_first: Some(32768), range_last: Some(60999), used: None };
    assert_eq!(
        told(EventKind::PortExhausted, Detail::PortExhausted(exhausted)),
        format!("NO PORT LEFT  {ends}  range 32768-60999")
    );
}

#[test]
fn nothing_known_is_nothing_claimed() {
    assert_eq!(compact(Event::default()), "00:00:00.000  -  ?  -\n");
    let mut host = fixture::retransmit();
    host.local = Some(Identity { host: true, ..Identity::default() });
    assert!(compact(host).contains("  host:curl[1234]  "));
    let mut pending = fixture::retransmit();
    pending.local = Some(Identity {
        pod_uid: "0d1b".to_owned(),
        container_id: "0123456789abcdef".to_owned(),
        metadata_pending: true,
        ..Identity::default()
    });
    assert!(compact(pending).contains("  pod/0d1b:0123456789ab  "));
}

#[test]
fn colour_is_for_trouble_and_only_where_it_is_wanted() {
    let mut coloured = Compact::new(clock(TimeFormat::ClockMs), true);
    assert!(shown(&mut coloured, vec![fixture::timed_out()]).contains("\x1b[31mCONNECT FAILED\x1b[0m"));
    assert!(!shown(&mut coloured, vec![fixture::close()]).contains('\x1b'));
    assert!(!compact(fixture::timed_out()).contains('\x1b'));
}

#[test]
fn table_fits_eighty_characters() {
    let events = || vec![fixture::timed_out(), fixture::retransmit(), fixture::close()];
    let text = shown(&mut Table::narrow(clock(TimeFormat::Clock), false), events());
    assert_eq!(
        text,
        "\
TIME     POD                 EVENT          PEER                INFO
13:03:09 shop/cart-7d9f-x2p… CONNECT FAILED shop/db-0:5432      timed out after…
13:03:09 shop/cart-7d9f-x2p… RETRANSMIT RTO 10.0.9.2:443        2 segments, 2.8…
13:03:09 shop/cart-7d9f-x2p… CLOSE          10.0.9.2:443        41.2 s  tx 12.1…
"
    );
    assert!(text.lines().all(|line| line.chars().count() <= 80));
}

#[test]
fn wide_has_every_column() {
    let text = shown(&mut Table::wide(clock(TimeFormat::ClockMs), false), vec![fixture::retransmit()]);
    assert_eq!(
        text,
        "\
TIME         NODE         NAMESPACE    POD                          CONTAINER    WORKLOAD                 PID COMM            EVENT          LOCAL                 PEER                  INFO
13:03:09.123 a            shop         cart-7d9f-x2p                app          deployment/cart         1234 curl            RETRANSMIT RTO 10.0.3.7:41822        10.0.9.2:443          2 segments, 2.8 KiB, attempt 2
"
    );
}

#[test]
fn json_is_flat_with_the_words_of_trace() {
    let text = shown(&mut Json::default(), vec![fixture::timed_out()]);
    assert_eq!(
        text,
        concat!(
            r#"{"time":"2026-03-01T13:03:09.123456789Z","node":"a","event":"connect_failed","cpu":1,"cookie":4099,"#,
            r#""netns":4026531840,"cgroup_id":7312,"identity_source":"socket_cgroup","namespace":"shop","#,
            r#""pod":"cart-7d9f-x2p","pod_uid":"0d1b","container":"app","container_id":"c0ffee","#,
            r#""workload_kind":"Deployment","workload":"cart","host":false,"metadata_pending":false,"#,
            r#""family":"ipv4","socket_family":"ipv4","role":"client","local":{"address":"10.0.3.7","port":null},"#,
            r#""remote":{"address":"10.0.9.9","port":5432},"peer":{"identity_source":"unknown","namespace":"shop","#,
            r#""pod":"db-0","pod_uid":null,"container":null,"container_id":null,"workload_kind":null,"#,
            r#""workload":null,"host":false,"metadata_pending":false,"service":null,"node":null},"#,
            r#""process":{"pid":1234,"tid":1234,"uid":1000,"comm":"curl","mntns":4026531841,"start_time":null,"#,
            r#""relation":"owner"},"failure":{"cause":"timed_out","errno":110,"errno_name":"ETIMEDOUT","#,
            r#""elapsed_ns":3100000000,"syns_sent":3},"start_unknown":false,"gap":false,"repaired":false,"#,
            r#""synthetic":false}"#,
            "\n"
        )
    );
    for event in [fixture::close(), fixture::retransmit(), Event::default()] {
        let line = shown(&mut Json::default(), vec![event]);
        assert!(serde_json::from_str::<serde_json::Value>(&line).is_ok(), "{line}");
    }
}

#[test]
fn jsonpb_is_protobufs_own_json() {
    let mut event = fixture::retransmit();
    event.local = None;
    event.process = None;
    assert_eq!(
        shown(&mut Jsonpb, vec![event]),
        concat!(
            r#"{"nodeName":"a","time":"2026-03-01T13:03:09.123456789Z","events":{"events":[{"#,
            r#""time":"2026-03-01T13:03:09.123456789Z","nodeName":"a","cpu":1,"kind":"EVENT_KIND_RETRANSMIT","#,
            r#""socket":{"cookie":"4099","family":"ADDRESS_FAMILY_IPV4","local":{"ip":"10.0.3.7","port":41822},"#,
            r#""remote":{"ip":"10.0.9.2","port":443},"role":"ROLE_CLIENT","state":"TCP_STATE_ESTABLISHED","#,
            r#""netns":4026531840,"cgroupId":"7312"},"retransmit":{"type":"RETRANSMIT_TYPE_RTO","segments":2,"#,
            r#""bytes":"2896","attempt":2}}]}}"#,
            "\n"
        )
    );
}

#[test]
fn dict_is_a_name_and_a_value_a_line() {
    let mut dict = Dict::new(clock(TimeFormat::Rfc3339));
    assert_eq!(
        shown(&mut dict, vec![fixture::timed_out(), Event::default()]),
        "      TIME: 2026-03-01T13:03:09.123456+00:00
      NODE: a
     EVENT: CONNECT FAILED
       POD: shop/cart-7d9f-x2p
 CONTAINER: app
  WORKLOAD: deployment/cart
  NAMED BY: socket-cgroup
   PROCESS: curl[1234]
     LOCAL: 10.0.3.7
      PEER: shop/db-0:5432
    SOCKET: cookie 4099, netns 4026531840
      INFO: timed out after 3.1 s, 3 SYNs
------------
      TIME: 1970-01-01T00:00:00.000000+00:00
      NODE: a
     EVENT: ?
     LOCAL: -
      PEER: -
"
    );
}

fn bcc(tool: Tool, no_pod: bool, events: Vec<Event>) -> String {
    shown(&mut Bcc::new(tool, no_pod, None, false), events)
}

#[test]
fn bcc_has_the_tools_columns_behind_namespace_and_pod() {
    assert_eq!(
        bcc(Tool::Tcplife, false, vec![fixture::close()]),
        "\
NAMESPACE    POD                      PID   COMM       LADDR           LPORT RADDR           RPORT TX_KB RX_KB MS
shop         cart-7d9f-x2p            1234  curl       10.0.3.7        41822 10.0.9.2        443      12    88 41200.00
"
    );
    assert_eq!(
        bcc(Tool::Tcplife, true, vec![fixture::close()]),
        "\
PID   COMM       LADDR           LPORT RADDR           RPORT TX_KB RX_KB MS
1234  curl       10.0.3.7        41822 10.0.9.2        443      12    88 41200.00
"
    );
}

#[test]
fn a_listener_that_closes_is_no_connection_and_a_failed_connect_does_not_close() {
    let state = |old: TcpState| {
        let change =
            StateChange { old_state: old.into(), new_state: TcpState::Close.into(), time_in_old_state: None };
        fixture::event(EventKind::StateChange, Detail::StateChange(change))
    };
    let rows = |tool, events| bcc(tool, true, events).lines().count() - 1;
    let close = fixture::close;
    assert_eq!(rows(Tool::Tcplife, vec![state(TcpState::LastAck), close()]), 1);
    assert_eq!(rows(Tool::Tcplife, vec![close(), state(TcpState::Listen)]), 0, "in any order");
    let closing = || fixture::event(EventKind::Closing, Detail::Closing(proto::v1::Closing {}));
    assert_eq!(rows(Tool::Tcptracer, vec![state(TcpState::SynSent), closing()]), 0);
    assert_eq!(rows(Tool::Tcptracer, vec![state(TcpState::Established), closing()]), 1);
    // Another socket, or another moment, is another record.
    let mut other = state(TcpState::Listen);
    other.socket.as_mut().unwrap().cookie = Some(1);
    assert_eq!(rows(Tool::Tcplife, vec![other, close()]), 1);
}

#[test]
fn a_hostile_name_reaches_no_terminal_in_any_format() {
    const HOSTILE: &str = "\u{1b}]0;x\u{7}\u{202e}\n";
    let mut event = fixture::close();
    event.process.as_mut().unwrap().comm = HOSTILE.to_owned();
    let identity = event.local.as_mut().unwrap();
    for name in [
        &mut identity.namespace,
        &mut identity.pod,
        &mut identity.container,
        &mut identity.container_id,
        &mut identity.pod_uid,
    ] {
        *name = HOSTILE.to_owned();
    }
    identity.labels.insert("app".to_owned(), HOSTILE.to_owned());
    event.remote = Some(Identity { service: HOSTILE.to_owned(), ..Identity::default() });
    event.socket.as_mut().unwrap().local.as_mut().unwrap().ip = HOSTILE.to_owned();
    event.explanation = Some(proto::v1::Explanation { text: HOSTILE.to_owned(), evidence: Vec::new() });
    let plain = || clock(TimeFormat::Utc);
    let shows: Vec<Box<dyn Show>> = vec![
        Box::new(Compact::new(plain(), false)),
        Box::new(Table::narrow(plain(), false)),
        Box::new(Table::wide(plain(), false)),
        Box::new(Json::default()),
        Box::new(Jsonpb),
        Box::new(Dict::new(plain())),
        Box::new(Bcc::new(Tool::Tcplife, false, None, false)),
    ];
    for mut show in shows {
        let text = shown(show.as_mut(), vec![event.clone()]);
        let bad = |character: char| (character.is_control() && character != '\n') || character == '\u{202e}';
        assert!(!text.contains(bad), "{text:?}");
    }
}

#[test]
fn durations_and_sizes_are_short() {
    use std::time::Duration;
    let span = |ms: f64| {
        let mut out = Vec::new();
        super::words::span(Duration::from_secs_f64(ms / 1000.0), &mut out);
        String::from_utf8(out).unwrap()
    };
    assert_eq!(span(0.09), "90 µs");
    assert_eq!(span(0.412), "0.4 ms");
    assert_eq!(span(999.9), "999.9 ms");
    assert_eq!(span(999.96), "1.0 s");
    assert_eq!(span(3_100.0), "3.1 s");
    assert_eq!(span(59_999.0), "1m00s");
    assert_eq!(span(723_000.0), "12m03s");
    assert_eq!(span(11_100_000.0), "3h05m");
    assert_eq!(span(183_600_000.0), "2d03h");
    let size = |bytes| {
        let mut out = Vec::new();
        super::words::size(bytes, &mut out);
        String::from_utf8(out).unwrap()
    };
    assert_eq!(size(0), "0 B");
    assert_eq!(size(1023), "1023 B");
    assert_eq!(size(12_390), "12.1 KiB");
    assert_eq!(size(90_112), "88 KiB");
    assert_eq!(size(1 << 20), "1 MiB");
    assert_eq!(size(u64::MAX), "16 EiB");
}
