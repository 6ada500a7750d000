//! From lines to text: indentation, and the columns of neighbouring lines.

use super::{INDENT, WIDTH};

/// A line, or several where a comment has them. The default is a blank one.
#[derive(Debug, Default)]
pub struct Line<'a> {
    /// How many blocks and lists it stands in.
    pub depth: usize,
    /// What stands in it, without indentation.
    pub text: String,
    /// The comments at its end.
    pub comment: String,
    /// It is an entry, whole: its comment may stand below that of the line before.
    pub aligns: bool,
    /// What is declared in it, and the column of its `=`.
    pub declares: Option<(&'a str, usize)>,
}

/// How many blanks stand before a comment at the end of a line, at least.
const GAP: usize = 2;

/// The text of these lines.
pub fn text(mut lines: Vec<Line<'_>>) -> String {
    align_equals(&mut lines);
    let mut text = String::new();
    for run in lines.chunk_by(|one, next| in_column(one) && in_column(next) && one.depth == next.depth) {
        let width = if in_column(&run[0]) { run.iter().map(width).max().unwrap_or(0) } else { 0 };
        for line in run {
            if !line.text.is_empty() {
                text.extend(std::iter::repeat_n(' ', line.depth * INDENT));
                text.push_str(&line.text);
            }
            if !line.comment.is_empty() {
                let blanks = GAP + width.saturating_sub(self::width(line)) * usize::from(in_column(line));
                text.extend(std::iter::repeat_n(' ', blanks));
                text.push_str(&line.comment);
            }
            text.push('\n');
        }
    }
    text
}

/// Puts the `=` of neighbouring lines below each other, unless a line would become too long.
fn align_equals(lines: &mut [Line<'_>]) {
    let together = |one: &Line<'_>, next: &Line<'_>| match (one.declares, next.declares) {
        (Some((kind, _)), Some((next_kind, _))) => kind == next_kind && one.depth == next.depth,
        _ => false,
    };
    for run in lines.chunk_by_mut(together) {
        let column = |line: &Line<'_>| line.declares.map_or(0, |(_, column)| column);
        let furthest = run.iter().map(column).max().unwrap_or(0);
        let longest =
            run.iter().map(|line| line.depth * INDENT + width(line) + furthest - column(line)).max();
        if longest.is_some_and(|longest| longest > WIDTH) {
            continue;
        }
        for line in run {
            let at = column(line);
            // The column counts characters; names have one byte each.
            if line.text.is_char_boundary(at) {
                line.text.insert_str(at, &" ".repeat(furthest - at));
            }
        }
    }
}

fn in_column(line: &Line<'_>) -> bool {
    line.aligns && !line.comment.is_empty() && !line.comment.contains('\n')
}

/// The characters of a line.
fn width(line: &Line<'_>) -> usize {
    line.text.chars().count()
}
