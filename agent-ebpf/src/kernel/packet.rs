//! Packets as they came from the network: addresses, ports and where they are.
//!
//! Headers are behind a plain pointer, so they are read with `bpf_probe_read_kernel`, which lockdown=confidentiality
//! forbids: only programs that have nothing else to go by use this.

use aya_ebpf::{cty::c_void, helpers::bpf_probe_read_kernel};

use super::{
    follow, offset, read,
    sock::{Tuple, mapped},
};

const TCP: u8 = 6;

/// A TCP packet that came in.
pub struct Packet {
    /// As a socket here would have it: local is where it goes to.
    pub tuple: Tuple,
    /// Inode of the network namespace of the device that it is on; 0 = unknown.
    pub netns: u32,
}

/// Reads the headers; `None` for what is no TCP packet, or has other headers between IP and TCP.
///
/// # Safety
///
/// `skb` is a typed `struct sk_buff *`.
#[inline(always)]
pub unsafe fn incoming(skb: *const c_void) -> Option<Packet> {
    unsafe {
        let head: *const u8 = read(skb, &offset::SKB_HEAD);
        let at: u16 = read(skb, &offset::SKB_NETWORK_HEADER);
        let ip = head.add(usize::from(at));
        let first: u8 = bpf_probe_read_kernel(ip).ok()?;
        let (remote, local, header) = if first >> 4 == 4 {
            let ip4: [u32; 5] = bpf_probe_read_kernel(ip.cast()).ok()?;
            // The tenth byte.
            if (ip4[2] >> 8) as u8 != TCP {
                return None;
            }
            (mapped(ip4[3]), mapped(ip4[4]), usize::from(first & 15) * 4)
        } else {
            let ip6: [u64; 5] = bpf_probe_read_kernel(ip.cast()).ok()?;
            // The seventh byte.
            if (ip6[0] >> 48) as u8 != TCP {
                return None;
            }
            ([ip6[1], ip6[2]], [ip6[3], ip6[4]], 40)
        };
        let ports: [u16; 2] = bpf_probe_read_kernel(ip.add(header).cast()).ok()?;
        let netns = match follow(skb, &offset::SKB_DEV) {
            Some(device) => match follow(device, &offset::NETDEV_NET) {
                Some(net) => read(net, &offset::NET_INUM),
                None => 0,
            },
            None => 0,
        };
        let (remote_port, local_port) = (u16::from_be(ports[0]), u16::from_be(ports[1]));
        let tuple = Tuple { local, remote, local_port, remote_port, socket_v6: first >> 4 != 4 };
        Some(Packet { tuple, netns })
    }
}
