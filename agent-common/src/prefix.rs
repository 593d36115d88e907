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

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.length)
    }
}
