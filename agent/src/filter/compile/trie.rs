//! Address prefixes as the kernel's longest-match tries want them.
//!
//! A look-up gives the longest match only, so each prefix carries the sets of all that cover it. Keys are
//! 128 bits with IPv4 as v4-mapped; entries keep the two families and the unspecified address apart.

use std::collections::BTreeMap;

use agent_common::{filter::AddressKey, prefix::Key};

use crate::filter::Prefix;

/// Prefixes of one trie with their sets.
#[derive(Default)]
pub(super) struct Prefixes {
    v4: BTreeMap<Key, u64>,
    v6: BTreeMap<Key, u64>,
}

impl Prefixes {
    pub(super) fn add(&mut self, bit: u64, prefixes: &[Prefix]) {
        for prefix in prefixes {
            let key = prefix.key();
            *if key.is_v4 { &mut self.v4 } else { &mut self.v6 }.entry(key).or_default() |= bit;
        }
    }

    /// The trie's content, sorted by address, shorter prefixes first.
    pub(super) fn finish(mut self) -> Vec<((u32, AddressKey), u64)> {
        if !self.v6.is_empty() {
            // `::/0` means every IPv6 address, which v4-mapped ones are not.
            self.v4.entry(Key::MAPPED).or_default();
        }
        let mut entries = self.v4;
        close(&mut entries, Key { length: 128, ..Key::MAPPED });
        close(&mut self.v6, Key { is_v4: false, bits: 0, length: 128 });
        let mut content: Vec<_> = entries.into_iter().chain(self.v6).collect();
        // Families cannot share a place: the keys of IPv6 prefixes are not within `Key::MAPPED`.
        content.sort_unstable_by_key(|(key, _)| (key.bits, key.length));
        content.into_iter().map(|(key, set)| ((key.length, key.bits.to_be_bytes()), set)).collect()
    }
}

/// Adds to each prefix the sets of those that cover it, all of one family. `none` is its unspecified address, which
/// means that there is none: only a filter for exactly that accepts it.
fn close(prefixes: &mut BTreeMap<Key, u64>, none: Key) {
    if prefixes.is_empty() {
        return;
    }
    let set = prefixes.remove(&none).unwrap_or_default();
    // In this order every prefix comes after those that cover it, the nearest last.
    let mut covering: Vec<(Key, u64)> = Vec::new();
    for (prefix, set) in prefixes.iter_mut() {
        while covering.pop_if(|(outer, _)| !outer.covers(prefix.bits)).is_some() {}
        *set |= covering.last().map_or(0, |(_, set)| *set);
        covering.push((*prefix, *set));
    }
    prefixes.insert(none, set);
}
