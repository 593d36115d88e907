//! `tp_btf/inet_sk_error_report`: a socket is told of an error.
//!
//! `void (const struct sock *sk)` on every kernel (include/trace/events/sock.h). Fires for other protocols, too.

use agent_common::{
    kind::EventKind,
    record::{RecordType, Trouble},
    ring,
};
use aya_ebpf::{cty::c_void, macros::btf_tracepoint, programs::BtfTracePointContext};

use crate::{
    emit, engine, filter,
    kernel::{sock::Tcp, task},
};

const KIND: EventKind = EventKind::SocketError;

#[btf_tracepoint(function = "inet_sk_error_report")]
pub fn error_report(ctx: BtfTracePointContext) -> i32 {
    let sk: *mut c_void = ctx.arg(0);
    let Some(config) = filter::config() else {
        return 0;
    };
    if config.wanted & KIND.bit() == 0 {
        return 0;
    }
    let Some(tcp) = (unsafe { Tcp::new(sk) }) else {
        return 0;
    };
    let (hard, soft) = (tcp.error(), tcp.soft_error());
    if hard == 0 && soft == 0 {
        // The application has fetched it already, and the socket is being taken apart.
        return 0;
    }
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
        (*record).reason = Trouble::NO_REASON;
        (*record).error = if hard == 0 { soft } else { hard };
        (*record).is_sent = 0;
        (*record).is_soft = u8::from(hard == 0);
        (*record).pad = [0; 6];
    }
    emit::submit(entry, ring::BULK);
    0
}
