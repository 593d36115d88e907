//! Expected values here were read from the kernels with other tools (pahole, libbpf), not with our parser.

use std::path::Path;

use agent_common::fields::{FIELDS, Need, SOCK_DONE};

use super::{KERNELS, fixture};
use crate::host::btf::{
    AbsentReason, Btf, BtfError, Function, Member, VMLINUX, enumerators, function, member, resolve,
    tracepoint,
};

/// Offsets of plain fields by kernel, in the order of [`KERNELS`].
const OFFSETS: &[(&str, [Option<u32>; 5])] = &[
    ("SK_FAMILY", [Some(16); 5]),
    ("SK_STATE", [Some(18); 5]),
    ("SK_DADDR", [Some(0); 5]),
    ("SK_RCV_SADDR", [Some(4); 5]),
    ("SK_DPORT", [Some(12); 5]),
    ("SK_NET", [Some(48); 5]),
    ("SK_V6_DADDR", [Some(56); 5]),
    ("SK_V6_RCV_SADDR", [Some(72); 5]),
    ("SK_COOKIE", [Some(88); 5]),
    ("SK_ERR", [Some(568), Some(544), Some(284), Some(284), Some(284)]),
    ("SK_SHUTDOWN", [Some(626), Some(610), Some(571), Some(583), Some(591)]),
    ("SK_ACK_BACKLOG", [Some(576), Some(552), Some(604), Some(608), Some(616)]),
    ("SK_PROTOCOL", [Some(540), Some(516), Some(574), Some(532), Some(540)]),
    ("SK_CGROUP", [None, Some(648), Some(672), Some(680), Some(688)]),
    ("CGROUP_KN", [Some(248), Some(248), Some(256), Some(256), Some(296)]),
    ("KN_ID", [Some(104), Some(104), Some(96), Some(96), Some(96)]),
    ("KN_PARENT", [Some(8); 5]),
    ("NET_INUM", [Some(136), Some(144), Some(136), Some(176), Some(280)]),
    ("INET_SPORT", [Some(776), Some(804), Some(798), Some(814), Some(830)]),
    ("TP_SEGS_OUT", [Some(1432), Some(1440), Some(1600), Some(1536), Some(1856)]),
    ("TP_BYTES_ACKED", [Some(1448), Some(1456), Some(1840), Some(1816), Some(1608)]),
    ("TP_BYTES_RETRANS", [Some(2088), Some(2096), Some(2208), Some(2184), Some(2296)]),
    ("TP_SRTT_US", [Some(1624), Some(1632), Some(1728), Some(1672), Some(1784)]),
    // minmax_sample is { u32 t; u32 v; }: the value stands 4 bytes into the array.
    ("TP_RTT_MIN", [Some(1648), Some(1656), Some(1508), Some(1508), Some(1540)]),
    ("TP_SND_CWND", [Some(1728), Some(1736), Some(1452), Some(1452), Some(1484)]),
    ("TP_COPIED_SEQ", [Some(1420), Some(1428), Some(1472), Some(1472), Some(1504)]),
    ("TASK_TGID", [Some(2236), Some(2420), Some(2436), Some(2708), Some(2812)]),
    ("TASK_COMM", [Some(2736), Some(2976), Some(2976), Some(3248), Some(3344)]),
    ("TASK_GROUP_LEADER", [Some(2296), Some(2480), Some(2496), Some(2768), Some(2872)]),
    ("TASK_START_BOOTTIME", [Some(2544), Some(2784), Some(2784), Some(3056), Some(3160)]),
    ("TASK_CRED", [Some(2720), Some(2960), Some(2960), Some(3232), Some(3328)]),
    ("TASK_NSPROXY", [Some(2824), Some(3064), Some(3064), Some(3336), Some(3440)]),
    ("NSPROXY_MNT_NS", [Some(24); 5]),
    ("MNT_NS_INUM", [Some(24), Some(16), Some(16), Some(24), Some(88)]),
    ("SOCKET_SK", [Some(24); 5]),
    ("ICSK_CA_STATE", [Some(1224), Some(1240), Some(1240), Some(1248), Some(1280)]),
    ("TCP_CB_GSO_SEGS", [Some(8); 5]),
    ("TCP_CB_FLAGS", [Some(12); 5]),
    ("REQUEST_RETRANS", [Some(146); 5]),
];

#[test]
fn every_kernel_has_what_the_engine_needs() {
    for kernel in KERNELS {
        let resolved = resolve(&fixture(kernel), FIELDS).unwrap();
        assert!(resolved.has(Need::Engine), "{kernel}: {:?}", resolved.absent);
        assert!(resolved.has(Need::Counters), "{kernel}: {:?}", resolved.absent);
        assert!(resolved.has(Need::Retransmit), "{kernel}: {:?}", resolved.absent);
        assert_eq!(resolved.offsets.len(), FIELDS.len());
    }
}

#[test]
fn fields_are_where_other_tools_find_them() {
    for (index, kernel) in KERNELS.into_iter().enumerate() {
        let resolved = resolve(&fixture(kernel), FIELDS).unwrap();
        for (field, offsets) in OFFSETS {
            assert_eq!(resolved.offset(field), offsets[index], "{field} of {kernel}");
        }
    }
}

#[test]
fn only_the_oldest_kernel_hides_the_sockets_cgroup() {
    for kernel in KERNELS {
        let resolved = resolve(&fixture(kernel), FIELDS).unwrap();
        let absent = resolved.absent.iter().find(|absent| absent.field == "SK_CGROUP");
        match absent {
            Some(absent) => {
                assert_eq!(kernel, "5.10");
                assert_eq!((absent.need, absent.reason), (Need::Cgroup, AbsentReason::NoMember));
                assert_eq!(
                    absent.to_string(),
                    "cgroup of a socket is unknown on this kernel: sock.sk_cgrp_data.cgroup is missing (no such member)"
                );
            }
            None => assert_ne!(kernel, "5.10"),
        }
    }
}

#[test]
fn bitfields_have_a_byte_a_bit_and_a_width() {
    let bits = |byte_offset, bit_offset, width| {
        Some(Member { byte_offset, size: 1, bit_offset, bit_width: Some(width) })
    };
    for (kernel, byte) in KERNELS.into_iter().zip([1224, 1240, 1240, 1248, 1280]) {
        let btf = fixture(kernel);
        assert_eq!(
            member(&btf, "inet_connection_sock", "icsk_ca_state").unwrap(),
            bits(byte, 0, 5),
            "{kernel}"
        );
        assert_eq!(member(&btf, "sk_buff", "pkt_type").unwrap(), bits(128, 0, 3), "{kernel}");
        assert_eq!(member(&btf, "iphdr", "version").unwrap(), bits(0, 4, 4), "{kernel}");
        assert_eq!(member(&btf, "tcphdr", "doff").unwrap(), bits(12, 4, 4), "{kernel}");
        assert_eq!(member(&btf, "tcphdr", "ack").unwrap(), bits(13, 4, 1), "{kernel}");
    }
}

#[test]
fn renamed_members_are_found_under_either_name() {
    assert!(member(&fixture("6.12"), "kernfs_node", "parent").unwrap().is_some());
    assert!(member(&fixture("6.12"), "kernfs_node", "__parent").unwrap().is_none());
    assert!(member(&fixture("6.18"), "kernfs_node", "parent").unwrap().is_none());
    assert!(member(&fixture("6.18"), "kernfs_node", "__parent").unwrap().is_some());
}

#[test]
fn tracepoints_have_the_arguments_of_their_kernel() {
    let table: &[(&str, [Option<usize>; 5])] = &[
        ("inet_sock_set_state", [Some(3); 5]),
        ("tcp_retransmit_skb", [Some(2), Some(2), Some(2), Some(3), Some(3)]),
        ("tcp_send_reset", [Some(2), Some(2), Some(3), Some(3), Some(3)]),
        ("kfree_skb", [Some(2), Some(3), Some(4), Some(4), Some(4)]),
        ("sock_recv_length", [None, None, Some(3), Some(3), Some(3)]),
        ("cgroup_mkdir", [Some(2); 5]),
        ("no_such_tracepoint", [None; 5]),
    ];
    for (index, kernel) in KERNELS.into_iter().enumerate() {
        for (name, arguments) in table {
            assert_eq!(tracepoint(&fixture(kernel), name), arguments[index], "{name} of {kernel}");
        }
    }
}

#[test]
fn functions_have_the_shape_of_their_kernel() {
    for (kernel, arguments) in KERNELS.into_iter().zip([4, 4, 2, 2, 2]) {
        let btf = fixture(kernel);
        assert_eq!(
            function(&btf, "inet_csk_accept"),
            Some(Function { arguments, returns: Some(8) }),
            "{kernel}"
        );
        assert_eq!(
            function(&btf, "tcp_v4_connect"),
            Some(Function { arguments: 3, returns: Some(4) }),
            "{kernel}"
        );
        assert_eq!(
            function(&btf, "tcp_set_state"),
            Some(Function { arguments: 2, returns: None }),
            "{kernel}"
        );
        assert_eq!(function(&btf, "no_such_function"), None);
    }
}

#[test]
fn enums_give_names_and_values() {
    for kernel in KERNELS {
        let btf = fixture(kernel);
        let states = enumerators(&btf, "tcp_ca_state");
        let names: Vec<_> = states.iter().map(|(name, value)| (name.as_str(), *value)).collect();
        assert_eq!(
            names,
            [
                ("TCP_CA_Open", 0),
                ("TCP_CA_Disorder", 1),
                ("TCP_CA_CWR", 2),
                ("TCP_CA_Recovery", 3),
                ("TCP_CA_Loss", 4)
            ],
            "{kernel}"
        );
        assert!(enumerators(&btf, "no_such_enum").is_empty());
    }
    let reasons = enumerators(&fixture("6.12"), "skb_drop_reason");
    assert!(reasons.contains(&("SKB_DROP_REASON_QUEUE_PURGE".to_owned(), 87)));
    let reasons = enumerators(&fixture("6.18"), "skb_drop_reason");
    assert!(reasons.contains(&("SKB_DROP_REASON_QUEUE_PURGE".to_owned(), 104)));
}

#[test]
fn sock_done_has_the_number_that_the_programs_use() {
    // The reduced files have no sock_flags; a kernel with all its types has.
    let running = Btf::from_file(Path::new(VMLINUX)).ok();
    for btf in KERNELS.map(fixture).iter().chain(&running) {
        let flags = enumerators(btf, "sock_flags");
        if let Some((_, value)) = flags.iter().find(|(name, _)| name == "SOCK_DONE") {
            assert_eq!(*value, i64::from(SOCK_DONE));
        }
    }
    if let Some(running) = running {
        assert!(!enumerators(&running, "sock_flags").is_empty());
    }
}

#[test]
fn the_running_kernel_resolves_where_it_shows_its_types() {
    let btf = match Btf::from_file(Path::new(VMLINUX)) {
        Ok(btf) => btf,
        Err(BtfError::Read { .. }) => return,
        Err(error) => panic!("{error}"),
    };
    let resolved = resolve(&btf, FIELDS).unwrap();
    assert!(resolved.has(Need::Engine), "{:?}", resolved.absent);
    assert_eq!(resolved.offset("SK_STATE"), Some(18));
    assert_eq!(tracepoint(&btf, "inet_sock_set_state"), Some(3));
}
