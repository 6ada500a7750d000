//! What the command asks of the generator: one place, so that the subcommands speak of
//! appliances and not of caches and lock files.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Context as _;
use unik_catalogue::{Component, Target};
use unik_codegen::build::{Built as Made, Job, Progress, UserCrate};
use unik_codegen::cache::kept;
use unik_codegen::foreign::Foreign;
use unik_codegen::helper::Workshop;
use unik_codegen::image::{self, Report};
use unik_codegen::layout::Seed;
use unik_codegen::manifest::Places;
use unik_codegen::note::DeviceManifest;
pub use unik_codegen::record::Record;
use unik_codegen::verify::Difference;
use unik_codegen::{BakedSet, Cache, Cargo, Error, HostHalves, Sources};
use unik_dsl::fetch::{Fetch, FetchError, FetchedSet, Wanted};
use unik_dsl::{Analysis, Catalogue};

use crate::appliance::{self, Checked, Subject};
use crate::cli::{self, Parameters, TargetChoice};
use crate::console::{NoSymbols, Symbols};
use crate::crash::Crashes;
use crate::exit::{self, environment};
use crate::last;
use crate::monitor::boot::Given;
use crate::monitor::{Needs, needs};
use crate::ui::{self, Ui, bytes, seconds};

/// Lets the host halves check their instances, and adds what they found. Their errors
/// leave no plan. Those of third parties are built first, once.
///
/// Gives what they baked.
///
/// # Errors
/// When a host half can't be built for a reason that isn't its own.
pub fn check_host_halves(analysis: &mut Analysis, offline: bool, ui: &Ui) -> anyhow::Result<BakedSet> {
    let Some(plan) = &analysis.plan else { return Ok(BakedSet::default()) };
    let mut halves = HostHalves::new(unik_builtin::host_halves());
    let is_foreign = |component: &Component| component.host.is_some() && halves.of(&component.name).is_none();
    let mut found = Vec::new();
    if plan.instances().any(|(_, node)| is_foreign(&node.component)) {
        let cargo = Cargo { program: std::env::var_os("CARGO"), offline, locked: false };
        let workshop = Workshop { cache: &cache()?, own: &own_sources(), cargo: &cargo };
        let mut building = |name: &str| ui.say("building", &format!("the host half of {name}, once"));
        found = workshop.fit_out(plan, &mut halves, &mut building).map_err(with_code)?;
    }
    let mut baked = BakedSet::default();
    if found.is_empty() {
        (baked, found) = unik_codegen::prepare(plan, &halves, &mut analysis.sources);
    }
    if found.iter().any(unik_dsl::Diagnostic::is_error) {
        analysis.plan = None;
    }
    analysis.diagnostics.extend(found);
    Ok(baked)
}

/// Brings the crates that a file names by git or version, in the cache: only a file that
/// names one needs a cache to be checked.
pub struct OnDemand<'a> {
    catalogue: &'a Catalogue,
    parameters: &'a Parameters,
    ui: &'a Ui,
}

impl<'a> OnDemand<'a> {
    /// For components of others that stand beside `catalogue`.
    pub fn new(catalogue: &'a Catalogue, parameters: &'a Parameters, ui: &'a Ui) -> Self {
        OnDemand { catalogue, parameters, ui }
    }
}

impl std::fmt::Debug for OnDemand<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OnDemand").finish_non_exhaustive()
    }
}

impl Fetch for OnDemand<'_> {
    fn fetch(&self, file: &Path, wanted: &[Wanted]) -> Result<FetchedSet, FetchError> {
        let cache = Cache::of_user().map_err(|error| FetchError {
            of: None,
            reason: error.to_string(),
            helps: Vec::new(),
        })?;
        let Parameters { offline, locked, .. } = *self.parameters;
        let cargo = Cargo { program: std::env::var_os("CARGO"), offline, locked };
        let fetching = |names: &str| self.ui.say("fetching", names);
        let fetcher = unik_codegen::Fetcher {
            cache: &cache,
            own: &own_sources(),
            cargo: &cargo,
            catalogue: self.catalogue,
            fetching: &fetching,
        };
        fetcher.fetch(file, wanted)
    }
}

/// The folder that builds share.
///
/// # Errors
/// When there is none and none can be made.
pub fn cache_folder() -> anyhow::Result<PathBuf> {
    Ok(cache()?.root().to_path_buf())
}

fn cache() -> anyhow::Result<Cache> {
    Cache::of_user().map_err(with_code)
}

fn own_sources() -> Sources {
    Sources::new(unik_builtin::sources(), unik_builtin::source_files)
}

/// The command that installs the C compiler and the C library.
pub const INSTALL_LINKER: &str = "sudo apt-get install gcc libc6-dev";

/// An error of the generator, with the exit code that its cause deserves.
fn with_code(error: Error) -> anyhow::Error {
    match error {
        Error::NoCache | Error::ForeignCache { .. } | Error::NoCargo { .. } => environment(error.to_string()),
        Error::NoLinker { .. } => environment(format!("{error}; mend it with: {INSTALL_LINKER}")),
        other => other.into(),
    }
}

/// The generated Rust, formatted, with comments that name lines of the file.
///
/// # Errors
/// When a host half makes no Rust.
pub fn expand(checked: &Checked) -> anyhow::Result<String> {
    let expansion = unik_codegen::expand(&checked.plan, &checked.baked)?;
    Ok(unik_codegen::format::source(&checked.plan, &checked.sources, &expansion)?)
}

/// The generated `Cargo.toml`.
///
/// # Errors
/// As [`expand`].
pub fn manifest(checked: &Checked) -> anyhow::Result<String> {
    let own = cache()?.sources(&own_sources()).map_err(with_code)?;
    let package = package_name(checked)?;
    let places = Places { own, ..Places::default() };
    Ok(unik_codegen::manifest::cargo_toml(&checked.plan, &checked.baked, &package, &places))
}

/// Builds the image, or the program, of `checked`; says how far it is, and how it ended.
///
/// # Errors
/// When it doesn't build.
pub fn build(
    subject: &Subject,
    checked: &Checked,
    parameters: &Parameters,
    cargo: &cli::Cargo,
    seed: Option<Seed>,
    ui: &Ui,
) -> anyhow::Result<Made> {
    let user = match subject {
        Subject::Crate { user, file } => {
            if cargo.locked && sync(user, file, parameters, true, ui)? {
                return Err(anyhow::anyhow!(
                    "the crate is out of step with its plan, and --locked keeps it so: unikgen sync"
                ));
            }
            if !cargo.locked {
                sync(user, file, parameters, false, ui)?;
            }
            Some(user.clone())
        }
        Subject::File(file) if !cargo.locked => {
            unpack(file, false, ui)?;
            None
        }
        _ => None,
    };
    let cache = cache()?;
    let own = own_sources();
    let cargo = Cargo { program: std::env::var_os("CARGO"), offline: cargo.offline, locked: cargo.locked };
    let job = Job {
        plan: &checked.plan,
        sources: &checked.sources,
        baked: &checked.baked,
        cache: &cache,
        own: &own,
        cargo: &cargo,
        seed,
        set: &parameters.set,
        user,
    };
    let what = format!("building {} for {}", checked.plan.appliance, checked.plan.target.word());
    let step = ui.step(&what);
    let made = unik_codegen::build(&job, &mut |progress| match progress {
        Progress::Waiting => {
            step.now("waiting for another build");
            if !step.is_live() {
                ui.say("waiting", "another build holds the cache");
            }
        }
        Progress::Unpacking => step.now("unpacking the sources of the components"),
        Progress::Compiled { name, done } => {
            step.now(&format!("{what}: {done} crates, {name}"));
            ui.detail(&format!("compiled {name}"));
        }
        Progress::Checking => step.now("reading the image back"),
    })
    .map_err(with_code)?;
    let took = step.elapsed();
    drop(step);
    // Not those of our own sources, which stand in the project too.
    for warning in made.warnings.iter().filter(|warning| !warning.contains("--> .unik/") || ui.is_verbose()) {
        ui::stderr(warning);
    }
    let size = std::fs::metadata(&made.image).map(|meta| meta.len()).unwrap_or_default();
    let state = if made.fresh { "nothing to compile" } else { "compiled" };
    ui.say("built", &format!("{}, {} ({state}, {})", checked.plan.appliance, bytes(size), seconds(took)));
    if let (Some(file), Some(report)) = (subject.unik_file(), &made.report)
        && let Err(error) = last::keep(cache.root(), file, size, report)
    {
        // Only editors would have shown it.
        ui.detail(&format!("what the image holds isn't kept for editors: {error}"));
    }
    Ok(made)
}

/// The name of the generated package.
fn package_name(checked: &Checked) -> anyhow::Result<String> {
    let expansion = unik_codegen::expand(&checked.plan, &checked.baked)?;
    let foreign = Foreign::of(&checked.plan).map_err(with_code)?;
    Ok(unik_codegen::manifest::package_name(&checked.plan, &expansion, foreign.as_ref().map(Foreign::hash)))
}

/// The crates below components, as far as the appliance was built: the chains by which
/// crate `name` comes in, each from the generated crate down to it, the shortest first.
/// `None` when it was never built, and so nobody knows.
///
/// # Errors
/// When cargo can't be run.
pub fn chains_to_crate(
    subject: &Subject,
    checked: &Checked,
    name: &str,
) -> anyhow::Result<Option<Vec<Vec<String>>>> {
    let folder = match subject {
        Subject::Crate { user, .. } => user.folder.clone(),
        _ => cache()?.work(&package_name(checked)?),
    };
    if !folder.join("Cargo.lock").is_file() {
        return Ok(None);
    }
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo
        .args(["tree", "--quiet", "--offline", "--edges", "normal,no-proc-macro", "--prefix", "depth"])
        .args(["--format", " {p}", "--target", unik_codegen::cargo::TRIPLE])
        .current_dir(&folder)
        .stdin(Stdio::null());
    if checked.plan.target == Target::Machine {
        // What chooses the machine's dependencies in a crate of the user's own.
        cargo.env("CARGO_ENCODED_RUSTFLAGS", "--cfg=unik_machine");
    }
    if checked.plan.target == Target::Sim {
        cargo.env("CARGO_ENCODED_RUSTFLAGS", "--cfg=unik_sim");
    }
    let output = cargo.output().map_err(|error| environment(format!("can't run cargo: {error}")))?;
    if !output.status.success() {
        return Ok(None);
    }
    Ok(Some(chains(&String::from_utf8_lossy(&output.stdout), name)))
}

/// The chains to package `name` in what `cargo tree --prefix depth --format ' {p}'` prints.
fn chains(tree: &str, name: &str) -> Vec<Vec<String>> {
    let mut above: Vec<String> = Vec::new();
    let mut found: Vec<Vec<String>> = Vec::new();
    for line in tree.lines() {
        let Some((depth, package)) = line.split_once(' ') else { continue };
        let (Ok(depth), Some(package)) = (depth.parse::<usize>(), package.split(' ').next()) else {
            continue;
        };
        above.truncate(depth);
        above.push(package.to_string());
        if package == name || package.replace('-', "_") == name {
            found.push(above.clone());
        }
    }
    found.sort_by_key(Vec::len);
    found.dedup();
    found
}

fn read_image(path: &Path) -> anyhow::Result<Vec<u8>> {
    let unreadable = || format!("can't read {}", path.display());
    let there = std::fs::metadata(path)
        .map_err(|error| exit::usage(format!("can't read {}: {error}", path.display())))?;
    // A device or a pipe may have no end.
    if !there.is_file() {
        return Err(exit::usage(format!("`{}` is no image: it is no regular file", path.display())));
    }
    std::fs::read(path).with_context(unreadable)
}

/// What the image in this file needs, as it says itself.
///
/// # Errors
/// When it is no image.
pub fn needs_of_image(path: &Path, args: &cli::BootValues) -> anyhow::Result<(Needs, Given)> {
    let (file, mut manifest) = manifest_of_image(path)?;
    let given = Given::of(args, &manifest.boot)?;
    given.apply(&mut manifest);
    let report = report_of(path, &file);
    Ok((needs::of_manifest(&manifest, report.as_ref()), given))
}

/// An image, and what it says of itself.
///
/// # Errors
/// When it is no image.
pub fn manifest_of_image(path: &Path) -> anyhow::Result<(Vec<u8>, DeviceManifest)> {
    let file = read_image(path)?;
    let manifest = image::manifest(&file).map_err(|error| {
        let advice = if is_program(&file) {
            format!(
                "; it is a program of the target process, and runs by itself: {} publish=8080:80",
                path.display()
            )
        } else {
            String::new()
        };
        exit::usage(format!("`{}` is no image: {error}{advice}", path.display()))
    })?;
    Ok((file, manifest))
}

/// Whether the file is a program of the target `process`: one with the line by which ours
/// say that they are ready, and that the host's dynamic linker loads, as it does no image.
fn is_program(file: &[u8]) -> bool {
    let holds = |text: &[u8]| file.windows(text.len()).any(|window| window == text);
    file.starts_with(b"\x7fELF") && holds(b"unik: ready") && holds(b"/ld-linux")
}

/// The report of an image: beside it, or in the cache; only if it is bound to it by its hash.
fn report_of(path: &Path, file: &[u8]) -> Option<Report> {
    Report::from_json(std::str::from_utf8(&report_text(path, file)?).ok()?).ok()
}

/// The bytes of the report of an image: beside it, or in the cache; only if they are bound to
/// it by their hash.
pub fn report_text(path: &Path, file: &[u8]) -> Option<Vec<u8>> {
    let beside = [path.with_extension("report.json"), path.with_file_name("report.json")];
    let hash = image::report_hash(file).ok()?;
    let cached = works().into_iter().flat_map(|work| [kept(&work, &hash).1, work.join("report.json")]);
    beside.into_iter().chain(cached).find_map(|candidate| {
        let text = std::fs::read(candidate).ok()?;
        image::is_report_of(&text, file).ok().filter(|is| *is)?;
        Some(text)
    })
}

/// The address after the image's last byte, in memory.
///
/// # Errors
/// When it can't be read, or is no image.
pub fn image_end(path: &Path) -> anyhow::Result<u64> {
    let file = std::fs::read(path).with_context(|| format!("can't read {}", path.display()))?;
    image::end(&file).map_err(with_code)
}

/// The image's twin, which has its symbols: beside it, or in the cache.
pub fn twin_of(path: &Path) -> Option<PathBuf> {
    let file = std::fs::read(path).ok()?;
    let hash = image::report_hash(&file).ok()?;
    let beside = [path.with_extension("twin.elf")];
    let cached = works().into_iter().flat_map(|work| [kept(&work, &hash).0, work.join("image.twin.elf")]);
    beside.into_iter().chain(cached).find(|candidate| {
        let twin = std::fs::read(candidate).unwrap_or_default();
        image::report_hash(&twin).is_ok_and(|other| other == hash)
    })
}

/// The twin of the image in `path`: `given`, or where it is looked for.
///
/// # Errors
/// When there is none, when `given` is another image's, or the image can't be read.
pub fn find_twin(path: &Path, given: Option<&Path>) -> anyhow::Result<PathBuf> {
    let not = |what: &str, path: &Path, error: Error| {
        exit::usage(format!("`{}` is no {what}: {error}", path.display()))
    };
    let hash = image::report_hash(&read_image(path)?).map_err(|error| not("image", path, error))?;
    if let Some(given) = given {
        let other = image::report_hash(&read_image(given)?).map_err(|error| not("twin", given, error))?;
        if other != hash {
            return Err(exit::usage(format!(
                "`{}` is the twin of another image than `{}`: of another build, with other addresses",
                given.display(),
                path.display()
            )));
        }
        return Ok(given.into());
    }
    twin_of(path).ok_or_else(|| {
        exit::environment(format!(
            "the twin of `{}` isn't here: neither {} nor any in the cache is bound to it; the build that made the image has it, see unikgen build --twin",
            path.display(),
            path.with_extension("twin.elf").display()
        ))
    })
}

/// The folders of generated crates in the cache.
fn works() -> Vec<PathBuf> {
    let Ok(folder) = cache_folder() else { return Vec::new() };
    let Ok(entries) = std::fs::read_dir(folder.join("work")) else { return Vec::new() };
    entries.flatten().map(|entry| entry.path()).collect()
}

/// The hash of the sources of the runtime and the components that this command carries.
#[must_use]
pub fn sources_hash() -> String {
    own_sources().hash
}

/// An image, and what it says of how it was built.
///
/// # Errors
/// When it is no image.
pub fn image_and_record(path: &Path) -> anyhow::Result<(Vec<u8>, Record)> {
    let bytes = read_image(path)?;
    let record = image::record(&bytes)
        .map_err(|error| exit::usage(format!("`{}` can't be verified: {error}", path.display())))?;
    Ok((bytes, record))
}

/// The unstripped twin of the image that was just built in this cache.
///
/// # Errors
/// When it isn't there.
pub fn twin_in(cache: &Path, image: &[u8]) -> anyhow::Result<Vec<u8>> {
    let works = std::fs::read_dir(cache.join("work")).context("the build left nothing")?;
    let mut works = works.flatten().map(|entry| entry.path());
    let of = |work: &PathBuf| std::fs::read(work.join("image.elf")).is_ok_and(|other| other == image);
    let work = works.find(of).context("the build left no twin of its image")?;
    std::fs::read(work.join("image.twin.elf")).context("can't read the twin of the image")
}

/// In what the second image, with this twin, differs from the first.
///
/// # Errors
/// When one is no image.
pub fn compare(first: &[u8], second: &[u8], twin: &[u8]) -> anyhow::Result<Option<Difference>> {
    unik_codegen::verify::compare(first, second, twin).map_err(with_code)
}

/// The SHA-256 of a file, in hexadecimal.
///
/// # Errors
/// When it can't be read.
pub fn sha256(path: &Path) -> anyhow::Result<String> {
    let bytes = std::fs::read(path).with_context(|| format!("can't read {}", path.display()))?;
    Ok(unik_codegen::cache::hash(&bytes))
}

/// What puts names to crash records of this image.
pub fn symbols(path: &Path, ui: &Ui) -> Box<dyn Symbols> {
    match twin_of(path) {
        Some(twin) => Box::new(Crashes::new(twin, ui.is_verbose())),
        None => Box::new(NoSymbols),
    }
}

/// The crate of the user's own whose macro names `file`, if there is one.
///
/// # Errors
/// When the `Cargo.toml` above the file can't be understood.
pub fn user_crate(file: &Path) -> anyhow::Result<Option<UserCrate>> {
    unik_codegen::sync::user_crate(file).map_err(with_code)
}

/// Brings the `Cargo.toml` of `user` in step with the plans of `file`, one for each target; with `check` only says what would
/// change. Gives whether something did, or would.
///
/// # Errors
/// When the file has errors, or the `Cargo.toml` can't be understood.
pub fn sync(
    user: &UserCrate,
    file: &Path,
    parameters: &Parameters,
    check: bool,
    ui: &Ui,
) -> anyhow::Result<bool> {
    let of = |target| Parameters { target: Some(target), ..parameters.clone() };
    let machine = appliance::check(file, &of(TargetChoice::Machine), ui)?;
    // A component may be for machines only: then plain cargo has nothing to build, and says so.
    let (process, process_baked) = appliance::analyse_file(file, &of(TargetChoice::Process), ui)?;
    let process = process.plan.as_ref().map(|plan| (plan, &process_baked));
    let (sim, sim_baked) = appliance::analyse_file(file, &of(TargetChoice::Sim), ui)?;
    let sim = sim.plan.as_ref().map(|plan| (plan, &sim_baked));
    let sync = unik_codegen::sync::plan_sync(user, Some((&machine.plan, &machine.baked)), process, sim)
        .map_err(with_code)?;
    let own = own_sources();
    if sync.is_current(&own) {
        ui.detail(&format!("{} is in step", sync.path.display()));
        return Ok(false);
    }
    let word = if check { "would change" } else { "changed" };
    for change in &sync.changes {
        ui.say(word, change);
    }
    if sync.changes.is_empty() {
        ui.say(word, "the sources of the components in .unik/");
    }
    if !check {
        sync.apply(&own).map_err(with_code)?;
    }
    Ok(true)
}

/// Whether one of the built-in components has this name.
///
/// # Errors
/// When a table of theirs is wrong.
pub fn knows_component(name: &str) -> anyhow::Result<bool> {
    Ok(unik_builtin::components()?.iter().any(|component| component.name == name))
}

/// Puts unik's own sources where the project of `file` has them, if its `Cargo.toml` leads there; with `check` only says
/// whether that is to be done. `None`: it doesn't.
///
/// # Errors
/// When they can't be written.
pub fn unpack(file: &Path, check: bool, ui: &Ui) -> anyhow::Result<Option<bool>> {
    let Some(folder) = unik_codegen::sync::patched_folder(file) else { return Ok(None) };
    let own = own_sources();
    let changed = if check {
        !unik_codegen::sync::has_sources(&folder, &own)
    } else {
        unik_codegen::sync::unpack(&folder, &own).map_err(with_code)?
    };
    if changed {
        ui.say(if check { "would change" } else { "changed" }, "the sources of the components in .unik/");
    }
    Ok(Some(changed))
}

/// Removes what builds of the appliance left in the cache, or with `dry` only says what that
/// is: folder and bytes. What all appliances share stays.
///
/// # Errors
/// When something can't be removed.
pub fn clean(subject: &Subject, appliance: &str, dry: bool) -> anyhow::Result<Vec<(String, u64)>> {
    let cache = cache()?;
    // A build that runs would be left without its folder.
    let _lock = cache.lock(|| {}).map_err(with_code)?;
    let prefix = format!("unik-{appliance}-");
    let is_of = |folder: &PathBuf| {
        let name = folder.file_name().unwrap_or_default().to_string_lossy();
        let is_hash = |text: &str| text.len() == 12 && text.bytes().all(|b| b.is_ascii_hexdigit());
        // With the hash of the folder, for a crate of the user's own.
        name.strip_prefix(&prefix).is_some_and(|rest| rest.split('-').all(is_hash))
    };
    let mut folders: Vec<PathBuf> = works().into_iter().filter(is_of).collect();
    if let Subject::Crate { user, .. } = subject {
        folders.push(cache.user_target(&user.folder));
    }
    let mut removed = Vec::new();
    for folder in folders.iter().filter(|folder| folder.is_dir()) {
        removed.push((folder.display().to_string(), unik_codegen::cache::size(folder)));
        if !dry {
            std::fs::remove_dir_all(folder).with_context(|| format!("can't remove {}", folder.display()))?;
        }
    }
    Ok(removed)
}

/// Removes everything that builds left in the cache, or with `dry` only says what that is:
/// folder and bytes.
///
/// # Errors
/// When something can't be removed.
pub fn clean_all(dry: bool) -> anyhow::Result<Vec<(String, u64)>> {
    let cache = cache()?;
    let _lock = cache.lock(|| {}).map_err(with_code)?;
    let removed = cache.clean(dry).map_err(with_code)?;
    Ok(removed.into_iter().map(|(folder, size)| (folder.display().to_string(), size)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chains_are_read_from_cargos_tree() {
        let tree = "0 unik-web v0.0.0 (/x)\n1 unik-http v0.1.0 (/y)\n2 log v0.4.35\n1 unik-ip v0.1.0 (/z)\n2 smoltcp v0.14.0\n3 log v0.4.35 (*)\n1 log v0.4.35\n";
        assert_eq!(chains(tree, "smoltcp"), [["unik-web", "unik-ip", "smoltcp"]]);
        assert_eq!(chains(tree, "log").iter().map(Vec::len).collect::<Vec<_>>(), [2, 3, 4]);
        assert!(chains(tree, "serde").is_empty());
        assert!(chains("nonsense\n\n", "serde").is_empty());
    }
}
