//! The host halves of components: asked for what only they can judge and prepare.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use petgraph::graph::NodeIndex;
use unik_catalogue::host::{Baked, Finding, HostHalf, Input, Severity};
use unik_catalogue::value::Place;
use unik_dsl::diagnostic::{self, Diagnostic, codes};
use unik_dsl::plan::{Node, Origin, Plan};
use unik_dsl::source::SourceMap;

/// The host halves that there are.
#[derive(Default)]
pub struct HostHalves {
    halves: Vec<Box<dyn HostHalf>>,
}

impl HostHalves {
    /// These host halves. Of two for one component the first counts.
    #[must_use]
    pub fn new(halves: Vec<Box<dyn HostHalf>>) -> Self {
        HostHalves { halves }
    }

    /// Adds one.
    pub fn add(&mut self, half: Box<dyn HostHalf>) {
        self.halves.push(half);
    }

    /// The host half of this component.
    #[must_use]
    pub fn of(&self, component: &str) -> Option<&dyn HostHalf> {
        self.halves.iter().find(|half| half.component() == component).map(AsRef::as_ref)
    }
}

/// What the host halves of a plan's instances made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BakedSet {
    /// Name of the instance → what was made for it. Those without a host half are missing.
    pub instances: BTreeMap<String, Baked>,
    /// Files and folders that were read: the image depends on them.
    pub dependencies: BTreeSet<PathBuf>,
}

/// Asks the host half of every instance, providers first, to check its options and then to
/// bake. An instance whose provider has errors is left out: what it was offered is unknown.
///
/// Files that findings point into are added to `sources`. When one of the diagnostics is an
/// error, the set isn't complete and no crate can be made of it.
#[must_use]
pub fn prepare(plan: &Plan, halves: &HostHalves, sources: &mut SourceMap) -> (BakedSet, Vec<Diagnostic>) {
    let mut set = BakedSet::default();
    let mut diagnostics = Vec::new();
    let mut failed: BTreeSet<NodeIndex> = BTreeSet::new();
    for (index, node) in plan.instances() {
        let providers = plan.arguments(index);
        if providers.iter().any(|provider| failed.contains(provider)) {
            failed.insert(index);
            continue;
        }
        if node.component.host.is_none() {
            continue;
        }
        let found = match halves.of(&node.component.name) {
            Some(half) => prepare_one(plan, node, half, &providers, &mut set, sources),
            None => vec![without_half(plan, node)],
        };
        if found.iter().any(Diagnostic::is_error) {
            failed.insert(index);
        }
        diagnostics.extend(found);
    }
    (set, diagnostics)
}

fn prepare_one(
    plan: &Plan,
    node: &Node,
    half: &dyn HostHalf,
    providers: &[NodeIndex],
    set: &mut BakedSet,
    sources: &mut SourceMap,
) -> Vec<Diagnostic> {
    let offers = providers
        .iter()
        .filter_map(|&provider| {
            let name = &plan.graph[provider].id;
            Some((name.clone(), set.instances.get(name)?.offer.clone()))
        })
        .collect();
    let mut options = node.options.clone();
    // What it was never told it can't show.
    options.retain(|key, _| !node.component.options.get(key).is_some_and(|option| option.secret));
    let input = Input::new(&node.id, options, offers, plan.target.word());
    let mut findings = half.check(&input);
    if !findings.iter().any(|finding| finding.severity == Severity::Error) {
        match half.bake(&input) {
            Ok(baked) => {
                set.instances.insert(node.id.clone(), baked);
            }
            Err(late) if late.is_empty() => {
                findings.push(Finding::error(
                    None,
                    format!("`{}` can't be prepared, and its host half doesn't say why", node.id),
                ));
            }
            Err(late) => findings.extend(late),
        }
    }
    // Also after errors: mending the file is what a watcher waits for.
    set.dependencies.extend(input.dependencies());
    diagnostic::from_findings(&findings, node, plan, sources)
}

fn without_half(plan: &Plan, node: &Node) -> Diagnostic {
    let message = format!("the host half of `{}` can't be asked here", node.component.name);
    Diagnostic::error(codes::NO_HALF, place_of(plan, node), message)
        .help("it is built in unik's cache: set UNIK_CACHE (or HOME) to a folder that can be written")
}

/// Where the file declares `node`; for an implied one, the appliance.
#[must_use]
pub fn place_of(plan: &Plan, node: &Node) -> Place {
    match node.origin {
        Origin::Declared(place) => place,
        Origin::Implied => plan.place,
    }
}
