//! `unikgen why`: why something is in the image, as chains of reasons that end in lines
//! of the file; or why it isn't, and what would bring it in.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use petgraph::graph::NodeIndex;
use unik_catalogue::{Component, Kind};
use unik_dsl::Catalogue;
use unik_dsl::plan::{Origin, Plan, Role};

use super::components::nearest;
use super::output;
use crate::appliance::{self, Checked};
use crate::backend;
use crate::cli::Why;
use crate::exit::{self, FAILED, OK, Outcome};
use crate::ui::{Paint, Tone, Ui};

/// Chains that are shown of one node; the shortest come first.
const CHAINS: usize = 4;

/// Explains: 0 when the thing is in the image, 1 when it isn't.
///
/// # Errors
/// When the file has errors, or there is no such thing at all.
pub fn run(args: &Why, ui: &Ui) -> Outcome {
    let subject = appliance::locate_file(args.appliance.file.as_deref())?;
    let Some(file) = subject.unik_file() else { return Ok(OK) };
    let checked = appliance::check(file, &args.appliance.parameters, ui)?;
    let answer = Answer { checked: &checked, paint: ui.out() };
    let found = present(&checked.plan, &args.thing);
    if !found.is_empty() {
        output(&answer.why(&args.thing, &found))?;
        return Ok(OK);
    }
    let catalogue = appliance::catalogue()?;
    let below = backend::chains_to_crate(&subject, &checked, &args.thing)?;
    if let Some(chains) = below.as_ref().filter(|chains| !chains.is_empty()) {
        output(&answer.why_crate(&args.thing, chains))?;
        return Ok(OK);
    }
    match answer.why_not(&args.thing, &catalogue) {
        Some(text) => {
            output(&text)?;
            Ok(FAILED)
        }
        None => {
            let mut text = unknown(&args.thing, &checked.plan, &catalogue);
            if below.is_none() {
                text.push_str("; crates below components are known once it was built: unikgen build");
            }
            Err(exit::usage(text))
        }
    }
}

/// The nodes that `thing` may mean, by the most telling of its meanings: an instance,
/// then a component, a part, a crate, an interface.
fn present(plan: &Plan, thing: &str) -> Vec<NodeIndex> {
    let all = || plan.graph.node_indices();
    let is_instance = |index: NodeIndex| plan.graph[index].role == Role::Instance;
    let part_of = |index: NodeIndex| match &plan.graph[index].role {
        Role::Part { part, .. } => Some(part.as_str()),
        Role::Instance => None,
    };
    if let Some(index) = plan.node(thing) {
        return vec![index];
    }
    let meanings: [&dyn Fn(NodeIndex) -> bool; 4] = [
        &|index| is_instance(index) && plan.graph[index].component.name == thing,
        &|index| part_of(index) == Some(thing),
        &|index| is_instance(index) && plan.graph[index].component.package.name == thing,
        &|index| {
            let component = &plan.graph[index].component;
            let provides = |interfaces: &[String]| interfaces.iter().any(|i| i.eq_ignore_ascii_case(thing));
            match part_of(index) {
                Some(part) => component.parts.get(part).is_some_and(|part| provides(&part.provides)),
                None => provides(&component.provides),
            }
        },
    ];
    meanings
        .iter()
        .map(|meaning| all().filter(|&index| meaning(index)).collect::<Vec<_>>())
        .find(|found| !found.is_empty())
        .unwrap_or_default()
}

struct Answer<'a> {
    checked: &'a Checked,
    paint: Paint,
}

impl Answer<'_> {
    fn why(&self, thing: &str, found: &[NodeIndex]) -> String {
        let plan = &self.checked.plan;
        let mut text = String::new();
        for &index in found {
            let node = &plan.graph[index];
            let what = match &node.role {
                Role::Instance => format!(
                    "the {} `{}`, an instance of {}",
                    node.component.kind.word(),
                    node.id,
                    node.component.name
                ),
                Role::Part { of, part } => {
                    let summary = node.component.parts.get(part).map_or("", |part| part.summary.as_str());
                    format!("{summary}, a part of `{}` ({})", plan.graph[*of].id, node.component.name)
                }
            };
            let _ = writeln!(text, "{} is in the image: {what}.", self.paint.paint(Tone::Strong, thing));
            if node.role == Role::Instance {
                let features = plan.features(index);
                let with = if features.is_empty() {
                    String::new()
                } else {
                    format!(" with the features {}", features.into_iter().collect::<Vec<_>>().join(", "))
                };
                let _ = writeln!(text, "Its code is the crate {}{with}.", node.component.package.name);
            }
            if let Origin::Declared(place) = node.origin {
                let _ = writeln!(text, "\nThe file declares it:\n{}", self.line(place));
            }
            let chains = plan.paths_to(index, CHAINS);
            for (at, chain) in chains.iter().enumerate() {
                let heading = match (at, &node.origin) {
                    (0, Origin::Declared(_)) => "It is used:",
                    (0, Origin::Implied) => "Because:",
                    _ => "And because:",
                };
                let _ = writeln!(text, "\n{heading}");
                self.chain(&mut text, chain);
            }
            if chains.is_empty() && node.origin == Origin::Implied {
                // A plan has no such node; better a true word than none.
                let _ = writeln!(text, "\nNothing in the plan needs it.");
            }
            text.push('\n');
        }
        text.pop();
        text
    }

    /// Of a crate that no component is: through which component's crates it comes in.
    fn why_crate(&self, name: &str, chains: &[Vec<String>]) -> String {
        let plan = &self.checked.plan;
        let mut text =
            format!("{} is in the image: a crate below these.\n", self.paint.paint(Tone::Strong, name));
        for chain in chains.iter().take(CHAINS) {
            // The first is the generated crate, the second what it depends on itself.
            let top = chain.get(1).map_or("", String::as_str);
            let users: Vec<NodeIndex> = plan
                .order
                .iter()
                .copied()
                .filter(|&index| plan.graph[index].component.package.name == top)
                .collect();
            let _ = writeln!(text, "\n  {}", chain.get(1..).unwrap_or_default().join(" → "));
            if users.is_empty() {
                let what = if top == "unik" {
                    "of the runtime, which every appliance has"
                } else {
                    "a dependency of the crate itself"
                };
                let _ = writeln!(text, "  {what}");
            }
            for index in users {
                let node = &plan.graph[index];
                let why = match node.origin {
                    Origin::Declared(place) => self.line(place),
                    Origin::Implied => format!("  implied: `unikgen why {}` says by what", node.id),
                };
                let _ = writeln!(text, "  of the {} `{}`\n  {why}", node.component.kind.word(), node.id);
            }
        }
        if chains.len() > CHAINS {
            let _ = writeln!(text, "\n  and {} more ways", chains.len() - CHAINS);
        }
        text
    }

    fn chain(&self, text: &mut String, chain: &[petgraph::graph::EdgeIndex]) {
        let graph = &self.checked.plan.graph;
        for (depth, &edge) in chain.iter().enumerate() {
            let Some((from, to)) = graph.edge_endpoints(edge) else { continue };
            if depth == 0 {
                let node = &graph[from];
                let _ = writeln!(
                    text,
                    "  {} `{}`",
                    node.component.kind.word(),
                    self.paint.paint(Tone::Name, &node.id)
                );
            }
            let weight = &graph[edge];
            let reason =
                if weight.reason.is_empty() { String::new() } else { format!(": {}", weight.reason) };
            let indent = "   ".repeat(depth);
            let _ = writeln!(
                text,
                "  {indent}└─ needs `{}`{reason}",
                self.paint.paint(Tone::Name, &graph[to].id)
            );
            if chain.get(depth + 1).is_none_or(|&next| graph[next].place != weight.place) {
                let line = self.line(weight.place);
                if !line.is_empty() {
                    let _ = writeln!(text, "  {indent} {line}");
                }
            }
        }
    }

    /// `   web.unik:15 │ service site = http on lan {`
    fn line(&self, place: unik_catalogue::value::Place) -> String {
        let sources = &self.checked.sources;
        let Some(source) = sources.source(place.source) else { return String::new() };
        let line = source.text[source.line_range(source.line(source.clamp(place).start))].trim();
        let at = self.paint.paint(Tone::Faint, &format!("{} │", sources.short(place)));
        format!("  {at} {line}")
    }

    /// Why `thing` isn't there; `None` when there is no such thing.
    fn why_not(&self, thing: &str, catalogue: &Catalogue) -> Option<String> {
        let plan = &self.checked.plan;
        let strong = self.paint.paint(Tone::Strong, thing);
        let mut ways: Vec<String> = Vec::new();
        let components = || {
            catalogue
                .components()
                .iter()
                .map(AsRef::as_ref)
                .filter(|c: &&Component| c.kind != Kind::Appliance)
        };
        for component in components() {
            if component.name == thing || component.package.name == thing {
                ways.extend(self.ways_to_component(component));
            }
            if component.parts.contains_key(thing) {
                ways.extend(ways_to_part(component, thing, &instances_of(plan, component)));
            }
        }
        let mut text = format!("{strong} isn't in the image");
        if ways.is_empty() {
            let providers: Vec<&Component> = components().filter(|c| provides(c, thing)).collect();
            if providers.is_empty() {
                return None;
            }
            text.push_str(": nothing in the plan provides that interface");
            ways.extend(
                providers
                    .iter()
                    .map(|c| format!("an instance of `{}` would provide it: {}", c.name, c.summary)),
            );
        }
        text.push_str(".\n\nWhat would bring it in:\n");
        for way in ways {
            let _ = writeln!(text, "  - {way}");
        }
        Some(text)
    }

    fn ways_to_component(&self, component: &Component) -> Vec<String> {
        let plan = &self.checked.plan;
        let mut ways = Vec::new();
        if !component.targets.contains(&plan.target) {
            let targets: Vec<&str> = component.targets.iter().map(|target| target.word()).collect();
            ways.push(format!(
                "the target {}: it doesn't run on the target {}, which this plan is for",
                targets.join(" or "),
                plan.target.word()
            ));
        }
        if !component.stands_in_for.is_empty() {
            let others = component.stands_in_for.join("`, `");
            ways.push(format!("`{others}` on that target: it stands in for it"));
            return ways;
        }
        let on = if component.wires.is_empty() {
            String::new()
        } else {
            let wires: Vec<String> = component.wires.iter().map(|wire| wire.name.to_uppercase()).collect();
            format!(" on {}", wires.join(", "))
        };
        ways.push(format!("a line `{} NAME = {}{on}` in the file", component.kind.word(), component.name));
        if component.implied.is_some() {
            for interface in &component.provides {
                let given: BTreeSet<&str> = plan
                    .instances()
                    .filter(|(_, node)| provides(&node.component, interface))
                    .map(|(_, node)| node.id.as_str())
                    .collect();
                ways.push(if given.is_empty() {
                    format!("something that needs {interface}: nothing in this plan does")
                } else {
                    let given: Vec<&str> = given.into_iter().collect();
                    format!(
                        "something that needs {interface}, if `{}` didn't provide it already",
                        given.join("`, `")
                    )
                });
            }
        }
        ways
    }
}

fn instances_of<'a>(plan: &'a Plan, component: &Component) -> Vec<&'a str> {
    plan.instances()
        .filter(|(_, node)| node.component.name == component.name)
        .map(|(_, node)| node.id.as_str())
        .collect()
}

/// What would turn `part` on in instances of `component`.
fn ways_to_part(component: &Component, part: &str, instances: &[&str]) -> Vec<String> {
    let whose = match instances {
        [] => format!("a {} of the component `{}`", component.kind.word(), component.name),
        ids => format!("`{}`", ids.join("` or `")),
    };
    let mut ways = Vec::new();
    for (key, option) in &component.options {
        for form in option.forms.iter().filter(|form| form.parts.iter().any(|p| p == part)) {
            let usage = format!("{key} {}", form.usage);
            ways.push(format!("the option `{}` in {whose}", usage.trim_end()));
        }
    }
    if let Some(table) = component.parts.get(part) {
        for interface in &table.provides {
            ways.push(format!("something on {whose} that needs {interface}"));
        }
        if table.always && instances.is_empty() {
            ways.push(format!("{whose}: each has it"));
        }
    }
    for (other, table) in &component.parts {
        if table.with.iter().any(|p| p == part) {
            ways.push(format!("its part `{other}`, which can't do without"));
        }
    }
    ways
}

fn provides(component: &Component, interface: &str) -> bool {
    let fits = |interfaces: &[String]| interfaces.iter().any(|i| i.eq_ignore_ascii_case(interface));
    fits(&component.provides) || component.parts.values().any(|part| fits(&part.provides))
}

fn unknown(thing: &str, plan: &Plan, catalogue: &Catalogue) -> String {
    let nodes = plan.graph.node_weights().map(|node| node.id.as_str());
    let names = catalogue.components().iter().flat_map(|component| {
        std::iter::once(component.name.as_str()).chain(component.parts.keys().map(String::as_str))
    });
    let mut text = format!("there is no component, part, crate or interface `{thing}`");
    if let Some(near) = nearest(thing, nodes.chain(names)) {
        let _ = write!(text, "; did you mean `{near}`?");
    }
    text
}
