//! What changes from one image to another, for whoever says yes before a deploy.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::bill::Bytes;
use super::unsafes::{Unsafe, UnsafeKind};
use crate::image::Report;

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
    /// Whether the second may do more than the first: a device, a port, an authority, an
    /// `unsafe` that the first hasn't.
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
    /// Whether something new means that the image may do more.
    pub authority: bool,
}

/// What an image has of a subject, a line each.
type Lines = fn(&Report) -> BTreeSet<String>;

/// What changes from `before` to `after`.
#[must_use]
pub fn diff(before: &Report, after: &Report) -> Diff {
    let subjects: [(&'static str, bool, Lines); 8] = [
        ("devices", true, devices),
        ("ports", true, ports),
        ("addresses", false, addresses),
        ("components", false, components),
        ("authority", true, authority),
        ("crates", false, crates),
        ("unsafe", true, unsafes),
        ("content", false, content),
    ];
    let subjects: Vec<Subject> = subjects
        .into_iter()
        .map(|(name, authority, of)| {
            let (old, new) = (of(before), of(after));
            Subject {
                name,
                added: new.difference(&old).cloned().collect(),
                removed: old.difference(&new).cloned().collect(),
                authority,
            }
        })
        .collect();
    let bytes = |report: &Report| {
        report.cost.iter().fold(Bytes::default(), |sum, cost| Bytes {
            code: sum.code + cost.code,
            data: sum.data + cost.data,
            zeroed: sum.zeroed + cost.zeroed,
        })
    };
    Diff {
        widens: subjects.iter().any(|subject| subject.authority && !subject.added.is_empty()),
        subjects,
        bytes: (bytes(before).in_file(), bytes(after).in_file()),
        memory: (before.manifest.memory, after.manifest.memory),
    }
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
        .collect()
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
fn unsafes(report: &Report) -> BTreeSet<String> {
    let mut found: BTreeMap<(&str, &str, UnsafeKind, Option<&str>), u32> = BTreeMap::new();
    for Unsafe { package, module, kind, function, .. } in &report.unsafes {
        *found.entry((package, module, *kind, function.as_deref())).or_default() += 1;
    }
    found
        .into_iter()
        .map(|((package, module, kind, function), count)| {
            let what = match kind {
                UnsafeKind::Block => "block",
                UnsafeKind::Function => "unsafe fn",
                UnsafeKind::Impl => "unsafe impl",
                UnsafeKind::Assembly => "assembly",
            };
            let times = if count > 1 { format!(" ({count})") } else { String::new() };
            match function {
                Some(function) => format!("{package}: {what}{times} in `{function}`, {module}"),
                None => format!("{package}: {what}{times}, {module}"),
            }
        })
        .collect()
}

fn content(report: &Report) -> BTreeSet<String> {
    report.content.iter().map(|content| format!("{}, {} bytes", content.name, content.size)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(change: impl FnOnce(&mut serde_json::Value)) -> Report {
        let mut value = serde_json::json!({
            "build": { "version": 1, "unik": "0", "sources": "0", "rustc": "0", "seed": "0x1" },
            "version": 2, "loaded": 1, "memory": 1, "sections": [], "crates": [],
            "manifest": { "version": 1, "appliance": "x", "memory": 1, "cpu": "", "networks": [],
                "devices": [{ "name": "nic", "component": "virtio-net", "provides": [] }],
                "listens": [{ "network": "lan", "device": "nic", "protocol": "tcp", "port": 80, "service": "site", "component": "http" }] },
            "nodes": [{ "id": "lan", "component": "ip", "package": "unik-ip", "part": false, "place": null, "line": null,
                "needed-by": [["site", "http serves over Tcp"]] }],
            "unsafes": [{ "package": "a 1.0.0", "module": "src/lib.rs", "line": 3, "kind": "block", "function": "f" }],
        });
        change(&mut value);
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn nothing_changes_when_only_lines_move() {
        let moved = report(|value| value["unsafes"][0]["line"] = 9.into());
        let diff = diff(&report(|_| {}), &moved);
        assert!(
            !diff.widens && diff.subjects.iter().all(|s| s.added.is_empty() && s.removed.is_empty()),
            "{diff:?}"
        );
    }

    #[test]
    fn more_authority_is_told() {
        type Change = fn(&mut serde_json::Value);
        let changes: [(&str, Change); 4] = [
            ("ports", |value| value["manifest"]["listens"][0]["port"] = 8080.into()),
            ("devices", |value| value["manifest"]["devices"][0]["name"] = "other".into()),
            ("authority", |value| value["nodes"][0]["needed-by"][0][0] = "spy".into()),
            ("unsafe", |value| value["unsafes"][0]["function"] = "g".into()),
        ];
        for (name, change) in changes {
            let diff = diff(&report(|_| {}), &report(change));
            assert!(diff.widens, "{name}");
            let subject = diff.subjects.iter().find(|subject| subject.name == name).unwrap();
            assert_eq!((subject.added.len(), subject.removed.len()), (1, 1), "{subject:?}");
        }
    }
}
