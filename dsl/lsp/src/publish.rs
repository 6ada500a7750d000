//! Which diagnostics the client shows for which text: a text may be in several appliances.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use lsp_types::{Diagnostic, PublishDiagnosticsParams, Uri};

use crate::checker::Checked;

/// What is published.
#[derive(Debug, Default)]
pub struct Published {
    /// By what the client calls them.
    texts: BTreeMap<String, Text>,
}

#[derive(Debug)]
struct Text {
    uri: Uri,
    /// What was found, by the appliance that it was found for.
    found: BTreeMap<PathBuf, Found>,
}

#[derive(Debug)]
struct Found {
    diagnostics: Vec<Diagnostic>,
    is_source: bool,
}

impl Published {
    /// Takes in what was found for an appliance; gives what is to be sent.
    pub fn take(&mut self, checked: Checked) -> Vec<PublishDiagnosticsParams> {
        let Checked { root, files, deep, .. } = checked;
        let mut sent = Vec::new();
        for text in self.texts.values_mut() {
            // What host halves found in files of their own stands until they look again.
            let over = |found: &Found| deep || found.is_source;
            if !files.iter().any(|file| file.uri == text.uri) && text.found.get(&root).is_some_and(over) {
                text.found.remove(&root);
                sent.push(text.params(None));
            }
        }
        for file in files {
            let key = file.uri.as_str().to_string();
            let nothing = file.version.is_none() && file.diagnostics.is_empty();
            if nothing && !self.texts.get(&key).is_some_and(|text| text.found.contains_key(&root)) {
                continue;
            }
            let uri = file.uri;
            let text = self.texts.entry(key).or_insert_with(|| Text { uri, found: BTreeMap::new() });
            let found = Found { diagnostics: file.diagnostics, is_source: file.is_source };
            text.found.insert(root.clone(), found);
            sent.push(text.params(file.version));
        }
        self.texts.retain(|_, text| !text.found.is_empty());
        sent
    }

    /// Forgets what was found for an appliance; gives what is to be sent.
    pub fn forget(&mut self, root: &Path) -> Vec<PublishDiagnosticsParams> {
        let mut sent = Vec::new();
        for text in self.texts.values_mut() {
            if text.found.remove(root).is_some() {
                sent.push(text.params(None));
            }
        }
        self.texts.retain(|_, text| !text.found.is_empty());
        sent
    }

    /// The appliances for which something is published.
    pub fn roots(&self) -> BTreeSet<PathBuf> {
        self.texts.values().flat_map(|text| text.found.keys().cloned()).collect()
    }
}

impl Text {
    fn params(&self, version: Option<i32>) -> PublishDiagnosticsParams {
        let mut diagnostics: Vec<Diagnostic> = Vec::new();
        for diagnostic in self.found.values().flat_map(|found| &found.diagnostics) {
            if !diagnostics.contains(diagnostic) {
                diagnostics.push(diagnostic.clone());
            }
        }
        PublishDiagnosticsParams { uri: self.uri.clone(), diagnostics, version }
    }
}
