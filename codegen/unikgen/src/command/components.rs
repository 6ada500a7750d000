//! `unikgen components`: the catalogue, from the very table that files are checked by.

use std::fmt::Write as _;

use unik_catalogue::schema::{Constraint, Existing};
use unik_catalogue::{Component, Kind, OptionSpec};
use unik_dsl::Catalogue;

use super::output;
use crate::appliance;
use crate::cli::{Components, Parameters};
use crate::exit::{self, OK, Outcome};
use crate::ui::{Paint, Tone, Ui};

/// Lists the components, or describes one.
///
/// # Errors
/// When there is no component of that name.
pub fn run(args: &Components, ui: &Ui) -> Outcome {
    let catalogue = match &args.file {
        None => appliance::catalogue()?,
        Some(file) => with_those_of(file, ui)?,
    };
    let Some(name) = &args.name else {
        output(&list(&catalogue, ui.out()))?;
        return Ok(OK);
    };
    match catalogue.component(name) {
        Some(component) => {
            output(&describe(component, ui.out()))?;
            Ok(OK)
        }
        None => Err(exit::usage(unknown(name, &catalogue))),
    }
}

/// The built-in components, and those of the crates that `file` names.
fn with_those_of(file: &std::path::Path, ui: &Ui) -> anyhow::Result<Catalogue> {
    let subject = appliance::locate_file(Some(file))?;
    let mut catalogue = appliance::catalogue()?;
    if let Some(file) = subject.unik_file() {
        let checked = appliance::check(file, &Parameters::default(), ui)?;
        for (_, node) in checked.plan.instances() {
            catalogue.add((*node.component).clone());
        }
    }
    Ok(catalogue)
}

/// What to say of a name that is no component's.
pub fn unknown(name: &str, catalogue: &Catalogue) -> String {
    let names = catalogue.components().iter().map(|component| component.name.as_str());
    match nearest(name, names) {
        Some(near) => format!("there is no component `{name}`; did you mean `{near}`?"),
        None => format!("there is no component `{name}`; `unikgen components` lists all"),
    }
}

/// The one of `known` that a person could have meant.
pub fn nearest<'a>(found: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let found = found.to_lowercase();
    known
        .map(|name| (strsim::osa_distance(&found, &name.to_lowercase()), name))
        .filter(|(distance, name)| *distance <= 1 + found.len() / 4 && *distance < name.len())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

fn list(catalogue: &Catalogue, paint: Paint) -> String {
    let mut text = String::new();
    let width = catalogue.components().iter().map(|component| component.name.len()).max().unwrap_or(0);
    for (kind, title) in [
        (Kind::Device, "Devices"),
        (Kind::Network, "Networks"),
        (Kind::Storage, "Storage"),
        (Kind::Service, "Services"),
        (Kind::Appliance, "The appliance itself"),
    ] {
        let mut found: Vec<_> =
            catalogue.components().iter().filter(|component| component.kind == kind).collect();
        found.sort_by(|a, b| a.name.cmp(&b.name));
        if found.is_empty() {
            continue;
        }
        let _ = writeln!(text, "{}", paint.paint(Tone::Strong, title));
        for component in found {
            let name = paint.paint(Tone::Name, &component.name);
            let gap = " ".repeat(width - component.name.len());
            let _ = writeln!(text, "  {name}{gap}  {}{}", component.summary, only(component));
        }
        text.push('\n');
    }
    text.push_str("`unikgen components NAME` describes one.\n");
    text
}

fn only(component: &Component) -> String {
    match component.targets.as_slice() {
        [target] => format!(" (target {} only)", target.word()),
        _ => String::new(),
    }
}

/// Everything that the catalogue says of `component`, for people.
fn describe(component: &Component, paint: Paint) -> String {
    let mut text = String::new();
    let strong = |words: &str| paint.paint(Tone::Strong, words);
    let _ = writeln!(text, "{}: {}{}\n", strong(&component.name), component.summary, only(component));
    let _ = writeln!(text, "  {}", paint.paint(Tone::Name, &declaration(component)));
    if !component.stands_in_for.is_empty() {
        let others = component.stands_in_for.join("`, `");
        let _ = writeln!(text, "\nStands in for `{others}` on its targets; write that in the file.");
    }
    if component.implied.is_some() {
        let _ = writeln!(text, "\nComes in by itself when something needs what it provides.");
    }
    section(
        &mut text,
        &strong("Wires"),
        component.wires.iter().map(|wire| {
            (wire.name.clone(), format!("{} (must provide {})", wire.doc, wire.interfaces.join(" and ")))
        }),
    );
    section(
        &mut text,
        &strong("Needs"),
        component.needs.iter().map(|need| (need.interface.clone(), need.reason.clone())),
    );
    let provided = component.provides.iter().map(|interface| (interface.clone(), String::new()));
    let by_parts = component.parts.iter().flat_map(|(name, part)| {
        part.provides.iter().map(move |interface| (interface.clone(), format!("through its part {name}")))
    });
    section(&mut text, &strong("Provides"), provided.chain(by_parts));
    section(
        &mut text,
        &strong("On the command line of a process"),
        component
            .arguments
            .iter()
            .map(|argument| (format!("{}={}", argument.name, argument.usage), argument.doc.clone())),
    );
    if !component.options.is_empty() {
        let title = if component.kind == Kind::Appliance { "Settings" } else { "Options" };
        let _ = writeln!(text, "\n{}", strong(title));
        for (key, option) in &component.options {
            describe_option(&mut text, key, option, "  ", paint);
        }
    }
    section(
        &mut text,
        &strong("Between options"),
        component
            .constraints
            .iter()
            .filter_map(|constraint| between(constraint).map(|words| (words, String::new()))),
    );
    section(
        &mut text,
        &strong("Parts"),
        component.parts.iter().map(|(name, part)| {
            let always = if part.always { " (always)" } else { "" };
            (name.clone(), format!("{}{always}", part.summary))
        }),
    );
    let version = if component.package.version.is_empty() {
        String::new()
    } else {
        format!(" {}", component.package.version)
    };
    let _ = writeln!(text, "\n{} {}{version}", strong("Crate"), component.package.name);
    text
}

/// How it is written in a file.
fn declaration(component: &Component) -> String {
    if component.kind == Kind::Appliance {
        return "appliance NAME { settings; declarations }".into();
    }
    let mut text = format!("{} NAME = {}", component.kind.word(), component.name);
    if !component.wires.is_empty() {
        let wires: Vec<String> = component.wires.iter().map(|wire| wire.name.to_uppercase()).collect();
        text = format!("{text} on {}", wires.join(", "));
    }
    if !component.options.is_empty() {
        text.push_str(" { options }");
    }
    text
}

fn describe_option(text: &mut String, key: &str, option: &OptionSpec, indent: &str, paint: Paint) {
    for form in &option.forms {
        let usage = format!("{key} {}", form.usage);
        let _ = writeln!(text, "{indent}{}", paint.paint(Tone::Name, usage.trim_end()));
        if !form.doc.is_empty() {
            let _ = writeln!(text, "{indent}    {}", form.doc);
        }
    }
    let _ = writeln!(text, "{indent}    {}", option.doc);
    let mut notes: Vec<String> = Vec::new();
    if option.required {
        notes.push("required".into());
    }
    if let Some(default) = &option.default {
        notes.push(format!("default: {}", if default.is_empty() { key } else { default }));
    }
    if option.repeats {
        notes.push("may be repeated".into());
    }
    if option.at_boot {
        notes.push("may be set at boot".into());
    }
    if option.secret {
        notes.push("secret: never shown".into());
    }
    for form in &option.forms {
        notes.extend(form.constraints.iter().map(inside));
        if !form.parts.is_empty() {
            let which = if form.name.is_empty() { "" } else { &form.name };
            notes.push(format!("{which} brings in {}", form.parts.join(", ")).trim_start().to_string());
        }
    }
    let mut seen = std::collections::BTreeSet::new();
    notes.retain(|note| seen.insert(note.clone()));
    if !notes.is_empty() {
        let _ = writeln!(text, "{indent}    {}", paint.paint(Tone::Faint, &notes.join("; ")));
    }
    for (key, option) in &option.options {
        describe_option(text, key, option, &format!("{indent}      "), paint);
    }
}

/// A constraint on the values of a form, in words.
fn inside(constraint: &Constraint) -> String {
    match constraint {
        Constraint::Within { value, of, option: None, or_link_local } => {
            let or = if *or_link_local { ", or is link-local" } else { "" };
            format!("{value} lies in the network of {of}{or}")
        }
        Constraint::Apart(name) => format!("{name}'s network has no address of another instance's"),
        Constraint::Within { value, of, option: Some(option), .. } => {
            format!("{value} lies in the network of {option}'s {of}")
        }
        Constraint::Network(name) => format!("{name} has no bit set beyond its prefix"),
        Constraint::Distinct(name) => format!("no two have the same {name}"),
        Constraint::NeedsOption(option) => format!("needs {option} beside it"),
        Constraint::Host(name) => format!("{name} is a host's, neither the network's nor broadcast"),
        Constraint::Hostname(name) => format!("{name} is the name of a host (RFC 1123)"),
        Constraint::InMemory(name) => format!("{name} is not more than the appliance's memory"),
        Constraint::Differ(one, other) => format!("{one} and {other} differ"),
        Constraint::PowerOfTwo(name) => format!("{name} is a power of two"),
        Constraint::Unicast(name) => format!("{name} is one host's, not a group's"),
        Constraint::Listens { protocol, port, .. } => {
            let protocol = format!("{protocol:?}").to_uppercase();
            format!("listens on the {protocol} {port}, alone on its network")
        }
        Constraint::Exists { path, is: Existing::File } => format!("{path} is a file that can be read"),
        Constraint::Exists { path, is: Existing::Folder } => format!("{path} is a folder that can be read"),
        Constraint::Unique(name) => format!("no two instances have the same {name}"),
        Constraint::Excludes(_)
        | Constraint::AnyOf(_)
        | Constraint::Requires { .. }
        | Constraint::Idle { .. }
        | Constraint::Void { .. } => between(constraint).unwrap_or_default(),
    }
}

/// A constraint between options, in words.
fn between(constraint: &Constraint) -> Option<String> {
    match constraint {
        Constraint::Excludes(keys) => Some(format!("at most one of {}", keys.join(", "))),
        Constraint::Idle { option, part } => {
            Some(format!("{option} means nothing where nothing brings in the part {part}"))
        }
        Constraint::Void { option, without, form: Some(form) } => {
            Some(format!("{option} means nothing without {without} {form}"))
        }
        Constraint::Void { option, without, form: None } => {
            Some(format!("{option} means nothing without {without}"))
        }
        Constraint::AnyOf(keys) => Some(format!("at least one of {}", keys.join(", "))),
        Constraint::Requires { option, needs } => Some(format!("{option} needs {needs}")),
        _ => None,
    }
}

fn section(text: &mut String, title: &str, rows: impl Iterator<Item = (String, String)>) {
    let rows: Vec<(String, String)> = rows.collect();
    if rows.is_empty() {
        return;
    }
    let width = rows.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    let _ = writeln!(text, "\n{title}");
    for (name, words) in rows {
        let _ = writeln!(text, "{}", format!("  {name:width$}  {words}").trim_end());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    const TABLE: &str = r#"
        [package]
        name = "unik-ip"
        version = "0.1.0"
        [package.metadata.unik]
        name = "ip"
        kind = "network"
        summary = "An IP network"
        start = "unik_ip::start"
        [[package.metadata.unik.wires]]
        name = "link"
        interfaces = ["Frames"]
        doc = "the Ethernet device"
        [package.metadata.unik.options.ipv4]
        doc = "The network's address"
        required = true
        [[package.metadata.unik.options.ipv4.forms]]
        name = "dhcp"
        usage = "dhcp"
        parts = ["dhcp"]
        [[package.metadata.unik.options.ipv4.forms]]
        name = "static"
        usage = "<address: cidr4> [gateway <gateway: ipv4>]"
        constraints = [{ within = { value = "gateway", of = "address" } }]
        [package.metadata.unik.options.mtu]
        doc = "The largest packet, in bytes"
        usage = "<bytes: integer 576..=1500>"
        default = "1500"
        [package.metadata.unik.parts.dhcp]
        summary = "DHCPv4 client (RFC 2131)"
    "#;

    #[test]
    fn says_all_that_the_table_says() {
        let component = Component::from_manifest(TABLE, Path::new("Cargo.toml")).unwrap();
        assert_eq!(
            describe(&component, Paint(false)),
            "\
ip: An IP network

  network NAME = ip on LINK { options }

Wires
  link  the Ethernet device (must provide Frames)

Options
  ipv4 dhcp
  ipv4 <address: cidr4> [gateway <gateway: ipv4>]
      The network's address
      required; dhcp brings in dhcp; gateway lies in the network of address
  mtu <bytes: integer 576..=1500>
      The largest packet, in bytes
      default: 1500

Parts
  dhcp  DHCPv4 client (RFC 2131)

Crate unik-ip 0.1.0
"
        );
    }

    #[test]
    fn near_names_are_offered() {
        assert_eq!(nearest("htpp", ["http", "echo"].into_iter()), Some("http"));
        assert_eq!(nearest("banana", ["http", "echo"].into_iter()), None);
    }
}
