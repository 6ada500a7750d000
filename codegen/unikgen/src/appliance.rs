//! From what was named on the command line to an analysed appliance.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use unik_catalogue::Target;
use unik_codegen::build::Built;
use unik_codegen::{BakedSet, UserCrate};
use unik_dsl::diagnostic::format;
use unik_dsl::plan::CrateSource;
use unik_dsl::{Analysis, Catalogue, Diagnostic, Plan, Request, SourceMap, analyse, diagnostic};

use crate::backend;
use crate::cli::{Format, Parameters, TargetChoice};
use crate::command::output;
use crate::exit::{self, Reported};
use crate::ui::{self, Ui};

/// What a FILE argument turned out to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// A `.unik` file on its own: the generator makes the crate.
    File(PathBuf),
    /// A crate that uses `unik::appliance!`.
    Crate {
        /// The crate.
        user: UserCrate,
        /// The `.unik` file that the macro names.
        file: PathBuf,
    },
    /// A built image or program.
    Image(PathBuf),
}

impl Subject {
    /// The `.unik` file, if it isn't an image.
    pub fn unik_file(&self) -> Option<&Path> {
        match self {
            Subject::File(file) | Subject::Crate { file, .. } => Some(file),
            Subject::Image(_) => None,
        }
    }
}

/// Finds out what `named` is; nothing means the current folder.
///
/// # Errors
/// When it doesn't exist, or a folder holds none or several `.unik` files.
pub fn locate(named: Option<&Path>) -> anyhow::Result<Subject> {
    let path = named.unwrap_or(Path::new("."));
    let kind = std::fs::metadata(path)
        .map_err(|error| exit::usage(format!("can't find `{}`: {error}", path.display())))?;
    if kind.is_dir() {
        return in_folder(path, named.is_none());
    }
    if path.extension().is_some_and(|extension| extension == "unik") {
        return of_file(path.into());
    }
    Ok(Subject::Image(path.into()))
}

/// As [`locate`], where only a `.unik` file makes sense.
///
/// # Errors
/// As [`locate`], and for an image.
pub fn locate_file(named: Option<&Path>) -> anyhow::Result<Subject> {
    match locate(named)? {
        Subject::Image(path) => {
            Err(exit::usage(format!("`{}` is no .unik file (its name must end in .unik)", path.display())))
        }
        subject => Ok(subject),
    }
}

/// A file that a crate's macro names is built as that crate, from either end.
fn of_file(file: PathBuf) -> anyhow::Result<Subject> {
    Ok(match backend::user_crate(&file)? {
        Some(user) => Subject::Crate { user, file },
        None => Subject::File(file),
    })
}

fn in_folder(folder: &Path, current: bool) -> anyhow::Result<Subject> {
    if let Some(file) = macro_file(folder) {
        if !file.is_file() {
            return Err(exit::usage(format!(
                "unik::appliance! in {} names {}, which there isn't",
                folder.join("src/main.rs").display(),
                file.display()
            )));
        }
        return of_file(file);
    }
    let mut found: Vec<PathBuf> = std::fs::read_dir(folder)
        .map_err(|error| exit::usage(format!("can't list `{}`: {error}", folder.display())))?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "unik") && path.is_file())
        .collect();
    found.sort();
    // `./site.unik` in every message would be noise.
    let tidy = |path: &PathBuf| path.strip_prefix(".").unwrap_or(path).to_path_buf();
    let place = if current { "the current folder".to_string() } else { format!("`{}`", folder.display()) };
    match found.as_slice() {
        [only] => of_file(tidy(only)),
        [] => Err(exit::usage(format!(
            "there is no .unik file in {place}; name one, or make a project: unikgen new site"
        ))),
        several => {
            let names: Vec<String> = several.iter().map(|path| tidy(path).display().to_string()).collect();
            Err(exit::usage(format!(
                "there are several .unik files in {place}; name one of {}",
                names.join(", ")
            )))
        }
    }
}

/// The file that `unik::appliance!("…")` in `src/main.rs` of this folder's crate names, if
/// there is one. Only a first look, to find the file; whether the macro is really there is
/// then asked of the generator.
fn macro_file(folder: &Path) -> Option<PathBuf> {
    if !folder.join("Cargo.toml").is_file() {
        return None;
    }
    let text = std::fs::read_to_string(folder.join("src/main.rs")).ok()?;
    let file = folder.join(named_by_macro(&text)?);
    Some(file.strip_prefix(".").map(Path::to_path_buf).unwrap_or(file))
}

/// The argument of `appliance!("…")` outside of comments.
fn named_by_macro(text: &str) -> Option<&str> {
    text.lines().map(str::trim_start).filter(|line| !line.starts_with("//")).find_map(|line| {
        let (_, rest) = line.split_once("appliance!")?;
        let rest = rest.trim_start().strip_prefix(['(', '{', '['])?;
        let (name, _) = rest.trim_start().strip_prefix('"')?.split_once('"')?;
        (!name.is_empty()).then_some(name)
    })
}

/// The built-in components.
///
/// # Errors
/// When a component's own table is wrong: a bug of ours.
pub fn catalogue() -> anyhow::Result<Catalogue> {
    Ok(Catalogue::from_components(unik_builtin::components()?))
}

/// A checked appliance: its plan, and the texts that places point into.
#[derive(Debug)]
pub struct Checked {
    /// What is in the image.
    pub plan: Plan,
    /// The texts.
    pub sources: SourceMap,
    /// What the host halves of its components made of it.
    pub baked: BakedSet,
}

impl Checked {
    /// The files and folders that it is made of: `.unik` files, what host halves have read, and
    /// the crates that it names by path.
    pub fn made_of(&self) -> impl Iterator<Item = PathBuf> {
        let crates = self.plan.crates.iter().filter_map(|named| match &named.source {
            CrateSource::Path(folder) => Some(folder),
            _ => None,
        });
        self.plan.sources.iter().chain(&self.baked.dependencies).chain(crates).cloned()
    }
}

/// Checks a file, the host halves of its components included, and gives what they baked.
///
/// # Errors
/// When the catalogue itself is wrong, what is denied is allowed, too, or the host half of a
/// third party can't be built for a reason that isn't its own.
pub fn analyse_file(file: &Path, parameters: &Parameters, ui: &Ui) -> anyhow::Result<(Analysis, BakedSet)> {
    let mut analysis = analyse_text(file, &BTreeMap::new(), parameters, ui)?;
    let baked = backend::check_host_halves(&mut analysis, parameters.offline, ui)?;
    if let Some(plan) = &analysis.plan {
        let orphans = unik_codegen::handlers::without_crate(plan, &analysis.sources);
        // Only then is it worth looking for a crate that names this file.
        if !orphans.is_empty() && backend::user_crate(file)?.is_none() {
            analysis.diagnostics.extend(orphans);
            analysis.plan = None;
        }
    }
    parameters.levels()?.apply(&mut analysis.diagnostics);
    diagnostic::sort(&mut analysis.diagnostics);
    if fails(&analysis.diagnostics) {
        analysis.plan = None;
    }
    Ok((analysis, baked))
}

/// What the checker itself says of a file, with `texts` in place of what is on disk.
///
/// # Errors
/// When the catalogue itself is wrong, or what is denied is allowed, too.
pub fn analyse_text(
    file: &Path,
    texts: &BTreeMap<PathBuf, String>,
    parameters: &Parameters,
    ui: &Ui,
) -> anyhow::Result<Analysis> {
    let catalogue = catalogue()?;
    let fetch = backend::OnDemand::new(&catalogue, parameters, ui);
    let own = file.canonicalize().ok().and_then(|path| texts.get(&path).cloned());
    let secrets = secrets(parameters)?;
    let request = Request {
        texts: texts.clone(),
        target: parameters.target.map(target),
        set: &parameters.set,
        secrets: &secrets,
        levels: parameters.levels()?,
        fetch: Some(&fetch),
        ..Request::new(file, own)
    };
    Ok(analyse(&request, &catalogue))
}

/// The texts of `--set-file` and `--set-env`.
fn secrets(parameters: &Parameters) -> anyhow::Result<Vec<(String, String)>> {
    let mut secrets = Vec::new();
    for (name, file) in &parameters.set_file {
        secrets.push((name.clone(), text_of_file("--set-file", name, file)?));
    }
    for (name, variable) in &parameters.set_env {
        secrets.push((name.clone(), text_of_variable("--set-env", name, variable)?));
    }
    Ok(secrets)
}

/// The most bytes that a secret has.
const MAX_SECRET: u64 = 64 * 1024;

/// The text of a file without the end of its last line.
///
/// # Errors
/// When it can't be read, has more than 64 KiB, or is no text. The message doesn't show it.
pub fn text_of_file(flag: &str, name: &str, file: &str) -> anyhow::Result<String> {
    use std::io::Read as _;
    let fail = |why: String| exit::usage(format!("{flag} {name}={file}: {why}"));
    let mut bytes = Vec::new();
    std::fs::File::open(file)
        .and_then(|file| file.take(MAX_SECRET + 1).read_to_end(&mut bytes))
        .map_err(|error| fail(format!("can't read the file: {error}")))?;
    if bytes.len() as u64 > MAX_SECRET {
        return Err(fail("the file has more than 64 KiB".into()));
    }
    let mut text = String::from_utf8(bytes).map_err(|_| fail("the file is no UTF-8 text".into()))?;
    let end =
        text.strip_suffix('\n').map_or(text.len(), |rest| rest.strip_suffix('\r').unwrap_or(rest).len());
    text.truncate(end);
    Ok(text)
}

/// The text of a variable of the environment.
///
/// # Errors
/// When there is none, or it is no text. The message doesn't show it.
pub fn text_of_variable(flag: &str, name: &str, variable: &str) -> anyhow::Result<String> {
    std::env::var(variable).map_err(|error| {
        let why = match error {
            std::env::VarError::NotPresent => "there is no such variable in the environment",
            std::env::VarError::NotUnicode(_) => "the variable is no UTF-8 text",
        };
        exit::usage(format!("{flag} {name}={variable}: {why}"))
    })
}

/// Checks, prints what was found on standard error, and gives the plan.
///
/// # Errors
/// [`Reported`] when there are errors: they are printed then.
pub fn check(file: &Path, parameters: &Parameters, ui: &Ui) -> anyhow::Result<Checked> {
    check_as(file, parameters, Format::Human, ui)
}

/// As [`check`], with findings in a format that goes to standard output.
///
/// # Errors
/// As [`check`].
pub fn check_as(file: &Path, parameters: &Parameters, format: Format, ui: &Ui) -> anyhow::Result<Checked> {
    let (analysis, baked) = analyse_file(file, parameters, ui)?;
    output(&formatted(&analysis, format)?)?;
    if format == Format::Human {
        print(&analysis, ui);
    }
    match analysis.plan {
        Some(plan) => Ok(Checked { plan, sources: analysis.sources, baked }),
        None => Err(Reported.into()),
    }
}

/// Whether these findings stop the build.
pub fn fails(diagnostics: &[Diagnostic]) -> bool {
    diagnostics.iter().any(Diagnostic::is_error)
}

/// Findings in a format for standard output; nothing in that for people.
///
/// # Errors
/// When there is no current folder.
pub fn formatted(analysis: &Analysis, format: Format) -> anyhow::Result<String> {
    let (found, sources) = (&analysis.diagnostics, &analysis.sources);
    Ok(match format {
        Format::Human => String::new(),
        Format::Short => format::short(found, sources),
        Format::Json => format!("{:#}\n", format::json(found, sources)),
        Format::Sarif => {
            let here = std::env::current_dir().context("there is no current folder")?;
            let log = format::sarif(found, sources, Some(&here), env!("CARGO_PKG_VERSION"));
            format!("{log:#}\n")
        }
    })
}

/// Judges the image that was made of `checked` by what its file says that it may cost.
///
/// # Errors
/// [`Reported`] when it costs more; or when the image can't be read.
pub fn within_budget(
    checked: &Checked,
    made: &Built,
    parameters: &Parameters,
    ui: &Ui,
) -> anyhow::Result<()> {
    let Some(report) = &made.report else { return Ok(()) };
    let size =
        std::fs::metadata(&made.image).with_context(|| format!("can't read {}", made.image.display()))?.len();
    let mut found = unik_codegen::budget::judge(&checked.plan, &checked.sources, size, report);
    parameters.levels()?.apply(&mut found);
    print_found(&found, &checked.sources, ui);
    if fails(&found) { Err(Reported.into()) } else { Ok(()) }
}

/// Prints findings for people, on standard error.
pub fn print(analysis: &Analysis, ui: &Ui) {
    print_found(&analysis.diagnostics, &analysis.sources, ui);
}

/// Prints these findings for people, on standard error.
pub fn print_found(diagnostics: &[Diagnostic], sources: &SourceMap, ui: &Ui) {
    if diagnostics.is_empty() {
        return;
    }
    let colour = ui.err().0;
    let text = diagnostic::render_all(diagnostics, sources, colour);
    ui::stderr(&format!("{}\n", text.trim_end()));
    let errors = diagnostics.iter().filter(|diagnostic| diagnostic.is_error()).count();
    let warnings = diagnostics.len() - errors;
    let count = |count: usize, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
    let text = match (errors, warnings) {
        (0, warnings) => count(warnings, "warning"),
        (errors, 0) => count(errors, "error"),
        (errors, warnings) => format!("{}, {}", count(errors, "error"), count(warnings, "warning")),
    };
    ui.say("found", &text);
}

const fn target(choice: TargetChoice) -> Target {
    match choice {
        TargetChoice::Machine => Target::Machine,
        TargetChoice::Process => Target::Process,
        TargetChoice::Sim => Target::Sim,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_one_file_of_a_folder() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let error = locate(Some(folder.path())).unwrap_err();
        assert!(error.to_string().contains("there is no .unik file"), "{error}");
        std::fs::write(at("a.unik"), "").unwrap();
        assert_eq!(locate(Some(folder.path())).unwrap(), Subject::File(at("a.unik")));
        std::fs::write(at("b.unik"), "").unwrap();
        let error = locate(Some(folder.path())).unwrap_err().to_string();
        assert!(error.contains("a.unik") && error.contains("b.unik"), "{error}");
        assert_eq!(locate(Some(&at("b.unik"))).unwrap(), Subject::File(at("b.unik")));
        std::fs::write(at("b.img"), "").unwrap();
        assert_eq!(locate(Some(&at("b.img"))).unwrap(), Subject::Image(at("b.img")));
        assert_eq!(exit::code_of(&locate_file(Some(&at("b.img"))).unwrap_err()), exit::USAGE);
        assert_eq!(exit::code_of(&locate(Some(&at("none.unik"))).unwrap_err()), exit::USAGE);
    }

    #[test]
    fn a_crate_with_the_macro_is_a_crate_from_either_end() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir(at("src")).unwrap();
        std::fs::write(at("Cargo.toml"), "[package]\nname = \"x\"\n").unwrap();
        std::fs::write(at("src/main.rs"), "// appliance!(\"y.unik\")\nunik::appliance!(\"x.unik\");\n")
            .unwrap();
        std::fs::write(at("x.unik"), "").unwrap();
        std::fs::write(at("y.unik"), "").unwrap();
        let user = UserCrate { folder: folder.path().canonicalize().unwrap(), binary: "x".into() };
        let wanted = Subject::Crate { user, file: at("x.unik") };
        assert_eq!(locate(Some(folder.path())).unwrap(), wanted);
        assert_eq!(locate(Some(&at("x.unik"))).unwrap(), wanted);
        assert_eq!(locate(Some(&at("y.unik"))).unwrap(), Subject::File(at("y.unik")));
    }

    #[test]
    fn macro_argument() {
        assert_eq!(named_by_macro("unik::appliance!(\"a.unik\");"), Some("a.unik"));
        assert_eq!(named_by_macro("appliance! { \"a.unik\" }"), Some("a.unik"));
        assert_eq!(named_by_macro("  // appliance!(\"a.unik\")"), None);
        assert_eq!(named_by_macro("appliance!(NAME)"), None);
    }
}
