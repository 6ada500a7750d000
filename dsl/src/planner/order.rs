//! Cycles, and the start order.

use std::collections::{BTreeSet, HashMap};

use petgraph::Direction::{Incoming, Outgoing};
use petgraph::graph::NodeIndex;
use petgraph::visit::EdgeRef;
use unik_catalogue::Kind;
use unik_catalogue::value::Place;

use super::Planner;
use crate::diagnostic::{Diagnostic, codes};
use crate::plan::Role;

impl Planner<'_> {
    /// The instances, providers first and devices before all else; among those that
    /// could go in any order, as the file has them. `None` when there is no order.
    pub(super) fn order(&mut self) -> Option<Vec<NodeIndex>> {
        let mut cyclic = false;
        // Not Tarjan's, which recurses.
        let mut groups = petgraph::algo::kosaraju_scc(&self.graph);
        groups.iter_mut().for_each(|group| group.sort_unstable());
        groups.sort();
        for group in groups {
            let first = group[0];
            if group.len() > 1 || self.graph.find_edge(first, first).is_some() {
                cyclic = true;
                self.cycle(&group);
            }
        }
        if cyclic {
            return None;
        }
        let instances: Vec<NodeIndex> =
            self.graph.node_indices().filter(|&node| self.graph[node].role == Role::Instance).collect();
        // Devices have to be found before the seal, and so has what they need.
        let mut early = BTreeSet::new();
        let mut open: Vec<NodeIndex> = instances
            .iter()
            .copied()
            .filter(|&node| self.graph[node].component.kind == Kind::Device)
            .collect();
        while let Some(node) = open.pop() {
            if early.insert(node) {
                open.extend(
                    self.graph
                        .neighbors_directed(node, Outgoing)
                        .filter(|&n| self.graph[n].role == Role::Instance),
                );
            }
        }
        let mut waits: HashMap<NodeIndex, usize> = HashMap::new();
        for &node in &instances {
            let needed = self
                .graph
                .neighbors_directed(node, Outgoing)
                .filter(|&n| self.graph[n].role == Role::Instance);
            waits.insert(node, needed.count());
        }
        let key = |node: NodeIndex| (!early.contains(&node), node);
        let mut ready: BTreeSet<(bool, NodeIndex)> =
            instances.iter().filter(|node| waits[*node] == 0).map(|&node| key(node)).collect();
        let mut order = Vec::with_capacity(instances.len());
        while let Some((_, node)) = ready.pop_first() {
            order.push(node);
            for user in self.graph.neighbors_directed(node, Incoming) {
                if let Some(left) = waits.get_mut(&user) {
                    *left -= 1;
                    if *left == 0 {
                        ready.insert(key(user));
                    }
                }
            }
        }
        Some(order)
    }

    /// Reports the instances that need each other, along one way round.
    fn cycle(&mut self, group: &[NodeIndex]) {
        let mut way = vec![group[0]];
        let mut seen: HashMap<NodeIndex, usize> = HashMap::from([(group[0], 0)]);
        let mut places: Vec<Place> = Vec::new();
        // Inside of a strongly connected group every node has an edge that stays in it.
        let start = loop {
            let Some(&last) = way.last() else { return };
            let next = self
                .graph
                .edges_directed(last, Outgoing)
                .filter(|edge| group.binary_search(&edge.target()).is_ok())
                .min_by_key(|edge| edge.target());
            let Some(edge) = next else { return };
            places.push(edge.weight().place);
            if let Some(&start) = seen.get(&edge.target()) {
                break start;
            }
            seen.insert(edge.target(), way.len());
            way.push(edge.target());
        };
        let mut names: Vec<&str> = way[start..].iter().map(|&node| self.graph[node].id.as_str()).collect();
        names.push(names[0]);
        let chain = names.join(" → ");
        let shown = if names.len() > 9 {
            format!("{} → … → {}", names[..8].join(" → "), names[0])
        } else {
            chain
        };
        let message = match names.len() {
            2 => format!("`{}` needs itself", names[0]),
            _ => format!("instances need each other in a circle: {shown}"),
        };
        let places = &places[start..];
        let mut diagnostic = Diagnostic::error(codes::CYCLE, places[0], message);
        for place in places.iter().skip(1).take(7) {
            diagnostic = diagnostic.and(*place, "by way of this");
        }
        self.diagnostics.push(diagnostic);
    }
}
