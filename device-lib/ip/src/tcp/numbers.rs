//! Our first sequence numbers, which nobody can guess: keyed ones that grow (RFC 6528), and
//! SYN cookies (RFC 4987, section 3.6), which are a handshake's whole memory when there is
//! no room for another.

use unik::time::Instant;

use super::segment::Key;
use super::timestamps;
use crate::hash::Secret;

/// The clock of RFC 6528 ticks every 4 µs.
const TICK: u64 = 4_000;
/// A cookie is good in the period in which it was made and in the next: 64 to 128 s.
pub(crate) const PERIOD: u64 = 64_000_000_000;
/// The segment sizes that a cookie can remember, the largest that isn't above the peer's.
const SIZES: [u16; 8] = [128, 536, 1024, 1220, 1360, 1400, 1440, 1460];
/// Bits of a cookie that are its proof.
const PROOF: u32 = 24;

/// What tells the uses of the secret apart.
const FOR_NUMBERS: u32 = 1;
const FOR_COOKIES: u32 = 2;
const FOR_STAMPS: u32 = 3;

/// Makes first sequence numbers.
#[derive(Debug)]
pub(crate) struct Numbers {
    secret: Secret,
}

impl Numbers {
    pub fn new(secret: Secret) -> Self {
        Numbers { secret }
    }

    /// The number for a connection that begins now: a new one from the same port has a higher one.
    pub fn initial(&self, key: &Key, now: Instant) -> u32 {
        let offset = self.secret.hash(&key.words(FOR_NUMBERS)) as u32;
        offset.wrapping_add((now.as_nanos() / TICK) as u32)
    }

    /// What is added to the clock of timestamps for a connection (RFC 7323, section 5.4): the same for
    /// each connection between two ports, so that a later one's are higher.
    pub fn stamp_offset(&self, key: &Key) -> u32 {
        if timestamps::ENABLED { self.secret.hash(&key.words(FOR_STAMPS)) as u32 } else { 0 }
    }

    /// The number that proves later that we answered a SYN with the number `theirs`, and
    /// remembers about which segment size it asked for.
    pub fn cookie(&self, key: &Key, theirs: u32, segment_size: u16, now: Instant) -> u32 {
        let size = SIZES.iter().rposition(|size| *size <= segment_size).unwrap_or(0) as u32;
        let period = now.as_nanos() / PERIOD;
        (period as u32) << (PROOF + 3) | size << PROOF | self.proof(key, theirs, size, period)
    }

    /// The segment size that `cookie` remembers, if it is one of ours and not too old.
    pub fn check(&self, key: &Key, theirs: u32, cookie: u32, now: Instant) -> Option<u16> {
        let current = now.as_nanos() / PERIOD;
        let size = cookie >> PROOF & 7;
        let period = [current, current.wrapping_sub(1)]
            .into_iter()
            .find(|period| (*period as u32) << (PROOF + 3) == cookie >> (PROOF + 3) << (PROOF + 3))?;
        let proof = cookie & ((1 << PROOF) - 1);
        (self.proof(key, theirs, size, period) == proof).then(|| SIZES[size as usize])
    }

    fn proof(&self, key: &Key, theirs: u32, size: u32, period: u64) -> u32 {
        let first = self.secret.hash(&key.words(FOR_COOKIES));
        let all = self.secret.hash(&[first, u64::from(theirs) << 32 | u64::from(size), period]);
        (all >> (64 - PROOF)) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::net::Ipv4Addr;
    use unik::time::Duration;

    fn key(port: u16) -> Key {
        let (peer, own) = (Ipv4Addr::new(10, 0, 0, 7).into(), Ipv4Addr::new(10, 0, 0, 2).into());
        Key { peer, own, peer_port: port, port: 80 }
    }

    fn at(seconds: u64) -> Instant {
        Instant::START + Duration::from_secs(seconds)
    }

    #[test]
    fn numbers_grow_with_time_and_differ_by_connection() {
        let numbers = Numbers::new(Secret::new([1, 2]));
        let first = numbers.initial(&key(1), at(1));
        assert_eq!(numbers.initial(&key(1), at(2)).wrapping_sub(first), 250_000);
        assert_ne!(numbers.initial(&key(2), at(1)).wrapping_sub(first) as i32 / 1_000_000, 0);
        assert_ne!(Numbers::new(Secret::new([1, 3])).initial(&key(1), at(1)), first);
    }

    #[test]
    fn cookies_come_back_in_time_and_only_where_they_were_given() {
        let numbers = Numbers::new(Secret::new([1, 2]));
        let cookie = numbers.cookie(&key(1), 77, 1452, at(100));
        assert_eq!(numbers.check(&key(1), 77, cookie, at(100)), Some(1440));
        assert_eq!(numbers.check(&key(1), 77, cookie, at(163)), Some(1440));
        assert_eq!(numbers.check(&key(1), 77, cookie, at(230)), None);
        // After 32 periods the marks of time come back, the proof doesn't.
        assert_eq!(numbers.check(&key(1), 77, cookie, at(100 + 32 * 64)), None);
        assert_eq!(numbers.check(&key(2), 77, cookie, at(100)), None);
        assert_eq!(numbers.check(&key(1), 78, cookie, at(100)), None);
        for bit in 0..32 {
            assert_eq!(numbers.check(&key(1), 77, cookie ^ 1 << bit, at(100)), None, "bit {bit}");
        }
        let jumbo = numbers.cookie(&key(1), 77, 9000, at(100));
        assert_eq!(numbers.check(&key(1), 77, jumbo, at(100)), Some(1460));
        let tiny = numbers.cookie(&key(1), 77, 1, at(100));
        assert_eq!(numbers.check(&key(1), 77, tiny, at(100)), Some(128));
    }
}
