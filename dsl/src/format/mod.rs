//! The one layout of a `.unik` file.
//!
//! - A block or list that was written on one line stays there if it fits in [`WIDTH`] columns;
//!   otherwise what it holds takes a line each, [`INDENT`] blanks further in. Several lines are
//!   never joined into one.
//! - Between entries on lines of their own stands no `;`. One blank line is kept where there are
//!   some, and none at the ends of a block.
//! - There is one blank between values, `{ a; b }` and `[a, b]`; a list over several lines has a
//!   comma behind its last value, too.
//! - In neighbouring lines that declare the same (`device`, …, `let`), the `=` stand below each
//!   other; so do comments that end neighbouring lines.
//! - Comments stay where they are, strings and numbers as they are written.
//!
//! | step | module |
//! |---|---|
//! | text → words, braces, comments | `token` |
//! | → what is in which block or list, which comment belongs to what | `tree` |
//! | → lines, without columns | `layout` |
//! | → text | `columns` |

mod columns;
mod layout;
mod token;
mod tree;

use crate::diagnostic::{Diagnostic, codes};
use crate::source::SourceMap;
use crate::syntax::{self, Context};

/// The columns that a line should not exceed.
pub const WIDTH: usize = 100;
/// How many blanks a block is indented by.
pub const INDENT: usize = 4;

/// Lays out `text`, a whole file or one that another includes. What it says stays the same,
/// and doing it again changes nothing.
///
/// # Errors
/// What is wrong with the syntax of `text`, with places in source 0: then there is no telling
/// what was meant, and nothing is laid out. What is wrong beyond syntax (an unknown key, a
/// gateway outside of its network) doesn't matter.
///
/// ```
/// let text = "appliance a{memory 4   MiB;log level info}";
/// let laid_out = "appliance a { memory 4 MiB; log level info }\n";
/// assert_eq!(unik_dsl::format::format(text).unwrap(), laid_out);
/// ```
pub fn format(text: &str) -> Result<String, Vec<Diagnostic>> {
    sound(text)?;
    let tokens = token::tokens(text);
    let lines = layout::lines(&tree::read(&tokens));
    Ok(columns::text(lines))
}

/// Whether `text` can be read, wherever it may be included.
fn sound(text: &str) -> Result<(), Vec<Diagnostic>> {
    let mut sources = SourceMap::default();
    let number = sources.add("", text);
    let mut best: Option<(usize, Vec<Diagnostic>)> = None;
    for context in [Context::Top, Context::Appliance] {
        let mut diagnostics = Vec::new();
        syntax::parse(&sources, number, context, &mut diagnostics);
        diagnostics.retain(Diagnostic::is_error);
        if diagnostics.is_empty() {
            return Ok(());
        }
        // Where least is out of place, the text belongs.
        let misplaced = diagnostics.iter().filter(|diagnostic| diagnostic.code == codes::MISPLACED).count();
        if best.as_ref().is_none_or(|(least, _)| misplaced < *least) {
            best = Some((misplaced, diagnostics));
        }
    }
    Err(best.map(|(_, diagnostics)| diagnostics).unwrap_or_default())
}

#[cfg(test)]
mod tests;
