//! `unikgen build`: the image, its report, and where they are.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use unik_catalogue::Target;
use unik_codegen::layout::Seed;

use super::output;
use crate::appliance;
use crate::backend;
use crate::cli::{Build, Cargo, Parameters, ReportFormat, SeedChoice};
use crate::exit::{self, OK, Outcome};
use crate::place::{self, Kind, copy};
use crate::ui::Ui;

/// Builds.
///
/// # Errors
/// When the file has errors, or the build fails.
pub fn run(args: &Build, ui: &Ui) -> Outcome {
    let subject = appliance::locate_file(args.appliance.file.as_deref())?;
    let Some(file) = subject.unik_file() else { return Ok(OK) };
    let Cargo { offline, locked } = args.cargo;
    let parameters = Parameters { offline, locked, ..args.appliance.parameters.clone() };
    let checked = appliance::check_as(file, &parameters, args.format, ui)?;
    let target = checked.plan.target;
    if target != Target::Machine && args.report == Some(ReportFormat::Json) {
        return Err(exit::usage(format!(
            "--report is for images: a program of the target {} has no report",
            target.word()
        )));
    }
    if target != Target::Machine && args.twin {
        return Err(exit::usage(format!(
            "--twin is for images: a program of the target {} has its symbols itself",
            target.word()
        )));
    }
    let to = args.output.clone().unwrap_or_else(|| beside(file, target));
    place::must_be_replaceable(&to, Kind::Program)?;
    let report_place = to.with_extension("report.json");
    let twin_place = to.with_extension("twin.elf");
    if target == Target::Machine {
        place::must_be_replaceable(&report_place, Kind::Report)?;
    }
    if args.twin {
        place::must_be_replaceable(&twin_place, Kind::Program)?;
    }
    let seed = match args.seed {
        Some(_) if target != Target::Machine => {
            return Err(exit::usage(format!(
                "--seed is for images: the host lays out a program of the target {}",
                target.word()
            )));
        }
        Some(SeedChoice::Fixed(seed)) => Some(seed),
        Some(SeedChoice::Random) => Some(Seed::random().context("can't draw a seed")?),
        None => None,
    };
    let made = backend::build(&subject, &checked, &parameters, &args.cargo, seed, ui)?;
    appliance::within_budget(&checked, &made, &parameters, ui)?;
    if !checked.plan.secrets().is_empty() {
        // A copy has the permissions of what it is one of.
        for path in [&made.image, &made.twin] {
            make_private(path)?;
        }
        ui.hint("a secret is in the image, for all who can read it: its file is yours alone");
    }
    copy(&made.image, &to)?;
    if args.twin {
        copy(&made.twin, &twin_place)?;
    }
    match &made.report_path {
        Some(report) => {
            copy(report, &report_place)?;
            ui.say("image", &format!("{}, and what is in it: {}", to.display(), report_place.display()));
            if let Some(report) = &made.report {
                ui.say("seed", &report.build.seed.to_string());
            }
            ui.say("sha256", &backend::sha256(&to)?);
            if args.report == Some(ReportFormat::Json) {
                let text = std::fs::read_to_string(report)
                    .with_context(|| format!("can't read {}", report.display()))?;
                output(&format!("{}\n", text.trim_end()))?;
            }
        }
        None => ui.say("program", &to.display().to_string()),
    }
    Ok(OK)
}

fn make_private(path: &Path) -> anyhow::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = std::fs::metadata(path)?.permissions().mode() & 0o700;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
        .with_context(|| format!("can't make {} private", path.display()))
}

/// `site.unik` → `site.img`; a program is `site.bin`.
fn beside(file: &Path, target: Target) -> PathBuf {
    file.with_extension(match target {
        Target::Machine => "img",
        Target::Process => "bin",
        Target::Sim => "sim",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beside_the_file() {
        assert_eq!(beside(Path::new("a/site.unik"), Target::Machine), Path::new("a/site.img"));
        assert_eq!(beside(Path::new("site.unik"), Target::Process), Path::new("site.bin"));
    }
}
