//! Every tool's header and rows, exactly. The expected lines of bcc's options were printed by Python with the
//! format strings of bcc v0.35.

use std::time::Duration;

use agent_common::event::{Event, EventKind, FailureCause, TcpState};
use clap::Parser as _;
use jiff::tz::{TimeZone, offset};

use crate::{
    args::{Cli, Command, Format, Plan, TimeFormat},
    clock::Clock,
    fixture,
    render::{Render as _, column::Columns},
    view::{self, Row},
};

fn plan(words: &str) -> Plan {
    let words = ["sockeye", "trace"].into_iter().chain(words.split_whitespace());
    match Cli::try_parse_from(words).unwrap().command {
        Some(Command::Trace { tool }) => tool.plan().unwrap(),
        other => panic!("{other:?}"),
    }
}

/// What the tool prints for rows, with `query` as every row's name.
fn rows(words: &str, rows: &[Row<'_>]) -> String {
    let plan = plan(words);
    let clock = Clock::in_zone(plan.options.time.unwrap_or(TimeFormat::Clock), TimeZone::fixed(offset(1)));
    let columns = super::columns(plan.tool, plan.format, &plan.options);
    let mut columns = Columns::new(columns, plan.format == Format::Csv, false, clock);
    let mut out = Vec::new();
    columns.header(&mut out);
    for row in rows {
        columns.row(row, &mut out);
    }
    String::from_utf8(out).unwrap()
}

/// What the tool prints for events that all are rows.
fn printed(words: &str, events: &[Event]) -> String {
    let options = plan(words).options;
    let mut view = view::of(plan(words).tool, &options);
    let mut seen = Vec::new();
    for event in events {
        view.event(event, &mut |row| seen.push((*row.event, row.name, row.process())));
    }
    view.finish(&mut |row| seen.push((*row.event, row.name, row.process())));
    assert_eq!(seen.len(), events.len(), "every event should be a row");
    let seen: Vec<Row<'_>> = seen
        .iter()
        .map(|(event, name, process)| Row { event, name, process: process.as_ref(), query: None })
        .collect();
    rows(words, &seen)
}

fn state() -> Event {
    fixture::state(TcpState::SynSent, TcpState::Established)
}

fn later(event: Event) -> Event {
    fixture::after(event, Duration::from_millis(1_500))
}

fn established() -> Event {
    let mut event = fixture::event(&[EventKind::Established]);
    event.connect_latency = Some(Duration::from_micros(1_500));
    event
}

#[test]
fn tcpstates_has_bccs_columns() {
    assert_eq!(
        printed("tcpstates", &[state(), fixture::unknown(state())]),
        "\
SKADDR           C-PID C-COMM     LADDR           LPORT RADDR           RPORT OLDSTATE    -> NEWSTATE    MS
1003             1234  curl       10.0.0.1        45678 10.0.0.2        443   SYN_SENT    -> ESTABLISHED 2.345
-                -     -          -               -     -               -     SYN_SENT    -> ESTABLISHED -
"
    );
    assert_eq!(
        printed("tcpstates -tT", &[state(), later(state())]),
        "\
TIME     TIME(s)   SKADDR           C-PID C-COMM     LADDR           LPORT RADDR           RPORT OLDSTATE    -> NEWSTATE    MS
14:03:09 0.000000  1003             1234  curl       10.0.0.1        45678 10.0.0.2        443   SYN_SENT    -> ESTABLISHED 2.345
14:03:10 1.500000  1003             1234  curl       10.0.0.1        45678 10.0.0.2        443   SYN_SENT    -> ESTABLISHED 2.345
"
    );
}

#[test]
fn tcpstates_wide_and_csv_are_bccs() {
    assert_eq!(
        printed("tcpstates -w", &[fixture::over_v6(state())]),
        "\
SKADDR           C-PID C-COMM           IP LADDR                                   LPORT RADDR                                   RPORT OLDSTATE    -> NEWSTATE    MS
1003             1234  curl             6  2001:db8::1                             45678 2001:db8::2                             443   SYN_SENT    -> ESTABLISHED 2.345
"
    );
    let csv = "\
TIME,TIME(s),SKADDR,C-PID,C-COMM,IP,LADDR,LPORT,RADDR,RPORT,OLDSTATE,NEWSTATE,MS
14:03:09,0.000000,1003,1234,curl,4,10.0.0.1,45678,10.0.0.2,443,SYN_SENT,ESTABLISHED,2.345
";
    assert_eq!(printed("tcpstates -stT", &[state()]), csv);
    assert_eq!(printed("tcpstates -o csv -tT", &[state()]), csv);
}

#[test]
fn tcpstates_wide_output_adds_user_and_place() {
    assert_eq!(
        printed("tcpstates -o wide", &[state()]),
        "\
SKADDR           C-PID C-COMM           IP LADDR                                   LPORT RADDR                                   RPORT OLDSTATE    -> NEWSTATE    MS           UID    NETNS      CGROUP  \n\
1003             1234  curl             4  10.0.0.1                                45678 10.0.0.2                                443   SYN_SENT    -> ESTABLISHED 2.345        1000   4026531840 7312    \n"
    );
}

#[test]
fn tcplife_has_bccs_columns() {
    let mut unseen = fixture::close();
    unseen.close.as_mut().unwrap().duration = None;
    assert_eq!(
        printed("tcplife", &[fixture::close(), unseen]),
        "\
PID   COMM       LADDR           LPORT RADDR           RPORT TX_KB RX_KB MS
1234  curl       10.0.0.1        45678 10.0.0.2        443       2     4 12.34
1234  curl       10.0.0.1        45678 10.0.0.2        443       2     4 -
"
    );
    assert_eq!(
        printed("tcplife -w", &[fixture::close()]),
        "\
PID   COMM             IP LADDR                                   LPORT RADDR                                   RPORT  TX_KB  RX_KB MS
1234  curl             4  10.0.0.1                                45678 10.0.0.2                                443        2      4 12.34
"
    );
    assert_eq!(
        printed("tcplife -s", &[fixture::close(), fixture::unknown(fixture::close())]),
        "\
PID,COMM,IP,LADDR,LPORT,RADDR,RPORT,TX_KB,RX_KB,MS
1234,curl,4,10.0.0.1,45678,10.0.0.2,443,2,4,12.34
-,-,4,-,-,-,-,-,-,-
"
    );
    assert_eq!(
        printed("tcplife -tT", &[fixture::close(), later(fixture::close())]),
        "\
TIME     TIME(s)   PID   COMM       LADDR           LPORT RADDR           RPORT TX_KB RX_KB MS
14:03:09 0.000000  1234  curl       10.0.0.1        45678 10.0.0.2        443       2     4 12.34
14:03:10 1.500000  1234  curl       10.0.0.1        45678 10.0.0.2        443       2     4 12.34
"
    );
}

#[test]
fn tcplife_wide_output_says_how_it_went_and_ended() {
    assert_eq!(
        printed("tcplife -o wide", &[fixture::close(), fixture::unknown(fixture::close())]),
        "\
PID   COMM             IP LADDR                                   LPORT RADDR                                   RPORT  TX_KB  RX_KB MS           ROLE    SEGS_OUT  SEGS_IN RETRANS MINRTT_MS   SRTT_MS CLOSED  HOW          UID    NETNS      CGROUP  \n\
1234  curl             4  10.0.0.1                                45678 10.0.0.2                                443        2      4 12.34        client        10        9       1     0.301     0.412 local   fin          1000   4026531840 7312    \n\
-     -                4  -                                       -     -                                       -          -      - -            unknown        -        -       -         -         - unknown unknown      -      -          -       \n"
    );
}

#[test]
fn tcpconnect_has_bccs_columns_and_its_trailing_space() {
    let connect = fixture::event(&[EventKind::Connect]);
    assert_eq!(
        printed("tcpconnect", &[connect]),
        "\
PID     COMM         IP SADDR            DADDR            DPORT \n\
1234    curl         4  10.0.0.1         10.0.0.2         443    \n"
    );
    let row = |query| Row { event: &connect, name: "connect", process: connect.process.as_ref(), query };
    assert_eq!(
        rows(
            "tcpconnect -tULd",
            &[row(Some(b"db.example".as_slice())), row(None), row(Some(b"a\x1b[m".as_slice()))]
        ),
        "\
TIME(s)  UID   PID     COMM         IP SADDR            LPORT  DADDR            DPORT  QUERY
0.000    1000  1234    curl         4  10.0.0.1         45678  10.0.0.2         443    db.example
0.000    1000  1234    curl         4  10.0.0.1         45678  10.0.0.2         443    -
0.000    1000  1234    curl         4  10.0.0.1         45678  10.0.0.2         443    a\\x1b[m
"
    );
    assert_eq!(
        printed("tcpconnect -s", &[connect]),
        "\
PID     COMM         IP SADDR            DADDR            SPORT DPORT \n\
1234    curl         4  10.0.0.1         10.0.0.2         45678 443    \n"
    );
    assert_eq!(
        printed("tcpconnect -o csv -L", &[connect]),
        "PID,COMM,IP,SADDR,LPORT,DADDR,DPORT\n1234,curl,4,10.0.0.1,45678,10.0.0.2,443\n"
    );
}

#[test]
fn tcpconnect_failed_says_why_and_after_how_long() {
    let failures = [
        fixture::failed(FailureCause::Refused, 95),
        fixture::failed(FailureCause::NoLocalPort, 2),
        fixture::failed(FailureCause::TimedOut, 127_345_678),
        fixture::failed(FailureCause::Abandoned, 2_000_000),
    ];
    assert_eq!(
        printed("tcpconnect --failed -L", &failures),
        "\
PID     COMM         IP SADDR            LPORT  DADDR            DPORT  CAUSE            ERRNO         SYNS        MS
1234    curl         4  10.0.0.1         45678  10.0.0.2         443    refused          ECONNREFUSED     1      0.10
1234    curl         4  10.0.0.1         -      10.0.0.2         443    no_local_port    EADDRNOTAVAIL    0      0.00
1234    curl         4  10.0.0.1         45678  10.0.0.2         443    timed_out        ETIMEDOUT        3 127345.68
1234    curl         4  10.0.0.1         45678  10.0.0.2         443    abandoned        -                -   2000.00
"
    );
    assert_eq!(
        printed("tcpconnect --failed -o csv", &failures[..1]),
        "PID,COMM,IP,SADDR,DADDR,DPORT,CAUSE,ERRNO,SYNS,MS\n\
         1234,curl,4,10.0.0.1,10.0.0.2,443,refused,ECONNREFUSED,1,0.10\n"
    );
}

#[test]
fn tcpconnect_wide_output_adds_user_port_and_place() {
    assert_eq!(
        printed("tcpconnect -o wide", &[fixture::over_v6(fixture::event(&[EventKind::Connect]))]),
        "\
UID   PID     COMM         IP SADDR                                   LPORT  DADDR                                   DPORT  NETNS      CGROUP  \n\
1000  1234    curl         6  2001:db8::1                             45678  2001:db8::2                             443    4026531840 7312    \n"
    );
}

#[test]
fn tcpconnlat_has_bccs_columns() {
    assert_eq!(
        printed("tcpconnlat", &[established()]),
        "\
PID     COMM         IP SADDR            DADDR            DPORT LAT(ms)
1234    curl         4  10.0.0.1         10.0.0.2         443   1.50
"
    );
    assert_eq!(
        printed("tcpconnlat -tL", &[established(), later(established())]),
        "\
TIME(s)  PID     COMM         IP SADDR            LPORT  DADDR            DPORT LAT(ms)
0.000    1234    curl         4  10.0.0.1         45678  10.0.0.2         443   1.50
1.500    1234    curl         4  10.0.0.1         45678  10.0.0.2         443   1.50
"
    );
}

#[test]
fn tcpconnlat_failed_says_how_each_connect_ended() {
    let events = [established(), fixture::failed(FailureCause::TimedOut, 3_000_000)];
    assert_eq!(
        printed("tcpconnlat --failed", &events),
        "\
PID     COMM         IP SADDR            DADDR            DPORT LAT(ms)    RESULT
1234    curl         4  10.0.0.1         10.0.0.2         443   1.50       connected
1234    curl         4  10.0.0.1         10.0.0.2         443   3000.00    timed_out
"
    );
    let mut again = established();
    again.syn_retransmits = Some(2);
    assert_eq!(
        printed("tcpconnlat -o wide", &[again]),
        "\
PID     COMM         IP SADDR                                   LPORT  DADDR                                   DPORT LAT(ms)    RESULT           SYN_RT UID    NETNS      CGROUP  \n\
1234    curl         4  10.0.0.1                                45678  10.0.0.2                                443   1.50       connected        2      1000   4026531840 7312    \n"
    );
    assert_eq!(
        printed("tcpconnlat -o csv", &[established()]),
        "PID,COMM,IP,SADDR,DADDR,DPORT,LAT(ms)\n1234,curl,4,10.0.0.1,10.0.0.2,443,1.50\n"
    );
}

#[test]
fn tcpaccept_has_bccs_columns() {
    let accept = fixture::event(&[EventKind::Accept]);
    assert_eq!(
        printed("tcpaccept -tT", &[accept]),
        "\
TIME     TIME(s)  PID     COMM         IP RADDR            RPORT LADDR            LPORT
14:03:09 0.000    1234    curl         4  10.0.0.2         443   10.0.0.1         45678
"
    );
    let mut queued = accept;
    queued.backlog = Some((3, 128));
    assert_eq!(
        printed("tcpaccept -o wide", &[queued, accept]),
        "\
PID     COMM         IP RADDR                                   RPORT LADDR                                   LPORT QUEUE LIMIT UID    NETNS      CGROUP  \n\
1234    curl         4  10.0.0.2                                443   10.0.0.1                                45678     3   128 1000   4026531840 7312    \n\
1234    curl         4  10.0.0.2                                443   10.0.0.1                                45678     -     - 1000   4026531840 7312    \n"
    );
    assert_eq!(
        printed("tcpaccept -o csv", &[accept]),
        "PID,COMM,IP,RADDR,RPORT,LADDR,LPORT\n1234,curl,4,10.0.0.2,443,10.0.0.1,45678\n"
    );
}

#[test]
fn tcpretrans_has_bccs_columns() {
    let again = fixture::retransmit();
    assert_eq!(
        printed("tcpretrans", &[again, fixture::over_v6(again)]),
        "\
TIME     PID     IP LADDR:LPORT          T> RADDR:RPORT          STATE\n\
14:03:09 1234    4  10.0.0.1:45678       R> 10.0.0.2:443         ESTABLISHED\n\
14:03:09 1234    6  2001:db8::1:45678    R> 2001:db8::2:443      ESTABLISHED\n"
    );
    let mut probe = again;
    let sent = probe.retransmit.as_mut().unwrap();
    (sent.kind, sent.attempt) = (agent_common::event::RetransmitType::Tlp, None);
    assert_eq!(
        printed("tcpretrans -l -s", &[again, probe]),
        "\
TIME     PID     IP LADDR:LPORT          T> RADDR:RPORT          STATE        SEQ       \n\
14:03:09 1234    4  10.0.0.1:45678       R> 10.0.0.2:443         ESTABLISHED  3000000001\n\
14:03:09 1234    4  10.0.0.1:45678       L> 10.0.0.2:443         ESTABLISHED  3000000001\n"
    );
    assert_eq!(
        printed("tcpretrans -o csv", &[probe]),
        "TIME,PID,IP,LADDR:LPORT,T,RADDR:RPORT,STATE\n14:03:09,1234,4,10.0.0.1:45678,R,10.0.0.2:443,ESTABLISHED\n"
    );
}

#[test]
fn tcpreset_says_what_happened_and_why() {
    assert_eq!(
        printed("tcpreset", &[fixture::reset(true), fixture::reset(false), fixture::socket_error(104)]),
        "\
TIME     PID     COMM         IP WHAT  LADDR:LPORT          RADDR:RPORT          STATE       REASON              \n\
14:03:09 1234    curl         4  sent  10.0.0.1:45678       10.0.0.2:443         ESTABLISHED TCP_ABORT_ON_CLOSE  \n\
14:03:09 1234    curl         4  recv  10.0.0.1:45678       10.0.0.2:443         ESTABLISHED -                   \n\
14:03:09 1234    curl         4  error 10.0.0.1:45678       10.0.0.2:443         ESTABLISHED ECONNRESET          \n"
    );
}

#[test]
fn tcptracer_has_bccs_columns() {
    let closing = fixture::over_v6(fixture::event(&[EventKind::Closing]));
    assert_eq!(
        printed("tcptracer -t", &[established(), closing]),
        "\
TIME(s)  T  PID    COMM             IP SADDR            DADDR            SPORT  DPORT \n\
0.000    C  1234   curl             4  10.0.0.1         10.0.0.2         45678  443   \n\
0.000    X  1234   curl             6  [2001:db8::1]    [2001:db8::2]    45678  443   \n"
    );
    let accept = fixture::event(&[EventKind::Accept]);
    assert_eq!(
        printed("tcptracer -tv", &[accept, later(accept)]),
        "\
TIME(ns)      TYPE         PID    COMM             IP SADDR            DADDR            SPORT  DPORT  NETNS   \n\
0             accept       1234   curl             4  10.0.0.1         10.0.0.2         45678  443    4026531840\n\
1500000000    accept       1234   curl             4  10.0.0.1         10.0.0.2         45678  443    4026531840\n"
    );
    assert_eq!(
        printed("tcptracer -v -N 4026531840", &[accept]),
        "\
TYPE         PID    COMM             IP SADDR            DADDR            SPORT  DPORT  \n\
accept       1234   curl             4  10.0.0.1         10.0.0.2         45678  443   \n"
    );
    assert_eq!(
        printed("tcptracer -U", &[accept]),
        "\
UID   T  PID    COMM             IP SADDR            DADDR            SPORT  DPORT \n\
1000  A  1234   curl             4  10.0.0.1         10.0.0.2         45678  443   \n"
    );
}

#[test]
fn tcptracer_csv_and_wide() {
    assert_eq!(
        printed("tcptracer -o csv", &[fixture::over_v6(established())]),
        "T,PID,COMM,IP,SADDR,DADDR,SPORT,DPORT\nC,1234,curl,6,2001:db8::1,2001:db8::2,45678,443\n"
    );
    assert_eq!(
        printed("tcptracer -o wide", &[established()]),
        "\
UID   TYPE         PID    COMM             IP SADDR                                     DADDR                                     SPORT  DPORT  NETNS      CGROUP  \n\
1000  connect      1234   curl             4  10.0.0.1                                  10.0.0.2                                  45678  443    4026531840 7312    \n"
    );
}

#[test]
fn the_time_of_day_has_other_forms_and_every_tool_has_it() {
    let time = |words: &str, event: Event| {
        let text = printed(words, &[event]);
        text.lines().map(|line| line.chars().take(34).collect::<String>()).collect::<Vec<_>>()
    };
    assert_eq!(
        time("tcpconnlat -T", established()),
        ["TIME     PID     COMM         IP S", "14:03:09 1234    curl         4  1"]
    );
    assert_eq!(
        time("tcplife --time-format clock-ms", fixture::close()),
        ["TIME         PID   COMM       LADD", "14:03:09.123 1234  curl       10.0"]
    );
    assert_eq!(
        time("tcptracer --time-format rfc3339", established()),
        ["TIME                             T", "2026-03-01T14:03:09.123456+01:00 C"]
    );
    assert_eq!(
        time("tcpstates --time-format utc", state()),
        ["TIME                        SKADDR", "2026-03-01T13:03:09.123456Z 1003  "]
    );
    assert_eq!(
        time("tcpaccept --time-format unix", fixture::event(&[EventKind::Accept])),
        ["TIME              PID     COMM    ", "1772370189.123456 1234    curl    "]
    );
}

#[test]
fn a_hostile_name_stays_in_its_column() {
    let mut event = fixture::close();
    event.process = Some(fixture::process_of_bytes(7, b"\x1b[2J\n,\"\xff"));
    assert_eq!(
        printed("tcplife", &[event]).lines().nth(1),
        // Ten characters: what does not fit is cut, an escape never in two.
        Some("7     \\x1b[2J    10.0.0.1        45678 10.0.0.2        443       2     4 12.34")
    );
    assert_eq!(
        printed("tcplife -s", &[event]).lines().nth(1),
        Some("7,\"\\x1b[2J\\x0a,\"\"\\xff\",4,10.0.0.1,45678,10.0.0.2,443,2,4,12.34")
    );
}

#[test]
fn a_bold_header_is_bold_and_rows_are_not() {
    let plan = plan("tcplife");
    let clock = Clock::in_zone(TimeFormat::Clock, TimeZone::UTC);
    let mut columns = Columns::new(super::columns(plan.tool, plan.format, &plan.options), false, true, clock);
    let mut out = Vec::new();
    columns.header(&mut out);
    let header = String::from_utf8(out).unwrap();
    assert!(header.starts_with("\x1b[1mPID ") && header.ends_with("MS\x1b[0m\n"), "{header:?}");
}
