//! SipHash-2-4 (Aumasson and Bernstein, 2012) over whole words: a hash whose collisions
//! nobody finds who doesn't know its key.

/// The key, from `Entropy`.
#[derive(Clone, Copy)]
pub(crate) struct Secret([u64; 2]);

impl core::fmt::Debug for Secret {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl Secret {
    pub const fn new(key: [u64; 2]) -> Self {
        Secret(key)
    }

    /// The hash of `words`, taken as their bytes in little-endian order.
    pub fn hash(&self, words: &[u64]) -> u64 {
        let [k0, k1] = self.0;
        let mut state = [
            k0 ^ 0x736f_6d65_7073_6575,
            k1 ^ 0x646f_7261_6e64_6f6d,
            k0 ^ 0x6c79_6765_6e65_7261,
            k1 ^ 0x7465_6462_7974_6573,
        ];
        let length = (words.len() as u64) << 59;
        for word in words.iter().copied().chain([length]) {
            state[3] ^= word;
            rounds(&mut state, 2);
            state[0] ^= word;
        }
        state[2] ^= 0xff;
        rounds(&mut state, 4);
        state[0] ^ state[1] ^ state[2] ^ state[3]
    }
}

fn rounds(state: &mut [u64; 4], count: usize) {
    let [mut a, mut b, mut c, mut d] = *state;
    for _ in 0..count {
        a = a.wrapping_add(b);
        c = c.wrapping_add(d);
        b = b.rotate_left(13) ^ a;
        d = d.rotate_left(16) ^ c;
        a = a.rotate_left(32).wrapping_add(d);
        c = c.wrapping_add(b);
        d = d.rotate_left(21) ^ a;
        b = b.rotate_left(17) ^ c;
        c = c.rotate_left(32);
    }
    *state = [a, b, c, d];
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::hash::Hasher;

    #[test]
    #[allow(deprecated, reason = "the standard library's SipHash-2-4 has no other name")]
    fn the_standard_librarys_siphash_agrees() {
        for count in 0..9u64 {
            let words: std::vec::Vec<u64> = (0..count).map(|word| word * 0x0123_4567_89ab_cdef).collect();
            let mut hasher = core::hash::SipHasher::new_with_keys(3, u64::MAX - 5);
            for word in &words {
                hasher.write(&word.to_le_bytes());
            }
            assert_eq!(Secret::new([3, u64::MAX - 5]).hash(&words), hasher.finish());
        }
    }

    #[test]
    fn the_papers_example() {
        // Appendix A has 15 bytes; the authors' table of test vectors has this one of 8.
        let key = [0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908];
        assert_eq!(Secret::new(key).hash(&[0x0706_0504_0302_0100]), 0x93f5_f579_9a93_2462);
    }
}
