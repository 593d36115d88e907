//! The layout of the kernel's filter.
//!
//! Up to 64 conjunctions are live at once, each a bit of a `u64` (a "set"). For each dimension a map gives
//! the set that accepts a value; [`FilterConfig::free`] holds the conjunctions that do not care. The
//! verdict for a socket is the AND over the dimensions in use, for an event also with the set of its kind.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::kind::MAX_KINDS;

/// How many conjunctions fit.
pub const MAX_CONJUNCTIONS: usize = 64;

/// A dimension with a map of its own: the map's values are sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Dimension {
    /// Network namespace, by inode. Map `F_NETNS`, key `u32`.
    Netns = 0,
    /// Cgroup of the socket, by v2 id. Map `F_CGROUP`, key `u64`.
    Cgroup = 1,
    /// Mount namespace of the owner, by inode. Map `F_MNTNS`, key `u32`.
    Mntns = 2,
    /// Process (thread group) that owns or uses the socket. Map `F_PID`, key `u32`.
    Pid = 3,
    /// User id of the owner. Map `F_UID`, key `u32`.
    Uid = 4,
    /// Local port, host order. Map `F_LPORT`, key `u32`.
    LocalPort = 5,
    /// Remote port, host order. Map `F_RPORT`, key `u32`.
    RemotePort = 6,
    /// Local address. Trie `F_LADDR`, 128 bits, IPv4 as v4-mapped.
    LocalAddress = 7,
    /// Remote address. Trie `F_RADDR`, 128 bits, IPv4 as v4-mapped.
    RemoteAddress = 8,
    /// Address family after v4-mapped addresses became IPv4. No map: [`FilterConfig::family`].
    Family = 9,
    /// Cgroup found in a pinned map of the user (bcc's `--cgroupmap`). Map `P_CGROUP`, key `u64`, presence.
    PinnedCgroup = 10,
    /// Mount namespace found in a pinned map (bcc's `--mntnsmap`). Map `P_MNTNS`, key `u64`, presence.
    PinnedMntns = 11,
}

/// How many dimensions there are.
pub const DIMENSIONS: usize = 12;

impl Dimension {
    /// All dimensions, by number.
    pub const ALL: [Self; DIMENSIONS] = [
        Self::Netns,
        Self::Cgroup,
        Self::Mntns,
        Self::Pid,
        Self::Uid,
        Self::LocalPort,
        Self::RemotePort,
        Self::LocalAddress,
        Self::RemoteAddress,
        Self::Family,
        Self::PinnedCgroup,
        Self::PinnedMntns,
    ];

    /// The dimension's bit in [`FilterConfig::used`].
    pub const fn bit(self) -> u32 {
        1 << self as u8
    }

    /// The name used by `--explain`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Netns => "netns",
            Self::Cgroup => "cgroup",
            Self::Mntns => "mntns",
            Self::Pid => "pid",
            Self::Uid => "uid",
            Self::LocalPort => "local_port",
            Self::RemotePort => "remote_port",
            Self::LocalAddress => "local_address",
            Self::RemoteAddress => "remote_address",
            Self::Family => "family",
            Self::PinnedCgroup => "cgroupmap",
            Self::PinnedMntns => "mntnsmap",
        }
    }
}

/// A subscription's conjunctions: it gets an event that one of `allow` accepts and none of `deny`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Subscription {
    /// Conjunctions that let an event in.
    pub allow: u64,
    /// Conjunctions that keep it out, whatever `allow` says.
    pub deny: u64,
}

/// The filter's fixed part: map `FILTER`, an array of two of which `generation & 1` names the live one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct FilterConfig {
    /// Conjunctions of all allow lists.
    pub allow: u64,
    /// Conjunctions of all deny lists; 0 spares the look at each subscription.
    pub deny: u64,
    /// For each dimension the conjunctions that do not look at it.
    pub free: [u64; DIMENSIONS],
    /// The conjunctions that accept IPv4 and IPv6.
    pub family: [u64; 2],
    /// For each event kind the conjunctions that accept it.
    pub kinds: [u64; MAX_KINDS],
    /// The subscriptions; only the first [`FilterConfig::subscriptions`] count.
    pub subscription: [Subscription; MAX_CONJUNCTIONS],
    /// How many of `subscription` are in use; looked at only where `deny` is not 0.
    pub subscriptions: u32,
    /// Bits of the dimensions that some conjunction looks at.
    pub used: u32,
    /// Bits of the event kinds that somebody wants.
    pub wanted: u32,
    /// Goes up with each change; a socket's cached verdict of another generation is stale. Never 0.
    pub generation: u32,
}

impl FilterConfig {
    /// A filter that accepts nothing.
    pub const EMPTY: Self = Self {
        allow: 0,
        deny: 0,
        free: [0; DIMENSIONS],
        family: [0; 2],
        kinds: [0; MAX_KINDS],
        subscription: [Subscription { allow: 0, deny: 0 }; MAX_CONJUNCTIONS],
        subscriptions: 0,
        used: 0,
        wanted: 0,
        generation: 1,
    };
}

/// The key of the address tries: an IPv6 or v4-mapped address, most significant byte first.
pub type AddressKey = [u8; 16];
