//! Address prefixes as the kernel's longest-match tries want them.
//!
//! A look-up gives the longest match only, so each prefix carries the sets of all that cover it. Keys are
//! 128 bits with IPv4 as v4-mapped; entries keep the two families and the unspecified address apart.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use agent_common::filter::AddressKey;

use crate::{event::Family, filter::Prefix};

/// `::ffff:0:0/96`: where IPv4 addresses are.
const MAPPED: (u128, u32) = (0xffff_0000_0000, 96);

/// Prefixes of one trie with their sets.
#[derive(Default)]
pub(super) struct Prefixes {
    v4: BTreeMap<(u128, u32), u64>,
    v6: BTreeMap<(u128, u32), u64>,
}

impl Prefixes {
    pub(super) fn add(&mut self, bit: u64, prefixes: &[Prefix]) {
        for prefix in prefixes {
            let (v4, key) = key(prefix);
            *if v4 { &mut self.v4 } else { &mut self.v6 }.entry(key).or_default() |= bit;
        }
    }

    /// The trie's content, sorted by address, shorter prefixes first.
    pub(super) fn finish(mut self) -> Vec<((u32, AddressKey), u64)> {
        if !self.v6.is_empty() {
            // `::/0` means every IPv6 address, which v4-mapped ones are not.
            self.v4.entry(MAPPED).or_default();
        }
        let mut entries = self.v4;
        close(&mut entries, MAPPED.0);
        close(&mut self.v6, 0);
        // Families cannot share a key: the keys of IPv6 prefixes are not within `MAPPED`.
        entries.append(&mut self.v6);
        entries.into_iter().map(|((bits, length), set)| ((length, bits.to_be_bytes()), set)).collect()
    }
}

/// Adds to each prefix the sets of those that cover it, all of one family with its unspecified address.
fn close(prefixes: &mut BTreeMap<(u128, u32), u64>, unspecified: u128) {
    if prefixes.is_empty() {
        return;
    }
    // The unspecified address means that there is none: only a filter for exactly that accepts it.
    let none = (unspecified, 128);
    let set = prefixes.remove(&none).unwrap_or_default();
    // In this order every prefix comes after those that cover it, the nearest last.
    let mut covering: Vec<((u128, u32), u64)> = Vec::new();
    for (prefix, set) in prefixes.iter_mut() {
        while covering.pop_if(|(outer, _)| !covers(*outer, prefix.0)).is_some() {}
        *set |= covering.last().map_or(0, |(_, set)| *set);
        covering.push((*prefix, *set));
    }
    prefixes.insert(none, set);
}

fn covers((bits, length): (u128, u32), address: u128) -> bool {
    (bits ^ address) & mask(length) == 0
}

/// The first bits of an address.
const fn mask(length: u32) -> u128 {
    match 128u32.checked_sub(length) {
        Some(128) => 0,
        Some(rest) => u128::MAX << rest,
        None => u128::MAX,
    }
}

/// Whether a prefix is IPv4, and its bits and length as a key. Host bits are cut off.
fn key(prefix: &Prefix) -> (bool, (u128, u32)) {
    let length = u32::from(prefix.length);
    let (v4, bits, length) = match prefix.address {
        IpAddr::V4(address) => (true, bits(IpAddr::V4(address)), MAPPED.1 + length.min(32)),
        // Also where somebody did not turn a v4-mapped prefix into an IPv4 one.
        IpAddr::V6(address) => {
            let v4 = address.to_ipv4_mapped().is_some() && length >= MAPPED.1;
            (v4, address.to_bits(), length.min(128))
        }
    };
    (v4, (bits & mask(length), length))
}

/// An address as 128 bits.
fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

/// The address that stands for none.
pub(super) const fn unspecified(family: Family) -> IpAddr {
    match family {
        Family::V4 => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        Family::V6 => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    }
}

/// Whether an address is in a prefix, as the kernel's look-up finds it.
pub(super) fn contains(prefix: &Prefix, address: IpAddr) -> bool {
    let address = address.to_canonical();
    let (v4, key) = key(prefix);
    let none = matches!(address, IpAddr::V4(Ipv4Addr::UNSPECIFIED) | IpAddr::V6(Ipv6Addr::UNSPECIFIED));
    v4 == address.is_ipv4() && covers(key, bits(address)) && (!none || key.1 == 128)
}
