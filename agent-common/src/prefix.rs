//! Address prefixes, as command lines, requests and filters have them: one way to write them, one rule of what is in
//! them.
//!
//! An IPv4 prefix holds IPv4 addresses only, v4-mapped ones included, and an IPv6 prefix IPv6 ones only. The
//! unspecified address stands for "none" and is in no prefix but itself. So do the kernel's tries, which are made of
//! [`Prefix::key`].

use alloc::string::String;
use core::{error::Error, fmt, net::IpAddr, str::FromStr};

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

    /// Whether an address is in it.
    pub fn contains(&self, address: IpAddr) -> bool {
        let key = self.key();
        let address = address.to_canonical();
        let is_none = address.is_unspecified();
        key.is_v4 == address.is_ipv4() && key.covers(bits(address)) && (!is_none || key.length == 128)
    }

    /// The prefix in the space of all addresses; host bits are cut off.
    pub fn key(&self) -> Key {
        let length = u32::from(self.length);
        let (is_v4, length) = match self.address {
            IpAddr::V4(_) => (true, Key::MAPPED.length + length.min(32)),
            // Also where somebody did not turn a v4-mapped prefix into an IPv4 one.
            IpAddr::V6(v6) => {
                (v6.to_ipv4_mapped().is_some() && length >= Key::MAPPED.length, length.min(128))
            }
        };
        Key { is_v4, bits: bits(self.address) & mask(length), length }
    }
}

/// A prefix of 128 bits, with IPv4 as v4-mapped: how the kernel's tries have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// It is of IPv4 addresses.
    pub is_v4: bool,
    /// Its bits, zeros behind them.
    pub bits: u128,
    /// How many there are, 0 to 128.
    pub length: u32,
}

impl Key {
    /// `::ffff:0:0/96`: where IPv4 addresses are.
    pub const MAPPED: Self = Self { is_v4: true, bits: 0xffff_0000_0000, length: 96 };

    /// Whether an address begins with its bits.
    pub const fn covers(&self, address: u128) -> bool {
        (self.bits ^ address) & mask(self.length) == 0
    }
}

/// The first bits of an address.
const fn mask(length: u32) -> u128 {
    match 128u32.checked_sub(length) {
        Some(128) => 0,
        Some(rest) => u128::MAX << rest,
        None => u128::MAX,
    }
}

/// An address as 128 bits.
const fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().to_bits(),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

/// Why a text is no prefix: one line, with what would be right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PrefixError {
    /// Neither an address nor an address with a length.
    NotAPrefix {
        /// What was written.
        text: String,
    },
    /// More bits than an address of the family has.
    Length {
        /// What was written.
        text: String,
        /// The family's name.
        family: &'static str,
        /// How many bits its addresses have.
        most: u8,
    },
    /// An address inside of the network, not the network's own.
    HostBits {
        /// The network that the address is in.
        network: Prefix,
        /// The address.
        address: IpAddr,
    },
}

impl fmt::Display for PrefixError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAPrefix { text } => {
                write!(
                    f,
                    "{text:?} is not an address prefix; write it as 10.0.0.0/8, 192.0.2.7 or 2001:db8::/32"
                )
            }
            Self::Length { text, family, most } => {
                write!(f, "{text:?}: {family} prefixes have 0 to {most} bits")
            }
            Self::HostBits { network, address } => write!(
                f,
                "{address}/{} has host bits set; the network is {network}, the single address {address}",
                network.length
            ),
        }
    }
}

impl Error for PrefixError {}

impl FromStr for Prefix {
    type Err = PrefixError;

    /// An address, or an address without host bits, a slash, and a length as people write it: digits, no zero in front.
    fn from_str(text: &str) -> Result<Self, PrefixError> {
        let refuse = || PrefixError::NotAPrefix { text: text.into() };
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| refuse())?;
        let (most, family) = if address.is_ipv4() { (32, "IPv4") } else { (128, "IPv6") };
        let length = match length {
            None => most,
            Some(digits) => {
                let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
                if !is_number || digits.len() > 1 && digits.starts_with('0') {
                    return Err(refuse());
                }
                let length = digits.parse().ok().filter(|length| *length <= most);
                length.ok_or_else(|| PrefixError::Length { text: text.into(), family, most })?
            }
        };
        let prefix = Self { address, length };
        match prefix.network() {
            network if network == address => Ok(prefix.unmapped()),
            network => Err(PrefixError::HostBits { network: Self { address: network, length }, address }),
        }
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.length)
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString as _;
    use core::net::IpAddr;

    use super::Prefix;

    fn prefix(text: &str) -> Prefix {
        text.parse().unwrap()
    }

    #[test]
    fn prefixes_of_both_families_and_single_addresses_are_taken() {
        let made = |address: &str, length| Prefix { address: address.parse::<IpAddr>().unwrap(), length };
        assert_eq!(prefix("10.0.0.0/8"), made("10.0.0.0", 8));
        assert_eq!(prefix("0.0.0.0/0"), made("0.0.0.0", 0));
        assert_eq!(prefix("192.0.2.7"), made("192.0.2.7", 32));
        assert_eq!(prefix("2001:db8::/32"), made("2001:db8::", 32));
        assert_eq!(prefix("::/0"), made("::", 0));
        assert_eq!(prefix("::1"), made("::1", 128));
    }

    #[test]
    fn a_v4_mapped_prefix_is_the_ipv4_one() {
        assert_eq!(prefix("::ffff:10.0.0.0/104"), prefix("10.0.0.0/8"));
        assert_eq!(prefix("::ffff:192.0.2.7"), prefix("192.0.2.7"));
    }

    #[test]
    fn what_is_no_prefix_is_refused_in_a_line_that_says_what_would_be_one() {
        let refused = |text: &str| text.parse::<Prefix>().unwrap_err().to_string();
        let advice = "is not an address prefix; write it as 10.0.0.0/8, 192.0.2.7 or 2001:db8::/32";
        for text in
            ["db", "", "/8", "10.0.0/8", "10.0.0.0/", "10.0.0.0/08", "10.0.0.0/+8", "10.0.0.0/8/8", "::/ 1"]
        {
            assert_eq!(refused(text), alloc::format!("{text:?} {advice}"));
        }
        assert_eq!(refused("a\nb"), alloc::format!("\"a\\nb\" {advice}"), "one line, whatever was written");
        assert_eq!(refused("10.0.0.0/33"), "\"10.0.0.0/33\": IPv4 prefixes have 0 to 32 bits");
        assert_eq!(
            refused("10.0.0.0/4294967304"),
            "\"10.0.0.0/4294967304\": IPv4 prefixes have 0 to 32 bits"
        );
        assert_eq!(refused("::/129"), "\"::/129\": IPv6 prefixes have 0 to 128 bits");
    }

    #[test]
    fn host_bits_are_refused_with_the_two_readings() {
        let refused = |text: &str| text.parse::<Prefix>().unwrap_err().to_string();
        assert_eq!(
            refused("10.1.2.3/8"),
            "10.1.2.3/8 has host bits set; the network is 10.0.0.0/8, the single address 10.1.2.3"
        );
        assert_eq!(
            refused("2001:db8::1/64"),
            "2001:db8::1/64 has host bits set; the network is 2001:db8::/64, the single address 2001:db8::1"
        );
    }

    #[test]
    fn a_prefix_holds_its_family_alone_and_v4_mapped_is_ipv4() {
        let holds = |text: &str, address: &str| prefix(text).contains(address.parse().unwrap());
        assert!(holds("10.0.0.0/8", "10.255.0.1") && holds("10.0.0.0/8", "::ffff:10.1.1.1"));
        assert!(holds("fd00::/8", "fdff::1") && holds("::/0", "fd00::1") && holds("0.0.0.0/0", "8.8.8.8"));
        assert!(!holds("10.0.0.0/8", "11.0.0.1") && !holds("fd00::/8", "fe00::1"));
        assert!(
            !holds("::/0", "10.0.0.1") && !holds("::/0", "::ffff:10.0.0.1") && !holds("0.0.0.0/0", "::1")
        );
    }

    #[test]
    fn the_unspecified_address_is_none_and_in_no_prefix_but_itself() {
        let holds = |text: &str, address: &str| prefix(text).contains(address.parse().unwrap());
        assert!(holds("0.0.0.0", "0.0.0.0") && holds("::", "::"));
        for (wide, none) in
            [("0.0.0.0/0", "0.0.0.0"), ("0.0.0.0/31", "0.0.0.0"), ("::/0", "::"), ("::/127", "::")]
        {
            assert!(!holds(wide, none), "{none} in {wide}");
        }
    }
}
