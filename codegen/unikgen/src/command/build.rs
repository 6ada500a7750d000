//! `unikgen build`: the image, its report, and where they are.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use unik_catalogue::Target;
use unik_codegen::layout::Seed;

use super::output;
use crate::appliance;
use crate::backend;
use crate::cli::{Build, Cargo, Parameters, ReportFormat, SeedChoice};
use crate::exit::{self, OK, Outcome};
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
    let checked = appliance::check(file, &parameters, ui)?;
    let target = checked.plan.target;
    if target == Target::Process && args.report == Some(ReportFormat::Json) {
        return Err(exit::usage("--report is for images: a program of the target process has no report"));
    }
    if target == Target::Process && args.twin {
        return Err(exit::usage(
            "--twin is for images: a program of the target process has its symbols itself",
        ));
    }
    let place = args.output.clone().unwrap_or_else(|| beside(file, target));
    must_be_replaceable(&place)?;
    let seed = match args.seed {
        Some(_) if target == Target::Process => {
            return Err(exit::usage(
                "--seed is for images: the host lays out a program of the target process",
            ));
        }
        Some(SeedChoice::Fixed(seed)) => Some(seed),
        Some(SeedChoice::Random) => Some(Seed::random().context("can't draw a seed")?),
        None => None,
    };
    let made = backend::build(&subject, &checked, &parameters, &args.cargo, seed, ui)?;
    copy(&made.image, &place)?;
    if args.twin {
        copy(&made.twin, &place.with_extension("twin.elf"))?;
    }
    match &made.report_path {
        Some(report) => {
            let report_place = place.with_extension("report.json");
            copy(report, &report_place)?;
            ui.say("image", &format!("{}, and what is in it: {}", place.display(), report_place.display()));
            if let Some(report) = &made.report {
                ui.say("seed", &report.build.seed.to_string());
            }
            ui.say("sha256", &backend::sha256(&place)?);
            if args.report == Some(ReportFormat::Json) {
                let text = std::fs::read_to_string(report)
                    .with_context(|| format!("can't read {}", report.display()))?;
                output(&format!("{}\n", text.trim_end()))?;
            }
        }
        None => ui.say("program", &place.display().to_string()),
    }
    Ok(OK)
}

/// `site.unik` → `site.img`; a program is `site.bin`.
fn beside(file: &Path, target: Target) -> PathBuf {
    file.with_extension(match target {
        Target::Machine => "img",
        Target::Process => "bin",
    })
}

/// Refuses what an image can't take the place of, before there is one: `/dev/null`, a folder,
/// and any file that is no program, which may be what the appliance is made of.
fn must_be_replaceable(place: &Path) -> anyhow::Result<()> {
    let refuse = |why: &str| Err(exit::usage(format!("{} {why}", place.display())));
    let folder = place.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if !folder.is_dir() {
        return refuse("can't be written: its folder isn't there");
    }
    match std::fs::metadata(place) {
        Ok(there) if there.is_dir() => refuse("is a folder: `-o` wants the name of the image in it"),
        Ok(there) if !there.is_file() => {
            refuse("is no ordinary file, which alone an image can take the place of")
        }
        Ok(there) if there.len() > 0 && !starts_like_a_program(place)? => {
            refuse("is there already, and no image: remove it first, or take another name")
        }
        _ => Ok(()),
    }
}

fn starts_like_a_program(path: &Path) -> anyhow::Result<bool> {
    let mut start = [0; 4];
    let mut file =
        std::fs::File::open(path).with_context(|| format!("can't look into {}", path.display()))?;
    match file.read_exact(&mut start) {
        Ok(()) => Ok(start == *b"\x7fELF"),
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error).with_context(|| format!("can't look into {}", path.display())),
    }
}

/// Puts a file in place in one step: whoever runs the old one keeps it.
fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    let fail = || format!("can't write {}", to.display());
    let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let fresh = tempfile::Builder::new().prefix(".unikgen-").tempfile_in(folder).with_context(fail)?;
    std::fs::copy(from, fresh.path()).with_context(fail)?;
    fresh.persist(to).map_err(|error| error.error).with_context(fail)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beside_the_file() {
        assert_eq!(beside(Path::new("a/site.unik"), Target::Machine), Path::new("a/site.img"));
        assert_eq!(beside(Path::new("site.unik"), Target::Process), Path::new("site.bin"));
    }

    #[test]
    fn only_images_are_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("site.unik"), "appliance a {}").unwrap();
        std::fs::write(at("site.img"), b"\x7fELF and more").unwrap();
        std::fs::write(at("empty"), "").unwrap();
        for taken in [at("site.unik"), at("none/site.img"), folder.path().into(), "/dev/null".into()] {
            let error = must_be_replaceable(&taken).unwrap_err();
            assert_eq!(exit::code_of(&error), exit::USAGE, "{error}");
        }
        for free in [at("site.img"), at("empty"), at("new.img")] {
            must_be_replaceable(&free).unwrap();
        }
    }

    #[test]
    fn copies_replace_and_keep_the_mode() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("from"), "new").unwrap();
        std::fs::set_permissions(at("from"), std::fs::Permissions::from_mode(0o755)).unwrap();
        std::fs::write(at("to"), "old").unwrap();
        copy(&at("from"), &at("to")).unwrap();
        assert_eq!(std::fs::read_to_string(at("to")).unwrap(), "new");
        assert_eq!(std::fs::metadata(at("to")).unwrap().permissions().mode() & 0o777, 0o755);
        assert!(copy(&at("from"), &at("none/to")).is_err());
    }
}
