//! `KeyValue`: a map that outlives the appliance.

use alloc::vec::Vec;
use core::fmt;

/// An ordered map from keys to values. Each operation happens whole or not at all.
#[allow(async_fn_in_trait, reason = "one thread: no future here needs Send")]
pub trait KeyValue: Clone + 'static {
    /// The value of `key`.
    ///
    /// # Errors
    /// [`KeyValueError::Storage`].
    async fn find(&self, key: &[u8]) -> Result<Option<Vec<u8>>, KeyValueError>;

    /// Sets the value of `key`; durable when it returns.
    ///
    /// # Errors
    /// [`KeyValueError`].
    async fn insert(&self, key: &[u8], value: &[u8]) -> Result<(), KeyValueError>;

    /// Removes `key`; whether it was there.
    ///
    /// # Errors
    /// [`KeyValueError::Storage`].
    async fn remove(&self, key: &[u8]) -> Result<bool, KeyValueError>;
}

/// Why an operation on a map failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyValueError {
    /// The key or the value is longer than the store takes.
    TooLong,
    /// The store is full.
    Full,
    /// The storage under it failed.
    Storage,
}

impl fmt::Display for KeyValueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            KeyValueError::TooLong => "the key or value is too long",
            KeyValueError::Full => "the store is full",
            KeyValueError::Storage => "the storage failed",
        })
    }
}

impl core::error::Error for KeyValueError {}
