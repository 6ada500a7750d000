//! Addresses of the families that an image has: one without IPv6 knows no other than IPv4,
//! and its matches cost nothing.

#[cfg(feature = "ipv6")]
use core::net::Ipv6Addr;
use core::net::{IpAddr, Ipv4Addr};

use smoltcp::wire::IpAddress;

use crate::link::EtherType;

/// An address of a host or a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Address {
    V4(Ipv4Addr),
    #[cfg(feature = "ipv6")]
    V6(Ipv6Addr),
}

impl Address {
    /// The address, if the image has its family. Of an IPv4 address inside an IPv6 one the
    /// IPv4 address counts (RFC 4291, section 2.5.5.2).
    pub fn new(address: IpAddr) -> Option<Address> {
        match address.to_canonical() {
            IpAddr::V4(address) => Some(Address::V4(address)),
            #[cfg(feature = "ipv6")]
            IpAddr::V6(address) => Some(Address::V6(address)),
            #[cfg(not(feature = "ipv6"))]
            IpAddr::V6(_) => None,
        }
    }

    /// Bytes of a header of the family, without options.
    pub const fn header(self) -> usize {
        match self {
            Address::V4(_) => 20,
            #[cfg(feature = "ipv6")]
            Address::V6(_) => 40,
        }
    }

    /// The largest packet of the family that nearly every path carries: Linux's `tcp_base_mss` of
    /// 1024 with its headers; IPv6's least (RFC 8200, section 5).
    #[cfg(feature = "tcp")]
    pub const fn least_usual(self) -> u16 {
        match self {
            Address::V4(_) => 1064,
            #[cfg(feature = "ipv6")]
            Address::V6(_) => 1280,
        }
    }

    /// The type of frames that carry the family.
    pub const fn ether_type(self) -> EtherType {
        match self {
            Address::V4(_) => EtherType::Ipv4,
            #[cfg(feature = "ipv6")]
            Address::V6(_) => EtherType::Ipv6,
        }
    }

    /// What a keyed hash takes in: addresses of different families differ by their tops.
    pub fn words(self) -> [u64; WORDS] {
        match self {
            #[cfg(not(feature = "ipv6"))]
            Address::V4(address) => [u64::from(u32::from(address))],
            #[cfg(feature = "ipv6")]
            Address::V4(address) => [0, 0xffff_0000_0000 | u64::from(u32::from(address))],
            #[cfg(feature = "ipv6")]
            Address::V6(address) => {
                let bits = u128::from(address);
                [(bits >> 64) as u64, bits as u64]
            }
        }
    }
}

/// Words of an address.
pub(crate) const WORDS: usize = if cfg!(feature = "ipv6") { 2 } else { 1 };

impl From<Ipv4Addr> for Address {
    fn from(address: Ipv4Addr) -> Self {
        Address::V4(address)
    }
}

#[cfg(feature = "ipv6")]
impl From<Ipv6Addr> for Address {
    fn from(address: Ipv6Addr) -> Self {
        Address::V6(address)
    }
}

impl From<Address> for IpAddr {
    fn from(address: Address) -> Self {
        match address {
            Address::V4(address) => IpAddr::V4(address),
            #[cfg(feature = "ipv6")]
            Address::V6(address) => IpAddr::V6(address),
        }
    }
}

impl From<Address> for IpAddress {
    fn from(address: Address) -> Self {
        match address {
            Address::V4(address) => IpAddress::Ipv4(address),
            #[cfg(feature = "ipv6")]
            Address::V6(address) => IpAddress::Ipv6(address),
        }
    }
}
