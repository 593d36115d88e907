//! Connects that fail: every cause, its errno as the application got it, and the time it took.

use std::{net::SocketAddr, time::Duration};

use crate::{
    bed::{
        actor::Actor,
        event::Event,
        kernel::{self, Requirement},
        netns::{Pair, Routed},
        order::{Connect, Order},
        trace::Trace,
    },
    begin,
};

/// A connect that the application saw fail, and what the tool said.
fn failure(actor: &mut Actor, how: &Connect) -> (Event, i32, Duration) {
    // System calls are seen through tracefs; without it the tool says so, and has the rest.
    kernel::mount_tracefs().unwrap();
    let mut trace = only(actor, &["tcpconnect", "--failed"]);
    let to = how.to;
    let (errno, elapsed) = actor.fail_to_connect(how);
    let pid = u64::from(actor.pid);
    let event = trace.wait_for("the failure", |event| event.maybe("process.pid") == Some(pid));
    assert_eq!(event.text("event"), "connect_failed");
    assert_eq!(event.end("remote"), to.to_string());
    assert_eq!(event.text("process.comm"), actor.comm);
    let ended = trace.stop();
    let all = ended.select(|event| event.maybe("process.pid") == Some(pid));
    assert_eq!(all.len(), 1, "one row for one failure: {all:?}");
    (event, errno, elapsed)
}

/// A tool that looks at the actor's namespace only.
fn only(actor: &Actor, arguments: &[&str]) -> Trace {
    Trace::start(&[arguments, &["--netns", &actor.netns.to_string()]].concat())
}

fn is(event: &Event, cause: &str, errno: Option<i32>) {
    assert_eq!(event.text("failure.cause"), cause, "{}", event.json);
    let told = event.get("failure.errno").as_i64();
    assert_eq!(told, errno.map(i64::from), "{}", event.json);
}

/// The told time is the application's, but for what it spends around the call.
fn took(event: &Event, elapsed: Duration) {
    let told = Duration::from_nanos(event.number("failure.elapsed_ns"));
    assert!(told <= elapsed, "{told:?} told, {elapsed:?} measured");
    let slack = Duration::from_millis(250) + elapsed / 10;
    assert!(elapsed - told <= slack, "{told:?} told, {elapsed:?} measured");
}

fn to(address: &str) -> Connect {
    Connect::to(address.parse().unwrap())
}

#[test]
fn refused() {
    begin!();
    let pair = Pair::new();
    let mut actor = Actor::new("refused", &pair.a);
    for (address, mapped, shown) in
        [("10.77.0.2:9", false, "ipv4"), ("[fd77::2]:9", false, "ipv6"), ("10.77.0.2:9", true, "ipv4")]
    {
        let (event, errno, elapsed) = failure(&mut actor, &Connect { mapped, ..to(address) });
        assert_eq!(errno, 111);
        is(&event, "refused", Some(111));
        took(&event, elapsed);
        assert_eq!(event.text("family"), shown);
        assert_eq!(event.number("failure.syns_sent"), 1);
        assert_eq!(event.text("failure.errno_name"), "ECONNREFUSED");
    }
}

#[test]
fn timed_out() {
    begin!();
    let row = Routed::new();
    row.client.sysctl("net/ipv4/tcp_syn_retries", "1");
    row.router.ip(&["route", "add", "blackhole", "10.99.0.0/16"]);
    let mut actor = Actor::new("timed-out", &row.client);
    let (event, errno, elapsed) = failure(&mut actor, &to("10.99.0.1:80"));
    assert_eq!(errno, 110);
    is(&event, "timed_out", Some(110));
    took(&event, elapsed);
    // How many it tries follows from two sysctls and differs by kernel; it counts them itself.
    let retries = row.client.snmp("Tcp", "RetransSegs");
    assert!(retries > 0);
    assert_eq!(event.number("failure.syns_sent"), 1 + retries);
}

#[test]
fn host_unreachable() {
    begin!();
    let row = Routed::new();
    row.router.ip(&["route", "add", "unreachable", "10.99.0.0/16"]);
    let mut actor = Actor::new("unreachable", &row.client);
    let (event, errno, elapsed) = failure(&mut actor, &to("10.99.0.1:80"));
    assert_eq!(errno, 113);
    is(&event, "host_unreachable", Some(113));
    took(&event, elapsed);
}

#[test]
fn net_unreachable_said_by_a_router() {
    begin!();
    let row = Routed::new();
    let mut actor = Actor::new("no-net", &row.client);
    // The router has no route there.
    let (event, errno, elapsed) = failure(&mut actor, &to("10.99.0.1:80"));
    assert_eq!(errno, 101);
    is(&event, "net_unreachable", Some(101));
    took(&event, elapsed);
}

#[test]
fn no_route_fails_before_any_state_and_is_seen() {
    begin!(Requirement::SyscallTracepoints);
    let pair = Pair::new();
    let mut actor = Actor::new("no-route", &pair.a);
    for address in ["10.98.0.1:80", "[fd98::1]:80"] {
        let (event, errno, elapsed) = failure(&mut actor, &to(address));
        assert_eq!(errno, 101);
        is(&event, "net_unreachable", Some(101));
        took(&event, elapsed);
        assert_eq!(event.number("failure.syns_sent"), 0);
        assert_eq!(event.number("netns"), u64::from(pair.a.inode));
    }
}

#[test]
fn denied_by_a_route() {
    begin!(Requirement::SyscallTracepoints);
    let pair = Pair::new();
    pair.a.ip(&["route", "add", "prohibit", "10.98.0.0/16"]);
    pair.a.ip(&["-6", "route", "add", "prohibit", "fd98::/64"]);
    let mut actor = Actor::new("denied", &pair.a);
    for address in ["10.98.0.1:80", "[fd98::1]:80"] {
        let (event, errno, _) = failure(&mut actor, &to(address));
        assert_eq!(errno, 13);
        is(&event, "denied", Some(13));
    }
}

#[test]
fn no_local_port() {
    begin!();
    let pair = Pair::new();
    pair.a.sysctl("net/ipv4/ip_local_port_range", "40001 40001");
    let mut server = Actor::new("one-port-srv", &pair.b);
    let listener = server.listen("10.77.0.2:0".parse().unwrap());
    let address = SocketAddr::new("10.77.0.2".parse().unwrap(), listener.local.port());
    let mut actor = Actor::new("no-port", &pair.a);
    actor.connect(address);
    let (event, errno, _) = failure(&mut actor, &Connect::to(address));
    assert_eq!(errno, 99);
    is(&event, "no_local_port", Some(99));
    assert_eq!(event.number("failure.syns_sent"), 0);
    assert!(event.get("local.port").is_null(), "no port was had: {}", event.json);
}

#[test]
fn given_up_by_the_application() {
    begin!();
    let row = Routed::new();
    row.router.ip(&["route", "add", "blackhole", "10.99.0.0/16"]);
    let mut actor = Actor::new("impatient", &row.client);
    let give_up_after = Some(Duration::from_millis(300));
    let (event, _, elapsed) = failure(&mut actor, &Connect { give_up_after, ..to("10.99.0.1:80") });
    is(&event, "abandoned", None);
    took(&event, elapsed);
    assert!(event.number("failure.elapsed_ns") >= 300_000_000, "{}", event.json);
}

#[test]
fn reset_while_it_was_made() {
    begin!();
    let pair = Pair::new();
    // Nobody has this address; its packets end in the other namespace, from where a forged answer comes.
    let mut actor = Actor::new("crossed", &pair.a);
    let mut trace = only(&actor, &["tcpconnect", "--failed"]);
    crate::forge::silent_host(&pair, "10.77.0.50");
    actor.start(&Order::Connect(Connect {
        from: Some("10.77.0.1:45000".parse().unwrap()),
        ..to("10.77.0.50:80")
    }));
    crate::forge::simultaneous_open_and_reset(&pair, "10.77.0.50:80", "10.77.0.1:45000");
    let reply = actor.finish();
    let crate::bed::order::Reply::Failed { errno, .. } = reply else { panic!("{reply:?}") };
    assert_eq!(errno, 104);
    let pid = u64::from(actor.pid);
    let event = trace.wait_for("the failure", |event| event.maybe("process.pid") == Some(pid));
    is(&event, "reset", Some(104));
}

#[test]
fn latency_of_refused_connects_and_of_timeouts_only_on_request() {
    begin!();
    let row = Routed::new();
    row.client.sysctl("net/ipv4/tcp_syn_retries", "1");
    row.router.ip(&["route", "add", "blackhole", "10.99.0.0/16"]);
    let mut actor = Actor::new("latency", &row.client);
    let pid = u64::from(actor.pid);
    let of_actor = |event: &Event| event.maybe("process.pid") == Some(pid);

    let mut plain = only(&actor, &["tcpconnlat"]);
    let mut failed = only(&actor, &["tcpconnlat", "--failed"]);
    let (errno, timeout) = actor.fail_to_connect(&to("10.99.0.1:80"));
    assert_eq!(errno, 110);
    let (errno, _) = actor.fail_to_connect(&to("10.77.2.2:9"));
    assert_eq!(errno, 111);

    let both = failed.wait_for_all("both failures", 2, of_actor);
    assert_eq!(both[0].text("failure.cause"), "timed_out");
    took(&both[0], timeout);
    assert_eq!(both[1].text("failure.cause"), "refused");
    plain.wait_for("the refused one", of_actor);
    let shown = plain.stop();
    let shown = shown.select(of_actor);
    assert_eq!(shown.len(), 1, "bcc shows no timeouts: {shown:?}");
    assert_eq!(shown[0].text("failure.cause"), "refused");
}

#[test]
fn without_the_flag_nothing_is_shown_that_sent_no_syn() {
    begin!();
    let pair = Pair::new();
    pair.a.sysctl("net/ipv4/ip_local_port_range", "40001 40001");
    let mut server = Actor::new("syn-server", &pair.b);
    let listener = server.listen("10.77.0.2:0".parse().unwrap());
    let address = SocketAddr::new("10.77.0.2".parse().unwrap(), listener.local.port());
    let mut actor = Actor::new("no-syn", &pair.a);
    let mut trace = only(&actor, &["tcpconnect"]);
    let first = actor.connect(address);
    assert_eq!(actor.fail_to_connect(&Connect::to(address)).0, 99);
    assert_eq!(actor.fail_to_connect(&to("10.98.0.1:80")).0, 101);
    trace.wait_for("the connect that worked", |event| event.of(first.cookie));
    let ended = trace.stop();
    let pid = u64::from(actor.pid);
    assert_eq!(ended.select(|event| event.maybe("process.pid") == Some(pid)).len(), 1);
}
