//! The only place that follows a kernel pointer.
//!
//! Every offset is a read-only global that user space set from the running kernel's BTF, so to the verifier
//! each read is a typed load at a constant offset: it knows what the pointer points to, and a load that does
//! not fit is refused at load time. `bpf_probe_read_kernel`, which lockdown=confidentiality forbids, is used
//! in `probes/sys_connect.rs` and for the names of cgroups alone.

use agent_common::{fields::ABSENT, for_each_field};
use aya_ebpf::{Global, cty::c_void};

pub mod cgroup;
pub mod packet;
pub mod request;
pub mod skb;
pub mod sock;
pub mod task;

macro_rules! globals {
    ($($name:ident: $size:literal = [$($place:tt),+], $need:ident;)*) => {
        /// One global per field of `agent_common::fields`, named as the field.
        pub mod offset {
            use super::{ABSENT, Global};
            $(
                #[unsafe(no_mangle)]
                pub static $name: Global<u32> = Global::new(ABSENT);
            )*
        }
    };
}
for_each_field!(globals);

/// Reads a field that the engine cannot do without: user space does not load it where it is absent.
///
/// # Safety
///
/// `base` is a typed pointer to the struct that `field` belongs to; the verifier checks it.
#[inline(always)]
pub unsafe fn read<T: Copy>(base: *const c_void, field: &Global<u32>) -> T {
    unsafe { base.cast::<u8>().add(field.load() as usize).cast::<T>().read_volatile() }
}

/// Reads a field that this kernel may not have.
///
/// # Safety
///
/// As for [`read`].
#[inline(always)]
pub unsafe fn read_optional<T: Copy>(base: *const c_void, field: &Global<u32>) -> Option<T> {
    let offset = field.load();
    if offset == ABSENT {
        return None;
    }
    Some(unsafe { base.cast::<u8>().add(offset as usize).cast::<T>().read_volatile() })
}

/// Follows a pointer field; a null pointer is `None`.
///
/// # Safety
///
/// As for [`read`].
#[inline(always)]
pub unsafe fn follow(base: *const c_void, field: &Global<u32>) -> Option<*const c_void> {
    let pointer: *const c_void = unsafe { read_optional(base, field) }?;
    if pointer.is_null() { None } else { Some(pointer) }
}
