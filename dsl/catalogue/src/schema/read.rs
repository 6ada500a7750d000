//! From the text of a `Cargo.toml` to a component: the table as TOML has it, and what must
//! fit together in it.

use std::path::Path;

use indexmap::IndexMap;
use serde::Deserialize;

use super::place::{Fault, Spot, Step, find};
use super::{
    Argument, Component, Constraint, Form, Kind, ManifestError, MemoryUse, Need, OptionSpec, Package, Part,
    Target, Wire,
};
use crate::usage::Usage;

impl Component {
    /// Reads the component in the crate whose manifest is `path`.
    ///
    /// # Errors
    /// [`ManifestError`].
    pub fn read(path: &Path) -> Result<Component, ManifestError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ManifestError::Read { path: path.into(), source })?;
        Component::from_manifest(&text, path)
    }

    /// Reads the component in the text of a manifest; `path` is for messages, and its
    /// folder becomes the package's.
    ///
    /// # Errors
    /// [`ManifestError`].
    pub fn from_manifest(text: &str, path: &Path) -> Result<Component, ManifestError> {
        let fail = |message: String, place: Option<std::ops::Range<usize>>| ManifestError::Table {
            path: path.into(),
            message,
            spot: place.map(|range| Box::new(Spot::new(text, range))),
        };
        let manifest: Manifest =
            toml::from_str(text).map_err(|error| fail(in_our_words(error.message()), error.span()))?;
        let table = manifest
            .package
            .metadata
            .and_then(|metadata| metadata.unik)
            .ok_or_else(|| ManifestError::NoTable { path: path.into() })?;
        // One that is wrong inside of the component's table.
        let fault = |(steps, message): Fault| {
            let inside: Vec<Step> =
                ["package", "metadata", "unik"].map(Step::from).into_iter().chain(steps).collect();
            let place = find(text, &inside);
            fail(message, place)
        };
        let version = manifest.package.version.and_then(|v| v.as_str().map(String::from)).unwrap_or_default();
        let folder = path.parent().unwrap_or(Path::new("")).to_owned();
        let library =
            manifest.lib.and_then(|lib| lib.name).unwrap_or_else(|| manifest.package.name.replace('-', "_"));
        let start = format!("{library}::start");
        let component = Component {
            package: Package { name: manifest.package.name, version, folder },
            name: table.name,
            kind: table.kind,
            summary: table.summary,
            start: (table.kind != Kind::Appliance).then(|| table.start.unwrap_or(start)),
            targets: table.targets,
            stands_in_for: table.stands_in_for.map_or_else(Vec::new, Names::list),
            implied: table.implied,
            hardware: table.hardware,
            listeners: table.listeners,
            host: table.host,
            provides: table.provides,
            wires: table.wires,
            needs: table.needs,
            arguments: table.arguments,
            options: read_options(table.options).map_err(&fault)?,
            parts: table.parts,
            constraints: table.constraints,
            memory: table.memory,
        };
        component.check().map_err(&fault)?;
        Ok(component)
    }

    /// Names inside the table must exist: parts, wires, placeholders, options.
    fn check(&self) -> Result<(), Fault> {
        for (name, part) in &self.parts {
            if let Some(other) = part.with.iter().find(|other| !self.parts.contains_key(*other)) {
                let steps = steps(&[], &["parts", name, "with"], other);
                let message = format!("part `{name}` is with `{other}`, which is no part of this component");
                return Err((steps, message));
            }
        }
        if self.hardware.is_some() && self.kind != Kind::Device {
            return Err((
                vec!["hardware".into()],
                "`hardware` is what a device drives, and this is none".into(),
            ));
        }
        // A space ends a word of the command line, and `=` its name.
        if let Some(argument) =
            self.arguments.iter().find(|it| it.name.is_empty() || it.name.contains([' ', '=']))
        {
            let steps = steps(&[], &["arguments"], &argument.name);
            return Err((steps, format!("`{}` is no name of an argument", argument.name)));
        }
        for (key, option) in &self.options {
            self.check_option(&["options".into(), key.as_str().into()], key, option)?;
        }
        for (at, constraint) in self.constraints.iter().enumerate() {
            let here: [Step; 2] = ["constraints".into(), Step::Index(at)];
            let fail = |wrong: &str, message| Err((steps(&here, &[], wrong), message));
            let keys: Vec<&String> = match constraint {
                Constraint::Excludes(keys) | Constraint::AnyOf(keys) => keys.iter().collect(),
                Constraint::Requires { option, needs } => vec![option, needs],
                Constraint::Idle { option, part } => {
                    if !self.parts.contains_key(part) {
                        return fail(
                            part,
                            format!("a constraint names the part `{part}`, which there isn't"),
                        );
                    }
                    vec![option]
                }
                Constraint::Void { option, without, form } => {
                    let forms = self.options.get(without).map_or(&[][..], |spec| &spec.forms);
                    if let Some(form) = form
                        && forms.iter().all(|it| it.name != *form)
                    {
                        let message =
                            format!("a constraint names the form `{form}` of `{without}`, which there isn't");
                        return fail(form, message);
                    }
                    vec![option, without]
                }
                _ => {
                    return fail("", "a constraint on values belongs to a form, not to the component".into());
                }
            };
            if let Some(key) = keys.into_iter().find(|key| !self.options.contains_key(*key)) {
                return fail(key, format!("a constraint names the option `{key}`, which there isn't"));
            }
        }
        self.check_memory()
    }

    /// What formulas of memory are about must exist, too.
    fn check_memory(&self) -> Result<(), Fault> {
        for (at, taken) in self.memory.iter().enumerate() {
            let here: [Step; 2] = ["memory".into(), Step::Index(at)];
            let fail = |wrong: &str, message| Err((steps(&here, &[], wrong), message));
            let keys = taken.bytes.options().into_iter().chain(taken.option.as_deref());
            if let Some(key) = keys.into_iter().find(|key| !self.options.contains_key(*key)) {
                return fail(
                    key,
                    format!("the memory for {} names the option `{key}`, which there isn't", taken.what),
                );
            }
            if let Some(part) = taken.part.as_ref().filter(|part| !self.parts.contains_key(*part)) {
                return fail(
                    part,
                    format!("the memory for {} names the part `{part}`, which there isn't", taken.what),
                );
            }
            if taken.bytes.counts_ports() && !self.listeners {
                return fail(
                    "",
                    format!("the memory for {} counts ports, and nothing listens here", taken.what),
                );
            }
        }
        Ok(())
    }

    /// `here` leads to the option, and `key` names it.
    fn check_option(&self, here: &[Step], key: &str, option: &OptionSpec) -> Result<(), Fault> {
        let fail = |inside: &[&str], message| Err((steps(here, inside, ""), message));
        if option.host_only && self.host.is_none() {
            let message = format!("option `{key}` is for the host half only, and there is none");
            return fail(&["host-only"], message);
        }
        if option.required && option.default.is_some() {
            return fail(&["default"], format!("option `{key}` is required and has a default"));
        }
        if option.at_boot && option.host_only {
            let message = format!("option `{key}` is for the host half only, so it can't be `at-boot`");
            return fail(&["at-boot"], message);
        }
        let mut constraints = option.forms.iter().flat_map(|form| &form.constraints);
        if option.at_boot
            && let Some(constraint) = constraints.find(|constraint| !constraint.holds_at_boot())
        {
            let message = format!(
                "option `{key}` is `at-boot`, and its constraint {constraint:?} can be checked at build only"
            );
            return fail(&["at-boot"], message);
        }
        if option.secret && option.default.is_some() {
            return fail(&["default"], format!("option `{key}` is secret and has a default"));
        }
        let several = option.forms.len() > 1;
        if several && option.forms.iter().any(|form| form.name.is_empty()) {
            return fail(&["forms"], format!("option `{key}` has several forms: each needs a `name`"));
        }
        for (at, form) in option.forms.iter().enumerate() {
            // What isn't in the form itself stands beside its usage.
            let mut here = here.to_vec();
            if several || !form.name.is_empty() {
                here.extend(["forms".into(), Step::Index(at)]);
            }
            self.check_form(&here, key, form)?;
        }
        option.options.iter().try_for_each(|(inner, option)| {
            self.check_option(&steps(here, &["options", inner], ""), &format!("{key}.{inner}"), option)
        })
    }

    fn check_form(&self, here: &[Step], key: &str, form: &Form) -> Result<(), Fault> {
        if let Some(part) = form.parts.iter().find(|part| !self.parts.contains_key(*part)) {
            let message = format!("option `{key}` brings in `{part}`, which is no part of this component");
            return Err((steps(here, &["parts"], part), message));
        }
        let names: Vec<&str> = form.usage.placeholders().iter().map(|p| p.0).collect();
        for (at, constraint) in form.constraints.iter().enumerate() {
            let mut here = steps(here, &["constraints"], "");
            here.push(Step::Index(at));
            let fail = |wrong: &str, message: String| {
                Err((steps(&here, &[], wrong), format!("option `{key}`{message}")))
            };
            let used: Vec<&String> = match constraint {
                Constraint::Within { value, of, option: None, .. } => vec![value, of],
                Constraint::Within { value, of, option: Some(other), .. } => {
                    let forms = self.options.get(other).map_or(&[][..], |spec| &spec.forms);
                    let mut theirs = forms.iter().flat_map(|form| form.usage.placeholders());
                    if !theirs.any(|placeholder| placeholder.0 == *of) {
                        return fail(
                            of,
                            format!(": a constraint names `{of}` of `{other}`, which there isn't"),
                        );
                    }
                    vec![value]
                }
                Constraint::NeedsOption(other) => {
                    if !self.options.contains_key(other) {
                        return fail(
                            other,
                            format!(": a constraint names the option `{other}`, which there isn't"),
                        );
                    }
                    vec![]
                }
                Constraint::Differ(one, other) => vec![one, other],
                Constraint::Host(name)
                | Constraint::PowerOfTwo(name)
                | Constraint::Unicast(name)
                | Constraint::Unique(name)
                | Constraint::Network(name)
                | Constraint::Apart(name)
                | Constraint::Distinct(name)
                | Constraint::Hostname(name)
                | Constraint::InMemory(name)
                | Constraint::Exists { path: name, .. } => vec![name],
                Constraint::Listens { port, wire, .. } => {
                    if !self.wires.iter().any(|w| w.name == *wire) {
                        return fail(wire, format!(" listens on the wire `{wire}`, which there isn't"));
                    }
                    vec![port]
                }
                _ => return fail("", ": a constraint on options belongs to the component".into()),
            };
            if let Some(name) = used.into_iter().find(|name| !names.contains(&name.as_str())) {
                return fail(name, format!(": a constraint names `{name}`, which its usage doesn't have"));
            }
        }
        Ok(())
    }
}

/// What serde says of a table, in the words of TOML.
fn in_our_words(message: &str) -> String {
    [("unknown field", "unknown key"), ("missing field", "missing key"), ("unknown variant", "unknown word")]
        .into_iter()
        .fold(message.to_string(), |message, (from, to)| message.replacen(from, to, 1))
}

/// The steps from `here` by `keys`, to the text `wrong` somewhere in there.
fn steps(here: &[Step], keys: &[&str], wrong: &str) -> Vec<Step> {
    let text = (!wrong.is_empty()).then(|| Step::Text(wrong.into()));
    here.iter().cloned().chain(keys.iter().map(|key| Step::from(*key))).chain(text).collect()
}

fn read_options(options: IndexMap<String, RawOption>) -> Result<IndexMap<String, OptionSpec>, Fault> {
    options
        .into_iter()
        .map(|(key, raw)| match read_option(&key, raw) {
            Ok(option) => Ok((key, option)),
            Err((inside, message)) => {
                Err((["options".into(), Step::Key(key)].into_iter().chain(inside).collect(), message))
            }
        })
        .collect()
}

fn read_option(key: &str, raw: RawOption) -> Result<OptionSpec, Fault> {
    let usage = |text: &str, inside: &[Step]| {
        Usage::parse(text).map_err(|error| {
            let mut steps = inside.to_vec();
            steps.extend(["usage".into(), Step::Inside(error.at)]);
            (steps, format!("option `{key}`: {error}"))
        })
    };
    let forms = match (raw.usage, raw.forms) {
        (Some(text), forms) if forms.is_empty() => vec![Form {
            name: String::new(),
            usage: usage(&text, &[])?,
            doc: String::new(),
            parts: raw.parts,
            features: raw.features,
            constraints: raw.constraints,
        }],
        (None, forms) if !forms.is_empty() => forms
            .into_iter()
            .enumerate()
            .map(|(at, form)| {
                Ok(Form {
                    name: form.name,
                    usage: usage(&form.usage, &["forms".into(), Step::Index(at)])?,
                    doc: form.doc,
                    parts: form.parts,
                    features: form.features,
                    constraints: form.constraints,
                })
            })
            .collect::<Result<_, Fault>>()?,
        _ => return Err((vec![], format!("option `{key}` needs either `usage` or `forms`"))),
    };
    Ok(OptionSpec {
        doc: raw.doc,
        forms,
        default: raw.default,
        required: raw.required,
        repeats: raw.repeats,
        at_boot: raw.at_boot,
        secret: raw.secret,
        host_only: raw.host_only,
        options: read_options(raw.options)?,
    })
}

#[derive(Deserialize)]
struct Manifest {
    package: ManifestPackage,
    lib: Option<Library>,
}

#[derive(Deserialize)]
struct Library {
    name: Option<String>,
}

#[derive(Deserialize)]
struct ManifestPackage {
    name: String,
    version: Option<toml::Value>,
    metadata: Option<Metadata>,
}

#[derive(Deserialize)]
struct Metadata {
    unik: Option<Table>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Table {
    name: String,
    kind: Kind,
    summary: String,
    start: Option<String>,
    #[serde(default = "all_targets")]
    targets: Vec<Target>,
    stands_in_for: Option<Names>,
    implied: Option<u32>,
    hardware: Option<String>,
    #[serde(default)]
    listeners: bool,
    host: Option<String>,
    #[serde(default)]
    provides: Vec<String>,
    #[serde(default)]
    wires: Vec<Wire>,
    #[serde(default)]
    needs: Vec<Need>,
    #[serde(default)]
    arguments: Vec<Argument>,
    #[serde(default)]
    options: IndexMap<String, RawOption>,
    #[serde(default)]
    parts: IndexMap<String, Part>,
    #[serde(default)]
    constraints: Vec<Constraint>,
    #[serde(default)]
    memory: Vec<MemoryUse>,
}

fn all_targets() -> Vec<Target> {
    Target::ALL.to_vec()
}

/// One name, or a list of them.
#[derive(Deserialize)]
#[serde(untagged)]
enum Names {
    One(String),
    Several(Vec<String>),
}

impl Names {
    fn list(self) -> Vec<String> {
        match self {
            Names::One(name) => vec![name],
            Names::Several(names) => names,
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct RawOption {
    doc: String,
    usage: Option<String>,
    #[serde(default)]
    forms: Vec<RawForm>,
    default: Option<String>,
    #[serde(default)]
    required: bool,
    #[serde(default)]
    repeats: bool,
    #[serde(default)]
    at_boot: bool,
    #[serde(default)]
    secret: bool,
    #[serde(default)]
    host_only: bool,
    #[serde(default)]
    options: IndexMap<String, RawOption>,
    #[serde(default)]
    parts: Vec<String>,
    #[serde(default)]
    features: Vec<String>,
    #[serde(default)]
    constraints: Vec<Constraint>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct RawForm {
    name: String,
    usage: String,
    #[serde(default)]
    doc: String,
    #[serde(default)]
    parts: Vec<String>,
    #[serde(default)]
    features: Vec<String>,
    #[serde(default)]
    constraints: Vec<Constraint>,
}

#[cfg(test)]
mod tests {
    use super::*;

    const IP: &str = r#"
        [package]
        name = "unik-ip"
        version.workspace = true
        [package.metadata.unik]
        name = "ip"
        kind = "network"
        summary = "An IP network on an Ethernet device"
        start = "unik_ip::start"
        listeners = true
        constraints = [{ void = { option = "hostname", without = "ipv4", form = "dhcp" } }]
        [[package.metadata.unik.wires]]
        name = "link"
        interfaces = ["Frames"]
        doc = "the Ethernet device"
        [[package.metadata.unik.needs]]
        interface = "Entropy"
        reason = "for sequence numbers that can't be guessed"
        [[package.metadata.unik.memory]]
        what = "windows"
        bytes = "udp-ports * 2 * window"
        part = "udp"
        taken = "for-clients"
        [package.metadata.unik.options.window]
        doc = "Bytes"
        usage = "<size: size>"
        default = "4 KiB"
        [package.metadata.unik.options.ipv4]
        doc = "The network's IPv4 address"
        required = true
        [[package.metadata.unik.options.ipv4.forms]]
        name = "dhcp"
        usage = "dhcp"
        parts = ["dhcp"]
        [[package.metadata.unik.options.ipv4.forms]]
        name = "static"
        usage = "<address: cidr4> [gateway <gateway: ipv4>]"
        constraints = [{ within = { value = "gateway", of = "address" } }, { host = "address" }, { differ = ["gateway", "address"] }]
        [package.metadata.unik.options.hostname]
        doc = "The name told to the DHCP server"
        usage = "<name: string>"
        [package.metadata.unik.parts.dhcp]
        summary = "DHCPv4 client (RFC 2131)"
        features = ["dhcp"]
        with = ["udp"]
        [package.metadata.unik.parts.udp]
        summary = "UDP (RFC 768)"
        provides = ["Udp"]
        features = ["udp"]
    "#;

    #[test]
    fn reads_a_table() {
        let ip = Component::from_manifest(IP, Path::new("/x/ip/Cargo.toml")).unwrap();
        assert_eq!(ip.package.folder, Path::new("/x/ip"));
        assert_eq!(ip.targets, Target::ALL);
        assert_eq!(ip.options["ipv4"].forms[1].constraints.len(), 3);
        assert_eq!(ip.part_providing("Udp").unwrap().0, "udp");
        assert!(!ip.can_provide("Tcp"));
    }

    #[test]
    fn start_is_named_after_the_library() {
        let without = IP.replace("start = \"unik_ip::start\"", "");
        let start = |text: &str| Component::from_manifest(text, Path::new("Cargo.toml")).unwrap().start;
        assert_eq!(start(&without).as_deref(), Some("unik_ip::start"));
        assert_eq!(start(&format!("{without}\n[lib]\nname = \"net\"")).as_deref(), Some("net::start"));
        assert_eq!(start(&IP.replace("unik_ip::start", "unik_ip::a::b")).as_deref(), Some("unik_ip::a::b"));
    }

    #[test]
    fn slips_in_a_table_are_shown_at_their_place() {
        for (from, to, marked) in [
            ("listeners = true", "listners = true", "listners"),
            ("kind = \"network\"", "kind = \"net\"", "\"net\""),
            ("parts = [\"dhcp\"]", "parts = [\"dhpc\"]", "\"dhpc\""),
            ("with = [\"udp\"]", "with = [\"tcp\"]", "\"tcp\""),
            ("value = \"gateway\"", "value = \"gatway\"", "\"gatway\""),
            ("form = \"dhcp\"", "form = \"dhpc\"", "\"dhpc\""),
            ("required = true", "host-only = true", "true"),
            ("[gateway <gateway: ipv4>]", "<gateway: ipv>", "<gateway: ipv>"),
            ("usage = \"<name: string>\"", "", "hostname"),
            ("doc = \"The network's IPv4 address\"", "", "[package.metadata.unik.options.ipv4]"),
        ] {
            assert!(IP.contains(from), "{from}");
            let text = IP.replace(from, to);
            match Component::from_manifest(&text, Path::new("Cargo.toml")) {
                Err(ManifestError::Table { spot: Some(spot), message, .. }) => {
                    assert_eq!(&text[spot.range.clone()], marked, "{message}");
                }
                other => panic!("{to}: {other:?}"),
            }
        }
        let text = IP.replace("<name: string>", "<name: text>");
        let error = Component::from_manifest(&text, Path::new("Cargo.toml")).unwrap_err().to_string();
        assert!(error.contains("in Cargo.toml:41:18: option `hostname`: in the usage `<name: text>`: there is no type `text`\n"), "{error}");
        assert!(error.ends_with("  |                  ^^^^^^^^^^^^"), "{error}");
    }

    #[test]
    fn slips_in_a_table_are_errors() {
        for (from, to, message) in [
            ("listeners = true", "listners = true", "unknown key `listners`"),
            ("parts = [\"dhcp\"]", "parts = [\"dhpc\"]", "brings in `dhpc`"),
            ("with = [\"udp\"]", "with = [\"tcp\"]", "is with `tcp`"),
            ("value = \"gateway\"", "value = \"gatway\"", "names `gatway`"),
            ("name = \"static\"", "name = \"\"", "each needs a `name`"),
            ("form = \"dhcp\"", "form = \"dhpc\"", "the form `dhpc` of `ipv4`"),
            ("without = \"ipv4\"", "without = \"ipv5\"", "`ipv5`"),
            ("required = true", "host-only = true", "for the host half only"),
            ("<address: cidr4>", "<address: cidr>", "no type `cidr`"),
            ("part = \"udp\"", "part = \"upd\"", "names the part `upd`"),
            ("2 * window", "2 * windw", "names the option `windw`"),
            ("2 * window", "2 window", "`window` is not expected"),
            ("listeners = true", "", "nothing listens here"),
            (
                "usage = \"<name: string>\"",
                "usage = \"<name: string>\"\nat-boot = true\nconstraints = [{ unique = \"name\" }]",
                "checked at build only",
            ),
            ("[package.metadata.unik]", "[package.metadata.other]", "no table"),
        ] {
            assert!(IP.contains(from), "{from}");
            let text = if from == "[package.metadata.unik]" {
                IP.replace("package.metadata.unik", "package.metadata.other")
            } else {
                IP.replace(from, to)
            };
            let error = Component::from_manifest(&text, Path::new("Cargo.toml")).unwrap_err().to_string();
            assert!(error.contains(message), "{to}: {error}");
        }
    }
}
