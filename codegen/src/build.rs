//! Plan → crate → image.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;
use sha2::{Digest, Sha256};
use unik_catalogue::Target;
use unik_catalogue::shape::secret_file;
use unik_dsl::plan::Plan;
use unik_dsl::source::SourceMap;

use crate::audit::anatomy::Anatomy;
use crate::audit::gate::{self, Entry};
use crate::audit::known::known;
use crate::audit::packages::{Package, read_metadata};
use crate::audit::{self, instructions};
use crate::cache::{self, Cache, Sources};
use crate::cargo::{Cargo, Rustc};
use crate::compile::{Build, Stopped};
use crate::expand::{Expansion, expand};
use crate::foreign::Foreign;
use crate::handlers::handlers;
use crate::host::BakedSet;
use crate::image::{self, Made, Report};
use crate::layout::{Layout, Seed};
use crate::manifest::Places;
use crate::note::DeviceManifest;
use crate::record::Record;
use crate::settings::Settings;
use crate::{Error, fault, format, manifest, template};

/// What is to be built.
pub struct Job<'a> {
    /// The plan.
    pub plan: &'a Plan,
    /// The texts that its places point into.
    pub sources: &'a SourceMap,
    /// What host halves made of it.
    pub baked: &'a BakedSet,
    /// Where to build.
    pub cache: &'a Cache,
    /// unik's own sources.
    pub own: &'a Sources,
    /// How to run cargo.
    pub cargo: &'a Cargo,
    /// What the layout of the image is drawn from; the hash of all inputs when `None`.
    pub seed: Option<Seed>,
    /// The build parameters that were given a value on the command line: the image records them.
    pub set: &'a [(String, String)],
    /// The user's own crate, when the file is used by `unik::appliance!` there.
    pub user: Option<UserCrate>,
}

/// A crate of the user's own that has `unik::appliance!` in its `main.rs`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserCrate {
    /// Its folder.
    pub folder: PathBuf,
    /// The name of the binary.
    pub binary: String,
}

/// How far a build is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress<'a> {
    /// Another build holds the cache.
    Waiting,
    /// unik's own sources are being unpacked, for the first time with this version.
    Unpacking,
    /// A crate is done.
    Compiled {
        /// The crate.
        name: &'a str,
        /// How many are done.
        done: usize,
    },
    /// The image is being read back.
    Checking,
}

/// What was built.
#[derive(Clone, Debug)]
pub struct Built {
    /// The image; for the other targets, the program.
    pub image: PathBuf,
    /// The same with symbols and line tables.
    pub twin: PathBuf,
    /// The report, of an image.
    pub report: Option<Report>,
    /// Where the report stands.
    pub report_path: Option<PathBuf>,
    /// The folder of the generated crate, or of the user's own.
    pub folder: PathBuf,
    /// Whether there was nothing to compile.
    pub fresh: bool,
    /// What the compiler warned of, in the user's own crate.
    pub warnings: Vec<String>,
}

/// How many generated crates stay in the cache.
const KEPT: usize = 32;

/// Builds an image, or a program.
///
/// # Errors
/// [`Error`].
pub fn build(job: &Job, progress: &mut dyn FnMut(Progress)) -> Result<Built, Error> {
    let expansion = expand(job.plan, job.baked)?;
    let secrets = job.plan.secrets();
    if let Some((name, _)) = secrets.iter().find(|(_, text)| text.is_none()) {
        return Err(Error::NoSecret { name: (*name).into() });
    }
    if !secrets.is_empty() {
        if job.user.is_some() {
            let message = "a macro can't take secrets: declare them `at boot`";
            return Err(Error::Image { message: message.into() });
        }
        // They are in the generated crate, and in what is linked of it.
        cache::make_private(job.cache.root())?;
    }
    let lock = job.cache.lock(|| progress(Progress::Waiting))?;
    if !job.cache.has_sources(job.own) {
        progress(Progress::Unpacking);
    }
    let own = job.cache.sources(job.own)?;
    let foreign = Foreign::of(job.plan)?;
    let package = manifest::package_name(job.plan, &expansion, foreign.as_ref().map(Foreign::hash));
    let work = match &job.user {
        None => job.cache.work(&package),
        // Two crates may have one appliance, and differ in what is around it.
        Some(user) => job.cache.work(&format!("{package}-{}", cache::path_hash(&user.folder))),
    };
    let (folder, binary, target) = match &job.user {
        None => {
            write_crate(job, &expansion, &package, &own, foreign.as_ref(), &work)?;
            (work.clone(), package, job.cache.target())
        }
        Some(user) => {
            cache::write_changed(&work.join("run.sh"), run_script(job.plan).as_bytes())?;
            (user.folder.clone(), user.binary.clone(), job.cache.user_target(&user.folder))
        }
    };
    if job.cargo.locked && job.user.is_none() {
        job.cargo.settle_lock(&folder)?;
    } else if job.user.is_none() && !job.plan.crates.is_empty() {
        // So that cargo doesn't ask a registry for what a patch gives. Where that needs the
        // network for something else, the build does it.
        let _ = job.cargo.settle_lock(&folder);
    }
    let rustc = job.cargo.rustc(&folder)?;
    let mut record = None;
    let (flags, mut last) = match job.plan.target {
        Target::Machine => {
            let seed = match job.seed {
                Some(seed) => seed,
                None => seed_of_inputs(job, &expansion, foreign.as_ref(), &rustc)?,
            };
            let record = record.insert(Record {
                version: 1,
                unik: env!("CARGO_PKG_VERSION").into(),
                sources: job.own.hash.clone(),
                rustc: rustc.version.clone(),
                seed,
                set: job.set.iter().cloned().collect(),
            });
            (machine_flags(job, &own, &rustc), machine_link(job, record, &work)?)
        }
        Target::Process => (remaps(job, &own, &rustc), Vec::new()),
        Target::Sim => {
            let mut flags: Vec<String> =
                ["--cfg=unik_sim", "--check-cfg=cfg(unik_sim)"].map(String::from).into();
            flags.extend(remaps(job, &own, &rustc));
            (flags, Vec::new())
        }
    };
    if job.user.is_some() {
        // A new file in an embedded folder is nothing that cargo sees in this crate.
        last.push(format!("--cfg=unik_plan=\"{}\"", cache::hex(&expansion.hash)));
    }
    let build = Build {
        folder: &folder,
        binary: &binary,
        target: &target,
        config: job.user.iter().flat_map(|_| profile(job.plan.target)).collect(),
        flags,
        last,
    };
    let mut done = 0;
    let made = job.cargo.build(&build, &mut |name, _| {
        done += 1;
        progress(Progress::Compiled { name, done });
    });
    let made = made.map_err(|stopped| match stopped {
        Stopped::Faults(faults) => {
            let handlers = handlers(job.plan, job.sources);
            fault::explain(&faults, &folder, job.user.is_some(), &handlers, job.sources)
        }
        Stopped::Other(error) => error,
    })?;
    progress(Progress::Checking);
    cache::write(&work.join(cache::STAMP), b"built\n")?;
    job.cache.prune(&lock, KEPT);
    finish(job, &expansion, record.as_ref(), &folder, &work, made.executable).map(
        |(image, twin, report, report_path)| Built {
            image,
            twin,
            report,
            report_path,
            folder,
            fresh: made.fresh,
            warnings: if job.user.is_some() { made.warnings } else { Vec::new() },
        },
    )
}

type Finished = (PathBuf, PathBuf, Option<Report>, Option<PathBuf>);

/// Reads back what the linker made, and writes what is deployed.
fn finish(
    job: &Job,
    expansion: &Expansion,
    record: Option<&Record>,
    folder: &Path,
    work: &Path,
    executable: PathBuf,
) -> Result<Finished, Error> {
    let read = |path: &Path| fs::read(path).map_err(|source| Error::Io { path: path.into(), source });
    if job.plan.target != Target::Machine {
        let program = work.join("program");
        fs::copy(&executable, &program).map_err(|source| Error::Io { path: program.clone(), source })?;
        return Ok((program, executable, None, None));
    }
    let mut twin = read(&executable)?;
    image::check(&twin, &expansion.hash)?;
    if Some(&image::record(&twin)?) != record {
        let message = "it was linked by another script: remove the cache with `unikgen clean --all`";
        return Err(Error::Image { message: message.into() });
    }
    let packages = packages(job, folder)?;
    let anatomy = Anatomy::of(&twin, &packages)?;
    let made =
        Made { plan: job.plan, sources: job.sources, packages: packages.clone(), blobs: &expansion.blobs };
    let report = Report::of(&twin, &anatomy, made)?;
    let wrong = wrong(job, &anatomy, &report, gate::entries(&twin)?)?;
    let json = report.to_json();
    image::set_report_hash(&mut twin, json.as_bytes())?;
    let stripped = image::strip(&twin)?;
    image::check(&stripped, &expansion.hash)?;
    // What may not be deployed isn't put where what is deployed is taken from.
    let place = if wrong.is_empty() { work.to_owned() } else { work.join("rejected") };
    let paths = (place.join("image.elf"), place.join("image.twin.elf"), place.join("report.json"));
    cache::write_changed(&paths.0, &stripped)?;
    cache::write_changed(&paths.1, &twin)?;
    cache::write_changed(&paths.2, json.as_bytes())?;
    if !wrong.is_empty() {
        return Err(Error::Audit { findings: wrong, kept: paths.0 });
    }
    cache::keep(work, json.as_bytes(), &twin)?;
    Ok((paths.0, paths.1, Some(report), Some(paths.2)))
}

/// What of an image that was just linked would fail its audit: what isn't planned, and what
/// ring 3 may not run.
fn wrong(job: &Job, anatomy: &Anatomy, report: &Report, entries: Vec<Entry>) -> Result<Vec<String>, Error> {
    let files = job.own.files()?;
    let known = known(files.iter().map(|(path, bytes)| (path.as_path(), bytes.as_slice())));
    let (_, instructions) = instructions::check(anatomy, &report.packages, entries);
    let checks = [instructions].into_iter().chain(audit::contents(anatomy, report, &known));
    Ok(checks
        .flat_map(|check| {
            let code = check.rule.code();
            check.findings.into_iter().map(move |finding| match finding.place {
                Some((file, line)) => format!("  [{code}] {}: {file}:{line}", finding.message),
                None => format!("  [{code}] {}", finding.message),
            })
        })
        .collect())
}

/// What cargo built the image of the crate in `folder` from.
fn packages(job: &Job, folder: &Path) -> Result<Vec<Package>, Error> {
    let json = job.cargo.metadata(folder)?;
    // As the remapping of the build names them: relative to where the compiler ran.
    let own = own_name(job.own);
    let home = cargo_home();
    let named = |place: &Path| {
        if let Some(Ok(inside)) = home.as_ref().map(|home| place.strip_prefix(home)) {
            return Path::new(CARGO_HOME).join(inside).to_string_lossy().into_owned();
        }
        let inside = place.strip_prefix(folder).unwrap_or(place);
        let inside = match inside.strip_prefix(&own).or_else(|_| inside.strip_prefix(".unik/src")) {
            Ok(rest) => Path::new("unik").join(rest),
            Err(_) => inside.to_owned(),
        };
        let path = inside.to_string_lossy().into_owned();
        if path.is_empty() { ".".into() } else { path }
    };
    read_metadata(&json, &named)
}

/// Writes the generated crate into `folder`. `own` holds unik's own sources.
fn write_crate(
    job: &Job,
    expansion: &Expansion,
    package: &str,
    own: &Path,
    foreign: Option<&Foreign>,
    folder: &Path,
) -> Result<(), Error> {
    // Cargo names a crate inside the workspace by its path in there, one outside by its
    // absolute path, and the name goes into every symbol: with the sources inside, the same
    // plan makes the same image wherever the cache is. Their version is in the path, so that
    // crates of two versions are two for the shared target folder.
    let own_here = own_name(job.own);
    link(&folder.join(&own_here), own)?;
    let mut places = Places { own: own_here.clone(), crates: BTreeMap::new(), apart: vec![own_here.clone()] };
    if let Some(foreign) = foreign {
        link(&folder.join(foreign.link()), foreign.above())?;
        places.crates = foreign.places();
        places.apart.push(foreign.link());
    }
    let lock = folder.join("Cargo.lock");
    if !lock.exists() {
        // The versions that unik was tested with; cargo drops what isn't used.
        let path = own.join("Cargo.lock");
        let mut text = fs::read_to_string(&path).map_err(|source| Error::Io { path, source })?;
        if let Some(named) = &job.plan.lock {
            // And those of the crates that the file names.
            text = crate::lock::union(&text, &named.text)
                .map_err(|message| Error::Manifest { path: named.path.clone(), message })?;
        }
        cache::write(&lock, text.as_bytes())?;
    }
    for (path, bytes) in crate_files(job.plan, job.sources, job.baked, expansion, package, &places)? {
        let secret = path.starts_with(Path::new("src").join(secret_file("")));
        let path = folder.join(path);
        if secret && !path.exists() {
            // Empty, until nobody else can read it.
            cache::write_changed(&path, &[]).and_then(|()| cache::make_private(&path))?;
        }
        cache::write_changed(&path, &bytes)?;
    }
    Ok(())
}

/// Makes a link that leads to `to`, whatever is there.
fn link(at: &Path, to: &Path) -> Result<(), Error> {
    if fs::read_link(at).is_ok_and(|old| old == to) {
        return Ok(());
    }
    let fail = |source| Error::Io { path: at.into(), source };
    if let Some(folder) = at.parent() {
        fs::create_dir_all(folder).map_err(fail)?;
    }
    if let Err(error) = fs::remove_file(at)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        return Err(fail(error));
    }
    std::os::unix::fs::symlink(to, at).map_err(fail)
}

/// The files of the generated crate with the name `package`: path → bytes.
///
/// # Errors
/// [`Error::Expand`], when what a host half made is no Rust.
pub fn crate_files(
    plan: &Plan,
    sources: &SourceMap,
    baked: &BakedSet,
    expansion: &Expansion,
    package: &str,
    places: &Places,
) -> Result<Vec<(PathBuf, Vec<u8>)>, Error> {
    let mut files = vec![
        (PathBuf::from("Cargo.toml"), manifest::cargo_toml(plan, baked, package, places).into_bytes()),
        (PathBuf::from("src/main.rs"), format::source(plan, sources, expansion)?.into_bytes()),
        (PathBuf::from("run.sh"), run_script(plan).into_bytes()),
    ];
    for (path, bytes) in &expansion.blobs {
        files.push((Path::new("src").join(path), bytes.clone()));
    }
    for (name, text) in plan.secrets() {
        if let Some(text) = text {
            files.push((Path::new("src").join(secret_file(name)), text.into()));
        }
    }
    Ok(files)
}

/// What unik's own sources are called inside a generated crate.
#[must_use]
pub fn own_name(own: &Sources) -> PathBuf {
    format!("unik-{}", own.hash).into()
}

/// The size of the stack, in bytes: a multiple of 4096.
const STACK: u32 = 128 * 1024;

#[derive(Serialize)]
struct RunView {
    appliance: String,
    megabytes: u64,
    networks: Vec<NetworkView>,
}

#[derive(Serialize)]
struct NetworkView {
    name: String,
    forwards: String,
}

/// A script that runs the image under QEMU.
fn run_script(plan: &Plan) -> String {
    let manifest = DeviceManifest::of(plan);
    let forwards = |device: &str| -> String {
        let ports = manifest.listens.iter().filter(|port| port.device.as_deref() == Some(device));
        let published = |port: u16| 8000 + u32::from(port) % 57_000;
        ports
            .map(|port| {
                format!(",hostfwd={}:127.0.0.1:{}-:{}", port.protocol, published(port.port), port.port)
            })
            .collect()
    };
    let networks = manifest
        .devices
        .iter()
        .filter(|device| device.provides.iter().any(|interface| interface == "Frames"))
        .map(|device| NetworkView { name: device.name.clone(), forwards: forwards(&device.name) })
        .collect();
    template::render(
        template::RUN,
        &RunView { appliance: manifest.appliance, megabytes: manifest.memory.div_ceil(1 << 20), networks },
    )
}

/// The profile `image`, for a crate whose `Cargo.toml` is the user's own.
fn profile(target: Target) -> Vec<String> {
    // `lto` is the same for all targets: cargo goes by it for the crates of the macro too,
    // which would else be compiled once for each target. And `opt-level` is not: it is what
    // keeps apart what build scripts said for one target and for the other.
    let shared = [
        "inherits=\"release\"",
        "lto=\"fat\"",
        "debug=\"line-tables-only\"",
        "strip=\"none\"",
        "incremental=false",
    ];
    let machine = ["opt-level=\"s\"", "codegen-units=1", "panic=\"abort\""];
    // What goes wrong in a simulation is to be found there; and the macro's crates are still the same.
    let sim = [
        "opt-level=1",
        "debug-assertions=true",
        "overflow-checks=true",
        "build-override.debug-assertions=false",
        "build-override.overflow-checks=false",
    ];
    let own = match target {
        Target::Machine => &machine[..],
        Target::Process => &["opt-level=2"],
        Target::Sim => &sim,
    };
    shared.iter().chain(own).map(|setting| format!("profile.image.{setting}")).collect()
}

/// Flags for every crate of a machine's image.
fn machine_flags(job: &Job, own: &Path, rustc: &Rustc) -> Vec<String> {
    let settings = Settings::of(job.plan);
    let mut flags: Vec<String> =
        ["--cfg=unik_machine", "--check-cfg=cfg(unik_machine)"].map(String::from).into();
    let codegen = ["relocation-model=static", "force-unwind-tables=no"];
    flags.extend(codegen.iter().map(|option| format!("-C{option}")));
    flags.push(format!("-Ctarget-cpu={}", settings.cpu));
    // LLVM follows the hint `#[inline]` far (325) even where size counts: for 1.5 KiB of a web site's
    // image, and a request that takes 1 % more instructions.
    flags.push("-Cllvm-args=-inlinehint-threshold=100".into());
    flags.extend(remaps(job, own, rustc));
    flags
}

/// What cargo's home is called in an image.
const CARGO_HOME: &str = "/cargo";
/// Where cargo unpacks what comes from crates.io, in its present versions and in those before 1.85;
/// and what that is called in an image.
const CRATES_IO: [&str; 2] = ["index.crates.io-1949cf8c6b5b557f", "index.crates.io-6f17d22bba15001f"];
const UNPACKED: &str = "/cargo/registry/src/-";

fn cargo_home() -> Option<PathBuf> {
    std::env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::home_dir().map(|home| home.join(".cargo")))
}

/// Names for folders that differ between machines, so that images don't.
fn remaps(job: &Job, own: &Path, rustc: &Rustc) -> Vec<String> {
    // Inside a generated crate they are named as seen from there.
    let mut remaps = vec![(own.to_owned(), "unik"), (own_name(job.own), "unik")];
    if let Some(home) = cargo_home() {
        // The last that fits counts. Whatever cargo makes of the index's address, it is a name for
        // each place of a panic.
        let unpacked = CRATES_IO.map(|index| (home.join("registry/src").join(index), UNPACKED));
        remaps.push((home, CARGO_HOME));
        remaps.extend(unpacked);
    }
    remaps.push((job.cache.root().join("work"), "/work"));
    // Where the library's sources are installed, rustc names them by their place there.
    let library = format!("/rustc/{}", rustc.commit);
    remaps.push((rustc.sysroot.join("lib/rustlib/src/rust"), &library));
    remaps.extend(job.user.iter().map(|user| (user.folder.clone(), "/work/app")));
    remaps.into_iter().map(|(path, name)| format!("--remap-path-prefix={}={name}", path.display())).collect()
}

/// The seed that all inputs together give: the plan with what was baked, the sources, the
/// compiler.
fn seed_of_inputs(
    job: &Job,
    expansion: &Expansion,
    foreign: Option<&Foreign>,
    rustc: &Rustc,
) -> Result<Seed, Error> {
    let mut own = Sha256::new();
    if let Some(user) = &job.user {
        // Not the whole folder: images are built into it. Nor the lock file, which the first
        // build makes.
        for file in ["Cargo.toml", "build.rs"] {
            if let Ok(bytes) = fs::read(user.folder.join(file)) {
                own.update((bytes.len() as u64).to_le_bytes());
                own.update(bytes);
            }
        }
        cache::hash_folder(&user.folder.join("src"), &mut own)?;
    }
    let foreign = foreign.map_or(&[][..], |foreign| foreign.hash());
    let inputs =
        [&expansion.hash[..], job.own.hash.as_bytes(), foreign, &own.finalize(), rustc.version.as_bytes()];
    Ok(Seed::of_inputs(&inputs))
}

/// Flags for the last crate of a machine's image.
fn machine_link(job: &Job, record: &Record, work: &Path) -> Result<Vec<String>, Error> {
    let layout = Layout::new(record.seed, Settings::of(job.plan).memory);
    let script = layout.linker_script(STACK, record);
    // Its name changes with its text: cargo goes by the arguments.
    let path = work.join(format!("image-{}.ld", cache::short_hash(script.as_bytes())));
    for other in scripts(work).filter(|other| *other != path) {
        fs::remove_file(&other).map_err(|source| Error::Io { path: other, source })?;
    }
    cache::write_changed(&path, script.as_bytes())?;
    let empty = empty_libraries(job.cache)?;
    let mut flags = vec!["-Clinker=rust-lld".to_string(), "-Clinker-flavor=ld.lld".into()];
    let arguments = [
        format!("-L{}", empty.display()),
        format!("-T{}", path.display()),
        "-static".into(),
        "-no-pie".into(),
        "--no-dynamic-linker".into(),
        // The precompiled `alloc` cleans up after unwinding, which never happens with
        // panic=abort; were it called after all, it would fault at address 0.
        "--defsym=_Unwind_Resume=0".into(),
        "--gc-sections".into(),
        // Without --icf: of functions that are the same, a crash record could name only one.
        "--build-id=none".into(),
        "--no-eh-frame-hdr".into(),
        "-znoexecstack".into(),
        "-znorelro".into(),
        "-zmax-page-size=16".into(),
        "--orphan-handling=error".into(),
    ];
    flags.extend(
        arguments
            .into_iter()
            .chain(layout.linker_arguments())
            .map(|argument| format!("-Clink-arg={argument}")),
    );
    Ok(flags)
}

/// The linker scripts of this and of earlier builds: each seed has its own.
fn scripts(work: &Path) -> impl Iterator<Item = PathBuf> {
    let entries = fs::read_dir(work).into_iter().flatten().flatten().map(|entry| entry.path());
    entries.filter(|path| path.extension().is_some_and(|extension| extension == "ld"))
}

/// A folder of empty archives under the names of the C library's. A crate that needs one
/// makes rustc ask for it; with these, what it needs is then a missing symbol, not a
/// program for a dynamic linker that isn't there.
fn empty_libraries(cache: &Cache) -> Result<PathBuf, Error> {
    let folder = cache.root().join("empty");
    for name in ["c", "gcc", "gcc_eh", "gcc_s", "m", "pthread", "dl", "rt", "util"] {
        cache::write_changed(&folder.join(format!("lib{name}.a")), b"!<arch>\n")?;
    }
    Ok(folder)
}
