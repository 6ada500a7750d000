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
    let changed = match appliance::locate(Some(&args.folder))? {
        Subject::Crate { user, file } => backend::sync(&user, &file, &args.parameters, args.check, ui)?,
        Subject::File(file) => match backend::unpack(&file, args.check, ui)? {
            Some(changed) => changed,
            None => return Err(nothing_to_do(args)),
        },
        Subject::Image(_) => return Err(nothing_to_do(args)),
    };
    Ok(if args.check && changed { FAILED } else { OK })
}

fn nothing_to_do(args: &Sync) -> anyhow::Error {
    exit::usage(format!(
        "`{}` holds no crate whose src/main.rs uses unik::appliance!(\"NAME.unik\"), and no Cargo.toml whose \
         [patch.crates-io] leads to .unik/src; to begin one: unikgen new NAME --template handler, or service",
        args.folder.display()
    ))
}
