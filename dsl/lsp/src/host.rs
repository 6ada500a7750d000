//! What the server asks of the program that it is part of.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use unik_catalogue::Component;
use unik_dsl::Analysis;
use unik_dsl::fetch::Fetch;

/// What the server itself can't know: the language has no part in it.
pub trait Host: Send + Sync {
    /// The built-in components.
    ///
    /// # Errors
    /// What is wrong with a table of ours.
    fn components(&self) -> Result<Vec<Component>, String>;

    /// What brings crates that a file names by git or version. Called beside the typing, never
    /// in it; it may use what is there already, and shouldn't wait for a network.
    fn fetch(&self) -> Option<&dyn Fetch> {
        None
    }

    /// Lets the host halves of the components look at a sound plan, and adds what they find.
    /// Called when nothing was typed for a moment. It builds nothing.
    fn deepen(&self, file: &Path, analysis: &mut Analysis) {
        let _ = (file, analysis);
    }

    /// What the last image of this file held; `None` where none was built.
    fn weights(&self, file: &Path) -> Option<Weights> {
        let _ = file;
        None
    }

    /// The handlers in the crate that names this file: their paths, and where each stands.
    fn handlers(&self, file: &Path) -> Vec<Handler> {
        let _ = file;
        Vec::new()
    }
}

/// The bytes of an image, and of its instances.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Weights {
    /// The bytes of the image's file.
    pub image: u64,
    /// By the name of an instance: bytes that it alone brought in, and those that others did, too.
    pub instances: HashMap<String, (u64, u64)>,
}

/// A handler of the user's crate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handler {
    /// Its path, as a file names it.
    pub name: String,
    /// The source that it stands in.
    pub file: PathBuf,
    /// The byte at which its name begins.
    pub at: usize,
}
