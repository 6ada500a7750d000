//! IPv6 (RFC 8200) on a link: our addresses and how we come by them, the way out.
//!
//! An address is tried for a second before it is ours (duplicate address detection, RFC 4862).
//! The identifier of an interface is made of its MAC (RFC 4291, appendix A): an appliance is
//! there to be found, and has nothing to remember another one by.

mod icmp;
mod message;
mod packet;
#[cfg(feature = "slaac")]
mod slaac;
#[cfg(test)]
mod tests;

use alloc::vec::Vec;
use core::net::Ipv6Addr;

use log::{error, info};
use unik::interface::{Entropy, Frames};
use unik::time::{Duration, Instant};

use crate::Ipv6;
use crate::address::Address;
use crate::link::{Link, Mac};
use crate::lower::Lower;
use crate::paths::LEAST_V6;
use message::Neighbour;
pub(crate) use packet::{emit_header, send};

/// How long an address is tried (RFC 4861, section 10: RETRANS_TIMER).
const TRIAL: Duration = Duration::from_secs(1);
/// How often a group that we listen to is reported, and the time between (RFC 3810, section 9).
const REPORTS: u8 = 2;
const REPORT_AGAIN: Duration = Duration::from_secs(1);
/// The most addresses, routers and prefixes: whoever advertises more isn't believed.
const ADDRESSES: usize = 8;
/// All nodes on the link.
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
/// All routers that listen to reports of groups.
const ALL_REPORTS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x16);

/// One of our addresses.
#[derive(Clone, Copy, Debug)]
struct Own {
    address: Ipv6Addr,
    /// Of its network; what is on it is on our link.
    prefix: u8,
    trial: Trial,
    /// Reports of its group that are still to be sent, and when.
    reports: u8,
    next_report: Instant,
    /// Until when it is taken for what is new, and at all.
    preferred: Instant,
    valid: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trial {
    Begins,
    Until(Instant),
    Passed,
}

/// What IPv6 knows of its link.
#[derive(Debug)]
pub(crate) struct V6 {
    own: Vec<Own>,
    gateway: Option<Ipv6Addr>,
    /// The largest packet: the link's, or less if a router says so.
    mtu: usize,
    /// When [`poll`] has something to do.
    next: Instant,
    /// Addresses that are ours no more, with connections that must go.
    pub lost: Vec<Ipv6Addr>,
    /// When reports were last asked for and given.
    reported: Instant,
    #[cfg(feature = "slaac")]
    slaac: Option<slaac::Slaac>,
}

impl V6 {
    /// As the options say, on a link of the station `mac` that carries packets of `mtu` bytes.
    pub fn new(options: Option<&Ipv6>, mac: Mac, mtu: usize) -> Self {
        let mut v6 = V6 {
            own: Vec::new(),
            gateway: None,
            mtu,
            next: Instant::START,
            lost: Vec::new(),
            reported: Instant::START,
            #[cfg(feature = "slaac")]
            slaac: None,
        };
        let Some(options) = options.filter(|_| mtu >= LEAST_V6) else {
            v6.next = Instant::NEVER;
            return v6;
        };
        v6.add(with_identifier(LINK_LOCAL, mac), 64, (Instant::NEVER, Instant::NEVER));
        match *options {
            Ipv6::Static { address: (address, prefix), gateway } => {
                v6.add(address, prefix, (Instant::NEVER, Instant::NEVER));
                v6.gateway = gateway;
            }
            Ipv6::Slaac => {
                #[cfg(feature = "slaac")]
                {
                    v6.slaac = Some(slaac::Slaac::default());
                }
            }
        }
        v6
    }

    /// Whether an address that is reached from elsewhere is ours.
    pub fn is_ready(&self) -> bool {
        self.global().is_some()
    }

    /// Our first address that is reached from elsewhere.
    pub fn global(&self) -> Option<Ipv6Addr> {
        let mut own = self.own.iter().filter(|own| own.trial == Trial::Passed);
        own.find(|own| !is_link_local(own.address)).map(|own| own.address)
    }

    pub fn mtu(&self) -> usize {
        self.mtu
    }

    /// Tries an address, ours until `(preferred, valid)`.
    fn add(&mut self, address: Ipv6Addr, prefix: u8, (preferred, valid): (Instant, Instant)) {
        if self.own.len() < ADDRESSES && self.own.iter().all(|own| own.address != address) {
            let (trial, next_report) = (Trial::Begins, Instant::START);
            self.own.push(Own { address, prefix, trial, reports: REPORTS, next_report, preferred, valid });
            self.next = Instant::START;
        }
    }

    /// Our addresses, of which the trial has passed.
    fn is_own(&self, address: Ipv6Addr) -> bool {
        self.own.iter().any(|own| own.address == address && own.trial == Trial::Passed)
    }

    /// Whether we listen to a group.
    fn is_member(&self, group: Ipv6Addr) -> bool {
        group == ALL_NODES || self.own.iter().any(|own| solicited_node(own.address) == group)
    }

    /// Our address for packets to `to` (RFC 6724, as far as one link has choices).
    pub fn source_for(&self, to: Ipv6Addr, now: Instant) -> Option<Ipv6Addr> {
        let local = is_link_local(to) || to.is_multicast();
        let candidates = self.own.iter().filter(|own| own.trial == Trial::Passed);
        let best = candidates.max_by_key(|own| {
            let common = (u128::from(own.address) ^ u128::from(to)).leading_zeros();
            (is_link_local(own.address) == local, now < own.preferred, common)
        })?;
        Some(best.address).filter(|address| local || !is_link_local(*address))
    }

    /// The neighbour through which packets to `to` go.
    pub fn next_hop(&self, to: Ipv6Addr) -> Option<Ipv6Addr> {
        if !self.is_elsewhere(to) {
            return None;
        }
        if self.on_link(to).is_some() {
            return Some(to);
        }
        #[cfg(feature = "slaac")]
        let router = self.slaac.as_ref().and_then(slaac::Slaac::router);
        #[cfg(not(feature = "slaac"))]
        let router = None;
        self.gateway.or(router)
    }

    /// Whether `to` can be the address of somebody else.
    pub fn is_elsewhere(&self, to: Ipv6Addr) -> bool {
        !(to.is_unspecified() || to.is_loopback() || to.to_ipv4_mapped().is_some() || self.is_own(to))
    }

    /// The length of the longest prefix of a network on our link that `to` is in.
    pub fn on_link(&self, to: Ipv6Addr) -> Option<u8> {
        if is_link_local(to) {
            // Wherever a route leads: these are on no other link.
            return Some(128);
        }
        #[cfg(feature = "slaac")]
        if let Some(slaac) = &self.slaac {
            // What a router advertises says what is on the link, not the address made of it.
            return slaac.on_link(to);
        }
        let own = self.own.iter().filter(|own| is_within(to, own.address, own.prefix));
        own.map(|own| own.prefix).max()
    }

    /// When there is something to do.
    pub fn next_deadline(&self) -> Option<Instant> {
        (self.next < Instant::NEVER).then_some(self.next)
    }

    /// The address is somebody else's.
    fn is_duplicate(&mut self, address: Ipv6Addr) {
        error!("somebody else on the link has the address {address}: it is not used");
        self.own.retain(|own| own.address != address);
    }

    /// When the earliest of all deadlines is.
    fn schedule(&mut self) {
        let own = self.own.iter().flat_map(|own| {
            let trial = match own.trial {
                Trial::Begins => Instant::START,
                Trial::Until(end) => end,
                Trial::Passed => Instant::NEVER,
            };
            let report = if own.reports > 0 { own.next_report } else { Instant::NEVER };
            [trial, report, own.valid]
        });
        let next = own.min().unwrap_or(Instant::NEVER);
        #[cfg(feature = "slaac")]
        let next = self.slaac.as_ref().map_or(next, |slaac| next.min(slaac.next_deadline()));
        self.next = next;
    }
}

impl<F: Frames, E: Entropy> Lower<F, E> {
    /// Does what is due: trials, reports, solicitations; gives up what has ended.
    pub fn poll_v6(&mut self, now: Instant) {
        let (v6, link) = (&mut self.v6, &mut self.link);
        if now < v6.next {
            return;
        }
        for own in &mut v6.own {
            if own.reports > 0 && own.next_report <= now {
                own.reports -= 1;
                own.next_report = now + REPORT_AGAIN;
                // Before an address is ours it can't be the sender (RFC 3590).
                let from = if own.trial == Trial::Passed && is_link_local(own.address) {
                    own.address
                } else {
                    Ipv6Addr::UNSPECIFIED
                };
                let mut report = message::report(&[solicited_node(own.address)], true);
                send(link, station_of(ALL_REPORTS), (from, ALL_REPORTS), 1, &mut report);
            }
            match own.trial {
                Trial::Begins => {
                    own.trial = Trial::Until(now + TRIAL);
                    let group = solicited_node(own.address);
                    let mut question = Neighbour::solicitation(own.address, None);
                    send(link, station_of(group), (Ipv6Addr::UNSPECIFIED, group), 255, &mut question);
                }
                Trial::Until(end) if end <= now => {
                    own.trial = Trial::Passed;
                    self.neighbours_changed = true;
                    if !is_link_local(own.address) {
                        info!("address {}/{}", own.address, own.prefix);
                    }
                }
                _ => {}
            }
        }
        v6.own.retain(|own| {
            if own.valid <= now {
                v6.lost.push(own.address);
            }
            own.valid > now
        });
        #[cfg(feature = "slaac")]
        v6.solicit(link, now);
        #[cfg(all(feature = "slaac", feature = "dns"))]
        {
            self.name_servers_changed |= v6.forget_name_servers(now);
        }
        v6.schedule();
    }
}

/// Asks where `target` is: everybody who might be it or, where it was already known, only the
/// station that it had.
pub(crate) fn ask<F: Frames>(link: &mut Link<F>, from: Ipv6Addr, target: Ipv6Addr, known: Option<Mac>) {
    let mut question = Neighbour::solicitation(target, Some(link.mac));
    let to = if known.is_some() { target } else { solicited_node(target) };
    send(link, known.unwrap_or(station_of(to)), (from, to), 255, &mut question);
}

/// The prefix of addresses that are good on one link alone.
const LINK_LOCAL: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0);

fn is_link_local(address: Ipv6Addr) -> bool {
    address.is_unicast_link_local()
}

/// Whether `address` is in the network of `prefix` bits of `other`.
fn is_within(address: Ipv6Addr, other: Ipv6Addr, prefix: u8) -> bool {
    let differ = u128::from(address) ^ u128::from(other);
    differ.leading_zeros() >= u32::from(prefix)
}

/// The address with the prefix of 64 bits of `network` and the identifier made of `mac`.
fn with_identifier(network: Ipv6Addr, mac: Mac) -> Ipv6Addr {
    let [a, b, c, d, e, f] = mac;
    let identifier = u64::from_be_bytes([a ^ 2, b, c, 0xff, 0xfe, d, e, f]);
    Ipv6Addr::from(u128::from(network) >> 64 << 64 | u128::from(identifier))
}

/// The group in which the holder of `address` listens for questions (RFC 4291, section 2.7.1).
fn solicited_node(address: Ipv6Addr) -> Ipv6Addr {
    const PREFIX: u128 = 0xff02_0000_0000_0000_0000_0001_ff00_0000;
    Ipv6Addr::from(PREFIX | u128::from(address) & 0xff_ffff)
}

/// Who hears what is sent to a group (RFC 2464, section 7).
pub(crate) fn station_of(group: Ipv6Addr) -> Mac {
    let [.., a, b, c, d] = group.octets();
    [0x33, 0x33, a, b, c, d]
}

/// The IPv6 ones of two addresses.
fn both(from: Address, to: Address) -> Option<(Ipv6Addr, Ipv6Addr)> {
    match (from, to) {
        (Address::V6(from), Address::V6(to)) => Some((from, to)),
        _ => None,
    }
}
