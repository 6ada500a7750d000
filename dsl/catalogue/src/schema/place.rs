//! Where in a `Cargo.toml` something stands.

use std::fmt;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A place in the text of a `Cargo.toml`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spot {
    /// The bytes.
    pub range: Range<usize>,
    /// The line of the first, from 1.
    pub line: usize,
    /// Its column, from 1, in characters.
    pub column: usize,
    /// The text of the line.
    pub text: String,
}

impl Spot {
    /// The place `range` of `text`.
    #[must_use]
    pub fn new(text: &str, range: Range<usize>) -> Spot {
        let mut start = range.start.min(text.len());
        while !text.is_char_boundary(start) {
            start -= 1;
        }
        let (before, after) = text.split_at(start);
        let begin = before.rfind('\n').map_or(0, |at| at + 1);
        let end = after.find('\n').map_or(text.len(), |at| start + at);
        Spot {
            line: before.matches('\n').count() + 1,
            column: text[begin..start].chars().count() + 1,
            text: text[begin..end].trim_end().into(),
            range: start..range.end.max(start),
        }
    }
}

/// The line, and marks under the place.
impl fmt::Display for Spot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = self.line.to_string();
        let (margin, before) = (" ".repeat(number.len()), " ".repeat(self.column - 1));
        // A place of several lines is marked on the first.
        let rest = self.text.chars().count().saturating_sub(self.column - 1);
        let marks = "^".repeat((self.range.end - self.range.start).clamp(1, rest.max(1)));
        write!(f, "{margin} |\n{number} | {}\n{margin} | {before}{marks}", self.text.replace('\t', " "))
    }
}

/// A step from a table or array to what is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Key(String),
    Index(usize),
    /// The first value in it that is this text.
    Text(String),
    /// From this byte of the text that it is, to the end of a placeholder.
    Inside(usize),
}

impl From<&str> for Step {
    fn from(key: &str) -> Step {
        Step::Key(key.into())
    }
}

/// What is wrong, and the steps from the component's table to where.
pub(super) type Fault = (Vec<Step>, String);

/// The bytes of what `steps` lead to, from the root; where they lead to nothing, of the last thing on
/// the way. Of a table with a header, or dotted, it is the last part of its name.
pub(super) fn find(text: &str, steps: &[Step]) -> Option<Range<usize>> {
    let root = DeTable::parse(text).ok()?;
    let mut found = None;
    let mut table = Some(root.get_ref());
    let mut here: Option<&Spanned<DeValue>> = None;
    for step in steps {
        let next = match (step, here.map(Spanned::get_ref), table) {
            (Step::Key(key), _, Some(inside)) => {
                let Some((name, value)) = inside.iter().find(|(name, _)| name.get_ref() == key) else {
                    break;
                };
                // Inside of braces the value is a place of its own.
                let is_header = matches!(value.get_ref(), DeValue::Table(_))
                    && !text.get(value.span()).is_some_and(|text| text.starts_with('{'));
                found = Some(if is_header { name.span() } else { value.span() });
                value
            }
            (Step::Index(at), Some(DeValue::Array(array)), _) => {
                let Some(value) = array.get(*at) else { break };
                found = Some(value.span());
                value
            }
            (Step::Text(wanted), Some(value), _) => {
                found = containing(value, wanted).or(found);
                break;
            }
            (Step::Inside(at), Some(DeValue::String(value)), _) => {
                found = here.and_then(|here| inside(text, &here.span(), value, *at)).or(found);
                break;
            }
            _ => break,
        };
        here = Some(next);
        table = match next.get_ref() {
            DeValue::Table(table) => Some(table),
            _ => None,
        };
    }
    found
}

/// From byte `at` of `value`, which stands at `place`, to the end of its placeholder or word; `None` where
/// it isn't written letter by letter.
fn inside(text: &str, place: &Range<usize>, value: &str, at: usize) -> Option<Range<usize>> {
    let written = text.get(place.clone())?.get(1..)?;
    let rest = value.get(at..).filter(|_| written.starts_with(value))?;
    let ends = if rest.starts_with('<') { rest.find('>').map(|end| end + 1) } else { rest.find(' ') };
    let start = place.start + 1 + at;
    (!rest.is_empty()).then(|| start..start + ends.unwrap_or(rest.len()))
}

/// The first text in `value` that is `wanted`.
fn containing(value: &DeValue, wanted: &str) -> Option<Range<usize>> {
    let of = |inner: &Spanned<DeValue>| match inner.get_ref() {
        DeValue::String(text) => (*text == wanted).then(|| inner.span()),
        other => containing(other, wanted),
    };
    match value {
        DeValue::Table(table) => table.values().find_map(of),
        DeValue::Array(array) => array.iter().find_map(of),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "[a]\nb = \"ä\"\n[a.c.d]\nlist = [{ x = \"one\" }, { y = \"two\" }]\n[[a.e]]\nf = 1\n";

    fn at(steps: &[&str]) -> &'static str {
        let steps: Vec<Step> = steps
            .iter()
            .map(|step| match step.parse() {
                Ok(index) => Step::Index(index),
                Err(_) => {
                    step.strip_prefix('=').map_or_else(|| Step::from(*step), |text| Step::Text(text.into()))
                }
            })
            .collect();
        find(TEXT, &steps).map_or("", |range| &TEXT[range])
    }

    #[test]
    fn steps_lead_to_bytes() {
        for (steps, found) in [
            (&["a", "b"][..], "\"ä\""),
            (&["a", "c", "d"], "d"),
            (&["a", "c", "d", "list", "1"], "{ y = \"two\" }"),
            (&["a", "c", "d", "list", "=two"], "\"two\""),
            (&["a", "e", "0", "f"], "1"),
            (&["a", "c", "none", "list"], "c"),
            (&["none"], ""),
        ] {
            assert_eq!(at(steps), found, "{steps:?}");
        }
    }

    #[test]
    fn a_spot_shows_its_line() {
        let spot = Spot::new(TEXT, find(TEXT, &["a".into(), "b".into()]).unwrap());
        assert_eq!((spot.line, spot.column), (2, 5));
        assert_eq!(spot.to_string(), "  |\n2 | b = \"ä\"\n  |     ^^^");
        let end = Spot::new("x", 9..12);
        assert_eq!((end.line, end.column, end.to_string()), (1, 2, "  |\n1 | x\n  |  ^".into()));
    }
}
