//! The object: parsed, its globals set, its maps made; then programs by name.

use std::{fs::File, os::fd::AsFd as _, path::PathBuf, sync::Arc};

use agent_common::ring;
use aya::{
    Btf, Ebpf, EbpfError, EbpfLoader, include_bytes_aligned,
    maps::{Map, MapError},
};
use memmap2::{MmapOptions, MmapRaw};
use thiserror::Error;

use super::{
    counts::{self, Counts},
    loader::Loader,
    maps::{self, LossCounters, PinnedShape},
    programs::{self, Attached, ProgramFault},
    ring::{Ring, RingError},
};
use crate::{filter::compile::Compiled, host::btf::Resolved, probes::Hook};

static BYTES: &[u8] = include_bytes_aligned!(concat!(env!("OUT_DIR"), "/sockeye-ebpf"));

/// Why the object could not be loaded.
#[derive(Debug, Error)]
pub enum LoadError {
    /// A pinned map of the user's has another shape.
    #[error(transparent)]
    Pinned(#[from] PinnedShape),
    /// The kernel's types, as far as aya needs them, could not be read.
    #[error("cannot use the kernel's types")]
    Btf(#[source] aya::BtfError),
    /// Maps could not be made.
    #[error("cannot load the kernel programs' maps")]
    Object(#[source] EbpfError),
    /// A map could not be written or read.
    #[error("cannot use the kernel programs' maps")]
    Map(#[from] MapError),
    /// A ring could not be mapped.
    #[error(transparent)]
    Ring(#[from] RingError),
}

/// What has to be known before maps are made.
pub struct Settings<'a> {
    /// Offsets of kernel fields.
    pub fields: &'a Resolved,
    /// Size of the bulk ring in bytes: a power of two of pages.
    pub bulk_bytes: u32,
    /// Size of the rare ring.
    pub rare_bytes: u32,
    /// The state program notes connects for the system call programs.
    pub syscall_connect: bool,
    /// A pinned map that stands in for `P_CGROUP`.
    pub pinned_cgroup: Option<PathBuf>,
    /// A pinned map that stands in for `P_MNTNS`.
    pub pinned_mntns: Option<PathBuf>,
    /// Cgroups will be added while the filter is in force.
    pub follows_cgroups: bool,
    /// Filters come and go: maps get room for many.
    pub shared: bool,
    /// The filter that will be written: its maps are made as large as it needs.
    pub filter: &'a Compiled,
    /// Types of the kernel's with the hooks of all programs that will be attached, as BTF.
    pub hooks: &'a [u8],
}

/// connect() calls that can be under way at once, where they are noted.
const PENDING_CONNECTS: u32 = 16384;
/// Entries for cgroups where new ones are followed.
pub(super) const MANY_CGROUPS: u32 = 16384;
/// Entries for everything else where filters come and go.
const MANY: u32 = 4096;
/// Entries where nothing is looked up: a hash map's table is made, and zeroed, for as many as it may hold.
const FEW: u32 = 64;

/// The loaded object. Dropping it detaches and frees everything.
pub struct Object {
    ebpf: Ebpf,
    /// Types with the hooks: only as long as programs are being attached.
    btf: Option<Btf>,
    losses: LossCounters,
    generation: u32,
    /// A filter is being changed, or could not be: everything passes.
    open: bool,
}

impl Object {
    /// Makes the maps and sets the globals; no program is in the kernel yet.
    pub fn load(settings: &Settings<'_>, loader: Loader) -> Result<Self, LoadError> {
        if let Some(path) = &settings.pinned_cgroup {
            maps::check_pinned(path, 8)?;
        }
        if let Some(path) = &settings.pinned_mntns {
            maps::check_pinned(path, 4)?;
        }
        let btf = Btf::parse(settings.hooks, aya::Endianness::default()).map_err(LoadError::Btf)?;
        let least = if settings.shared { MANY } else { FEW };
        let room = |values: usize| least.max(values as u32);
        let filter = settings.filter;
        let syscall_connect = u32::from(settings.syscall_connect);
        let mut loader: EbpfLoader<'_> = loader.wait();
        loader
            .map_max_entries("RING_BULK", settings.bulk_bytes)
            .map_max_entries("RING_RARE", settings.rare_bytes)
            .map_max_entries("F_CGROUP", if settings.follows_cgroups { MANY_CGROUPS } else { FEW })
            .map_max_entries("F_NETNS", room(filter.netns.len()))
            .map_max_entries("F_MNTNS", room(filter.mntns.len()))
            .map_max_entries("F_PID", room(filter.pid.len()))
            .map_max_entries("F_UID", room(filter.uid.len()))
            .map_max_entries("F_LPORT", room(filter.local_port.len()))
            .map_max_entries("F_RPORT", room(filter.remote_port.len()))
            .map_max_entries("PENDING", if settings.syscall_connect { PENDING_CONNECTS } else { FEW })
            .override_global("SYSCALL_CONNECT", &syscall_connect, true);
        for (name, offset) in &settings.fields.offsets {
            loader.override_global(name, offset, true);
        }
        if let Some(path) = &settings.pinned_cgroup {
            loader.map_pin_path("P_CGROUP", path.as_path());
        }
        if let Some(path) = &settings.pinned_mntns {
            loader.map_pin_path("P_MNTNS", path.as_path());
        }
        let mut ebpf = loader.load(BYTES).map_err(LoadError::Object)?;
        let losses = LossCounters::take(&mut ebpf)?;
        Ok(Self { ebpf, btf: Some(btf), losses, generation: 0, open: false })
    }

    /// The rings, bulk first.
    pub fn rings(&mut self, bulk_bytes: u32, rare_bytes: u32) -> Result<[Ring; 2], LoadError> {
        let armed = self.armed_page()?;
        let bulk = self.ring("RING_BULK", bulk_bytes, Arc::clone(&armed), ring::BULK)?;
        let rare = self.ring("RING_RARE", rare_bytes, armed, ring::RARE)?;
        Ok([bulk, rare])
    }

    fn armed_page(&self) -> Result<Arc<MmapRaw>, LoadError> {
        let data = self.map_data("ARMED")?;
        let map = MmapOptions::new()
            .len(rustix::param::page_size())
            .map_raw(std::os::fd::AsRawFd::as_raw_fd(&data.fd().as_fd()))
            .map_err(MapError::IoError)?;
        Ok(Arc::new(map))
    }

    fn ring(
        &self,
        name: &'static str,
        bytes: u32,
        armed: Arc<MmapRaw>,
        index: u32,
    ) -> Result<Ring, LoadError> {
        let fd = self.map_data(name)?.fd().as_fd().try_clone_to_owned().map_err(MapError::IoError)?;
        Ok(Ring::new(name, fd, bytes as usize, armed, index)?)
    }

    fn map_data(&self, name: &str) -> Result<&aya::maps::MapData, MapError> {
        match self.ebpf.map(name) {
            Some(Map::RingBuf(data) | Map::Array(data)) => Ok(data),
            _ => Err(MapError::InvalidName { name: name.to_owned() }),
        }
    }

    /// Loads a program and attaches it.
    pub fn attach(&mut self, program: &'static str, hook: &Hook) -> Result<Attached, ProgramFault> {
        let btf = self.btf.as_ref().expect("programs are attached before `attached_all`");
        programs::attach(&mut self.ebpf, btf, program, hook)
    }

    /// Gives back the memory that only attaching needs.
    pub fn attached_all(&mut self) {
        self.btf = None;
    }

    /// Opens an iterator that was loaded by [`Object::attach`], in the calling thread's network namespace.
    pub fn open_iterator(&mut self, program: &'static str) -> Result<File, ProgramFault> {
        programs::open_iterator(&mut self.ebpf, program)
    }

    /// Whether iterators over sockets write rows of `record::Listed` from now on, or of `record::Snapshot`.
    pub fn set_listing(&mut self, is_listing: bool) -> Result<(), LoadError> {
        Ok(maps::write_listing(&mut self.ebpf, is_listing)?)
    }

    /// Puts a filter in force.
    pub fn write_filter(&mut self, compiled: &Compiled) -> Result<(), MapError> {
        // 0 means "no verdict cached" in a socket's record.
        let next = self.generation.wrapping_add(1).max(1);
        maps::write_filter(&mut self.ebpf, compiled, next)?;
        self.generation = next;
        Ok(())
    }

    /// Puts another filter in force while programs run; see [`maps::replace_filter`].
    pub fn replace_filter(
        &mut self,
        compiled: &Compiled,
        is_known: &dyn Fn(u64) -> bool,
    ) -> Result<(), MapError> {
        // Two generations, neither of them 0 ("no verdict cached").
        let open = if self.generation >= u32::MAX - 1 { 1 } else { self.generation + 1 };
        self.generation = open;
        self.open = true;
        maps::replace_filter(&mut self.ebpf, compiled, open, is_known)?;
        self.generation = open + 1;
        self.open = false;
        Ok(())
    }

    /// The generation of the filter in force, of which the lowest byte travels with records; `None` while
    /// everything passes.
    pub fn generation(&self) -> Option<u8> {
        (!self.open).then_some(self.generation as u8)
    }

    /// Takes a program out of the kernel.
    pub fn detach(&mut self, attached: Attached) -> Result<(), ProgramFault> {
        programs::detach(&mut self.ebpf, attached)
    }

    /// Sets the types in which hooks are looked up for more programs.
    pub fn set_hooks(&mut self, hooks: &[u8]) -> Result<(), LoadError> {
        self.btf = Some(Btf::parse(hooks, aya::Endianness::default()).map_err(LoadError::Btf)?);
        Ok(())
    }

    /// The loss counters.
    pub fn losses(&self) -> &LossCounters {
        &self.losses
    }

    /// How often the kernel skipped a program to protect itself from recursion, since the load.
    pub fn recursion_misses(&self, attached: &Attached) -> Option<u64> {
        counts::recursion_misses(&attached.fd)
    }

    /// What the kernel counted of each program since its load.
    pub fn counts(&self, attached: &[Attached]) -> impl Iterator<Item = (&'static str, Counts)> {
        let is_counting = counts::is_counting();
        attached.iter().map(move |one| (one.program, counts::of(&one.fd, is_counting)))
    }
}
