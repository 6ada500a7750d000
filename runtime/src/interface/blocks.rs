//! `Blocks`: a block device.

use core::fmt;

/// A device of equal blocks, each written whole or not at all.
#[allow(async_fn_in_trait, reason = "one thread: no future here needs Send")]
pub trait Blocks: Clone + 'static {
    /// The size of a block in bytes: a power of two, 512 to 65536.
    fn block_size(&self) -> usize;

    /// How many blocks there are.
    fn block_count(&self) -> u64;

    /// Whether writes are refused.
    fn is_read_only(&self) -> bool;

    /// Reads blocks from number `first` on, until `buffer` is full.
    ///
    /// # Errors
    /// [`BlockError::Range`] when `buffer` isn't a whole number of blocks or ends past
    /// the last block; [`BlockError::Device`] when the device failed.
    async fn read(&self, first: u64, buffer: &mut [u8]) -> Result<(), BlockError>;

    /// Writes `data` to the blocks from number `first` on. Durable only after [`flush`](Self::flush).
    ///
    /// # Errors
    /// As [`read`](Self::read), and [`BlockError::ReadOnly`].
    async fn write(&self, first: u64, data: &[u8]) -> Result<(), BlockError>;

    /// Returns when all completed writes are durable.
    ///
    /// # Errors
    /// [`BlockError::Device`].
    async fn flush(&self) -> Result<(), BlockError>;
}

/// Why an operation on blocks failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlockError {
    /// Not whole blocks, or past the end.
    Range,
    /// The device refuses writes.
    ReadOnly,
    /// The device reported a failure, or answered against its specification.
    Device,
}

impl fmt::Display for BlockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            BlockError::Range => "not whole blocks, or past the last block",
            BlockError::ReadOnly => "the device is read-only",
            BlockError::Device => "the device failed",
        })
    }
}

impl core::error::Error for BlockError {}
