//! Diagnostics for machines: a line each, JSON, and SARIF.

mod json;
mod sarif;

use std::path::Path;

use unik_catalogue::value::Place;

pub use json::{JSON_VERSION, json};
pub use sarif::{sarif, uri};

use super::Diagnostic;
use crate::source::{Source, SourceMap};

/// One line each, as compilers and editors have it:
/// `FILE:LINE:COLUMN: error[CODE]: MESSAGE`. Lines and columns count from 1, columns in
/// characters.
#[must_use]
pub fn short(diagnostics: &[Diagnostic], sources: &SourceMap) -> String {
    let mut text = String::new();
    for diagnostic in diagnostics {
        if let Some((path, line, column)) = sources.position(diagnostic.primary.place) {
            text += &format!("{}:{line}:{column}: ", path.display());
        }
        let message: String =
            diagnostic.message.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        text += &format!("{}[{}]: {message}\n", diagnostic.severity_word(), diagnostic.code);
    }
    text
}

/// A stretch of a text, as lines and columns from 1. The end is behind its last character.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Region {
    line: usize,
    column: usize,
    end_line: usize,
    end_column: usize,
}

/// The region of `place`, with columns that count as `width` says.
fn region(source: &Source, place: Place, width: fn(&str) -> usize) -> Region {
    let at = source.clamp(place);
    let point = |at: usize| {
        let line = source.line(at);
        (line + 1, 1 + width(&source.text[source.line_range(line).start.min(at)..at]))
    };
    let ((line, column), (end_line, end_column)) = (point(at.start), point(at.end));
    Region { line, column, end_line, end_column }
}

/// A path without `.` and with no more `..` than it needs, as seen from `base` where it is
/// below that.
fn tidy(path: &Path, base: Option<&Path>) -> String {
    use std::path::Component;
    let below = base.and_then(|base| path.strip_prefix(base).ok()).unwrap_or(path);
    let mut parts: Vec<Component> = Vec::new();
    for part in below.components() {
        match (part, parts.last()) {
            (Component::CurDir, _) | (Component::ParentDir, Some(Component::RootDir)) => {}
            (Component::ParentDir, Some(Component::Normal(_))) => drop(parts.pop()),
            _ => parts.push(part),
        }
    }
    parts.iter().collect::<std::path::PathBuf>().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostic::codes;

    #[test]
    fn a_line_each() {
        let mut sources = SourceMap::default();
        let source = sources.add_file("a b.unik", "µ x\n");
        let place = Place { source, start: 3, end: 4 };
        let found = [
            Diagnostic::error(codes::UNCLOSED, place, "not\nclosed").help("never shown"),
            Diagnostic::warning(codes::UNUSED, Place { source: 7, ..place }, "nowhere"),
        ];
        assert_eq!(
            short(&found, &sources),
            "a b.unik:1:3: error[U0102]: not closed\nwarning[U0511]: nowhere\n"
        );
    }

    #[test]
    fn regions() {
        let mut sources = SourceMap::default();
        let number = sources.add_file("a.unik", "one\n😀 three\n");
        let source = sources.source(number).unwrap();
        let place = |start, end| Place { source: number, start, end };
        let characters = |text: &str| text.chars().count();
        let found = region(source, place(9, 14), characters);
        assert_eq!(found, Region { line: 2, column: 3, end_line: 2, end_column: 8 });
        let found = region(source, place(9, 14), |text| text.encode_utf16().count());
        assert_eq!((found.column, found.end_column), (4, 9));
        // An end of a line, and the end of the text.
        let found = region(source, place(3, 15), characters);
        assert_eq!(found, Region { line: 1, column: 4, end_line: 3, end_column: 1 });
    }

    #[test]
    fn paths() {
        for (path, tidied) in [
            ("a/b/../c.unik", "a/c.unik"),
            ("./a.unik", "a.unik"),
            ("../../a.unik", "../../a.unik"),
            ("a/../../b.unik", "../b.unik"),
            ("/w/x/a.unik", "x/a.unik"),
            ("/v/../a.unik", "/a.unik"),
            ("/../a.unik", "/a.unik"),
        ] {
            assert_eq!(tidy(Path::new(path), Some(Path::new("/w"))), tidied);
        }
    }
}
