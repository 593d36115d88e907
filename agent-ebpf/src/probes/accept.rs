//! `fexit/inet_csk_accept`: accept() returned a connection to the running process.
//!
//! Two shapes, of which user space loads the one that the kernel's BTF shows:
//! `struct sock *(struct sock *sk, int flags, int *err, bool kern)` up to 6.9, `struct sock *(struct sock *sk,
//! struct proto_accept_arg *arg)` since 6.10 (torvalds/linux 92ef0fd55ac8). An accept() that already slept
//! when the program was attached is not seen: readers and writers (`usage.rs`) cover it.

use agent_common::record::{Relation, flag};
use aya_ebpf::{
    cty::c_void, helpers::generated::bpf_ktime_get_boot_ns, macros::fexit, programs::FExitContext,
};

use crate::{
    engine,
    kernel::{sock::Tcp, task},
    store,
};

#[fexit(function = "inet_csk_accept")]
pub fn accept_two_args(ctx: FExitContext) -> i32 {
    accepted(ctx.arg(2))
}

#[fexit(function = "inet_csk_accept")]
pub fn accept_four_args(ctx: FExitContext) -> i32 {
    accepted(ctx.arg(4))
}

#[inline(always)]
fn accepted(sk: *mut c_void) -> i32 {
    if sk.is_null() {
        return 0;
    }
    let Some(tcp) = (unsafe { Tcp::new(sk) }) else {
        return 0;
    };
    let Some(store) = (unsafe { store::get(sk) }) else {
        return 0;
    };
    task::capture(&mut store.owner, Relation::Acceptor);
    store.user.relation = Relation::Unknown as u8;
    store.user.pid = 0;
    store.generation = 0;
    if store.flags & (flag::PASSIVE | flag::ACCEPT_SENT) == flag::PASSIVE {
        let now = unsafe { bpf_ktime_get_boot_ns() };
        engine::accepted(&tcp, store, now, flag::PROCESS_CONTEXT | flag::AT_ACCEPT);
    }
    0
}
