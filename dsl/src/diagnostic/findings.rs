//! What a component's host half found, as diagnostics.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use unik_catalogue::host::{At, Finding};
use unik_catalogue::value::Place;

use super::{Diagnostic, codes};
use crate::plan::{Node, Origin, Plan};
use crate::source::SourceMap;

/// Turns what the host half of `node` found into diagnostics. Files that it points into
/// are read and added to `sources`, once each.
#[must_use]
pub fn from_findings(
    findings: &[Finding],
    node: &Node,
    plan: &Plan,
    sources: &mut SourceMap,
) -> Vec<Diagnostic> {
    let instance = match &node.origin {
        Origin::Declared(place) => *place,
        Origin::Implied => plan.place,
    };
    let mut known: BTreeMap<PathBuf, usize> =
        sources.iter().map(|(number, source)| (source.path.clone(), number)).collect();
    findings
        .iter()
        .map(|finding| {
            let (place, other) = match &finding.at {
                At::Instance => (instance, None),
                At::Place(place) => (*place, None),
                At::File { path, start, end } => {
                    let source = *known
                        .entry(path.clone())
                        .or_insert_with(|| sources.add_file(path.clone(), read(path)));
                    (Place { source, start: *start, end: *end }, Some(instance))
                }
            };
            let mut diagnostic = Diagnostic::error(codes::COMPONENT_FINDING, place, &finding.message);
            diagnostic.severity = finding.severity;
            if let Some(other) = other {
                diagnostic = diagnostic.and(other, format!("read for `{}`", node.id));
            }
            diagnostic.helps.extend(finding.help.clone());
            diagnostic
        })
        .collect()
}

/// The text of a file that a finding points into. Bytes that are no UTF-8 become one
/// `?` each, so that offsets stay what they are. A file that is gone by now shows as empty.
fn read(path: &Path) -> String {
    let bytes = std::fs::read(path).unwrap_or_default();
    String::from_utf8(bytes).unwrap_or_else(|error| {
        error
            .into_bytes()
            .into_iter()
            .map(|byte| if byte.is_ascii() { char::from(byte) } else { '?' })
            .collect()
    })
}
