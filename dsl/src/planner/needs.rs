//! Who provides what the file doesn't name.
//!
//! A need is met by what the instance is wired to anyway, else by the one declared
//! instance that provides it, else by a component that the planner may bring in by
//! itself. More than one that could be meant is an error: nothing is left to chance.

use std::collections::VecDeque;
use std::rc::Rc;

use petgraph::Direction::Outgoing;
use petgraph::graph::NodeIndex;
use petgraph::visit::EdgeRef;
use unik_catalogue::value::Place;
use unik_catalogue::{Component, Need};

use super::{Planner, each_entry};
use crate::diagnostic::{Diagnostic, codes};
use crate::model;
use crate::plan::{EdgeKind, Node, Origin, Role};

impl Planner<'_> {
    pub(super) fn needs(&mut self) {
        let model = self.model;
        let mut open: VecDeque<(NodeIndex, Place)> = model
            .instances
            .iter()
            .zip(&self.nodes)
            .filter_map(|(instance, node)| node.map(|node| (node, instance.component_place)))
            .collect();
        while let Some((node, place)) = open.pop_front() {
            let component = self.graph[node].component.clone();
            for (index, need) in component.needs.iter().enumerate() {
                let Some(provider) = self.provider(node, need, place, &mut open) else { continue };
                self.edge(node, provider, EdgeKind::Need(index), need.reason.clone(), place);
                self.gives(node, provider, &need.interface, place, true);
            }
        }
    }

    fn provider(
        &mut self,
        node: NodeIndex,
        need: &Need,
        place: Place,
        open: &mut VecDeque<(NodeIndex, Place)>,
    ) -> Option<NodeIndex> {
        let gives =
            |planner: &Self, other: NodeIndex| planner.graph[other].component.can_provide(&need.interface);
        let mut wired: Vec<NodeIndex> = self
            .graph
            .edges_directed(node, Outgoing)
            .filter(|edge| matches!(edge.weight().kind, EdgeKind::Wire(_)))
            .map(|edge| edge.target())
            .filter(|&other| gives(self, other))
            .collect();
        wired.sort_unstable();
        wired.dedup();
        let candidates = if wired.is_empty() {
            if !self.providers.contains_key(&need.interface) {
                let all = self.nodes.iter().flatten().copied().filter(|&other| gives(self, other)).collect();
                self.providers.insert(need.interface.clone(), all);
            }
            self.providers[&need.interface].iter().copied().filter(|&other| other != node).take(5).collect()
        } else {
            wired
        };
        match candidates.as_slice() {
            [] => self.imply(node, need, place, open),
            [one] => Some(*one),
            many => {
                let mut diagnostic = Diagnostic::error(
                    codes::AMBIGUOUS,
                    place,
                    format!(
                        "`{}` needs {} {}, and several instances provide it",
                        self.graph[node].id, need.interface, need.reason
                    ),
                );
                for &other in many.iter().take(4) {
                    if let Origin::Declared(place) = self.graph[other].origin {
                        diagnostic = diagnostic.and(place, "this does");
                    }
                }
                self.diagnostics.push(diagnostic.help("keep one of them"));
                None
            }
        }
    }

    /// Brings in a component that provides what is needed.
    fn imply(
        &mut self,
        node: NodeIndex,
        need: &Need,
        place: Place,
        open: &mut VecDeque<(NodeIndex, Place)>,
    ) -> Option<NodeIndex> {
        let model = self.model;
        let mut able: Vec<(u32, &Rc<Component>)> = model
            .catalogue
            .components()
            .iter()
            .filter(|component| {
                component.targets.contains(&model.target) && component.can_provide(&need.interface)
            })
            // One that needs wires can't be brought in: there is nobody to say to what.
            .filter(|component| component.wires.is_empty())
            .filter_map(|component| component.implied.map(|rank| (rank, component)))
            .collect();
        able.sort_by(|one, other| other.0.cmp(&one.0).then_with(|| one.1.name.cmp(&other.1.name)));
        let (user, interface, reason) = (&self.graph[node].id, &need.interface, &need.reason);
        let Some(&(rank, component)) = able.first() else {
            let mut diagnostic = Diagnostic::error(
                codes::NOTHING_PROVIDES,
                place,
                format!("`{user}` needs {interface} {reason}, and nothing provides it"),
            );
            let could: Vec<String> = model
                .catalogue
                .components()
                .iter()
                .filter(|component| {
                    component.targets.contains(&model.target) && component.can_provide(interface)
                })
                .map(|component| format!("`{} NAME = {}`", component.kind.word(), component.name))
                .take(4)
                .collect();
            diagnostic = match could.is_empty() {
                true => diagnostic.help(format!(
                    "no component provides {interface} on the target `{}`",
                    model.target.word()
                )),
                false => diagnostic.help(format!("declare what does: {}", could.join(" or "))),
            };
            self.diagnostics.push(diagnostic);
            return None;
        };
        let equals: Vec<String> = able
            .iter()
            .filter(|(other, _)| *other == rank)
            .map(|(_, component)| format!("`{}`", component.name))
            .collect();
        if equals.len() > 1 {
            self.diagnostics.push(
                Diagnostic::error(
                    codes::AMBIGUOUS,
                    place,
                    format!("`{user}` needs {interface} {reason}, and {} provide it", equals.join(" and ")),
                )
                .help(format!(
                    "declare the one you want: `{} NAME = {}`",
                    component.kind.word(),
                    component.name
                )),
            );
            return None;
        }
        if let Some(&known) = self.implied.get(&component.name) {
            return Some(known);
        }
        let Some(options) = model::defaults(component, model.target) else {
            self.diagnostics.push(
                Diagnostic::error(
                    codes::NOTHING_PROVIDES,
                    place,
                    format!(
                        "`{user}` needs {interface} {reason}, and `{}` has to be told how",
                        component.name
                    ),
                )
                .help(format!(
                    "declare it: `{} NAME = {} {{ … }}`",
                    component.kind.word(),
                    component.name
                )),
            );
            return None;
        };
        let mut id = component.name.clone();
        for number in 2.. {
            if !self.by_name.contains_key(id.as_str()) {
                break;
            }
            id = format!("{}-{number}", component.name);
        }
        let mut features = std::collections::BTreeSet::new();
        each_entry(&component.options, &options, &mut |_, form, _| {
            features.extend(form.features.iter().cloned())
        });
        let new = self.graph.add_node(Node {
            id,
            component: component.clone(),
            role: Role::Instance,
            options,
            features,
            listens: Vec::new(),
            origin: Origin::Implied,
            doc: String::new(),
        });
        self.implied.insert(component.name.clone(), new);
        self.own_parts(new, place);
        open.push_back((new, place));
        Some(new)
    }
}
