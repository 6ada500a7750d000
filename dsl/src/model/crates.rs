//! Crates that a file names: components of others, and crates with handlers.

use std::path::{Path, PathBuf};
use std::rc::Rc;

use indexmap::IndexMap;
use unik_catalogue::value::Place;
use unik_catalogue::{Bound, Component, Kind, ManifestError, Options, Value as Typed};

use super::Checker;
use crate::catalogue::Catalogue;
use crate::diagnostic::{Diagnostic, codes};
use crate::fetch::{FetchError, Fetched, FetchedSet, Origin, Reference, Wanted};
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
constraints = [
    { any-of = ["path", "git", "version"] },
    { excludes = ["path", "git", "version"] },
    { excludes = ["rev", "tag", "branch"] },
    { requires = { option = "rev", needs = "git" } },
    { requires = { option = "tag", needs = "git" } },
    { requires = { option = "branch", needs = "git" } },
]
[package.metadata.unik.options.path]
doc = "The folder of the crate"
usage = "<folder: path>"
constraints = [{ exists = { path = "folder", is = "folder" } }]
[package.metadata.unik.options.git]
doc = "The address of a git repository"
usage = "<url: string>"
[package.metadata.unik.options.rev]
doc = "A commit"
usage = "<commit: string>"
[package.metadata.unik.options.tag]
doc = "A tag"
usage = "<tag: string>"
[package.metadata.unik.options.branch]
doc = "A branch"
usage = "<branch: string>"
[package.metadata.unik.options.version]
doc = "A version requirement, of crates.io"
usage = "<requirement: string>"
"#;

/// The table of what may stand in `crate NAME { … }`; `None` if it were wrong.
pub fn table() -> Option<Component> {
    Component::from_manifest(TABLE, Path::new("crate")).ok()
}

/// A crate, as the file names it.
struct Asked<'s> {
    name: &'s Spanned<String>,
    place: Place,
    from: From,
}

enum From {
    Path(PathBuf),
    Elsewhere(Origin),
}

impl Checker<'_> {
    /// Reads the crates that the file names, and takes their components in.
    pub(super) fn crates<'s>(&mut self, statements: impl Iterator<Item = &'s Statement>) -> Vec<NamedCrate> {
        let asked = self.asked(statements);
        let wanted = |asked: &Asked| match &asked.from {
            From::Path(_) => None,
            From::Elsewhere(origin) => {
                Some(Wanted { name: asked.name.value.clone(), origin: origin.clone() })
            }
        };
        let mut fetched =
            self.fetch(&asked, &asked.iter().filter_map(wanted).collect::<Vec<_>>()).into_iter();
        let mut named = Vec::new();
        for Asked { name, place, from } in asked {
            let crate_ = match from {
                From::Path(folder) => {
                    Some(Fetched { folder: folder.clone(), source: CrateSource::Path(folder) })
                }
                // In the order in which they were asked for.
                From::Elsewhere(_) => fetched.next(),
            };
            match crate_ {
                Some(Fetched { folder, source }) => {
                    self.take_in(name, &folder, &source);
                    named.push(NamedCrate { name: name.value.clone(), source, place });
                }
                None => self.missing_crates = true,
            }
        }
        named
    }

    /// What the file asks for, without what is wrong in itself.
    fn asked<'s>(&mut self, statements: impl Iterator<Item = &'s Statement>) -> Vec<Asked<'s>> {
        let mut found: IndexMap<&str, Asked> = IndexMap::new();
        let table = table();
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
            let (mut flat, mut untaken) = (Vec::new(), super::Untaken::new());
            self.flatten(&statements, 0, &mut flat, &mut untaken);
            let Some(table) = &table else { continue };
            let said = self.diagnostics.len();
            let options = self.options(table, &flat, untaken, statement.place).options;
            self.check_requirement(&options, statement.place);
            match from(&options).filter(|_| self.diagnostics.len() == said) {
                Some(from) => {
                    found.insert(&name.value, Asked { name, place: statement.place, from });
                }
                None => self.missing_crates = true,
            }
        }
        found.into_values().collect()
    }

    /// A version requirement is one before anybody is asked for it.
    fn check_requirement(&mut self, options: &Options, place: Place) {
        let Some(entry) = options.get("version").and_then(|entries| entries.first()) else { return };
        let Some(Typed::String(requirement)) = entry.value("requirement") else { return };
        if let Err(error) = semver::VersionReq::parse(requirement) {
            self.error(
                Diagnostic::error(
                    codes::WRONG_TYPE,
                    entry.place.unwrap_or(place),
                    format!("\"{requirement}\" is no version requirement"),
                )
                .label(error.to_string())
                .help("it is written as for cargo: \"1.2\", \"=1.2.3\", \">=1.2, <1.5\""),
            );
        }
    }

    /// Brings the crates that are elsewhere; none of them, when something is wrong.
    fn fetch(&mut self, asked: &[Asked], wanted: &[Wanted]) -> Vec<Fetched> {
        if wanted.is_empty() {
            return Vec::new();
        }
        let fetched = match self.request.fetch {
            Some(fetch) => fetch.fetch(self.request.file, wanted),
            None => Err(FetchError {
                of: None,
                reason: "nothing here can fetch it".into(),
                helps: vec!["fetch it yourself, and name its folder with `path`".into()],
            }),
        };
        match fetched {
            Ok(FetchedSet { crates, lock }) => {
                self.lock = Some(lock);
                crates
            }
            Err(FetchError { of, reason, helps }) => {
                let guilty = &wanted[of.filter(|&at| at < wanted.len()).unwrap_or(0)].name;
                let place =
                    asked.iter().find(|asked| asked.name.value == *guilty).map(|asked| asked.name.place);
                let Some(place) = place else { return Vec::new() };
                let mut diagnostic =
                    Diagnostic::error(codes::FETCH, place, format!("can't fetch the crate `{guilty}`"))
                        .label(reason);
                diagnostic.helps = helps;
                self.error(diagnostic);
                Vec::new()
            }
        }
    }

    /// An absolute path as a person would write it, where it is below the folder of the file.
    fn seen_from_here(&self, path: &Path) -> PathBuf {
        let folder = self.request.file.parent().unwrap_or(Path::new(""));
        let whole = std::path::absolute(if folder == Path::new("") { Path::new(".") } else { folder });
        match whole.ok().as_deref().and_then(|whole| path.strip_prefix(whole).ok()) {
            Some(inside) => folder.join(inside),
            None => path.to_owned(),
        }
    }

    fn take_in(&mut self, name: &Spanned<String>, folder: &Path, source: &CrateSource) {
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
            Err(ManifestError::NoTable { .. }) if matches!(source, CrateSource::Path(_)) => return,
            Err(ManifestError::NoTable { .. }) => {
                "its `Cargo.toml` has no table [package.metadata.unik], so it is no component".into()
            }
            Err(ManifestError::Table { path, message, spot: Some(spot) }) => {
                // The text that the place is of; what can't be read again is said without it.
                let text = std::fs::read_to_string(&path).unwrap_or_default();
                let source = self.sources.add_file(self.seen_from_here(&path), text);
                let place = Place { source, start: spot.range.start, end: spot.range.end };
                self.error(
                    Diagnostic::error(codes::BAD_TABLE, place, message).and(name.place, "of this crate"),
                );
                self.missing_crates = true;
                return;
            }
            Err(error) => error.to_string(),
        };
        self.error(
            Diagnostic::error(codes::BAD_CRATE, name.place, format!("can't use the crate `{}`", name.value))
                .label(problem),
        );
        self.missing_crates = true;
    }
}

fn from(options: &Options) -> Option<From> {
    let value = |key: &str| options.get(key)?.first()?.values.values().next();
    let text = |key: &str| match value(key) {
        Some(Bound::One(Typed::String(text))) => Some(text.clone()),
        _ => None,
    };
    if let Some(Bound::One(Typed::Path { resolved, .. })) = value("path") {
        return Some(From::Path(resolved.clone()));
    }
    if let Some(url) = text("git") {
        let reference = text("rev")
            .map(Reference::Revision)
            .or_else(|| text("tag").map(Reference::Tag))
            .or_else(|| text("branch").map(Reference::Branch))
            .unwrap_or(Reference::Head);
        return Some(From::Elsewhere(Origin::Git { url, reference }));
    }
    text("version").map(|requirement| From::Elsewhere(Origin::Registry(requirement)))
}
