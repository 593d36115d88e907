//! Protobuf's fields, written one by one into a buffer that is used again and again.
//!
//! The rules of proto3: a plain field that is zero or empty is left out; an optional one is written whenever it is
//! there. A field that the mask does not keep is left out, and so is a message that the mask left empty.

use std::{io::Write as _, net::IpAddr, time::Duration};

use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint};
use proto::mask::Fields;

/// A message that is being written.
pub(super) struct Out<'a> {
    pub(super) bytes: &'a mut Vec<u8>,
    /// The fields to keep of it.
    kept: Fields,
}

impl<'a> Out<'a> {
    pub(super) const fn new(bytes: &'a mut Vec<u8>, kept: Fields) -> Self {
        Self { bytes, kept }
    }

    /// Whether the mask keeps a field.
    #[inline]
    pub(super) const fn keeps(&self, number: u32) -> bool {
        self.kept & (1 << number) != 0
    }

    /// A number that is written also when it is 0.
    #[inline]
    pub(super) fn number(&mut self, number: u32, value: u64) {
        if self.keeps(number) {
            key(self.bytes, number, WireType::Varint);
            varint(self.bytes, value);
        }
    }

    /// A number that is written when it is there.
    #[inline]
    pub(super) fn optional(&mut self, number: u32, value: Option<impl Into<u64>>) {
        if let Some(value) = value {
            self.number(number, value.into());
        }
    }

    /// A number for which 0 is the same as absent.
    #[inline]
    pub(super) fn plain(&mut self, number: u32, value: impl Into<u64>) {
        let value = value.into();
        if value != 0 {
            self.number(number, value);
        }
    }

    /// An enum's number.
    #[inline]
    pub(super) fn word(&mut self, number: u32, value: impl Into<i32>) {
        self.plain(number, value.into().unsigned_abs());
    }

    /// A text or bytes for which empty is the same as absent.
    #[inline]
    pub(super) fn text(&mut self, number: u32, text: impl AsRef<[u8]>) {
        let text = text.as_ref();
        if !text.is_empty() {
            self.block(number, text);
        }
    }

    /// A message, text or bytes of this content, empty or not.
    #[inline]
    pub(super) fn block(&mut self, number: u32, content: &[u8]) {
        if self.keeps(number) {
            key(self.bytes, number, WireType::LengthDelimited);
            varint(self.bytes, content.len() as u64);
            self.bytes.extend_from_slice(content);
        }
    }

    /// A timestamp: nanoseconds since the Unix epoch.
    #[inline]
    pub(super) fn moment(&mut self, number: u32, ns: i64) {
        let (seconds, nanos) = (ns.div_euclid(1_000_000_000), ns.rem_euclid(1_000_000_000));
        self.value(number, seconds.cast_unsigned(), nanos.cast_unsigned());
    }

    /// A duration, where it is known.
    #[inline]
    pub(super) fn duration(&mut self, number: u32, duration: Option<Duration>) {
        if let Some(duration) = duration {
            self.value(number, duration.as_secs(), duration.subsec_nanos().into());
        }
    }

    /// Timestamps and durations have the same form.
    #[inline]
    fn value(&mut self, number: u32, seconds: u64, nanos: u64) {
        if !self.keeps(number) {
            return;
        }
        key(self.bytes, number, WireType::LengthDelimited);
        let begin = self.bytes.len();
        self.bytes.push(0);
        let mut inner = Out::new(self.bytes, Fields::MAX);
        inner.plain(1, seconds);
        inner.plain(2, nanos);
        // At most two numbers: the length is one byte.
        let length = self.bytes.len() - begin - 1;
        self.bytes[begin] = length as u8;
    }

    /// Numbers one after the other, if there are any.
    pub(super) fn packed(&mut self, number: u32, values: &[u64]) {
        if !values.is_empty() {
            self.member(number, Fields::MAX, |out| values.iter().for_each(|value| varint(out.bytes, *value)));
        }
    }

    /// A message, unless the mask leaves nothing of it.
    #[inline]
    pub(super) fn message(&mut self, number: u32, kept: Fields, write: impl FnOnce(&mut Out<'_>)) {
        self.nested(number, kept, false, write);
    }

    /// A message whose presence says something, also when it is empty.
    #[inline]
    pub(super) fn member(&mut self, number: u32, kept: Fields, write: impl FnOnce(&mut Out<'_>)) {
        self.nested(number, kept, true, write);
    }

    #[inline]
    fn nested(&mut self, number: u32, kept: Fields, even_empty: bool, write: impl FnOnce(&mut Out<'_>)) {
        if !self.keeps(number) {
            return;
        }
        let start = self.bytes.len();
        key(self.bytes, number, WireType::LengthDelimited);
        self.bytes.push(0);
        let begin = self.bytes.len();
        write(&mut Out::new(self.bytes, kept));
        if self.bytes.len() == begin && !even_empty {
            self.bytes.truncate(start);
        } else {
            set_length(self.bytes, begin);
        }
    }
}

/// Writes the length of what stands from `begin` on into the byte before, moving it where the length takes more.
#[inline]
pub(super) fn set_length(bytes: &mut Vec<u8>, begin: usize) {
    let length = bytes.len() - begin;
    if length < 0x80 {
        bytes[begin - 1] = length as u8;
    } else {
        let more = encoded_len_varint(length as u64) - 1;
        bytes.resize(bytes.len() + more, 0);
        bytes.copy_within(begin..begin + length, begin + more);
        encode_varint(length as u64, &mut &mut bytes[begin - 1..begin + more]);
    }
}

#[inline]
pub(super) fn key(bytes: &mut Vec<u8>, number: u32, wire_type: WireType) {
    if number < 16 {
        bytes.push((number << 3) as u8 | wire_type as u8);
    } else {
        encode_key(number, wire_type, bytes);
    }
}

#[inline]
pub(super) fn varint(bytes: &mut Vec<u8>, value: u64) {
    if value < 0x80 {
        bytes.push(value as u8);
    } else {
        long_varint(bytes, value);
    }
}

/// More than one byte: put together first, for a vector looks at its room each time that it grows.
fn long_varint(bytes: &mut Vec<u8>, mut value: u64) {
    let mut room = [0; 10];
    let mut length = 0;
    for byte in &mut room {
        length += 1;
        *byte = value as u8 | 0x80;
        value >>= 7;
        if value == 0 {
            *byte &= 0x7f;
            break;
        }
    }
    bytes.extend_from_slice(&room[..length]);
}

/// Protobuf's sint64.
pub(super) const fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}

/// An address's text, as `Display` has it, in a buffer of its own.
pub(super) struct IpText {
    bytes: [u8; Self::LONGEST],
    length: usize,
}

impl IpText {
    /// Eight groups of four digits.
    const LONGEST: usize = 39;

    pub(super) fn of(ip: IpAddr) -> Self {
        let mut text = Self { bytes: [0; Self::LONGEST], length: 0 };
        match ip {
            // Display goes by way of fmt; this is called twice an event.
            IpAddr::V4(ip) => {
                for (place, byte) in ip.octets().into_iter().enumerate() {
                    if place > 0 {
                        text.push(b'.');
                    }
                    if byte >= 100 {
                        text.push(b'0' + byte / 100);
                    }
                    if byte >= 10 {
                        text.push(b'0' + byte / 10 % 10);
                    }
                    text.push(b'0' + byte % 10);
                }
            }
            IpAddr::V6(ip) => {
                let mut rest = &mut text.bytes[..];
                // The buffer is as long as the longest address.
                let _ = write!(rest, "{ip}");
                text.length = Self::LONGEST - rest.len();
            }
        }
        text
    }

    fn push(&mut self, byte: u8) {
        self.bytes[self.length] = byte;
        self.length += 1;
    }
}

impl AsRef<[u8]> for IpText {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

/// A thread's name as text: what is no UTF-8 becomes U+FFFD, as by `String::from_utf8_lossy`.
pub(super) struct CommText {
    bytes: [u8; Self::LONGEST],
    length: usize,
}

impl CommText {
    /// Sixteen bytes, each of them a U+FFFD.
    const LONGEST: usize = 3 * 16;

    pub(super) fn of(comm: &[u8]) -> Self {
        let mut text = Self { bytes: [0; Self::LONGEST], length: 0 };
        for chunk in comm.utf8_chunks() {
            text.push(chunk.valid().as_bytes());
            if !chunk.invalid().is_empty() {
                text.push("\u{fffd}".as_bytes());
            }
        }
        text
    }

    fn push(&mut self, bytes: &[u8]) {
        self.bytes[self.length..self.length + bytes.len()].copy_from_slice(bytes);
        self.length += bytes.len();
    }
}

impl AsRef<[u8]> for CommText {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

    use proptest::prelude::{any, prop_assert_eq, proptest};

    use prost::encoding::encode_varint;

    use super::{CommText, IpText, varint};

    proptest! {
        #[test]
        fn a_number_is_written_as_prost_does(number in any::<u64>(), bits in 0_u32..64) {
            let number = number >> bits;
            let (mut ours, mut theirs) = (Vec::new(), Vec::new());
            varint(&mut ours, number);
            encode_varint(number, &mut theirs);
            prop_assert_eq!(ours, theirs);
        }

        #[test]
        fn an_address_is_written_as_display_does(v4 in any::<u32>(), v6 in any::<[u16; 8]>(), zeros in any::<u8>()) {
            let groups = std::array::from_fn(|n| if zeros >> n & 1 == 1 { 0 } else { v6[n] });
            for ip in [
                IpAddr::from(Ipv4Addr::from(v4)),
                IpAddr::from(Ipv6Addr::from(v6)),
                IpAddr::from(Ipv6Addr::from(groups)),
            ] {
                prop_assert_eq!(IpText::of(ip).as_ref().to_vec(), ip.to_string().into_bytes());
            }
        }

        #[test]
        fn a_name_of_any_bytes_becomes_text(comm in any::<[u8; 16]>()) {
            let text = String::from_utf8_lossy(&comm).into_owned();
            prop_assert_eq!(CommText::of(&comm).as_ref().to_vec(), text.into_bytes());
        }
    }
}
