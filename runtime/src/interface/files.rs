//! `Files`: a tree of files.

use core::fmt;

/// A tree of files, addressed by paths with `/` between names and none at the start.
#[allow(async_fn_in_trait, reason = "one thread: no future here needs Send")]
pub trait Files: Clone + 'static {
    /// What is known of the file at `path`.
    ///
    /// # Errors
    /// [`FileError::NotFound`] when there is none.
    async fn metadata(&self, path: &str) -> Result<Metadata, FileError>;

    /// Reads from byte `offset` on into `buffer`; fewer bytes only at the end of the file.
    ///
    /// # Errors
    /// [`FileError`].
    async fn read(&self, path: &str, offset: u64, buffer: &mut [u8]) -> Result<usize, FileError>;
}

/// What is known of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metadata {
    /// Its length in bytes.
    pub length: u64,
    /// Whether it is a folder.
    pub is_folder: bool,
}

/// Why an operation on files failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileError {
    /// There is no such file.
    NotFound,
    /// It is a folder, and the operation needs a file.
    IsFolder,
    /// The storage under it failed.
    Storage,
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            FileError::NotFound => "no such file",
            FileError::IsFolder => "is a folder",
            FileError::Storage => "the storage failed",
        })
    }
}

impl core::error::Error for FileError {}
