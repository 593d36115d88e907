//! Packets: `struct sk_buff`, and what TCP keeps in its `cb` (`struct tcp_skb_cb`).

use aya_ebpf::{Global, cty::c_void};

use super::offset;

/// What TCP keeps of a segment that it sent.
pub struct Segment {
    pub sequence: u32,
    pub end_sequence: u32,
    pub segments: u16,
    pub flags: u8,
}

/// Reads a segment of TCP's own: of a packet elsewhere `cb` is somebody else's.
///
/// # Safety
///
/// `skb` is a typed `struct sk_buff *`.
#[inline(always)]
pub unsafe fn segment(skb: *const c_void) -> Segment {
    unsafe {
        Segment {
            sequence: in_cb(skb, &offset::TCP_CB_SEQ),
            end_sequence: in_cb(skb, &offset::TCP_CB_END_SEQ),
            segments: in_cb(skb, &offset::TCP_CB_GSO_SEGS),
            flags: in_cb(skb, &offset::TCP_CB_FLAGS),
        }
    }
}

#[inline(always)]
unsafe fn in_cb<T: Copy>(skb: *const c_void, field: &Global<u32>) -> T {
    unsafe {
        let at = offset::SKB_CB.load() + field.load();
        skb.cast::<u8>().add(at as usize).cast::<T>().read_volatile()
    }
}
