//! Drawings of a plan.
//!
//! [`Drawing`] is what every format draws: names, places and reasons as text, in start
//! order. The formats know nothing of plans, and escape whatever they are given.

pub mod dot;
pub mod mermaid;
pub mod svg;
pub mod tree;

use petgraph::visit::EdgeRef as _;
use unik_catalogue::Kind;
use unik_dsl::SourceMap;
use unik_dsl::plan::{EdgeKind, Origin, Plan, Role};

/// A plan, ready to be drawn.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Drawing {
    /// The appliance's name.
    pub appliance: String,
    /// Where it runs.
    pub target: String,
    /// Where it is declared.
    pub place: String,
    /// What the file says of it, in a line.
    pub doc: String,
    /// Instances and parts, those that others need first.
    pub nodes: Vec<Box>,
    /// Who needs whom, as indices of `nodes`.
    pub arrows: Vec<Arrow>,
}

/// One node of a drawing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Box {
    /// Unique: `site`, `lan/tcp`.
    pub id: String,
    /// What it is an instance of, or for a part its name.
    pub component: String,
    /// One line for people.
    pub summary: String,
    /// `device`, `network`, `storage`, `service`, or `part`.
    pub kind: &'static str,
    /// Where it is declared; empty for what is implied.
    pub place: String,
    /// What the file says of it, in a line.
    pub doc: String,
}

impl Box {
    /// What it is, for people: the file's words go before the catalogue's.
    pub fn about(&self) -> String {
        match self.doc.as_str() {
            "" => format!("{} {}", self.summary, self.place),
            doc => format!("{doc} ({}) {}", self.summary, self.place),
        }
    }
}

/// One edge of a drawing, from who needs to who gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrow {
    /// Who needs.
    pub from: usize,
    /// Who gives.
    pub to: usize,
    /// Why.
    pub reason: String,
    /// Where the file says so.
    pub place: String,
    /// Nothing in the file names the one that gives.
    pub implied: bool,
}

impl Drawing {
    /// The drawing of `plan`, with or without the parts of components.
    pub fn new(plan: &Plan, sources: &SourceMap, parts: bool) -> Drawing {
        let mut drawing = Drawing {
            appliance: plan.appliance.clone(),
            target: plan.target.word().into(),
            place: sources.short(plan.place),
            doc: in_a_line(&plan.doc),
            ..Drawing::default()
        };
        let is_part = |index: petgraph::graph::NodeIndex| matches!(plan.graph[index].role, Role::Part { .. });
        let rest = plan.graph.node_indices().filter(|&index| is_part(index) && parts);
        let shown: Vec<_> = plan.order.iter().copied().chain(rest).collect();
        for &index in &shown {
            let node = &plan.graph[index];
            let (component, summary, kind) = match &node.role {
                Role::Instance => {
                    (node.component.name.clone(), node.component.summary.clone(), node.component.kind.word())
                }
                Role::Part { part, .. } => {
                    let summary =
                        node.component.parts.get(part).map_or_else(String::new, |p| p.summary.clone());
                    (part.clone(), summary, "part")
                }
            };
            let place = match node.origin {
                Origin::Declared(place) => sources.short(place),
                Origin::Implied => String::new(),
            };
            drawing.nodes.push(Box {
                id: node.id.clone(),
                component,
                summary,
                kind,
                place,
                doc: in_a_line(&node.doc),
            });
        }
        for edge in plan.graph.edge_references() {
            let position = |index| shown.iter().position(|&other| other == index);
            let (Some(from), Some(to)) = (position(edge.source()), position(edge.target())) else { continue };
            let weight = edge.weight();
            drawing.arrows.push(Arrow {
                from,
                to,
                reason: weight.reason.clone(),
                place: sources.short(weight.place),
                implied: !matches!(weight.kind, EdgeKind::Wire(_) | EdgeKind::Reference(_)),
            });
        }
        drawing.arrows.sort_by_key(|arrow| (arrow.from, arrow.implied, arrow.to));
        drawing
    }

    /// The nodes that no other needs, services first.
    pub fn roots(&self) -> Vec<usize> {
        let mut roots: Vec<usize> =
            (0..self.nodes.len()).filter(|&node| self.arrows.iter().all(|arrow| arrow.to != node)).collect();
        roots.sort_by_key(|&node| (self.nodes[node].kind != Kind::Service.word(), node));
        roots
    }
}

fn in_a_line(doc: &str) -> String {
    doc.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// `site` (http) on `lan` (ip, with TCP) on `nic`; a clock implied. With text that
    /// every format has to escape.
    pub(crate) fn example() -> Drawing {
        let node = |id: &str, component: &str, kind, place: &str| Box {
            id: id.into(),
            component: component.into(),
            summary: format!("what \"{component}\" <does> & more"),
            kind,
            place: place.into(),
            doc: if id == "site" { "the <public> site".into() } else { String::new() },
        };
        let arrow = |from, to, reason: &str, implied| Arrow {
            from,
            to,
            reason: reason.into(),
            place: "web.unik:9".into(),
            implied,
        };
        Drawing {
            appliance: "web".into(),
            target: "machine".into(),
            place: "web.unik:4".into(),
            doc: "all of it".into(),
            nodes: vec![
                node("nic", "virtio-net", "device", "web.unik:7"),
                node("clock", "clock", "device", ""),
                node("lan", "ip", "network", "web.unik:9"),
                node("site", "http", "service", "web.unik:15"),
                node("lan/tcp", "tcp", "part", ""),
            ],
            arrows: vec![
                arrow(2, 0, "on nic", false),
                arrow(3, 2, "on lan", false),
                arrow(3, 1, "for the \"Date\" <header> & co", true),
                arrow(3, 4, "http needs Tcp", true),
            ],
        }
    }

    #[test]
    fn what_nobody_needs_is_a_root() {
        assert_eq!(example().roots(), [3]);
    }
}
