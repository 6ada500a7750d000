//! `unikgen sync`: keeps the dependencies of a crate of the user's own in step with its plan.
//!
//! A macro can't add dependencies or features. Those of components come from unik's own
//! sources, which are unpacked into `.unik/src` of the project, so that it builds with plain
//! cargo anywhere. Every other line of `Cargo.toml` stays as it is.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Component, Path, PathBuf};

use toml_edit::{Array, DocumentMut, InlineTable, Item, Key, Table, Value};
use unik_dsl::plan::Plan;

use crate::Error;
use crate::build::UserCrate;
use crate::cache::{self, Sources};
use crate::host::BakedSet;
use crate::manifest::{Dependency, From, dependencies, log_feature, patches};

/// Where unik's own sources are, in the project.
const OWN: &str = ".unik/src";
const COMMON: &str = "";
const MACHINE: &str = "cfg(unik_machine)";
const PROCESS: &str = "cfg(not(unik_machine))";
const SIM: &str = "cfg(unik_sim)";

/// A plan for one target, with what host halves made of it.
pub type Planned<'a> = (&'a Plan, &'a BakedSet);

/// What `sync` would do to a `Cargo.toml`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sync {
    /// The file.
    pub path: PathBuf,
    /// Its text now.
    pub before: String,
    /// Its text in step with the plans.
    pub after: String,
    /// What changes, a line for each.
    pub changes: Vec<String>,
}

/// The crate of the user's own that uses `file` by `unik::appliance!`, if there is one: the
/// nearest `Cargo.toml` above the file decides.
///
/// # Errors
/// [`Error::Manifest`], when that `Cargo.toml` can't be read.
pub fn user_crate(file: &Path) -> Result<Option<UserCrate>, Error> {
    let Ok(file) = file.canonicalize() else { return Ok(None) };
    let Some(folder) = file.ancestors().skip(1).find(|folder| folder.join("Cargo.toml").is_file()) else {
        return Ok(None);
    };
    let path = folder.join("Cargo.toml");
    let document = parse(&path, &read(&path)?)?;
    let Some(name) = document.get("package").and_then(|package| package.get("name")).and_then(Item::as_str)
    else {
        return Ok(None);
    };
    let mut binaries = vec![(name.to_string(), folder.join("src/main.rs"))];
    for binary in document.get("bin").and_then(Item::as_array_of_tables).into_iter().flatten() {
        let text = |key: &str| binary.get(key).and_then(Item::as_str);
        let bin = text("name").unwrap_or(name);
        let default = if bin == name { "src/main.rs".into() } else { format!("src/bin/{bin}.rs") };
        binaries.push((bin.into(), folder.join(text("path").unwrap_or(&default))));
    }
    let uses = |source: &Path| fs::read_to_string(source).is_ok_and(|text| uses_file(&text, folder, &file));
    Ok(binaries
        .into_iter()
        .rev()
        .find(|(_, source)| uses(source))
        .map(|(binary, _)| UserCrate { folder: folder.into(), binary }))
}

/// Whether the source text has `appliance!("…")` at its root, with the path of `file`.
fn uses_file(text: &str, folder: &Path, file: &Path) -> bool {
    let Ok(source) = syn::parse_file(text) else { return false };
    source.items.iter().any(|item| match item {
        syn::Item::Macro(item) => {
            item.mac.path.segments.last().is_some_and(|segment| segment.ident == "appliance")
                && syn::parse2::<syn::LitStr>(item.mac.tokens.clone())
                    .is_ok_and(|path| folder.join(path.value()).canonicalize().is_ok_and(|path| path == file))
        }
        _ => false,
    })
}

/// Compares the `Cargo.toml` of `user` with the plans of its appliance: for the machine, and
/// for the process and the simulation if there are such.
///
/// # Errors
/// [`Error::Manifest`], when it can't be read.
pub fn plan_sync(
    user: &UserCrate,
    machine: Option<Planned>,
    process: Option<Planned>,
    sim: Option<Planned>,
) -> Result<Sync, Error> {
    let path = user.folder.join("Cargo.toml");
    let before = read(&path)?;
    let mut document = parse(&path, &before)?;
    let mut changes = Vec::new();
    let tables = wanted(&user.folder, machine, process, sim);
    let patches = wanted_patches(&user.folder, [machine, process, sim]);
    let tables = tables.iter().map(|(cfg, wanted)| match *cfg {
        COMMON => ("[dependencies]".into(), vec!["dependencies"], wanted),
        cfg => (format!("[target.'{cfg}'.dependencies]"), vec!["target", cfg, "dependencies"], wanted),
    });
    for (name, keys, wanted) in
        tables.chain([("[patch.crates-io]".into(), vec!["patch", "crates-io"], &patches)])
    {
        let table = table_of(&mut document, &keys, !wanted.is_empty())
            .map_err(|message| Error::Manifest { path: path.clone(), message })?;
        if let Some(table) = table {
            sync_table(table, wanted, &name, &mut changes);
        }
    }
    sync_rest(&mut document, &mut changes);
    Ok(Sync { path, before, after: document.to_string(), changes })
}

impl Sync {
    /// Whether `Cargo.toml` is in step, and `own` is what the project has unpacked.
    #[must_use]
    pub fn is_current(&self, own: &Sources) -> bool {
        self.changes.is_empty() && has_sources(self.folder(), own)
    }

    fn folder(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new("."))
    }

    /// Brings the project in step: unpacks unik's own sources and writes `Cargo.toml`.
    ///
    /// # Errors
    /// When a file can't be written.
    pub fn apply(&self, own: &Sources) -> Result<(), Error> {
        unpack(self.folder(), own)?;
        cache::write_changed(&self.path, self.after.as_bytes())
    }
}

/// The folder above `file` whose `Cargo.toml` says that crates of unik's are in its `.unik/src`: a
/// project with components of its own, whose tests plain cargo runs.
#[must_use]
pub fn patched_folder(file: &Path) -> Option<PathBuf> {
    let file = file.canonicalize().ok()?;
    let folder = file.ancestors().skip(1).find(|folder| folder.join("Cargo.toml").is_file())?;
    let manifest: DocumentMut = fs::read_to_string(folder.join("Cargo.toml")).ok()?.parse().ok()?;
    let patches = manifest.get("patch")?.get("crates-io")?.as_table_like()?;
    let is_own = |item: &Item| {
        let path = item.get("path").and_then(Item::as_str);
        path.is_some_and(|path| Path::new(path).starts_with(OWN))
    };
    patches.iter().any(|(_, item)| is_own(item)).then(|| folder.to_owned())
}

/// Whether unik's own sources are unpacked in the project in `folder`.
#[must_use]
pub fn has_sources(folder: &Path, own: &Sources) -> bool {
    fs::read_to_string(folder.join(OWN).join(".version")).is_ok_and(|hash| hash == own.hash)
}

/// Unpacks unik's own sources in the project in `folder`, unless they are there, and says whether
/// it did. Where there is no lock file, theirs comes beside the `Cargo.toml`.
///
/// # Errors
/// When a file can't be written.
pub fn unpack(folder: &Path, own: &Sources) -> Result<bool, Error> {
    let is_news = !has_sources(folder, own);
    if is_news {
        let (target, parent) = (folder.join(OWN), folder.join(".unik"));
        let fail = |source| Error::Io { path: target.clone(), source };
        fs::create_dir_all(&parent).map_err(fail)?;
        let fresh = tempfile::Builder::new().prefix(".unpack-").tempdir_in(&parent).map_err(fail)?;
        own.unpack(fresh.path())?;
        cache::write(&fresh.path().join(".version"), own.hash.as_bytes())?;
        if target.exists() {
            fs::remove_dir_all(&target).map_err(fail)?;
        }
        fs::rename(fresh.path(), &target).map_err(fail)?;
        // It has moved: nothing is left to remove.
        let _ = fresh.keep();
    }
    let lock = folder.join("Cargo.lock");
    if !lock.exists() {
        // The versions that unik was tested with.
        let path = folder.join(OWN).join("Cargo.lock");
        cache::write(&lock, &fs::read(&path).map_err(|source| Error::Io { path, source })?)?;
    }
    Ok(is_news)
}

type Wanted = BTreeMap<String, Value>;

/// What each table of dependencies must hold of ours.
fn wanted(
    folder: &Path,
    machine: Option<Planned>,
    process: Option<Planned>,
    sim: Option<Planned>,
) -> [(&'static str, Wanted); 4] {
    let list =
        |planned: Option<Planned>| planned.map_or_else(Vec::new, |(plan, baked)| dependencies(plan, baked));
    let (on_machine, in_process) = (list(machine), list(process));
    let both: Vec<&Dependency> =
        on_machine.iter().filter(|dependency| in_process.contains(dependency)).collect();
    let entries = |list: &[Dependency]| -> Wanted {
        list.iter()
            .filter(|dependency| !both.contains(dependency) && dependency.package != "unik")
            .map(|dependency| entry(dependency, folder))
            .collect()
    };
    let (mut only_machine, only_process) = (entries(&on_machine), entries(&in_process));
    // Those of a process are there too, and those of both.
    let mut only_sim = entries(&list(sim));
    only_sim.retain(|key, _| !only_process.contains_key(key));
    if let Some((plan, _)) = machine {
        let mut log = InlineTable::new();
        log.insert("version", "0.4".into());
        log.insert("default-features", false.into());
        log.insert("features", Value::Array(Array::from_iter([log_feature(plan)])));
        only_machine.insert("log".into(), Value::InlineTable(log));
    }
    let mut common: Wanted = both
        .iter()
        .filter(|dependency| dependency.package != "unik")
        .map(|dependency| entry(dependency, folder))
        .collect();
    let (name, unik) = entry(
        &Dependency {
            package: "unik".into(),
            alias: None,
            from: From::Own("runtime".into()),
            features: ["appliance".to_string()].into(),
        },
        folder,
    );
    common.insert(name, unik);
    [(COMMON, common), (MACHINE, only_machine), (PROCESS, only_process), (SIM, only_sim)]
}

/// What crates of third parties must find under the names of unik's own.
fn wanted_patches(folder: &Path, planned: [Option<Planned>; 3]) -> Wanted {
    let all: Vec<Dependency> =
        planned.into_iter().flatten().flat_map(|(plan, baked)| dependencies(plan, baked)).collect();
    patches(&all)
        .map(|(package, own)| {
            let patch = Dependency {
                package: package.into(),
                alias: None,
                from: From::Own(own.into()),
                features: BTreeSet::new(),
            };
            let (name, mut value) = entry(&patch, folder);
            if let Some(table) = value.as_inline_table_mut() {
                table.remove("default-features");
            }
            (name, value)
        })
        .collect()
}

/// The key and value of a dependency in `Cargo.toml`.
fn entry(dependency: &Dependency, folder: &Path) -> (String, Value) {
    let mut table = InlineTable::new();
    let mut put = |key: &str, value: Value| {
        table.insert(key, value);
    };
    match &dependency.from {
        From::Own(inside) => put("path", Path::new(OWN).join(inside).to_string_lossy().as_ref().into()),
        From::Path(path) => put("path", relative(path, folder).to_string_lossy().as_ref().into()),
        From::Git { url, commit } => {
            put("git", url.as_str().into());
            put("rev", commit.as_str().into());
        }
        From::Registry(version) => put("version", format!("={version}").into()),
    }
    if dependency.alias.is_some() {
        put("package", dependency.package.as_str().into());
    }
    put("default-features", false.into());
    if !dependency.features.is_empty() {
        put("features", Value::Array(Array::from_iter(dependency.features.iter().cloned())));
    }
    let key = dependency.alias.clone().unwrap_or_else(|| dependency.package.clone());
    (key, Value::InlineTable(table))
}

/// `path` as seen from `folder`; both absolute.
fn relative(path: &Path, folder: &Path) -> PathBuf {
    let (path_parts, folder_parts): (Vec<Component>, Vec<Component>) =
        (path.components().collect(), folder.components().collect());
    let shared = path_parts.iter().zip(&folder_parts).take_while(|(a, b)| a == b).count();
    if shared == 0 {
        return path.into();
    }
    folder_parts[shared..]
        .iter()
        .map(|_| Component::ParentDir)
        .chain(path_parts[shared..].iter().copied())
        .collect()
}

/// The table at `path`; made when there is none and `needed` says so.
fn table_of<'a>(
    document: &'a mut DocumentMut,
    path: &[&str],
    needed: bool,
) -> Result<Option<&'a mut Table>, String> {
    let mut table: &mut Table = document.as_table_mut();
    for (at, key) in path.iter().enumerate() {
        if !table.contains_key(key) {
            if !needed {
                return Ok(None);
            }
            let mut new = Table::new();
            new.set_implicit(at + 1 < path.len());
            // `'cfg(…)'`, as people write it.
            let quoted = if key.contains('(') { format!("'{key}'") } else { (*key).to_string() };
            let key: Key = quoted.parse().map_err(|error: toml_edit::TomlError| error.to_string())?;
            table.insert_formatted(&key, Item::Table(new));
        }
        table = table.get_mut(key).and_then(Item::as_table_mut).ok_or_else(|| {
            format!("`{}` is written in a way that sync can't change: make it a table", path.join("."))
        })?;
    }
    Ok(Some(table))
}

fn sync_table(table: &mut Table, wanted: &Wanted, name: &str, changes: &mut Vec<String>) {
    let stale: Vec<String> = table
        .iter()
        .filter(|(key, item)| is_own(item) && !wanted.contains_key(*key))
        .map(|(key, _)| key.to_string())
        .collect();
    for key in stale {
        table.remove(&key);
        changes.push(format!("{name}: remove {key}"));
    }
    for (key, value) in wanted {
        let old = table.get(key);
        if old.is_some_and(|old| same(old, value)) {
            continue;
        }
        changes.push(format!(
            "{name}: {} {key} = {}",
            if old.is_some() { "change" } else { "add" },
            value.to_string().trim()
        ));
        table.insert(key, Item::Value(value.clone()));
    }
}

/// Whether a dependency comes from unik's own sources.
fn is_own(item: &Item) -> bool {
    item.get("path").and_then(Item::as_str).is_some_and(|path| Path::new(path).starts_with(OWN))
}

/// Whether two dependencies say the same, however they are written.
fn same(old: &Item, new: &Value) -> bool {
    let Some(new) = new.as_inline_table() else { return false };
    let Some(old) = old.as_table_like() else { return false };
    let text = |item: &Item| {
        let mut words: Vec<String> = match item.as_array() {
            Some(array) => array.iter().map(|value| value.clone().decorated("", "").to_string()).collect(),
            None => {
                item.as_value().map(|value| value.clone().decorated("", "").to_string()).into_iter().collect()
            }
        };
        words.sort();
        words
    };
    old.len() == new.len()
        && new.iter().all(|(key, value)| {
            old.get(key).is_some_and(|old| text(old) == text(&Item::Value(value.clone())))
        })
}

/// What else plain cargo needs to know.
fn sync_rest(document: &mut DocumentMut, changes: &mut Vec<String>) {
    // Path dependencies below a workspace become members of it, but these have their own.
    if let Some(workspace) = document.get_mut("workspace").and_then(Item::as_table_mut) {
        let exclude = workspace.entry("exclude").or_insert(Item::Value(Value::Array(Array::new())));
        if let Some(exclude) = exclude.as_array_mut()
            && !exclude.iter().any(|folder| folder.as_str() == Some(".unik"))
        {
            exclude.push(".unik");
            changes.push("[workspace]: exclude .unik".into());
        }
    }
    let lints = document.entry("lints").or_insert_with(|| {
        let mut table = Table::new();
        table.set_implicit(true);
        Item::Table(table)
    });
    if lints.get("workspace").is_some() {
        return;
    }
    let Some(lints) = lints.as_table_mut() else { return };
    let rust = lints.entry("rust").or_insert_with(|| Item::Table(Table::new()));
    if let Some(rust) = rust.as_table_like_mut()
        && rust.get("unexpected_cfgs").is_none()
    {
        let mut lint = InlineTable::new();
        lint.insert("level", "warn".into());
        lint.insert("check-cfg", Value::Array(Array::from_iter(["cfg(unik_machine)", "cfg(unik_sim)"])));
        rust.insert("unexpected_cfgs", Item::Value(Value::InlineTable(lint)));
        changes.push("[lints.rust]: let rustc know cfg(unik_machine) and cfg(unik_sim)".into());
    } else if let Some(known) = rust.as_table_like_mut().and_then(|rust| {
        rust.get_mut("unexpected_cfgs")?.as_table_like_mut()?.get_mut("check-cfg")?.as_array_mut()
    }) && known.iter().any(|cfg| cfg.as_str() == Some("cfg(unik_machine)"))
        && !known.iter().any(|cfg| cfg.as_str() == Some("cfg(unik_sim)"))
    {
        // Written by a version that knew no simulation.
        known.push("cfg(unik_sim)");
        changes.push("[lints.rust]: let rustc know cfg(unik_sim)".into());
    }
}

fn read(path: &Path) -> Result<String, Error> {
    fs::read_to_string(path).map_err(|source| Error::Io { path: path.into(), source })
}

fn parse(path: &Path, text: &str) -> Result<DocumentMut, Error> {
    text.parse().map_err(|error: toml_edit::TomlError| Error::Manifest {
        path: path.into(),
        message: error.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_as_seen_from_a_folder() {
        assert_eq!(relative(Path::new("/a/b/c"), Path::new("/a/x")), Path::new("../b/c"));
        assert_eq!(relative(Path::new("/a/b"), Path::new("/a/b")), Path::new(""));
    }

    #[test]
    fn a_crate_is_found_by_its_macro() {
        let folder = tempfile::tempdir().unwrap();
        let write =
            |name: &str, text: &str| cache::write(&folder.path().join(name), text.as_bytes()).unwrap();
        write("Cargo.toml", "[package]\nname = \"mine\"\n");
        write("a.unik", "");
        write("b.unik", "");
        write("src/main.rs", "unik::appliance!(\"a.unik\");");
        let found = user_crate(&folder.path().join("a.unik")).unwrap().unwrap();
        assert_eq!(found.binary, "mine");
        assert_eq!(user_crate(&folder.path().join("b.unik")).unwrap(), None);
        write("Cargo.toml", "[package\n");
        assert!(user_crate(&folder.path().join("a.unik")).unwrap_err().to_string().contains("Cargo.toml"));
    }

    #[test]
    fn a_table_is_brought_in_step_and_the_rest_stays() {
        let before = "[package]\nname = \"x\" # mine\n\n[dependencies]\nserde = \"1\"   # keep\nunik-old = { path = \".unik/src/old\" }\n\n[workspace]\n";
        let mut document: DocumentMut = before.parse().unwrap();
        let dependency = |package: &str| Dependency {
            package: package.into(),
            alias: None,
            from: From::Own(format!("device-lib/{package}").into()),
            features: ["b".to_string(), "a".to_string()].into(),
        };
        let wanted: Wanted = [entry(&dependency("unik-ip"), Path::new("/x"))].into();
        let mut changes = Vec::new();
        let table = table_of(&mut document, &["dependencies"], true).unwrap().unwrap();
        sync_table(table, &wanted, "[dependencies]", &mut changes);
        sync_rest(&mut document, &mut changes);
        let after = document.to_string();
        for part in [
            "name = \"x\" # mine",
            "serde = \"1\"   # keep",
            "unik-ip = { path = \".unik/src/device-lib/unik-ip\", default-features = false, features = [\"a\", \"b\"] }",
            "exclude = [\".unik\"]",
            "cfg(unik_machine)",
        ] {
            assert!(after.contains(part), "{part}\n{after}");
        }
        assert!(!after.contains("unik-old"));
        assert_eq!(changes.len(), 4, "{changes:?}");

        changes.clear();
        sync_table(
            table_of(&mut document, &["dependencies"], true).unwrap().unwrap(),
            &wanted,
            "",
            &mut changes,
        );
        sync_rest(&mut document, &mut changes);
        assert!(changes.is_empty(), "{changes:?}");
        assert_eq!(document.to_string(), after);
    }
}
