//! The table `[package.metadata.unik]` of a component's `Cargo.toml`.
//!
//! The table is read strictly: an unknown key is an error, so that a slip in a
//! component shows when the component is built, not when somebody misses a feature.

mod place;
mod read;

use std::path::PathBuf;

use indexmap::IndexMap;
use serde::Deserialize;

pub use place::Spot;

use crate::formula::Formula;
use crate::usage::{Term, Usage};

/// A component, as its `Cargo.toml` describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Component {
    /// The crate that it is.
    pub package: Package,
    /// What a `.unik` file calls it.
    pub name: String,
    /// Which kind of declaration makes an instance of it.
    pub kind: Kind,
    /// One line for people.
    pub summary: String,
    /// The Rust path of its `start` function (see the runtime's `start` module), if
    /// instances of it are started.
    pub start: Option<String>,
    /// Where it can run.
    pub targets: Vec<Target>,
    /// The names of the components that it replaces on its targets: `host-ip` is used for
    /// `ip` on the target `process`. It takes those options of the other that it
    /// declares itself; the others have no meaning there.
    pub stands_in_for: Vec<String>,
    /// Whether the planner may bring it in by itself for an interface that nothing
    /// declared provides. Among several, the highest number wins; two of the same are
    /// an ambiguity. `None`: only where the file declares it.
    pub implied: Option<u32>,
    /// The hardware that a machine must have for it, as monitors know it: `virtio-net`.
    /// `None`: every machine has it, or it is no device.
    pub hardware: Option<String>,
    /// Whether `start` gets the table of ports that services listen on.
    pub listeners: bool,
    /// The crate of its host half, in the folder `host/`, and the path of the type in it.
    pub host: Option<String>,
    /// The interfaces that it provides whatever its options.
    pub provides: Vec<String>,
    /// What stands after `on`, in order.
    pub wires: Vec<Wire>,
    /// Interfaces that it needs and the file doesn't name.
    pub needs: Vec<Need>,
    /// Words of the command line that its instances read, in a process.
    pub arguments: Vec<Argument>,
    /// Its options in the order of the table.
    pub options: IndexMap<String, OptionSpec>,
    /// Protocols and abilities below the grain of the crate, each a node of the plan
    /// and cargo features of its own.
    pub parts: IndexMap<String, Part>,
    /// What must hold between several of its options.
    pub constraints: Vec<Constraint>,
    /// The memory that an instance takes of a machine beside its code and constants.
    pub memory: Vec<MemoryUse>,
}

/// Memory that an instance takes of a machine.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct MemoryUse {
    /// What for, in a few words: "buffers for received frames".
    pub what: String,
    /// How much, in bytes.
    pub bytes: Formula,
    /// When.
    #[serde(default)]
    pub taken: Taken,
    /// Only where the plan has this part of the instance.
    #[serde(default)]
    pub part: Option<String>,
    /// Only where this option is written, or has a default.
    #[serde(default)]
    pub option: Option<String>,
}

/// When memory is taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Taken {
    /// When the instance starts, for good: without it there is no appliance.
    #[default]
    AtStart,
    /// By and by, for what clients do, and at most this: what can't be had is refused to
    /// them.
    ForClients,
}

/// The crate of a component.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Package {
    /// Its name for cargo.
    pub name: String,
    /// Its version, or empty where it is inherited from a workspace.
    pub version: String,
    /// The folder of its `Cargo.toml`.
    pub folder: PathBuf,
}

/// The kinds of declaration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// The settings of the appliance itself; only the runtime has this.
    Appliance,
    /// `device NAME = …`
    Device,
    /// `network NAME = …`
    Network,
    /// `storage NAME = …`
    Storage,
    /// `service NAME = …`
    Service,
}

impl Kind {
    /// The word of the language.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Kind::Appliance => "appliance",
            Kind::Device => "device",
            Kind::Network => "network",
            Kind::Storage => "storage",
            Kind::Service => "service",
        }
    }
}

/// Where an appliance runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Target {
    /// A virtual machine, booted from the image.
    Machine,
    /// An ordinary Linux process.
    Process,
    /// A simulation: a program with virtual time, on simulated networks.
    Sim,
}

impl Target {
    /// All of them.
    pub const ALL: [Target; 3] = [Target::Machine, Target::Process, Target::Sim];

    /// The word of the language.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Target::Machine => "machine",
            Target::Process => "process",
            Target::Sim => "sim",
        }
    }

    /// With its preposition: where an appliance runs.
    #[must_use]
    pub const fn phrase(self) -> &'static str {
        match self {
            Target::Machine => "on a machine",
            Target::Process => "in a process",
            Target::Sim => "in a simulation",
        }
    }
}

/// One thing that stands after `on`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Wire {
    /// What constraints call it.
    pub name: String,
    /// The interfaces that the instance there must provide, all of them.
    pub interfaces: Vec<String>,
    /// One line for people.
    pub doc: String,
}

/// An interface that a component needs and the file doesn't name.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Need {
    /// The interface.
    pub interface: String,
    /// Why, for `unikgen why`: "for the Date header".
    pub reason: String,
}

/// A word of the command line that an instance reads, in a process: `NAME=VALUE`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Argument {
    /// What stands before the `=`.
    pub name: String,
    /// What stands after it.
    pub usage: String,
    /// One line for people.
    pub doc: String,
}

/// A protocol or ability below the grain of the crate.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Part {
    /// One line for people.
    pub summary: String,
    /// The interfaces that the component provides through it.
    #[serde(default)]
    pub provides: Vec<String>,
    /// The cargo features of the component's crate that hold it.
    #[serde(default)]
    pub features: Vec<String>,
    /// Other parts that it can't do without.
    #[serde(default)]
    pub with: Vec<String>,
    /// Whether every instance has it.
    #[serde(default)]
    pub always: bool,
}

/// An option: a key and what may stand after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OptionSpec {
    /// One line for people, with the unit where there is one.
    pub doc: String,
    /// The alternatives, tried in order.
    pub forms: Vec<Form>,
    /// What is assumed when it isn't written: the text after the key.
    pub default: Option<String>,
    /// Whether it must be written.
    pub required: bool,
    /// Whether it may be written more than once.
    pub repeats: bool,
    /// Whether its value may come from a parameter `at boot`.
    pub at_boot: bool,
    /// Whether its value must never be shown.
    pub secret: bool,
    /// Whether only the host half reads it: the guest's typed options leave it out.
    pub host_only: bool,
    /// The options of its nested block; empty when it has none.
    pub options: IndexMap<String, OptionSpec>,
}

/// One alternative of an option.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Form {
    /// Its name: a variant of the typed option. Empty when there is only one form.
    pub name: String,
    /// What stands after the key.
    pub usage: Usage,
    /// One line for people, where the option's own doc doesn't say it.
    pub doc: String,
    /// The parts that it brings in.
    pub parts: Vec<String>,
    /// Cargo features of the component's crate that it turns on.
    pub features: Vec<String>,
    /// What must hold of its values.
    pub constraints: Vec<Constraint>,
}

/// What must hold, said declaratively. Names in a form's constraints are those of its
/// placeholders; in a component's, those of options.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Constraint {
    /// The address `value` lies inside the network of `of`, and is neither that network's
    /// own nor its broadcast address.
    Within {
        /// A placeholder of type `ipv4`, `ipv6` or `ip`.
        value: String,
        /// A placeholder of type `cidr4` or `cidr6`.
        of: String,
        /// The key of another option, where `of` is a placeholder of that one: `value` then lies in the
        /// network of one of its entries, if it has such.
        #[serde(default)]
        option: Option<String>,
        /// Whether it may be a link-local address (RFC 4291, 2.5.6) as well, as IPv6 routers have.
        #[serde(default, rename = "or-link-local")]
        or_link_local: bool,
    },
    /// The networks of two instances have no address in common. Link-local ones are on every link.
    Apart(
        /// A placeholder of type `cidr4` or `cidr6`.
        String,
    ),
    /// The address of a network: no bit is set beyond its prefix.
    Network(
        /// A placeholder of type `cidr4` or `cidr6`.
        String,
    ),
    /// No two entries of the option have the same value there.
    Distinct(
        /// A placeholder.
        String,
    ),
    /// Where this form is written, another option is too.
    NeedsOption(
        /// The key of the other option.
        String,
    ),
    /// A host of its network: neither the network address nor the broadcast address.
    Host(
        /// A placeholder of type `cidr4`.
        String,
    ),
    /// The name of a host (RFC 1123, 2.1): labels of 1 to 63 letters, digits and hyphens, none
    /// of them at an end, joined by dots, 253 bytes in all (RFC 1035, 2.3.4).
    Hostname(
        /// A placeholder of type `string` or `name`.
        String,
    ),
    /// A size that the component takes of the appliance's memory, so that it can't be more
    /// than that. Holds where it is written, on the target `machine`.
    InMemory(
        /// A placeholder of type `size`.
        String,
    ),
    /// The two placeholders differ (an address and its gateway).
    Differ(
        /// One placeholder.
        String,
        /// The other.
        String,
    ),
    /// A power of two.
    PowerOfTwo(
        /// A placeholder of type `integer` or `size`.
        String,
    ),
    /// A unicast address that a host may have on a network: neither multicast nor broadcast
    /// nor unspecified, nor of a range that means the host itself or nothing (RFC 6890).
    Unicast(
        /// A placeholder of type `mac`, `ipv4`, `ipv6`, `ip`, `cidr4` or `cidr6`.
        String,
    ),
    /// The instance listens on this port of the network at a wire. No two instances may
    /// listen on one port of one network.
    Listens {
        /// The transport.
        protocol: Transport,
        /// A placeholder of type `port`.
        port: String,
        /// The name of a wire.
        wire: String,
        /// The scheme of the URL by which a client reaches it, where there is one: `http`.
        #[serde(default)]
        scheme: Option<String>,
        /// What is spoken there, in a word that the clients of a simulation know: `http`, `echo`.
        #[serde(default)]
        speaks: Option<String>,
    },
    /// A file or folder of the host exists and can be read.
    Exists {
        /// A placeholder of type `path`.
        path: String,
        /// Which of the two it must be.
        is: Existing,
    },
    /// No other instance of the appliance has the same value there.
    Unique(
        /// A placeholder.
        String,
    ),
    /// At most one of these options is written.
    Excludes(
        /// Keys of options.
        Vec<String>,
    ),
    /// At least one of these options is written.
    AnyOf(
        /// Keys of options.
        Vec<String>,
    ),
    /// Without the other option, or the form of it that is named, the first one means
    /// nothing: it may be written, and that it is void is a warning. A
    /// default of the other is as good as one that is written.
    Void {
        /// The key of an option.
        option: String,
        /// The key of the option that gives it a meaning.
        without: String,
        /// The form of that one, where not all of them do.
        #[serde(default)]
        form: Option<String>,
    },
    /// Where nothing brings in the part, the option means nothing: that it is void is a warning.
    Idle {
        /// The key of an option.
        option: String,
        /// A part of the component.
        part: String,
    },
    /// Where the first option is written, the second is too.
    Requires {
        /// The key of an option.
        option: String,
        /// The key of the option that it needs.
        needs: String,
    },
}

/// A transport protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Transport {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

/// What a path must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Existing {
    /// A file.
    File,
    /// A folder.
    Folder,
}

/// Why a `Cargo.toml` doesn't describe a component.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// It can't be read.
    #[error("can't read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It has no table `[package.metadata.unik]`.
    #[error("{} has no table [package.metadata.unik], so it is no component", path.display())]
    NoTable {
        /// The file.
        path: PathBuf,
    },
    /// It isn't TOML, the table doesn't have the schema, or something in it doesn't fit together.
    #[error("in {}{}", path.display(), at_place(spot.as_deref(), message))]
    Table {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        message: String,
        /// Where.
        spot: Option<Box<Spot>>,
    },
}

/// `:12:9: no type `prot``, with the line below.
fn at_place(spot: Option<&Spot>, message: &str) -> String {
    match spot {
        Some(spot) => format!(":{}:{}: {message}\n{spot}", spot.line, spot.column),
        None => format!(": {message}"),
    }
}

impl Component {
    /// Whether instances of it can provide `interface`, with the right parts.
    #[must_use]
    pub fn can_provide(&self, interface: &str) -> bool {
        self.provides.iter().any(|i| i == interface) || self.part_providing(interface).is_some()
    }

    /// The part through which it provides `interface`.
    #[must_use]
    pub fn part_providing(&self, interface: &str) -> Option<(&str, &Part)> {
        let (name, part) =
            self.parts.iter().find(|(_, part)| part.provides.iter().any(|i| i == interface))?;
        Some((name, part))
    }
}

impl Constraint {
    /// Whether it can be checked when the appliance starts, for a value that is given then. What
    /// decides the plan, or looks at other instances, can't.
    #[must_use]
    pub fn holds_at_boot(&self) -> bool {
        match self {
            Constraint::Within { .. }
            | Constraint::Network(_)
            | Constraint::Apart(_)
            | Constraint::Host(_)
            | Constraint::Hostname(_)
            | Constraint::Differ(..)
            | Constraint::PowerOfTwo(_)
            | Constraint::Unicast(_) => true,
            // About what is written, not about values.
            Constraint::NeedsOption(_)
            | Constraint::Excludes(_)
            | Constraint::AnyOf(_)
            | Constraint::Void { .. }
            | Constraint::Idle { .. }
            | Constraint::Requires { .. } => true,
            _ => false,
        }
    }
}

impl OptionSpec {
    /// The first words that may stand after the key, for messages and completion.
    #[must_use]
    pub fn leading_words(&self) -> Vec<&str> {
        self.forms
            .iter()
            .filter_map(|form| match form.usage.terms.first() {
                Some(Term::Word(word)) => Some(word.as_str()),
                _ => None,
            })
            .collect()
    }
}
