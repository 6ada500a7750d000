//! The cost of an image, added up: by component, by crate, by line of the `.unik` file.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::lay::{Cost, RUNTIME, WIRING};
use crate::image::{NodeEntry, Report};

/// Bytes of one kind of thing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Bytes {
    /// Of code.
    pub code: u64,
    /// Of constants and other data in the file.
    pub data: u64,
    /// Of memory that begins as zeros.
    pub zeroed: u64,
}

impl Bytes {
    /// What it takes in the file.
    #[must_use]
    pub const fn in_file(&self) -> u64 {
        self.code.saturating_add(self.data)
    }

    fn add(&mut self, cost: &Cost) {
        self.code = self.code.saturating_add(cost.code);
        self.data = self.data.saturating_add(cost.data);
        self.zeroed = self.zeroed.saturating_add(cost.zeroed);
    }
}

/// What somebody, or several together, brought in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Share {
    /// The components, `runtime`, `wiring`, crates of the file; several share it.
    pub owners: Vec<String>,
    /// The nodes of the plan that are these.
    pub nodes: Vec<String>,
    /// The lines of the file that declare them, or what needs them.
    pub lines: Vec<Line>,
    /// The bytes.
    #[serde(flatten)]
    pub bytes: Bytes,
}

/// A line of a `.unik` file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Line {
    /// `web.unik:7`
    pub place: String,
    /// What stands there.
    pub text: String,
    /// The node that is implied by the line, where it isn't the one that it declares.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub implies: Option<String>,
}

/// By who brought it in, largest first. The sum is the whole image.
#[must_use]
pub fn by_owner(report: &Report) -> Vec<Share> {
    let mut shares: BTreeMap<&[String], Bytes> = BTreeMap::new();
    for cost in &report.cost {
        shares.entry(&cost.owners).or_default().add(cost);
    }
    sorted(shares.into_iter().map(|(owners, bytes)| {
        let nodes: Vec<&NodeEntry> = owners.iter().flat_map(|owner| nodes_of(report, owner)).collect();
        Share {
            owners: owners.to_vec(),
            nodes: nodes.iter().map(|node| node.id.clone()).collect(),
            lines: nodes
                .iter()
                .flat_map(|node| lines_of(report, node))
                .collect::<BTreeSet<_>>()
                .into_iter()
                .collect(),
            bytes,
        }
    }))
}

/// By the lines that brought it in, largest first; several lines share what only one of them
/// would bring in, too. What every appliance has is under no line.
#[must_use]
pub fn by_line(report: &Report) -> Vec<Share> {
    let mut shares: BTreeMap<Vec<String>, (BTreeSet<String>, BTreeSet<String>, Bytes)> = BTreeMap::new();
    let mut texts: BTreeMap<String, String> = BTreeMap::new();
    for cost in &report.cost {
        let nodes: Vec<&NodeEntry> = cost.owners.iter().flat_map(|owner| nodes_of(report, owner)).collect();
        let mut places: Vec<String> = Vec::new();
        for line in nodes.iter().flat_map(|node| lines_of(report, node)) {
            places.push(line.place.clone());
            texts.insert(line.place, line.text);
        }
        places.sort();
        places.dedup();
        // What the runtime needs anyway no line brought in.
        if cost.owners.iter().any(|owner| owner == RUNTIME || owner == WIRING) {
            places.clear();
        }
        let (owners, ids, bytes) = shares.entry(places).or_default();
        owners.extend(cost.owners.iter().cloned());
        ids.extend(nodes.iter().map(|node| node.id.clone()));
        bytes.add(cost);
    }
    sorted(shares.into_iter().map(|(places, (owners, nodes, bytes))| {
        Share {
            owners: owners.into_iter().collect(),
            nodes: nodes.into_iter().collect(),
            lines: places
                .into_iter()
                .map(|place| Line {
                    text: texts.get(&place).cloned().unwrap_or_default(),
                    place,
                    implies: None,
                })
                .collect(),
            bytes,
        }
    }))
}

/// By crate, largest first.
#[must_use]
pub fn by_crate(cost: &[Cost]) -> Vec<(String, Bytes)> {
    let mut crates: BTreeMap<&str, Bytes> = BTreeMap::new();
    for cost in cost {
        crates.entry(&cost.package).or_default().add(cost);
    }
    let mut rows: Vec<(String, Bytes)> =
        crates.into_iter().map(|(name, bytes)| (name.to_string(), bytes)).collect();
    rows.sort_by(|a, b| (b.1.in_file(), &a.0).cmp(&(a.1.in_file(), &b.0)));
    rows
}

/// The instances of a component.
fn nodes_of<'a>(report: &'a Report, owner: &'a str) -> impl Iterator<Item = &'a NodeEntry> {
    report.nodes.iter().filter(move |node| !node.part && node.component == owner)
}

/// The lines that a node stands in, or, where it is implied, those of what needs it.
fn lines_of(report: &Report, node: &NodeEntry) -> BTreeSet<Line> {
    let mut open = vec![node];
    let mut seen = BTreeSet::new();
    let mut lines = BTreeSet::new();
    while let Some(at) = open.pop() {
        if !seen.insert(&at.id) {
            continue;
        }
        if let Some(place) = &at.place {
            lines.insert(Line {
                place: place.clone(),
                text: at.line.clone().unwrap_or_default(),
                implies: (at.id != node.id).then(|| node.id.clone()),
            });
            continue;
        }
        // A part is needed by its whole.
        let needed = at.needed_by.iter().map(|(id, _)| id.as_str());
        open.extend(needed.filter_map(|id| report.nodes.iter().find(|node| node.id == id)));
    }
    lines
}

fn sorted(shares: impl Iterator<Item = Share>) -> Vec<Share> {
    let mut shares: Vec<Share> = shares.collect();
    shares.sort_by(|a, b| (b.bytes.in_file(), &a.owners).cmp(&(a.bytes.in_file(), &b.owners)));
    shares
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::Seed;
    use crate::note::DeviceManifest;
    use crate::record::Record;

    fn report() -> Report {
        let node = |id: &str, component: &str, place: Option<&str>, needed_by: &[&str]| NodeEntry {
            id: id.into(),
            component: component.into(),
            package: format!("unik-{component}"),
            part: false,
            place: place.map(String::from),
            line: place.map(|_| format!("line of {id}")),
            doc: String::new(),
            needed_by: needed_by.iter().map(|id| (id.to_string(), String::new())).collect(),
            names: Vec::new(),
        };
        let cost = |owners: &[&str], package: &str, code: u64, data: u64| Cost {
            owners: owners.iter().map(ToString::to_string).collect(),
            package: package.into(),
            code,
            data,
            ..Cost::default()
        };
        Report {
            takes: Vec::new(),
            doc: String::new(),
            version: 2,
            build: Record {
                version: 1,
                unik: String::new(),
                sources: String::new(),
                rustc: String::new(),
                seed: Seed(0),
                set: BTreeMap::new(),
            },
            manifest: DeviceManifest {
                version: 1,
                appliance: "x".into(),
                memory: 0,
                cpu: String::new(),
                devices: Vec::new(),
                networks: Vec::new(),
                listens: Vec::new(),
                boot: Vec::new(),
                drain: None,
            },
            loaded: 0,
            memory: 0,
            contents: String::new(),
            file: String::new(),
            rust: None,
            sections: Vec::new(),
            crates: Vec::new(),
            nodes: vec![
                node("lan", "ip", Some("x.unik:3"), &[]),
                node("site", "http", Some("x.unik:5"), &[]),
                node("clock", "clock", None, &["site"]),
            ],
            packages: Vec::new(),
            cost: vec![
                cost(&["ip"], "smoltcp 1.0.0", 100, 5),
                cost(&["ip"], "unik-ip 0.1.0", 50, 0),
                cost(&["http", "ip"], "core", 20, 0),
                cost(&["http", "runtime"], "core", 7, 0),
                cost(&["clock"], "unik-clock 0.1.0", 3, 0),
            ],
            content: Vec::new(),
            unsafes: Vec::new(),
        }
    }

    #[test]
    fn bytes_end_at_lines() {
        let lines = by_line(&report());
        let shown: Vec<(Vec<&str>, u64)> = lines
            .iter()
            .map(|share| {
                (share.lines.iter().map(|line| line.place.as_str()).collect(), share.bytes.in_file())
            })
            .collect();
        assert_eq!(
            shown,
            [(vec!["x.unik:3"], 155), (vec!["x.unik:3", "x.unik:5"], 20), (vec![], 7), (vec!["x.unik:5"], 3),]
        );
    }

    #[test]
    fn every_sum_is_the_whole() {
        let report = report();
        let whole: u64 = report.cost.iter().map(|cost| cost.code + cost.data).sum();
        let sum = |shares: &[Share]| shares.iter().map(|share| share.bytes.in_file()).sum::<u64>();
        assert_eq!(sum(&by_owner(&report)), whole);
        assert_eq!(sum(&by_line(&report)), whole);
        assert_eq!(by_crate(&report.cost)[0].0, "smoltcp 1.0.0");
        let owners = by_owner(&report);
        let clock = owners.iter().find(|share| share.owners == ["clock"]).unwrap();
        assert_eq!(clock.lines[0].implies.as_deref(), Some("clock"));
    }
}
