//! Packets that come in pieces (RFC 791, section 3.2; RFC 8200, section 4.5), put together
//! within bounds. Pieces that overlap are nobody's honest work: with them goes the whole
//! packet (RFC 5722, RFC 9099 for IPv4 too).

use alloc::vec::Vec;

use unik::time::{Duration, Instant};

use crate::address::Address;

/// The most packets that are put together at one time; the oldest goes for a new one.
const PACKETS: usize = 16;
/// The most pieces of one packet: 64 KiB in pieces of a link of 1,500 bytes are 45.
const PIECES: usize = 64;
/// The most bytes of all packets that are put together.
const BYTES: usize = 256 << 10;
/// The longest packet.
const LONGEST: usize = 65535;
/// How long the pieces of a packet have to arrive (RFC 1122, section 3.3.2: 60 to 120 s; as Linux
/// less, for what is lost that long stays lost).
const AGE: Duration = Duration::from_secs(30);

/// One piece.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fragment<'a> {
    pub from: Address,
    pub to: Address,
    pub id: u32,
    pub protocol: u8,
    /// Where its data stands in the packet's.
    pub offset: usize,
    /// It isn't the last.
    pub more: bool,
    /// What comes after the header of a whole IPv6 packet.
    #[cfg(feature = "ipv6")]
    pub next: Option<u8>,
    /// The header of the packet that it came in, without what says that it is a piece.
    pub head: &'a [u8],
    pub data: &'a [u8],
}

/// What became of a piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    /// It was the last one missing.
    Whole,
    Waits,
    Dropped,
}

#[derive(Debug)]
struct Packet {
    id: (Address, Address, u32, u8),
    end: Instant,
    head: Vec<u8>,
    /// What has arrived, in its place.
    data: Vec<u8>,
    /// Which bytes have: ranges in order, none of which touches the next.
    ranges: Vec<(usize, usize)>,
    /// Known with the last piece.
    length: Option<usize>,
    /// The pieces contradict each other: those to come are dropped too.
    spoilt: bool,
    pieces: usize,
}

/// The packets that aren't complete, the oldest first.
#[derive(Debug, Default)]
pub(crate) struct Fragments {
    packets: Vec<Packet>,
}

impl Fragments {
    /// Adds a piece. If its packet is complete with that, `whole` holds it: with the header of the
    /// first piece, whose length the caller must set.
    pub fn add(&mut self, fragment: &Fragment<'_>, whole: &mut Vec<u8>, now: Instant) -> Piece {
        self.expire(now);
        let id = (fragment.from, fragment.to, fragment.id, fragment.protocol);
        let end = fragment.offset + fragment.data.len();
        // All but the last are of eights.
        if fragment.data.is_empty()
            || fragment.more && !fragment.data.len().is_multiple_of(8)
            || end + fragment.head.len() > LONGEST
        {
            return Piece::Dropped;
        }
        let at = match self.packets.iter().position(|packet| packet.id == id) {
            Some(at) => at,
            None => {
                if self.packets.len() >= PACKETS {
                    self.packets.remove(0);
                }
                if self.packets.try_reserve(1).is_err() {
                    return Piece::Dropped;
                }
                self.packets.push(Packet::new(id, now + AGE));
                self.packets.len() - 1
            }
        };
        let others: usize = self.packets.iter().map(|packet| packet.data.len()).sum();
        let packet = &mut self.packets[at];
        let grows = end.saturating_sub(packet.data.len());
        if packet.spoilt || others + grows > BYTES || packet.pieces >= PIECES || !packet.put(fragment, end) {
            packet.spoil();
            return Piece::Dropped;
        }
        if packet.length != Some(packet.data.len()) || packet.ranges[..] != [(0, packet.data.len())] {
            return Piece::Waits;
        }
        let packet = self.packets.remove(at);
        let length = packet.head.len() + packet.data.len();
        whole.clear();
        if length > LONGEST || whole.try_reserve_exact(length).is_err() {
            return Piece::Dropped;
        }
        whole.extend_from_slice(&packet.head);
        whole.extend_from_slice(&packet.data);
        Piece::Whole
    }

    /// Gives up what is too old.
    pub fn expire(&mut self, now: Instant) {
        self.packets.retain(|packet| packet.end > now);
    }

    /// When [`expire`](Self::expire) has something to do.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.packets.first().map(|packet| packet.end)
    }
}

impl Packet {
    fn new(id: (Address, Address, u32, u8), end: Instant) -> Self {
        let (head, data, ranges) = (Vec::new(), Vec::new(), Vec::new());
        Packet { id, end, head, data, ranges, length: None, spoilt: false, pieces: 0 }
    }

    /// Puts a piece into its place; `false` if it contradicts what is there, or without memory.
    fn put(&mut self, fragment: &Fragment<'_>, end: usize) -> bool {
        let (start, length) = (fragment.offset, fragment.data.len());
        let contradicts = match self.length {
            Some(length) => end > length || !fragment.more && end != length,
            None => !fragment.more && end < self.data.len(),
        };
        let next = self.ranges.partition_point(|(first, _)| *first < start);
        let overlaps = next > 0 && self.ranges[next - 1].1 > start
            || self.ranges.get(next).is_some_and(|(first, _)| *first < end);
        if overlaps && self.data.get(start..end) == Some(fragment.data) && self.has(start, end) {
            // The network has doubled it.
            return true;
        }
        if contradicts || overlaps {
            return false;
        }
        let grows = end.saturating_sub(self.data.len());
        if self.data.try_reserve(grows).is_err() || self.ranges.try_reserve(1).is_err() {
            return false;
        }
        if start == 0 {
            if self.head.try_reserve_exact(fragment.head.len()).is_err() {
                return false;
            }
            self.head.extend_from_slice(fragment.head);
            #[cfg(feature = "ipv6")]
            if let (Some(next), Some(field)) = (fragment.next, self.head.get_mut(6)) {
                *field = next;
            }
        }
        self.data.resize(self.data.len() + grows, 0);
        self.data[start..start + length].copy_from_slice(fragment.data);
        if !fragment.more {
            self.length = Some(end);
        }
        self.pieces += 1;
        self.ranges.insert(next, (start, end));
        // Joins it with what it touches.
        if self.ranges.get(next + 1).is_some_and(|(first, _)| *first == end) {
            self.ranges[next].1 = self.ranges.remove(next + 1).1;
        }
        if next > 0 && self.ranges[next - 1].1 == start {
            self.ranges[next - 1].1 = self.ranges.remove(next).1;
        }
        true
    }

    fn has(&self, start: usize, end: usize) -> bool {
        self.ranges.iter().any(|(first, last)| *first <= start && end <= *last)
    }

    /// Gives its memory back; it stays, so that its other pieces don't begin it anew.
    fn spoil(&mut self) {
        self.spoilt = true;
        self.data = Vec::new();
        self.head = Vec::new();
        self.ranges = Vec::new();
    }
}

#[cfg(all(test, feature = "ipv6"))]
mod tests {
    use super::*;
    use core::net::Ipv4Addr;
    use proptest::prelude::*;

    const HEAD: [u8; 20] = [0x45; 20];

    fn piece(id: u32, offset: usize, data: &[u8], more: bool) -> Fragment<'_> {
        let (from, to) = (Ipv4Addr::new(10, 0, 0, 7).into(), Ipv4Addr::new(10, 0, 0, 2).into());
        Fragment { from, to, id, protocol: 17, offset, more, next: None, head: &HEAD, data }
    }

    fn add(fragments: &mut Fragments, fragment: &Fragment<'_>) -> (Piece, Vec<u8>) {
        let mut whole = Vec::new();
        (fragments.add(fragment, &mut whole, Instant::START), whole)
    }

    proptest! {
        #[test]
        fn pieces_in_any_order_and_doubled_make_the_packet(
            length in 9usize..4000, eights in 1usize..40, seed in any::<u64>(), double in any::<bool>(),
        ) {
            let data: Vec<u8> = (0..length).map(|at| ((at * 31) >> 3) as u8).collect();
            let size = eights * 8;
            let mut order: Vec<usize> = (0..length.div_ceil(size)).collect();
            prop_assume!(order.len() <= PIECES);
            order.sort_by_key(|at| (*at as u64 + 1).wrapping_mul(seed | 1).rotate_left(17));
            let mut fragments = Fragments::default();
            for (count, at) in order.iter().enumerate() {
                let (start, end) = (at * size, (at * size + size).min(length));
                let fragment = piece(1, start, &data[start..end], end < length);
                if double && count > 0 {
                    let first = order[0] * size;
                    let again = piece(1, first, &data[first..(first + size).min(length)], first + size < length);
                    prop_assert_eq!(add(&mut fragments, &again).0, Piece::Waits);
                }
                let (became, whole) = add(&mut fragments, &fragment);
                if count + 1 < order.len() {
                    prop_assert_eq!(became, Piece::Waits);
                } else {
                    prop_assert_eq!(became, Piece::Whole);
                    prop_assert_eq!(&whole[20..], &data[..]);
                    prop_assert_eq!(&whole[..20], &HEAD[..]);
                }
            }
            prop_assert!(fragments.packets.is_empty());
        }

        #[test]
        fn whatever_comes_is_bounded(
            pieces in proptest::collection::vec((0u32..40, 0usize..9000, 0usize..200, any::<bool>()), 0..300),
        ) {
            let mut fragments = Fragments::default();
            for (id, offset, length, more) in pieces {
                add(&mut fragments, &piece(id, offset * 8, &[7; 1600][..length * 8], more));
                prop_assert!(fragments.packets.len() <= PACKETS);
                prop_assert!(fragments.packets.iter().map(|packet| packet.data.len()).sum::<usize>() <= BYTES);
            }
        }
    }

    #[test]
    fn what_overlaps_spoils_its_packet() {
        let mut fragments = Fragments::default();
        assert_eq!(add(&mut fragments, &piece(1, 0, &[1; 16], true)).0, Piece::Waits);
        assert_eq!(add(&mut fragments, &piece(1, 8, &[2; 16], true)).0, Piece::Dropped);
        assert_eq!(add(&mut fragments, &piece(1, 16, &[2; 16], false)).0, Piece::Dropped);
        assert_eq!(add(&mut fragments, &piece(2, 0, &[1; 16], true)).0, Piece::Waits, "others go on");
        assert_eq!(add(&mut fragments, &piece(2, 16, &[1; 1], false)).0, Piece::Whole);
    }

    #[test]
    fn lengths_that_contradict_each_other_spoil_it() {
        let mut fragments = Fragments::default();
        assert_eq!(add(&mut fragments, &piece(1, 16, &[1; 8], false)).0, Piece::Waits);
        assert_eq!(add(&mut fragments, &piece(1, 32, &[1; 8], true)).0, Piece::Dropped);
        assert_eq!(add(&mut fragments, &piece(2, 16, &[1; 8], true)).0, Piece::Waits);
        assert_eq!(add(&mut fragments, &piece(2, 8, &[1; 8], false)).0, Piece::Dropped);
        assert_eq!(add(&mut fragments, &piece(3, 65528, &[1; 8], false)).0, Piece::Dropped, "ping of death");
        assert_eq!(add(&mut fragments, &piece(3, 0, &[1; 7], true)).0, Piece::Dropped);
    }

    #[test]
    fn what_stays_incomplete_is_given_up() {
        let mut fragments = Fragments::default();
        let mut whole = Vec::new();
        fragments.add(&piece(1, 0, &[1; 8], true), &mut whole, Instant::START);
        let late = Instant::START + AGE;
        assert_eq!(fragments.add(&piece(1, 8, &[1; 8], false), &mut whole, late), Piece::Waits);
        for id in 0..100 {
            fragments.add(&piece(id, 0, &[1; 8], true), &mut whole, late);
        }
        assert_eq!(fragments.packets.len(), PACKETS);
    }
}
