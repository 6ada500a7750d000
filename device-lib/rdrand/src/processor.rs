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

/// Words of one source, each tested before it is used. A source that failed once stays failed.
#[derive(Debug)]
pub struct Tested {
    last: u64,
    failed: bool,
    health: Health,
}

impl Tested {
    /// Before the first word.
    #[must_use]
    pub const fn new() -> Tested {
        Tested { last: 0, failed: false, health: Health::new() }
    }

    /// Takes the next word of the source; `None` stands for one that it didn't give.
    ///
    /// # Errors
    /// [`Failed`], from then on always.
    pub fn take(&mut self, word: Option<u64>) -> Result<u64, Failed> {
        let Some(word) = word.filter(|_| !self.failed) else {
            self.failed = true;
            return Err(Failed);
        };
        let is_healthy = self.health.test(&word.to_le_bytes()).is_ok();
        // In a good source each of these comes by chance once in 2⁶⁴ words.
        let is_odd = word == 0 || word == u64::MAX || word == self.last;
        self.last = word;
        self.failed = !is_healthy || is_odd;
        if self.failed { Err(Failed) } else { Ok(word) }
    }

    /// Whether the start-up test is through.
    #[must_use]
    pub const fn is_started(&self) -> bool {
        self.health.is_started()
    }
}

impl Default for Tested {
    fn default() -> Tested {
        Tested::new()
    }
}

/// An instruction that may give a word.
type Instruction = fn() -> Option<u64>;

/// The processor's generator. Holding one proves that the processor has RDRAND.
#[derive(Debug)]
pub struct Processor {
    rdrand: (Instruction, Tested),
    /// `None` where there is none, or it runs dry.
    rdseed: Option<(Instruction, Tested)>,
}

impl Processor {
    /// The processor's generator, if CPUID says that it has one.
    #[must_use]
    pub fn find() -> Option<Processor> {
        let has_rdseed = features()?;
        Some(Processor {
            rdrand: (rdrand, Tested::new()),
            rdseed: has_rdseed.then_some((rdseed, Tested::new())),
        })
    }

    /// The start-up test of both instructions, by words that aren't used.
    ///
    /// # Errors
    /// [`Failed`].
    pub fn start_up(&mut self) -> Result<(), Failed> {
        while !self.rdrand.1.is_started() {
            self.quick_word()?;
        }
        while let Some((instruction, tested)) =
            self.rdseed.as_mut().filter(|(_, tested)| !tested.is_started())
        {
            match tries(RDSEED_TRIES, *instruction) {
                Some(word) => drop(tested.take(Some(word))?),
                None => self.rdseed = None,
            }
        }
        Ok(())
    }
}

impl Words for Processor {
    fn seed_word(&mut self) -> Result<u64, Failed> {
        if let Some((instruction, tested)) = &mut self.rdseed
            && let Some(word) = tries(RDSEED_TRIES, *instruction)
        {
            return tested.take(Some(word));
        }
        self.quick_word()
    }

    fn quick_word(&mut self) -> Result<u64, Failed> {
        let (instruction, tested) = &mut self.rdrand;
        tested.take(tries(RDRAND_TRIES, *instruction))
    }
}

fn tries(limit: u32, instruction: Instruction) -> Option<u64> {
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
    // SAFETY: called only through a `Processor`, which has it only where CPUID shows RDSEED.
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
    extern crate std;

    use super::*;
    use alloc::vec::Vec;

    /// Words that pass (splitmix64).
    fn good(at: u64) -> u64 {
        let mut word = at.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        word = (word ^ word >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ word >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ word >> 31
    }

    fn tested(words: &[u64]) -> Result<u64, Failed> {
        let mut tested = Tested::new();
        words.iter().map(|word| tested.take(Some(*word))).last().unwrap_or(Err(Failed))
    }

    #[test]
    fn a_source_that_failed_once_is_not_used_again() {
        for bad in [Some(0), Some(u64::MAX), Some(good(0)), Some(0x1111_1111_1111_1111), None] {
            let mut tested = Tested::new();
            assert_eq!(tested.take(Some(good(0))), Ok(good(0)));
            if bad == Some(0x1111_1111_1111_1111) {
                // Two in a row are more than eight equal bytes.
                assert!(tested.take(bad).is_ok());
                assert_eq!(tested.take(Some(0x2222_2222_2222_2211)), Err(Failed));
            } else {
                assert_eq!(tested.take(bad), Err(Failed), "{bad:x?}");
            }
            for at in 1..10 {
                assert_eq!(tested.take(Some(good(at))), Err(Failed), "{bad:x?}");
            }
        }
    }

    #[test]
    fn a_source_in_a_loop_fails() {
        for period in 2..=8 {
            let words: Vec<u64> = (0..period).map(good).collect();
            let twice: Vec<u64> = words.iter().copied().cycle().take(2 * words.len()).collect();
            assert!(tested(&words).is_ok(), "{period}");
            assert_eq!(tested(&twice), Err(Failed), "{period}");
        }
    }

    fn processor(rdrand: Instruction, rdseed: Option<Instruction>) -> Processor {
        Processor {
            rdrand: (rdrand, Tested::new()),
            rdseed: rdseed.map(|instruction| (instruction, Tested::new())),
        }
    }

    /// Good words; each thread has its own.
    fn counting() -> Option<u64> {
        std::thread_local!(static NEXT: core::cell::Cell<u64> = const { core::cell::Cell::new(0) });
        Some(good(NEXT.replace(NEXT.get() + 1)))
    }

    #[test]
    fn either_instruction_can_be_refused() {
        let stuck: Instruction = || Some(0x0123_4567_89ab_cdef);
        assert_eq!(processor(stuck, None).start_up(), Err(Failed));
        assert_eq!(processor(stuck, Some(counting)).start_up(), Err(Failed));
        assert_eq!(processor(counting, Some(stuck)).start_up(), Err(Failed));
        assert_eq!(processor(|| None, Some(counting)).start_up(), Err(Failed));
        // What runs dry is done without.
        let mut dry = processor(counting, Some(|| None));
        assert_eq!(dry.start_up(), Ok(()));
        assert!(dry.rdseed.is_none() && dry.seed_word().is_ok());
        assert_eq!(processor(counting, Some(counting)).start_up(), Ok(()));
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
