//! `unikgen clean`: what builds left behind.

use crate::appliance;
use crate::backend;
use crate::cli::{Clean, Parameters};
use crate::exit::{OK, Outcome};
use crate::ui::{Ui, bytes};

/// Removes it.
///
/// # Errors
/// When something can't be removed.
pub fn run(args: &Clean, ui: &Ui) -> Outcome {
    let removed = if args.all {
        backend::clean_all(args.dry_run)?
    } else {
        let subject = appliance::locate_file(args.file.as_deref())?;
        let Some(file) = subject.unik_file() else { return Ok(OK) };
        let checked = appliance::check(file, &Parameters::default(), ui)?;
        backend::clean(&subject, &checked.plan.appliance, args.dry_run)?
    };
    let word = if args.dry_run { "would remove" } else { "removed" };
    for (what, size) in &removed {
        ui.say(word, &format!("{:>10}  {what}", bytes(*size)));
    }
    let total = removed.iter().map(|(_, size)| size).sum();
    ui.say(word, &format!("{:>10}  in all", bytes(total)));
    Ok(OK)
}
