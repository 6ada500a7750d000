//! Crates of third parties that the file names by a folder, as a generated crate sees them.
//!
//! Cargo names a crate outside of the workspace by its absolute path, and that name goes into
//! every symbol and type of it: the same appliance would be another image in another folder.
//! So the generated crate reaches these crates through a link beside its own sources, under
//! which they lie to each other as they do where they are. The link is named after their
//! contents: in the shared target folder, crates that differ have different names.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use unik_dsl::plan::{CrateSource, Plan};

use crate::{Error, cache};

/// The folders of third parties' crates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Foreign {
    /// The folder that holds them all.
    above: PathBuf,
    /// What they contain.
    hash: [u8; 32],
    /// Their folders as the plan has them, and from `above`.
    inside: BTreeMap<PathBuf, PathBuf>,
}

impl Foreign {
    /// Those of `plan`, with what they depend on by path; `None`, when there are none.
    ///
    /// # Errors
    /// When one can't be read.
    pub fn of(plan: &Plan) -> Result<Option<Foreign>, Error> {
        let paths = |source: &CrateSource| match source {
            CrateSource::Path(folder) => Some(folder.clone()),
            _ => None,
        };
        let is_elsewhere = |name: &str| {
            plan.crates
                .iter()
                .any(|named| named.name == name && !matches!(named.source, CrateSource::Path(_)))
        };
        let named = plan.crates.iter().filter_map(|named| paths(&named.source));
        let of_components = plan
            .instances()
            .map(|(_, node)| &node.component.package)
            // Cargo names those from elsewhere by where they come from, wherever they are.
            .filter(|package| package.folder.is_absolute() && !is_elsewhere(&package.name))
            .map(|package| package.folder.clone());
        Foreign::in_folders(named.chain(of_components))
    }

    fn in_folders(folders: impl Iterator<Item = PathBuf>) -> Result<Option<Foreign>, Error> {
        let mut found = Found::default();
        let mut named = BTreeMap::new();
        for folder in folders {
            let real = canonical(&folder)?;
            found.add(&real)?;
            named.insert(folder, real);
        }
        let Some(above) = found.above else { return Ok(None) };
        let from_above = |real: &Path| real.strip_prefix(&above).unwrap_or(real).to_path_buf();
        let mut hash = Sha256::new();
        for (real, is_crate) in &found.folders {
            hash.update(from_above(real).as_os_str().as_encoded_bytes());
            hash.update([0, u8::from(*is_crate)]);
            if *is_crate {
                cache::hash_folder(real, &mut hash)?;
            } else {
                let path = real.join("Cargo.toml");
                hash.update(fs::read(&path).map_err(|source| Error::Io { path, source })?);
            }
        }
        let inside = named.into_iter().map(|(folder, real)| (folder, from_above(&real))).collect();
        Ok(Some(Foreign { hash: hash.finalize().into(), inside, above }))
    }

    /// What the crates contain.
    #[must_use]
    pub fn hash(&self) -> &[u8; 32] {
        &self.hash
    }

    /// The folder that the link leads to.
    pub(crate) fn above(&self) -> &Path {
        &self.above
    }

    /// The name of the link, beside the sources of the generated crate.
    pub(crate) fn link(&self) -> PathBuf {
        format!("crates-{}", cache::hex(&self.hash[..6])).into()
    }

    /// The folders that the plan names, and where they are seen from the generated crate.
    pub(crate) fn places(&self) -> BTreeMap<PathBuf, PathBuf> {
        let link = self.link();
        self.inside.iter().map(|(folder, inside)| (folder.clone(), link.join(inside))).collect()
    }
}

/// What was found so far, following dependencies by path.
#[derive(Default)]
struct Found {
    /// Folders of crates (`true`), and of workspaces that they belong to.
    folders: BTreeMap<PathBuf, bool>,
    above: Option<PathBuf>,
}

impl Found {
    fn add(&mut self, folder: &Path) -> Result<(), Error> {
        if self.folders.insert(folder.to_owned(), true) == Some(true) {
            return Ok(());
        }
        self.include(folder);
        let manifest = read_manifest(folder)?;
        let mut workspace = manifest.get("workspace").cloned();
        let mut root = folder.to_owned();
        if workspace.is_none() {
            for parent in folder.ancestors().skip(1).filter(|parent| parent.join("Cargo.toml").is_file()) {
                // One that can't be understood is cargo's to speak of.
                let Ok(table) = read_manifest(parent) else { continue };
                if let Some(found) = table.get("workspace") {
                    workspace = Some(found.clone());
                    root = parent.to_owned();
                    self.folders.entry(root.clone()).or_insert(false);
                    self.include(&root);
                    break;
                }
            }
        }
        let inherited = |name: &str| {
            Some(root.join(workspace.as_ref()?.get("dependencies")?.get(name)?.get("path")?.as_str()?))
        };
        for (name, dependency) in dependencies(&manifest) {
            let path = match dependency.get("path").and_then(toml::Value::as_str) {
                Some(path) => Some(folder.join(path)),
                None if dependency.get("workspace").is_some() => inherited(name),
                None => None,
            };
            // One that isn't there, perhaps for another platform, is cargo's to speak of.
            if let Some(path) = path.and_then(|path| path.canonicalize().ok()) {
                self.add(&path)?;
            }
        }
        Ok(())
    }

    /// Raises `above` until it holds `folder`.
    fn include(&mut self, folder: &Path) {
        let above = self.above.get_or_insert_with(|| folder.to_owned());
        while !folder.starts_with(&above) && above.pop() {}
    }
}

/// The dependencies that matter for an image, of all platforms, by the names they are known by.
fn dependencies(manifest: &toml::Table) -> impl Iterator<Item = (&str, &toml::Value)> {
    fn of(table: &toml::Table) -> Vec<&toml::Table> {
        let keys = ["dependencies", "build-dependencies"];
        keys.into_iter().filter_map(|key| table.get(key)?.as_table()).collect()
    }
    let mut tables = of(manifest);
    if let Some(targets) = manifest.get("target").and_then(toml::Value::as_table) {
        tables.extend(targets.values().filter_map(toml::Value::as_table).flat_map(of));
    }
    tables.into_iter().flatten().map(|(name, dependency)| (name.as_str(), dependency))
}

fn read_manifest(folder: &Path) -> Result<toml::Table, Error> {
    let path = folder.join("Cargo.toml");
    let text = fs::read_to_string(&path).map_err(|source| Error::Io { path: path.clone(), source })?;
    text.parse().map_err(|error: toml::de::Error| Error::Manifest { path, message: error.to_string() })
}

fn canonical(folder: &Path) -> Result<PathBuf, Error> {
    folder.canonicalize().map_err(|source| Error::Io { path: folder.into(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crates(root: &Path) -> [PathBuf; 2] {
        let write = |path: &str, text: &str| cache::write(&root.join(path), text.as_bytes()).unwrap();
        write("Cargo.toml", "[workspace]\n[workspace.dependencies]\nlow = { path = \"low\" }\n");
        write(
            "a/Cargo.toml",
            "[package]\nname = \"a\"\n[target.'cfg(unix)'.dependencies]\nlow.workspace = true\n",
        );
        write("a/src/lib.rs", "");
        write("low/Cargo.toml", "[package]\nname = \"low\"\n[dependencies]\na = { path = \"../a\" }\n");
        write(
            "other/b/Cargo.toml",
            "[package]\nname = \"b\"\n[dependencies]\nlow = { path = \"../../low\" }\n",
        );
        [root.join("a"), root.join("other/b")]
    }

    #[test]
    fn the_same_crates_are_the_same_anywhere() {
        let here = tempfile::tempdir().unwrap();
        let there = tempfile::tempdir().unwrap();
        let of = |root: &Path| Foreign::in_folders(crates(root).into_iter()).unwrap().unwrap();
        let (one, two) = (of(here.path()), of(&there.path().join("deep/er")));
        assert_eq!(one.hash, two.hash);
        let b = |foreign: &Foreign, root: &Path| foreign.places()[&root.join("other/b")].clone();
        assert_eq!(b(&one, here.path()), b(&two, &there.path().join("deep/er")));
        assert!(b(&one, here.path()).is_relative());
        assert_eq!(one.above(), here.path().canonicalize().unwrap());

        // What a crate depends on is part of it; what cargo made isn't.
        cache::write(&here.path().join("a/target/x"), b"x").unwrap();
        assert_eq!(of(here.path()).hash, one.hash);
        cache::write(&here.path().join("low/src/lib.rs"), b"pub fn new() {}").unwrap();
        assert_ne!(of(here.path()).hash, one.hash);
    }

    #[test]
    fn none_is_nothing_and_a_missing_one_is_named() {
        assert_eq!(Foreign::in_folders(std::iter::empty()).unwrap(), None);
        let error = Foreign::in_folders([PathBuf::from("/none/such")].into_iter()).unwrap_err();
        assert!(error.to_string().contains("/none/such"), "{error}");
    }
}
