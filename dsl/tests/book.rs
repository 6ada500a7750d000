//! The reference pages of the book that are made from tables: of codes and of components.
//!
//! `UNIK_BLESS=1 cargo test -p unik-dsl --test book` writes them anew.

mod common;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use unik_catalogue::{Component, Kind, OptionSpec};
use unik_dsl::diagnostic::codes;

fn hold(page: &str, text: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../book/src/reference").join(page);
    let held = common::expect(&file, text);
    assert!(held.is_ok(), "{page} is out of step: run `UNIK_BLESS=1 cargo test -p unik-dsl --test book`");
}

/// What the first digits of a code say.
const GROUPS: &[(&str, &str)] = &[
    ("U00", "reading files"),
    ("U01", "how a file is written"),
    ("U02", "names, parameters, includes, crates"),
    ("U03", "options and their values"),
    ("U04", "what has to hold between values"),
    ("U05", "instances, and what they need of each other"),
    ("U06", "what a component itself found"),
    ("U07", "what an image may be"),
];

/// The list of codes, a page for each, and their lines in the book's summary.
#[test]
fn diagnostics() {
    let mut list = String::from(
        "# Diagnostics\n\nEvery error and warning has a code that stays what it is, and a page that \
         `unikgen explain CODE` prints, too. A warning becomes an error by `--deny CODE`, all of them by \
         `--deny warnings`, and isn't told by `--allow CODE`.\n",
    );
    let mut lines = String::new();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../book/src/reference/diagnostics");
    let mut pages: BTreeSet<String> = std::fs::read_dir(&folder)
        .map(|entries| entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect())
        .unwrap_or_default();
    for (group, about) in GROUPS {
        write!(list, "\n## {group}..: {about}\n\n| code | | |\n|---|---|---|\n").unwrap();
        for entry in codes::ALL.iter().filter(|entry| entry.code.as_str().starts_with(group)) {
            let (code, level) = (entry.code, if entry.is_warning() { "warning" } else { "" });
            writeln!(list, "| [{code}](diagnostics/{code}.md) | {} | {level} |", entry.title).unwrap();
            writeln!(lines, "    - [{code}: {}](reference/diagnostics/{code}.md)", entry.title).unwrap();
            let mut page = format!("# {code}: {}\n\n{}\n", entry.title, entry.text);
            if entry.is_warning() {
                write!(
                    page,
                    "\nA warning: `--deny {code}` makes an error of it, `--allow {code}` leaves it out.\n"
                )
                .unwrap();
            }
            for (title, example) in entry.examples() {
                write!(page, "\n## {title}\n\n```text\n{}\n```\n", example.trim_end()).unwrap();
            }
            hold(&format!("diagnostics/{code}.md"), &page);
            pages.remove(&format!("{code}.md"));
        }
    }
    hold("diagnostics.md", &list);
    assert!(pages.is_empty(), "pages of no code: {pages:?}");
    assert_eq!(lines.lines().count(), codes::ALL.len(), "a code is in none of the groups");

    let summary = Path::new(env!("CARGO_MANIFEST_DIR")).join("../book/src/SUMMARY.md");
    let text = std::fs::read_to_string(&summary).expect("the summary");
    let rest: String = text
        .lines()
        .filter(|line| !line.contains("(reference/diagnostics/"))
        .flat_map(|line| [line, "\n"])
        .collect();
    let line = "- [Diagnostics](reference/diagnostics.md)\n";
    assert!(rest.contains(line), "{rest}");
    let held = common::expect(&summary, &rest.replace(line, &format!("{line}{lines}")));
    assert!(
        held.is_ok(),
        "the summary is out of step: run `UNIK_BLESS=1 cargo test -p unik-dsl --test book`"
    );
}

#[test]
fn components() {
    let catalogue = common::shipped();
    let mut page = String::from(
        "# Components\n\nWhat an appliance can be made of. `unikgen components NAME` prints the same. How \
         usages are read stands in [the contracts](../design/contracts.md#1-the-catalogue).\n",
    );
    for kind in [Kind::Appliance, Kind::Device, Kind::Network, Kind::Storage, Kind::Service] {
        let title = match kind {
            Kind::Appliance => "Settings of the appliance",
            Kind::Device => "Devices",
            Kind::Network => "Networks",
            Kind::Storage => "Storage",
            Kind::Service => "Services",
        };
        write!(page, "\n## {title}\n").unwrap();
        for component in catalogue.components().iter().filter(|component| component.kind == kind) {
            if kind != Kind::Appliance {
                about(&mut page, component);
            }
            if !component.options.is_empty() {
                page += "\n| option | default | |\n|---|---|---|\n";
                options(&mut page, "", &component.options);
            }
        }
    }
    hold("components.md", &page);
}

fn about(page: &mut String, component: &Component) {
    write!(page, "\n### `{}`\n\n{}.\n", component.name, component.summary).unwrap();
    let mut facts = Vec::new();
    for wire in &component.wires {
        facts.push(format!("Wired `on` {} ({})", wire.doc, wire.interfaces.join(", ")));
    }
    for need in &component.needs {
        facts.push(format!("Needs {} {}", need.interface, need.reason));
    }
    let mut gives = component.provides.clone();
    gives.extend(component.parts.values().flat_map(|part| part.provides.clone()));
    if !gives.is_empty() {
        facts.push(format!("Provides {}", gives.join(", ")));
    }
    if component.targets.len() < unik_catalogue::Target::ALL.len() {
        let targets: Vec<&str> = component.targets.iter().map(|target| target.word()).collect();
        let plural = if targets.len() > 1 { "s" } else { "" };
        facts.push(format!("Only on the target{plural} `{}`", targets.join("`, `")));
    }
    if !component.stands_in_for.is_empty() {
        facts.push(format!("Stands in for `{}` there", component.stands_in_for.join("`, `")));
    }
    if component.implied.is_some() {
        facts.push("Comes in by itself where it is needed and nothing else is declared".into());
    }
    for argument in &component.arguments {
        facts.push(format!(
            "On the command line of a process: `{}={}`: {}",
            argument.name, argument.usage, argument.doc
        ));
    }
    for (name, part) in &component.parts {
        facts.push(format!("Part `{name}`: {}{}", part.summary, if part.always { ", always" } else { "" }));
    }
    if !facts.is_empty() {
        page.push('\n');
    }
    for fact in facts {
        writeln!(page, "- {fact}.").unwrap();
    }
}

fn options(page: &mut String, path: &str, options: &indexmap::IndexMap<String, OptionSpec>) {
    for (key, option) in options {
        let cell = |text: &str| text.replace('|', "\\|");
        let usages: Vec<String> = option
            .forms
            .iter()
            .map(|form| format!("`{path}{key} {}`", cell(&form.usage.text)).replace(" `", "`"))
            .collect();
        let default = match &option.default {
            Some(default) => format!("`{default}`"),
            None if option.required => "required".into(),
            None => String::new(),
        };
        let repeats = if option.repeats { "; may be repeated" } else { "" };
        writeln!(page, "| {} | {default} | {}{repeats} |", usages.join("<br>"), cell(&option.doc)).unwrap();
        self::options(page, &format!("{path}{key} … "), &option.options);
    }
}
