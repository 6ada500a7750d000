//! The memory that an appliance takes of a machine, by what its components' tables say.
//!
//! Two figures: what is taken *at start*, without which there is no appliance, and what clients
//! may make it take *at most*, up to the limits of the file. What the image itself takes is
//! known once it is linked.

use std::collections::HashMap;

use petgraph::graph::NodeIndex;
use unik_catalogue::schema::{MemoryUse, Taken, Transport};
use unik_catalogue::value::{Place, Size};
use unik_catalogue::{Component, Options, Target, Value};

use crate::diagnostic::{Diagnostic, codes};
use crate::plan::{Node, Origin, Plan, Role};

/// Memory that something of the plan takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Share {
    /// The instance; empty for what every appliance takes.
    pub id: String,
    /// What for.
    pub what: String,
    /// Bytes.
    pub bytes: u64,
    /// When they are taken.
    pub taken: Taken,
    /// The line that takes them: that of an option, or the declaration.
    pub place: Option<Place>,
}

/// So many of those that take most are named.
const NAMED: usize = 3;

/// What `nodes` take, and every appliance by `settings`, the largest first.
pub(crate) fn shares<'a>(
    nodes: impl Iterator<Item = (&'a Node, Vec<&'a str>)>,
    settings: Option<&Component>,
    options: &Options,
) -> Vec<Share> {
    let mut found = Vec::new();
    for taken in settings.iter().flat_map(|component| &component.memory) {
        let bytes = taken.bytes.bytes(options, &|_| 0);
        let share =
            Share { id: String::new(), what: taken.what.clone(), bytes, taken: taken.taken, place: None };
        found.push(share);
    }
    for (node, parts) in nodes {
        for taken in &node.component.memory {
            let lacks_part = taken.part.as_ref().is_some_and(|part| !parts.contains(&part.as_str()));
            let lacks_option = taken.option.as_ref().is_some_and(|key| !node.options.contains_key(key));
            if lacks_part || lacks_option {
                continue;
            }
            let ports = |protocol: Transport| {
                node.listens.iter().filter(|listen| listen.protocol == protocol).count() as u64
            };
            found.push(Share {
                id: node.id.clone(),
                what: taken.what.clone(),
                bytes: taken.bytes.bytes(&node.options, &ports),
                taken: taken.taken,
                place: place(node, taken),
            });
        }
    }
    found.retain(|share| share.bytes > 0);
    found.sort_by(|a, b| (b.bytes, &a.id, &a.what).cmp(&(a.bytes, &b.id, &b.what)));
    found
}

/// Where an option is written that it depends on, else the declaration.
fn place(node: &Node, taken: &MemoryUse) -> Option<Place> {
    let written = |key: &str| node.options.get(key)?.first()?.place;
    taken.bytes.options().into_iter().filter_map(written).min().or(match node.origin {
        Origin::Declared(place) => Some(place),
        Origin::Implied => None,
    })
}

/// The parts of each instance of a plan that has some.
pub(crate) fn parts(plan: &Plan) -> HashMap<NodeIndex, Vec<&str>> {
    let mut parts: HashMap<NodeIndex, Vec<&str>> = HashMap::new();
    for node in plan.graph.node_weights() {
        if let Role::Part { of, part } = &node.role {
            parts.entry(*of).or_default().push(part);
        }
    }
    parts
}

impl Plan {
    /// Bytes that are taken at start, and those that may be taken in all. `image`: what the image
    /// itself takes.
    #[must_use]
    pub fn memory_taken(&self, image: u64) -> (u64, u64) {
        let sum = |of: &dyn Fn(&Share) -> bool| {
            self.memory
                .iter()
                .filter(|share| of(share))
                .fold(image, |sum, share| sum.saturating_add(share.bytes))
        };
        (sum(&|share| share.taken == Taken::AtStart), sum(&|_| true))
    }
}

/// What is wrong with the memory that the plan takes: more than its budget, or more than there
/// is. `image` is what the image itself takes; before it is linked nobody knows, and only what
/// is wrong in any case is found.
#[must_use]
pub fn judge(plan: &Plan, image: Option<u64>) -> Vec<Diagnostic> {
    if plan.target != Target::Machine {
        return Vec::new();
    }
    let (at_start, in_all) = plan.memory_taken(image.unwrap_or(0));
    let with = match image {
        Some(image) => format!(", with {} of the image", shown(image)),
        None => ", without the image itself".into(),
    };
    let mut found = Vec::new();
    let memory = plan.settings.get("memory").and_then(|entries| entries.first());
    if let Some(entry) = memory
        && let Some(Value::Size(given)) = entry.value("size")
        && at_start > *given
    {
        let enough = at_start.div_ceil(1 << 20) << 20;
        let message = format!("the appliance takes {} to start, and has {}", shown(at_start), Size(*given));
        let diagnostic =
            Diagnostic::error(codes::TOO_LITTLE_MEMORY, entry.place.unwrap_or(plan.place), message)
                .label(format!("too little{with}"));
        let mut diagnostic = name(diagnostic, plan, &|share| share.taken == Taken::AtStart);
        if image.is_some() {
            diagnostic = match entry.place {
                Some(place) => diagnostic.suggest("give it more", place, format!("memory {}", Size(enough))),
                None => diagnostic.help(format!("`memory {}` gives it more than the default", Size(enough))),
            };
        }
        found.push(diagnostic);
    }
    if let Some((most, place)) = budget(plan)
        && in_all > most
    {
        let message =
            format!("the appliance takes up to {}, and its budget is {}", shown(in_all), Size(most));
        let diagnostic = Diagnostic::error(codes::OVER_BUDGET, place, message)
            .label(format!("{} too many{with}", shown(in_all - most)));
        let (fixed, by_clients) = (shown(at_start), shown(in_all - at_start));
        found.push(
            name(diagnostic, plan, &|_| true)
                .help(format!("{fixed} are taken at start, {by_clients} at most for what clients do")),
        );
    }
    found
}

/// Names those of the plan that take most.
fn name(mut diagnostic: Diagnostic, plan: &Plan, of: &dyn Fn(&Share) -> bool) -> Diagnostic {
    let mut helps = Vec::new();
    for share in plan.memory.iter().filter(|share| of(share)).take(NAMED) {
        let text = format!("{} for {}", shown(share.bytes), share.what);
        match share.place {
            Some(place) => diagnostic = diagnostic.and(place, text),
            None if share.id.is_empty() => helps.push(format!("every appliance takes {text}")),
            None => helps.push(format!("`{}` takes {text}", share.id)),
        }
    }
    diagnostic.helps.extend(helps);
    diagnostic
}

/// The budget of memory, and where it is written.
fn budget(plan: &Plan) -> Option<(u64, Place)> {
    let budget = plan.settings.get("budget")?.first()?;
    let entry = budget.nested.get("memory")?.first()?;
    match entry.value("size") {
        Some(Value::Size(bytes)) => Some((*bytes, entry.place.or(budget.place)?)),
        _ => None,
    }
}

/// Bytes for people, as exact as one reads them.
fn shown(bytes: u64) -> String {
    match bytes {
        0..1024 => format!("{bytes} B"),
        0x400..0x10_0000 => format!("{}.{} KiB", bytes >> 10, ((bytes & 0x3ff) * 10) >> 10),
        _ => {
            let hundredths = (u128::from(bytes & 0xf_ffff) * 100) >> 20;
            format!("{}.{hundredths:02} MiB", bytes >> 20)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::shown;

    #[test]
    fn bytes_for_people() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1536, "1.5 KiB"),
            ((1 << 20) - 1, "1023.9 KiB"),
            (1 << 20, "1.00 MiB"),
            (5 << 18, "1.25 MiB"),
            (u64::MAX, "17592186044415.99 MiB"),
        ] {
            assert_eq!(shown(bytes), text);
        }
    }
}
