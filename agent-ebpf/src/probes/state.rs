//! `tp_btf/inet_sock_set_state`: every change of a TCP socket's state.
//!
//! `void (const struct sock *sk, const int oldstate, const int newstate)` on every kernel;
//! include/trace/events/sock.h. Fires in process context and in softirq.

use aya_ebpf::{cty::c_void, macros::btf_tracepoint, programs::BtfTracePointContext};

use crate::{
    engine::{self, Program},
    kernel::sock::Tcp,
};

#[btf_tracepoint(function = "inet_sock_set_state")]
pub fn set_state(ctx: BtfTracePointContext) -> i32 {
    handle(&ctx, |tcp, old, new| engine::changed(tcp, old, new, Program::State))
}

/// The same a second time, attached behind the first: the kernel's recursion guard is per program, so this one sees
/// what the first one missed. Costs a look at the socket's record where nothing was missed.
#[btf_tracepoint(function = "inet_sock_set_state")]
pub fn set_state_again(ctx: BtfTracePointContext) -> i32 {
    handle(&ctx, engine::changed_unseen)
}

#[inline(always)]
fn handle(ctx: &BtfTracePointContext, change: impl FnOnce(Tcp, u8, u8)) -> i32 {
    let sk: *mut c_void = ctx.arg(0);
    let old: i32 = ctx.arg(1);
    let new: i32 = ctx.arg(2);
    if let Some(tcp) = unsafe { Tcp::new(sk) } {
        change(tcp, old as u8, new as u8);
    }
    0
}
