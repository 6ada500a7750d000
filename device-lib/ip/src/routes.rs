//! Ways to other networks than the gateway's: of those that lead to an address, the one with the
//! longest prefix.

use alloc::vec::Vec;
use core::net::Ipv4Addr;
#[cfg(feature = "ipv6")]
use core::net::Ipv6Addr;

use crate::{Options, Route};

/// The most routes that a DHCP server may give.
#[cfg(feature = "dhcp")]
pub(crate) const MOST_GIVEN: usize = 16;

/// A way over IPv4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Way {
    pub network: Ipv4Addr,
    /// Length of the prefix, 0 to 32.
    pub prefix: u8,
    /// The neighbour that leads there; unspecified: the network is on our link (RFC 3442).
    pub router: Ipv4Addr,
}

impl Way {
    fn leads_to(&self, address: Ipv4Addr) -> bool {
        let differ = u32::from(self.network) ^ u32::from(address);
        differ.leading_zeros() >= u32::from(self.prefix)
    }
}

/// The routes of one network.
#[derive(Debug, Default)]
pub(crate) struct Routes {
    /// What the file says.
    fixed: &'static [Route],
    /// What a DHCP server gave.
    #[cfg(feature = "dhcp")]
    given: Vec<Way>,
}

impl Routes {
    pub fn new(options: &Options) -> Self {
        Routes {
            fixed: options.route,
            #[cfg(feature = "dhcp")]
            given: Vec::new(),
        }
    }

    /// Replaces what a DHCP server gave before.
    #[cfg(feature = "dhcp")]
    pub fn give(&mut self, given: &[Way]) {
        if self.given != given {
            self.given = given.to_vec();
        }
    }

    /// The neighbour that leads to `to` by a prefix that is longer than `own`, that of a network which
    /// `to` is in anyway. What the file says goes before what a server gave for the same network.
    pub fn find(&self, to: Ipv4Addr, own: Option<u8>) -> Option<Ipv4Addr> {
        let fixed = self.fixed.iter().filter_map(|route| match *route {
            Route::Ipv4 { network: (network, prefix), router } => Some(Way { network, prefix, router }),
            Route::Ipv6 { .. } => None,
        });
        #[cfg(feature = "dhcp")]
        let all = self.given.iter().copied().chain(fixed);
        #[cfg(not(feature = "dhcp"))]
        let all = fixed;
        let leads = |way: &Way| way.leads_to(to) && own.is_none_or(|own| own < way.prefix);
        // Of equals the last.
        let best = all.filter(leads).max_by_key(|way| way.prefix)?;
        Some(if best.router.is_unspecified() { to } else { best.router })
    }

    /// The same over IPv6.
    #[cfg(feature = "ipv6")]
    pub fn find_v6(&self, to: Ipv6Addr, own: Option<u8>) -> Option<Ipv6Addr> {
        let ways = self.fixed.iter().filter_map(|route| match *route {
            Route::Ipv6 { network: (network, prefix), router } => Some((network, prefix, router)),
            Route::Ipv4 { .. } => None,
        });
        let leads = |(network, prefix, _): &(Ipv6Addr, u8, Ipv6Addr)| {
            let differ = u128::from(*network) ^ u128::from(to);
            differ.leading_zeros() >= u32::from(*prefix) && own.is_none_or(|own| own < *prefix)
        };
        ways.filter(leads).max_by_key(|(_, prefix, _)| *prefix).map(|(.., router)| router)
    }
}

/// Reads classless static routes (RFC 3442), the first ones; `None` if that isn't what `value` holds.
#[cfg(feature = "dhcp")]
pub(crate) fn parse_given(mut value: &[u8]) -> Option<Vec<Way>> {
    let mut ways = Vec::new();
    while let Some((&prefix, rest)) = value.split_first() {
        let significant = usize::from(prefix.div_ceil(8));
        let (network, rest) = rest.split_at_checked(significant).filter(|_| prefix <= 32)?;
        let (router, rest) = rest.split_first_chunk::<4>()?;
        let mut octets = [0; 4];
        octets[..significant].copy_from_slice(network);
        // Bits beyond the prefix mean nothing.
        let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
        let network = Ipv4Addr::from(u32::from_be_bytes(octets) & mask);
        if ways.len() < MOST_GIVEN {
            ways.push(Way { network, prefix, router: Ipv4Addr::from(*router) });
        }
        value = rest;
    }
    Some(ways)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const fn ip(last: [u8; 4]) -> Ipv4Addr {
        Ipv4Addr::new(last[0], last[1], last[2], last[3])
    }

    static FIXED: [Route; 3] = [
        Route::Ipv4 { network: (ip([10, 0, 0, 0]), 8), router: ip([192, 0, 2, 1]) },
        Route::Ipv4 { network: (ip([10, 7, 0, 0]), 16), router: ip([192, 0, 2, 2]) },
        Route::Ipv4 { network: (ip([192, 0, 2, 128]), 25), router: ip([192, 0, 2, 3]) },
    ];

    #[test]
    fn the_longest_prefix_counts() {
        let mut routes = Routes { fixed: &FIXED, ..Routes::default() };
        let find = |routes: &Routes, to, own| routes.find(ip(to), own).map(|router| router.octets()[3]);
        assert_eq!(find(&routes, [10, 1, 2, 3], None), Some(1));
        assert_eq!(find(&routes, [10, 7, 2, 3], None), Some(2));
        assert_eq!(find(&routes, [11, 7, 2, 3], None), None);
        // A part of our own network may be elsewhere, but not all of it.
        assert_eq!(find(&routes, [192, 0, 2, 200], Some(24)), Some(3));
        assert_eq!(find(&routes, [192, 0, 2, 200], Some(25)), None);
        let way = |network, prefix, router| Way { network: ip(network), prefix, router: ip(router) };
        routes.give(&[
            way([0, 0, 0, 0], 0, [192, 0, 2, 9]),
            way([10, 7, 0, 0], 16, [192, 0, 2, 8]),
            way([10, 7, 9, 0], 24, [0, 0, 0, 0]),
        ]);
        assert_eq!(find(&routes, [11, 7, 2, 3], None), Some(9));
        assert_eq!(find(&routes, [10, 7, 2, 3], None), Some(2), "what the file says goes first");
        assert_eq!(find(&routes, [10, 7, 9, 77], None), Some(77), "on our link");
    }

    #[test]
    fn the_rfcs_examples() {
        let way = |network, prefix| Way { network: ip(network), prefix, router: ip([1, 2, 3, 4]) };
        for (value, expected) in [
            (&[0, 1, 2, 3, 4][..], way([0, 0, 0, 0], 0)),
            (&[8, 10, 1, 2, 3, 4], way([10, 0, 0, 0], 8)),
            (&[16, 10, 17, 1, 2, 3, 4], way([10, 17, 0, 0], 16)),
            (&[25, 10, 229, 0, 128, 1, 2, 3, 4], way([10, 229, 0, 128], 25)),
            (&[32, 10, 198, 122, 47, 1, 2, 3, 4], way([10, 198, 122, 47], 32)),
            // Bits beyond the prefix.
            (&[4, 0xaf, 1, 2, 3, 4], way([0xa0, 0, 0, 0], 4)),
        ] {
            assert_eq!(parse_given(value), Some(std::vec![expected]));
            for length in 1..value.len() {
                assert_eq!(parse_given(&value[..length]), None);
            }
        }
        assert_eq!(parse_given(&[33, 1, 2, 3, 4, 5, 1, 2, 3, 4]), None);
        assert_eq!(parse_given(&[0, 1, 2, 3, 4].repeat(40)).unwrap().len(), MOST_GIVEN);
    }

    #[cfg(feature = "ipv6")]
    #[test]
    fn over_ipv6() {
        static ROUTES: [Route; 2] = [
            Route::Ipv6 {
                network: (Ipv6Addr::new(0xfd00, 7, 0, 0, 0, 0, 0, 0), 32),
                router: Ipv6Addr::LOCALHOST,
            },
            Route::Ipv6 { network: (Ipv6Addr::UNSPECIFIED, 0), router: Ipv6Addr::UNSPECIFIED },
        ];
        let routes = Routes { fixed: &ROUTES, ..Routes::default() };
        let to = |text: &str, own| routes.find_v6(text.parse().unwrap(), own);
        assert_eq!(to("fd00:7::1", None), Some(Ipv6Addr::LOCALHOST));
        assert_eq!(to("fd00:7::1", Some(64)), None);
        assert_eq!(to("fd00:8::1", None), Some(Ipv6Addr::UNSPECIFIED));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(value in proptest::collection::vec(any::<u8>(), 0..255)) {
            if let Some(ways) = parse_given(&value) {
                prop_assert!(ways.len() <= MOST_GIVEN && ways.iter().all(|way| way.leads_to(way.network)));
            }
        }
    }
}
