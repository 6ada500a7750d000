//! A crate of a user's own.

use std::fs::File;
use std::path::{Path, PathBuf};

use crate::{cache, copy_folder};

/// The folder in which all tests have the crates of their users, one after the other.
///
/// `unikgen`, and cargo, keep what they compile for such a crate by its path: the generator too, which
/// its macro needs. In folders of their own each would compile it anew, for half a minute.
pub struct Project {
    folder: PathBuf,
    _alone: File,
}

impl Project {
    /// The name of the folder, for what is named after it.
    pub const NAME: &str = "mine";

    /// The folder, which isn't there yet; waits until nobody else has it.
    ///
    /// # Panics
    /// When it can't be locked, or what is left of another removed.
    #[must_use]
    pub fn new() -> Project {
        let above = cache().join("users");
        std::fs::create_dir_all(&above).expect("a folder");
        let alone = File::create(above.join("lock")).expect("a file");
        alone.lock().expect("a lock");
        let folder = above.join(Project::NAME);
        if folder.exists() {
            std::fs::remove_dir_all(&folder).expect("it can be removed");
        }
        Project { folder, _alone: alone }
    }

    /// The folder with a copy of `from`.
    ///
    /// # Panics
    /// As [`new`](Self::new), and when a file can't be copied.
    #[must_use]
    pub fn copy_of(from: &Path) -> Project {
        let project = Project::new();
        copy_folder(from, project.path());
        project
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.folder
    }

    /// The folder that it is in.
    ///
    /// # Panics
    /// Never: it is in one.
    #[must_use]
    pub fn above(&self) -> &Path {
        self.folder.parent().expect("it is in a folder")
    }

    /// The target folder of whoever uses plain cargo there.
    #[must_use]
    pub fn plain_target() -> PathBuf {
        cache().join("plain-target")
    }
}

impl Default for Project {
    fn default() -> Self {
        Project::new()
    }
}
