//! The continuous health tests of entropy sources: NIST SP 800-90B, section 4.4, and one of our
//! own, as section 4.5 allows.
//!
//! They find a source that broke: stuck, in a loop, or far from what it gave before. They can't
//! tell a good source from one that somebody can predict.
//!
//! The standard's two tests let a source pass that gives two words in turn. So a third looks
//! whether the source gives again what it gave a while ago: it compares each byte with each of the
//! 64 before it, and refuses ten equal ones in a row at one distance. That finds all that
//! repeats itself after up to 64 bytes (eight words of 64 bits), 74 bytes after it begins.
//!
//! Samples are bytes. A source is taken to have at least 4 bits of entropy in each; those that
//! images use claim 8. With that the tests reject a good source less than once in 2³⁰ samples.

use core::fmt;

/// Equal bytes in a row that a source doesn't give: 1 + ⌈30 / 4⌉ (section 4.4.1).
const REPETITIONS: u32 = 9;
/// Bytes in a window of the adaptive proportion test (section 4.4.2).
const WINDOW: u32 = 512;
/// How often the first byte of a window doesn't come in it: 1 + the least k for which a
/// binomial variable of 512 trials with probability 2⁻⁴ is at most k with probability 1 − 2⁻³⁰.
const PROPORTION: u32 = 71;

/// Distances, in bytes, at which the period test compares.
const PERIODS: usize = 64;
/// Bytes in a row that a source doesn't give again after one and the same distance. With 4 bits of
/// entropy each the chance of that is 2⁻⁴⁰ at a place, and 2⁻³⁴ for all distances.
const AGAIN: u8 = 10;

/// Samples that the start-up test looks at before any is used (section 4.3).
pub const START_UP: u32 = 1024;

/// What a source did that no good one does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HealthError {
    /// It gave one byte nine times in a row.
    Repetition,
    /// It gave one byte in a seventh of a window of 512.
    Proportion,
    /// It gave ten bytes again that it had given up to 64 bytes before.
    Period,
}

impl fmt::Display for HealthError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            HealthError::Repetition => "it fails the repetition count test: one byte again and again",
            HealthError::Proportion => "it fails the adaptive proportion test: one byte far too often",
            HealthError::Period => "it fails the period test: the same few words again and again",
        })
    }
}

impl core::error::Error for HealthError {}

/// The state of the tests of one source. One that failed stays failed.
#[derive(Clone, Debug)]
pub struct Health {
    last: u8,
    repetitions: u32,
    first: u8,
    seen: u32,
    equal: u32,
    tested: u32,
    /// The bytes before, the last one first.
    before: [u8; PERIODS],
    /// How many bytes in a row were equal to the one at each distance.
    again: [u8; PERIODS],
    failed: Option<HealthError>,
}

impl Health {
    /// Before the first sample.
    #[must_use]
    pub const fn new() -> Health {
        Health {
            last: 0,
            repetitions: 0,
            first: 0,
            seen: 0,
            equal: 0,
            tested: 0,
            before: [0; PERIODS],
            again: [0; PERIODS],
            failed: None,
        }
    }

    /// Looks at the source's next bytes. All of them have to come here, in their order, also
    /// those that aren't used.
    ///
    /// # Errors
    /// [`HealthError`], from then on always.
    pub fn test(&mut self, bytes: &[u8]) -> Result<(), HealthError> {
        for byte in bytes {
            self.next(*byte);
        }
        self.failed.map_or(Ok(()), Err)
    }

    /// Whether the start-up test is through: until then nothing that the source gave is used.
    #[must_use]
    pub const fn is_started(&self) -> bool {
        self.tested >= START_UP && self.failed.is_none()
    }

    fn next(&mut self, byte: u8) {
        let is_periodic = self.is_periodic(byte);
        self.tested = self.tested.saturating_add(1);
        self.repetitions = if self.repetitions > 0 && byte == self.last { self.repetitions + 1 } else { 1 };
        self.last = byte;
        if self.seen == 0 {
            (self.first, self.equal) = (byte, 0);
        }
        self.equal += u32::from(byte == self.first);
        self.seen = (self.seen + 1) % WINDOW;
        let error = if self.repetitions >= REPETITIONS {
            HealthError::Repetition
        } else if self.equal >= PROPORTION {
            HealthError::Proportion
        } else if is_periodic {
            HealthError::Period
        } else {
            return;
        };
        self.failed.get_or_insert(error);
        // Neither counts on for ever.
        (self.repetitions, self.equal) = (0, 0);
    }

    /// Whether `byte` ends a row of bytes that were given before, at one distance.
    fn is_periodic(&mut self, byte: u8) -> bool {
        // Bytes that there weren't yet count as zeros: a source that begins with ten of them fails
        // the repetition test one byte earlier.
        let mut longest = 0;
        for (again, before) in self.again.iter_mut().zip(&self.before) {
            *again = if *before == byte { again.saturating_add(1) } else { 0 };
            longest = longest.max(*again);
        }
        self.before.copy_within(..PERIODS - 1, 1);
        self.before[0] = byte;
        longest >= AGAIN
    }
}

impl Default for Health {
    fn default() -> Health {
        Health::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    /// Bytes of a generator that is good enough for these tests (xorshift).
    fn good(seed: u64) -> impl Iterator<Item = u8> {
        let mut state = seed;
        core::iter::repeat_with(move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 32) as u8
        })
    }

    fn test(bytes: impl IntoIterator<Item = u8>) -> (Result<(), HealthError>, bool) {
        let mut health = Health::new();
        let mut result = Ok(());
        for byte in bytes {
            result = health.test(&[byte]);
        }
        (result, health.is_started())
    }

    #[test]
    fn good_sources_pass() {
        for seed in 1..20 {
            assert_eq!(test(good(seed).take(100_000)), (Ok(()), true), "{seed}");
        }
        assert_eq!(test(good(1).take(START_UP as usize - 1)), (Ok(()), false));
    }

    #[test]
    fn stuck_sources_fail_at_once_and_for_good() {
        assert_eq!(test([7; 8]), (Ok(()), false));
        assert_eq!(test([7; 9]), (Err(HealthError::Repetition), false));
        let late = good(3).take(5000).chain([0; 9]).chain(good(4).take(5000));
        assert_eq!(test(late), (Err(HealthError::Repetition), false));
    }

    #[test]
    fn sources_that_repeat_a_few_words_fail() {
        for period in 2..=PERIODS {
            let words: Vec<u8> = good(period as u64).skip(64).take(period).collect();
            let first = words.iter().copied().cycle().take(period + usize::from(AGAIN) - 1);
            assert_eq!(test(first), (Ok(()), false), "{period}");
            let periodic = words.iter().copied().cycle().take(period + usize::from(AGAIN));
            assert_eq!(test(periodic), (Err(HealthError::Period), false), "{period}");
            // Also one that begins to do so late, and one that gave something else in between.
            let late = good(7).take(5000).chain(words.iter().copied().cycle().take(period + 64));
            assert_eq!(test(late), (Err(HealthError::Period), false), "{period}");
        }
        // Two words in turn, as the two tests of the standard let through.
        let two = [0x0123_4567_89ab_cdef_u64, 0xfedc_ba98_7654_3210];
        let alternating = (0..).flat_map(|at| two[at % 2].to_le_bytes());
        assert_eq!(test(alternating.take(100_000)).0, Err(HealthError::Period));
        // Zeros at the beginning are no more than eight.
        assert_eq!(test([0; 8].into_iter().chain(good(2).skip(64).take(2000))), (Ok(()), true));
    }

    #[test]
    fn sources_that_favour_a_byte_fail() {
        let every = |n: usize| good(9).enumerate().map(move |(at, byte)| if at % n == 0 { 1 } else { byte });
        assert_eq!(test(every(5).take(10_000)).0, Err(HealthError::Proportion));
        assert_eq!(test(every(16).take(10_000)).0, Ok(()));
        // Two bits of entropy a byte are too few.
        assert_eq!(test(good(5).map(|byte| byte & 3).take(10_000)).0, Err(HealthError::Proportion));
    }
}
