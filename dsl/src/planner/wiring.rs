//! Wires, references and parts.

use petgraph::graph::NodeIndex;
use unik_catalogue::value::Place;

use super::{EXCLUSIVE, Planner, each_entry, live, references};
use crate::diagnostic::{Diagnostic, codes, did_you_mean};
use crate::model::Instance;
use crate::plan::{EdgeKind, Node, Origin, Role};
use crate::syntax::Spanned;

/// With so many errors, looking for what was meant costs more than it helps.
const MANY: usize = 200;

impl Planner<'_> {
    pub(super) fn wire_all(&mut self) {
        let model = self.model;
        for instance in &model.elsewhere {
            self.check_wires(instance, true);
        }
        for (at, instance) in model.instances.iter().enumerate() {
            self.check_wires(instance, false);
            let Some(node) = self.nodes[at] else { continue };
            self.own_parts(node, instance.place);
            let Some(component) = &instance.component else { continue };
            for (index, wire) in component.wires.iter().enumerate() {
                let wired = live::wires(instance);
                let Some((_, name)) = wired.iter().find(|(other, _)| other.name == wire.name) else {
                    continue;
                };
                let Some(target) = self.by_name.get(name.value.as_str()).and_then(|&at| self.nodes[at])
                else {
                    continue;
                };
                self.edge(node, target, EdgeKind::Wire(index), wire.doc.clone(), name.place);
                for interface in &wire.interfaces {
                    self.gives(node, target, interface, name.place, true);
                }
            }
            for (index, (key, interface, name, place)) in
                references(component, &instance.options).into_iter().enumerate()
            {
                let Some(target) = self.by_name.get(name).and_then(|&at| self.nodes[at]) else { continue };
                let place = place.unwrap_or(instance.place);
                let reason = self.written(place, key);
                self.edge(node, target, EdgeKind::Reference(index), reason, place);
                self.gives(node, target, interface, place, true);
            }
        }
    }

    /// The wires as they are declared: their number, their names, what they give.
    /// Those of an instance `aside`, whose condition doesn't hold, may be others of that kind.
    fn check_wires(&mut self, instance: &Instance, aside: bool) {
        let Some(declared) = &instance.declared else { return };
        let (wanted, written) = (declared.wires.len(), instance.wires.len());
        if written < wanted {
            let missing: Vec<String> = declared.wires[written..]
                .iter()
                .map(|wire| format!("{} ({})", wire.doc, wire.interfaces.join(", ")))
                .collect();
            let names: Vec<String> = declared.wires.iter().map(|wire| wire.name.to_uppercase()).collect();
            self.diagnostics.push(
                Diagnostic::error(
                    codes::WIRES,
                    instance.component_place,
                    format!("`{}` needs {}", declared.name, missing.join(" and ")),
                )
                .help(format!("write `= {} on {}`", declared.name, names.join(" "))),
            );
        } else if let Some(extra) = instance.wires.get(wanted) {
            let message = match wanted {
                0 => format!("`{}` is wired to nothing", declared.name),
                1 => format!("`{}` is wired to one instance", declared.name),
                _ => format!("`{}` is wired to {wanted} instances", declared.name),
            };
            self.diagnostics
                .push(Diagnostic::error(codes::WIRES, extra.place, message).label("one too many"));
        }
        for (wire, name) in declared.wires.iter().zip(&instance.wires) {
            let here = self.declared(&name.value);
            let Some(target) = here.or_else(|| self.declared_elsewhere(&name.value).filter(|_| aside)) else {
                self.unknown(name, &wire.interfaces);
                continue;
            };
            // One that is wired to itself is a circle, whatever it gives; and of what is declared
            // as another kind nobody knows what was meant.
            if name.value == instance.name.value || !target.is_of_kind || !instance.is_of_kind {
                continue;
            }
            let Some(component) = &target.declared else { continue };
            let lacking: Vec<&str> = wire
                .interfaces
                .iter()
                .map(String::as_str)
                .filter(|interface| !component.can_provide(interface))
                .collect();
            if !lacking.is_empty() {
                let interface = lacking.join(" and ");
                let gives = all_interfaces(component);
                let mut diagnostic = Diagnostic::error(
                    codes::NOT_PROVIDED,
                    name.place,
                    format!("`{}` needs {interface}, which `{}` doesn't provide", declared.name, name.value),
                )
                .label(format!("should be {}", wire.doc))
                .and(target.component_place, format!("`{}` provides {gives}", component.name));
                let fitting: Vec<String> = self
                    .model
                    .instances
                    .iter()
                    .take(if self.diagnostics.len() > MANY { 0 } else { usize::MAX })
                    .filter(|other| other.name.value != instance.name.value)
                    .filter(|other| {
                        other
                            .declared
                            .as_ref()
                            .is_some_and(|c| wire.interfaces.iter().all(|i| c.can_provide(i)))
                    })
                    .map(|other| format!("`{}`", other.name.value))
                    .take(5)
                    .collect();
                if !fitting.is_empty() {
                    diagnostic = diagnostic.help(format!("{} would do", fitting.join(", ")));
                }
                self.diagnostics.push(diagnostic);
            }
        }
    }

    fn unknown(&mut self, name: &Spanned<String>, interfaces: &[String]) {
        if self.model.incomplete {
            // Its declaration may be what couldn't be read.
            return;
        }
        let mut diagnostic = Diagnostic::error(
            codes::UNKNOWN_INSTANCE,
            name.place,
            format!("no instance is called `{}`", name.value),
        );
        if self.diagnostics.len() > MANY {
            self.diagnostics.push(diagnostic);
            return;
        }
        if let Some(other) = self.declared_elsewhere(&name.value) {
            diagnostic.message = format!("`{}` isn't declared under the conditions that hold", name.value);
            self.diagnostics.push(diagnostic.and(other.name.place, "declared here, under a condition"));
            return;
        }
        let known: Vec<&str> =
            self.model.instances.iter().map(|instance| instance.name.value.as_str()).take(1000).collect();
        diagnostic = match did_you_mean(&name.value, known) {
            Some(near) => diagnostic.suggest(format!("did you mean `{near}`?"), name.place, near),
            None => {
                let fitting: Vec<String> = self
                    .model
                    .catalogue
                    .components()
                    .iter()
                    .filter(|component| {
                        component.stands_in_for.is_empty()
                            && component.kind != unik_catalogue::Kind::Appliance
                    })
                    .filter(|component| interfaces.iter().all(|interface| component.can_provide(interface)))
                    .map(|component| {
                        format!("`{} {} = {}`", component.kind.word(), name.value, component.name)
                    })
                    .take(3)
                    .collect();
                if fitting.is_empty() {
                    diagnostic
                } else {
                    diagnostic.help(format!("declare it: {}", fitting.join(" or ")))
                }
            }
        };
        self.diagnostics.push(diagnostic);
    }

    /// The parts that the options of `node` bring in, and those that every instance has.
    pub(super) fn own_parts(&mut self, node: NodeIndex, place: Place) {
        let component = self.graph[node].component.clone();
        for (name, _) in component.parts.iter().filter(|(_, part)| part.always) {
            let part = self.part(node, name, place);
            self.edge(node, part, EdgeKind::HasPart, format!("every `{}` has it", component.name), place);
        }
        let options = self.graph[node].options.clone();
        let mut brought: Vec<(String, String, Option<Place>)> = Vec::new();
        each_entry(&component.options, &options, &mut |key, form, entry| {
            brought.extend(form.parts.iter().map(|part| (part.clone(), key.to_string(), entry.place)));
        });
        for (part, key, written) in brought {
            let part = self.part(node, &part, written.unwrap_or(place));
            let reason = match written {
                Some(place) => self.written(place, &key),
                None => format!("`{key}` by default"),
            };
            self.edge(node, part, EdgeKind::HasPart, reason, written.unwrap_or(place));
        }
    }

    /// The node of a part, with those that it can't do without.
    fn part(&mut self, whole: NodeIndex, name: &str, place: Place) -> NodeIndex {
        if let Some(&known) = self.parts.get(&(whole, name.to_string())) {
            return known;
        }
        let component = self.graph[whole].component.clone();
        let node = self.graph.add_node(Node {
            id: format!("{}/{name}", self.graph[whole].id),
            component: component.clone(),
            role: Role::Part { of: whole, part: name.to_string() },
            options: unik_catalogue::Options::new(),
            features: component
                .parts
                .get(name)
                .map(|part| part.features.iter().cloned().collect())
                .unwrap_or_default(),
            listens: Vec::new(),
            origin: Origin::Implied,
            doc: String::new(),
        });
        self.parts.insert((whole, name.to_string()), node);
        for other in component.parts.get(name).map(|part| part.with.as_slice()).unwrap_or_default() {
            let other_node = self.part(whole, other, place);
            self.edge(
                node,
                other_node,
                EdgeKind::With,
                format!("`{name}` can't do without `{other}`"),
                place,
            );
        }
        node
    }

    /// `user` gets `interface` from `giver`: through a part of it, where the component
    /// has one for that.
    pub(super) fn gives(
        &mut self,
        user: NodeIndex,
        giver: NodeIndex,
        interface: &str,
        place: Place,
        direct: bool,
    ) {
        let component = self.graph[giver].component.clone();
        if !component.provides.iter().any(|given| given == interface)
            && let Some((part, _)) = component.part_providing(interface)
        {
            let part = self.part(giver, part, place);
            let reason = format!("`{}` uses {interface}", self.graph[user].id);
            self.edge(user, part, EdgeKind::Interface(interface.into()), reason, place);
        }
        if direct && EXCLUSIVE.contains(&interface) {
            match self.taken.get(&(giver, interface.to_string())) {
                Some((other, first)) if *first != place || *other != user => {
                    let diagnostic = Diagnostic::error(
                        codes::NOT_SHARED,
                        place,
                        format!(
                            "`{}` has a user already, and {interface} can't be shared",
                            self.graph[giver].id
                        ),
                    )
                    .label(format!("`{}` wants it too", self.graph[user].id))
                    .and(*first, format!("`{}` has it", self.graph[*other].id));
                    self.diagnostics.push(diagnostic);
                }
                _ => {
                    self.taken.insert((giver, interface.to_string()), (user, place));
                }
            }
        }
    }

    /// What is written at `place`, as the reason of an edge.
    fn written(&self, place: Place, key: &str) -> String {
        let text = self.sources.text(place);
        let words: Vec<&str> = text.split_whitespace().take(12).collect();
        if words.first().is_some_and(|first| *first == key) {
            format!("`{}`", words.join(" "))
        } else {
            format!("`{key}`")
        }
    }
}

/// All interfaces that a component can provide, for people.
fn all_interfaces(component: &unik_catalogue::Component) -> String {
    let mut all: Vec<&str> = component.provides.iter().map(String::as_str).collect();
    for interface in component.parts.values().flat_map(|part| &part.provides) {
        if !all.contains(&interface.as_str()) {
            all.push(interface);
        }
    }
    if all.is_empty() { "nothing".into() } else { all.join(", ") }
}
