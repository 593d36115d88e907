//! Who reads and writes: the first sign of an accepted connection's process where accept() itself cannot be
//! seen, and the user where it is not the one that accepted or connected.
//!
//! `tp_btf/sock_send_length` and `tp_btf/sock_recv_length`, `void (struct sock *sk, int ret, int flags)` since
//! 6.3 (include/trace/events/sock.h); before, `tp_btf/tcp_rcv_space_adjust`, `void (struct sock *sk)`, which
//! sees readers only. All run in the context of the task that reads or writes.

use agent_common::record::{Relation, flag};
use aya_ebpf::{
    cty::c_void, helpers::generated::bpf_ktime_get_boot_ns, macros::btf_tracepoint,
    programs::BtfTracePointContext,
};

use crate::{
    engine,
    kernel::{sock::Tcp, task},
    store,
};

#[btf_tracepoint(function = "sock_send_length")]
pub fn send_length(ctx: BtfTracePointContext) -> i32 {
    used(ctx.arg(0))
}

#[btf_tracepoint(function = "sock_recv_length")]
pub fn recv_length(ctx: BtfTracePointContext) -> i32 {
    used(ctx.arg(0))
}

#[btf_tracepoint(function = "tcp_rcv_space_adjust")]
pub fn rcv_space_adjust(ctx: BtfTracePointContext) -> i32 {
    used(ctx.arg(0))
}

#[inline(always)]
fn used(sk: *mut c_void) -> i32 {
    let Some(store) = (unsafe { store::get(sk) }) else {
        return 0;
    };
    // A listener's own record: accept() is no use of it by a reader.
    if store.flags & (flag::ACTIVE | flag::PASSIVE | flag::START_UNKNOWN) == 0 {
        return 0;
    }
    if store.owner.relation == Relation::Acceptor as u8
        && store.user.relation == Relation::Unknown as u8
        && store.owner.pid == unsafe { task::tgid(task::current()) }
    {
        // The acceptor uses it itself.
        return 0;
    }
    engine::remember_user(store);
    if store.flags & (flag::PASSIVE | flag::WAS_ESTABLISHED | flag::ACCEPT_SENT)
        == (flag::PASSIVE | flag::WAS_ESTABLISHED)
        && let Some(tcp) = unsafe { Tcp::new(sk) }
    {
        let now = unsafe { bpf_ktime_get_boot_ns() };
        engine::accepted(&tcp, store, now, flag::PROCESS_CONTEXT);
    }
    0
}
