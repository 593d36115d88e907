//! Every filter option, alone and beside others.

use agent_common::kind::EventKind as Made;
use clap::Parser;
use proto::v1::{
    AddressFamily, CloseCause, ConnectFailureCause, EventKind, Filter, RetransmitType, Role, TcpState,
};

use super::{ENTRIES, FilterArgs, Wanted};

#[derive(Parser)]
struct Words {
    #[command(flatten)]
    filters: FilterArgs<true>,
}

fn parsed(words: &str) -> Result<FilterArgs<true>, String> {
    let words = std::iter::once("sockeye").chain(words.split_whitespace());
    Words::try_parse_from(words).map(|words| words.filters).map_err(|error| {
        use std::error::Error as _;
        error.source().map_or_else(|| error.to_string(), ToString::to_string)
    })
}

fn wanted_in(words: &str, namespace: Option<&str>) -> Result<Wanted, String> {
    parsed(words)?.wanted(namespace).map_err(|error| error.to_string())
}

fn wanted(words: &str) -> Wanted {
    wanted_in(words, None).unwrap()
}

fn refused(words: &str) -> String {
    wanted_in(words, None).unwrap_err()
}

fn strings(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

/// The options make this one filter.
fn one(words: &str, change: impl FnOnce(&mut Filter)) {
    let mut filter = Filter::default();
    change(&mut filter);
    assert_eq!(wanted(words).allow, [filter], "{words}");
}

#[test]
fn each_option_is_a_condition() {
    one("-n shop,billing", |filter| filter.namespaces = strings(&["shop", "billing"]));
    one("--namespace shop -n billing", |filter| filter.namespaces = strings(&["shop", "billing"]));
    one("--pod cart,web-1", |filter| filter.pods = strings(&["cart*", "web-1*"]));
    one("--pod cart-*", |filter| filter.pods = strings(&["cart-*"]));
    one("--workload deployment/cart", |filter| filter.workloads = strings(&["deployment/cart"]));
    one("-l app=cart -l tier!=cache", |filter| filter.label_selector = "app=cart,tier!=cache".to_owned());
    one("--label app=cart", |filter| filter.label_selector = "app=cart".to_owned());
    one("-c app", |filter| filter.containers = strings(&["app"]));
    one("--node a --node-name b", |filter| filter.nodes = strings(&["a", "b"]));
    one("--ip 10.0.0.0/8,::1", |filter| filter.cidrs = strings(&["10.0.0.0/8", "::1/128"]));
    one("--port 80,443", |filter| filter.ports = vec![80, 443]);
    one("-4", |filter| filter.family = AddressFamily::Ipv4.into());
    one("--ipv6", |filter| filter.family = AddressFamily::Ipv6.into());
    one("--role client", |filter| filter.role = Role::Client.into());
    one("--pid 181,182", |filter| filter.pids = vec![181, 182]);
    one("--uid 0", |filter| filter.uids = vec![0]);
    one("--comm nginx", |filter| filter.comms = strings(&["nginx"]));
    one("--netns 4026531840", |filter| filter.netns = vec![4_026_531_840]);
    one("--cgroup /a,7312", |filter| filter.cgroups = strings(&["/a", "7312"]));
    one("--state syn-sent", |filter| filter.new_states = vec![TcpState::SynSent.into()]);
    one("--old-state ESTABLISHED", |filter| filter.old_states = vec![TcpState::Established.into()]);
    one("--close-cause rst-received", |filter| filter.close_causes = vec![CloseCause::RstReceived.into()]);
    one("--failure-cause refused,timed_out", |filter| {
        filter.failure_causes =
            vec![ConnectFailureCause::Refused.into(), ConnectFailureCause::TimedOut.into()];
    });
    one("--drop-reason netfilter_drop", |filter| filter.drop_reasons = strings(&["NETFILTER_DROP"]));
    one("--retransmit-type tlp", |filter| filter.retransmit_types = vec![RetransmitType::Tlp.into()]);
    one("--min-latency 5ms", |filter| {
        filter.min_latency = Some(prost_types::Duration { seconds: 0, nanos: 5_000_000 });
    });
    one("--min-duration 10s", |filter| {
        filter.min_duration = Some(prost_types::Duration { seconds: 10, nanos: 0 });
    });
    one("--min-bytes 1MiB", |filter| filter.min_bytes = Some(1 << 20));
}

#[test]
fn every_option_of_the_table_is_tested_above() {
    let tests = include_str!("tests.rs");
    for entry in ENTRIES {
        let short = entry.short.map(|short| format!("\"-{short}"));
        let tested = tests.contains(&format!("{} ", entry.long))
            || tests.contains(&format!("{}\"", entry.long))
            || short.is_some_and(|short| tests.contains(&short));
        assert!(tested, "{}", entry.long);
    }
}

#[test]
fn options_hold_together_in_one_filter() {
    one("-n shop --pod cart --port 443", |filter| {
        filter.namespaces = strings(&["shop"]);
        filter.pods = strings(&["cart*"]);
        filter.ports = vec![443];
    });
    assert!(wanted("").allow.is_empty());
    assert!(wanted("-A").allow.is_empty());
}

#[test]
fn kinds_are_of_the_request_and_the_usual_ones_are_not_named() {
    assert_eq!(wanted("--kind drop,retransmit").kinds, [EventKind::Retransmit, EventKind::Drop]);
    assert_eq!(wanted("-k connect_failed").kinds, [EventKind::ConnectFailed]);
    assert!(wanted("--kind drop").allow.is_empty());
    let all = wanted("--kind all").kinds;
    assert_eq!(all.len(), Made::ALL.len());
    assert!(
        all.contains(&EventKind::Reset) && !all.contains(&EventKind::PacketPoint),
        "no agent makes these yet"
    );
    assert!(wanted("-n shop").kinds.is_empty());
    assert_eq!(wanted("--state established").kinds, [EventKind::StateChange]);
    assert_eq!(wanted("--state established -k close").kinds, [EventKind::Close]);
    assert!(wanted("--min-latency 1s").kinds.contains(&EventKind::Established));
    let denied = wanted("--not --kind drop");
    assert!(denied.kinds.is_empty());
    assert_eq!(denied.deny, [Filter { kinds: vec![EventKind::Drop.into()], ..Filter::default() }]);
}

#[test]
fn a_pod_with_its_namespace_is_looked_for_there_only() {
    let filters = wanted("--pod shop/cart,billing/pay,shop/web --port 80").allow;
    let of = |namespace: &str, pods: &[&str]| Filter {
        namespaces: strings(&[namespace]),
        pods: strings(pods),
        ports: vec![80],
        ..Filter::default()
    };
    assert_eq!(filters, [of("shop", &["cart*", "web*"]), of("billing", &["pay*"])]);
    assert_eq!(
        wanted("--pod shop/").allow,
        [Filter { namespaces: strings(&["shop"]), pods: strings(&["*"]), ..Filter::default() }]
    );
    assert_eq!(refused("-n shop --pod other/x"), "--pod: other is not among the namespaces of -n (shop)");
}

#[test]
fn the_kubeconfigs_namespace_is_for_those_who_name_none() {
    let namespaces = |words| {
        wanted_in(words, Some("default")).unwrap().allow.first().map(|filter| filter.namespaces.clone())
    };
    assert_eq!(namespaces(""), Some(strings(&["default"])));
    assert_eq!(namespaces("--port 80"), Some(strings(&["default"])));
    assert_eq!(namespaces("-n shop"), Some(strings(&["shop"])));
    assert_eq!(namespaces("--pod shop/cart"), Some(strings(&["shop"])));
    assert_eq!(namespaces("--to-namespace shop"), Some(strings(&["shop"])));
    assert_eq!(namespaces("-A"), None);
    assert_eq!(wanted_in("-A --port 80", Some("default")).unwrap().allow[0].namespaces, strings(&[]));
}

#[test]
fn from_and_to_are_the_client_and_the_server_whichever_side_sees_them() {
    let filters = wanted("--from-ip 10.0.0.0/8 --to-port 443").allow;
    let client = Filter {
        role: Role::Client.into(),
        local_cidrs: strings(&["10.0.0.0/8"]),
        remote_ports: vec![443],
        ..Filter::default()
    };
    let server = Filter {
        role: Role::Server.into(),
        remote_cidrs: strings(&["10.0.0.0/8"]),
        local_ports: vec![443],
        ..Filter::default()
    };
    assert_eq!(filters, [client, server]);
    let ports = wanted("--from-port 4000 --to-ip 10.0.0.1").allow;
    assert_eq!(ports[0].local_ports, [4000]);
    assert_eq!(ports[1].local_cidrs, ["10.0.0.1/32"]);
}

#[test]
fn names_of_an_end_are_known_on_its_own_node_only() {
    let from = wanted("--from-pod shop/cart --to-ip 10.0.0.1").allow;
    assert_eq!(
        from,
        [Filter {
            namespaces: strings(&["shop"]),
            pods: strings(&["cart*"]),
            role: Role::Client.into(),
            remote_cidrs: strings(&["10.0.0.1/32"]),
            ..Filter::default()
        }]
    );
    let to = wanted("--to-workload statefulset/db --to-namespace shop").allow;
    assert_eq!(
        to,
        [Filter {
            namespaces: strings(&["shop"]),
            workloads: strings(&["statefulset/db"]),
            role: Role::Server.into(),
            ..Filter::default()
        }]
    );
    assert_eq!(wanted("--from-namespace shop").allow[0].role(), Role::Client);
    assert_eq!(wanted("--from-workload deployment/a").allow[0].workloads, ["deployment/a"]);
    assert_eq!(wanted("--to-pod db").allow[0].role(), Role::Server);
    assert!(refused("--from-pod a --to-pod b").starts_with("--from-*: with --to-* both ends are named"));
}

#[test]
fn not_is_about_the_option_behind_it() {
    let both = wanted("-n shop --not --port 53 --pod cart --not --port 5353 --not --ip 10.0.0.1");
    assert_eq!(
        both.allow,
        [Filter { namespaces: strings(&["shop"]), pods: strings(&["cart*"]), ..Filter::default() }]
    );
    let ports = Filter { ports: vec![53, 5353], ..Filter::default() };
    let address = Filter { cidrs: strings(&["10.0.0.1/32"]), ..Filter::default() };
    assert_eq!(both.deny, [ports, address], "neither one nor the other");
    let flag = wanted("--not -4 --not -n kube-system");
    assert_eq!(flag.deny.len(), 2);
    assert!(flag.allow.is_empty());
    assert_eq!(wanted("--not --from-ip 10.0.0.1").deny.len(), 2, "seen from either side");
    assert_eq!(
        refused("--not"),
        "--not: there is no filter behind it to negate; write it as --not --port 53"
    );
    assert_eq!(refused("--port 53 --not"), refused("--not"));
    assert_eq!(
        refused("--not --not --port 53"),
        "--not: twice in a row; it negates the one option behind it"
    );
}

#[test]
fn wrong_values_are_refused_with_what_would_be_right() {
    assert_eq!(refused("--kind dorp"), "no kind of event \"dorp\"; did you mean drop?");
    assert_eq!(refused("--state establish"), "no state \"establish\"; did you mean established?");
    assert_eq!(refused("--role both"), "no role \"both\"; there are client, server");
    assert_eq!(refused("--port 0"), "there is no port 0; ports are 1 to 65535");
    assert!(refused("--ip 10.0.0.1/8").starts_with("10.0.0.1/8 has host bits set"));
    assert_eq!(
        refused("-n Shop"),
        "\"Shop\" is not a namespace's name; names have lower-case letters, digits, dashes and dots"
    );
    assert!(refused("--pod a/b/c").starts_with("\"b/c\" is not a pod's name"));
    assert!(refused("--pod *").starts_with("\"*\" is not a pod's name"));
    assert!(refused("--node -x").starts_with("\"-x\" is not a node's name"));
    assert_eq!(refused("--workload cart"), "\"cart\" is not a workload; write it as deployment/cart");
    assert_eq!(
        refused("-l ,"),
        "\",\" is not a label selector; write it as app=cart or app=cart,tier!=cache"
    );
    assert!(refused("--netns abc").starts_with("\"abc\" is not an inode"));
    assert!(refused("--pid 0").contains("is not a process id"));
    assert!(refused("--min-latency fast").contains("is not a duration"));
    assert!(refused("--min-bytes many").contains("is not a size"));
    assert_eq!(refused("-4 -6"), "--ipv6: no address is both \"-4 -6\"; leave both out to see both");
    assert_eq!(refused("-A -n shop"), "-A/--all-namespaces and -n/--namespace exclude each other");
    assert!(refused("--port 80,").contains("has an empty item"));
}
