//! Changes of the text that mend what a diagnostic tells, and how they are made.

use std::collections::BTreeMap;

use unik_catalogue::value::Place;

use crate::source::SourceMap;

/// A change of the text that would mend what a diagnostic tells: all of its edits, or none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fix {
    /// What it does, such as "did you mean `port`?".
    pub message: String,
    /// Its edits, at least one. They don't overlap, and may be in several texts.
    pub edits: Vec<Edit>,
    /// Whether it may be made without asking.
    pub applicability: Applicability,
}

/// One place of a text, written anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    /// What is replaced; empty where something is inserted.
    pub place: Place,
    /// By what; empty where something is removed.
    pub replacement: String,
}

/// Whether a fix may be made without asking.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Applicability {
    /// Yes: it writes what was certainly meant, and nothing is left to fill in.
    Certain,
    /// No: something else may have been meant, or it leaves something to fill in.
    Maybe,
}

impl Applicability {
    /// `certain` or `maybe`.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Applicability::Certain => "certain",
            Applicability::Maybe => "maybe",
        }
    }
}

impl Fix {
    /// A fix with no edits yet, that may be made without asking.
    #[must_use]
    pub fn certain(message: impl Into<String>) -> Self {
        Fix { message: message.into(), edits: Vec::new(), applicability: Applicability::Certain }
    }

    /// A fix with no edits yet, for a person to choose.
    #[must_use]
    pub fn maybe(message: impl Into<String>) -> Self {
        Fix { applicability: Applicability::Maybe, ..Fix::certain(message) }
    }

    /// Writes `replacement` in place of what is at `place`.
    #[must_use]
    pub fn replace(mut self, place: Place, replacement: impl Into<String>) -> Self {
        self.edits.push(Edit { place, replacement: replacement.into() });
        self
    }

    /// Writes `text` before byte `at` of text `source`.
    #[must_use]
    pub fn insert(self, source: usize, at: usize, text: impl Into<String>) -> Self {
        self.replace(Place { source, start: at, end: at }, text)
    }

    /// Removes what is at `place`.
    #[must_use]
    pub fn remove(self, place: Place) -> Self {
        self.replace(place, "")
    }
}

/// What came of [`apply`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied<'a> {
    /// The texts that changed, by their numbers.
    pub texts: BTreeMap<usize, String>,
    /// The fixes that were made.
    pub made: Vec<&'a Fix>,
    /// The fixes that weren't: they touch what one before them changes, point outside of
    /// the texts, or into one that is no file (a value of `--set`).
    pub refused: Vec<&'a Fix>,
}

/// Makes `fixes`, as far as they don't touch each other; earlier ones go before later ones.
/// Two touch where they change one byte, or insert at one place.
pub fn apply<'a>(sources: &SourceMap, fixes: impl IntoIterator<Item = &'a Fix>) -> Applied<'a> {
    let mut applied = Applied::default();
    // What was taken so far: by text and first byte, so that neighbours are found at once.
    let mut taken: BTreeMap<(usize, usize), &Edit> = BTreeMap::new();
    for fix in fixes {
        if place_all(sources, fix, &mut taken) {
            applied.made.push(fix);
        } else {
            applied.refused.push(fix);
        }
    }
    let mut texts: BTreeMap<usize, (String, usize)> = BTreeMap::new();
    for (&(number, start), edit) in &taken {
        let Some(source) = sources.source(number) else { continue };
        let (text, done) = texts.entry(number).or_default();
        text.push_str(&source.written()[*done..start]);
        text.push_str(&edit.replacement);
        *done = edit.place.end;
    }
    for (number, (mut text, done)) in texts {
        let Some(source) = sources.source(number) else { continue };
        text.push_str(&source.written()[done..]);
        applied.texts.insert(number, text);
    }
    applied
}

/// Takes all edits of `fix`, or none.
fn place_all<'a>(sources: &SourceMap, fix: &'a Fix, taken: &mut BTreeMap<(usize, usize), &'a Edit>) -> bool {
    for (count, edit) in fix.edits.iter().enumerate() {
        if !fits(sources, edit, taken) {
            for edit in &fix.edits[..count] {
                taken.remove(&(edit.place.source, edit.place.start));
            }
            return false;
        }
        taken.insert((edit.place.source, edit.place.start), edit);
    }
    !fix.edits.is_empty()
}

/// Whether an edit is in a file, and touches none of those `taken`.
fn fits(sources: &SourceMap, edit: &Edit, taken: &BTreeMap<(usize, usize), &Edit>) -> bool {
    let Place { source: number, start, end } = edit.place;
    let Some(source) = sources.source(number).filter(|source| source.is_file) else { return false };
    // Ends are on boundaries of characters, and in order.
    if source.text.get(start..end).is_none() {
        return false;
    }
    let before = taken.range(..=(number, start)).next_back();
    let after = taken.range((number, start)..).next();
    let clear_before =
        before.is_none_or(|((other, at), edit)| *other != number || edit.place.end <= start && *at < start);
    let clear_after = after.is_none_or(|((other, at), _)| *other != number || *at >= end && *at > start);
    clear_before && clear_after
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sources() -> SourceMap {
        let mut sources = SourceMap::default();
        sources.add_file("a.unik", "one two three");
        sources.add_file("b.unik", "µ");
        sources.add("--set x", "value");
        sources
    }

    fn at(source: usize, start: usize, end: usize) -> Place {
        Place { source, start, end }
    }

    #[test]
    fn fixes_that_do_not_touch_are_made() {
        let sources = sources();
        let fixes = [
            Fix::certain("c").replace(at(0, 8, 13), "3").insert(1, 0, "<"),
            Fix::certain("a").insert(0, 0, "zero ").remove(at(0, 3, 7)),
            // It begins where another one ended.
            Fix::maybe("b").replace(at(0, 7, 8), "  "),
        ];
        let applied = apply(&sources, &fixes);
        assert_eq!(applied.texts, BTreeMap::from([(0, "zero one  3".into()), (1, "<µ".into())]));
        assert_eq!((applied.made.len(), applied.refused.len()), (3, 0));
    }

    #[test]
    fn what_nobody_is_shown_stays_as_it_is_written() {
        let mut sources = sources();
        sources.mask(at(0, 4, 7));
        assert_eq!(sources.text(at(0, 0, 13)), "one *** three");
        let fix = Fix::certain("a").replace(at(0, 8, 13), "3");
        let applied = apply(&sources, [&fix]);
        assert_eq!(applied.texts[&0], "one two 3");
    }

    #[test]
    fn the_first_of_two_that_touch_is_made() {
        let sources = sources();
        for (first, second) in [
            (at(0, 0, 3), at(0, 2, 5)),
            (at(0, 2, 5), at(0, 0, 3)),
            (at(0, 0, 7), at(0, 3, 4)),
            (at(0, 3, 4), at(0, 0, 7)),
            (at(0, 4, 4), at(0, 4, 4)),
            (at(0, 4, 4), at(0, 3, 6)),
            (at(0, 4, 4), at(0, 4, 6)),
            (at(0, 4, 6), at(0, 4, 4)),
        ] {
            let fixes = [
                Fix::certain("first").replace(first, "!"),
                Fix::certain("second").insert(1, 0, "?").replace(second, "?"),
            ];
            let applied = apply(&sources, &fixes);
            assert_eq!(applied.made, [&fixes[0]], "{first:?} {second:?}");
            assert_eq!(applied.refused, [&fixes[1]]);
            // Nothing of the second is made, not even what would fit.
            assert_eq!(applied.texts.keys().collect::<Vec<_>>(), [&0]);
        }
    }

    #[test]
    fn what_points_elsewhere_is_refused() {
        let sources = sources();
        let fixes = [
            Fix::certain("beyond the end").replace(at(0, 12, 14), "x"),
            Fix::certain("within a character").insert(1, 1, "x"),
            Fix::certain("backwards").replace(at(0, 3, 1), "x"),
            Fix::certain("of no text").insert(7, 0, "x"),
            Fix::certain("of no file").insert(2, 0, "x"),
            Fix::certain("nothing"),
            Fix::certain("of two minds").replace(at(0, 0, 3), "x").replace(at(0, 1, 2), "y"),
        ];
        let applied = apply(&sources, &fixes);
        assert_eq!(applied.refused.len(), fixes.len());
        assert!(applied.texts.is_empty() && applied.made.is_empty());
    }
}
