//! Types made at random, types broken at random, and types that contradict each other.

use agent_common::fields::{FIELDS, Field, Need};
use proptest::prelude::{Just, Strategy, any, prop, prop_assert_eq, prop_oneof, proptest};

use super::{
    KERNELS, fixture_path,
    writer::{Shape, Writer},
};
use crate::host::btf::{AbsentReason, Btf, MemberError, enumerators, function, member, resolve, tracepoint};

fn shape() -> impl Strategy<Value = Shape> {
    let leaf = prop_oneof![
        prop_oneof![Just(1), Just(2), Just(4), Just(8)].prop_map(Shape::Int),
        Just(Shape::Pointer),
        (1..=31u32).prop_map(Shape::Bits),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        // A bitfield can be neither an element nor hidden behind a typedef of ours.
        let whole = inner.clone().prop_filter("no bitfield", |shape| !matches!(shape, Shape::Bits(_)));
        prop_oneof![
            (whole.clone(), 1..5u32).prop_map(|(shape, len)| Shape::Array(Box::new(shape), len)),
            whole.prop_map(|shape| Shape::Wrapped(Box::new(shape))),
            members(inner).prop_map(|(union, members)| Shape::Composite(union, members)),
        ]
    })
}

fn members(inner: impl Strategy<Value = Shape>) -> impl Strategy<Value = (bool, Vec<(bool, Shape)>)> {
    (any::<bool>(), prop::collection::vec((any::<bool>(), inner), 1..6))
}

/// Asks for everything; the answers do not matter, only that there are some.
fn ask(bytes: Vec<u8>) {
    let Ok(btf) = Btf::from_bytes(bytes) else { return };
    let _ = resolve(&btf, FIELDS);
    let _ = member(&btf, "inet_connection_sock", "icsk_ca_state");
    let _ = (function(&btf, "inet_csk_accept"), tracepoint(&btf, "inet_sock_set_state"));
    let _ = enumerators(&btf, "skb_drop_reason");
}

proptest! {
    #[test]
    fn every_member_is_found_where_it_was_laid(
        (union, members) in members(shape()),
        old_bitfields in any::<bool>(),
        in_module in any::<bool>(),
    ) {
        let mut base = Writer::new(old_bitfields);
        base.int(4, 32);
        let mut split = base.split();
        let (expected, btf) = if in_module {
            let expected = split.layout("root", union, &members);
            let base = Btf::from_bytes(base.finish()).unwrap();
            (expected, Btf::split_bytes(&base, split.finish()).unwrap())
        } else {
            let expected = base.layout("root", union, &members);
            (expected, Btf::from_bytes(base.finish()).unwrap())
        };
        for (path, place) in expected {
            prop_assert_eq!(member(&btf, "root", &path), Ok(Some(place)), "{}", path);
        }
        prop_assert_eq!(member(&btf, "root", "no_such_member"), Ok(None));
    }

    #[test]
    fn random_bytes_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        ask(bytes);
    }

    #[test]
    fn random_bytes_behind_a_good_header_do_no_harm(
        words in prop::collection::vec(any::<u32>(), 0..200),
        kinds in prop::collection::vec(1..20u32, 0..40),
        cut in any::<u16>(),
    ) {
        let mut bytes = Writer::new(false).finish();
        bytes.truncate(24);
        for (index, word) in words.iter().enumerate() {
            // Every third word with a kind and few members, so that more than the first type is looked at.
            let kind = kinds.get(index / 3).filter(|_| index % 3 == 1).map(|kind| kind << 24 | word & 0x8000_0003);
            bytes.extend(kind.unwrap_or(*word % 64).to_le_bytes());
        }
        bytes.extend(b"\0sock\0sock_common\0skc_family\0");
        let strings = 30.min(bytes.len() - 24);
        let types = bytes.len() - 24 - strings;
        for (at, value) in [(8, 0), (12, types), (16, types), (20, strings)] {
            bytes[at..at + 4].copy_from_slice(&u32::try_from(value).unwrap().to_le_bytes());
        }
        bytes.truncate(bytes.len().saturating_sub(usize::from(cut) % 40 * usize::from(cut > 60_000)));
        ask(bytes);
    }

    #[test]
    fn a_kernels_types_with_flipped_bits_or_cut_off_do_no_harm(
        kernel in prop::sample::select(KERNELS.as_slice()),
        flips in prop::collection::vec((any::<prop::sample::Index>(), 0..8u8), 1..40),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let mut bytes = std::fs::read(fixture_path(kernel)).unwrap();
        for (at, bit) in flips {
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        ask(bytes);
    }
}

#[test]
fn a_cut_anywhere_is_an_error() {
    let bytes = std::fs::read(fixture_path("6.1")).unwrap();
    for len in (0..bytes.len()).step_by(997).chain([bytes.len() - 1]) {
        assert!(Btf::from_bytes(bytes[..len].to_vec()).is_err(), "{len}");
    }
}

#[test]
fn a_struct_that_nests_in_itself_ends() {
    let mut writer = Writer::new(false);
    // Types 1 and 2, each with eight anonymous members of the other's type.
    let members = |target| [("", target, 0, None); 8];
    writer.composite("root", false, 8, &members(2));
    writer.composite("other", false, 8, &members(1));
    // Type 3 is a typedef of itself.
    writer.typedef("loop_t", 3);
    let btf = Btf::from_bytes(writer.finish()).unwrap();
    assert_eq!(member(&btf, "root", "field"), Ok(None));
    assert_eq!(member(&btf, "loop_t", "field"), Ok(None));
}

/// One file with two structs `twin`: `first`, and `second` after a word of something else.
fn twins(first: &str, second: &str) -> Btf {
    let mut writer = Writer::new(false);
    let int = writer.int(4, 32);
    writer.composite("twin", false, 4, &[(first, int, 0, None)]);
    writer.composite("twin", false, 8, &[("other", int, 0, None), (second, int, 32, None)]);
    Btf::from_bytes(writer.finish()).unwrap()
}

const TWIN: [Field; 1] = [Field { name: "TWIN", size: 4, places: &[("twin", "wanted")], need: Need::Engine }];

#[test]
fn structs_of_one_name_that_disagree_are_an_error_that_names_both() {
    let error = resolve(&twins("wanted", "wanted"), &TWIN).unwrap_err();
    assert!(matches!(error.source, MemberError::Ambiguous { .. }));
    assert_eq!(
        format!("{error}: {}", error.source),
        "cannot place field TWIN: kernel has two structs twin that disagree on wanted: type 2 has it at byte 0, \
         type 3 at byte 4"
    );
}

#[test]
fn structs_of_one_name_that_agree_or_lack_the_member_are_fine() {
    assert_eq!(resolve(&twins("unrelated", "wanted"), &TWIN).unwrap().offset("TWIN"), Some(4));
    assert_eq!(resolve(&twins("wanted", "unrelated"), &TWIN).unwrap().offset("TWIN"), Some(0));

    let mut writer = Writer::new(false);
    let int = writer.int(4, 32);
    for size in [4, 8] {
        writer.composite("twin", false, size, &[("wanted", int, 0, None)]);
    }
    let base = Btf::from_bytes(writer.finish()).unwrap();
    assert_eq!(resolve(&base, &TWIN).unwrap().offset("TWIN"), Some(0));

    // A module's struct of the same name counts too.
    let mut split = writer.split();
    split.composite("twin", false, 8, &[("wanted", int, 32, None)]);
    let module = Btf::split_bytes(&base, split.finish()).unwrap();
    assert!(resolve(&module, &TWIN).is_err());
}

#[test]
fn a_field_in_another_shape_is_absent_with_the_reason() {
    let mut writer = Writer::new(false);
    let int = writer.int(4, 32);
    let long = writer.int(8, 64);
    writer.composite("a", false, 16, &[("narrow", int, 0, None), ("wide", long, 64, None)]);
    writer.composite("b", false, 4, &[("low", int, 0, Some(3)), ("bits", int, 3, Some(5))]);
    let btf = Btf::from_bytes(writer.finish()).unwrap();
    let reason = |places| {
        let resolved = resolve(&btf, &[Field { name: "X", size: 4, places, need: Need::Engine }]).unwrap();
        resolved.absent.first().map(|absent| (absent.reason, absent.to_string()))
    };

    assert_eq!(reason(&[("a", "narrow")]), None);
    assert_eq!(reason(&[("a", "wide"), ("a", "narrow")]), None);
    let (kind, words) = reason(&[("a", "wide")]).unwrap();
    assert_eq!(kind, AbsentReason::Size { found: 8, wanted: 4 });
    assert_eq!(words, "socket engine is unknown on this kernel: a.wide has 8 bytes, not 4");
    assert_eq!(reason(&[("b", "bits")]).unwrap().0, AbsentReason::Bitfield { width: 5 });
    assert_eq!(
        reason(&[("b", "bits:5")]).unwrap().0,
        AbsentReason::Bitfield { width: 5 },
        "in the middle of a byte"
    );
    assert_eq!(reason(&[("b", "low:3")]), None);
    assert_eq!(reason(&[("b", "low:4")]).unwrap().0, AbsentReason::Bitfield { width: 3 });
    assert_eq!(reason(&[("a", "wide:8")]), None, "a part of a larger one");
    assert_eq!(reason(&[("a", "narrow:33")]).unwrap().0, AbsentReason::Size { found: 4, wanted: 4 });
    assert_eq!(reason(&[("a", "none")]).unwrap().0, AbsentReason::NoMember);
    assert_eq!(reason(&[("none", "a")]).unwrap().0, AbsentReason::NoStruct);
    assert_eq!(reason(&[("b", "bits"), ("none", "a")]).unwrap().0, AbsentReason::Bitfield { width: 5 });
}

#[test]
fn paths_that_are_none_are_refused() {
    let btf = twins("a", "b");
    for path in ["", ".", "a.", "a..b", "[0]", "a[", "a[]", "a[x]", "a[0", "a[0]b", "a[-1]"] {
        let error = member(&btf, "twin", path).unwrap_err();
        assert_eq!(error.to_string(), format!("`{path}` is not a path of members such as `a.b[0].c`"));
    }
}

#[test]
fn elements_outside_an_array_are_absent_but_in_a_flexible_one() {
    let btf = super::fixture("6.1");
    assert!(member(&btf, "tcp_sock", "rtt_min.s[2].v").unwrap().is_some());
    assert!(member(&btf, "tcp_sock", "rtt_min.s[3].v").unwrap().is_none());
    assert_eq!(member(&btf, "cgroup", "ancestors[2]").unwrap().unwrap().byte_offset, 1792 + 16);
    // Nothing follows a pointer, and nothing is inside an integer.
    assert!(member(&btf, "sock", "sk_socket.sk").unwrap().is_none());
    assert!(member(&btf, "sock", "sk_err.x").unwrap().is_none());
}
