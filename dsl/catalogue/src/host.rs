//! The host half of a component: what only its own code can judge or prepare.
//!
//! A component that needs one has a std crate in its folder `host/`, with one type
//! that implements [`HostHalf`]. Everything here can be serialised, so that a host
//! half can run in a process of its own: those of third-party crates do.
//!
//! `check` and `bake` are functions of their input: same input and files, same
//! output. They read files through [`Input::read`] only, so that the generator knows
//! what to watch and what the image depends on.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::value::{Options, Place};

/// The host half of one component.
pub trait HostHalf {
    /// The component's name in the catalogue.
    fn component(&self) -> &str;

    /// Judges the options of one instance. The schema was checked before; this finds
    /// what only code can: a route pattern, the inside of a zone file.
    fn check(&self, input: &Input) -> Vec<Finding> {
        let _ = input;
        Vec::new()
    }

    /// Computes what the instance is given at its start. Called after every `check`
    /// came back without errors, providers before those that are wired to them.
    ///
    /// # Errors
    /// Findings, when something went wrong that `check` could not see.
    fn bake(&self, input: &Input) -> Result<Baked, Vec<Finding>>;
}

/// What a host half is given of its instance.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Input {
    /// The instance's name in the `.unik` file.
    pub instance: String,
    /// Its options, typed, with defaults filled in.
    pub options: Options,
    /// Name of an instance that this one is wired to or refers to → what that one
    /// offers at build time.
    pub offers: BTreeMap<String, Offer>,
    /// The target, `machine` or `process`.
    pub target: String,
    /// Files that were read; see [`Input::read`].
    #[serde(skip)]
    read: RefCell<BTreeSet<PathBuf>>,
}

impl Input {
    /// An input for `instance`.
    #[must_use]
    pub fn new(instance: &str, options: Options, offers: BTreeMap<String, Offer>, target: &str) -> Self {
        Input { instance: instance.into(), options, offers, target: target.into(), read: RefCell::default() }
    }

    /// Reads a file, and notes that the image depends on it.
    ///
    /// # Errors
    /// As [`std::fs::read`].
    pub fn read(&self, path: &Path) -> std::io::Result<Vec<u8>> {
        self.read.borrow_mut().insert(path.to_owned());
        std::fs::read(path)
    }

    /// Lists a folder, sorted by name, and notes that the image depends on it.
    ///
    /// # Errors
    /// As [`std::fs::read_dir`].
    pub fn list(&self, folder: &Path) -> std::io::Result<Vec<PathBuf>> {
        self.read.borrow_mut().insert(folder.to_owned());
        let mut entries =
            std::fs::read_dir(folder)?.map(|e| Ok(e?.path())).collect::<std::io::Result<Vec<_>>>()?;
        entries.sort();
        Ok(entries)
    }

    /// Notes that the image depends on files and folders that were read elsewhere: by a
    /// host half in a process of its own.
    pub fn depends_on(&self, paths: impl IntoIterator<Item = PathBuf>) {
        self.read.borrow_mut().extend(paths);
    }

    /// The files and folders that were read, for rebuilding when they change.
    #[must_use]
    pub fn dependencies(&self) -> Vec<PathBuf> {
        self.read.borrow().iter().cloned().collect()
    }
}

/// What an instance offers at build time to those wired to it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    /// A tree of files: path with `/` and none at the start → its bytes. Given by
    /// storage whose contents are fixed at build.
    pub files: Option<BTreeMap<String, Vec<u8>>>,
}

/// What `bake` made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Baked {
    /// Rust items for a module of the instance's own in the generated crate. They may
    /// name the component's crate, `core`, `alloc`, `unik`, the user's handlers as
    /// `crate::…`, and blobs as `include_bytes!("NAME")`.
    pub items: String,
    /// A Rust expression inside that module: the `baked` argument of `start`.
    pub value: String,
    /// Files beside the generated source: name → bytes.
    pub blobs: BTreeMap<String, Vec<u8>>,
    /// What those wired to this instance may use at build time.
    pub offer: Offer,
    /// Cargo features of the component's crate that only now turn out to be needed.
    pub features: BTreeSet<String>,
}

/// Something that a host half found, at its place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// Errors stop the build.
    pub severity: Severity,
    /// One line: what is wrong, with what was found.
    pub message: String,
    /// Where.
    pub at: At,
    /// One line: the way out.
    pub help: Option<String>,
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// Stops the build.
    Error,
    /// Doesn't, unless warnings are denied.
    Warning,
}

/// The place of a finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum At {
    /// The instance as a whole.
    Instance,
    /// A place in a `.unik` file: an [`Entry`](crate::Entry)'s.
    Place(Place),
    /// Bytes `start..end` inside a file that the host half read.
    File {
        /// The file.
        path: PathBuf,
        /// The first byte.
        start: usize,
        /// The byte after the last.
        end: usize,
    },
}

impl Finding {
    /// An error at `place`, or at the instance when there is none.
    #[must_use]
    pub fn error(place: Option<Place>, message: impl Into<String>) -> Self {
        Finding {
            severity: Severity::Error,
            message: message.into(),
            at: place.map_or(At::Instance, At::Place),
            help: None,
        }
    }

    /// Adds the way out.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}
