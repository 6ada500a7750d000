//! The texts that diagnostics point into.

use std::ops::Range;
use std::path::{Path, PathBuf};

use unik_catalogue::value::Place;

/// All texts of one analysis: the `.unik` file, what it includes, values of `--set`,
/// and files that host halves read. A [`Place`] names one of them by number.
#[derive(Clone, Debug, Default)]
pub struct SourceMap {
    sources: Vec<Source>,
}

/// One text.
#[derive(Clone, Debug)]
pub struct Source {
    /// Its path as a person would write it, or `--set NAME`.
    pub path: PathBuf,
    /// Its text.
    pub text: String,
    /// Whether it is a file, which can be changed: a value of `--set` is none.
    pub is_file: bool,
    /// What is written there, where some of it was made illegible.
    written: Option<String>,
    /// The byte at which each line starts.
    lines: Vec<usize>,
}

impl SourceMap {
    /// Adds a text that is no file, such as a value of `--set`, and gives its number.
    pub fn add(&mut self, path: impl Into<PathBuf>, text: impl Into<String>) -> usize {
        self.push(path, text, false)
    }

    /// Adds the text of a file and gives its number.
    pub fn add_file(&mut self, path: impl Into<PathBuf>, text: impl Into<String>) -> usize {
        self.push(path, text, true)
    }

    fn push(&mut self, path: impl Into<PathBuf>, text: impl Into<String>, is_file: bool) -> usize {
        let text = text.into();
        let lines = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        self.sources.push(Source { path: path.into(), text, is_file, written: None, lines });
        self.sources.len() - 1
    }

    /// The source with this number, if there is one.
    #[must_use]
    pub fn source(&self, number: usize) -> Option<&Source> {
        self.sources.get(number)
    }

    /// The sources with their numbers.
    pub fn iter(&self) -> impl Iterator<Item = (usize, &Source)> {
        self.sources.iter().enumerate()
    }

    /// The text at `place`; empty when `place` points nowhere.
    #[must_use]
    pub fn text(&self, place: Place) -> &str {
        self.source(place.source).map_or("", |source| &source.text[source.clamp(place)])
    }

    /// What doc comments say, without the slashes.
    #[must_use]
    pub fn doc(&self, docs: &[Place]) -> String {
        let lines: Vec<&str> = docs
            .iter()
            .map(|place| self.text(*place).trim_start_matches("///"))
            .map(|line| line.strip_prefix(' ').unwrap_or(line).trim_end())
            .collect();
        lines.join("\n")
    }

    /// Makes the text at a place illegible, as long as it is: nobody is shown it from here on.
    pub fn mask(&mut self, place: Place) {
        let Some(source) = self.sources.get_mut(place.source) else { return };
        let range = source.clamp(place);
        let star = |byte: u8| if byte == b'\n' { '\n' } else { '*' };
        source.written.get_or_insert_with(|| source.text.clone());
        let stars: String = source.text[range.clone()].bytes().map(star).collect();
        source.text.replace_range(range, &stars);
    }

    /// The path, line and column of the start of `place`, both from 1, columns in
    /// characters.
    #[must_use]
    pub fn position(&self, place: Place) -> Option<(&Path, usize, usize)> {
        let source = self.source(place.source)?;
        let start = source.clamp(place).start;
        let line = source.line(start);
        let column = source.text[source.lines[line]..start].chars().count();
        Some((&source.path, line + 1, column + 1))
    }

    /// `web.unik:7`: how comments of generated code and reports name a place.
    #[must_use]
    pub fn short(&self, place: Place) -> String {
        self.position(place).map_or_else(String::new, |(path, line, _)| format!("{}:{line}", path.display()))
    }

    /// As [`short`](Self::short), but as seen from the folder of the first text, the `.unik`
    /// file itself: so it says the same in whatever folder that is.
    #[must_use]
    pub fn from_first(&self, place: Place) -> String {
        let first = self.sources.first().and_then(|source| source.path.parent());
        self.position(place).map_or_else(String::new, |(path, line, _)| {
            let path = first.and_then(|folder| path.strip_prefix(folder).ok()).unwrap_or(path);
            format!("{}:{line}", path.display())
        })
    }
}

impl Source {
    /// The text as it is written, with what nobody may be shown: for a text that takes its place.
    pub(crate) fn written(&self) -> &str {
        self.written.as_deref().unwrap_or(&self.text)
    }

    /// The index of the line that holds byte `at`.
    #[must_use]
    pub fn line(&self, at: usize) -> usize {
        self.lines.partition_point(|&start| start <= at).saturating_sub(1)
    }

    /// The bytes of line `index` without its newline.
    #[must_use]
    pub fn line_range(&self, index: usize) -> Range<usize> {
        let start = self.lines.get(index).copied().unwrap_or(self.text.len());
        let end = self.lines.get(index + 1).map_or(self.text.len(), |&next| next - 1);
        start..end.max(start)
    }

    /// The bytes of `place`, forced into the text and onto character boundaries.
    #[must_use]
    pub fn clamp(&self, place: Place) -> Range<usize> {
        let floor = |at: usize| {
            let mut at = at.min(self.text.len());
            while !self.text.is_char_boundary(at) {
                at -= 1;
            }
            at
        };
        let start = floor(place.start);
        start..floor(place.end).max(start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions() {
        let mut map = SourceMap::default();
        let source = map.add("a.unik", "unik 1\nµ x\n");
        let place = Place { source, start: 10, end: 11 };
        assert_eq!(map.text(place), "x");
        assert_eq!(map.position(place), Some((Path::new("a.unik"), 2, 3)));
        assert_eq!(map.short(place), "a.unik:2");
    }

    #[test]
    fn places_as_seen_from_the_first_text() {
        let mut map = SourceMap::default();
        for path in ["a/b/site.unik", "a/b/../base.unik", "/etc/common.unik"] {
            map.add(path, "unik 1\n");
        }
        let named = |source| map.from_first(Place { source, start: 0, end: 0 });
        assert_eq!([0, 1, 2].map(named), ["site.unik:1", "../base.unik:1", "/etc/common.unik:1"]);
    }

    #[test]
    fn places_from_elsewhere_do_no_harm() {
        let mut map = SourceMap::default();
        let source = map.add("a", "µ");
        assert_eq!(map.text(Place { source, start: 1, end: 99 }), "µ");
        assert_eq!(map.text(Place { source: 7, start: 0, end: 1 }), "");
        assert_eq!(map.position(Place { source, start: 99, end: 98 }), Some((Path::new("a"), 1, 2)));
    }
}
