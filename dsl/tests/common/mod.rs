//! What the tests share: a small catalogue, and how a plan is shown.
#![allow(dead_code, reason = "each test crate uses some of it")]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use petgraph::visit::EdgeRef;
use unik_catalogue::Component;
use unik_dsl::plan::{EdgeKind, Role};
use unik_dsl::{Catalogue, Plan, SourceMap};

/// The catalogue in `tests/catalogue/`, and the appliance's settings from the runtime.
pub fn catalogue() -> Catalogue {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files: Vec<_> =
        std::fs::read_dir(here.join("tests/catalogue")).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.push(here.join("../runtime/Cargo.toml"));
    files.sort();
    Catalogue::from_components(files.iter().map(|file| Component::read(file).unwrap()).collect())
}

/// The files of the repository that a path fits, with `*` for any beginning of a part.
pub fn files(pattern: &[&str]) -> Vec<PathBuf> {
    let mut found = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("..")];
    for part in pattern {
        found = match part.strip_prefix('*') {
            None => found.into_iter().map(|path| path.join(part)).filter(|path| path.exists()).collect(),
            Some(end) => found
                .iter()
                .filter_map(|path| std::fs::read_dir(path).ok())
                .flat_map(|entries| entries.map(|entry| entry.unwrap().path()))
                .filter(|path| path.to_string_lossy().ends_with(end))
                // A user's crate keeps sources in a folder of this very name.
                .filter(|path| path.file_name().is_none_or(|name| name != ".unik"))
                .collect(),
        };
    }
    found.sort();
    found
}

/// The catalogue that is in `device-lib/`.
pub fn shipped() -> Catalogue {
    let mut manifests = files(&["device-lib", "*", "Cargo.toml"]);
    manifests.extend(files(&["runtime", "Cargo.toml"]));
    let is_component =
        |path: &PathBuf| std::fs::read_to_string(path).unwrap().contains("[package.metadata.unik]");
    Catalogue::from_components(
        manifests
            .iter()
            .filter(|path| is_component(path))
            .map(|path| Component::read(path).unwrap())
            .collect(),
    )
}

/// A plan as text: settings, instances in start order with options, edges with reasons.
pub fn show(plan: &Plan, sources: &SourceMap) -> String {
    let mut text = format!("appliance {} on {}\n", plan.appliance, plan.target.word());
    let options = |text: &mut String, options: &unik_catalogue::Options, indent: &str| {
        for (key, entries) in options {
            for entry in entries {
                let values: Vec<String> =
                    entry.values.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
                let default = if entry.place.is_none() { " (default)" } else { "" };
                let words: String = entry.words.iter().map(|word| format!(" +{word}")).collect();
                writeln!(text, "{indent}{key} form {} {}{words}{default}", entry.form, values.join(" "))
                    .unwrap();
                for (key, nested) in &entry.nested {
                    writeln!(
                        text,
                        "{indent}    {key} {:?}",
                        nested.iter().map(|n| &n.values).collect::<Vec<_>>()
                    )
                    .unwrap();
                }
            }
        }
    };
    options(&mut text, &plan.settings, "    ");
    let parts = plan.graph.node_indices().filter(|&node| plan.graph[node].role != Role::Instance);
    for index in plan.order.iter().copied().chain(parts) {
        let node = &plan.graph[index];
        let is = match &node.role {
            Role::Instance => format!("= {}", node.component.name),
            Role::Part { part, .. } => format!("part {part}"),
        };
        writeln!(text, "{} {is} features {:?}", node.id, plan.features(index)).unwrap();
        options(&mut text, &node.options, "    ");
        for listen in &node.listens {
            let at = sources.short(listen.place);
            writeln!(
                text,
                "    listens {:?} {} for {} at {at}",
                listen.protocol, listen.port, listen.service
            )
            .unwrap();
        }
        let mut edges: Vec<_> = plan.graph.edges(index).collect();
        edges.sort_by_key(|edge| edge.id());
        for edge in edges {
            let kind = match &edge.weight().kind {
                EdgeKind::Interface(interface) => format!("interface {interface}"),
                kind => format!("{kind:?}").to_lowercase(),
            };
            let at = sources.short(edge.weight().place);
            writeln!(
                text,
                "    → {} [{kind}] {} at {at}",
                plan.graph[edge.target()].id,
                edge.weight().reason
            )
            .unwrap();
        }
    }
    // What differs from checkout to checkout.
    text.replace(env!("CARGO_MANIFEST_DIR"), "$DIR")
}

/// Compares with a file of expected text; `UNIK_BLESS=1` writes it instead.
pub fn expect(file: &Path, text: &str) -> Result<(), String> {
    if std::env::var("UNIK_BLESS").is_ok_and(|value| value == "1") {
        std::fs::write(file, text).unwrap();
        return Ok(());
    }
    let expected = std::fs::read_to_string(file).unwrap_or_default();
    if expected == text {
        Ok(())
    } else {
        Err(format!("{}:\n--- expected\n{expected}\n--- found\n{text}", file.display()))
    }
}
