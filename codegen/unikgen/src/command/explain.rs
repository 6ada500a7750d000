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
        let way_out = match codes::nearest(code, codes::ALL.iter().map(|entry| entry.code)) {
            Some(near) => format!("did you mean `{near}`?"),
            None => "`unikgen explain` lists them all".into(),
        };
        return Err(exit::usage(format!("there is no diagnostic `{code}`; {way_out}")));
    };
    let mut text = format!(
        "{}\n\n{}\n",
        paint.paint(Tone::Strong, &format!("{}: {}", entry.code, entry.title)),
        entry.text
    );
    for (title, example) in entry.examples() {
        text.push_str(&format!("\n{}:\n", paint.paint(Tone::Strong, title)));
        for line in example.lines() {
            text.push_str(&format!("    {line}\n"));
        }
    }
    if entry.is_warning() {
        let options = format!("--deny {0} makes an error of it, --allow {0} leaves it out.", entry.code);
        text.push_str(&format!("\n{options}\n"));
    }
    output(&text)?;
    Ok(OK)
}
