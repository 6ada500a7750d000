//! `unikgen expand`: the generated Rust, for reading.

use super::output;
use crate::appliance;
use crate::backend;
use crate::cli::Expand;
use crate::exit::{OK, Outcome};
use crate::ui::Ui;

/// Prints it.
///
/// # Errors
/// When the file has errors, or a component's host half makes no Rust.
pub fn run(args: &Expand, ui: &Ui) -> Outcome {
    let subject = appliance::locate_file(args.appliance.file.as_deref())?;
    let Some(file) = subject.unik_file() else { return Ok(OK) };
    let checked = appliance::check(file, &args.appliance.parameters, ui)?;
    output(&if args.manifest { backend::manifest(&checked)? } else { backend::expand(&checked)? })?;
    Ok(OK)
}
