//! The layout of the kernel's filter.
//!
//! Each conjunction that is live is a bit of a `u64` (a "set"). For each dimension a map gives
//! the set that accepts a value; [`FilterConfig::free`] holds the conjunctions that do not care. The
//! verdict for a socket is the AND over the dimensions in use, for an event also with the set of its kind.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::kind::MAX_KINDS;

/// How many bits a set has, for conjunctions and the guards of subscriptions together.
pub const BITS: usize = 64;

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

/// The filter's fixed part: map `FILTER`, an array of two of which `generation & 1` names the live one.
///
/// Each subscription has a field of its own in the sets: consecutive bits, one per conjunction (those of its
/// allow list and of its deny list), and above them one guard bit that is no conjunction. Adding the field of
/// ones to the accepted bits carries into the guard exactly where one of them is set, for all subscriptions
/// at once: see [`FilterConfig::subscribers`]. A loop over 64 subscriptions would cost a hundred times as
/// much, and the verifier's patience.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct FilterConfig {
    /// Conjunctions of all allow lists.
    pub allow: u64,
    /// Conjunctions of all deny lists.
    pub deny: u64,
    /// The guard bit of each subscription.
    pub guards: u64,
    /// For each dimension the conjunctions that do not look at it.
    pub free: [u64; DIMENSIONS],
    /// The conjunctions that accept IPv4 and IPv6.
    pub family: [u64; 2],
    /// For each event kind the conjunctions that accept it; 0 for kinds that nobody wants.
    pub kinds: [u64; MAX_KINDS],
    /// Bits of the dimensions that some conjunction looks at.
    pub used: u32,
    /// Bits of the event kinds that somebody wants.
    pub wanted: u32,
    /// Goes up with each change; a socket's cached verdict of another generation is stale. Never 0.
    pub generation: u32,
    /// Zero.
    pub pad: u32,
}

impl FilterConfig {
    /// A filter that accepts nothing.
    pub const EMPTY: Self = Self {
        allow: 0,
        deny: 0,
        guards: 0,
        free: [0; DIMENSIONS],
        family: [0; 2],
        kinds: [0; MAX_KINDS],
        used: 0,
        wanted: 0,
        generation: 1,
        pad: 0,
    };

    /// The guard bits of the subscriptions that one of the conjunctions in `set` allows and none denies.
    #[inline(always)]
    pub const fn subscribers(&self, set: u64) -> u64 {
        let ones = (self.allow | self.deny) & !self.guards;
        let allowed = (set & self.allow).wrapping_add(ones);
        let denied = (set & self.deny).wrapping_add(ones);
        allowed & !denied & self.guards
    }
}

/// The key of the address tries: an IPv6 or v4-mapped address, most significant byte first.
pub type AddressKey = [u8; 16];

#[cfg(test)]
mod tests {
    use super::FilterConfig;

    /// Two subscriptions: bits 0 and 1 allow, 2 denies, 3 guards; bit 4 allows, 5 guards.
    const TWO: FilterConfig =
        FilterConfig { allow: 0b01_0011, deny: 0b00_0100, guards: 0b10_1000, ..FilterConfig::EMPTY };

    #[test]
    fn a_subscription_gets_what_one_conjunction_allows_and_none_denies() {
        let cases = [
            (0b00_0000, 0b00_0000),
            (0b00_0001, 0b00_1000),
            (0b00_0010, 0b00_1000),
            (0b00_0011, 0b00_1000),
            (0b00_0100, 0b00_0000),
            (0b00_0101, 0b00_0000),
            (0b00_0111, 0b00_0000),
            (0b01_0000, 0b10_0000),
            (0b01_0101, 0b10_0000),
            (0b01_0001, 0b10_1000),
        ];
        for (set, expected) in cases {
            assert_eq!(TWO.subscribers(set), expected, "set {set:#08b}");
        }
    }

    #[test]
    fn the_highest_subscription_may_use_the_highest_bit_as_its_guard() {
        let last = FilterConfig { allow: 1 << 62, guards: 1 << 63, ..FilterConfig::EMPTY };
        assert_eq!(last.subscribers(1 << 62), 1 << 63);
        assert_eq!(last.subscribers(0), 0);
    }
}
