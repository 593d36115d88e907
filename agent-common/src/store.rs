//! The one record of truth per socket: the value of the map `SOCKETS` (`bpf_sk_storage`).
//!
//! The kernel copies a listener's record into each connection cloned from it and frees the record with the
//! socket, so nothing leaks and nothing has to be swept. User space never reads it: iterators do.

use crate::record::Owner;

/// The event that is being made of a transition. It passes through a map's value so that the verifier forgets
/// how its parts came about: otherwise it follows each way through `step` to the end of `send`.
#[derive(Clone, Copy, Default)]
#[repr(C)]
pub struct Pending {
    /// When the old state began; 0 = not seen.
    pub old_since_ns: u64,
    /// Bits of the event kinds.
    pub kinds: u32,
    /// Bits of [`crate::record::flag`] for this event alone.
    pub flags: u32,
    /// `sk_err`.
    pub error: u32,
    /// The state left.
    pub old: u8,
    /// The state entered.
    pub new: u8,
    /// The state that was known.
    pub stored: u8,
    /// Zero.
    pub pad: u8,
}

/// What is kept for a socket. Zero is the value of a record that was just made.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Store {
    /// Socket cookie; 0 = not asked for yet.
    pub cookie: u64,
    /// Id of the socket's cgroup; 0 = not read yet.
    pub cgroup_id: u64,
    /// When the connection began; 0 = not seen.
    pub start_ns: u64,
    /// When it became ESTABLISHED; 0 = not seen.
    pub established_ns: u64,
    /// When `state` began; 0 = not seen.
    pub since_ns: u64,
    /// The cached verdict, valid for `generation`.
    pub verdict: u64,
    /// The filter's generation that `verdict` belongs to; 0 = none.
    pub generation: u32,
    /// Inode of the network namespace; 0 = not read yet.
    pub netns: u32,
    /// Bits of [`crate::record::flag`] that last.
    pub flags: u32,
    /// The remote port, kept for repairs (the kernel wipes it).
    pub remote_port: u16,
    /// The state after the last event; 0 = none seen.
    pub state: u8,
    /// Zero.
    pub pad: u8,
    /// Accept queue length when the connection was cloned from its listener (with `flag::BACKLOG`).
    pub backlog: u32,
    /// The listener's limit at that time.
    pub max_backlog: u32,
    /// The remote address, kept for repairs.
    pub remote: [u8; 16],
    /// Who connected, listens or accepted.
    pub owner: Owner,
    /// Who last read, wrote or closed.
    pub user: Owner,
}

// With the kernel's head of 72 bytes this fills an allocation of 256; eight bytes more would take 512, zeroed
// for every socket.
const _: () = assert!(size_of::<Store>() == 184);
