//! Diagnostics as text, in the manner of rustc.

use annotate_snippets::{AnnotationKind, Group, Level, Patch, Renderer, Snippet};
use std::collections::BTreeMap;
use std::ops::Range;

use super::{Diagnostic, Edit, Fix, Label, Severity};
use crate::source::{Source, SourceMap};

/// One diagnostic with the lines that it is about, ending in a newline. `colour` is
/// for terminals.
#[must_use]
pub fn render(diagnostic: &Diagnostic, sources: &SourceMap, colour: bool) -> String {
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let mut main = Group::with_title(level.primary_title(&diagnostic.message).id(diagnostic.code.as_str()));
    for (source, labels) in by_source(diagnostic) {
        if let Some(source) = sources.source(source) {
            main = main.element(snippet(source, &labels));
        }
    }
    for help in &diagnostic.helps {
        main = main.element(Level::HELP.message(help));
    }
    let mut report = vec![main];
    for fix in &diagnostic.fixes {
        let mut group = Group::with_title(Level::HELP.secondary_title(&fix.message));
        for (source, edits) in by_lines(fix, sources) {
            let start = edits.iter().map(|(at, _)| at.start).min().unwrap_or(0);
            let end = edits.iter().map(|(at, _)| at.end).max().unwrap_or(0);
            let (lines, first) = window(source, start..end);
            let mut snippet = Snippet::source(&source.text[lines.clone()])
                .path(source.path.to_string_lossy().into_owned())
                .line_start(first);
            for (at, edit) in edits {
                snippet = snippet
                    .patch(Patch::new(at.start - lines.start..at.end - lines.start, &edit.replacement));
            }
            group = group.element(snippet);
        }
        report.push(group);
    }
    let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
    let mut text = renderer.render(&report).to_string();
    text.push('\n');
    text
}

/// Several diagnostics, an empty line between two.
#[must_use]
pub fn render_all(diagnostics: &[Diagnostic], sources: &SourceMap, colour: bool) -> String {
    let texts: Vec<String> =
        diagnostics.iter().map(|diagnostic| render(diagnostic, sources, colour)).collect();
    texts.join("\n")
}

/// Edits of one text, each with the bytes that it changes.
type Edits<'a> = Vec<(Range<usize>, &'a Edit)>;

/// The edits of a fix, those together that touch the same lines.
fn by_lines<'a>(fix: &'a Fix, sources: &'a SourceMap) -> Vec<(&'a Source, Edits<'a>)> {
    let mut edits: Vec<&Edit> = fix.edits.iter().collect();
    edits.sort_by_key(|edit| (edit.place.source, edit.place.start));
    let mut groups: Vec<(&Source, Edits)> = Vec::new();
    let mut last = None;
    for edit in edits {
        let Some(source) = sources.source(edit.place.source) else { continue };
        let at = source.clamp(edit.place);
        let here = (edit.place.source, source.line(at.start));
        let end = (edit.place.source, source.line(at.end));
        match groups.last_mut() {
            Some((_, together)) if last == Some(here) => together.push((at, edit)),
            _ => groups.push((source, vec![(at, edit)])),
        }
        last = Some(end);
    }
    groups
}

/// The labels of each source, that of the primary place first.
fn by_source(diagnostic: &Diagnostic) -> Vec<(usize, Vec<(bool, &Label)>)> {
    let mut groups: BTreeMap<(bool, usize), Vec<(bool, &Label)>> = BTreeMap::new();
    let home = diagnostic.primary.place.source;
    groups.entry((false, home)).or_default().push((true, &diagnostic.primary));
    for label in &diagnostic.secondary {
        let source = label.place.source;
        groups.entry((source != home, source)).or_default().push((false, label));
    }
    groups.into_iter().map(|((_, source), labels)| (source, labels)).collect()
}

fn snippet<'a>(
    source: &'a Source,
    labels: &[(bool, &'a Label)],
) -> Snippet<'a, annotate_snippets::Annotation<'a>> {
    let ranges: Vec<Range<usize>> = labels.iter().map(|(_, label)| source.clamp(label.place)).collect();
    let start = ranges.iter().map(|range| range.start).min().unwrap_or(0);
    let end = ranges.iter().map(|range| range.end).max().unwrap_or(0);
    let (lines, first) = window(source, start..end);
    let mut snippet = Snippet::source(&source.text[lines.clone()])
        .path(source.path.to_string_lossy().into_owned())
        .line_start(first)
        .fold(true);
    for ((primary, label), range) in labels.iter().zip(ranges) {
        let kind = if *primary { AnnotationKind::Primary } else { AnnotationKind::Context };
        let mut annotation = kind.span(range.start - lines.start..range.end - lines.start);
        if !label.text.is_empty() {
            annotation = annotation.label(&label.text);
        }
        snippet = snippet.annotation(annotation);
    }
    snippet
}

/// The whole lines around `range`, and the number of the first, from 1. Only these are
/// given to the renderer, which looks at all that it gets.
fn window(source: &Source, range: Range<usize>) -> (Range<usize>, usize) {
    let first = source.line(range.start);
    let last = source.line(range.end);
    (source.line_range(first).start..source.line_range(last).end, first + 1)
}
