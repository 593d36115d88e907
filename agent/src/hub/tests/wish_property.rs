//! Any text and any number in any field of a filter.

use proptest::prelude::*;
use prost::Message as _;
use proto::v1::{Filter, ObserveRequest};

use crate::hub::wish::Wish;

/// Words that come near to what is meant, and any others.
fn words() -> impl Strategy<Value = Vec<String>> {
    let near = "(Deployment/|app in |!)?[a-z0-9*./:,=()-]{0,12}(/[0-9]{1,3})?";
    proptest::collection::vec(prop_oneof![near, any::<String>()], 0..3)
}

fn numbers() -> impl Strategy<Value = Vec<u32>> {
    proptest::collection::vec(prop_oneof![0..70_000_u32, any::<u32>()], 0..3)
}

fn codes() -> impl Strategy<Value = Vec<i32>> {
    proptest::collection::vec(prop_oneof![-1..32_i32, any::<i32>()], 0..3)
}

prop_compose! {
    fn filters()(
        texts in proptest::collection::vec(words(), 12),
        ids in proptest::collection::vec(numbers(), 7),
        enums in proptest::collection::vec(codes(), 6),
        (seconds, nanos, selector) in (any::<i64>(), any::<i32>(), any::<String>()),
    ) -> Filter {
        let (mut texts, mut ids, mut enums) = (texts.into_iter(), ids.into_iter(), enums.into_iter());
        let mut text = || texts.next().unwrap_or_default();
        let mut id = || ids.next().unwrap_or_default();
        let mut code = || enums.next().unwrap_or_default();
        Filter {
            namespaces: text(),
            pods: text(),
            pod_uids: text(),
            containers: text(),
            workloads: text(),
            label_selector: selector,
            nodes: text(),
            cgroups: text(),
            comms: text(),
            local_cidrs: text(),
            remote_cidrs: text(),
            cidrs: text(),
            remote_namespaces: text(),
            netns: id(),
            mount_namespaces: id(),
            pids: id(),
            uids: id(),
            local_ports: id(),
            remote_ports: id(),
            ports: id(),
            kinds: code(),
            old_states: code(),
            new_states: code(),
            close_causes: code(),
            failure_causes: code(),
            retransmit_types: code(),
            min_latency: Some(prost_types::Duration { seconds, nanos }),
            ..Filter::default()
        }
    }
}

/// One condition at a time: or hardly any filter would come to its later fields.
fn one_of(filter: &Filter, field: usize) -> Filter {
    let none = Filter::default;
    let f = filter.clone();
    match field {
        0 => Filter { namespaces: f.namespaces, ..none() },
        1 => Filter { pods: f.pods, ..none() },
        2 => Filter { pod_uids: f.pod_uids, ..none() },
        3 => Filter { workloads: f.workloads, containers: f.containers, ..none() },
        4 => Filter { label_selector: f.label_selector, ..none() },
        5 => Filter { cgroups: f.cgroups, nodes: f.nodes, ..none() },
        6 => Filter { comms: f.comms, pids: f.pids, uids: f.uids, ..none() },
        7 => Filter { local_cidrs: f.local_cidrs, ..none() },
        8 => Filter { remote_cidrs: f.remote_cidrs, cidrs: f.cidrs, ..none() },
        9 => Filter { local_ports: f.local_ports, ..none() },
        10 => Filter { remote_ports: f.remote_ports, ports: f.ports, ..none() },
        11 => Filter { kinds: f.kinds, ..none() },
        12 => Filter { old_states: f.old_states, new_states: f.new_states, ..none() },
        13 => Filter { close_causes: f.close_causes, ..none() },
        14 => Filter { failure_causes: f.failure_causes, ..none() },
        15 => Filter { min_latency: f.min_latency, ..none() },
        16 => Filter { netns: f.netns, mount_namespaces: f.mount_namespaces, ..none() },
        _ => f,
    }
}

proptest! {
    #[test]
    fn any_filter_is_read_or_refused_in_one_line_that_begins_with_the_field(
        filter in filters(), field in 0..18_usize,
    ) {
        let request = ObserveRequest { deny: vec![one_of(&filter, field)], ..ObserveRequest::default() };
        match Wish::read(&request) {
            Ok(wish) => prop_assert!(wish.deny.len() <= 1),
            Err(error) => {
                let text = error.to_string();
                prop_assert!(text.starts_with("deny[0]."), "{}", text);
                prop_assert!(!text.contains(char::is_control), "{:?}", text);
            }
        }
    }

    #[test]
    fn any_bytes_that_are_a_request_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
        if let Ok(request) = ObserveRequest::decode(bytes.as_slice()) {
            let _ = Wish::read(&request);
        }
    }
}

#[test]
fn a_filter_that_is_meant_is_read() {
    let request = ObserveRequest {
        allow: vec![Filter { label_selector: "app in (a, b),!tier".to_owned(), ..Filter::default() }],
        ..ObserveRequest::default()
    };
    assert_eq!(Wish::read(&request).unwrap().allow.len(), 1);
}
