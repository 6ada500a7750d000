//! The `Cargo.toml` of a generated crate.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Serialize;
use unik_catalogue::Target;
use unik_dsl::plan::Plan;

use super::{Dependency, From, dependencies, log_feature, patches};
use crate::host::BakedSet;
use crate::template;

#[derive(Serialize)]
struct View {
    package: String,
    appliance: String,
    dependencies: Vec<Line>,
    patches: Vec<Line>,
    exclude: String,
    machine: bool,
    sim: bool,
}

#[derive(Serialize)]
struct Line {
    key: String,
    value: String,
}

/// Where a generated crate finds what it is made of, as seen from its own folder.
#[derive(Clone, Debug, Default)]
pub struct Places {
    /// The folder of unik's own sources.
    pub own: PathBuf,
    /// The folders of crates that the plan names, where they aren't used by their own path.
    pub crates: BTreeMap<PathBuf, PathBuf>,
    /// Folders inside that of the generated crate that are no part of its workspace.
    pub apart: Vec<PathBuf>,
}

/// The text of the `Cargo.toml` of a generated crate with the name `package`.
#[must_use]
pub fn cargo_toml(plan: &Plan, baked: &BakedSet, package: &str, places: &Places) -> String {
    let dependencies = dependencies(plan, baked);
    let own = &places.own;
    let mut lines: Vec<Line> = dependencies.iter().map(|dependency| line(dependency, places)).collect();
    let patches = patches(&dependencies)
        .map(|(package, folder)| Line {
            key: package.into(),
            value: format!("{{ path = {} }}", text(&own.join(folder))),
        })
        .collect();
    let log = toml::Value::String(log_feature(plan));
    lines.push(Line { key: "log".into(), value: format!("{{ version = \"0.4\", features = [{log}] }}") });
    template::render(
        template::CARGO_TOML,
        &View {
            package: package.into(),
            appliance: plan.appliance.clone(),
            dependencies: lines,
            patches,
            exclude: places.apart.iter().map(|path| text(path)).collect::<Vec<_>>().join(", "),
            machine: plan.target == Target::Machine,
            sim: plan.target == Target::Sim,
        },
    )
}

/// A path as a value of TOML.
fn text(path: &Path) -> String {
    toml::Value::String(path.to_string_lossy().into_owned()).to_string()
}

fn line(dependency: &Dependency, places: &Places) -> Line {
    let text = |text: &str| toml::Value::String(text.into()).to_string();
    let mut parts = match &dependency.from {
        From::Own(folder) => vec![format!("path = {}", text(&places.own.join(folder).to_string_lossy()))],
        From::Path(folder) => {
            let folder = places.crates.get(folder).unwrap_or(folder);
            vec![format!("path = {}", text(&folder.to_string_lossy()))]
        }
        From::Git { url, commit } => vec![format!("git = {}, rev = {}", text(url), text(commit))],
        From::Registry(version) => vec![format!("version = {}", text(&format!("={version}")))],
    };
    if dependency.alias.is_some() {
        parts.push(format!("package = {}", text(&dependency.package)));
    }
    parts.push("default-features = false".into());
    if !dependency.features.is_empty() {
        let features: Vec<String> = dependency.features.iter().map(|feature| text(feature)).collect();
        parts.push(format!("features = [{}]", features.join(", ")));
    }
    let key = dependency.alias.clone().unwrap_or_else(|| dependency.package.clone());
    Line { key, value: format!("{{ {} }}", parts.join(", ")) }
}
