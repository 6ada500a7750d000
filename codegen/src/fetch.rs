//! Crates that a `.unik` file names by git or version, brought by cargo.
//!
//! Cargo is asked about a crate of ours that depends on them and does nothing else. Which
//! commit and which version it took goes into a lock file beside the `.unik` file, in the
//! form of a `Cargo.lock`, and with it all that they depend on: whoever builds the same file
//! with the same lock file builds the same image. The cache remembers for each lock file
//! where cargo put the crates, so that cargo is asked once.

use std::collections::BTreeSet;
use std::fmt::{self, Write as _};
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use unik_catalogue::{Component, OptionSpec};
use unik_dsl::Catalogue;
use unik_dsl::fetch::{Fetch, FetchError, Fetched, FetchedSet, LockFile, Origin, Reference, Wanted};
use unik_dsl::plan::CrateSource;

use crate::cache::{self, Cache, Sources};
use crate::{Cargo, Error, children, lock};

/// Brings crates by cargo.
pub struct Fetcher<'a> {
    /// What remembers them.
    pub cache: &'a Cache,
    /// unik's own sources.
    pub own: &'a Sources,
    /// How to run cargo.
    pub cargo: &'a Cargo,
    /// unik's own components: others may depend on their crates.
    pub catalogue: &'a Catalogue,
    /// Told the names of crates before cargo is asked for them, which may take long.
    pub fetching: &'a dyn Fn(&str),
}

/// The crate that depends on those that are wanted.
const NAME: &str = "unik-crates";

impl Fetch for Fetcher<'_> {
    fn fetch(&self, file: &Path, wanted: &[Wanted]) -> Result<FetchedSet, FetchError> {
        let path = lock_path(file);
        let stored = match fs::read_to_string(&path) {
            Ok(text) => Some(text),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => return Err(failed(format!("can't read {}: {error}", path.display()))),
        };
        if let Some(text) = stored {
            if let Some(crates) = self.remembered(wanted, &text) {
                return Ok(FetchedSet { crates, lock: LockFile { path, text } });
            }
            return self.ask(wanted, path, Some(text));
        }
        self.ask(wanted, path, None)
    }
}

impl fmt::Debug for Fetcher<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fetcher").field("cache", self.cache).finish_non_exhaustive()
    }
}

/// `site.unik` → `site.unik.lock`.
#[must_use]
pub fn lock_path(file: &Path) -> PathBuf {
    let mut path = file.as_os_str().to_owned();
    path.push(".lock");
    path.into()
}

fn failed(reason: String) -> FetchError {
    FetchError { of: None, reason, helps: Vec::new() }
}

fn broken(error: &Error) -> FetchError {
    failed(error.to_string())
}

/// Where cargo put one crate, and what it is.
#[derive(Serialize, Deserialize)]
struct Record {
    folder: PathBuf,
    exact: Exact,
}

#[derive(Serialize, Deserialize)]
enum Exact {
    Git { url: String, commit: String },
    Registry { version: String },
}

impl From<Record> for Fetched {
    fn from(record: Record) -> Fetched {
        let source = match record.exact {
            Exact::Git { url, commit } => CrateSource::Git { url, commit },
            Exact::Registry { version } => CrateSource::Registry { version },
        };
        Fetched { folder: record.folder, source }
    }
}

impl Fetcher<'_> {
    /// Where the cache remembers what cargo said about these crates with this lock file.
    fn record(&self, wanted: &[Wanted], lock: &str) -> PathBuf {
        let key = cache::short_hash(format!("{}\0{wanted:?}\0{lock}", self.own.hash).as_bytes());
        self.cache.crates().join(format!("{key}.json"))
    }

    /// What cargo said before, if all of it is still where it was.
    fn remembered(&self, wanted: &[Wanted], lock: &str) -> Option<Vec<Fetched>> {
        let text = fs::read(self.record(wanted, lock)).ok()?;
        let records: Vec<Record> = serde_json::from_slice(&text).ok()?;
        let there = records.iter().all(|record| record.folder.join("Cargo.toml").is_file());
        (there && records.len() == wanted.len()).then(|| records.into_iter().map(Fetched::from).collect())
    }

    /// Asks cargo, and remembers what it says.
    fn ask(
        &self,
        wanted: &[Wanted],
        path: PathBuf,
        stored: Option<String>,
    ) -> Result<FetchedSet, FetchError> {
        if self.cargo.locked && stored.is_none() {
            return Err(out_of_step(&path, "isn't there"));
        }
        let names: Vec<&str> = wanted.iter().map(|wanted| wanted.name.as_str()).collect();
        (self.fetching)(&names.join(", "));
        let own = self.cache.sources(self.own).map_err(|error| broken(&error))?;
        let own_lock = own.join("Cargo.lock");
        let own_lock = fs::read_to_string(&own_lock)
            .map_err(|error| failed(format!("can't read {}: {error}", own_lock.display())))?;
        let seed = match &stored {
            None => own_lock,
            Some(text) => lock::union(&own_lock, text).map_err(|message| FetchError {
                of: None,
                reason: format!("{} is no lock file", path.display()),
                helps: vec![message, "remove it, and the newest crates are taken".into()],
            })?,
        };
        let parent = self.cache.crates();
        let io = |error: std::io::Error| failed(format!("can't write {}: {error}", parent.display()));
        fs::create_dir_all(&parent).map_err(io)?;
        let folder = tempfile::Builder::new().prefix(".ask-").tempdir_in(&parent).map_err(io)?;
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).map_err(io);
        write("lib.rs", "")?;
        write("Cargo.lock", &seed)?;
        write("Cargo.toml", &self.manifest(wanted, &[], &own))?;
        let mut records = self.metadata(folder.path(), wanted)?;
        // What only a feature brings in must be in the lock file too, whatever the plan
        // turns on in the end.
        let features: Vec<BTreeSet<String>> = records.iter().map(|record| features(&record.folder)).collect();
        if features.iter().any(|features| !features.is_empty()) {
            write("Cargo.toml", &self.manifest(wanted, &features, &own))?;
            records = self.metadata(folder.path(), wanted)?;
        }
        let made = fs::read_to_string(folder.path().join("Cargo.lock")).map_err(io)?;
        let text = with_head(&made, &path);
        if stored.as_deref() != Some(&text) {
            if self.cargo.locked {
                return Err(out_of_step(&path, "is out of step with the file"));
            }
            write_lock(&path, &text)
                .map_err(|error| failed(format!("can't write {}: {error}", path.display())))?;
        }
        let json = serde_json::to_vec(&records).map_err(|error| failed(error.to_string()))?;
        cache::write(&self.record(wanted, &text), &json).map_err(|error| broken(&error))?;
        Ok(FetchedSet {
            crates: records.into_iter().map(Fetched::from).collect(),
            lock: LockFile { path, text },
        })
    }

    /// The `Cargo.toml` of the crate that depends on them.
    fn manifest(&self, wanted: &[Wanted], features: &[BTreeSet<String>], own: &Path) -> String {
        let text = |text: &str| toml::Value::String(text.into()).to_string();
        let mut manifest = format!(
            "[package]\nname = \"{NAME}\"\nversion = \"0.0.0\"\nedition = \"2024\"\npublish = false\n\n[lib]\npath = \"lib.rs\"\n\n[workspace]\n\n[dependencies]\n"
        );
        for (at, wanted) in wanted.iter().enumerate() {
            let from = match &wanted.origin {
                Origin::Registry(requirement) => format!("version = {}", text(requirement)),
                Origin::Git { url, reference } => {
                    let git = format!("git = {}", text(url));
                    match reference {
                        Reference::Head => git,
                        Reference::Branch(branch) => format!("{git}, branch = {}", text(branch)),
                        Reference::Tag(tag) => format!("{git}, tag = {}", text(tag)),
                        Reference::Revision(revision) => format!("{git}, rev = {}", text(revision)),
                    }
                }
            };
            let features: Vec<String> =
                features.get(at).into_iter().flatten().map(|feature| text(feature)).collect();
            // Writing to a String can't fail.
            let _ = writeln!(
                manifest,
                "{} = {{ {from}, default-features = false, features = [{}] }}",
                text(&wanted.name),
                features.join(", ")
            );
        }
        manifest += "\n[patch.crates-io]\n";
        let ours =
            self.catalogue.components().iter().filter(|component| component.package.folder.is_relative());
        let ours: BTreeSet<(&str, &Path)> = ours
            .map(|component| (component.package.name.as_str(), component.package.folder.as_path()))
            .collect();
        for (package, folder) in ours {
            let _ = writeln!(
                manifest,
                "{} = {{ path = {} }}",
                text(package),
                text(&own.join(folder).to_string_lossy())
            );
        }
        manifest
    }

    /// What cargo says of the crate in `folder`.
    fn metadata(&self, folder: &Path, wanted: &[Wanted]) -> Result<Vec<Record>, FetchError> {
        let mut command = self.cargo.command(folder);
        command.args(["metadata", "--quiet", "--format-version", "1"]);
        command.args(["--filter-platform", crate::cargo::TRIPLE]);
        if self.cargo.offline {
            command.arg("--offline");
        }
        command.env("CARGO_TERM_COLOR", "never");
        let output = children::output(&mut command).map_err(|error| broken(&self.cargo.failed(error)))?;
        if !output.status.success() {
            return Err(refused(&String::from_utf8_lossy(&output.stderr), wanted));
        }
        let metadata: Metadata = serde_json::from_slice(&output.stdout)
            .map_err(|error| failed(format!("can't understand cargo: {error}")))?;
        let direct = metadata
            .resolve
            .nodes
            .iter()
            .find(|node| Some(&node.id) == metadata.resolve.root.as_ref())
            .map_or(&[][..], |root| root.dependencies.as_slice());
        let record = |(at, wanted): (usize, &Wanted)| {
            let package = metadata
                .packages
                .iter()
                .find(|package| package.name == wanted.name && direct.contains(&package.id))
                .ok_or_else(|| FetchError {
                    of: Some(at),
                    reason: "it has no library: cargo doesn't take it for a dependency".into(),
                    helps: Vec::new(),
                })?;
            let exact = match &wanted.origin {
                Origin::Registry(_) => Exact::Registry { version: package.version.clone() },
                Origin::Git { url, .. } => {
                    let commit = package.source.as_deref().and_then(|source| source.rsplit_once('#'));
                    let commit = commit.map(|(_, commit)| commit.to_string()).ok_or_else(|| FetchError {
                        of: Some(at),
                        reason: "cargo doesn't say which commit it took".into(),
                        helps: Vec::new(),
                    })?;
                    Exact::Git { url: url.clone(), commit }
                }
            };
            let folder = package.manifest_path.parent().unwrap_or(Path::new("/")).to_owned();
            Ok(Record { folder, exact })
        };
        wanted.iter().enumerate().map(record).collect()
    }
}

fn out_of_step(path: &Path, how: &str) -> FetchError {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let file = name.strip_suffix(".lock").unwrap_or(&name).to_string();
    FetchError {
        of: None,
        reason: format!("its lock file `{name}` {how}"),
        helps: vec![format!("`unikgen check {file}` brings it in step")],
    }
}

/// All cargo features that the table of the component in `folder` can turn on. One that
/// can't be read is an error later, at its place.
fn features(folder: &Path) -> BTreeSet<String> {
    fn of_options<'a>(options: impl Iterator<Item = &'a OptionSpec>, found: &mut BTreeSet<String>) {
        for option in options {
            found.extend(option.forms.iter().flat_map(|form| form.features.iter().cloned()));
            of_options(option.options.values(), found);
        }
    }
    let Ok(component) = Component::read(&folder.join("Cargo.toml")) else { return BTreeSet::new() };
    let mut found: BTreeSet<String> =
        component.parts.values().flat_map(|part| part.features.iter().cloned()).collect();
    of_options(component.options.values(), &mut found);
    found
}

/// Cargo's lock file under a heading that says whose it is.
fn with_head(made: &str, path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let file = name.strip_suffix(".lock").unwrap_or(&name);
    let body: Vec<&str> = made.lines().skip_while(|line| line.starts_with('#') || line.is_empty()).collect();
    format!(
        "# The crates that {file} names by git or version, and what they depend on, as cargo chose\n# them. Made by unikgen. Keep it under version control; remove it to take newer ones.\n{}\n",
        body.join("\n")
    )
}

/// Writes it in one step: who reads it meanwhile reads the old one.
fn write_lock(path: &Path, text: &str) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut fresh = tempfile::Builder::new()
        .prefix(".unikgen-")
        .permissions(fs::Permissions::from_mode(0o644))
        .tempfile_in(folder)?;
    fresh.write_all(text.as_bytes())?;
    fresh.persist(path).map_err(|error| error.error)?;
    Ok(())
}

/// What cargo said when it refused: the reason in a line, and all of it.
fn refused(stderr: &str, wanted: &[Wanted]) -> FetchError {
    let mut text = String::new();
    for line in stderr.trim_end().lines() {
        // The crate that asks is nobody's business.
        if line.trim_start().starts_with(&format!("required by package `{NAME} ")) {
            continue;
        }
        let line = match line.split_once(&format!(" as a dependency of package `{NAME} ")) {
            Some((before, _)) => before,
            None => line,
        };
        text += line.strip_prefix("error: ").unwrap_or(line);
        text.push('\n');
    }
    let text = text.trim();
    let last = text.rsplit("Caused by:").next().unwrap_or(text).trim();
    let reason = last.lines().next().unwrap_or("it doesn't say why").trim().to_string();
    let named = |wanted: &Wanted| {
        [format!("`{}`", wanted.name), format!("`{} ", wanted.name)]
            .iter()
            .filter_map(|name| text.find(name))
            .min()
    };
    let of = (0..wanted.len()).filter_map(|at| Some((named(&wanted[at])?, at))).min().map(|(_, at)| at);
    let helps = if text == reason { Vec::new() } else { vec![format!("in full: {text}")] };
    FetchError { of, reason: format!("cargo says: {reason}"), helps }
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    resolve: Resolve,
}

#[derive(Deserialize)]
struct Package {
    id: String,
    name: String,
    version: String,
    source: Option<String>,
    manifest_path: PathBuf,
}

#[derive(Deserialize)]
struct Resolve {
    root: Option<String>,
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    id: String,
    dependencies: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(name: &str) -> Wanted {
        Wanted { name: name.into(), origin: Origin::Registry("1".into()) }
    }

    #[test]
    fn cargos_reason_is_told_and_whose_fault_it_is() {
        let said = "error: failed to get `b` as a dependency of package `unik-crates v0.0.0 (/x/.ask-1)`\n\nCaused by:\n  failed to load source for dependency `b`\n\nCaused by:\n  revspec 'v9' not found; class=Reference (4); code=NotFound (-3)\n";
        let error = refused(said, &[wanted("a"), wanted("b")]);
        assert_eq!(error.of, Some(1));
        assert_eq!(
            error.reason,
            "cargo says: revspec 'v9' not found; class=Reference (4); code=NotFound (-3)"
        );
        assert!(error.helps[0].starts_with("in full: failed to get `b`\n"), "{error:?}");
        assert!(!error.helps[0].contains("unik-crates"), "{error:?}");

        let said = "error: no matching package named `a` found\nlocation searched: crates.io index\nrequired by package `unik-crates v0.0.0 (/x)`\n";
        let error = refused(said, &[wanted("b"), wanted("a")]);
        assert_eq!(
            (error.of, error.reason.as_str()),
            (Some(1), "cargo says: no matching package named `a` found")
        );

        let error = refused("", &[wanted("a")]);
        assert_eq!((error.of, error.reason.as_str()), (None, "cargo says: it doesn't say why"));
    }

    #[test]
    fn the_lock_file_says_whose_it_is() {
        let text = with_head(
            "# This file is automatically @generated by Cargo.\n# It is not intended for manual editing.\nversion = 4\n",
            Path::new("/x/town.unik.lock"),
        );
        assert!(
            text.starts_with("# The crates that town.unik names") && text.ends_with("\nversion = 4\n"),
            "{text}"
        );
        assert_eq!(with_head(&text, Path::new("/x/town.unik.lock")), text);
        assert_eq!(lock_path(Path::new("a/town.unik")), Path::new("a/town.unik.lock"));
    }
}
