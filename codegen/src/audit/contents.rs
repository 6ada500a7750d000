//! That an image holds what its plan holds and no other component, by three kinds of evidence
//! that know nothing of each other: what cargo built, what the line tables say, what texts and
//! numbers there are.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::Finding;
use super::anatomy::Anatomy;
use super::known::Known;
use super::lay::Content;
use super::packages::{Package, SourceOf};
use crate::image::NodeEntry;

/// The components that the plan holds.
#[must_use]
pub fn planned(nodes: &[NodeEntry]) -> BTreeSet<&str> {
    // `appliance` is the table of the runtime, which all have.
    nodes.iter().map(|node| node.component.as_str()).chain(["appliance"]).collect()
}

/// By the dependency graph of the build: each package in it that is a component must be planned.
#[must_use]
pub fn by_graph(packages: &[Package], nodes: &[NodeEntry]) -> Vec<Finding> {
    let planned = planned(nodes);
    let mut found: Vec<Finding> = packages
        .iter()
        .filter_map(|package| Some((package, package.component.as_deref()?)))
        .filter(|(_, component)| !planned.contains(component))
        .map(|(package, component)| {
            let id = package.id();
            let users: Vec<&str> = packages
                .iter()
                .filter(|other| other.needs.contains(&id))
                .map(|other| other.name.as_str())
                .collect();
            Finding::new(format!(
                "cargo built the component `{component}` ({id}) into it, which the plan doesn't hold{}",
                if users.is_empty() {
                    String::new()
                } else {
                    format!("; {} depends on it", users.join(", "))
                }
            ))
        })
        .collect();
    let held: BTreeSet<&str> = packages.iter().map(|package| package.name.as_str()).collect();
    let missing: BTreeSet<&str> =
        nodes.iter().map(|node| node.package.as_str()).filter(|package| !held.contains(package)).collect();
    found.extend(missing.into_iter().map(|package| {
        Finding::new(format!("the plan holds the package {package}, which cargo didn't build into it"))
    }));
    found
}

/// By the line tables: no line of a component that the plan doesn't hold, and none of a source
/// file that belongs to no package of the build.
#[must_use]
pub fn by_lines(
    anatomy: &Anatomy<'_>,
    packages: &[Package],
    nodes: &[NodeEntry],
    known: &[Known],
) -> Vec<Finding> {
    let planned = planned(nodes);
    // File → bytes, and the first line that was met.
    let mut wrong: BTreeMap<usize, (u64, u32, u64)> = BTreeMap::new();
    for span in &anatomy.lines.spans {
        let mut counted = BTreeSet::new();
        for frame in &span.frames {
            if counted.insert(frame.file) {
                let size = span.range.end - span.range.start;
                wrong.entry(frame.file).or_insert((0, frame.line, span.range.start)).0 += size;
            }
        }
    }
    let mut found = Vec::new();
    for (file, (size, line, address)) in wrong {
        let (Some((of, _)), Some(path)) = (anatomy.origins.get(file), anatomy.lines.files.get(file)) else {
            continue;
        };
        let by_folder = known
            .iter()
            .find(|known| path.strip_prefix("unik/").is_some_and(|path| path.starts_with(&known.folder)))
            .map(|known| &known.component);
        let of_package = match of {
            SourceOf::Package(at) => packages.get(*at).and_then(|package| package.component.as_ref()),
            _ => None,
        };
        let message = match by_folder.or(of_package) {
            Some(component) if planned.contains(component.as_str()) => continue,
            Some(component) => format!(
                "{size} bytes of code come from the component `{component}`, which the plan doesn't hold"
            ),
            // Code that the compiler made of nothing has no file.
            None if *of == SourceOf::Unknown && !path.is_empty() => {
                format!("{size} bytes of code come from a file of no package of the build")
            }
            None => continue,
        };
        found.push(Finding { message, place: Some((path.clone(), line)), address: Some(address) });
    }
    found
}

/// By texts and numbers: none that give away a component that the plan doesn't hold. Files and
/// other content of the `.unik` file may say what they like.
#[must_use]
pub fn by_texts(
    anatomy: &Anatomy<'_>,
    nodes: &[NodeEntry],
    known: &[Known],
    content: &[Content],
) -> Vec<Finding> {
    let planned = planned(nodes);
    let content: Vec<Range<u64>> =
        content.iter().map(|content| content.address..content.address.saturating_add(content.size)).collect();
    let mut found = Vec::new();
    for known in known.iter().filter(|known| !planned.contains(known.component.as_str())) {
        let mut told: Vec<String> = Vec::new();
        let mut weight = 0;
        let mut first = None;
        let texts = known.texts.iter().map(|text| (text, text.len())).chain([(&known.folder, WEIGHT)]);
        for (text, weighs) in texts {
            if let Some(address) = find(anatomy, text.as_bytes(), &content) {
                told.push(format!("“{}”", text.trim()));
                weight += weighs;
                first.get_or_insert(address);
            }
        }
        let numbers: Vec<String> = known
            .numbers
            .iter()
            .filter(|number| anatomy.decoded.constants.binary_search(number).is_ok())
            .map(|number| format!("{number:#x}"))
            .collect();
        // Numbers alone prove nothing: another crate may have the same.
        weight += 4 * numbers.len().min(2);
        if weight >= WEIGHT {
            told.extend(numbers);
            let left = told.len().saturating_sub(3);
            told.truncate(3);
            let more = if left > 0 { format!(" and {left} more") } else { String::new() };
            found.push(Finding {
                message: format!(
                    "it says {}{more}, which only the component `{}` says, and the plan doesn't hold that",
                    told.join(", "),
                    known.component
                ),
                place: None,
                address: first,
            });
        }
    }
    found
}

/// What texts and numbers must weigh together, in bytes of text.
const WEIGHT: usize = 16;

fn find(anatomy: &Anatomy<'_>, text: &[u8], content: &[Range<u64>]) -> Option<u64> {
    let (&first, _) = text.split_first()?;
    anatomy.sections.iter().filter(|section| !section.name.starts_with(".note")).find_map(|section| {
        let bytes = section.bytes?;
        let last = bytes.len().checked_sub(text.len())?;
        (0..=last).filter(|&at| bytes[at] == first && bytes[at..].starts_with(text)).find_map(|at| {
            let address = section.range.start + at as u64;
            (!content.iter().any(|range| range.contains(&address))).then_some(address)
        })
    })
}
