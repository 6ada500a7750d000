//! Crates that a file names: components of others, and crates with handlers.

use std::path::Path;
use std::rc::Rc;

use indexmap::IndexMap;
use unik_catalogue::value::Place;
use unik_catalogue::{Component, Kind, ManifestError, Options, Value as Typed};

use super::Checker;
use crate::catalogue::Catalogue;
use crate::diagnostic::{Diagnostic, codes};
use crate::plan::{CrateSource, NamedCrate};
use crate::syntax::{Spanned, Statement, StatementKind};

/// What may stand in `crate NAME { … }`, in the catalogue's own words.
const TABLE: &str = r#"
[package]
name = "crate"
[package.metadata.unik]
name = "crate"
kind = "appliance"
summary = "A crate that a file names"
constraints = [{ any-of = ["path", "git", "version"] }, { excludes = ["path", "git", "version"] }, { requires = { option = "revision", needs = "git" } }]
[package.metadata.unik.options.path]
doc = "The folder of the crate"
usage = "<folder: path>"
constraints = [{ exists = { path = "folder", is = "folder" } }]
[package.metadata.unik.options.git]
doc = "The address of a git repository"
usage = "<url: string>"
[package.metadata.unik.options.revision]
doc = "A commit, tag or branch"
usage = "<revision: string>"
[package.metadata.unik.options.version]
doc = "A version requirement, of the registry"
usage = "<requirement: string>"
"#;

impl Checker<'_> {
    /// Reads the crates that the file names, and takes their components in.
    pub(super) fn crates<'s>(&mut self, statements: impl Iterator<Item = &'s Statement>) -> Vec<NamedCrate> {
        let mut found: IndexMap<&str, NamedCrate> = IndexMap::new();
        let table = Component::from_manifest(TABLE, Path::new("crate"));
        for statement in statements {
            let StatementKind::Crate { name, body } = &statement.kind else { continue };
            if let Some(first) = found.get(name.value.as_str()) {
                let first = first.place;
                self.error(
                    Diagnostic::error(
                        codes::DUPLICATE,
                        name.place,
                        format!("the crate `{}` is named twice", name.value),
                    )
                    .and(first, "the first time"),
                );
                continue;
            }
            let statements: Vec<&Statement> = body.iter().collect();
            let mut flat = Vec::new();
            self.flatten(&statements, 0, &mut flat);
            let Ok(table) = &table else { continue };
            let said = self.diagnostics.len();
            let options = self.options(table, &flat, statement.place).options;
            let Some(source) = source(&options).filter(|_| self.diagnostics.len() == said) else {
                self.missing_crates = true;
                continue;
            };
            self.take_in(name, &source, statement.place);
            found
                .insert(&name.value, NamedCrate { name: name.value.clone(), source, place: statement.place });
        }
        found.into_values().collect()
    }

    fn take_in(&mut self, name: &Spanned<String>, source: &CrateSource, place: Place) {
        let CrateSource::Path(folder) = source else {
            // One that a caller fetched is in the catalogue already.
            if !self.catalogue.components().iter().any(|component| component.package.name == name.value) {
                self.error(
                    Diagnostic::error(
                        codes::NOT_SUPPORTED,
                        place,
                        "crates by git or version are not supported yet",
                    )
                    .help("fetch it, and name its folder with `path`"),
                );
                self.missing_crates = true;
            }
            return;
        };
        let problem = match Catalogue::load_crate(folder) {
            Ok(component) if component.package.name != name.value => {
                format!("the crate in this folder is called `{}`", component.package.name)
            }
            Ok(component) if component.kind == Kind::Appliance => "it claims to be the runtime".into(),
            Ok(component) => {
                let component_name = component.name.clone();
                let same = self.catalogue.component(&component_name).map(Rc::clone);
                match same {
                    Some(known) if known.package.folder != component.package.folder => {
                        format!(
                            "its component `{component_name}` has the name of one in `{}`",
                            known.package.name
                        )
                    }
                    _ => {
                        self.catalogue.add(component);
                        return;
                    }
                }
            }
            // A crate with handlers only.
            Err(ManifestError::NoTable { .. }) => return,
            Err(error) => error.to_string(),
        };
        self.error(
            Diagnostic::error(codes::BAD_CRATE, name.place, format!("can't use the crate `{}`", name.value))
                .label(problem),
        );
        self.missing_crates = true;
    }
}

fn source(options: &Options) -> Option<CrateSource> {
    let value = |key: &str, name: &str| options.get(key)?.first()?.value(name);
    if let Some(Typed::Path { resolved, .. }) = value("path", "folder") {
        return Some(CrateSource::Path(resolved.clone()));
    }
    if let Some(Typed::String(url)) = value("git", "url") {
        let revision = match value("revision", "revision") {
            Some(Typed::String(revision)) => revision.clone(),
            _ => "HEAD".into(),
        };
        return Some(CrateSource::Git { url: url.clone(), revision });
    }
    match value("version", "requirement") {
        Some(Typed::String(requirement)) => Some(CrateSource::Registry(requirement.clone())),
        _ => None,
    }
}
