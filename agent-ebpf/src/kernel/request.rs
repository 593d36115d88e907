//! Connections that are only asked for: `struct request_sock`, which begins with a `sock_common` like any socket.

use aya_ebpf::{Global, cty::c_void};

use super::{
    offset, read,
    sock::{Tuple, mapped},
};

const AF_INET6: u16 = 10;

/// Addresses and ports of the connection that it is to become.
///
/// # Safety
///
/// `request` is a typed `struct request_sock *`.
#[inline(always)]
pub unsafe fn tuple(request: *const c_void) -> Tuple {
    unsafe {
        let socket_v6 = read::<u16>(request, &offset::SK_FAMILY) == AF_INET6;
        let (local, remote) = if socket_v6 {
            (address6(request, &offset::SK_V6_RCV_SADDR), address6(request, &offset::SK_V6_DADDR))
        } else {
            (mapped(read(request, &offset::SK_RCV_SADDR)), mapped(read(request, &offset::SK_DADDR)))
        };
        Tuple {
            local,
            remote,
            // In host order, unlike the port of the peer (`ireq->ir_num`).
            local_port: read(request, &offset::SK_NUM),
            remote_port: u16::from_be(read(request, &offset::SK_DPORT)),
            socket_v6,
        }
    }
}

/// How often its SYN-ACK was sent again.
///
/// # Safety
///
/// As for [`tuple`].
#[inline(always)]
pub unsafe fn retransmits(request: *const c_void) -> u8 {
    unsafe { read(request, &offset::REQUEST_RETRANS) }
}

#[inline(always)]
unsafe fn address6(request: *const c_void, field: &Global<u32>) -> [u64; 2] {
    unsafe {
        let base = request.cast::<u8>().add(field.load() as usize).cast::<u64>();
        [base.read_volatile(), base.add(1).read_volatile()]
    }
}
