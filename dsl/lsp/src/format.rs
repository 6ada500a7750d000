//! The one layout, as edits.

use std::ops::Range;

use lsp_types::{DocumentFormattingParams, TextEdit};

use crate::server::Answer;
use crate::state::State;

/// The edits that bring a text into the one layout; none for a text that can't be read, which
/// its diagnostics tell.
///
/// # Errors
/// Never.
pub fn format(state: &State, params: &DocumentFormattingParams) -> Answer<Option<Vec<TextEdit>>> {
    let Some(document) = state.documents.document(&params.text_document.uri) else { return Ok(None) };
    let Ok(laid_out) = unik_dsl::format::format(&document.text) else { return Ok(None) };
    let edits = edits(&document.text, &laid_out).into_iter().map(|(bytes, new_text)| TextEdit {
        range: document.lines.range(&document.text, bytes, state.client.encoding),
        new_text,
    });
    Ok(Some(edits.collect()))
}

/// What makes `new` of `old`: only the lines that differ, so that the cursor stays where it is.
fn edits(old: &str, new: &str) -> Vec<(Range<usize>, String)> {
    // With what ends them.
    let (before, after): (Vec<&str>, Vec<&str>) =
        (old.split_inclusive('\n').collect(), new.split_inclusive('\n').collect());
    let length = |lines: &[&str]| lines.iter().map(|line| line.len()).sum::<usize>();
    if before.len() == after.len() {
        let mut at = 0;
        let mut found = Vec::new();
        for (line, other) in before.iter().zip(&after) {
            // What ends both stays.
            let ending = if line.ends_with('\n') && other.ends_with('\n') { 1 } else { 0 };
            if line != other {
                found.push((at..at + line.len() - ending, other[..other.len() - ending].to_string()));
            }
            at += line.len();
        }
        return found;
    }
    let least = before.len().min(after.len());
    let first = (0..least).take_while(|&line| before[line] == after[line]).count();
    let same_back = |back: &usize| before[before.len() - back] == after[after.len() - back];
    let last = (1..=least - first).take_while(same_back).count();
    let start = length(&before[..first]);
    let end = start + length(&before[first..before.len() - last]);
    vec![(start..end, after[first..after.len() - last].concat())]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edits_make_the_new_text() {
        for (old, new) in [
            ("", ""),
            ("a\n", "a\n"),
            ("a\nb\nc\n", "a\nB\nc\n"),
            ("a\nb\nc", "a\nc\n"),
            ("a\nc\n", "a\nb\nc\n"),
            ("\n\na", "a\n"),
            ("a", "a\n"),
            ("a\n\n\n", "a\n"),
            ("x{a}", "x {\n    a\n}\n"),
            ("a\na\na\n", "a\na\n"),
        ] {
            let mut text = old.to_string();
            for (range, replacement) in edits(old, new).into_iter().rev() {
                text.replace_range(range, &replacement);
            }
            assert_eq!(text, new, "from {old:?}");
        }
    }
}
