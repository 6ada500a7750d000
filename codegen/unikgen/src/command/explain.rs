//! `unikgen explain`: one diagnostic in full.

use unik_dsl::diagnostic::codes;

use super::output;
use crate::exit::{self, OK, Outcome};
use crate::ui::{Tone, Ui};

/// Explains `code`, or lists all codes when there is none.
///
/// # Errors
/// When there is no such code.
pub fn run(code: &Option<String>, ui: &Ui) -> Outcome {
    let paint = ui.out();
    let Some(code) = code else {
        let lines: Vec<String> = codes::ALL
            .iter()
            .map(|entry| format!("{}  {}\n", paint.paint(Tone::Strong, entry.code.as_str()), entry.title))
            .collect();
        output(&lines.concat())?;
        return Ok(OK);
    };
    let Some(entry) = codes::explanation(code) else {
        return Err(exit::usage(format!(
            "there is no diagnostic `{code}`; `unikgen explain` lists them all"
        )));
    };
    let mut text = format!(
        "{}\n\n{}\n",
        paint.paint(Tone::Strong, &format!("{}: {}", entry.code, entry.title)),
        entry.text
    );
    for (title, example) in [("Wrong", entry.wrong), ("Right", entry.right)] {
        if !example.is_empty() {
            text.push_str(&format!("\n{}:\n", paint.paint(Tone::Strong, title)));
            for line in example.lines() {
                text.push_str(&format!("    {line}\n"));
            }
        }
    }
    output(&text)?;
    Ok(OK)
}
