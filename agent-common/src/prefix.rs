//! Address prefixes, as command lines, requests and filters have them.

use core::{fmt, net::IpAddr};

/// An address prefix without host bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Prefix {
    /// The network's address; v4-mapped ones are IPv4 here.
    pub address: IpAddr,
    /// Its length in bits: 0 to 32 for IPv4, 0 to 128 for IPv6.
    pub length: u8,
}

impl Prefix {
    /// The network's address: host bits cleared.
    pub fn network(&self) -> IpAddr {
        let length = u32::from(self.length);
        match self.address {
            IpAddr::V4(v4) => {
                let mask = u32::MAX.checked_shl(32 - length).unwrap_or(0);
                IpAddr::V4((v4.to_bits() & mask).into())
            }
            IpAddr::V6(v6) => {
                let mask = u128::MAX.checked_shl(128 - length).unwrap_or(0);
                IpAddr::V6((v6.to_bits() & mask).into())
            }
        }
    }

    /// `::ffff:10.0.0.0/104` is 10.0.0.0/8: v4-mapped addresses are shown and matched as IPv4.
    pub fn unmapped(self) -> Self {
        match (self.address.to_canonical(), self.length.checked_sub(96)) {
            (IpAddr::V4(v4), Some(length)) if self.address.is_ipv6() => {
                Self { address: IpAddr::V4(v4), length }
            }
            _ => self,
        }
    }

    /// Whether an address is in it; v4-mapped addresses are IPv4 by then.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.address.is_ipv4() == address.is_ipv4()
            && Self { address, length: self.length }.network() == self.network()
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.length)
    }
}
