//! Ranges of addresses, and the list of those that are memory.
//!
//! Refers to nothing else of the crate, so that its tests run on the host:
//! `runtime/tests/machine.rs`.

/// A range of physical addresses, in bytes, end exclusive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Range {
    /// First address.
    pub start: u64,
    /// One past the last.
    pub end: u64,
}

impl Range {
    /// Whether the two have an address in common.
    pub fn overlaps(&self, other: Range) -> bool {
        self.start < other.end && other.start < self.end
    }

    /// Whether `other` lies inside.
    pub fn contains(&self, other: Range) -> bool {
        self.start <= other.start && other.end <= self.end
    }

    /// The whole pages of the part of it from `start` up to `end`.
    pub fn clip(self, start: u64, end: u64) -> Range {
        let start = self.start.max(start).saturating_add(0xfff) & !0xfff;
        Range { start, end: self.end.min(end) & !0xfff }
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.start >= self.end
    }
}

/// Ranges of memory that are used. Monitors name fewer than ten.
pub const MAX_RANGES: usize = 16;

/// The memory that the monitor named.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    /// The ranges; what isn't taken is empty.
    pub ranges: [Range; MAX_RANGES],
    /// Bytes in ranges for which there was no place.
    pub lost: u64,
}

impl Memory {
    /// None.
    pub const NONE: Memory = Memory { ranges: [Range { start: 0, end: 0 }; MAX_RANGES], lost: 0 };

    /// Adds a range, to the one that it follows if there is such.
    pub fn add(&mut self, range: Range) {
        if range.is_empty() {
            return;
        }
        let follows = |taken: &&mut Range| !taken.is_empty() && taken.end == range.start;
        if let Some(taken) = self.ranges.iter_mut().find(follows) {
            taken.end = range.end;
        } else if let Some(free) = self.ranges.iter_mut().find(|range| range.is_empty()) {
            *free = range;
        } else {
            self.lost = self.lost.saturating_add(range.end - range.start);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(start: u64, end: u64) -> Range {
        Range { start, end }
    }

    #[test]
    fn whole_pages_are_clipped() {
        assert_eq!(range(0x1800, 0x5800).clip(0, u64::MAX), range(0x2000, 0x5000));
        assert_eq!(range(0x1000, 0x9000).clip(0x2001, 0x4fff), range(0x3000, 0x4000));
        assert!(range(0x1000, 0x2000).clip(0x5000, 0x6000).is_empty());
        assert!(range(0x1000, 0x2000).clip(u64::MAX, u64::MAX).is_empty());
    }

    #[test]
    fn neighbours_are_one_range() {
        let mut memory = Memory::NONE;
        for at in 0..100 {
            memory.add(range(at << 20, (at + 1) << 20));
        }
        assert_eq!(memory.ranges[..2], [range(0, 100 << 20), range(0, 0)]);
        assert_eq!(memory.lost, 0);
    }

    #[test]
    fn what_has_no_place_is_counted() {
        let mut memory = Memory::NONE;
        for at in 0..20 {
            memory.add(range(at << 20, (at << 20) + 4096));
        }
        assert_eq!(memory.ranges[15], range(15 << 20, (15 << 20) + 4096));
        assert_eq!(memory.lost, 4 * 4096);
        memory.add(range(5, 5));
        memory.add(range(9, 5));
        assert_eq!(memory.lost, 4 * 4096);
    }
}
