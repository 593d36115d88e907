//! Writing the filter, reading the loss counters.

use std::{io, path::Path, time::Duration};

use agent_common::{
    filter::{AddressKey, FilterConfig},
    loss::Loss,
};
use aya::{
    Ebpf, Pod,
    maps::{
        Array, HashMap, MapData, MapError, MapInfo, MapType, PerCpuArray,
        lpm_trie::{Key, LpmTrie},
    },
};
use thiserror::Error;

use super::object;
use crate::filter::compile::Compiled;

/// The kernel's bytes of a filter.
#[derive(Clone, Copy)]
#[repr(transparent)]
struct Config(FilterConfig);

// SAFETY: `FilterConfig` is repr(C), made of integers only and without padding: zerocopy's derive proves it.
unsafe impl Pod for Config {}

/// A pinned map that cannot stand in for ours.
#[derive(Debug, Error)]
pub enum PinnedShape {
    /// There is nothing to open.
    #[error("{path}: is no pinned BPF map")]
    Open {
        /// The path given.
        path: String,
        /// Why.
        source: MapError,
    },
    /// Another kind of map.
    #[error(
        "{path}: is a {found} map with keys of {key} and values of {value} bytes; needed is a hash with keys of 8 and values of {wanted} bytes"
    )]
    Shape {
        /// The path given.
        path: String,
        /// What it is.
        found: String,
        /// Its key size.
        key: u32,
        /// Its value size.
        value: u32,
        /// The value size it should have.
        wanted: u32,
    },
}

/// Checks that a pinned map is a hash with 8-byte keys and `value` bytes of value, as bcc's are.
pub(super) fn check_pinned(path: &Path, wanted: u32) -> Result<(), PinnedShape> {
    let name = path.display().to_string();
    let info = MapInfo::from_pin(path).map_err(|source| PinnedShape::Open { path: name.clone(), source })?;
    let kind = info.map_type();
    let (key, value) = (info.key_size(), info.value_size());
    if matches!(kind, Ok(MapType::Hash)) && key == 8 && value == wanted {
        return Ok(());
    }
    let found = kind.map_or_else(|_| "unknown".to_owned(), |kind| format!("{kind:?}"));
    Err(PinnedShape::Shape { path: name, found, key, value, wanted })
}

/// Puts a filter in force: values first, then the fixed part into the slot that is not live, then the
/// generation, whose lowest bit names the live slot.
pub(super) fn write_filter(ebpf: &mut Ebpf, compiled: &Compiled, generation: u32) -> Result<(), MapError> {
    fill::<u32>(ebpf, "F_NETNS", &compiled.netns)?;
    fill::<u64>(ebpf, "F_CGROUP", &compiled.cgroup)?;
    fill::<u32>(ebpf, "F_MNTNS", &compiled.mntns)?;
    fill::<u32>(ebpf, "F_PID", &compiled.pid)?;
    fill::<u32>(ebpf, "F_UID", &compiled.uid)?;
    fill::<u32>(ebpf, "F_LPORT", &compiled.local_port)?;
    fill::<u32>(ebpf, "F_RPORT", &compiled.remote_port)?;
    fill_prefixes(ebpf, "F_LADDR", &compiled.local_address)?;
    fill_prefixes(ebpf, "F_RADDR", &compiled.remote_address)?;
    write_config(ebpf, compiled.config, generation)
}

/// Puts another filter in force while programs run. No event is kept out that the old or the new filter wants:
/// first everything passes (as `generation`), then the maps change, then the new filter holds (as the generation
/// after it). Where the maps do not suffice it stays at the first step.
///
/// `is_known` tells whether user space knows a cgroup and decided about it; the others were made a moment ago
/// and inherited their parent's set in the kernel: they pass until they are known.
pub(super) fn replace_filter(
    ebpf: &mut Ebpf,
    compiled: &Compiled,
    generation: u32,
    is_known: &dyn Fn(u64) -> bool,
) -> Result<(), MapError> {
    write_config(ebpf, compiled.open(), generation)?;
    // No program that began with the filter before this one still looks at the maps: they run for microseconds.
    std::thread::sleep(Duration::from_millis(1));
    sync::<u32>(ebpf, "F_NETNS", &compiled.netns)?;
    sync::<u32>(ebpf, "F_MNTNS", &compiled.mntns)?;
    sync::<u32>(ebpf, "F_PID", &compiled.pid)?;
    sync::<u32>(ebpf, "F_UID", &compiled.uid)?;
    sync::<u32>(ebpf, "F_LPORT", &compiled.local_port)?;
    sync::<u32>(ebpf, "F_RPORT", &compiled.remote_port)?;
    sync_prefixes(ebpf, "F_LADDR", &compiled.local_address)?;
    sync_prefixes(ebpf, "F_RADDR", &compiled.remote_address)?;
    sync_cgroups(ebpf, compiled, is_known)?;
    write_config(ebpf, compiled.config, generation.wrapping_add(1))
}

fn write_config(ebpf: &mut Ebpf, mut config: FilterConfig, generation: u32) -> Result<(), MapError> {
    config.generation = generation;
    let mut slots: Array<_, Config> = Array::try_from(map(ebpf, "FILTER")?)?;
    slots.set(generation & 1, Config(config), 0)?;
    let mut live: Array<_, u32> = Array::try_from(map(ebpf, "GENERATION")?)?;
    live.set(0, generation, 0)
}

/// Makes a map hold just these values.
fn sync<K: Pod + Ord>(ebpf: &mut Ebpf, name: &str, values: &[(K, u64)]) -> Result<(), MapError> {
    let mut stale: HashMap<_, K, u64> = HashMap::try_from(map(ebpf, name)?)?;
    let keys: Vec<K> = stale.keys().collect::<Result<_, _>>()?;
    for key in keys.iter().filter(|key| values.binary_search_by_key(*key, |(wanted, _)| *wanted).is_err()) {
        stale.remove(key)?;
    }
    fill(ebpf, name, values)
}

fn sync_prefixes(ebpf: &mut Ebpf, name: &str, values: &[((u32, AddressKey), u64)]) -> Result<(), MapError> {
    let mut trie: LpmTrie<_, AddressKey, u64> = LpmTrie::try_from(map(ebpf, name)?)?;
    let keys: Vec<Key<AddressKey>> = trie.keys().collect::<Result<_, _>>()?;
    for key in &keys {
        let wanted =
            values.iter().any(|((length, address), _)| *length == key.prefix_len() && *address == key.data());
        if !wanted {
            trie.remove(key)?;
        }
    }
    fill_prefixes(ebpf, name, values)
}

/// As [`sync`], but for cgroups that only the kernel knows yet.
fn sync_cgroups(
    ebpf: &mut Ebpf,
    compiled: &Compiled,
    is_known: &dyn Fn(u64) -> bool,
) -> Result<(), MapError> {
    let every = compiled.config.allow;
    let mut map: HashMap<_, u64, u64> = HashMap::try_from(map(ebpf, "F_CGROUP")?)?;
    let keys: Vec<u64> = map.keys().collect::<Result<_, _>>()?;
    let wanted = |key: u64| compiled.cgroup.binary_search_by_key(&key, |(id, _)| *id).is_ok();
    let stale: Vec<u64> = keys.into_iter().filter(|key| !wanted(*key)).collect();
    let has_room = stale.len() + compiled.cgroup.len() < object::MANY_CGROUPS as usize / 2;
    for key in stale {
        if has_room && !is_known(key) {
            map.insert(key, every, 0)?;
        } else {
            map.remove(&key)?;
        }
    }
    fill(ebpf, "F_CGROUP", &compiled.cgroup)
}

fn map<'a>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut aya::maps::Map, MapError> {
    ebpf.map_mut(name).ok_or_else(|| MapError::InvalidName { name: name.to_owned() })
}

fn fill<K: Pod>(ebpf: &mut Ebpf, name: &str, values: &[(K, u64)]) -> Result<(), MapError> {
    if values.is_empty() {
        return Ok(());
    }
    let mut map: HashMap<_, K, u64> = HashMap::try_from(map(ebpf, name)?)?;
    values.iter().try_for_each(|(key, set)| map.insert(key, set, 0))
}

fn fill_prefixes(ebpf: &mut Ebpf, name: &str, values: &[((u32, AddressKey), u64)]) -> Result<(), MapError> {
    if values.is_empty() {
        return Ok(());
    }
    let mut trie: LpmTrie<_, AddressKey, u64> = LpmTrie::try_from(map(ebpf, name)?)?;
    values.iter().try_for_each(|((length, address), set)| trie.insert(&Key::new(*length, *address), set, 0))
}

/// Whether iterators over sockets write rows with counters from now on.
pub(super) fn write_listing(ebpf: &mut Ebpf, is_listing: bool) -> Result<(), MapError> {
    let mut listing: Array<_, u32> = Array::try_from(map(ebpf, "LISTING")?)?;
    listing.set(0, u32::from(is_listing), 0)
}

/// The loss counters, as a handle that needs no borrow of the object.
pub struct LossCounters {
    lost: PerCpuArray<MapData, u64>,
    caught: PerCpuArray<MapData, u64>,
}

impl LossCounters {
    pub(super) fn take(ebpf: &mut Ebpf) -> Result<Self, MapError> {
        let mut take = |name: &str| {
            let map = ebpf.take_map(name).ok_or_else(|| MapError::InvalidName { name: name.to_owned() })?;
            PerCpuArray::try_from(map)
        };
        Ok(Self { lost: take("LOST")?, caught: take("CAUGHT")? })
    }

    /// How many transitions `set_state_again` handled because `set_state` had missed them, since the load.
    pub fn caught(&self) -> io::Result<u64> {
        Ok(self.caught.get(&0, 0).map_err(io::Error::other)?.iter().sum())
    }

    /// The counter of one loss on each CPU, since the load.
    pub fn read(&self, loss: Loss) -> io::Result<Vec<u64>> {
        let values = self.lost.get(&(loss as u32), 0).map_err(io::Error::other)?;
        Ok(values.iter().copied().collect())
    }
}
