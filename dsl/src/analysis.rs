//! The one way in: a file, checked and planned.

use std::path::Path;

use unik_catalogue::Target;
use unik_catalogue::value::Place;

use crate::catalogue::Catalogue;
use crate::diagnostic::{Diagnostic, codes};
use crate::plan::Plan;
use crate::source::SourceMap;

/// What is to be analysed.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    /// The `.unik` file.
    pub file: &'a Path,
    /// Its text, where that isn't what is on disk: an editor's buffer, standard input.
    pub text: Option<String>,
    /// The target, where it isn't the file's own choice: `--target`.
    pub target: Option<Target>,
    /// Values of parameters: `--set NAME=VALUE`.
    pub set: &'a [(String, String)],
    /// Whether warnings stop the build: `--deny warnings`.
    pub deny_warnings: bool,
}

impl<'a> Request<'a> {
    /// A request for `file`, with its own target and parameters.
    #[must_use]
    pub fn new(file: &'a Path, text: Option<String>) -> Self {
        Request { file, text, target: None, set: &[], deny_warnings: false }
    }
}

/// What came of it.
#[derive(Debug)]
pub struct Analysis {
    /// The texts that places point into; source 0 is the file itself.
    pub sources: SourceMap,
    /// All that is wrong, in the order of the text.
    pub diagnostics: Vec<Diagnostic>,
    /// The plan; `None` when there are errors.
    pub plan: Option<Plan>,
}

/// Analyses a file: never panics, ends in time linear in the text.
#[must_use]
pub fn analyse(request: &Request, catalogue: &Catalogue) -> Analysis {
    let _ = catalogue;
    let mut sources = SourceMap::default();
    let source = sources.add(request.file, request.text.clone().unwrap_or_default());
    let place = Place { source, start: 0, end: 0 };
    let diagnostics = vec![Diagnostic::error(codes::NOT_SUPPORTED, place, "the checker is still being built")];
    Analysis { sources, diagnostics, plan: None }
}
