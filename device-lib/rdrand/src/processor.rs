//! The instructions.
#![allow(unsafe_code, reason = "processor instructions")]

use core::fmt;

use unik::health::Health;

use crate::generator::Words;

/// How often RDRAND is tried: "a retry limit of 10" (Intel, Digital Random Number
/// Generator Software Implementation Guide, 5.2.1).
const RDRAND_TRIES: u32 = 10;

/// How often RDSEED is tried before RDRAND gives the seed: it runs dry when asked in a
/// row, and a monitor may not pass it on at all.
const RDSEED_TRIES: u32 = 100;

/// The source gave nothing, or what it gave can't be random.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failed;

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the processor's random number generator failed")
    }
}

impl core::error::Error for Failed {}

/// The processor's generator. Holding one proves that the processor has RDRAND.
#[derive(Debug)]
pub struct Processor {
    has_rdseed: bool,
    last: u64,
    health: Health,
}

impl Processor {
    /// The processor's generator, if CPUID says that it has one.
    #[must_use]
    pub fn find() -> Option<Processor> {
        features().map(|has_rdseed| Processor { has_rdseed, last: 0, health: Health::new() })
    }

    /// The start-up test: words that aren't used.
    ///
    /// # Errors
    /// [`Failed`].
    pub fn start_up(&mut self) -> Result<(), Failed> {
        while !self.health.is_started() {
            self.quick_word()?;
        }
        Ok(())
    }

    /// The health check: see the crate's page.
    fn check(&mut self, word: u64) -> Result<u64, Failed> {
        self.health.test(&word.to_le_bytes()).map_err(|_| Failed)?;
        // In a good source each of these comes by chance once in 2⁶⁴ words.
        if word == 0 || word == u64::MAX || word == self.last {
            return Err(Failed);
        }
        self.last = word;
        Ok(word)
    }
}

impl Words for Processor {
    fn seed_word(&mut self) -> Result<u64, Failed> {
        let seed = if self.has_rdseed { tries(RDSEED_TRIES, rdseed) } else { None };
        match seed {
            Some(word) => self.check(word),
            None => self.quick_word(),
        }
    }

    fn quick_word(&mut self) -> Result<u64, Failed> {
        let word = tries(RDRAND_TRIES, rdrand).ok_or(Failed)?;
        self.check(word)
    }
}

fn tries(limit: u32, instruction: fn() -> Option<u64>) -> Option<u64> {
    (0..limit).find_map(|_| {
        let word = instruction();
        if word.is_none() {
            core::hint::spin_loop();
        }
        word
    })
}

/// Whether RDRAND is there, and if so, whether RDSEED is (SDM volume 2, CPUID).
#[cfg(target_arch = "x86_64")]
fn features() -> Option<bool> {
    use core::arch::x86_64::{__cpuid, __cpuid_count};
    #[allow(unused_unsafe, reason = "safe functions in newer Rust")]
    // SAFETY: every x86-64 processor has CPUID; leaf 7 is asked for only where leaf 0
    // says that it exists.
    let (leaf_1_ecx, leaf_7_ebx) = unsafe {
        let highest = __cpuid(0).eax;
        (__cpuid(1).ecx, if highest >= 7 { __cpuid_count(7, 0).ebx } else { 0 })
    };
    (leaf_1_ecx & 1 << 30 != 0).then_some(leaf_7_ebx & 1 << 18 != 0)
}

#[cfg(not(target_arch = "x86_64"))]
fn features() -> Option<bool> {
    None
}

#[cfg(target_arch = "x86_64")]
fn rdrand() -> Option<u64> {
    let mut word = 0;
    // SAFETY: called only through a `Processor`, which exists only where CPUID shows RDRAND.
    let is_valid = unsafe { core::arch::x86_64::_rdrand64_step(&mut word) };
    (is_valid == 1).then_some(word)
}

#[cfg(target_arch = "x86_64")]
fn rdseed() -> Option<u64> {
    let mut word = 0;
    // SAFETY: called only by a `Processor` whose `has_rdseed` CPUID has set.
    let is_valid = unsafe { core::arch::x86_64::_rdseed64_step(&mut word) };
    (is_valid == 1).then_some(word)
}

#[cfg(not(target_arch = "x86_64"))]
fn rdrand() -> Option<u64> {
    None
}

#[cfg(not(target_arch = "x86_64"))]
fn rdseed() -> Option<u64> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stuck_sources_fail() {
        let mut processor = Processor { has_rdseed: false, last: 0, health: Health::new() };
        let (one, other) = (0x0123_4567_89ab_cdef, 0xfedc_ba98_7654_3210);
        assert_eq!(processor.check(0), Err(Failed));
        assert_eq!(processor.check(u64::MAX), Err(Failed));
        assert_eq!(processor.check(one), Ok(one));
        assert_eq!(processor.check(one), Err(Failed));
        assert_eq!(processor.check(other), Ok(other));
        // Two in a row are nine equal bytes; from then on nothing is good enough.
        assert_eq!(processor.check(0x1111_1111_1111_1111), Ok(0x1111_1111_1111_1111));
        assert_eq!(processor.check(0x2222_2222_2222_2211), Err(Failed));
        assert_eq!(processor.check(one), Err(Failed));
    }

    #[test]
    fn tries_are_bounded() {
        assert_eq!(tries(10, || None), None);
        assert_eq!(tries(10, || Some(3)), Some(3));
    }

    #[test]
    fn words_differ() {
        // A processor without the instruction has nothing to test.
        let Some(mut processor) = Processor::find() else { return };
        processor.start_up().expect("the start-up test");
        for _ in 0..1000 {
            processor.quick_word().expect("a word");
            processor.seed_word().expect("a word");
        }
    }
}
