//! What changes from one image to another, for whoever says yes before a deploy.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::bill::Bytes;
use super::unsafes::{Unsafe, UnsafeKind};
use crate::image::{NamedKind, Report};

/// One of the two, as far as they are compared.
#[derive(Clone, Copy, Debug)]
pub struct Side<'a> {
    /// Its report, which must say of it what it says itself.
    pub report: &'a Report,
    /// What its gate is: [`gate::own::identity`](super::gate::own::identity).
    pub gate: &'a str,
}

/// What changes, by subject.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Diff {
    /// The subjects, each with its changes; those without any, too.
    pub subjects: Vec<Subject>,
    /// Bytes in the file, before and after.
    pub bytes: (u64, u64),
    /// Memory that the appliance was planned for, in bytes, before and after.
    pub memory: (u64, u64),
    /// Whether what is loaded is the same, byte by byte.
    pub same_bytes: bool,
    /// Whether the second may do more than the first: one of its subjects says so.
    pub widens: bool,
}

/// One subject.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Subject {
    /// Which.
    pub name: &'static str,
    /// What is new.
    pub added: Vec<String>,
    /// What is gone.
    pub removed: Vec<String>,
    /// Which changes of it mean that the image may do more.
    pub counts: Counts,
    /// Whether one of these is there.
    pub widens: bool,
}

/// Which changes mean that an image may do more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Counts {
    /// What is new.
    Added,
    /// What is new, and what is gone: that may have been a limit.
    Any,
    /// None: it is told for information.
    Nothing,
}

/// What an image has of a subject, and how often.
type Lines = BTreeMap<String, u32>;

/// What changes from `before` to `after`.
#[must_use]
pub fn diff(before: Side<'_>, after: Side<'_>) -> Diff {
    let once = |of: fn(&Report) -> BTreeSet<String>| {
        let lines = |report: &Report| of(report).into_iter().map(|line| (line, 1)).collect::<Lines>();
        (lines(before.report), lines(after.report))
    };
    let gate = |side: Side<'_>| Lines::from([(side.gate.to_string(), 1)]);
    let subjects = [
        ("devices", Counts::Added, once(devices)),
        ("ports", Counts::Added, once(ports)),
        ("addresses", Counts::Any, once(addresses)),
        ("paths of the host", Counts::Added, once(paths)),
        ("authority", Counts::Added, once(authority)),
        ("gate", Counts::Added, (gate(before), gate(after))),
        ("unsafe", Counts::Added, (unsafes(before.report), unsafes(after.report))),
        ("content", Counts::Nothing, once(content)),
        ("components", Counts::Nothing, once(components)),
        ("crates", Counts::Nothing, once(crates)),
    ]
    .map(|(name, counts, (old, new))| {
        let (added, removed) = (more(&old, &new), more(&new, &old));
        let widens = match counts {
            Counts::Added => !added.is_empty(),
            Counts::Any => !(added.is_empty() && removed.is_empty()),
            Counts::Nothing => false,
        };
        Subject { name, added, removed, counts, widens }
    });
    let bytes = |side: Side<'_>| {
        let sum = side.report.cost.iter().fold(Bytes::default(), |sum, cost| Bytes {
            code: sum.code.saturating_add(cost.code),
            data: sum.data.saturating_add(cost.data),
            zeroed: sum.zeroed.saturating_add(cost.zeroed),
        });
        sum.in_file()
    };
    Diff {
        widens: subjects.iter().any(|subject| subject.widens),
        subjects: subjects.into(),
        bytes: (bytes(before), bytes(after)),
        memory: (before.report.manifest.memory, after.report.manifest.memory),
        same_bytes: before.report.file == after.report.file,
    }
}

/// What `new` has more of than `old`.
fn more(old: &Lines, new: &Lines) -> Vec<String> {
    new.iter()
        .filter_map(|(line, &count)| {
            let before = old.get(line).copied().unwrap_or(0);
            match (before, count.saturating_sub(before)) {
                (_, 0) => None,
                (0, 1) => Some(line.clone()),
                (0, several) => Some(format!("{line} ({several})")),
                (_, several) => Some(format!("{line} ({several} more)")),
            }
        })
        .collect()
}

fn devices(report: &Report) -> BTreeSet<String> {
    let devices = report.manifest.devices.iter();
    devices
        .map(|device| {
            let mac = device.mac.as_ref().map_or(String::new(), |mac| format!(", {mac} only"));
            format!("{} = {}{mac}", device.name, device.component)
        })
        .collect()
}

fn ports(report: &Report) -> BTreeSet<String> {
    let ports = report.manifest.listens.iter();
    ports
        .map(|port| {
            format!(
                "{} {} on {}, for {} ({})",
                port.protocol, port.port, port.network, port.service, port.component
            )
        })
        .collect()
}

fn addresses(report: &Report) -> BTreeSet<String> {
    let networks = report.manifest.networks.iter();
    networks
        .map(|network| {
            let address = match (network.address, network.prefix) {
                (Some(address), Some(prefix)) => format!("{address}/{prefix}"),
                (Some(address), None) => address.to_string(),
                _ => "an address that isn't fixed".into(),
            };
            let gateway =
                network.gateway.map_or("no route further".into(), |gateway| format!("routes by {gateway}"));
            format!("{}: {address}, {gateway}", network.name)
        })
        .chain(named(report, NamedKind::Address))
        .collect()
}

fn paths(report: &Report) -> BTreeSet<String> {
    named(report, NamedKind::Path).collect()
}

/// What options name outside of the appliance.
fn named(report: &Report, kind: NamedKind) -> impl Iterator<Item = String> {
    report.nodes.iter().flat_map(move |node| {
        let names = node.names.iter().filter(move |named| named.kind == kind);
        names.map(|named| format!("{}, {}", node.id, named.what))
    })
}

fn components(report: &Report) -> BTreeSet<String> {
    report
        .nodes
        .iter()
        .map(|node| if node.part { node.id.clone() } else { format!("{} = {}", node.id, node.component) })
        .collect()
}

/// Who may use whom: nothing else is in a component's reach.
fn authority(report: &Report) -> BTreeSet<String> {
    let needs = report.nodes.iter().flat_map(|node| {
        node.needed_by.iter().map(move |(by, reason)| match reason.as_str() {
            "" => format!("{by} may use {}", node.id),
            reason => format!("{by} may use {}: {reason}", node.id),
        })
    });
    needs.collect()
}

fn crates(report: &Report) -> BTreeSet<String> {
    let crates = report.crates.iter().filter_map(|entry| Some((&entry.name, entry.version.as_ref()?)));
    // The generated crate is named after its plan.
    let own = report.packages.first().map(|package| package.name.as_str());
    let named: BTreeSet<String> = crates
        .filter(|(name, _)| Some(name.as_str()) != own)
        .map(|(name, version)| format!("{name} {version}"))
        .collect();
    match &report.rust {
        Some(rust) => named.into_iter().chain([format!("rustc {rust}")]).collect(),
        None => named,
    }
}

/// Without lines, which move with every edit around them; how many of a kind a function has.
fn unsafes(report: &Report) -> Lines {
    let mut found = Lines::new();
    for Unsafe { package, module, kind, function, .. } in &report.unsafes {
        let what = match kind {
            UnsafeKind::Block => "block",
            UnsafeKind::Function => "unsafe fn",
            UnsafeKind::Impl => "unsafe impl",
            UnsafeKind::Assembly => "assembly",
        };
        let line = match function {
            Some(function) => format!("{package}: {what} in `{function}`, {module}"),
            None => format!("{package}: {what}, {module}"),
        };
        *found.entry(line).or_default() += 1;
    }
    found
}

fn content(report: &Report) -> BTreeSet<String> {
    let content = report.content.iter();
    content
        .map(|content| {
            let hash = content.sha256.get(..16).unwrap_or(&content.sha256);
            format!("{}, {} bytes, SHA-256 {hash}", content.name, content.size)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(change: impl FnOnce(&mut serde_json::Value)) -> Report {
        let mut value = serde_json::json!({
            "build": { "version": 1, "unik": "0", "sources": "0", "rustc": "0", "seed": "0x1" },
            "version": 3, "loaded": 1, "memory": 1, "sections": [], "crates": [],
            "manifest": { "version": 1, "appliance": "x", "memory": 1, "cpu": "",
                "networks": [{ "name": "lan", "address": "10.0.0.2", "prefix": 24 }],
                "devices": [{ "name": "nic", "component": "virtio-net", "provides": [] }],
                "listens": [{ "network": "lan", "device": "nic", "protocol": "tcp", "port": 80, "service": "site", "component": "http" }] },
            "nodes": [{ "id": "lan", "component": "ip", "package": "unik-ip", "part": false, "place": null, "line": null,
                "needed-by": [["site", "http serves over Tcp"]],
                "names": [{ "kind": "address", "what": "allow: from 10.0.0.0/8" }, { "kind": "path", "what": "files: from ./pages" }] }],
            "unsafes": [{ "package": "a 1.0.0", "module": "src/lib.rs", "line": 3, "kind": "block", "function": "f" }],
            "content": [{ "owner": "embed", "name": "files: index.html", "address": 1, "size": 20, "sha256": "00" }],
        });
        change(&mut value);
        serde_json::from_value(value).unwrap()
    }

    fn with(gate: &'static str, change: impl FnOnce(&mut serde_json::Value)) -> Diff {
        let (before, after) = (report(|_| {}), report(change));
        diff(Side { report: &before, gate: "ours" }, Side { report: &after, gate })
    }

    #[test]
    fn nothing_changes_when_only_lines_move() {
        let diff = with("ours", |value| value["unsafes"][0]["line"] = 9.into());
        assert!(
            !diff.widens && diff.subjects.iter().all(|s| s.added.is_empty() && s.removed.is_empty()),
            "{diff:?}"
        );
    }

    type Change = fn(&mut serde_json::Value);

    #[test]
    fn more_authority_is_told() {
        let changes: [(&str, Change); 8] = [
            ("ports", |value| value["manifest"]["listens"][0]["port"] = 8080.into()),
            ("devices", |value| value["manifest"]["devices"][0]["name"] = "other".into()),
            ("addresses", |value| value["manifest"]["networks"][0]["gateway"] = "10.0.0.1".into()),
            ("addresses", |value| value["manifest"]["networks"][0]["address"] = "10.0.0.3".into()),
            ("addresses", |value| value["nodes"][0]["names"][0]["what"] = "allow: from 0.0.0.0/0".into()),
            ("paths of the host", |value| value["nodes"][0]["names"][1]["what"] = "files: from /etc".into()),
            ("authority", |value| value["nodes"][0]["needed-by"][0][0] = "spy".into()),
            ("unsafe", |value| value["unsafes"][0]["function"] = "g".into()),
        ];
        for (name, change) in changes {
            let diff = with("ours", change);
            assert!(diff.widens, "{name}");
            let subject = diff.subjects.iter().find(|subject| subject.name == name).unwrap();
            assert_eq!((subject.added.len(), subject.removed.len()), (1, 1), "{subject:?}");
        }
        let gate = with("another", |_| {});
        assert!(gate.widens && gate.subjects.iter().all(|s| s.widens == (s.name == "gate")), "{gate:?}");
    }

    #[test]
    fn a_limit_that_goes_is_more_and_a_device_that_goes_is_not() {
        let limit = with("ours", |value| drop(value["nodes"][0]["names"].as_array_mut().unwrap().remove(0)));
        assert!(limit.widens, "{limit:?}");
        let fewer: [Change; 3] = [
            |value| value["manifest"]["devices"] = serde_json::json!([]),
            |value| value["unsafes"] = serde_json::json!([]),
            |value| value["content"][0]["sha256"] = "01".into(),
        ];
        for change in fewer {
            let diff = with("ours", change);
            assert!(!diff.widens && diff.subjects.iter().any(|s| !s.removed.is_empty()), "{diff:?}");
        }
    }

    #[test]
    fn unsafe_code_is_counted() {
        let twice = with("ours", |value| {
            let one = value["unsafes"][0].clone();
            value["unsafes"].as_array_mut().unwrap().push(one);
        });
        let subject = twice.subjects.iter().find(|subject| subject.name == "unsafe").unwrap();
        assert_eq!(subject.added, ["a 1.0.0: block in `f`, src/lib.rs (1 more)"]);
        assert!(subject.removed.is_empty() && subject.widens);
    }
}
