//! The walk through the folder.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use unik_catalogue::host::{Finding, Input};

use crate::Folder;

/// Folders inside each other, at most: more is a mistake.
const MAX_DEPTH: usize = 64;
/// Files at most, and findings at most: a folder with more isn't the one that was meant.
const MAX_FILES: usize = 65_536;
const MAX_FINDINGS: usize = 32;

/// What was found so far.
pub(crate) struct Walk<'a> {
    folder: &'a Folder,
    input: &'a Input,
    root: PathBuf,
    /// Name, with `/` between its parts → path.
    pub(crate) files: BTreeMap<String, PathBuf>,
    pub(crate) findings: Vec<Finding>,
}

impl<'a> Walk<'a> {
    pub(crate) fn new(folder: &'a Folder, input: &'a Input) -> Self {
        Walk { folder, input, root: PathBuf::new(), files: BTreeMap::new(), findings: Vec::new() }
    }

    pub(crate) fn all(&mut self) {
        match self.folder.path.canonicalize() {
            Ok(root) => {
                self.root = root.clone();
                self.folder(&self.folder.path.clone(), "", &mut vec![root]);
            }
            Err(error) => self.error(format!("can't read {}: {error}", self.folder.path.display())),
        }
    }

    fn error(&mut self, message: String) {
        self.findings.push(self.folder.finding(message));
    }

    /// Takes in `path`, whose names begin with `prefix`. `above` are the real paths of
    /// the folders from the root to it.
    fn folder(&mut self, path: &Path, prefix: &str, above: &mut Vec<PathBuf>) {
        let entries = match self.input.list(path) {
            Ok(entries) => entries,
            Err(error) => return self.error(format!("can't read {}: {error}", path.display())),
        };
        for entry in entries {
            if self.files.len() >= MAX_FILES || self.findings.len() >= MAX_FINDINGS {
                return;
            }
            let Some(name) = entry.file_name() else { continue };
            let Some(name) = name.to_str() else {
                self.error(format!("the name of {} is not UTF-8", entry.display()));
                continue;
            };
            if name.starts_with('.') && !self.folder.hidden && name != ".well-known" {
                continue;
            }
            let name = format!("{prefix}{name}");
            self.entry(&entry, name, above);
        }
    }

    fn entry(&mut self, path: &Path, name: String, above: &mut Vec<PathBuf>) {
        let real = match path.canonicalize() {
            Ok(real) => real,
            Err(error) => {
                let what = if path.is_symlink() { "the link " } else { "" };
                return self.error(format!("can't read {what}{}: {error}", path.display()));
            }
        };
        if !real.starts_with(&self.root) {
            let message =
                format!("the link {} leads out of the folder, to {}", path.display(), real.display());
            let finding =
                self.folder.finding(message).help("copy the file, or embed a folder that holds both");
            return self.findings.push(finding);
        }
        if real.is_file() {
            self.files.insert(name, path.to_owned());
            if self.files.len() == MAX_FILES {
                self.error(format!("{} has {MAX_FILES} files or more", self.folder.path.display()));
            }
        } else if !real.is_dir() {
            self.error(format!("{} is neither a file nor a folder", path.display()));
        } else if above.contains(&real) {
            self.error(format!("the link {} leads to a folder that it is in", path.display()));
        } else if above.len() >= MAX_DEPTH {
            self.error(format!("{} is more than {MAX_DEPTH} folders deep", path.display()));
        } else {
            above.push(real);
            self.folder(path, &format!("{name}/"), above);
            above.pop();
        }
    }
}
