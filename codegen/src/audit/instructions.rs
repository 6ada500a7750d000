//! What ring 3 may not run, and what is left in ring 0.
//!
//! All code outside the gate runs in ring 3 for the image's whole life. There a privileged
//! instruction would only end the image; but there is no use for one, so each is a finding.
//! Port I/O stands in one file of the runtime; what of it works after the seal is up to the
//! I/O bitmap, which leaves the ports of the console and of the exit.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::anatomy::Anatomy;
use super::code::SpecialKind;
use super::packages::{Package, SourceOf};
use super::{Check, Finding, Rule};

/// The one file of the runtime with port I/O.
const PORTS: &str = "src/platform/machine/cpu.rs";

/// Code of ring 0, and the way out by ports.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Gate {
    /// Its bytes of code, boot included.
    pub bytes: u64,
    /// Named places in it, by address.
    pub places: Vec<(String, u64)>,
    /// The privileged instructions in it, and how many of each.
    pub privileged: BTreeMap<String, u32>,
    /// Where ring 3 has an `int3`: the sites that the gate takes calls from, and the room
    /// between functions, where it takes none.
    pub calls: Vec<(String, u64)>,
    /// The functions of the runtime that reach I/O ports.
    pub ports: Vec<String>,
}

/// Looks at every instruction.
#[must_use]
pub fn check(anatomy: &Anatomy<'_>, packages: &[Package]) -> (Gate, Check) {
    let mut gate = Gate::default();
    let mut found = Vec::new();
    let mut ports = BTreeSet::new();
    let in_gate = |address: u64| {
        anatomy.section(address).is_some_and(|section| section.code && section.name.starts_with(".gate"))
    };
    for section in anatomy.sections.iter().filter(|section| section.code && section.name.starts_with(".gate"))
    {
        gate.bytes += section.range.end - section.range.start;
    }
    gate.places = anatomy
        .functions
        .iter()
        .filter(|function| in_gate(function.range.start) && !function.name.starts_with("__"))
        .map(|function| (function.name.clone(), function.range.start))
        .collect();
    for special in &anatomy.decoded.special {
        let address = special.address;
        let name = format!("{:?}", special.mnemonic).to_lowercase();
        if in_gate(address) {
            if special.kind != SpecialKind::Breakpoint {
                *gate.privileged.entry(name).or_default() += 1;
            }
            continue;
        }
        match special.kind {
            SpecialKind::Breakpoint => {
                let at = anatomy.function(address).map(|at| &anatomy.functions[at]);
                if let Some(function) = at.filter(|function| function.range.start == address) {
                    gate.calls.push((function.name.clone(), address));
                }
            }
            SpecialKind::Port if is_of_ports(anatomy, packages, address) => {
                ports.insert(caller(anatomy, packages, address));
            }
            SpecialKind::Port | SpecialKind::Privileged | SpecialKind::Undecodable => {
                let what = match special.kind {
                    SpecialKind::Port => format!("`{name}` reaches an I/O port outside the gate"),
                    SpecialKind::Privileged => format!("`{name}` stands outside the gate"),
                    _ => "the bytes are no instruction".into(),
                };
                let place =
                    anatomy.lines.at(address).and_then(|span| span.frames.first()).and_then(|frame| {
                        Some((anatomy.lines.files.get(frame.file)?.clone(), frame.line))
                            .filter(|(file, _)| !file.is_empty())
                    });
                found.push(Finding {
                    message: format!("{what}: {}", anatomy.place(address)),
                    place,
                    address: Some(address),
                });
            }
        }
    }
    gate.ports = ports.into_iter().collect();
    let summary =
        format!("{} instructions decoded; {} bytes of gate", anatomy.decoded.instructions, gate.bytes);
    (gate, super::check(Rule::Instructions, Ok((summary, found))))
}

fn module_of<'a>(anatomy: &'a Anatomy<'_>, packages: &[Package], file: usize) -> Option<&'a str> {
    match anatomy.origins.get(file)? {
        (SourceOf::Package(at), module) if packages.get(*at)?.name == "unik" => Some(module),
        _ => None,
    }
}

fn is_of_ports(anatomy: &Anatomy<'_>, packages: &[Package], address: u64) -> bool {
    let frame = anatomy.lines.at(address).and_then(|span| span.frames.first());
    frame.and_then(|frame| module_of(anatomy, packages, frame.file)) == Some(PORTS)
}

/// The first function around the port functions that isn't one.
fn caller(anatomy: &Anatomy<'_>, packages: &[Package], address: u64) -> String {
    let frames = anatomy.lines.at(address).map_or(&[][..], |span| span.frames.as_slice());
    let outside = frames.iter().find_map(|frame| {
        let module = module_of(anatomy, packages, frame.file).filter(|module| *module != PORTS)?;
        let name = frame.function.and_then(|at| anatomy.lines.functions.get(at))?;
        Some(format!("{} in {module}", short(name)))
    });
    outside.unwrap_or_else(|| match anatomy.function(address) {
        Some(at) => short(&anatomy.functions[at].name),
        None => PORTS.into(),
    })
}

fn short(name: &str) -> String {
    format!("{:#}", rustc_demangle::demangle(name))
}
