//! From model to plan: what is in the image, and why; in which order it starts.
//!
//! | module | |
//! |---|---|
//! | `live` | which declared instances there are on this target |
//! | `wiring` | wires, references and parts |
//! | `needs` | who provides what the file doesn't name |
//! | `order` | cycles, and the start order |

mod live;
mod needs;
mod order;
mod wiring;

use std::collections::{BTreeSet, HashMap};

use petgraph::Direction::Incoming;
use petgraph::graph::{DiGraph, NodeIndex};
use unik_catalogue::schema::{Constraint, Form, Transport};
use unik_catalogue::value::{Bound, Entry, Place};
use unik_catalogue::{Component, Kind, OptionSpec, Options, Value as Typed};

use crate::diagnostic::{Diagnostic, codes};
use crate::memory;
use crate::model::{Instance, Model};
use crate::plan::{Edge, EdgeKind, Listen, Node, Origin, Plan, Role};
use crate::source::SourceMap;

/// Interfaces that have one user: what they give can't be shared.
const EXCLUSIVE: [&str; 1] = ["Frames"];

struct Planner<'a> {
    model: &'a Model,
    sources: &'a SourceMap,
    diagnostics: &'a mut Vec<Diagnostic>,
    graph: DiGraph<Node, Edge>,
    /// Declared instances by name.
    by_name: HashMap<&'a str, usize>,
    /// The node of each declared instance; `None` for one that isn't there on this target.
    nodes: Vec<Option<NodeIndex>>,
    /// Parts by whole and name.
    parts: HashMap<(NodeIndex, String), NodeIndex>,
    /// Declared instances by an interface that they provide, as far as anyone asked.
    providers: HashMap<String, Vec<NodeIndex>>,
    /// Implied instances by component.
    implied: HashMap<String, NodeIndex>,
    /// The one user of an exclusive interface.
    taken: HashMap<(NodeIndex, String), (NodeIndex, Place)>,
}

/// Plans what the model asks for. `None` only where the order can't be found.
pub fn plan(model: Model, sources: &SourceMap, diagnostics: &mut Vec<Diagnostic>) -> Option<Plan> {
    let by_name =
        model.instances.iter().enumerate().map(|(at, instance)| (instance.name.value.as_str(), at)).collect();
    let mut planner = Planner {
        model: &model,
        sources,
        diagnostics,
        graph: DiGraph::new(),
        by_name,
        nodes: Vec::new(),
        parts: HashMap::new(),
        providers: HashMap::new(),
        implied: HashMap::new(),
        taken: HashMap::new(),
    };
    planner.instances();
    planner.wire_all();
    planner.listen();
    planner.needs();
    planner.unused();
    planner.idle();
    let order = planner.order();
    planner.empty();
    let graph = planner.graph;
    let mut plan = Plan {
        memory: Vec::new(),
        appliance: model.appliance.value,
        place: model.appliance.place,
        doc: doc_of(&model.docs, sources),
        target: model.target,
        settings: model.settings,
        boot: model.boot,
        graph,
        order: order?,
        crates: model.crates,
        sources: model.files.into_iter().chain(model.lock.iter().map(|lock| lock.path.clone())).collect(),
        lock: model.lock,
    };
    let instances = plan.graph.node_indices().filter(|&at| plan.graph[at].role == Role::Instance);
    let mut parts = memory::parts(&plan);
    let with_parts = instances.map(|at| (&plan.graph[at], parts.remove(&at).unwrap_or_default()));
    let appliance = model.catalogue.appliance().map(|component| &**component);
    plan.memory = memory::shares(with_parts, appliance, &plan.settings);
    diagnostics.extend(memory::judge(&plan, None));
    Some(plan)
}

/// A doc comment, line by line, without its slashes.
fn doc_of(docs: &[Place], sources: &SourceMap) -> String {
    let lines: Vec<&str> = docs
        .iter()
        .map(|place| sources.text(*place).trim_start_matches("///"))
        .map(|line| line.strip_prefix(' ').unwrap_or(line).trim_end())
        .collect();
    lines.join("\n")
}

impl<'a> Planner<'a> {
    /// Makes a node of every declared instance that there is on this target, with the
    /// parts that every instance of its component has.
    fn instances(&mut self) {
        let live = self.live();
        for (instance, live) in self.model.instances.iter().zip(live) {
            let node = match &instance.component {
                Some(component) if live => {
                    let mut features = BTreeSet::new();
                    each_entry(&component.options, &instance.options, &mut |_, form, _| {
                        features.extend(form.features.iter().cloned());
                    });
                    Some(self.graph.add_node(Node {
                        id: instance.name.value.clone(),
                        component: component.clone(),
                        role: Role::Instance,
                        options: instance.options.clone(),
                        features,
                        listens: Vec::new(),
                        origin: Origin::Declared(instance.place),
                        doc: doc_of(&instance.docs, self.sources),
                    }))
                }
                _ => None,
            };
            self.nodes.push(node);
        }
    }

    /// The ports that services listen on, at the network that they are wired to.
    fn listen(&mut self) {
        let mut known: HashMap<(NodeIndex, Transport, u16), (Place, &str)> = HashMap::new();
        let model = self.model;
        for (at, instance) in model.instances.iter().enumerate() {
            if self.nodes[at].is_none() {
                continue;
            }
            for listening in &instance.listens {
                let wires = live::wires(instance);
                let Some((_, name)) = wires.iter().find(|(wire, _)| wire.name == listening.wire) else {
                    continue;
                };
                let Some(node) =
                    self.by_name.get(name.value.as_str()).and_then(|&network| self.nodes[network])
                else {
                    continue;
                };
                let (protocol, port, place) = (listening.protocol, listening.port, listening.place);
                let shown = if protocol == Transport::Tcp { "TCP" } else { "UDP" };
                if let Some((first, other)) = known.get(&(node, protocol, port)) {
                    let mut diagnostic = Diagnostic::error(
                        codes::PORT_TAKEN,
                        place,
                        format!("two listeners on {shown} port {port} of `{}`", name.value),
                    )
                    .label(format!("`{}` listens there", instance.name.value));
                    if *first != place {
                        diagnostic = diagnostic.and(*first, format!("and so does `{other}`"));
                    }
                    self.diagnostics.push(diagnostic);
                    continue;
                }
                known.insert((node, protocol, port), (place, &instance.name.value));
                if self.graph[node].component.listeners {
                    let service = instance.name.value.clone();
                    let speaks = listening.speaks.clone();
                    self.graph[node].listens.push(Listen { protocol, port, service, speaks, place });
                }
            }
        }
    }

    /// Options for a part that nothing brought in.
    fn idle(&mut self) {
        if self.model.incomplete || self.diagnostics.iter().any(Diagnostic::is_error) {
            return;
        }
        let model = self.model;
        for (at, instance) in model.instances.iter().enumerate() {
            let Some(node) = self.nodes[at] else { continue };
            let component = self.graph[node].component.clone();
            for constraint in &component.constraints {
                let Constraint::Idle { option, part } = constraint else { continue };
                let entries = self.graph[node].options.get(option).map_or(&[][..], Vec::as_slice);
                let Some(place) = entries.iter().find_map(|entry| entry.place) else { continue };
                if self.parts.contains_key(&(node, part.clone())) {
                    continue;
                }
                let name = &instance.name.value;
                let message =
                    format!("`{option}` means nothing here: nothing on `{name}` needs its part `{part}`");
                self.diagnostics.push(Diagnostic::warning(codes::VOID, place, message));
            }
        }
    }

    /// Devices, networks and storage that nothing uses, and crates.
    fn unused(&mut self) {
        // Where something is wrong, it may only seem unused.
        if self.model.incomplete || self.diagnostics.iter().any(Diagnostic::is_error) {
            return;
        }
        let model = self.model;
        for (at, instance) in model.instances.iter().enumerate() {
            let Some(node) = self.nodes[at] else { continue };
            let component = &self.graph[node].component;
            let gives = !component.provides.is_empty()
                || component.parts.values().any(|part| !part.provides.is_empty());
            let used = self.graph.edges_directed(node, Incoming).next().is_some()
                || model.mentioned.contains(&instance.name.value);
            if component.kind != Kind::Service && gives && !used {
                let message = format!("nothing uses the {} `{}`", component.kind.word(), instance.name.value);
                self.diagnostics.push(
                    Diagnostic::warning(codes::UNUSED, instance.name.place, message)
                        .help("it is in the image all the same; leave it out"),
                );
            }
        }
        let mut names: BTreeSet<String> = BTreeSet::new();
        for node in self.graph.node_weights() {
            names.insert(node.component.package.name.clone());
            each_entry(&node.component.options, &node.options, &mut |_, _, entry| {
                for value in entry.values.values() {
                    let values = match value {
                        Bound::One(value) => std::slice::from_ref(value),
                        Bound::Many(values) => values,
                    };
                    names.extend(values.iter().filter_map(|value| match value {
                        Typed::Handler(path) => {
                            path.split_once("::").map(|(first, _)| first.replace('_', "-"))
                        }
                        _ => None,
                    }));
                }
            });
        }
        for named in &model.crates {
            let used = names.contains(&named.name) || names.contains(&named.name.replace('_', "-"));
            let mentioned = model.catalogue.components().iter().any(|component| {
                component.package.name == named.name && model.mentioned.contains(&component.name)
            });
            if !used && !mentioned {
                let message = format!("nothing uses the crate `{}`", named.name);
                self.diagnostics.push(Diagnostic::warning(codes::UNUSED, named.place, message));
            }
        }
    }

    /// An appliance that does nothing; not said of one that is only half written.
    fn empty(&mut self) {
        let model = self.model;
        if model.has_service || model.incomplete || self.diagnostics.iter().any(Diagnostic::is_error) {
            return;
        }
        self.diagnostics.push(
            Diagnostic::warning(
                codes::EMPTY,
                model.appliance.place,
                format!("the appliance `{}` has no service: it does nothing", model.appliance.value),
            )
            .help("a service is declared by `service NAME = COMPONENT on WIRES { … }`"),
        );
    }

    fn edge(
        &mut self,
        from: NodeIndex,
        to: NodeIndex,
        kind: EdgeKind,
        reason: impl Into<String>,
        place: Place,
    ) {
        self.graph.add_edge(from, to, Edge { kind, reason: reason.into(), place });
    }

    fn declared(&self, name: &str) -> Option<&'a Instance> {
        Some(&self.model.instances[*self.by_name.get(name)?])
    }

    /// One that would be declared, did its condition hold.
    fn declared_elsewhere(&self, name: &str) -> Option<&'a Instance> {
        self.model.elsewhere.iter().find(|instance| instance.name.value == name)
    }
}

/// Calls `f` with every entry of `options`, nested ones too, in the order of the
/// catalogue: its key, the form that it was matched to, the entry.
fn each_entry<'o>(
    specs: &'o indexmap::IndexMap<String, OptionSpec>,
    options: &'o Options,
    f: &mut dyn FnMut(&'o str, &'o Form, &'o Entry),
) {
    for (key, spec) in specs {
        for entry in options.get(key).into_iter().flatten() {
            if let Some(form) = spec.forms.get(entry.form) {
                f(key, form, entry);
            }
            each_entry(&spec.options, &entry.nested, f);
        }
    }
}

/// The instances that the options of `component` name, in the order of its table: key,
/// interface, name, and where it is written.
fn references<'o>(
    component: &'o Component,
    options: &'o Options,
) -> Vec<(&'o str, &'o str, &'o str, Option<Place>)> {
    use unik_catalogue::Type;
    let mut found = Vec::new();
    each_entry(&component.options, options, &mut |key, form, entry| {
        for (name, ty, ..) in form.usage.placeholders() {
            let interface = match ty {
                Type::Instance(interface) | Type::InstancePath(interface) => interface.as_str(),
                Type::List(element) => match element.as_ref() {
                    Type::Instance(interface) | Type::InstancePath(interface) => interface.as_str(),
                    _ => continue,
                },
                _ => continue,
            };
            let mut open: Vec<&Typed> = match entry.values.get(name) {
                None => continue,
                Some(Bound::One(value)) => vec![value],
                Some(Bound::Many(values)) => values.iter().rev().collect(),
            };
            while let Some(value) = open.pop() {
                match value {
                    Typed::Instance(instance) | Typed::InstancePath { instance, .. } => {
                        found.push((key, interface, instance.as_str(), entry.place));
                    }
                    Typed::List(values) => open.extend(values.iter().rev()),
                    _ => {}
                }
            }
        }
    });
    found
}
