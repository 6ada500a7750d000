//! The types and values that options take.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::mem::discriminant;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The type of one value of an option, as a usage pattern names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Type {
    /// `true` or `false`. Rust: `bool`.
    Bool,
    /// A whole number, from `min` to `max`. Rust: `u64`.
    Integer {
        /// The least allowed.
        min: u64,
        /// The greatest allowed.
        max: u64,
    },
    /// Text in quotes. Rust: `&'static str`.
    String,
    /// A bare word, or text in quotes that could be one. Rust: `&'static str`.
    Name,
    /// A number of bytes, `16 MiB`, from `min` to `max` bytes. Rust: `usize`.
    Size {
        /// The least allowed, in bytes.
        min: u64,
        /// The greatest allowed, in bytes.
        max: u64,
    },
    /// A span of time, `30 s`, from `min` to `max`. Rust: `core::time::Duration`.
    Duration {
        /// The least allowed, in nanoseconds.
        min: u64,
        /// The greatest allowed, in nanoseconds.
        max: u64,
    },
    /// So many in a span of time, `1000 per second`. Rust: `(u64, core::time::Duration)`.
    Rate,
    /// Rust: `core::net::Ipv4Addr`.
    Ipv4,
    /// Rust: `core::net::Ipv6Addr`.
    Ipv6,
    /// An address of either family. Rust: `core::net::IpAddr`.
    Ip,
    /// An IPv4 address with its network, `10.0.0.2/24`. Rust: `(core::net::Ipv4Addr, u8)`.
    Cidr4,
    /// An IPv6 address with its network. Rust: `(core::net::Ipv6Addr, u8)`.
    Cidr6,
    /// An Ethernet address, `52:54:00:12:34:56`. Rust: `[u8; 6]`.
    Mac,
    /// A port of TCP or UDP, 1 to 65535. Rust: `u16`.
    Port,
    /// An address and a port, `10.0.0.1:53`. Rust: `core::net::SocketAddr`.
    Endpoint,
    /// A file or folder of the host, relative to the `.unik` file. Not passed to the
    /// guest: only the host half sees it.
    Path,
    /// An instance that provides the interface, as `pages` in `files from pages`. Its
    /// handle becomes an argument of `start`, after the wires. Not a field.
    Instance(
        /// The interface that the instance must provide.
        String,
    ),
    /// A path inside such an instance, as `zones / "example.org.zone"`. Rust: as [`Type::Instance`].
    InstancePath(
        /// The interface that the instance must provide.
        String,
    ),
    /// A Rust item of the user's crate that `#[unik::handler]` marks: `count` or
    /// `api::count`. Only the host half sees it.
    Handler,
    /// One of these words. Rust: an enum with a variant for each.
    OneOf(
        /// The words.
        Vec<String>,
    ),
    /// A list of values of one type, `[80, 443]`. Rust: `&'static [T]`.
    List(
        /// The type of its elements.
        Box<Type>,
    ),
}

impl Type {
    /// A value of this type, as it is written: the least where it has a range, and a name
    /// where it is one of the file's own.
    #[must_use]
    pub fn example(&self) -> String {
        match self {
            Type::Bool => "true".into(),
            Type::Integer { min: 0, .. } => "1".into(),
            Type::Integer { min, .. } => min.to_string(),
            Type::String => "\"text\"".into(),
            Type::Name => "name".into(),
            Type::Size { min: 0, .. } => "16 MiB".into(),
            Type::Size { min, .. } => Size(*min).to_string(),
            Type::Duration { min: 0, .. } => "30 s".into(),
            Type::Duration { min, .. } => Span(*min).to_string(),
            Type::Rate => "1000 per second".into(),
            Type::Ipv4 | Type::Ip => "10.0.0.2".into(),
            Type::Ipv6 => "fd00::2".into(),
            Type::Cidr4 => "10.0.0.2/24".into(),
            Type::Cidr6 => "fd00::2/64".into(),
            Type::Mac => "52:54:00:12:34:56".into(),
            Type::Port => "8080".into(),
            Type::Endpoint => "10.0.0.1:53".into(),
            Type::Path => "\"./path\"".into(),
            Type::Instance(_) => "name".into(),
            Type::InstancePath(_) => "name / \"path\"".into(),
            Type::Handler => "module::function".into(),
            Type::OneOf(words) => words.first().cloned().unwrap_or_default(),
            Type::List(element) => format!("[{}]", element.example()),
        }
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let article = |f: &mut fmt::Formatter<'_>, s: &str| f.write_str(s);
        match self {
            Type::Bool => article(f, "true or false"),
            Type::Integer { min: 0, max: u64::MAX } => article(f, "a whole number"),
            Type::Integer { min, max: u64::MAX } => write!(f, "a whole number from {min} on"),
            Type::Integer { min, max } => write!(f, "a whole number from {min} to {max}"),
            Type::String => article(f, "a string in quotes"),
            Type::Name => article(f, "a name"),
            Type::Size { min: 0, max: u64::MAX } => article(f, "a size such as `16 MiB`"),
            Type::Size { min, max } => write!(f, "a size from {} to {}", Size(*min), Size(*max)),
            Type::Duration { min: 0, max: u64::MAX } => article(f, "a duration such as `30 s`"),
            Type::Duration { min, max: u64::MAX } => write!(f, "a duration of {} or more", Span(*min)),
            Type::Duration { min, max } => write!(f, "a duration from {} to {}", Span(*min), Span(*max)),
            Type::Rate => article(f, "a rate such as `1000 per second`"),
            Type::Ipv4 => article(f, "an IPv4 address"),
            Type::Ipv6 => article(f, "an IPv6 address"),
            Type::Ip => article(f, "an IP address"),
            Type::Cidr4 => article(f, "an IPv4 address with a prefix length, such as `10.0.0.2/24`"),
            Type::Cidr6 => article(f, "an IPv6 address with a prefix length, such as `fd00::2/64`"),
            Type::Mac => article(f, "a MAC address such as `52:54:00:12:34:56`"),
            Type::Port => article(f, "a port from 1 to 65535"),
            Type::Endpoint => article(f, "an address with a port, such as `10.0.0.1:53`"),
            Type::Path => article(f, "a path in quotes"),
            Type::Instance(interface) => write!(f, "the name of an instance that provides {interface}"),
            Type::InstancePath(interface) => {
                write!(f, "a place `NAME / \"path\"` in an instance that provides {interface}")
            }
            Type::Handler => article(f, "the name of a handler in your crate"),
            Type::OneOf(words) => {
                for (at, word) in words.iter().enumerate() {
                    let glue = if at == 0 {
                        ""
                    } else if at + 1 == words.len() {
                        " or "
                    } else {
                        ", "
                    };
                    write!(f, "{glue}`{word}`")?;
                }
                Ok(())
            }
            Type::List(element) => write!(f, "a list in brackets, each {element}"),
        }
    }
}

impl Type {
    /// As the language writes it: `integer 1..=9`, `low|high`, `list ipv4`.
    #[must_use]
    pub fn text(&self) -> String {
        let range = |word: &str, min: u64, max: u64, shown: &dyn Fn(u64) -> String| match (min, max) {
            (0, u64::MAX) => word.to_string(),
            (min, u64::MAX) => format!("{word} {}..=", shown(min)),
            (min, max) => format!("{word} {}..={}", shown(min), shown(max)),
        };
        // In units that a range may have.
        let of = |number: u64, units: &[(u64, &str)]| {
            let unit = units.iter().find(|(factor, _)| number != 0 && number.is_multiple_of(*factor));
            unit.map_or_else(|| number.to_string(), |(factor, unit)| format!("{}{unit}", number / factor))
        };
        let size = |bytes| of(bytes, &[(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")]);
        let span = |nanos| {
            let units =
                [(3_600_000_000_000, "h"), (60_000_000_000, "min"), (1_000_000_000, "s"), (1_000_000, "ms")];
            if nanos == 0 { "0ms".into() } else { of(nanos, &units) }
        };
        match self {
            Type::Bool => "bool".into(),
            Type::Integer { min, max } => range("integer", *min, *max, &|number| number.to_string()),
            Type::String => "string".into(),
            Type::Name => "name".into(),
            Type::Size { min, max } => range("size", *min, *max, &size),
            Type::Duration { min, max } => range("duration", *min, *max, &span),
            Type::Rate => "rate".into(),
            Type::Ipv4 => "ipv4".into(),
            Type::Ipv6 => "ipv6".into(),
            Type::Ip => "ip".into(),
            Type::Cidr4 => "cidr4".into(),
            Type::Cidr6 => "cidr6".into(),
            Type::Mac => "mac".into(),
            Type::Port => "port".into(),
            Type::Endpoint => "endpoint".into(),
            Type::Path => "path".into(),
            Type::Instance(interface) => format!("instance {interface}"),
            Type::InstancePath(interface) => format!("instance-path {interface}"),
            Type::Handler => "handler".into(),
            Type::OneOf(words) => words.join("|"),
            Type::List(element) => format!("list {}", element.text()),
        }
    }

    /// Whether a value of this type may be given at boot.
    #[must_use]
    pub fn is_bootable(&self) -> bool {
        match self {
            Type::Path | Type::Handler | Type::Instance(_) | Type::InstancePath(_) => false,
            // A blank, a comma or a bracket couldn't be told from those of the list.
            Type::List(element) => {
                !matches!(**element, Type::String | Type::Rate | Type::OneOf(_) | Type::List(_))
                    && element.is_bootable()
            }
            _ => true,
        }
    }

    /// What both this type and `other` allow, as this type; `None` where `other` takes no value of this
    /// type at all.
    #[must_use]
    pub fn narrowed(&self, other: &Type) -> Option<Type> {
        let both = |(a, b): (u64, u64), (c, d): (u64, u64)| {
            let (min, max) = (a.max(c), b.min(d));
            (min <= max).then_some((min, max))
        };
        Some(match (self, other) {
            (Type::Integer { min, max }, Type::Integer { min: low, max: high }) => {
                let (min, max) = both((*min, *max), (*low, *high))?;
                Type::Integer { min, max }
            }
            (Type::Size { min, max }, Type::Size { min: low, max: high }) => {
                let (min, max) = both((*min, *max), (*low, *high))?;
                Type::Size { min, max }
            }
            (Type::Duration { min, max }, Type::Duration { min: low, max: high }) => {
                let (min, max) = both((*min, *max), (*low, *high))?;
                Type::Duration { min, max }
            }
            (Type::OneOf(words), Type::OneOf(others)) => {
                let words: Vec<String> = words.iter().filter(|word| others.contains(word)).cloned().collect();
                if words.is_empty() {
                    return None;
                }
                Type::OneOf(words)
            }
            // One list isn't another because its values could be.
            (Type::List(one), Type::List(two)) if discriminant(&**one) == discriminant(&**two) => {
                Type::List(Box::new(one.narrowed(two)?))
            }
            (Type::Ipv4 | Type::Ipv6, Type::Ip) | (Type::Name, Type::String) => self.clone(),
            (one, two) if one == two => one.clone(),
            _ => return None,
        })
    }
}

/// A number of bytes, shown in the largest unit that divides it.
pub struct Size(pub u64);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (shift, unit) in [(40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")] {
            if self.0 != 0 && self.0.is_multiple_of(1 << shift) {
                return write!(f, "{} {unit}", self.0 >> shift);
            }
        }
        write!(f, "{} B", self.0)
    }
}

/// A span of time in nanoseconds, in the largest unit that it is whole in.
struct Span(u64);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [
            (3_600_000_000_000, "h"),
            (60_000_000_000, "min"),
            (1_000_000_000, "s"),
            (1_000_000, "ms"),
            (1_000, "us"),
            (1, "ns"),
        ];
        // One divides every number.
        let (factor, unit) = units
            .into_iter()
            .find(|(factor, _)| self.0 != 0 && self.0.is_multiple_of(*factor))
            .unwrap_or((1, "ns"));
        write!(f, "{} {unit}", self.0 / factor)
    }
}

/// A typed value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Value {
    /// See [`Type::Bool`].
    Bool(bool),
    /// See [`Type::Integer`].
    Integer(u64),
    /// See [`Type::String`].
    String(String),
    /// See [`Type::Name`].
    Name(String),
    /// See [`Type::Size`]; in bytes.
    Size(u64),
    /// See [`Type::Duration`].
    Duration(Duration),
    /// See [`Type::Rate`]: so many, per so long.
    Rate(u64, Duration),
    /// See [`Type::Ipv4`].
    Ipv4(Ipv4Addr),
    /// See [`Type::Ipv6`].
    Ipv6(Ipv6Addr),
    /// See [`Type::Ip`].
    Ip(IpAddr),
    /// See [`Type::Cidr4`]; the prefix length is 0 to 32.
    Cidr4(Ipv4Addr, u8),
    /// See [`Type::Cidr6`]; the prefix length is 0 to 128.
    Cidr6(Ipv6Addr, u8),
    /// See [`Type::Mac`].
    Mac([u8; 6]),
    /// See [`Type::Port`].
    Port(u16),
    /// See [`Type::Endpoint`].
    Endpoint(SocketAddr),
    /// See [`Type::Path`].
    Path {
        /// As the file has it.
        written: String,
        /// Made absolute against the folder of the file that has it.
        resolved: PathBuf,
    },
    /// See [`Type::Instance`]: the name of the instance.
    Instance(String),
    /// See [`Type::InstancePath`].
    InstancePath {
        /// The name of the instance.
        instance: String,
        /// The path inside it.
        path: String,
    },
    /// See [`Type::Handler`]: a Rust path.
    Handler(String),
    /// See [`Type::OneOf`]: the word.
    Word(String),
    /// See [`Type::List`].
    List(Vec<Value>),
    /// Known when the appliance starts, not before: only options that their component's table says
    /// are `at-boot` have such.
    Boot(Box<BootValue>),
    /// Known when the appliance is built, and never shown: only options that are `secret` have such.
    Secret(Secret),
}

/// The value of a parameter `at boot`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BootValue {
    /// The parameter.
    pub parameter: String,
    /// What takes it: the type of the placeholder.
    pub ty: Type,
    /// What it is when nobody gives another, if it has such a default. It fits `ty`.
    pub default: Option<Value>,
}

/// The value of a secret parameter that is given at build time.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Secret {
    /// The parameter.
    pub parameter: String,
    /// Its text; `None` as long as nobody gave one. Isn't written anywhere by `serde`.
    #[serde(skip)]
    text: Option<String>,
}

impl Secret {
    /// The secret of a parameter.
    #[must_use]
    pub fn new(parameter: impl Into<String>, text: Option<String>) -> Secret {
        Secret { parameter: parameter.into(), text }
    }

    /// What must not be shown: for the one file that the image is compiled from.
    #[must_use]
    pub fn reveal(&self) -> Option<&str> {
        self.text.as_deref()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({})", self.parameter)
    }
}

/// As a file writes it; a secret as its parameter's name.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let span = |time: &Duration| Span(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
        match self {
            Value::Bool(value) => write!(f, "{value}"),
            Value::Integer(number) => write!(f, "{number}"),
            Value::String(text) | Value::Path { written: text, .. } => {
                write!(f, "\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
            }
            Value::Name(word) | Value::Word(word) | Value::Handler(word) | Value::Instance(word) => {
                f.write_str(word)
            }
            Value::Size(bytes) => write!(f, "{}", Size(*bytes)),
            Value::Duration(time) => write!(f, "{}", span(time)),
            Value::Rate(count, time) => write!(f, "{count} per {}", span(time)),
            Value::Ipv4(address) => write!(f, "{address}"),
            Value::Ipv6(address) => write!(f, "{address}"),
            Value::Ip(address) => write!(f, "{address}"),
            Value::Cidr4(address, prefix) => write!(f, "{address}/{prefix}"),
            Value::Cidr6(address, prefix) => write!(f, "{address}/{prefix}"),
            Value::Mac(mac) => f.write_str(&mac.map(|byte| format!("{byte:02x}")).join(":")),
            Value::Port(port) => write!(f, "{port}"),
            Value::Endpoint(end) => write!(f, "{end}"),
            Value::InstancePath { instance, path } => write!(f, "{instance} / \"{path}\""),
            Value::List(values) => {
                let values: Vec<String> = values.iter().map(ToString::to_string).collect();
                write!(f, "[{}]", values.join(", "))
            }
            Value::Boot(boot) => write!(f, "${}", boot.parameter),
            Value::Secret(secret) => write!(f, "${}", secret.parameter),
        }
    }
}

impl Value {
    /// What is known of it at build time: itself, or the default of what is given at boot.
    #[must_use]
    pub fn known(&self) -> Option<&Value> {
        match self {
            Value::Boot(boot) => boot.default.as_ref(),
            value => Some(value),
        }
    }

    /// Calls `each` with every value `at boot` in it.
    pub fn each_boot<'v>(&'v self, each: &mut dyn FnMut(&'v BootValue)) {
        match self {
            Value::Boot(boot) => each(boot),
            Value::List(values) => values.iter().for_each(|value| value.each_boot(each)),
            _ => {}
        }
    }

    /// Whether something in it is known at boot only.
    #[must_use]
    pub fn is_at_boot(&self) -> bool {
        let mut found = false;
        self.each_boot(&mut |_| found = true);
        found
    }
}

/// What a placeholder of a usage pattern was bound to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Bound {
    /// A plain placeholder's value.
    One(Value),
    /// The values of a placeholder that repeats (`<server: ip>...`), at least one.
    Many(Vec<Value>),
}

/// One entry of a `.unik` file, matched against a form of its option.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The index of the form in [`OptionSpec::forms`](crate::OptionSpec).
    pub form: usize,
    /// Placeholder name → what it was bound to; optional ones may be missing.
    pub values: BTreeMap<String, Bound>,
    /// The literal words of optional groups without placeholders that were written.
    pub words: BTreeSet<String>,
    /// The entries of the option's nested block, if it has one.
    pub nested: Options,
    /// Where it stands; `None` for a default.
    pub place: Option<Place>,
}

/// The options of an instance: key → its entries in file order. Defaults are filled
/// in, so a missing key is an optional one that wasn't written. A key that doesn't
/// repeat has one entry.
pub type Options = BTreeMap<String, Vec<Entry>>;

/// A place in a source file: bytes `start..end` of the source with this number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Place {
    /// The number of the source, as the source map gave it.
    pub source: usize,
    /// The first byte.
    pub start: usize,
    /// The byte after the last.
    pub end: usize,
}

impl Bound {
    /// Its values: one, or several.
    #[must_use]
    pub fn all(&self) -> &[Value] {
        match self {
            Bound::One(value) => std::slice::from_ref(value),
            Bound::Many(values) => values,
        }
    }
}

impl Entry {
    /// Calls `each` with every value of it and of its nested block.
    pub fn each_value<'v>(&'v self, each: &mut dyn FnMut(&'v Value)) {
        self.values.values().flat_map(Bound::all).for_each(&mut *each);
        self.nested.values().flatten().for_each(|entry| entry.each_value(each));
    }

    /// The single value of placeholder `name`, if it was written.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&Value> {
        match self.values.get(name)? {
            Bound::One(value) => Some(value),
            Bound::Many(values) => values.first(),
        }
    }
}
