//! `Entropy`: bytes that nobody can guess.

use core::fmt;

/// A source of random bytes fit for keys and sequence numbers.
pub trait Entropy: Clone + 'static {
    /// Fills `bytes`.
    ///
    /// # Errors
    /// [`EntropyError`] when the source failed its health check or dried up; `bytes`
    /// must not be used then.
    fn fill(&self, bytes: &mut [u8]) -> Result<(), EntropyError>;
}

/// The source gives no entropy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntropyError;

impl fmt::Display for EntropyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the entropy source failed")
    }
}

impl core::error::Error for EntropyError {}
