//! `unikgen clean`: what builds left behind.

use crate::appliance;
use crate::backend;
use crate::cli::Clean;
use crate::exit::{OK, Outcome};
use crate::ui::{Ui, bytes};

/// Removes it.
///
/// # Errors
/// When something can't be removed.
pub fn run(args: &Clean, ui: &Ui) -> Outcome {
    let removed = if args.all {
        backend::clean_all()?
    } else {
        let subject = appliance::locate_file(args.file.as_deref())?;
        backend::clean(&subject)?
    };
    ui.say("removed", &bytes(removed));
    Ok(OK)
}
