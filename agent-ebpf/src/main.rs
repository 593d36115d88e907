//! Sockeye's kernel programs: one object, one file per probe.

#![no_std]
#![no_main]
#![expect(unsafe_code, reason = "a kernel program is pointers; the verifier checks each one")]

#[cfg(target_arch = "bpf")]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

#[unsafe(no_mangle)]
#[unsafe(link_section = "license")]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
