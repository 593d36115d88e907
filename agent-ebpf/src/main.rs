//! Sockeye's kernel programs: one object, one file per probe.
//!
//! ```text
//! kernel   the only place that follows a kernel pointer
//! filter   verdicts: who wants this event
//! store    the record of truth per socket
//! emit     rings, wake-ups, loss counters
//! engine   what a state change means: shared by the probes below
//! probes   entry points, one file each, named as in the table agent/src/probes.rs
//! ```

#![no_std]
#![no_main]
// The BPF target declares no compare-and-swap, so core's atomics have no `swap`; the machine has it (5.12).
#![feature(core_intrinsics)]
#![expect(internal_features, reason = "see above")]
#![expect(unsafe_code, reason = "a kernel program is pointers; the verifier checks each one")]
#![expect(clippy::needless_pass_by_value, reason = "aya's macros hand a program its context by value")]
#![expect(
    clippy::undocumented_unsafe_blocks,
    clippy::multiple_unsafe_ops_per_block,
    reason = "the same: each load is proven by the verifier on the kernel that runs it, not by a comment"
)]

mod emit;
mod engine;
mod filter;
mod kernel;
mod probes;
mod store;

/// Verified programs have no way to get here; the linker drops it.
#[cfg(target_arch = "bpf")]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

#[unsafe(no_mangle)]
#[unsafe(link_section = "license")]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
