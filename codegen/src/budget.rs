//! What an image may cost, as its file says: `budget { image <= 400 KiB }`.

use unik_catalogue::value::{Place, Size};
use unik_catalogue::{Options, Value};
use unik_dsl::diagnostic::codes;
use unik_dsl::plan::{Origin, Plan};
use unik_dsl::source::SourceMap;
use unik_dsl::{Diagnostic, memory};

use crate::audit::bill::{self, Share};
use crate::image::Report;

/// So many of what costs most are named.
const NAMED: usize = 3;

/// What of the image costs more than its budget, or takes more memory than there is. `file` is the
/// size of the image's file, in bytes.
#[must_use]
pub fn judge(plan: &Plan, sources: &SourceMap, file: u64, report: &Report) -> Vec<Diagnostic> {
    let mut found: Vec<Diagnostic> = image(plan, sources, file, report).into_iter().collect();
    found.extend(memory::judge(plan, Some(in_memory(report))));
    found
}

/// The memory that ring 3 of the image takes, with the gaps between its parts. It begins at
/// 2 MiB; what is below every appliance has, and the runtime's table says so.
#[must_use]
pub fn in_memory(report: &Report) -> u64 {
    const RING_3: u64 = 2 << 20;
    let ends = report.sections.iter().map(|section| section.address.saturating_add(section.size));
    ends.max().map_or(0, |end| end.saturating_sub(RING_3))
}

fn image(plan: &Plan, sources: &SourceMap, file: u64, report: &Report) -> Option<Diagnostic> {
    let (most, place) = bound(&plan.settings, "image")?;
    if file <= most {
        return None;
    }
    let mut diagnostic = Diagnostic::error(
        codes::OVER_BUDGET,
        place,
        format!("the image has {}, and its budget is {}", shown(file), Size(most)),
    )
    .label(format!("{} too many", shown(file - most)));
    let declared: Vec<(String, Place)> = plan
        .graph
        .node_weights()
        .filter_map(|node| match node.origin {
            Origin::Declared(place) => Some((sources.from_first(place), place)),
            Origin::Implied => None,
        })
        .collect();
    let lines = bill::by_line(report);
    let alone = lines.iter().filter_map(|share| match share.lines.as_slice() {
        [line] => {
            let (_, place) = declared.iter().find(|(shown, _)| *shown == line.place)?;
            Some((*place, share))
        }
        _ => None,
    });
    for (place, share) in alone.filter(|(_, share)| share.bytes.in_file() > 0).take(NAMED) {
        diagnostic = diagnostic.and(place, format!("costs {}", shown(share.bytes.in_file())));
    }
    let components: Vec<String> = bill::by_owner(report).iter().take(NAMED + 1).map(costs).collect();
    Some(diagnostic.help(format!("what costs most: {}", components.join(", "))).help(
        "`unikgen cost` tells of every line and component; `log level warn` and options left out make it smaller",
    ))
}

fn costs(share: &Share) -> String {
    format!("{} {}", share.owners.join(" with "), shown(share.bytes.in_file()))
}

/// What the budget says of `key`, and where.
fn bound(settings: &Options, key: &str) -> Option<(u64, Place)> {
    let budget = settings.get("budget")?.first()?;
    let entry = budget.nested.get(key)?.first()?;
    match entry.value("size") {
        Some(Value::Size(bytes)) => Some((*bytes, entry.place.or(budget.place)?)),
        _ => None,
    }
}

/// Bytes, for people: exact as they are compared.
fn shown(bytes: u64) -> String {
    match bytes {
        0..1024 => format!("{bytes} B"),
        _ => format!("{} B ({}.{} KiB)", bytes, bytes / 1024, bytes % 1024 * 10 / 1024),
    }
}
