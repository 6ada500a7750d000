//! Which crates an appliance is built from, with which features; and the `Cargo.toml`
//! that says so.

use std::collections::{BTreeMap, BTreeSet};
#[cfg(feature = "image")]
use std::path::Path;
use std::path::PathBuf;

use sha2::{Digest, Sha256};
use unik_dsl::plan::{CrateSource, Plan};

use crate::expand::{Expansion, crate_of, log_level};
use crate::host::BakedSet;

#[cfg(feature = "image")]
mod text;

#[cfg(feature = "image")]
pub use text::{Places, cargo_toml};

/// A dependency of the generated crate.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Dependency {
    /// The package's name.
    pub package: String,
    /// The name by which Rust code knows it, where that isn't the package's.
    pub alias: Option<String>,
    /// Where it comes from.
    pub from: From,
    /// Its features; the default ones are off.
    pub features: BTreeSet<String>,
}

/// Where a dependency comes from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum From {
    /// This folder of unik's own sources.
    Own(PathBuf),
    /// This folder of the host.
    Path(PathBuf),
    /// A git repository, at a commit.
    Git {
        /// Its address.
        url: String,
        /// The full hash.
        commit: String,
    },
    /// One version on crates.io.
    Registry(String),
}

/// The dependencies of the crate that is generated from `plan`, by name: exactly what the
/// plan holds.
#[must_use]
pub fn dependencies(plan: &Plan, baked: &BakedSet) -> Vec<Dependency> {
    let mut found: BTreeMap<String, Dependency> = BTreeMap::new();
    found.insert(
        "unik".into(),
        Dependency {
            package: "unik".into(),
            alias: None,
            from: From::Own("runtime".into()),
            features: BTreeSet::new(),
        },
    );
    for (index, node) in plan.instances() {
        let package = &node.component.package;
        let from = if package.folder.is_relative() {
            From::Own(package.folder.clone())
        } else {
            named(plan, &package.name).unwrap_or_else(|| From::Path(package.folder.clone()))
        };
        let rust_name = node.component.start.as_deref().map_or("", crate_of);
        let alias = (rust_name != package.name.replace('-', "_")).then(|| rust_name.to_string());
        let entry = found.entry(package.name.clone()).or_insert_with(|| Dependency {
            package: package.name.clone(),
            alias,
            from,
            features: BTreeSet::new(),
        });
        entry.features.extend(plan.features(index));
        if let Some(baked) = baked.instances.get(&node.id) {
            entry.features.extend(baked.features.iter().cloned());
        }
    }
    for named in &plan.crates {
        found.entry(named.name.clone()).or_insert_with(|| Dependency {
            package: named.name.clone(),
            alias: None,
            from: from_source(&named.source),
            features: BTreeSet::new(),
        });
    }
    found.into_values().collect()
}

/// The feature of the `log` crate that leaves records below the appliance's level out of
/// the image.
#[must_use]
pub fn log_feature(plan: &Plan) -> String {
    format!("max_level_{}", log_level(plan).unwrap_or("off"))
}

fn named(plan: &Plan, package: &str) -> Option<From> {
    plan.crates.iter().find(|named| named.name == package).map(|named| from_source(&named.source))
}

fn from_source(source: &CrateSource) -> From {
    match source {
        CrateSource::Path(folder) => From::Path(folder.clone()),
        CrateSource::Git { url, commit } => From::Git { url: url.clone(), commit: commit.clone() },
        CrateSource::Registry { version } => From::Registry(version.clone()),
    }
}

/// The name of the generated package. Two appliances of one name have two of these, so
/// that cargo never takes one for the other in a shared target folder. It goes into the
/// image's symbols: so it is made of what the appliance is, not of where its file is.
#[must_use]
pub fn package_name(plan: &Plan, expansion: &Expansion, foreign: Option<&[u8; 32]>) -> String {
    let mut hash = expansion.hash;
    if let Some(foreign) = foreign {
        hash = Sha256::new().chain_update(hash).chain_update(foreign).finalize().into();
    }
    let hash: String = hash[..6].iter().map(|byte| format!("{byte:02x}")).collect();
    format!("unik-{}-{hash}", plan.appliance)
}

/// Those of unik's own crates that crates of third parties may depend on too, by name and
/// version: they get these sources, so that there is one `unik` in the image. Nothing, when
/// there are no such crates.
#[cfg(feature = "image")]
pub(crate) fn patches(dependencies: &[Dependency]) -> impl Iterator<Item = (&str, &Path)> {
    let third_parties = dependencies.iter().any(|dependency| !matches!(dependency.from, From::Own(_)));
    dependencies.iter().filter(move |_| third_parties).filter_map(|dependency| match &dependency.from {
        From::Own(folder) => Some((dependency.package.as_str(), folder.as_path())),
        _ => None,
    })
}
