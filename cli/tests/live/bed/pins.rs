//! A place for pinned maps.

use std::path::PathBuf;

use aya::maps::{HashMap, Map, MapData};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

/// A BPF file system of its own; gone when dropped.
#[derive(Debug)]
pub struct Pins(PathBuf);

impl Pins {
    /// Mounts it.
    pub fn new() -> Self {
        let path = super::scratch("bpffs");
        std::fs::create_dir(&path).unwrap();
        mount("none", &path, "bpf", MountFlags::empty(), None).unwrap();
        Self(path)
    }

    /// Pins a new map of ids, as bcc's documentation tells its users to make them (values of 8 bytes for
    /// cgroups, of 4 for mount namespaces), and keeps a hold of it.
    pub fn ids<V: aya::Pod>(&self, name: &str) -> (PathBuf, HashMap<MapData, u64, V>) {
        let path = self.pin::<u64, V>(name);
        let data = MapData::from_pin(&path).unwrap();
        (path, HashMap::try_from(Map::HashMap(data)).unwrap())
    }

    /// Pins a new hash map with keys and values of these types.
    pub fn pin<K: aya::Pod, V: aya::Pod>(&self, name: &str) -> PathBuf {
        let path = self.0.join(name);
        HashMap::<MapData, K, V>::create(16, 0).unwrap().pin(&path).unwrap();
        path
    }
}

impl Drop for Pins {
    fn drop(&mut self) {
        let _ = unmount(&self.0, UnmountFlags::DETACH);
        let _ = std::fs::remove_dir(&self.0);
    }
}
