//! The texts that the client has open, as they are there.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use lsp_types::{TextDocumentContentChangeEvent, Uri};

use crate::position::{Encoding, Lines, identity, path_of};

/// Texts that count in place of what is on disk, by what all paths of a file have in common.
pub type Buffers = BTreeMap<PathBuf, Arc<str>>;

/// A text that the client has open.
#[derive(Clone, Debug)]
pub struct Document {
    /// What the client calls it.
    pub uri: Uri,
    /// Its path; one that isn't saved yet has one that nothing is at.
    pub path: PathBuf,
    /// Its version, as the client counts.
    pub version: i32,
    /// The text.
    pub text: Arc<str>,
    /// Its lines.
    pub lines: Lines,
}

/// All open texts.
#[derive(Debug, Default)]
pub struct Documents {
    /// By what all paths of one file have in common.
    open: BTreeMap<PathBuf, Document>,
    /// Where a text without a path is supposed to be.
    folder: PathBuf,
}

impl Documents {
    /// None, yet. A text that isn't saved counts as one in `folder`.
    pub fn new(folder: PathBuf) -> Self {
        Documents { open: BTreeMap::new(), folder }
    }

    /// The path of `uri`, and what all paths of that file have in common.
    pub fn paths(&self, uri: &Uri) -> (PathBuf, PathBuf) {
        let unsaved = || {
            let name: String =
                uri.as_str().chars().map(|c| if c.is_alphanumeric() { c } else { '-' }).collect();
            self.folder.join(name + ".unik")
        };
        let path = path_of(uri).unwrap_or_else(unsaved);
        let same = identity(&path);
        (path, same)
    }

    /// Takes in a text that was opened.
    pub fn open(&mut self, uri: Uri, version: i32, text: String) {
        let (path, same) = self.paths(&uri);
        let lines = Lines::of(&text);
        self.open.insert(same, Document { uri, path, version, text: text.into(), lines });
    }

    /// Takes in what was changed; gives back `false` for a text that isn't open.
    pub fn change(
        &mut self,
        uri: &Uri,
        version: i32,
        changes: Vec<TextDocumentContentChangeEvent>,
        encoding: Encoding,
    ) -> bool {
        let same = self.paths(uri).1;
        let Some(document) = self.open.get_mut(&same) else { return false };
        let mut text = String::from(&*document.text);
        for change in changes {
            match change.range {
                None => text = change.text,
                Some(range) => {
                    let start = document.lines.offset(&text, range.start, encoding);
                    let end = document.lines.offset(&text, range.end, encoding);
                    text.replace_range(start.min(end)..end.max(start), &change.text);
                }
            }
            document.lines = Lines::of(&text);
        }
        document.text = text.into();
        document.version = version;
        true
    }

    /// Forgets a text that was closed.
    pub fn close(&mut self, uri: &Uri) -> Option<Document> {
        let same = self.paths(uri).1;
        self.open.remove(&same)
    }

    /// The open text of this file, given what all its paths have in common.
    pub fn at(&self, same: &std::path::Path) -> Option<&Document> {
        self.open.get(same)
    }

    /// The open text that the client calls so.
    pub fn document(&self, uri: &Uri) -> Option<&Document> {
        self.open.get(&self.paths(uri).1)
    }

    /// All of them, by path.
    pub fn iter(&self) -> impl Iterator<Item = (&PathBuf, &Document)> {
        self.open.iter()
    }

    /// Their texts, for the checker.
    pub fn buffers(&self) -> Buffers {
        self.open.iter().map(|(same, document)| (same.clone(), Arc::clone(&document.text))).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::str::FromStr as _;

    use lsp_types::{Position, Range};

    use super::*;

    #[test]
    fn edits_come_one_after_another() {
        let mut documents = Documents::new("/".into());
        let uri = Uri::from_str("file:///nowhere/a.unik").unwrap();
        documents.open(uri.clone(), 1, "µ1\r\nzwei".into());
        let edit = |from: (u32, u32), to: (u32, u32), text: &str| TextDocumentContentChangeEvent {
            range: Some(Range::new(Position::new(from.0, from.1), Position::new(to.0, to.1))),
            range_length: None,
            text: text.into(),
        };
        let changes = vec![edit((0, 1), (0, 2), "x\ny"), edit((1, 1), (2, 0), " ")];
        assert!(documents.change(&uri, 2, changes, Encoding::Utf16));
        let document = documents.document(&uri).unwrap();
        assert_eq!((&*document.text, document.version), ("µx\ny zwei", 2));
        assert!(documents.close(&uri).is_some());
        assert!(!documents.change(&uri, 3, Vec::new(), Encoding::Utf16));
    }
}
