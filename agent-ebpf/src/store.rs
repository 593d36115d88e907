//! The record of truth per socket: `bpf_sk_storage`, cloned from listener to connection by the kernel.

use core::intrinsics::{AtomicOrdering, atomic_or};

use agent_common::store::Store;
use aya_ebpf::{
    bindings::{
        BPF_F_CLONE, BPF_F_NO_PREALLOC, BPF_SK_STORAGE_GET_F_CREATE, bpf_map_type::BPF_MAP_TYPE_SK_STORAGE,
    },
    cty::c_void,
    helpers::generated::bpf_sk_storage_get,
    macros::map,
    maps::PerCpuArray,
};

const FLAGS: usize = (BPF_F_NO_PREALLOC | BPF_F_CLONE) as usize;

/// A map definition in libbpf's BTF form. aya-ebpf's own `SkStorage` has no flags parameter, and without
/// `BPF_F_CLONE` an accepted socket would not know its listener.
#[repr(C)]
pub struct SocketStorage {
    r#type: *const [i32; BPF_MAP_TYPE_SK_STORAGE as usize],
    key: *const i32,
    value: *const Store,
    max_entries: *const [i32; 0],
    map_flags: *const [i32; FLAGS],
}

// The pointers are never followed: the loader reads the definition from BTF.
unsafe impl Sync for SocketStorage {}

/// The map; bpftool shows it under this name.
#[unsafe(link_section = ".maps")]
#[unsafe(export_name = "SOCKETS")]
pub static SOCKETS: SocketStorage = SocketStorage {
    r#type: core::ptr::null(),
    key: core::ptr::null(),
    value: core::ptr::null(),
    max_entries: core::ptr::null(),
    map_flags: core::ptr::null(),
};

/// The record of a socket, if it has one.
///
/// # Safety
///
/// `sk` is a typed, full socket.
#[inline(always)]
pub unsafe fn get<'a>(sk: *mut c_void) -> Option<&'a mut Store> {
    unsafe { lookup(sk, 0) }
}

/// Sets lasting flags; tells which of them were set before. Atomic: a process that accepts or reads and a
/// softirq that changes the state touch the same record at once, on two CPUs.
#[inline(always)]
pub fn set_flags(store: &mut Store, flags: u32) -> u32 {
    // Only 64 bits wide are such operations to be had on every CPU level that LLVM knows: the word is `flags`
    // and its neighbours, which are not changed by OR with 0.
    const SHIFT: u32 = if cfg!(target_endian = "little") { 0 } else { 32 };
    const AT: usize = core::mem::offset_of!(Store, flags);
    const { assert!(AT.is_multiple_of(8)) };
    let word = unsafe { (&raw mut *store).cast::<u8>().add(AT).cast::<u64>() };
    let before =
        unsafe { atomic_or::<u64, u64, { AtomicOrdering::SeqCst }>(word, u64::from(flags) << SHIFT) };
    (before >> SHIFT) as u32 & flags
}

/// The record of a socket, made (all zero) if it has none. `None` when there is no memory.
///
/// # Safety
///
/// As for [`get`].
#[inline(always)]
pub unsafe fn get_or_create<'a>(sk: *mut c_void) -> Option<&'a mut Store> {
    unsafe { lookup(sk, u64::from(BPF_SK_STORAGE_GET_F_CREATE)) }
}

/// The socket for which there was no memory last, on each CPU.
#[map]
static FAILED: PerCpuArray<u64> = PerCpuArray::with_max_entries(1, 0);

/// Remembers that a record could not be made.
#[inline(always)]
pub fn failed(sk: *mut c_void) {
    if let Some(last) = FAILED.get_ptr_mut(0) {
        unsafe { *last = sk as u64 };
    }
}

/// Whether it was this socket's record that could not be made a moment ago; once.
#[inline(always)]
pub fn has_failed(sk: *mut c_void) -> bool {
    let Some(last) = FAILED.get_ptr_mut(0) else {
        return false;
    };
    unsafe { core::mem::replace(&mut *last, 0) == sk as u64 }
}

#[inline(always)]
unsafe fn lookup<'a>(sk: *mut c_void, flags: u64) -> Option<&'a mut Store> {
    unsafe {
        bpf_sk_storage_get((&raw const SOCKETS).cast_mut().cast(), sk, core::ptr::null_mut(), flags)
            .cast::<Store>()
            .as_mut()
    }
}
