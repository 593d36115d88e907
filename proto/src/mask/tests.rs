//! Masks of all paths there are, judged by reflection.

use std::sync::LazyLock;

use proptest::prelude::{Just, ProptestConfig, Strategy, any, prop_assert_eq, prop_oneof, proptest};
use prost::Message as _;
use prost_reflect::{
    Cardinality, DescriptorPool, DynamicMessage, FieldDescriptor, Kind, MessageDescriptor,
    ReflectMessage as _, Value,
};
use prost_types::{Duration, Timestamp};

use super::{Mask, MaskError};
use crate::{
    DESCRIPTORS,
    v1::{self, event::Detail},
};

static POOL: LazyLock<DescriptorPool> = LazyLock::new(|| DescriptorPool::decode(DESCRIPTORS).unwrap());

fn event_descriptor() -> MessageDescriptor {
    POOL.get_message_by_name("sockeye.v1.Event").unwrap()
}

/// The message that a path may go into.
fn inside(field: &FieldDescriptor) -> Option<MessageDescriptor> {
    let Kind::Message(message) = field.kind() else { return None };
    let one = field.cardinality() != Cardinality::Repeated;
    (one && message.package_name() == "sockeye.v1").then_some(message)
}

/// Every path that there is.
fn paths() -> Vec<String> {
    fn below(message: &MessageDescriptor, before: &str, paths: &mut Vec<String>) {
        for field in message.fields() {
            let path = format!("{before}{}", field.name());
            if let Some(inner) = inside(&field) {
                below(&inner, &format!("{path}."), paths);
            }
            paths.push(path);
        }
    }
    let mut paths = Vec::new();
    below(&event_descriptor(), "", &mut paths);
    paths
}

/// The same by names, field for field, without numbers and bytes.
fn judge(event: &v1::Event, paths: &[String]) -> v1::Event {
    fn keep(message: &mut DynamicMessage, before: &str, paths: &[String]) {
        for field in message.descriptor().fields().collect::<Vec<_>>() {
            let path = format!("{before}{}", field.name());
            if paths.contains(&path) || !message.has_field(&field) {
                continue;
            }
            let part = format!("{path}.");
            if !paths.iter().any(|path| path.starts_with(&part)) {
                message.clear_field(&field);
                continue;
            }
            let Value::Message(inner) = message.get_field_mut(&field) else { panic!("{path} is no message") };
            keep(inner, &part, paths);
            let empty = inner.encoded_len() == 0;
            let member = field.containing_oneof().is_some_and(|oneof| oneof.name() == "detail");
            if empty && !member {
                message.clear_field(&field);
            }
        }
    }
    let mut message = DynamicMessage::new(event_descriptor());
    message.transcode_from(event).unwrap();
    keep(&mut message, "", paths);
    message.transcode_to().unwrap()
}

/// An event in which a good deal is set.
fn event() -> impl Strategy<Value = v1::Event> {
    let detail = prop_oneof![
        Just(None),
        Just(Some(Detail::Connect(v1::Connect {}))),
        Just(Some(Detail::Close(v1::Close {
            duration: Some(Duration { seconds: 1, nanos: 2 }),
            cause: v1::CloseCause::Fin.into(),
            counters: Some(v1::Counters { bytes_sent: Some(7), ..v1::Counters::default() }),
            ..v1::Close::default()
        }))),
        Just(Some(Detail::Close(v1::Close::default()))),
        Just(Some(Detail::Retransmit(v1::Retransmit { segments: Some(0), ..v1::Retransmit::default() }))),
    ];
    let ip = prop_oneof![Just(String::new()), Just("10.0.0.1".to_owned())];
    let end = proptest::option::of((ip, any::<Option<u32>>()))
        .prop_map(|end| end.map(|(ip, port)| v1::SocketAddress { ip, port }));
    (any::<[bool; 6]>(), any::<Option<u64>>(), end, detail).prop_map(|(on, number, remote, detail)| {
        v1::Event {
            time: on[0].then_some(Timestamp { seconds: 5, nanos: 0 }),
            node_name: "node-1".to_owned(),
            cpu: 3,
            synthetic: on[1],
            socket: on[2].then(|| v1::Socket { cookie: number, remote, ..v1::Socket::default() }),
            process: on[3].then(|| v1::Process { pid: 9, comm: "curl".to_owned(), ..v1::Process::default() }),
            local: on[4].then(|| v1::Identity {
                pod: "cart-1".to_owned(),
                workload: on[5].then(|| v1::Workload { name: "cart".to_owned(), ..v1::Workload::default() }),
                labels: [("app".to_owned(), "cart".to_owned())].into(),
                ..v1::Identity::default()
            }),
            detail,
            ..v1::Event::default()
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn a_mask_keeps_what_its_paths_name_and_nothing_else(
        event in event(),
        paths in proptest::sample::subsequence(paths(), 1..12),
    ) {
        let mask = Mask::new(&paths).unwrap();
        let mut kept = event.clone();
        mask.apply(&mut kept);
        prop_assert_eq!(&kept, &judge(&event, &paths));
        // In any order, and named twice.
        let again = Mask::new(paths.iter().rev().chain(&paths)).unwrap();
        prop_assert_eq!(again, mask);
    }

    #[test]
    fn any_text_is_a_path_or_refused_in_one_line(path in "\\PC{0,40}|[a-z_.]{0,300}") {
        if let Err(error) = Mask::new([path]) {
            let line = error.to_string();
            prop_assert_eq!(line.lines().count(), 1, "{}", line);
            assert!(line.len() < 2000, "{line}");
        }
    }

    #[test]
    fn any_bytes_are_filtered_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Mask::default().filter(&bytes);
        let _ = Mask::new(["socket.remote.ip", "close.counters.srtt"]).unwrap().filter(&bytes);
    }
}

#[test]
fn every_path_that_there_is_is_one() {
    let paths = paths();
    assert!(paths.len() > 150, "{}", paths.len());
    for path in &paths {
        let mask = Mask::new([path]).unwrap();
        assert_ne!(mask, Mask::default());
    }
}

#[test]
fn every_field_number_has_a_bit() {
    let fields = POOL.all_messages().filter(|message| message.package_name() == "sockeye.v1");
    assert!(fields.flat_map(|message| message.fields().collect::<Vec<_>>()).all(|field| field.number() < 64));
}

#[test]
fn an_empty_mask_keeps_all_but_labels() {
    let identity = v1::Identity { pod: "cart-1".to_owned(), ..v1::Identity::default() };
    let labelled = v1::Identity { labels: [("a".to_owned(), "b".to_owned())].into(), ..identity.clone() };
    let event = |identity: &v1::Identity| v1::Event {
        cpu: 1,
        local: Some(identity.clone()),
        remote: Some(identity.clone()),
        detail: Some(Detail::Close(v1::Close::default())),
        ..v1::Event::default()
    };
    for mask in [Mask::default(), Mask::new([""]).unwrap(), Mask::of(None).unwrap()] {
        let mut kept = event(&labelled);
        mask.apply(&mut kept);
        assert_eq!(kept, event(&identity));
    }
    for mask in [Mask::everything(), Mask::new(["cpu", "*"]).unwrap()] {
        let mut kept = event(&labelled);
        mask.apply(&mut kept);
        assert_eq!(kept, event(&labelled));
    }
}

#[test]
fn what_is_kept_can_be_asked_by_number() {
    let mask = Mask::new(["socket.remote.ip", "local", "kind"]).unwrap();
    assert!(mask.keeps(&[10]) && mask.keeps(&[10, 5]) && mask.keeps(&[10, 5, 1]) && mask.keeps(&[4]));
    assert!(mask.keeps(&[15, 14]), "a field that is named is kept whole");
    assert!(!mask.keeps(&[10, 5, 2]) && !mask.keeps(&[10, 4]) && !mask.keeps(&[12]) && !mask.keeps(&[12, 1]));
    assert_eq!(mask.fields(&[]), 1 << 4 | 1 << 10 | 1 << 15);
    assert_eq!(mask.fields(&[12]), 0);
    assert_eq!(mask.fields(&[15]), u64::MAX);
}

#[test]
fn a_wrong_path_is_named_with_the_nearest_right_one() {
    let error = |path: &str| Mask::new(["kind", path]).unwrap_err().to_string();
    assert_eq!(
        error("socket.remote.ipp"),
        r#"unknown path "socket.remote.ipp": SocketAddress has no field "ipp"; the nearest is "socket.remote.ip""#
    );
    assert_eq!(
        error("proces"),
        r#"unknown path "proces": Event has no field "proces"; the nearest is "process""#
    );
    assert_eq!(
        error("time.seconds"),
        r#"unknown path "time.seconds": "time" is a value without fields of its own"#
    );
    assert_eq!(
        error("local.labels.app"),
        r#"unknown path "local.labels.app": "local.labels" is a value without fields of its own"#
    );
    assert!(matches!(Mask::new(["explanation.evidence.time"]), Err(MaskError::Value { .. })));
    assert!(error("socket.").contains(r#"no field """#));
    assert!(error("a\u{1b}[2J\nb").contains(r"\u{1b}[2J\nb"), "{}", error("a\u{1b}[2J\nb"));
    assert!(Mask::new(["socket", "socket.nothing"]).is_err(), "also below what is kept anyway");
    assert!(error(&"x".repeat(100_000)).len() < 1000);
}
