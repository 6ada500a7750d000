//! What an image is judged by: the image, its report, its twin, and the components that there
//! are. For `audit`, `cost` and `diff`.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use unik_catalogue::Target;
use unik_codegen::audit::known::{Known, known};
use unik_codegen::audit::{Evidence, bill, binary, claims, dma, form, gate, loading};
use unik_codegen::image::{self, Report};

use crate::appliance::{self, Subject};
use crate::backend;
use crate::cli::{self, Parameters};
use crate::exit;
use crate::ui::Ui;

/// An image with what belongs to it, as far as it is there.
#[derive(Debug)]
pub struct Image {
    /// Where it is.
    pub path: PathBuf,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// The bytes of what is said to be its report.
    pub report: Option<Vec<u8>>,
    /// The bytes of what is said to be its twin.
    pub twin: Option<Vec<u8>>,
}

impl Image {
    /// The image that `file` names, or that is built from it; nothing means the current folder.
    ///
    /// # Errors
    /// When there is none, it can't be read, or it doesn't build.
    pub fn of(
        file: Option<&Path>,
        parameters: &Parameters,
        cargo: &cli::Cargo,
        ui: &Ui,
    ) -> anyhow::Result<Image> {
        let subject = appliance::locate(file)?;
        let Some(unik) = subject.unik_file() else {
            let Subject::Image(path) = subject else { return Err(exit::usage("it names nothing")) };
            return Image::at(&path);
        };
        let parameters = Parameters { offline: cargo.offline, ..parameters.clone() };
        let checked = appliance::check(unik, &parameters, ui)?;
        if checked.plan.target != Target::Machine {
            return Err(exit::usage(format!(
                "a program of the target {} is no image: only images are sealed",
                checked.plan.target.word()
            )));
        }
        let made = backend::build(&subject, &checked, &parameters, cargo, None, ui)?;
        Image::at(&made.image)
    }

    /// The image in this file. What belongs to it is looked for beside it and in the cache.
    ///
    /// # Errors
    /// When it can't be read, or isn't one of unik's.
    pub fn at(path: &Path) -> anyhow::Result<Image> {
        let bytes = read(path)?;
        image::report_hash(&bytes)
            .map_err(|error| exit::usage(format!("`{}` is no image of unik: {error}", path.display())))?;
        let twin = backend::twin_of(path).map(|twin| read(&twin)).transpose()?;
        // One beside it that isn't its own is worth saying, where there is no right one.
        let beside = [path.with_extension("report.json"), path.with_file_name("report.json")];
        let report = backend::report_text(path, &bytes)
            .or_else(|| beside.iter().find_map(|path| std::fs::read(path).ok()));
        Ok(Image { path: path.into(), bytes, report, twin })
    }

    /// With this report or twin instead of those that were found.
    ///
    /// # Errors
    /// When one can't be read.
    pub fn with(mut self, report: Option<&Path>, twin: Option<&Path>) -> anyhow::Result<Image> {
        if let Some(path) = report {
            self.report = Some(read(path)?);
        }
        if let Some(path) = twin {
            self.twin = Some(read(path)?);
        }
        Ok(self)
    }

    /// For the audit.
    pub fn evidence<'a>(&'a self, carried: &'a Carried) -> Evidence<'a> {
        Evidence {
            image: &self.bytes,
            report: self.report.as_deref(),
            twin: self.twin.as_deref(),
            known: &carried.known,
            ways: &carried.ways,
        }
    }

    /// What its gate is, in a line.
    ///
    /// # Errors
    /// When a note of the image is damaged.
    pub fn gate(&self) -> anyhow::Result<String> {
        Ok(gate::own::identity(&self.bytes)?)
    }

    /// Its report; only the one that it names by hash.
    ///
    /// # Errors
    /// When that isn't there.
    pub fn report(&self) -> anyhow::Result<Report> {
        let missing = || {
            exit::usage(format!(
                "the report of `{}` isn't here: it lies beside an image where `unikgen build` put it, as {}",
                self.path.display(),
                self.path.with_extension("report.json").display()
            ))
        };
        let bytes = self.report.as_deref().ok_or_else(missing)?;
        if !image::is_report_of(bytes, &self.bytes)? {
            return Err(missing());
        }
        let report = Report::from_json(&String::from_utf8_lossy(bytes))
            .map_err(|error| exit::usage(format!("`{}`: {error}", self.path.display())))?;
        let is_whole = binary::contents_hash(&self.bytes)? == report.contents
            && image::file_hash(&self.bytes)? == report.file
            && loading::check(&self.bytes)?.is_empty()
            && form::check(&self.bytes)?.is_empty();
        let is_said = claims::check(&self.bytes, &report).is_ok_and(|(_, found)| found.is_empty());
        if !is_whole || !is_said {
            return Err(exit::usage(format!(
                "`{}` isn't what was built: `unikgen audit` says more",
                self.path.display()
            )));
        }
        Ok(report)
    }
}

/// What the sources that this command carries say, for the audit.
#[derive(Debug)]
pub struct Carried {
    known: Vec<Known>,
    ways: Vec<dma::Ways>,
}

impl Carried {
    /// Reads them.
    ///
    /// # Errors
    /// When what the tool carries is damaged.
    pub fn read() -> anyhow::Result<Carried> {
        let files = unik_builtin::source_files().context("unik's own sources can't be unpacked")?;
        let all = || files.iter().map(|(path, bytes)| (path.as_path(), bytes.as_slice()));
        Ok(Carried { known: known(all()), ways: dma::tables(all()) })
    }
}

/// Refuses values for a `.unik` file where every one of `named` is an image: what is built
/// already takes none, and whoever gives some expects that they count.
///
/// # Errors
/// A usage error, then.
pub fn parameters_need_a_file(named: &[Option<&Path>], parameters: &Parameters) -> anyhow::Result<()> {
    let given = [
        ("--set", !parameters.set.is_empty()),
        ("--set-file", !parameters.set_file.is_empty()),
        ("--set-env", !parameters.set_env.is_empty()),
        ("--target", parameters.target.is_some()),
        ("--deny", !parameters.deny.is_empty()),
        ("--allow", !parameters.allow.is_empty()),
    ];
    let Some((name, _)) = given.into_iter().find(|(_, given)| *given) else { return Ok(()) };
    for named in named {
        if !matches!(appliance::locate(*named)?, Subject::Image(_)) {
            return Ok(());
        }
    }
    Err(exit::usage(format!("{name} is for a .unik file that is to be built: an image is as it is")))
}

/// Who brought something in, for people: `http`, `shared by http, ip`.
pub fn owners(share: &bill::Share) -> String {
    match share.owners.as_slice() {
        [one] => one.clone(),
        several if several.len() > 3 => format!("shared by {} of them", several.len()),
        several => format!("shared: {}", several.join(", ")),
    }
}

/// The lines that brought something in, for people, on one line.
pub fn lines(share: &bill::Share) -> String {
    match share.lines.as_slice() {
        [] if share.owners.len() == 1 => "in every appliance".into(),
        [] => String::new(),
        // Not the line's alone: the runtime, or the wiring, has it too.
        [line] if share.owners.len() > 1 => line.place.clone(),
        [line] => {
            let implied = if line.implies.is_some() { ", implied" } else { "" };
            format!("{} │ {}{implied}", line.place, line.text.trim_end_matches('{').trim())
        }
        several => {
            let mut places: Vec<&str> = several.iter().map(|line| line.place.as_str()).collect();
            places.dedup();
            places.join(", ")
        }
    }
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    // A device or a pipe may have no end.
    let unreadable = || format!("can't read {}", path.display());
    if !std::fs::metadata(path).with_context(unreadable)?.is_file() {
        return Err(exit::usage(format!("`{}` is no regular file", path.display())));
    }
    std::fs::read(path).with_context(unreadable)
}
