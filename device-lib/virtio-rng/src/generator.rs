//! The generator that the device seeds.

use alloc::rc::Rc;
use core::cell::RefCell;

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use unik::interface::{Entropy, EntropyError};

/// ChaCha20, seeded from a device. Clones share one state.
#[derive(Clone, Debug)]
pub struct Generator(Rc<RefCell<ChaCha20Rng>>);

impl Generator {
    /// A generator that starts from `seed`.
    #[must_use]
    pub fn new(seed: [u8; 32]) -> Self {
        Generator(Rc::new(RefCell::new(ChaCha20Rng::from_seed(seed))))
    }

    /// Mixes `seed` into the state: neither who knows the old state nor who knows `seed`
    /// knows the new one.
    pub fn reseed(&self, seed: [u8; 32]) {
        let mut generator = self.0.borrow_mut();
        let mut mixed = [0; 32];
        generator.fill_bytes(&mut mixed);
        for (byte, fresh) in mixed.iter_mut().zip(seed) {
            *byte ^= fresh;
        }
        *generator = ChaCha20Rng::from_seed(mixed);
    }
}

impl Entropy for Generator {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), EntropyError> {
        self.0.borrow_mut().fill_bytes(bytes);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(generator: &Generator) -> [u8; 16] {
        let mut bytes = [0; 16];
        generator.fill(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn clones_share_one_stream() {
        let generator = Generator::new([1; 32]);
        let other = generator.clone();
        assert_ne!(take(&generator), take(&other));
    }

    #[test]
    fn a_new_seed_changes_the_stream_and_keeps_the_old_state_in_it() {
        let (one, two) = (Generator::new([1; 32]), Generator::new([1; 32]));
        one.reseed([9; 32]);
        assert_ne!(take(&one), take(&two));
        let (one, two) = (Generator::new([1; 32]), Generator::new([2; 32]));
        one.reseed([9; 32]);
        two.reseed([9; 32]);
        assert_ne!(take(&one), take(&two));
    }
}
