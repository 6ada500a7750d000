//! The reference pages of the book that are made from tables: of codes and of components.
//!
//! `UNIK_BLESS=1 cargo test -p unik-dsl --test book` writes them anew.

mod common;

use std::fmt::Write as _;
use std::path::Path;

use unik_catalogue::{Component, Kind, OptionSpec};
use unik_dsl::diagnostic::codes;

fn hold(page: &str, text: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../book/src/reference").join(page);
    let held = common::expect(&file, text);
    assert!(held.is_ok(), "{page} is out of step: run `UNIK_BLESS=1 cargo test -p unik-dsl --test book`");
}

#[test]
fn diagnostics() {
    let mut page = String::from(
        "# Diagnostics\n\nEvery error and warning has a code that stays what it is. `unikgen explain CODE` \
         prints what stands here.\n\n| codes | about |\n|---|---|\n| `U00..` | reading files |\n| `U01..` | how a file is written |\n\
         | `U02..` | names, parameters, includes, crates |\n| `U03..` | options and their values |\n\
         | `U04..` | what has to hold between values |\n| `U05..` | instances, and what they need of each other |\n\
         | `U06..` | what a component itself found |\n",
    );
    for entry in codes::ALL {
        write!(page, "\n## {}: {}\n\n{}\n", entry.code, entry.title, entry.text).unwrap();
        for (title, example) in [("Wrong", entry.wrong), ("Right", entry.right)] {
            if !example.is_empty() {
                write!(page, "\n{title}:\n\n```text\n{example}\n```\n").unwrap();
            }
        }
    }
    hold("diagnostics.md", &page);
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
