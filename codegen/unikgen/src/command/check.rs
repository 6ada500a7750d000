//! `unikgen check`: every error and warning, for people and for machines.

use super::{mend, output};
use crate::appliance;
use crate::cli::{Check, Format};
use crate::exit::{FAILED, OK, Outcome};
use crate::ui::Ui;

/// Checks and reports; with `--fix`, after mending what can be mended without asking.
///
/// # Errors
/// When the file can't be found, or a mended one not written.
pub fn run(args: &Check, ui: &Ui) -> Outcome {
    let subject = appliance::locate_file(args.appliance.file.as_deref())?;
    let Some(file) = subject.unik_file() else { return Ok(OK) };
    let parameters = &args.appliance.parameters;
    if args.fix {
        mend::mend(file, parameters, ui)?;
    }
    let (analysis, _) = appliance::analyse_file(file, parameters, ui)?;
    output(&appliance::formatted(&analysis, args.format)?)?;
    if args.format == Format::Human {
        appliance::print(&analysis, ui);
        if analysis.diagnostics.is_empty() {
            ui.say("checked", &format!("{} is right", file.display()));
        }
        if !args.fix && mend::some_certain(&analysis) {
            ui.hint("some of it can be mended without asking: unikgen check --fix");
        }
    }
    Ok(if appliance::fails(&analysis.diagnostics) { FAILED } else { OK })
}
