//! Crates that a file names by git or version: whoever analyses the file brings them.
//!
//! Nothing here reaches the network. A caller that can, hands in a [`Fetch`]; without one a
//! file that names such a crate has an error there.

use std::fmt::Debug;
use std::path::{Path, PathBuf};

use crate::plan::CrateSource;

/// A crate, as a file asks for it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Wanted {
    /// The package's name.
    pub name: String,
    /// Where it is to come from.
    pub origin: Origin,
}

/// Where a crate is to come from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Origin {
    /// A git repository.
    Git {
        /// Its address, as git takes it.
        url: String,
        /// Which state of it.
        reference: Reference,
    },
    /// crates.io, by a version requirement.
    Registry(String),
}

/// A state of a git repository.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Reference {
    /// The head of its default branch.
    Head,
    /// The head of this branch.
    Branch(String),
    /// This tag.
    Tag(String),
    /// This commit.
    Revision(String),
}

/// A crate that was brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// The folder with its `Cargo.toml`.
    pub folder: PathBuf,
    /// What exactly it is: a commit, or one version.
    pub source: CrateSource,
}

/// All crates that a file asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchedSet {
    /// One for each that was wanted, in that order.
    pub crates: Vec<Fetched>,
    /// What says which exactly.
    pub lock: LockFile,
}

/// The lock file beside a `.unik` file: which crates exactly it is made of, those too that
/// the named ones depend on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockFile {
    /// The file.
    pub path: PathBuf,
    /// Its text, in the form of a `Cargo.lock`.
    pub text: String,
}

/// Why they can't be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct FetchError {
    /// Index of the crate whose fault it is, where that can be told.
    pub of: Option<usize>,
    /// Why, in a few words.
    pub reason: String,
    /// More of it, or the way out; a paragraph each.
    pub helps: Vec<String>,
}

/// Brings crates.
pub trait Fetch: Debug {
    /// Brings the crates that the `.unik` file `file` asks for: all of them, or none.
    ///
    /// # Errors
    /// [`FetchError`].
    fn fetch(&self, file: &Path, wanted: &[Wanted]) -> Result<FetchedSet, FetchError>;
}
