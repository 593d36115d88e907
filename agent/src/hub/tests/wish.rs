//! Requests that are refused, and what the others mean.

use proto::v1::{Filter, ObserveRequest};

use super::{MadeUp, event, identity, wish};
use crate::{
    event::EventKind,
    hub::{exchange::wanted, wish::Wish},
    identity::Pod,
};

fn refusal(request: &ObserveRequest) -> String {
    Wish::read(request).unwrap_err().to_string()
}

fn filter(filter: Filter) -> ObserveRequest {
    ObserveRequest { allow: vec![Filter::default(), filter], ..ObserveRequest::default() }
}

#[test]
fn what_cannot_be_meant_is_refused_with_the_field_that_says_it() {
    let seconds = |seconds| Some(prost_types::Duration { seconds, nanos: 0 });
    let at = |seconds| Some(prost_types::Timestamp { seconds, nanos: 0 });
    let none = Filter::default;
    let all = ObserveRequest::default;
    let cases: &[(ObserveRequest, &str)] = &[
        (
            filter(Filter { local_ports: vec![80, 70_000], ..none() }),
            "allow[1].local_ports[1]: 70000 is no port (1 to 65535)",
        ),
        (filter(Filter { ports: vec![0], ..none() }), "allow[1].ports[0]: 0 is no port (1 to 65535)"),
        (filter(Filter { netns: vec![0], ..none() }), "allow[1].netns[0]: 0 is no inode"),
        (filter(Filter { pids: vec![0], ..none() }), "allow[1].pids[0]: 0 is no process id"),
        (
            filter(Filter { local_cidrs: vec!["10.0.0.1/8".into()], ..none() }),
            "allow[1].local_cidrs[0]: 10.0.0.1/8 has host bits set; the network is 10.0.0.0/8, the single address 10.0.0.1",
        ),
        (
            filter(Filter { cidrs: vec!["10.0.0.0/33".into()], ..none() }),
            "allow[1].cidrs[0]: \"10.0.0.0/33\": IPv4 prefixes have 0 to 32 bits",
        ),
        (
            filter(Filter { remote_cidrs: vec!["db".into()], ..none() }),
            "allow[1].remote_cidrs[0]: \"db\" is not an address prefix; write it as 10.0.0.0/8, 192.0.2.7 or 2001:db8::/32",
        ),
        (
            filter(Filter { cgroups: vec!["kubepods".into()], ..none() }),
            "allow[1].cgroups[0]: \"kubepods\" is neither an id nor a path from the root (/kubepods.slice/…)",
        ),
        (
            filter(Filter { workloads: vec!["cart".into()], ..none() }),
            "allow[1].workloads[0]: \"cart\" is no workload; write it as kind/name (deployment/cart)",
        ),
        (
            filter(Filter { pods: vec!["Cart".into()], ..none() }),
            "allow[1].pods[0]: \"Cart\" is no name of a pod, and no beginning of one followed by *",
        ),
        (filter(Filter { kinds: vec![99], ..none() }), "allow[1].kinds[0]: 99 is no kind"),
        (filter(Filter { old_states: vec![77], ..none() }), "allow[1].old_states[0]: 77 is no state"),
        (
            filter(Filter { remote_pods: vec!["db".into()], ..none() }),
            "allow[1].remote_pods: only a collector knows who the peer is",
        ),
        (
            filter(Filter { min_latency: seconds(-1), ..none() }),
            "allow[1].min_latency: is negative, or no duration",
        ),
        (ObserveRequest { kinds: vec![8], ..all() }, "kinds[0]: this agent makes no EVENT_KIND_DROP"),
        (ObserveRequest { first: Some(1), last: Some(1), ..all() }, "first: does not go with last or follow"),
        (ObserveRequest { first: Some(1), follow: true, ..all() }, "first: does not go with last or follow"),
        (ObserveRequest { last: Some(1), since: at(1), ..all() }, "last: does not go with since or until"),
        (ObserveRequest { until: at(1), follow: true, ..all() }, "until: does not go with follow"),
        (ObserveRequest { since: at(2), until: at(1), ..all() }, "until: is before since"),
        (ObserveRequest { since: at(-2), ..all() }, "since: is no time since 1970"),
        (ObserveRequest { resume_token: vec![1, 2, 3], ..all() }, "resume_token: is none of this API's"),
        (
            ObserveRequest { resume_token: vec![0; 24], last: Some(1), ..all() },
            "resume_token: does not go with first, last or since",
        ),
        (ObserveRequest { encoding: 9, ..all() }, "encoding: 9 is no encoding"),
        (ObserveRequest { max_batch_delay: seconds(11), ..all() }, "max_batch_delay: at most 10 s"),
        (ObserveRequest { join: true, ..all() }, "join: only a collector can do that"),
        (ObserveRequest { allow: vec![Filter::default(); 65], ..all() }, "allow: 65 filters; at most 64"),
    ];
    for (request, expected) in cases {
        assert_eq!(refusal(request), *expected);
    }
    let selector = refusal(&filter(Filter { label_selector: "app in".into(), ..none() }));
    assert!(selector.starts_with("allow[1].label_selector: "), "{selector}");
}

#[test]
fn a_request_for_the_past_alone_does_not_follow() {
    let follows = |request: ObserveRequest| Wish::read(&request).unwrap().follow;
    assert!(follows(ObserveRequest::default()));
    assert!(!follows(ObserveRequest { last: Some(5), ..ObserveRequest::default() }));
    assert!(follows(ObserveRequest { last: Some(5), follow: true, ..ObserveRequest::default() }));
    assert!(follows(ObserveRequest { resume_token: vec![0; 24], ..ObserveRequest::default() }));
}

#[test]
fn a_caller_with_a_namespace_sees_no_other_and_not_the_host() {
    let names = MadeUp::default();
    let pod = |namespace: &str| {
        identity(
            Some(Pod {
                namespace: namespace.into(),
                name: "cart-0".into(),
                uid: "u".into(),
                workload: None,
                labels: std::iter::empty::<(&str, &str)>().collect(),
            }),
            false,
        )
    };
    let sees = |wish: &Wish, who: &crate::identity::Identity| wanted(wish, &event(10, 1), who, &names).0 != 0;
    let in_shop = Filter { namespaces: vec!["shop".into()], ..Filter::default() };
    for (asked, shop, bank) in [
        (wish(&[], &[]), true, false),
        (wish(&[in_shop], &[]), true, false),
        (wish(&[Filter { namespaces: vec!["bank".into()], ..Filter::default() }], &[]), false, false),
    ] {
        let mut asked = asked;
        asked.only_namespaces(&["shop".to_owned()].into());
        assert_eq!((sees(&asked, &pod("shop")), sees(&asked, &pod("bank"))), (shop, bank));
        assert!(!sees(&asked, &identity(None, false)), "nobody's");
    }
}

#[test]
fn conditions_on_one_kind_leave_out_the_others() {
    let names = MadeUp::default();
    let who = identity(None, false);
    let long =
        Filter { min_duration: Some(prost_types::Duration { seconds: 1, nanos: 0 }), ..Filter::default() };
    let mut closed = event(10, 1);
    closed.kinds = [EventKind::Close, EventKind::StateChange].into_iter().collect();
    closed.close = Some(crate::event::Close {
        duration: Some(std::time::Duration::from_secs(2)),
        initiator: crate::event::Initiator::Local,
        how: crate::event::CloseHow::Fin,
        errno: None,
    });
    let kinds = |wish: &Wish| wanted(wish, &closed, &who, &names).iter().collect::<Vec<_>>();
    assert_eq!(kinds(&wish(std::slice::from_ref(&long), &[])), [EventKind::Close]);
    assert_eq!(kinds(&wish(&[], &[long])), [EventKind::StateChange]);
}
