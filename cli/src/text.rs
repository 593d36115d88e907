//! Numbers and addresses as text, appended to a buffer. Nothing here allocates: it is the path of an event.

use std::{
    io::Write as _,
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use crate::escape::DIGITS;

/// Appends a decimal number.
pub fn number(number: impl itoa::Integer, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// A duration in nanoseconds, the largest number for more than 584 years. The standard library's own gives
/// 128 bits, whose division costs more than all else in a row.
pub fn nanoseconds(duration: Duration) -> u64 {
    duration.as_secs().saturating_mul(1_000_000_000).saturating_add(duration.subsec_nanos().into())
}

/// Appends a number in lower-case hexadecimal, without leading zeros.
pub fn hexadecimal(number: u64, out: &mut Vec<u8>) {
    let digits = (16 - number.leading_zeros() / 4).max(1);
    for digit in (0..digits).rev() {
        out.push(DIGITS[(number >> (4 * digit) & 0xf) as usize]);
    }
}

/// Appends `value / 10^scale` with all `scale` decimals: `decimal(1234, 3)` is `1.234`.
pub fn decimal(value: u64, scale: u32, out: &mut Vec<u8>) {
    let unit = 10u64.pow(scale);
    number(value / unit, out);
    if scale > 0 {
        out.push(b'.');
        zero_padded(value % unit, scale, out);
    }
}

/// Appends a number with leading zeros, `width` digits at least.
pub fn zero_padded(value: u64, width: u32, out: &mut Vec<u8>) {
    let mut digits = itoa::Buffer::new();
    let digits = digits.format(value).as_bytes();
    for _ in digits.len()..width as usize {
        out.push(b'0');
    }
    out.extend_from_slice(digits);
}

/// Appends an address.
pub fn address(address: IpAddr, out: &mut Vec<u8>) {
    match address {
        IpAddr::V4(v4) => dotted(v4, out),
        // Writing to a vector cannot fail.
        IpAddr::V6(v6) => _ = write!(out, "{v6}"),
    }
}

fn dotted(address: Ipv4Addr, out: &mut Vec<u8>) {
    for (index, octet) in address.octets().into_iter().enumerate() {
        if index > 0 {
            out.push(b'.');
        }
        number(octet, out);
    }
}

/// Pads what was appended since `start` to `width` characters, behind it or, for `right`, before it.
pub fn pad(start: usize, width: usize, right: bool, out: &mut Vec<u8>) {
    // Escaped text is UTF-8: bytes that continue a character take no room.
    let characters = out[start..].iter().filter(|byte| **byte & 0xc0 != 0x80).count();
    let missing = width.saturating_sub(characters);
    out.resize(out.len() + missing, b' ');
    if right && missing > 0 {
        out[start..].rotate_right(missing);
    }
}

#[cfg(test)]
mod tests {
    use super::{address, decimal, hexadecimal, number, pad, zero_padded};

    fn text(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn numbers_are_written_as_format_would() {
        assert_eq!(text(|out| number(0u64, out)), "0");
        assert_eq!(text(|out| number(u64::MAX, out)), u64::MAX.to_string());
        assert_eq!(text(|out| number(-5i64, out)), "-5");
        for value in [0, 1, 0xf, 0x10, 0xdead_beef, u64::MAX] {
            assert_eq!(text(|out| hexadecimal(value, out)), format!("{value:x}"));
        }
        assert_eq!(text(|out| decimal(1_234, 3, out)), "1.234");
        assert_eq!(text(|out| decimal(7, 3, out)), "0.007");
        assert_eq!(text(|out| decimal(7, 0, out)), "7");
        assert_eq!(text(|out| zero_padded(7, 3, out)), "007");
        assert_eq!(text(|out| zero_padded(1234, 3, out)), "1234");
    }

    #[test]
    fn addresses_are_written_as_the_standard_library_does() {
        for shown in ["0.0.0.0", "10.1.200.255", "::", "::1", "2001:db8::5", "fe80::1:2:3:4"] {
            assert_eq!(text(|out| address(shown.parse().unwrap(), out)), shown);
        }
    }

    #[test]
    fn padding_counts_characters_and_can_go_before() {
        let padded = |word: &str, width, right| {
            text(|out| {
                out.extend_from_slice(b"|");
                out.extend_from_slice(word.as_bytes());
                pad(1, width, right, out);
            })
        };
        assert_eq!(padded("ab", 4, false), "|ab  ");
        assert_eq!(padded("ab", 4, true), "|  ab");
        assert_eq!(padded("früh", 5, false), "|früh ");
        assert_eq!(padded("abcdef", 4, true), "|abcdef");
    }
}
