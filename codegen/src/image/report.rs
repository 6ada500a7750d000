//! What is in an image: sections, bytes by crate, and the places in the `.unik` file that
//! brought each node in.

use std::collections::BTreeMap;

use object::{Object as _, ObjectSymbol as _, SymbolKind};
use serde::{Deserialize, Serialize};
use unik_dsl::plan::{Origin, Plan, Role};
use unik_dsl::source::SourceMap;

use super::{loaded, parse};
use crate::Error;
use crate::note::DeviceManifest;
use crate::record::Record;

/// The report of one image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Report {
    /// The version of this table: 1.
    pub version: u32,
    /// How the image was built.
    pub build: Record,
    /// What the image needs of its monitor.
    pub manifest: DeviceManifest,
    /// Bytes that are loaded from the file.
    pub loaded: u64,
    /// Bytes of memory that the image takes before it allocates any.
    pub memory: u64,
    /// The loaded sections, by address.
    pub sections: Vec<SectionSize>,
    /// Bytes of named functions and constants by crate, largest first. What the compiler
    /// merged or left without a name is under the crate `?`.
    pub crates: Vec<CrateSize>,
    /// The nodes of the plan, each with the place that brought it in.
    pub nodes: Vec<NodeEntry>,
}

/// A loaded section.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct SectionSize {
    /// Its name.
    pub name: String,
    /// Its address.
    pub address: u64,
    /// Its bytes in memory.
    pub size: u64,
    /// Whether they are in the file, too.
    pub in_file: bool,
}

/// What a crate takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct CrateSize {
    /// The crate.
    pub name: String,
    /// Its bytes.
    pub size: u64,
}

/// A node of the plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct NodeEntry {
    /// Its name: `lan`, `lan/tcp`.
    pub id: String,
    /// Its component.
    pub component: String,
    /// The package of that component.
    pub package: String,
    /// Whether it is a part of another node.
    pub part: bool,
    /// The place of its declaration, `web.unik:7`; none when it is implied.
    pub place: Option<String>,
    /// The line that stands there.
    pub line: Option<String>,
    /// The nodes that need it, each with the reason.
    pub needed_by: Vec<(String, String)>,
}

impl Report {
    /// The report of the image whose unstripped twin this is.
    ///
    /// # Errors
    /// When it is no image.
    pub fn of(twin: &[u8], plan: &Plan, sources: &SourceMap) -> Result<Report, Error> {
        let elf = parse(twin)?;
        let mut sections: Vec<SectionSize> = loaded(&elf)
            .map(|(name, address, size, in_file)| SectionSize { name, address, size, in_file })
            .collect();
        sections.sort_by_key(|section| section.address);
        let total = |all: bool| sections.iter().filter(|s| all || s.in_file).map(|s| s.size).sum();
        Ok(Report {
            version: 1,
            build: super::record(twin)?,
            manifest: DeviceManifest::of(plan),
            loaded: total(false),
            memory: total(true),
            crates: crates(&elf),
            nodes: nodes(plan, sources),
            sections,
        })
    }

    /// As it is written beside the image; the image carries the hash of these bytes.
    #[must_use]
    pub fn to_json(&self) -> String {
        // Strings and numbers only: this can't fail.
        let mut text = serde_json::to_string_pretty(self).unwrap_or_default();
        text.push('\n');
        text
    }

    /// Reads what [`to_json`](Self::to_json) wrote.
    ///
    /// # Errors
    /// When it isn't that.
    pub fn from_json(text: &str) -> Result<Report, Error> {
        serde_json::from_str(text).map_err(|error| super::bad(format!("its report can't be read: {error}")))
    }
}

fn crates(elf: &super::Elf<'_>) -> Vec<CrateSize> {
    let mut sizes: BTreeMap<String, u64> = BTreeMap::new();
    // Identical functions are folded into one address: count it once.
    let mut seen = std::collections::BTreeSet::new();
    for symbol in elf.symbols() {
        let counts = matches!(symbol.kind(), SymbolKind::Text | SymbolKind::Data);
        if !counts || symbol.size() == 0 || !seen.insert(symbol.address()) {
            continue;
        }
        let name = symbol.name().map_or_else(|_| "?".into(), crate_of);
        *sizes.entry(name).or_default() += symbol.size();
    }
    let mut sizes: Vec<CrateSize> = sizes.into_iter().map(|(name, size)| CrateSize { name, size }).collect();
    sizes.sort_by(|a, b| b.size.cmp(&a.size).then_with(|| a.name.cmp(&b.name)));
    sizes
}

/// The crate of a mangled symbol: `<alloc::vec::Vec<T> as x::Y>::z` is of `alloc`.
fn crate_of(symbol: &str) -> String {
    let Ok(demangled) = rustc_demangle::try_demangle(symbol) else { return "?".into() };
    let name = format!("{demangled:#}");
    let start = name.trim_start_matches(|c: char| !(c.is_alphanumeric() || c == '_'));
    let start = start.strip_prefix("mut ").or_else(|| start.strip_prefix("dyn ")).unwrap_or(start);
    let end = start.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(start.len());
    if end > 0 && start[end..].starts_with("::") { start[..end].into() } else { "?".into() }
}

fn nodes(plan: &Plan, sources: &SourceMap) -> Vec<NodeEntry> {
    use petgraph::visit::EdgeRef;
    plan.graph
        .node_indices()
        .map(|index| {
            let node = &plan.graph[index];
            let mut needed_by: Vec<(String, String)> = plan
                .graph
                .edges_directed(index, petgraph::Direction::Incoming)
                .map(|edge| (plan.graph[edge.source()].id.clone(), edge.weight().reason.clone()))
                .collect();
            needed_by.sort();
            NodeEntry {
                id: node.id.clone(),
                component: node.component.name.clone(),
                package: node.component.package.name.clone(),
                part: matches!(node.role, Role::Part { .. }),
                place: match node.origin {
                    Origin::Declared(place) => Some(sources.from_first(place)),
                    Origin::Implied => None,
                },
                line: match node.origin {
                    Origin::Declared(place) => sources.source(place.source).map(|source| {
                        source.text[source.line_range(source.line(source.clamp(place).start))]
                            .trim()
                            .to_string()
                    }),
                    Origin::Implied => None,
                },
                needed_by,
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::crate_of;

    #[test]
    fn crates_of_symbols() {
        assert_eq!(crate_of("_ZN4core3fmt9Formatter3pad17h0123456789abcdefE"), "core");
        assert_eq!(crate_of("memcpy"), "?");
        assert_eq!(crate_of(""), "?");
    }
}
