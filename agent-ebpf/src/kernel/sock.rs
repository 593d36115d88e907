//! Sockets: `struct sock` and, through `bpf_skc_to_tcp_sock`, `struct tcp_sock`.

use agent_common::record::Counters;
use aya_ebpf::{
    Global,
    cty::c_void,
    helpers::generated::{bpf_get_socket_cookie, bpf_skc_to_tcp_sock},
};

use super::{cgroup, follow, offset, read, read_optional};

const AF_INET6: u16 = 10;

/// A TCP socket. Everything is read through `tcp_sock`, whose first members are the smaller structs, because
/// the verifier refuses loads behind the end of `struct sock`.
#[derive(Clone, Copy)]
pub struct Tcp {
    /// The `struct sock *` as the hook gave it: what helpers want.
    pub sk: *mut c_void,
    /// The same as `struct tcp_sock *`.
    tp: *const c_void,
}

/// Addresses as two halves, as loaded (most significant byte first in memory); ports in host order.
#[derive(Clone, Copy)]
pub struct Tuple {
    pub local: [u64; 2],
    pub remote: [u64; 2],
    pub local_port: u16,
    pub remote_port: u16,
    pub socket_v6: bool,
}

impl Tcp {
    /// The socket, if it is a full TCP socket (no request socket, no TIME_WAIT, no SCTP).
    ///
    /// # Safety
    ///
    /// `sk` is a typed pointer to a sock or sock_common.
    #[inline(always)]
    pub unsafe fn new(sk: *mut c_void) -> Option<Self> {
        let tp = unsafe { bpf_skc_to_tcp_sock(sk) };
        if tp.is_null() { None } else { Some(Self { sk, tp: tp.cast_const().cast() }) }
    }

    /// The socket's cookie, made if nobody asked for it yet. Not to be asked before `SYN_RECV ->
    /// ESTABLISHED` of an accepted socket on kernels up to 6.12: it would make one that is thrown away.
    #[inline(always)]
    pub fn cookie(&self) -> u64 {
        unsafe { bpf_get_socket_cookie(self.sk) }
    }

    /// The state now.
    #[inline(always)]
    pub fn state(&self) -> u8 {
        unsafe { read(self.tp, &offset::SK_STATE) }
    }

    /// Whether the socket itself is AF_INET6, whatever its addresses are.
    #[inline(always)]
    pub fn is_v6(&self) -> bool {
        unsafe { read::<u16>(self.tp, &offset::SK_FAMILY) == AF_INET6 }
    }

    /// Inode of the network namespace; 0 = unknown.
    #[inline(always)]
    pub fn netns(&self) -> u32 {
        unsafe {
            match follow(self.tp, &offset::SK_NET) {
                Some(net) => read(net, &offset::NET_INUM),
                None => 0,
            }
        }
    }

    /// Id of the cgroup that the socket was made in; right also in softirq. 0 = unknown.
    #[inline(always)]
    pub fn cgroup_id(&self) -> u64 {
        unsafe {
            match follow(self.tp, &offset::SK_CGROUP) {
                Some(cgroup) => cgroup::id(cgroup).unwrap_or(0),
                None => 0,
            }
        }
    }

    /// `sk_err`, positive.
    #[inline(always)]
    pub fn error(&self) -> u32 {
        unsafe { read(self.tp, &offset::SK_ERR) }
    }

    /// `sk_err_soft`, positive. Not to be asked where user space found it absent.
    #[inline(always)]
    pub fn soft_error(&self) -> u32 {
        unsafe { read(self.tp, &offset::SK_ERR_SOFT) }
    }

    /// `sk_shutdown`.
    #[inline(always)]
    pub fn shutdown(&self) -> u8 {
        unsafe { read(self.tp, &offset::SK_SHUTDOWN) }
    }

    /// Whether a process has it: false in the accept queue and for orphans.
    #[inline(always)]
    pub fn has_socket(&self) -> bool {
        unsafe { follow(self.tp, &offset::SK_SOCKET) }.is_some()
    }

    /// Whether the peer's FIN came in.
    #[inline(always)]
    pub fn fin_received(&self) -> bool {
        let flags: u64 = unsafe { read(self.tp, &offset::SK_FLAGS) };
        flags & (1 << agent_common::fields::SOCK_DONE) != 0
    }

    /// Segments sent: for a connect, its SYNs.
    #[inline(always)]
    pub fn segments_out(&self) -> u32 {
        unsafe { read(self.tp, &offset::TP_SEGS_OUT) }
    }

    /// Smoothed round-trip time in microseconds; 0 = none measured yet, or unknown.
    #[inline(always)]
    pub fn srtt_us(&self) -> u32 {
        unsafe { read_optional::<u32>(self.tp, &offset::TP_SRTT_US) }.unwrap_or(0) >> 3
    }

    /// Timeouts in a row, congestion state and armed timer: `icsk_retransmits`, `icsk_ca_state`, `icsk_pending`. Not to
    /// be asked where user space found one of them absent.
    #[inline(always)]
    pub fn loss_state(&self) -> (u8, u8, u8) {
        /// The neighbours of a bitfield of five bits.
        const CA_STATE: u8 = 0x1f;
        unsafe {
            (
                read(self.tp, &offset::ICSK_RETRANSMITS),
                read::<u8>(self.tp, &offset::ICSK_CA_STATE) & CA_STATE,
                read(self.tp, &offset::ICSK_PENDING),
            )
        }
    }

    /// Accept queue length and limit. In a socket just cloned these are its listener's.
    #[inline(always)]
    pub fn backlog(&self) -> Option<(u32, u32)> {
        unsafe {
            Some((
                read_optional(self.tp, &offset::SK_ACK_BACKLOG)?,
                read_optional(self.tp, &offset::SK_MAX_ACK_BACKLOG)?,
            ))
        }
    }

    /// Peer's port in host order; 0 = no peer.
    #[inline(always)]
    pub fn remote_port(&self) -> u16 {
        u16::from_be(unsafe { read(self.tp, &offset::SK_DPORT) })
    }

    /// Addresses and ports. The local port is `inet_sport`: `skc_num` is 0 at `-> CLOSE`.
    #[inline(always)]
    pub fn tuple(&self) -> Tuple {
        unsafe {
            let socket_v6 = self.is_v6();
            let (local, remote) = if socket_v6 {
                (self.address6(&offset::SK_V6_RCV_SADDR), self.address6(&offset::SK_V6_DADDR))
            } else {
                (mapped(read(self.tp, &offset::SK_RCV_SADDR)), mapped(read(self.tp, &offset::SK_DADDR)))
            };
            Tuple {
                local,
                remote,
                local_port: u16::from_be(read(self.tp, &offset::INET_SPORT)),
                remote_port: self.remote_port(),
                socket_v6,
            }
        }
    }

    #[inline(always)]
    unsafe fn address6(&self, field: &Global<u32>) -> [u64; 2] {
        unsafe {
            let base = self.tp.cast::<u8>().add(field.load() as usize).cast::<u64>();
            [base.read_volatile(), base.add(1).read_volatile()]
        }
    }

    /// The counters as the kernel has them; `None` where BTF lacks one of them.
    #[inline(always)]
    pub fn counters(&self, into: &mut Counters) -> Option<()> {
        unsafe {
            let tp = self.tp;
            into.bytes_acked = read_optional(tp, &offset::TP_BYTES_ACKED)?;
            into.bytes_received = read_optional(tp, &offset::TP_BYTES_RECEIVED)?;
            into.bytes_sent = read_optional(tp, &offset::TP_BYTES_SENT)?;
            into.bytes_retrans = read_optional(tp, &offset::TP_BYTES_RETRANS)?;
            into.segs_in = read_optional(tp, &offset::TP_SEGS_IN)?;
            into.segs_out = self.segments_out();
            into.data_segs_in = read_optional(tp, &offset::TP_DATA_SEGS_IN)?;
            into.data_segs_out = read_optional(tp, &offset::TP_DATA_SEGS_OUT)?;
            into.total_retrans = read_optional(tp, &offset::TP_TOTAL_RETRANS)?;
            into.srtt_us = read_optional::<u32>(tp, &offset::TP_SRTT_US)? >> 3;
            into.mdev_us = read_optional::<u32>(tp, &offset::TP_MDEV_US)? >> 2;
            into.min_rtt_us = read_optional(tp, &offset::TP_RTT_MIN)?;
            into.snd_cwnd = read_optional(tp, &offset::TP_SND_CWND)?;
            // What lies behind is read first: an iterator reads while the socket works, and a difference that
            // another CPU turns negative would be 4 GiB.
            let snd_una: u32 = read_optional(tp, &offset::TP_SND_UNA)?;
            let snd_nxt: u32 = read_optional(tp, &offset::TP_SND_NXT)?;
            let write_seq: u32 = read_optional(tp, &offset::TP_WRITE_SEQ)?;
            into.unsent = write_seq.wrapping_sub(snd_nxt);
            into.unacked = write_seq.wrapping_sub(snd_una);
            let copied_seq: u32 = read_optional(tp, &offset::TP_COPIED_SEQ)?;
            let rcv_nxt: u32 = read_optional(tp, &offset::TP_RCV_NXT)?;
            into.unread = rcv_nxt.wrapping_sub(copied_seq);
        }
        Some(())
    }
}

/// An IPv4 address (network order, as loaded) as the two halves of `::ffff:a.b.c.d`, as loaded.
#[inline(always)]
pub fn mapped(address: u32) -> [u64; 2] {
    // Bytes 0..8 are zero; bytes 8..12 are 00 00 ff ff; bytes 12..16 the address.
    if cfg!(target_endian = "little") {
        [0, (u64::from(address) << 32) | 0xffff_0000]
    } else {
        [0, 0x0000_ffff_0000_0000 | u64::from(address)]
    }
}
