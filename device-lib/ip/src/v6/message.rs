//! Messages of neighbour discovery (RFC 4861, section 4) and of MLDv2 (RFC 3810, section 5.2),
//! as ICMPv6 carries them.

use alloc::vec::Vec;
use core::net::Ipv6Addr;

use crate::link::Mac;

/// Types of ICMPv6 messages (RFC 4443, 4861, 3810).
pub(crate) mod kind {
    pub const UNREACHABLE: u8 = 1;
    pub const TOO_LARGE: u8 = 2;
    pub const TIME_EXCEEDED: u8 = 3;
    pub const PARAMETER: u8 = 4;
    pub const ECHO_REQUEST: u8 = 128;
    pub const ECHO_REPLY: u8 = 129;
    pub const MLD_QUERY: u8 = 130;
    #[cfg(feature = "slaac")]
    pub const ROUTER_SOLICITATION: u8 = 133;
    #[cfg(feature = "slaac")]
    pub const ROUTER_ADVERTISEMENT: u8 = 134;
    pub const SOLICITATION: u8 = 135;
    pub const ADVERTISEMENT: u8 = 136;
    pub const MLD_REPORT: u8 = 143;
}

/// Options of neighbour discovery.
const SOURCE_STATION: u8 = 1;
const TARGET_STATION: u8 = 2;
#[cfg(feature = "slaac")]
const PREFIX: u8 = 3;
#[cfg(feature = "slaac")]
const MTU: u8 = 5;
/// Recursive DNS servers (RFC 8106, section 5.1).
#[cfg(all(feature = "slaac", feature = "dns"))]
const NAME_SERVERS: u8 = 25;

/// Flags of a neighbour advertisement.
const SOLICITED: u8 = 0x40;
const OVERRIDE: u8 = 0x20;

/// A neighbour solicitation or advertisement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Neighbour {
    pub target: Ipv6Addr,
    /// Of the sender of a solicitation, or of the target of an advertisement.
    pub station: Option<Mac>,
    /// An advertisement that was asked for.
    pub solicited: bool,
    /// An advertisement that counts more than what is known.
    pub overrides: bool,
}

impl Neighbour {
    /// Reads a message of `kind` from its first byte on; `None` if it isn't valid (sections 7.1.1
    /// and 7.1.2, as far as they concern the message alone).
    pub fn parse(message: &[u8]) -> Option<Neighbour> {
        let (fixed, options) = message.split_first_chunk::<24>()?;
        let option = if fixed[0] == kind::SOLICITATION { SOURCE_STATION } else { TARGET_STATION };
        let target = address(&fixed[8..])?;
        if fixed[1] != 0 || target.is_multicast() {
            return None;
        }
        let mut station = None;
        each_option(options, |kind, value| {
            if kind == option {
                station = value.first_chunk().copied();
            }
        })?;
        let flags = fixed[4];
        Some(Neighbour {
            target,
            station,
            solicited: flags & SOLICITED != 0,
            overrides: flags & OVERRIDE != 0,
        })
    }

    /// A question for `target`, from the station `from`, or from one that hasn't an address yet.
    pub fn solicitation(target: Ipv6Addr, from: Option<Mac>) -> Vec<u8> {
        let mut message = Vec::with_capacity(32);
        message.extend([kind::SOLICITATION, 0, 0, 0, 0, 0, 0, 0]);
        message.extend(target.octets());
        if let Some(mac) = from {
            message.extend([SOURCE_STATION, 1]);
            message.extend(mac);
        }
        message
    }

    /// Says that `target` is at `mac`.
    pub fn advertisement(target: Ipv6Addr, mac: Mac, solicited: bool) -> Vec<u8> {
        let mut message = Vec::with_capacity(32);
        let flags = OVERRIDE | if solicited { SOLICITED } else { 0 };
        message.extend([kind::ADVERTISEMENT, 0, 0, 0, flags, 0, 0, 0]);
        message.extend(target.octets());
        message.extend([TARGET_STATION, 1]);
        message.extend(mac);
        message
    }
}

/// A prefix that a router advertises (section 4.6.2).
#[cfg(feature = "slaac")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Prefix {
    pub prefix: Ipv6Addr,
    pub length: u8,
    pub on_link: bool,
    pub autonomous: bool,
    /// Seconds.
    pub valid: u32,
    pub preferred: u32,
}

/// The most prefixes of one advertisement that are looked at.
#[cfg(feature = "slaac")]
const PREFIXES: usize = 8;

/// A router advertisement (section 4.2).
#[cfg(feature = "slaac")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Router {
    pub hop_limit: u8,
    /// Seconds for which it is a way out; 0: it is none.
    pub lifetime: u16,
    pub station: Option<Mac>,
    pub mtu: Option<u32>,
    pub prefixes: Vec<Prefix>,
    /// Servers for names, and for how many seconds they are.
    #[cfg(feature = "dns")]
    pub name_servers: Vec<(Ipv6Addr, u32)>,
}

#[cfg(feature = "slaac")]
impl Router {
    /// Reads an advertisement; `None` if it isn't valid (section 6.1.2).
    pub fn parse(message: &[u8]) -> Option<Router> {
        let (fixed, options) = message.split_first_chunk::<16>()?;
        if fixed[1] != 0 {
            return None;
        }
        let mut router = Router {
            hop_limit: fixed[4],
            lifetime: u16::from_be_bytes([fixed[6], fixed[7]]),
            station: None,
            mtu: None,
            prefixes: Vec::new(),
            #[cfg(feature = "dns")]
            name_servers: Vec::new(),
        };
        let word = |value: &[u8], at: usize| {
            value.get(at..at + 4).map(|word| word.iter().fold(0, |word, byte| word << 8 | u32::from(*byte)))
        };
        each_option(options, |kind, value| match kind {
            SOURCE_STATION => router.station = value.first_chunk().copied(),
            MTU => router.mtu = word(value, 2),
            #[cfg(feature = "dns")]
            NAME_SERVERS if router.name_servers.is_empty() => {
                if let (Some(seconds), Some(servers)) = (word(value, 2), value.get(6..)) {
                    let servers = servers.chunks_exact(16).filter_map(address).take(unik_dns::SERVERS);
                    router.name_servers.extend(servers.map(|server| (server, seconds)));
                }
            }
            PREFIX if router.prefixes.len() < PREFIXES => {
                let (Some(flags), Some(valid), Some(preferred), Some(prefix)) =
                    (value.get(1), word(value, 2), word(value, 6), value.get(14..).and_then(address))
                else {
                    return;
                };
                router.prefixes.push(Prefix {
                    prefix,
                    length: value[0],
                    on_link: flags & 0x80 != 0,
                    autonomous: flags & 0x40 != 0,
                    valid,
                    preferred,
                });
            }
            _ => {}
        })?;
        Some(router)
    }

    /// Asks all routers to advertise themselves, from the station `from`, or from one that has no
    /// address yet.
    pub fn solicitation(from: Option<Mac>) -> Vec<u8> {
        let mut message = Vec::with_capacity(16);
        message.extend([kind::ROUTER_SOLICITATION, 0, 0, 0, 0, 0, 0, 0]);
        if let Some(mac) = from {
            message.extend([SOURCE_STATION, 1]);
            message.extend(mac);
        }
        message
    }
}

/// A report that we listen to `groups`, whoever sends: in answer to a query or, if `changed`, since
/// that is new.
pub(crate) fn report(groups: &[Ipv6Addr], changed: bool) -> Vec<u8> {
    let mut message = Vec::with_capacity(8 + 20 * groups.len());
    message.extend([kind::MLD_REPORT, 0, 0, 0, 0, 0, 0, groups.len() as u8]);
    for group in groups {
        // CHANGE_TO_EXCLUDE_MODE or MODE_IS_EXCLUDE, of no source.
        message.extend([if changed { 4 } else { 2 }, 0, 0, 0]);
        message.extend(group.octets());
    }
    message
}

fn address(bytes: &[u8]) -> Option<Ipv6Addr> {
    bytes.first_chunk::<16>().map(|octets| Ipv6Addr::from(*octets))
}

/// Gives each option's type and value to `take`; `None` if one has no length, or too much of it.
fn each_option(mut options: &[u8], mut take: impl FnMut(u8, &[u8])) -> Option<()> {
    while let [kind, eights, ..] = *options {
        let (option, rest) = options.split_at_checked(usize::from(eights) * 8)?;
        take(kind, option.get(2..)?);
        options = rest;
    }
    options.is_empty().then_some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TARGET: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 7);

    #[test]
    fn neighbours_come_back_as_they_were_written() {
        let question = Neighbour::parse(&Neighbour::solicitation(TARGET, Some([7; 6]))).unwrap();
        assert_eq!((question.target, question.station), (TARGET, Some([7; 6])));
        let probe = Neighbour::parse(&Neighbour::solicitation(TARGET, None)).unwrap();
        assert_eq!(probe.station, None);
        let answer = Neighbour::parse(&Neighbour::advertisement(TARGET, [7; 6], true)).unwrap();
        assert_eq!(
            answer,
            Neighbour { target: TARGET, station: Some([7; 6]), solicited: true, overrides: true }
        );
    }

    #[test]
    fn options_without_length_end_nothing_but_the_message() {
        let mut message = Neighbour::solicitation(TARGET, Some([7; 6]));
        message[25] = 0;
        assert_eq!(Neighbour::parse(&message), None);
        message[25] = 2;
        assert_eq!(Neighbour::parse(&message), None);
        message.push(1);
        message[25] = 1;
        assert_eq!(Neighbour::parse(&message), None);
    }

    #[cfg(feature = "slaac")]
    #[test]
    fn a_router() {
        let mut message =
            std::vec![kind::ROUTER_ADVERTISEMENT, 0, 0, 0, 64, 0, 0x07, 0x08, 0, 0, 0, 0, 0, 0, 0, 0];
        message.extend([5, 1, 0, 0, 0, 0, 0x05, 0x14]);
        message.extend([3, 4, 64, 0xc0, 0, 0, 0x0e, 0x10, 0, 0, 0x07, 0x08, 0, 0, 0, 0]);
        message.extend(TARGET.octets());
        let router = Router::parse(&message).unwrap();
        assert_eq!((router.hop_limit, router.lifetime, router.mtu), (64, 1800, Some(1300)));
        let prefix = Prefix {
            prefix: TARGET,
            length: 64,
            on_link: true,
            autonomous: true,
            valid: 3600,
            preferred: 1800,
        };
        assert_eq!(router.prefixes, [prefix]);
    }
}
