//! `tp_btf/tcp_retransmit_skb` and `tp_btf/tcp_retransmit_synack`: segments that are sent again.
//!
//! `void (const struct sock *sk, const struct sk_buff *skb)`, with `int err` behind them since 6.18, of which user space
//! loads the shape that the kernel has; `void (const struct sock *sk, const struct request_sock *req)` on every kernel
//! (include/trace/events/tcp.h). Without `err` the first fires only for what could be sent. Both fire in softirq, from
//! timers and ACKs: who runs has nothing to do with the socket.

use agent_common::{
    kind::EventKind,
    record::{Header, RecordType, Relation, Retransmit, Socket, flag},
    ring,
    state::TcpState,
    store::Store,
};
use aya_ebpf::{
    cty::c_void, helpers::generated::bpf_ktime_get_boot_ns, macros::btf_tracepoint,
    programs::BtfTracePointContext,
};

use crate::{
    emit, engine, filter,
    kernel::{
        request, skb,
        sock::{Tcp, Tuple},
        task,
    },
    store,
};

const KIND: EventKind = EventKind::Retransmit;
const ENOBUFS: u32 = 105;

#[btf_tracepoint(function = "tcp_retransmit_skb")]
pub fn retransmit_two_args(ctx: BtfTracePointContext) -> i32 {
    retransmitted(ctx.arg(0), ctx.arg(1), 0)
}

#[btf_tracepoint(function = "tcp_retransmit_skb")]
pub fn retransmit_three_args(ctx: BtfTracePointContext) -> i32 {
    let error: i32 = ctx.arg(2);
    // Positive where the queue of the device took it and dropped it (NET_XMIT_DROP), for which IP says ENOBUFS.
    let errno = if error > 0 { ENOBUFS } else { error.unsigned_abs() };
    retransmitted(ctx.arg(0), ctx.arg(1), errno)
}

#[btf_tracepoint(function = "tcp_retransmit_synack")]
pub fn retransmit_synack(ctx: BtfTracePointContext) -> i32 {
    asked_again(ctx.arg(0), ctx.arg(1))
}

#[inline(always)]
fn retransmitted(sk: *mut c_void, packet: *const c_void, error: u32) -> i32 {
    let Some(config) = filter::config() else {
        return 0;
    };
    if config.wanted & KIND.bit() == 0 {
        return 0;
    }
    let Some(tcp) = (unsafe { Tcp::new(sk) }) else {
        return 0;
    };
    let Some((head, tuple, store)) = engine::note(&tcp, config, KIND) else {
        return 0;
    };
    let Some(mut entry) = emit::reserve_bulk::<Retransmit>() else {
        return 0;
    };
    let (attempts, ca_state, pending) = tcp.loss_state();
    let record = entry.as_mut_ptr();
    unsafe {
        let segment = skb::segment(packet);
        engine::header(&raw mut (*record).header, &head, RecordType::Retransmit, size_of::<Retransmit>());
        engine::socket_part(&raw mut (*record).socket, &tcp, store, &tuple, &engine::in_state(tcp.state()));
        task::copy(&raw mut (*record).owner, engine::shown(store));
        (*record).sequence = segment.sequence;
        (*record).end_sequence = segment.end_sequence;
        (*record).segments = if segment.segments == 0 { 1 } else { segment.segments.into() };
        (*record).error = error;
        (*record).attempts = attempts;
        (*record).ca_state = ca_state;
        (*record).pending = pending;
        (*record).is_syn_ack = 0;
        (*record).tcp_flags = segment.flags;
        (*record).pad = [0; 3];
    }
    emit::submit(entry, ring::BULK);
    0
}

/// The SYN-ACK of a connection that has no socket of its own yet: the listener's record says whose it will be.
#[inline(always)]
fn asked_again(listener: *mut c_void, request: *const c_void) -> i32 {
    let Some(config) = filter::config() else {
        return 0;
    };
    if config.wanted & KIND.bit() == 0 {
        return 0;
    }
    let Some(tcp) = (unsafe { Tcp::new(listener) }) else {
        return 0;
    };
    let Some(store) = (unsafe { store::get_or_create(listener) }) else {
        return 0;
    };
    engine::identify_older(&tcp, store);
    let tuple = unsafe { request::tuple(request) };
    let verdict = filter::evaluate(config, store, &tuple);
    if !filter::is_wanted(config, verdict, KIND) {
        return 0;
    }
    let Some(mut entry) = emit::reserve_bulk::<Retransmit>() else {
        return 0;
    };
    // By the listener: a request for IPv4 at a socket of both families is one of IPv4.
    let v6 = if tcp.is_v6() { flag::SOCKET_V6 } else { 0 };
    let head = Header {
        time_ns: unsafe { bpf_ktime_get_boot_ns() },
        verdict,
        kinds: KIND.bit(),
        flags: flag::PASSIVE | v6,
        generation: config.generation as u8,
        ..Header::default()
    };
    let record = entry.as_mut_ptr();
    unsafe {
        engine::header(&raw mut (*record).header, &head, RecordType::Retransmit, size_of::<Retransmit>());
        request_part(&raw mut (*record).socket, store, &tuple);
        task::copy(&raw mut (*record).owner, &store.owner);
        if (*record).owner.relation == Relation::Owner as u8 {
            (*record).owner.relation = Relation::Listener as u8;
        }
        (*record).sequence = 0;
        (*record).end_sequence = 0;
        (*record).segments = 1;
        (*record).error = 0;
        (*record).attempts = request::retransmits(request);
        (*record).ca_state = 0;
        (*record).pending = 0;
        (*record).is_syn_ack = 1;
        (*record).tcp_flags = 0;
        (*record).pad = [0; 3];
    }
    emit::submit(entry, ring::BULK);
    0
}

#[inline(always)]
unsafe fn request_part(into: *mut Socket, listener: &Store, tuple: &Tuple) {
    let state = TcpState::NewSynRecv.number();
    unsafe {
        into.write(Socket {
            cookie: 0,
            cgroup_id: listener.cgroup_id,
            start_ns: 0,
            established_ns: 0,
            old_since_ns: 0,
            local: core::mem::transmute_copy(&tuple.local),
            remote: core::mem::transmute_copy(&tuple.remote),
            netns: listener.netns,
            local_port: tuple.local_port,
            remote_port: tuple.remote_port,
            error: 0,
            backlog: 0,
            max_backlog: 0,
            syn_retransmits: 0,
            old_state: state,
            new_state: state,
            stored_state: state,
            shutdown: 0,
            pad8: 0,
            pad16: 0,
            handshake_rtt_us: 0,
        });
    }
}
