//! The one way in: a file, checked and planned.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use unik_catalogue::Target;
use unik_catalogue::value::Place;

use crate::catalogue::Catalogue;
use crate::diagnostic::{self, Diagnostic, Levels, Severity, codes};
use crate::fetch::Fetch;
use crate::model;
use crate::plan::Plan;
use crate::planner;
use crate::removal;
use crate::source::SourceMap;

/// What is to be analysed.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    /// The `.unik` file.
    pub file: &'a Path,
    /// Its text, where that isn't what is on disk: an editor's buffer, standard input.
    pub text: Option<String>,
    /// The texts of other files, where they aren't what is on disk, each by the path that
    /// [`std::fs::canonicalize`] gives.
    pub texts: BTreeMap<PathBuf, String>,
    /// The target, where it isn't the file's own choice: `--target`.
    pub target: Option<Target>,
    /// Values of parameters: `--set NAME=VALUE`.
    pub set: &'a [(String, String)],
    /// What warnings are taken for: `--deny` and `--allow`.
    pub levels: Levels,
    /// The texts of secret parameters: `--set-file NAME=FILE`, `--set-env NAME=VARIABLE`.
    pub secrets: &'a [(String, String)],
    /// What brings the crates that the file names by git or version.
    pub fetch: Option<&'a dyn Fetch>,
}

impl<'a> Request<'a> {
    /// A request for `file`, with its own target and parameters.
    #[must_use]
    pub fn new(file: &'a Path, text: Option<String>) -> Self {
        Request {
            file,
            text,
            texts: BTreeMap::new(),
            target: None,
            set: &[],
            secrets: &[],
            levels: Levels::default(),
            fetch: None,
        }
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
    /// All components, those of the crates that the file names too.
    pub catalogue: Catalogue,
}

/// More than these are not shown: they are the same mistake, most of them.
const MAX_DIAGNOSTICS: usize = 100;

/// Analyses a file: never panics, ends in time linear in the text.
#[must_use]
pub fn analyse(request: &Request, catalogue: &Catalogue) -> Analysis {
    let (model, sources, mut diagnostics) = model::check(request, catalogue);
    let known = model.as_ref().map_or(catalogue, |model| &model.catalogue).clone();
    let plan = model.and_then(|model| planner::plan(model, &sources, &mut diagnostics));
    request.levels.apply(&mut diagnostics);
    let sound = !diagnostics.iter().any(Diagnostic::is_error);
    diagnostic::sort(&mut diagnostics);
    if diagnostics.len() > MAX_DIAGNOSTICS {
        // Errors go before warnings where not all can be shown.
        diagnostics.sort_by_key(|diagnostic| !diagnostic.is_error());
        let more = diagnostics.split_off(MAX_DIAGNOSTICS);
        let place = more.first().map_or(Place { source: 0, start: 0, end: 0 }, |first| first.primary.place);
        diagnostic::sort(&mut diagnostics);
        let message = format!("{} more errors and warnings are not shown", more.len());
        let mut last = Diagnostic::error(codes::TOO_MANY, place, message).label("the first of them is here");
        if sound {
            last.severity = Severity::Warning;
        }
        diagnostics.push(last);
    }
    for diagnostic in &mut diagnostics {
        let labels = diagnostic.secondary.iter_mut().map(|label| &mut label.text);
        let texts = labels.chain([&mut diagnostic.message, &mut diagnostic.primary.text]);
        texts.chain(&mut diagnostic.helps).for_each(shorten);
    }
    removal::propose(&mut diagnostics, &sources);
    Analysis { sources, diagnostics, plan: plan.filter(|_| sound), catalogue: known }
}

/// Leaves the ends of a text that repeats a word without end from the file.
fn shorten(text: &mut String) {
    const MOST: usize = 2_000;
    if text.len() > MOST {
        let (mut start, mut end) = (MOST / 2, text.len() - MOST / 4);
        while !text.is_char_boundary(start) {
            start -= 1;
        }
        while !text.is_char_boundary(end) {
            end += 1;
        }
        text.replace_range(start..end, " … ");
    }
}
