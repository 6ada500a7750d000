//! Path MTU (RFC 1191 and 8201): destinations that less than the link's packets reach.

use alloc::vec::Vec;

use unik::time::{Duration, Instant};

use crate::address::Address;

/// The most destinations that are remembered; the oldest goes first.
const CAPACITY: usize = 64;
/// How long a smaller size is believed before the link's is tried again (RFC 1191, 6.3).
const AGE: Duration = Duration::from_secs(600);
/// No path is taken for smaller than this, whoever says so: smaller packets cost us more than
/// those who lie (Linux's default, the least that carries 512 bytes in TCP).
const LEAST_V4: usize = 552;
/// No path is smaller (RFC 8200, section 5).
#[cfg(feature = "ipv6")]
pub(crate) const LEAST_V6: usize = 1280;
/// Sizes that paths have, for routers that don't say theirs (RFC 1191, section 7.1).
const PLATEAUS: [usize; 6] = [32000, 17914, 8166, 4352, 1492, 1006];

/// Smaller packets, by destination.
#[derive(Debug, Default)]
pub(crate) struct Paths {
    /// In the order in which they were learnt: few, and looked for when a connection begins.
    known: Vec<(Address, usize, Instant)>,
}

impl Paths {
    /// The largest packet that gets through to `to`, if it was less than the link's.
    pub fn find(&self, to: Address, now: Instant) -> Option<usize> {
        let known = self.known.iter().find(|(address, _, end)| *address == to && now < *end);
        known.map(|(_, mtu, _)| *mtu)
    }

    /// A router says that a packet of `sent` bytes to `to` is too large, and that `mtu` is not,
    /// or 0. The size that is used from now on, if that is less than before.
    pub fn learn(
        &mut self,
        to: Address,
        mtu: usize,
        sent: usize,
        before: usize,
        now: Instant,
    ) -> Option<usize> {
        let least = match to {
            Address::V4(_) => LEAST_V4,
            #[cfg(feature = "ipv6")]
            Address::V6(_) => LEAST_V6,
        };
        let said = match mtu {
            0 => PLATEAUS.into_iter().find(|plateau| *plateau < sent).unwrap_or(least),
            mtu => mtu,
        };
        let mtu = said.max(least);
        if mtu >= before {
            return None;
        }
        self.known.retain(|(address, ..)| *address != to);
        if self.known.len() >= CAPACITY {
            self.known.remove(0);
        }
        self.known.push((to, mtu, now + AGE));
        Some(mtu)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::net::Ipv4Addr;

    fn to(number: u32) -> Address {
        Ipv4Addr::from(number).into()
    }

    #[test]
    fn paths_are_learnt_believed_for_a_while_and_bounded() {
        let (mut paths, now) = (Paths::default(), Instant::START);
        assert_eq!(paths.learn(to(1), 1400, 1500, 1500, now), Some(1400));
        assert_eq!(paths.learn(to(1), 1450, 1400, 1400, now), None, "never larger");
        assert_eq!(paths.find(to(1), now), Some(1400));
        assert_eq!(paths.find(to(2), now), None);
        assert_eq!(paths.find(to(1), now + AGE), None);
        assert_eq!(paths.learn(to(2), 0, 1500, 1500, now), Some(1492), "a router of old");
        assert_eq!(paths.learn(to(2), 0, 1006, 1006, now), Some(LEAST_V4));
        assert_eq!(paths.learn(to(3), 68, 1500, 1500, now), Some(LEAST_V4), "a liar, or a poor path");
        for number in 0..200 {
            paths.learn(to(number), 1000, 1500, 1500, now);
        }
        assert_eq!(paths.known.len(), CAPACITY);
    }
}
