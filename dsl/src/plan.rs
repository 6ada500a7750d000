//! The plan: a DAG of component instances.
//!
//! A node is an instance of a component, or a part of one (TCP in an IP network); an
//! edge goes from who needs to who gives, and says why it is there. The plan is all
//! that later stages read of the file: what is not in it is not in the image.

use std::collections::{BTreeSet, VecDeque};
use std::path::PathBuf;
use std::rc::Rc;

use petgraph::graph::{DiGraph, EdgeIndex, NodeIndex};
use unik_catalogue::schema::Transport;
use unik_catalogue::value::Place;
use unik_catalogue::{Component, Options, Target, Type, Value};

use crate::fetch::LockFile;
use crate::memory::Share;

/// What is in an image, and why.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The appliance's name.
    pub appliance: String,
    /// Where the declaration of the appliance stands.
    pub place: Place,
    /// The doc comment before that, without the slashes; empty where there is none.
    pub doc: String,
    /// Where it runs.
    pub target: Target,
    /// The appliance's own settings, typed against the catalogue entry `appliance`
    /// (`memory`, `cpu`, `log`, …), with defaults filled in.
    pub settings: Options,
    /// The parameters `at boot`, in the order of the file.
    pub boot: Vec<BootParameter>,
    /// Instances and parts; edges from who needs to who gives.
    pub graph: DiGraph<Node, Edge>,
    /// The instances (no parts) in start order: providers first, devices before all else.
    pub order: Vec<NodeIndex>,
    /// The memory that it takes of a machine, beside the image itself; the largest first.
    pub memory: Vec<Share>,
    /// Crates that the file names by `crate NAME { … }`.
    pub crates: Vec<NamedCrate>,
    /// What says which crates exactly those are that come from elsewhere; `None` where none do.
    pub lock: Option<LockFile>,
    /// Files of the host that the plan depends on: the `.unik` file, what it includes, the
    /// lock file.
    pub sources: Vec<PathBuf>,
}

/// A parameter whose value may be given when the appliance starts.
#[derive(Clone, Debug)]
pub struct BootParameter {
    /// Its name.
    pub name: String,
    /// What it takes: what its declaration says, narrowed to what all take that use it.
    pub ty: Type,
    /// Its value where none is given; without one it must be given.
    pub default: Option<Value>,
    /// Whether its value is never shown.
    pub secret: bool,
    /// Where its name is declared.
    pub place: Place,
    /// The doc comment before its declaration.
    pub doc: String,
    /// Whether anything of this plan takes its value: on another target it may be otherwise.
    pub used: bool,
}

/// An instance of a component, or a part of one.
#[derive(Clone, Debug)]
pub struct Node {
    /// Unique in the plan: `site`, `lan`, `lan/tcp`, `rdrand`.
    pub id: String,
    /// What it is an instance of; for a part, its whole's component.
    pub component: Rc<Component>,
    /// Whole or part.
    pub role: Role,
    /// Typed options with defaults filled in. Empty for parts.
    pub options: Options,
    /// Cargo features of the component's crate that this node needs.
    pub features: BTreeSet<String>,
    /// For an instance with `listeners`: the ports that its services listen on.
    pub listens: Vec<Listen>,
    /// What brought it in.
    pub origin: Origin,
    /// The doc comment before its declaration, without the slashes; empty where there is none.
    pub doc: String,
}

/// Whether a node is an instance or a part of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Role {
    /// An instance: started, if its component says how.
    Instance,
    /// A part of an instance: cargo features, not started. That it belongs to its whole
    /// is said here and not by an edge, which would close a circle with
    /// [`EdgeKind::HasPart`].
    Part {
        /// The node that it is a part of.
        of: NodeIndex,
        /// The name of the part in the catalogue.
        part: String,
    },
}

/// What brought a node in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A declaration in the file.
    Declared(Place),
    /// An edge of another node; following edges backwards leads to a declaration.
    Implied,
}

/// A port that a service listens on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    /// The transport.
    pub protocol: Transport,
    /// The port.
    pub port: u16,
    /// The instance that listens.
    pub service: String,
    /// What is spoken there, in a word that the clients of a simulation know.
    pub speaks: Option<String>,
    /// Where the port is written, or the service where it is a default.
    pub place: Place,
}

/// Why one node needs another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edge {
    /// How the needing node uses the other.
    pub kind: EdgeKind,
    /// For people: "for the Date header", "`ipv4 dhcp`", "http serves over Tcp".
    pub reason: String,
    /// The place in the file that made the edge.
    pub place: Place,
}

/// How a node uses another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EdgeKind {
    /// The wire with this index in the component's table: an argument of `start`.
    Wire(usize),
    /// A reference in an option (`files from pages`), in the order of the options: an
    /// argument of `start` after the wires.
    Reference(usize),
    /// The need with this index in the component's table: an argument of `start` after
    /// the references.
    Need(usize),
    /// The interface comes through this part of the wired instance.
    Interface(
        /// The interface's name.
        String,
    ),
    /// From an instance to a part that an option or `always` brings in.
    HasPart,
    /// From a part to a part that it can't do without.
    With,
}

/// A crate that the file names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedCrate {
    /// Its name for cargo.
    pub name: String,
    /// Where it comes from.
    pub source: CrateSource,
    /// Where the file names it.
    pub place: Place,
}

/// Where a named crate comes from: always one exact thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CrateSource {
    /// A folder of the host.
    Path(PathBuf),
    /// A git repository, at a commit.
    Git {
        /// Its address.
        url: String,
        /// The full hash of the commit.
        commit: String,
    },
    /// One version of a crate on crates.io.
    Registry {
        /// The version, `1.2.3`.
        version: String,
    },
}

impl Plan {
    /// The instances in start order.
    pub fn instances(&self) -> impl Iterator<Item = (NodeIndex, &Node)> {
        self.order.iter().map(|&index| (index, &self.graph[index]))
    }

    /// What the instance `node` is started with, in the order of its arguments.
    #[must_use]
    pub fn arguments(&self, node: NodeIndex) -> Vec<NodeIndex> {
        use petgraph::visit::EdgeRef;
        let rank = |kind: &EdgeKind| match kind {
            EdgeKind::Wire(at) => Some((0, *at)),
            EdgeKind::Reference(at) => Some((1, *at)),
            EdgeKind::Need(at) => Some((2, *at)),
            _ => None,
        };
        let mut found: Vec<_> = self
            .graph
            .edges(node)
            .filter_map(|edge| rank(&edge.weight().kind).map(|rank| (rank, edge.target())))
            .collect();
        found.sort_unstable();
        found.into_iter().map(|(_, target)| target).collect()
    }

    /// The ways from declarations to `node`: the answer to "why is it in the image?".
    /// Each begins with an edge of a declared instance and ends with one into `node`;
    /// the shortest come first, at most `limit` of them. Empty for a declared instance
    /// that nothing else needs.
    #[must_use]
    pub fn paths_to(&self, node: NodeIndex, limit: usize) -> Vec<Vec<EdgeIndex>> {
        use petgraph::Direction::Incoming;
        use petgraph::visit::EdgeRef;
        let mut found = Vec::new();
        let mut open: VecDeque<Vec<EdgeIndex>> =
            self.graph.edges_directed(node, Incoming).map(|edge| vec![edge.id()]).collect();
        while let Some(path) = open.pop_front() {
            // A path is kept backwards while it grows.
            let Some((from, _)) = path.last().and_then(|&edge| self.graph.edge_endpoints(edge)) else {
                continue;
            };
            if matches!(self.graph[from].origin, Origin::Declared(_)) {
                found.push(path.iter().rev().copied().collect());
                if found.len() >= limit {
                    break;
                }
                continue;
            }
            open.extend(self.graph.edges_directed(from, Incoming).map(|edge| {
                let mut longer = path.clone();
                longer.push(edge.id());
                longer
            }));
        }
        found
    }

    /// Calls `each` with every value of an instance's options.
    pub fn each_value<'p>(&'p self, each: &mut dyn FnMut(&'p Node, &'p Value)) {
        for (_, node) in self.instances() {
            for entry in node.options.values().flatten() {
                entry.each_value(&mut |value| each(node, value));
            }
        }
    }

    /// The secrets that are compiled in, by parameter: each with its text, once that is given.
    #[must_use]
    pub fn secrets(&self) -> std::collections::BTreeMap<&str, Option<&str>> {
        let mut found = std::collections::BTreeMap::new();
        self.each_value(&mut |_, value| {
            if let Value::Secret(secret) = value {
                found.insert(secret.parameter.as_str(), secret.reveal());
            }
        });
        found
    }

    /// The node with this id.
    #[must_use]
    pub fn node(&self, id: &str) -> Option<NodeIndex> {
        self.graph.node_indices().find(|&index| self.graph[index].id == id)
    }

    /// All cargo features of the crate of the instance `node`: its own and its parts'.
    #[must_use]
    pub fn features(&self, node: NodeIndex) -> BTreeSet<String> {
        let mut features = self.graph[node].features.clone();
        for other in self.graph.node_weights() {
            if matches!(other.role, Role::Part { of, .. } if of == node) {
                features.extend(other.features.iter().cloned());
            }
        }
        features
    }
}
