//! The parsers of values: what they take, what they refuse and in which words.

use std::time::Duration;

use agent_common::prefix::{Prefix, PrefixError};
use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

use super::{Ids, Ports, Prefixes, ValueError, count, duration, latency, pids, ring_bytes, uids};

fn refused<T: std::fmt::Debug>(result: Result<T, ValueError>) -> String {
    result.expect_err("should be refused").to_string()
}

#[test]
fn port_lists_are_numbers_and_commas() {
    assert_eq!("80".parse(), Ok(Ports(vec![80])));
    assert_eq!("80, 443,65535".parse(), Ok(Ports(vec![80, 443, 65535])));
}

#[test]
fn what_is_no_port_is_named() {
    let port = |text: &str| refused(text.parse::<Ports>());
    assert_eq!(port("0"), "there is no port 0; ports are 1 to 65535");
    assert_eq!(port("80,70000"), "there is no port 70000; ports are 1 to 65535");
    assert_eq!(port("-1"), "there is no port -1; ports are 1 to 65535");
    assert_eq!(port("99999999999999999999"), "there is no port 99999999999999999999; ports are 1 to 65535");
    assert_eq!(port("http"), "\"http\" is not a port number (1 to 65535)");
    assert_eq!(port("+80"), "\"+80\" is not a port number (1 to 65535)");
    assert_eq!(port("80-90"), "\"80-90\" is not a port number (1 to 65535)");
    assert_eq!(port(""), "the list is empty; give ports as 80 or 80,443");
    assert_eq!(port("80,,81"), "\"80,,81\" has an empty item; give ports as 80 or 80,443");
    assert_eq!(port("80,"), "\"80,\" has an empty item; give ports as 80 or 80,443");
    assert_eq!(port(","), "\",\" has an empty item; give ports as 80 or 80,443");
}

#[test]
fn prefixes_are_a_list_and_what_is_none_is_refused_in_its_own_words() {
    let one = |text: &str| text.parse::<Prefix>().unwrap();
    assert_eq!("10.0.0.0/8, ::1".parse(), Ok(Prefixes(vec![one("10.0.0.0/8"), one("::1")])));
    let cidr = |text: &str| refused(text.parse::<Prefixes>());
    assert_eq!(
        cidr("::1,10.1.2.3/8"),
        "10.1.2.3/8 has host bits set; the network is 10.0.0.0/8, the single address 10.1.2.3"
    );
    assert_eq!(cidr("10.0.0.0/33"), "\"10.0.0.0/33\": IPv4 prefixes have 0 to 32 bits");
    assert_eq!(
        cidr("::1,,::2"),
        "\"::1,,::2\" has an empty item; give prefixes as 10.0.0.0/8 or 10.0.0.0/8,2001:db8::/32"
    );
}

#[test]
fn durations_have_units_and_bare_numbers_are_seconds() {
    assert_eq!(duration("10s"), Ok(Duration::from_secs(10)));
    assert_eq!(duration("10"), Ok(Duration::from_secs(10)));
    assert_eq!(duration("0.5"), Ok(Duration::from_millis(500)));
    assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
    assert_eq!(duration("1h30m"), Ok(Duration::from_secs(5400)));
    assert_eq!(duration("1.5s"), Ok(Duration::from_millis(1500)));
}

#[test]
fn what_is_no_duration_is_refused() {
    assert_eq!(
        refused(duration("5 parsecs")),
        "\"5 parsecs\" is not a duration; write it as 500ms, 10s, 5m or 1h30m"
    );
    assert_eq!(refused(duration("")), "\"\" is not a duration; write it as 500ms, 10s, 5m or 1h30m");
    assert_eq!(refused(duration(".")), "\".\" is not a duration; write it as 500ms, 10s, 5m or 1h30m");
    for text in ["-5s", "-5", "0", "0s", "-1h"] {
        assert_eq!(
            refused(duration(text)),
            format!("{text} is not longer than no time at all; write a duration as 500ms, 10s or 5m")
        );
    }
}

#[test]
fn a_minimum_latency_is_milliseconds_down_to_microseconds() {
    assert_eq!(latency("5"), Ok(Duration::from_millis(5)));
    assert_eq!(latency("0.1"), Ok(Duration::from_micros(100)));
    assert_eq!(latency("0"), Ok(Duration::ZERO));
    for text in ["-1", "fast", "nan", "inf", "", "1e300"] {
        assert_eq!(
            refused(latency(text)),
            format!("\"{text}\" is not a minimum latency; write it in milliseconds, 0 or more, as 5 or 0.1")
        );
    }
}

#[test]
fn sizes_are_bytes_with_binary_or_decimal_units() {
    assert_eq!(ring_bytes("65536"), Ok(65536));
    assert_eq!(ring_bytes("64k"), Ok(65536));
    assert_eq!(ring_bytes("4MiB"), Ok(4 << 20));
    assert_eq!(ring_bytes("4 MiB"), Ok(4 << 20));
    assert_eq!(ring_bytes("8MB"), Ok(8_000_000));
    assert_eq!(ring_bytes("1GiB"), Ok(1 << 30));
    assert_eq!(refused(ring_bytes("lots")), "\"lots\" is not a size; write it as 65536, 512KiB or 4MiB");
    assert_eq!(refused(ring_bytes("-4MiB")), "\"-4MiB\" is not a size; write it as 65536, 512KiB or 4MiB");
    assert_eq!(refused(ring_bytes("4µ")), "\"4µ\" is not a size; write it as 65536, 512KiB or 4MiB");
    assert_eq!(refused(ring_bytes("1")), "1 is out of bounds; the rings take 4KiB to 1GiB");
    assert_eq!(refused(ring_bytes("2GiB")), "2GiB is out of bounds; the rings take 4KiB to 1GiB");
    assert_eq!(
        refused(ring_bytes("18446744073709551615g")),
        "18446744073709551615g is out of bounds; the rings take 4KiB to 1GiB"
    );
}

#[test]
fn ids_and_counts_are_plain_numbers() {
    assert_eq!(pids("1,4194304"), Ok(Ids(vec![1, 4_194_304])));
    assert_eq!(refused(pids("0")), "\"0\" is not a process id (1 to 4194304)");
    assert_eq!(refused(pids("nginx")), "\"nginx\" is not a process id (1 to 4194304)");
    assert_eq!(refused(pids("")), "the list is empty; give process ids as 181 or 181,182");
    assert_eq!(uids("0"), Ok(Ids(vec![0])));
    assert_eq!(refused(uids("root")), "\"root\" is not a user id (a number)");
    assert_eq!(count("10"), Ok(10));
    assert_eq!(refused(count("0")), "\"0\" is not a number of events (1 or more)");
    assert_eq!(refused(count("-3")), "\"-3\" is not a number of events (1 or more)");
}

proptest! {
    #[test]
    fn no_parser_panics_on_any_text(text in any::<String>()) {
        let _ = text.parse::<Ports>();
        let _ = text.parse::<Prefixes>();
        let _ = (duration(&text), latency(&text), ring_bytes(&text), pids(&text), uids(&text), count(&text));
    }

    #[test]
    fn every_list_of_ports_comes_back_as_it_was(ports in proptest::collection::vec(1u16.., 1..20)) {
        let text = ports.iter().map(u16::to_string).collect::<Vec<_>>().join(",");
        prop_assert_eq!(text.parse::<Ports>(), Ok(Ports(ports)));
    }

    #[test]
    fn a_prefix_is_taken_exactly_if_it_has_no_host_bits(bits in any::<u32>(), length in 0u8..=32) {
        let address = std::net::Ipv4Addr::from_bits(bits);
        let clean = length == 32 || bits.checked_shl(u32::from(length)).unwrap_or(0) == 0;
        let parsed = format!("{address}/{length}").parse::<Prefixes>();
        prop_assert_eq!(parsed.is_ok(), clean);
        if let Err(ValueError::NotAPrefix(PrefixError::HostBits { network, .. })) = parsed {
            prop_assert!(network.to_string().parse::<Prefixes>().is_ok(), "the advice {network} is refused too");
        }
    }
}
