//! `unikgen verify`: an image, built again and compared.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::Context as _;

use crate::appliance::{self, Subject};
use crate::backend;
use crate::cli::Verify;
use crate::exit::{self, FAILED, OK, Outcome};
use crate::ui::Ui;

/// Builds again, and compares.
///
/// # Errors
/// When the first argument is no image, or the file can't be built.
pub fn run(args: &Verify, ui: &Ui) -> Outcome {
    let (image, record) = backend::image_and_record(&args.image)?;
    let subject = appliance::locate_file(args.file.as_deref())?;
    let Some(file) = subject.unik_file() else { return Ok(OK) };
    ui.say(
        "image",
        &format!(
            "{}, by unik {} (sources {}) and rustc {}, with the seed {}",
            args.image.display(),
            record.unik,
            record.sources,
            record.rustc,
            record.seed
        ),
    );
    if record.sources != backend::sources_hash() {
        ui.hint(&format!(
            "this unikgen has other sources ({}), and so makes another image; build with the one that built it",
            backend::sources_hash()
        ));
    }
    let place =
        tempfile::Builder::new().prefix("unikgen-verify-").tempdir().context("no folder to build in")?;
    let again = place.path().join("again.img");
    let mut command = Command::new(std::env::current_exe().context("can't find this program")?);
    command.env("UNIK_CACHE", place.path().join("cache")).arg("build").arg(file).arg("-o").arg(&again);
    command.args(["--target", "machine", "--seed", &record.seed.to_string()]);
    for (name, value) in &record.set {
        command.arg(format!("--set={name}={value}"));
    }
    if args.offline {
        command.arg("--offline");
    }
    if matches!(subject, Subject::Crate { .. }) {
        // What is verified is the crate as it is, and stays so.
        command.arg("--locked");
    }
    if !ui.is_verbose() {
        command.arg("--quiet");
    }
    ui.say("building", &format!("{} again, from nothing", file.display()));
    let status = command.stdin(Stdio::null()).status().context("can't run this program again")?;
    if !status.success() {
        // It has said why.
        return Ok(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(FAILED));
    }
    report(args, &image, &record, &again, place.path(), ui)
}

fn report(
    args: &Verify,
    image: &[u8],
    record: &backend::Record,
    again: &Path,
    place: &Path,
    ui: &Ui,
) -> Outcome {
    let (second, now) = backend::image_and_record(again)?;
    let other_tools = record.other_tools(&now);
    let twin = backend::twin_in(&place.join("cache"), &second)?;
    match backend::compare(image, &second, &twin)? {
        None => {
            let hash = backend::sha256(&args.image)?;
            ui.say("equal", &format!("{} is what the file builds, byte by byte", args.image.display()));
            ui.say("sha256", &hash);
            Ok(OK)
        }
        Some(difference) => {
            let tools = match other_tools.as_slice() {
                [] => String::new(),
                tools => format!("\n  it was built by other tools: {}", tools.join("; ")),
            };
            let hashes = format!(
                "\n  sha256 {}, and {} when built again",
                backend::sha256(&args.image)?,
                backend::sha256(again)?
            );
            ui.error(&anyhow::anyhow!(
                "{} is not what the file builds{tools}\n  {difference}{hashes}",
                args.image.display()
            ));
            Err(exit::Reported.into())
        }
    }
}
