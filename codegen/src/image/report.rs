//! What is in an image: sections, bytes by crate, and the places in the `.unik` file that
//! brought each node in.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use unik_catalogue::schema::Taken;
use unik_catalogue::{Bound, Options, Type, Value, rust_name};
use unik_dsl::plan::{Origin, Plan, Role};
use unik_dsl::source::SourceMap;

use crate::Error;
use crate::audit::anatomy::Anatomy;
use crate::audit::packages::Package;
use crate::audit::unsafes::{self, Unsafe};
use crate::audit::{Content, Cost, bill, binary, lay};
use crate::note::DeviceManifest;
use crate::record::Record;

/// The version of the report's table that this `unikgen` writes, and reads.
pub const REPORT: u32 = 4;

/// The report of one image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Report {
    /// The version of this table: [`REPORT`].
    pub version: u32,
    /// How the image was built.
    pub build: Record,
    /// What the image needs of its monitor.
    pub manifest: DeviceManifest,
    /// Bytes that are loaded from the file.
    pub loaded: u64,
    /// Bytes of memory that the image takes before it allocates any.
    pub memory: u64,
    /// The hash (SHA-256) of what is loaded and where to, without this report's own.
    #[serde(default)]
    pub contents: String,
    /// The hash (SHA-256) of the deployed file, without this report's own.
    #[serde(default)]
    pub file: String,
    /// What the appliance takes of the machine's memory, the largest first; the image itself is the
    /// first of them.
    #[serde(default)]
    pub takes: Vec<Taking>,
    /// The doc comment before the appliance.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub doc: String,
    /// The compiler, `1.95.0`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rust: Option<String>,
    /// The loaded sections, by address.
    pub sections: Vec<SectionSize>,
    /// Bytes by crate, largest first: a sum of `cost`.
    pub crates: Vec<CrateSize>,
    /// The nodes of the plan, each with the place that brought it in.
    pub nodes: Vec<NodeEntry>,
    /// What cargo built it from.
    #[serde(default)]
    pub packages: Vec<Package>,
    /// Every loaded byte: whose it is, and who brought it in.
    #[serde(default)]
    pub cost: Vec<Cost>,
    /// Files and other content of the `.unik` file, where they stand in the image.
    #[serde(default)]
    pub content: Vec<Content>,
    /// The `unsafe` code that is linked in, with the reasons for it.
    #[serde(default)]
    pub unsafes: Vec<Unsafe>,
}

/// What a report is made of, beside the image's twin.
pub struct Made<'a> {
    /// The plan.
    pub plan: &'a Plan,
    /// The texts that its places point into.
    pub sources: &'a SourceMap,
    /// What cargo built the image from.
    pub packages: Vec<Package>,
    /// Files that the generated code includes, by their path there.
    pub blobs: &'a BTreeMap<PathBuf, Vec<u8>>,
}

/// Memory of the machine that something takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Taking {
    /// The node; empty for what every appliance takes.
    pub id: String,
    /// What for.
    pub what: String,
    /// Bytes; the most, where clients make it take them.
    pub bytes: u64,
    /// Whether it is taken at start, for good.
    pub at_start: bool,
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
    /// The crate; `content`, `padding` and `?` are none.
    pub name: String,
    /// Its version; those of Rust's library have none of their own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
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
    /// The doc comment before its declaration.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub doc: String,
    /// The nodes that need it, each with the reason.
    pub needed_by: Vec<(String, String)>,
    /// The addresses and the paths of the build's host that its options name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<Named>,
}

/// What an option names that lies outside of the appliance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Named {
    /// What kind of thing.
    pub kind: NamedKind,
    /// The option, `peer/allow`, and what it has of this kind.
    pub what: String,
}

/// What may be named.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NamedKind {
    /// An address, a network, a port or a name of a host: a route, a peer, who may connect.
    Address,
    /// A file or a folder of the machine that the image was built on, as it is written.
    Path,
}

impl Report {
    /// The report of the image whose unstripped twin this is, taken apart as `anatomy`.
    ///
    /// # Errors
    /// When it is no image.
    pub fn of(twin: &[u8], anatomy: &Anatomy<'_>, made: Made<'_>) -> Result<Report, Error> {
        let sections = super::sections(twin)?;
        let total = |all: bool| sections.iter().filter(|s| all || s.in_file).map(|s| s.size).sum();
        let Made { plan, sources, packages, blobs } = made;
        let content = content(anatomy, plan, blobs);
        let cost = lay(anatomy, &packages, &content);
        let read = |package: &Package, module: &str| std::fs::read_to_string(package.place.join(module)).ok();
        let unsafes = unsafes::list(anatomy, &packages, &read);
        let mut report = Report {
            version: REPORT,
            takes: Vec::new(),
            doc: plan.doc.clone(),
            build: super::record(twin)?,
            manifest: DeviceManifest::of(plan),
            loaded: total(false),
            memory: total(true),
            contents: binary::contents_hash(twin)?,
            file: super::file_hash(&super::strip(twin)?)?,
            rust: anatomy.lines.producer.as_deref().and_then(rust_version),
            crates: crates(&cost, &packages),
            nodes: nodes(plan, sources),
            packages,
            cost,
            content,
            unsafes,
            sections,
        };
        report.takes = takes(plan, crate::budget::in_memory(&report));
        Ok(report)
    }

    /// Bytes of memory that are taken at start, and those that may be taken in all.
    #[must_use]
    pub fn memory_taken(&self) -> (u64, u64) {
        let sum = |all: bool| {
            let takes = self.takes.iter().filter(|taking| all || taking.at_start);
            takes.fold(0, |sum: u64, taking| sum.saturating_add(taking.bytes))
        };
        (sum(false), sum(true))
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
    /// When it isn't that, or of another version.
    pub fn from_json(text: &str) -> Result<Report, Error> {
        #[derive(Deserialize)]
        struct Version {
            version: u32,
        }
        // First of all: a table of another version may well be read as one of this.
        if let Ok(Version { version }) = serde_json::from_str(text)
            && version != REPORT
        {
            return Err(super::bad(format!(
                "its report has version {version}, this unikgen knows {REPORT}: build it again"
            )));
        }
        let broken = |error| super::bad(format!("its report can't be read: {error}"));
        // This refuses a field that stands there twice, which the next one wouldn't.
        let Report { build, .. } = serde_json::from_str(text).map_err(broken)?;
        let mut value: serde_json::Value = serde_json::from_str(text).map_err(broken)?;
        make_printable(&mut value);
        let report: Report = serde_json::from_value(value).map_err(broken)?;
        // Values of `--set` are compared with the image's, and not shown.
        Ok(Report { build, ..report })
    }
}

/// People read what a report says on a terminal, line by line: nothing in it takes that over, or
/// makes lines of its own.
fn make_printable(value: &mut serde_json::Value) {
    match value {
        serde_json::Value::String(text) if text.contains(|c: char| c.is_control() && c != '\t') => {
            *text = text
                .chars()
                .map(|c| if c.is_control() && c != '\t' { char::REPLACEMENT_CHARACTER } else { c })
                .collect();
        }
        serde_json::Value::Array(values) => values.iter_mut().for_each(make_printable),
        serde_json::Value::Object(fields) => fields.values_mut().for_each(make_printable),
        _ => {}
    }
}

/// `clang LLVM (rustc version 1.95.0 (59807616e 2026-04-14))` → `1.95.0`
pub(crate) fn rust_version(producer: &str) -> Option<String> {
    let (_, rest) = producer.split_once("rustc version ")?;
    rest.split([' ', ')']).next().map(String::from).filter(|version| !version.is_empty())
}

fn takes(plan: &Plan, image: u64) -> Vec<Taking> {
    let image = Taking { id: String::new(), what: "the image".into(), bytes: image, at_start: true };
    let shares = plan.memory.iter().map(|share| Taking {
        id: share.id.clone(),
        what: share.what.clone(),
        bytes: share.bytes,
        at_start: share.taken == Taken::AtStart,
    });
    [image].into_iter().chain(shares).collect()
}

/// Bytes by crate, largest first.
pub(crate) fn crates(cost: &[Cost], packages: &[Package]) -> Vec<CrateSize> {
    bill::by_crate(cost)
        .into_iter()
        .filter(|(_, bytes)| bytes.in_file() > 0)
        .map(|(id, bytes)| {
            let package = packages.iter().find(|package| package.id() == id);
            let (name, version) = match package {
                Some(package) => (package.name.clone(), Some(package.version.clone())),
                None => (id, None),
            };
            CrateSize { name, version, size: bytes.in_file() }
        })
        .collect()
}

/// Where in the image the files stand that generated code includes.
fn content(anatomy: &Anatomy<'_>, plan: &Plan, blobs: &BTreeMap<PathBuf, Vec<u8>>) -> Vec<Content> {
    let mut found = Vec::new();
    for (path, bytes) in blobs.iter().filter(|(_, bytes)| bytes.len() >= SEARCHED) {
        // blobs/NODE/NAME
        let mut parts = path.iter().skip(1).map(|part| part.to_string_lossy().into_owned());
        let field = parts.next().unwrap_or_default();
        let node = plan.graph.node_weights().find(|node| rust_name::field(&node.id) == field);
        let Some(node) = node else { continue };
        let name = format!("{}: {}", node.id, parts.collect::<Vec<_>>().join("/"));
        let place = anatomy.sections.iter().find_map(|section| {
            let at = position(section.bytes?, bytes)?;
            Some(section.range.start + at as u64)
        });
        if let Some(address) = place {
            found.push(Content {
                owner: node.component.name.clone(),
                name,
                address,
                size: bytes.len() as u64,
                sha256: crate::cache::hash(bytes),
            });
        }
    }
    found.sort_by(|a, b| (a.address, &a.name).cmp(&(b.address, &b.name)));
    found.dedup_by_key(|content| content.address);
    found
}

/// Shorter content isn't looked for: it may stand anywhere.
const SEARCHED: usize = 16;

fn position(bytes: &[u8], what: &[u8]) -> Option<usize> {
    let (&first, _) = what.split_first()?;
    let last = bytes.len().checked_sub(what.len())?;
    (0..=last).find(|&at| bytes[at] == first && bytes[at..].starts_with(what))
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
                doc: node.doc.clone(),
                needed_by,
                names: names("", &node.options),
            }
        })
        .collect()
}

/// What options name outside of the appliance. Goes by the types of values, not by the names
/// of keys: what an address is for, only its component knows.
fn names(above: &str, options: &Options) -> Vec<Named> {
    let mut found = Vec::new();
    for (key, entries) in options {
        let key = format!("{above}{key}");
        for entry in entries {
            for kind in [NamedKind::Address, NamedKind::Path] {
                let of = |(placeholder, bound): (&String, &Bound)| {
                    let mut texts = Vec::new();
                    match bound {
                        Bound::One(value) => named(value, kind, &mut texts),
                        Bound::Many(values) => values.iter().for_each(|value| named(value, kind, &mut texts)),
                    }
                    let text = texts.join(" ");
                    // A value named like its key needs no name.
                    let said = if key.ends_with(placeholder.as_str()) {
                        text
                    } else {
                        format!("{placeholder} {text}")
                    };
                    (!texts.is_empty()).then_some(said)
                };
                let texts: Vec<String> = entry.values.iter().filter_map(of).collect();
                if !texts.is_empty() {
                    found.push(Named { kind, what: format!("{key}: {}", texts.join(", ")) });
                }
            }
            found.extend(names(&format!("{key}/"), &entry.nested));
        }
    }
    found
}

fn is_address(ty: &Type) -> bool {
    match ty {
        Type::Ipv4 | Type::Ipv6 | Type::Ip | Type::Cidr4 | Type::Cidr6 => true,
        Type::Mac | Type::Port | Type::Endpoint => true,
        Type::List(element) => is_address(element),
        _ => false,
    }
}

fn named(value: &Value, wanted: NamedKind, texts: &mut Vec<String>) {
    let (kind, text) = match value {
        Value::Ipv4(address) => (NamedKind::Address, address.to_string()),
        Value::Ipv6(address) => (NamedKind::Address, address.to_string()),
        Value::Ip(address) => (NamedKind::Address, address.to_string()),
        Value::Cidr4(address, prefix) => (NamedKind::Address, format!("{address}/{prefix}")),
        Value::Cidr6(address, prefix) => (NamedKind::Address, format!("{address}/{prefix}")),
        Value::Mac(mac) => (NamedKind::Address, mac.map(|byte| format!("{byte:02x}")).join(":")),
        Value::Port(port) => (NamedKind::Address, format!("port {port}")),
        Value::Endpoint(endpoint) => (NamedKind::Address, endpoint.to_string()),
        Value::Name(name) if name.contains('.') => (NamedKind::Address, name.clone()),
        // Not where that is on this machine: the report is the same on any.
        Value::Path { written, .. } => (NamedKind::Path, written.clone()),
        Value::List(values) => return values.iter().for_each(|value| named(value, wanted, texts)),
        Value::Boot(boot) if is_address(&boot.ty) => {
            let default = boot.default.as_ref().map_or_else(String::new, |value| format!(" = {value}"));
            (NamedKind::Address, format!("${} at boot{default}", boot.parameter))
        }
        _ => return,
    };
    if kind == wanted {
        texts.push(text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_compiler_names_its_version() {
        let producer = "clang LLVM (rustc version 1.95.0 (59807616e 2026-04-14))";
        assert_eq!(rust_version(producer).as_deref(), Some("1.95.0"));
        assert_eq!(rust_version("GNU AS"), None);
    }

    #[test]
    fn what_a_report_says_makes_no_lines() {
        let mut value = serde_json::json!({ "line": ["a\tb", "\u{1b}[2J\nweb  passed\u{9b}"], "size": 1 });
        make_printable(&mut value);
        let plain =
            serde_json::json!({ "line": ["a\tb", "\u{fffd}[2J\u{fffd}web  passed\u{fffd}"], "size": 1 });
        assert_eq!(value, plain);
    }

    #[test]
    fn bytes_are_found_in_bytes() {
        assert_eq!(position(b"abcabd", b"abd"), Some(3));
        assert_eq!(position(b"ab", b"abc"), None);
        assert_eq!(position(b"ab", b""), None);
    }
}
