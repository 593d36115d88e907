//! `tp_btf/tcp_destroy_sock`: ends a socket whose `-> CLOSE` was missed.
//!
//! `void (struct sock *sk)` on every kernel; include/trace/events/tcp.h. By then a failed connect and a close
//! with SO_LINGER 0 have wiped counters and peer, so nothing is taken from here that `-> CLOSE` has given.

use aya_ebpf::{cty::c_void, macros::btf_tracepoint, programs::BtfTracePointContext};

use crate::{engine, kernel::sock::Tcp};

#[btf_tracepoint(function = "tcp_destroy_sock")]
pub fn destroy_sock(ctx: BtfTracePointContext) -> i32 {
    let sk: *mut c_void = ctx.arg(0);
    if let Some(tcp) = unsafe { Tcp::new(sk) } {
        engine::destroyed(tcp);
    }
    0
}
