//! Fixes that leave an entry out: where it adds nothing, or is one too many.
//!
//! They are the same for many codes, and need to know where the whole entry ends; so they
//! are found at the end, and only for what is shown.

use std::collections::BTreeMap;
use std::ops::Range;

use unik_catalogue::value::Place;

use crate::diagnostic::{Code, Diagnostic, Fix, codes};
use crate::source::SourceMap;
use crate::syntax;

/// Codes that leaving the entry out would mend. What is unused may be so by mistake: only
/// what is there twice is certainly not missed.
const TOO_MUCH: &[Code] = &[codes::INCLUDED_TWICE, codes::UNREAD, codes::UNUSED, codes::VOID];

/// Adds such fixes to `diagnostics`. Takes time linear in the texts that these are about.
pub fn propose(diagnostics: &mut [Diagnostic], sources: &SourceMap) {
    let mut extents: BTreeMap<usize, Vec<Range<usize>>> = BTreeMap::new();
    let mut extent = |place: Place| -> Option<Place> {
        let source = sources.source(place.source).filter(|source| source.is_file)?;
        let all = extents.entry(place.source).or_insert_with(|| syntax::extents(&source.text));
        // The innermost that holds the place: the last that begins before it.
        let at = all.partition_point(|range| range.start <= place.start);
        let range = all[..at].iter().rev().find(|range| range.end >= place.end)?;
        Some(Place { source: place.source, start: range.start, end: range.end })
    };
    let out = |fix: Fix, place: Place| {
        let source = sources.source(place.source)?;
        let range = with_its_space(&source.text, place.start..place.end);
        Some(fix.remove(Place { start: range.start, end: range.end, ..place }))
    };
    for diagnostic in diagnostics {
        let code = diagnostic.code;
        let here = diagnostic.primary.place;
        let fixes: Vec<Option<Fix>> = if TOO_MUCH.contains(&code) && diagnostic.fixes.is_empty() {
            let fix = match code {
                codes::INCLUDED_TWICE => Fix::certain("leave it out"),
                _ => Fix::maybe("leave it out"),
            };
            vec![extent(here).and_then(|place| out(fix, place))]
        } else if code == codes::REPEATED || code == codes::EXCLUDES {
            let Some(other) = diagnostic.secondary.first() else { continue };
            let (Some(this), Some(other)) = (extent(here), extent(other.place)) else { continue };
            if sources.text(this) == sources.text(other) {
                vec![out(Fix::certain("leave it out"), this)]
            } else {
                vec![out(Fix::maybe("leave this one out"), this), out(Fix::maybe("or the other one"), other)]
            }
        } else {
            continue;
        };
        diagnostic.fixes.extend(fixes.into_iter().flatten());
    }
}

/// An entry with what goes along with it: its line, where it has that for itself, or else the
/// `;` and the space between it and its neighbour.
fn with_its_space(text: &str, entry: Range<usize>) -> Range<usize> {
    let blank = |text: &str| text.bytes().all(|byte| byte.is_ascii_whitespace());
    let line = text[..entry.start].rfind('\n').map_or(0, |at| at + 1);
    let rest = &text[entry.end..];
    let end = rest.find('\n').map_or(text.len(), |at| entry.end + at + 1);
    let after = text[entry.end..end].trim_start();
    if blank(&text[line..entry.start]) && (after.is_empty() || after.starts_with("//")) {
        return line..end;
    }
    let spaces = |text: &str| text.len() - text.trim_start_matches([' ', '\t']).len();
    let gap = spaces(rest);
    if rest[gap..].starts_with(';') {
        let next = gap + 1;
        return entry.start..entry.end + next + spaces(&rest[next..]);
    }
    let before = text[..entry.start].trim_end_matches([' ', '\t']);
    let start = before.strip_suffix(';').map_or(entry.start, str::len);
    start..entry.end
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_goes_with_its_space() {
        for (text, entry, left) in [
            ("a {\n    b 1 // why\n    c 2\n}\n", "b 1", "a {\n    c 2\n}\n"),
            ("a { b 1; c 2 }", "b 1", "a { c 2 }"),
            ("a { b 1; c 2 }", "c 2", "a { b 1 }"),
            ("a { b 1 }", "b 1", "a {  }"),
            ("a\nb", "b", "a\n"),
            ("a; b /* x */\n", "b", "a /* x */\n"),
        ] {
            let start = text.find(entry).unwrap();
            let range = with_its_space(text, start..start + entry.len());
            assert_eq!(format!("{}{}", &text[..range.start], &text[range.end..]), left);
        }
    }
}
