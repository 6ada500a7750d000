//! Addresses and routers from advertisements (RFC 4861, section 6.3; RFC 4862, section 5.5).

use alloc::vec::Vec;
use core::net::Ipv6Addr;

use unik::interface::{Entropy, Frames};
use unik::time::{Duration, Instant};

use super::message::{Prefix, Router};
use super::packet::send;
use super::{ADDRESSES, Trial, V6, is_link_local, is_within, station_of, with_identifier};
use crate::link::{Link, is_group};
use crate::lower::Lower;
use crate::paths::LEAST_V6;

/// How often routers are asked, and the time between (RFC 4861, section 10).
const SOLICITATIONS: u8 = 3;
const SOLICIT_AGAIN: Duration = Duration::from_secs(4);
/// The most routers: the first ones that are there.
const ROUTERS: usize = 4;
/// To a shorter rest of its life no stranger can bring an address (RFC 4862, section 5.5.3).
const TWO_HOURS: Duration = Duration::from_secs(7200);
/// All routers on the link.
const ALL_ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2);

/// What routers have said.
#[derive(Debug)]
pub(super) struct Slaac {
    routers: Vec<(Ipv6Addr, Instant)>,
    /// Networks on our link.
    prefixes: Vec<(Ipv6Addr, u8, Instant)>,
    /// Servers for names, the first ones that are there.
    #[cfg(feature = "dns")]
    name_servers: Vec<(Ipv6Addr, Instant)>,
    asked: u8,
    next: Instant,
}

impl Default for Slaac {
    fn default() -> Self {
        Slaac {
            routers: Vec::new(),
            prefixes: Vec::new(),
            #[cfg(feature = "dns")]
            name_servers: Vec::new(),
            asked: 0,
            next: Instant::START,
        }
    }
}

impl Slaac {
    pub fn router(&self) -> Option<Ipv6Addr> {
        self.routers.first().map(|(router, _)| *router)
    }

    /// The length of the longest advertised prefix that `address` has.
    pub fn on_link(&self, address: Ipv6Addr) -> Option<u8> {
        let prefixes =
            self.prefixes.iter().filter(|(prefix, length, _)| is_within(address, *prefix, *length));
        prefixes.map(|(_, length, _)| *length).max()
    }

    pub fn next_deadline(&self) -> Instant {
        let ends = self.routers.iter().map(|(_, end)| *end);
        let ends = ends.chain(self.prefixes.iter().map(|(.., end)| *end));
        #[cfg(feature = "dns")]
        let ends = ends.chain(self.name_servers.iter().map(|(_, end)| *end));
        ends.chain((self.asked < SOLICITATIONS).then_some(self.next)).min().unwrap_or(Instant::NEVER)
    }
}

impl V6 {
    /// Asks for routers if it is time, and gives up those that have ended.
    pub(super) fn solicit<F: Frames>(&mut self, link: &mut Link<F>, now: Instant) {
        let Some(slaac) = &mut self.slaac else { return };
        slaac.routers.retain(|(_, end)| *end > now);
        slaac.prefixes.retain(|(.., end)| *end > now);
        if slaac.asked >= SOLICITATIONS || slaac.next > now {
            return;
        }
        // The answer would come to an address that isn't ours yet.
        let Some(own) = self.own.iter().find(|own| is_link_local(own.address)) else { return };
        if own.trial != Trial::Passed {
            slaac.next = match own.trial {
                Trial::Until(end) => end,
                _ => now,
            };
            return;
        }
        slaac.asked += 1;
        slaac.next = now + SOLICIT_AGAIN;
        let mut question = Router::solicitation(Some(link.mac));
        send(link, station_of(ALL_ROUTERS), (own.address, ALL_ROUTERS), 255, &mut question);
    }

    /// Whom to ask for names, as routers say.
    #[cfg(feature = "dns")]
    pub fn name_servers(&self) -> impl Iterator<Item = Ipv6Addr> {
        self.slaac.iter().flat_map(|slaac| &slaac.name_servers).map(|(server, _)| *server)
    }

    /// Gives up servers for names that have ended; whether there was one.
    #[cfg(feature = "dns")]
    pub(super) fn forget_name_servers(&mut self, now: Instant) -> bool {
        let Some(slaac) = &mut self.slaac else { return false };
        let before = slaac.name_servers.len();
        slaac.name_servers.retain(|(_, end)| *end > now);
        slaac.name_servers.len() < before
    }

    /// A prefix of ours, as an advertisement has it.
    fn prefix_advertised(&mut self, prefix: &Prefix, mac: [u8; 6], now: Instant) {
        let Prefix { prefix: network, length, .. } = *prefix;
        if is_link_local(network) || network.is_multicast() || length > 128 {
            return;
        }
        let end = |seconds: u32| match seconds {
            u32::MAX => Instant::NEVER,
            seconds => now + Duration::from_secs(u64::from(seconds)),
        };
        if let (true, Some(slaac)) = (prefix.on_link, &mut self.slaac) {
            slaac.prefixes.retain(|(other, bits, _)| (*other, *bits) != (network, length));
            if prefix.valid > 0 && slaac.prefixes.len() < ADDRESSES {
                slaac.prefixes.push((network, length, end(prefix.valid)));
            }
        }
        if !prefix.autonomous || length != 64 || prefix.preferred > prefix.valid {
            return;
        }
        let address = with_identifier(network, mac);
        let (preferred, valid) = (end(prefix.preferred), end(prefix.valid));
        match self.own.iter_mut().find(|own| own.address == address) {
            Some(own) => {
                own.preferred = preferred;
                if valid > now + TWO_HOURS || valid > own.valid {
                    own.valid = valid;
                } else if own.valid > now + TWO_HOURS {
                    own.valid = now + TWO_HOURS;
                }
            }
            None if prefix.valid > 0 => self.add(address, length, (preferred, valid)),
            None => {}
        }
    }
}

impl<F: Frames, E: Entropy> Lower<F, E> {
    /// A router says what it knows.
    pub(super) fn router_advertised(&mut self, from: Ipv6Addr, message: &[u8], now: Instant) -> bool {
        let (Some(router), mac) = (Router::parse(message), self.link.mac) else { return false };
        let Some(slaac) = &mut self.v6.slaac else { return false };
        slaac.asked = SOLICITATIONS;
        let end = now + Duration::from_secs(u64::from(router.lifetime));
        match slaac.routers.iter().position(|(other, _)| *other == from) {
            Some(at) if router.lifetime == 0 => {
                slaac.routers.remove(at);
            }
            Some(at) => slaac.routers[at].1 = end,
            None if router.lifetime > 0 && slaac.routers.len() < ROUTERS => slaac.routers.push((from, end)),
            None => {}
        }
        #[cfg(feature = "dns")]
        for (server, seconds) in &router.name_servers {
            slaac.name_servers.retain(|(other, _)| other != server);
            if *seconds > 0 && !server.is_multicast() && slaac.name_servers.len() < unik_dns::SERVERS {
                let end = now + Duration::from_secs(u64::from(*seconds));
                let end = if *seconds == u32::MAX { Instant::NEVER } else { end };
                slaac.name_servers.push((*server, end));
            }
            self.name_servers_changed = true;
        }
        if let Some(station) = router.station.filter(|station| !is_group(*station)) {
            self.neighbours_changed |= self.neighbours.learn(from.into(), station, true, now);
        }
        let link = self.mtu();
        let v6 = &mut self.v6;
        if let Some(mtu) = router.mtu.map(|mtu| mtu as usize).filter(|mtu| (LEAST_V6..=link).contains(mtu)) {
            v6.mtu = mtu;
        }
        for prefix in &router.prefixes {
            v6.prefix_advertised(prefix, mac, now);
        }
        self.neighbours_changed = true;
        v6.next = Instant::START;
        true
    }
}
