//! `unikgen sync`: a crate of the user's own, in step with its plan.

use crate::appliance::{self, Subject};
use crate::backend;
use crate::cli::Sync;
use crate::exit::{self, FAILED, OK, Outcome};
use crate::ui::Ui;

/// Brings it in step, or says what would change.
///
/// # Errors
/// When the folder holds no crate that uses the macro, or its file has errors.
pub fn run(args: &Sync, ui: &Ui) -> Outcome {
    let Subject::Crate { user, file } = appliance::locate(Some(&args.folder))? else {
        return Err(exit::usage(format!(
            "`{}` holds no crate whose src/main.rs uses unik::appliance!(\"NAME.unik\"); to begin one: unikgen new NAME --template service",
            args.folder.display()
        )));
    };
    let changed = backend::sync(&user, &file, &args.parameters, args.check, ui)?;
    Ok(if args.check && changed { FAILED } else { OK })
}
