//! `rdrand`: entropy from the processor (Intel SDM volume 1, 7.3.17: RDRAND and RDSEED).
//!
//! The processor's words seed a ChaCha20 generator, which gives all output. Its key is
//! replaced after every request, so that what was given can't be computed from what is in
//! memory later; each request also mixes in a fresh word of the processor, so that two
//! copies of one snapshot go different ways. After 1 MiB of output the whole key is mixed
//! with fresh words.
//!
//! # Health check
//! All that either instruction gives goes through the continuous tests of [`unik::health`], 1,024
//! bytes of it before the first use. A word that is all ones or all
//! zeros, or the same as the one before, is a failure too (some processors gave all ones
//! after a suspend, with the carry flag that says "valid"). RDRAND is tried 10 times, as Intel
//! advises, before it counts as failed; where RDSEED runs dry RDRAND gives the seed. A source
//! that failed once isn't used again: there is no output without it.
//!
//! In a process the kernel's entropy, tested in the same way, is mixed into the seeds, and stands in
//! on processors without the instruction. On the machine the platform has no other source than the
//! processor.
#![no_std]
#![deny(unsafe_code)]

extern crate alloc;

mod generator;
mod processor;

use alloc::rc::Rc;
use core::cell::RefCell;

use unik::interface::{Entropy, EntropyError};
use unik::platform;
use unik::start::{Context, StartError};

pub use generator::{Generator, Words};
pub use processor::{Failed, Processor, Tested};

unik::options!();

/// Starts the source: checks that the processor has one, and seeds the generator.
///
/// # Errors
/// When the processor has none, or it fails its health check.
pub async fn start(cx: &Context, _options: &'static Options) -> Result<Rdrand, StartError> {
    let mut source = Source::find().ok_or_else(|| {
        cx.error(
            "this processor has no RDRAND instruction: let the monitor show one (QEMU: `-cpu max`), \
             or take the entropy from a device (`device rng = virtio-rng`)",
        )
    })?;
    let failed = |Failed| {
        cx.error("RDRAND fails its health check: take the entropy from a device (`device rng = virtio-rng`)")
    };
    source.start_up().map_err(failed)?;
    let generator = Generator::new(source).map_err(failed)?;
    Ok(Rdrand { generator: Rc::new(RefCell::new(generator)) })
}

/// The generator, and where its seeds come from.
#[derive(Clone, Debug)]
pub struct Rdrand {
    generator: Rc<RefCell<Generator<Source>>>,
}

impl Entropy for Rdrand {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), EntropyError> {
        self.generator.borrow_mut().fill(bytes).map_err(|Failed| EntropyError)
    }
}

/// The processor's words, mixed with the platform's entropy where that is another source.
#[derive(Debug)]
struct Source {
    processor: Option<Processor>,
    platform: Option<Tested>,
}

impl Source {
    /// `None` when neither the processor nor the platform has entropy.
    fn find() -> Option<Source> {
        let processor = Processor::find();
        // On the machine it is RDRAND again, and a word mixed with itself is nothing.
        let has_platform = cfg!(not(unik_machine)) && platform::entropy(&mut [0]).is_ok();
        let platform = has_platform.then(Tested::new);
        (processor.is_some() || platform.is_some()).then_some(Source { processor, platform })
    }

    /// The start-up tests.
    fn start_up(&mut self) -> Result<(), Failed> {
        self.processor.as_mut().map_or(Ok(()), Processor::start_up)?;
        while self.platform.as_ref().is_some_and(|platform| !platform.is_started()) {
            self.platform_word()?;
        }
        Ok(())
    }

    /// A word of the platform, 0 if it isn't used.
    fn platform_word(&mut self) -> Result<u64, Failed> {
        let Some(tested) = &mut self.platform else { return Ok(0) };
        let mut bytes = [0; 8];
        let given = platform::entropy(&mut bytes);
        tested.take(given.ok().map(|()| u64::from_ne_bytes(bytes)))
    }
}

impl Words for Source {
    fn seed_word(&mut self) -> Result<u64, Failed> {
        let platform = self.platform_word()?;
        let processor = self.processor.as_mut().map_or(Ok(0), Processor::seed_word)?;
        Ok(processor ^ platform)
    }

    fn quick_word(&mut self) -> Result<u64, Failed> {
        match &mut self.processor {
            Some(processor) => processor.quick_word(),
            None => self.platform_word(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static OPTIONS: Options = Options {};

    #[test]
    fn gives_bytes_that_differ() {
        let source = unik::executor::block_on(start(&Context::new("rdrand"), &OPTIONS)).expect("a source");
        let (mut one, mut other) = ([0; 1000], [0; 1000]);
        source.fill(&mut one).expect("bytes");
        source.clone().fill(&mut other).expect("bytes");
        assert_ne!(one, other);
        // Of 1,000 random bytes some 20 are missing from the 256 values.
        let seen = (0..=255u8).filter(|byte| one.contains(byte)).count();
        assert!(seen > 200, "{seen} values in 1,000 bytes");
    }
}
