//! `tp_btf/tcp_send_reset` and `tp_btf/tcp_receive_reset`: RSTs.
//!
//! `void (const struct sock *sk, const struct sk_buff *skb)`, with `const enum sk_rst_reason reason` behind them since
//! 6.12, of which user space loads the shape that the kernel has; `void (struct sock *sk)` on every kernel
//! (include/trace/events/tcp.h). A RST that is sent answers a packet (`skb`) or not; it has a socket or not: then the
//! packet alone says whose it is, and a program of its own reads it, which lockdown=confidentiality refuses. Where there
//! is no reason the first fires for sockets alone.

use agent_common::{
    kind::EventKind,
    record::{Header, RecordType, Relation, Socket, Trouble, flag},
    ring,
    store::Store,
};
use aya_ebpf::{
    cty::c_void,
    helpers::generated::bpf_ktime_get_boot_ns,
    macros::{btf_tracepoint, map},
    maps::PerCpuArray,
    programs::BtfTracePointContext,
};

use crate::{
    emit, engine, filter,
    kernel::{
        packet,
        sock::{Tcp, Tuple},
        task,
    },
};

const KIND: EventKind = EventKind::Reset;

#[btf_tracepoint(function = "tcp_receive_reset")]
pub fn receive_reset(ctx: BtfTracePointContext) -> i32 {
    of_socket(ctx.arg(0), Trouble::NO_REASON, 0)
}

#[btf_tracepoint(function = "tcp_send_reset")]
pub fn send_reset_two_args(ctx: BtfTracePointContext) -> i32 {
    of_socket(ctx.arg(0), Trouble::NO_REASON, 1)
}

#[btf_tracepoint(function = "tcp_send_reset")]
pub fn send_reset_three_args(ctx: BtfTracePointContext) -> i32 {
    let reason: u32 = ctx.arg(2);
    of_socket(ctx.arg(0), reason, 1)
}

#[btf_tracepoint(function = "tcp_send_reset")]
pub fn send_reset_packet(ctx: BtfTracePointContext) -> i32 {
    let reason: u32 = ctx.arg(2);
    of_packet(ctx.arg(0), ctx.arg(1), reason)
}

#[inline(always)]
fn of_socket(sk: *mut c_void, reason: u32, is_sent: u8) -> i32 {
    let Some(config) = filter::config() else {
        return 0;
    };
    if config.wanted & KIND.bit() == 0 || sk.is_null() {
        return 0;
    }
    let Some(tcp) = (unsafe { Tcp::new(sk) }) else {
        return 0;
    };
    let Some((head, tuple, store)) = engine::note(&tcp, config, KIND) else {
        return 0;
    };
    let Some(mut entry) = emit::reserve_bulk::<Trouble>() else {
        return 0;
    };
    let record = entry.as_mut_ptr();
    unsafe {
        engine::header(&raw mut (*record).header, &head, RecordType::Trouble, size_of::<Trouble>());
        engine::socket_part(&raw mut (*record).socket, &tcp, store, &tuple, &engine::in_state(tcp.state()));
        task::copy(&raw mut (*record).owner, engine::shown(store));
        (*record).reason = reason;
        (*record).error = 0;
        (*record).is_sent = is_sent;
        (*record).is_soft = 0;
        (*record).pad = [0; 6];
    }
    emit::submit(entry, ring::BULK);
    0
}

/// A record for the filter alone, of which the network namespace is all that is known.
#[map]
static NOBODY: PerCpuArray<Store> = PerCpuArray::with_max_entries(1, 0);

#[inline(always)]
fn of_packet(sk: *mut c_void, skb: *const c_void, reason: u32) -> i32 {
    let Some(config) = filter::config() else {
        return 0;
    };
    if config.wanted & KIND.bit() == 0 || skb.is_null() {
        return 0;
    }
    // The other program's.
    if !sk.is_null() && unsafe { Tcp::new(sk) }.is_some() {
        return 0;
    }
    let Some(packet) = (unsafe { packet::incoming(skb) }) else {
        return 0;
    };
    let Some(nobody) = NOBODY.get_ptr_mut(0) else {
        return 0;
    };
    let nobody = unsafe { &mut *nobody };
    nobody.netns = packet.netns;
    let verdict = filter::evaluate(config, nobody, &packet.tuple);
    if !filter::is_wanted(config, verdict, KIND) {
        return 0;
    }
    let Some(mut entry) = emit::reserve_bulk::<Trouble>() else {
        return 0;
    };
    let head = Header {
        time_ns: unsafe { bpf_ktime_get_boot_ns() },
        verdict,
        kinds: KIND.bit(),
        flags: if packet.tuple.socket_v6 { flag::SOCKET_V6 } else { 0 },
        generation: config.generation as u8,
        ..Header::default()
    };
    let record = entry.as_mut_ptr();
    unsafe {
        engine::header(&raw mut (*record).header, &head, RecordType::Trouble, size_of::<Trouble>());
        ends(&raw mut (*record).socket, &packet.tuple, packet.netns);
        (*record).owner.relation = Relation::Unknown as u8;
        (*record).reason = reason;
        (*record).error = 0;
        (*record).is_sent = 1;
        (*record).is_soft = 0;
        (*record).pad = [0; 6];
    }
    emit::submit(entry, ring::BULK);
    0
}

#[inline(always)]
unsafe fn ends(into: *mut Socket, tuple: &Tuple, netns: u32) {
    unsafe {
        into.write(Socket {
            cookie: 0,
            cgroup_id: 0,
            start_ns: 0,
            established_ns: 0,
            old_since_ns: 0,
            local: core::mem::transmute_copy(&tuple.local),
            remote: core::mem::transmute_copy(&tuple.remote),
            netns,
            local_port: tuple.local_port,
            remote_port: tuple.remote_port,
            error: 0,
            backlog: 0,
            max_backlog: 0,
            syn_retransmits: 0,
            old_state: 0,
            new_state: 0,
            stored_state: 0,
            shutdown: 0,
            pad8: 0,
            pad16: 0,
            handshake_rtt_us: 0,
        });
    }
}
