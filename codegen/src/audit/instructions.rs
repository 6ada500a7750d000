//! What ring 3 may not run, and what is left in ring 0.
//!
//! All code outside the gate runs in ring 3 for the image's whole life. There a privileged
//! instruction would only end the image; but there is no use for one, so each is a finding.
//! Port I/O stands in one file of the runtime, in functions that aren't inlined; what of it works
//! after the seal is up to the I/O bitmap, which leaves two ports of the console.

use std::collections::BTreeSet;
use std::ops::Range;

use super::anatomy::{Anatomy, Section};
use super::code::SpecialKind;
use super::gate::{self, Entry, Gate};
use super::packages::{Package, SourceOf};
use super::{Check, Finding, Rule};

/// The file of the runtime with port I/O.
const PORTS: &str = "src/platform/machine/ports.rs";

/// The section with the code that stays in ring 0, and the one that the seal unmaps.
const GATE: &str = ".gate.text";
const BOOT: &str = ".gate.boot";

/// Ports that stay open after the seal, first and last, and for what. `paging::is_open` of the
/// runtime opens them; a test below reads that and compares.
const OPEN: [(u16, u16, &str); 2] = [(0x3f8, 0x3f8, "console: data"), (0x3fd, 0x3fd, "console: line status")];

/// Looks at every instruction. `entries` is the image's table of the gate.
#[must_use]
pub fn check(anatomy: &Anatomy<'_>, packages: &[Package], entries: Vec<Entry>) -> (Gate, Check) {
    let mut gate = Gate { entries, open_ports: OPEN.map(open).to_vec(), ..Gate::default() };
    let mut found = ring_0(anatomy, &mut gate);
    let mut ports = BTreeSet::new();
    let ring_0 = |address: u64| anatomy.section(address).is_some_and(is_ring_0);
    for special in anatomy.decoded.special.iter().filter(|special| !ring_0(special.address)) {
        let address = special.address;
        let name = format!("{:?}", special.mnemonic).to_lowercase();
        let what = match special.kind {
            // The gate takes calls from its own sites only; elsewhere they fill the room
            // between functions.
            SpecialKind::Breakpoint => continue,
            SpecialKind::Port if is_of_ports(anatomy, packages, address) => {
                ports.insert(function(anatomy, address));
                continue;
            }
            SpecialKind::Port => format!("`{name}` reaches an I/O port outside the gate"),
            SpecialKind::Privileged => format!("`{name}` stands outside the gate"),
            SpecialKind::Undecodable => "the bytes are no instruction".into(),
        };
        let place = anatomy.lines.at(address).and_then(|span| span.frames.first()).and_then(|frame| {
            let file = anatomy.lines.files.get(frame.file).filter(|file| !file.is_empty())?;
            Some((file.clone(), frame.line))
        });
        let message = format!("{what}: {}", anatomy.place(address));
        found.push(Finding { message, place, address: Some(address) });
    }
    gate.ports = ports.into_iter().collect();
    let summary =
        format!("{} instructions decoded; the gate has {} bytes", anatomy.decoded.instructions, gate.bytes);
    (gate, super::check(Rule::Instructions, Ok((summary, found))))
}

fn open((first, last, what): (u16, u16, &str)) -> (String, String) {
    let ports = if first == last { format!("{first:#x}") } else { format!("{first:#x} to {last:#x}") };
    (ports, what.into())
}

fn is_ring_0(section: &Section<'_>) -> bool {
    section.code && section.name.starts_with(".gate")
}

fn ring_0(anatomy: &Anatomy<'_>, gate: &mut Gate) -> Vec<Finding> {
    let mut found = Vec::new();
    let range = |wanted: &dyn Fn(&Section<'_>) -> bool| -> Range<u64> {
        let section = anatomy.sections.iter().find(|section| wanted(section));
        section.map_or(0..0, |section| section.range.clone())
    };
    let stays = range(&|section| section.name == GATE);
    let text = range(&|section| section.code && !is_ring_0(section));
    gate.bytes = stays.end - stays.start;
    for section in anatomy.sections.iter().filter(|section| is_ring_0(section)) {
        match section.name.as_str() {
            BOOT => gate.boot = section.range.end - section.range.start,
            GATE => {
                let bytes = section.bytes.unwrap_or(&[]);
                found.extend(gate::code(bytes, section.range.start, gate));
            }
            other => found.push(Finding::at(format!("{other} is no section of ring 0"), section.range.start)),
        }
    }
    if gate.bytes == 0 || gate.entries.is_empty() {
        found.push(Finding::new("the image names no ways into its gate"));
    }
    if gate.bytes > gate::LIMIT {
        found.push(Finding::new(format!("the gate has {} bytes, {} are the most", gate.bytes, gate::LIMIT)));
    }
    found.extend(gate::table(&gate.entries, &stays, &text));
    found
}

fn module_of<'a>(anatomy: &'a Anatomy<'_>, packages: &[Package], file: usize) -> Option<&'a str> {
    match anatomy.origins.get(file)? {
        (SourceOf::Package(at), module) if packages.get(*at)?.name == "unik" => Some(module),
        _ => None,
    }
}

fn is_of_ports(anatomy: &Anatomy<'_>, packages: &[Package], address: u64) -> bool {
    let frame = anatomy.lines.at(address).and_then(|span| span.frames.first());
    frame.and_then(|frame| module_of(anatomy, packages, frame.file)).is_some_and(|module| module == PORTS)
}

/// The function that an instruction is in.
fn function(anatomy: &Anatomy<'_>, address: u64) -> String {
    anatomy.function(address).map_or_else(|| PORTS.into(), |at| short(&anatomy.functions[at].name))
}

fn short(name: &str) -> String {
    format!("{:#}", rustc_demangle::demangle(name))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::Path;

    use syn::{BinOp, Expr, Item, Lit, Stmt};

    use super::*;

    /// The value of an expression of whole numbers; truth is 1 or 0.
    fn value(expression: &Expr, names: &BTreeMap<String, u64>) -> u64 {
        match expression {
            Expr::Lit(literal) => match &literal.lit {
                Lit::Int(number) => number.base10_parse().unwrap(),
                _ => panic!("is_open has a value that is no number"),
            },
            Expr::Path(path) => {
                let name = path.path.segments.last().unwrap().ident.to_string();
                *names.get(&name).unwrap_or_else(|| panic!("what is {name}?"))
            }
            Expr::Paren(inside) => value(&inside.expr, names),
            Expr::Binary(pair) => {
                let (a, b) = (value(&pair.left, names), value(&pair.right, names));
                match pair.op {
                    BinOp::Or(_) => a | b,
                    BinOp::And(_) => a & b,
                    BinOp::Eq(_) => (a == b).into(),
                    BinOp::Lt(_) => (a < b).into(),
                    BinOp::Le(_) => (a <= b).into(),
                    BinOp::Gt(_) => (a > b).into(),
                    BinOp::Ge(_) => (a >= b).into(),
                    BinOp::Add(_) => a + b,
                    _ => panic!("is_open has an operator that this test doesn't know"),
                }
            }
            _ => panic!("is_open has an expression that this test doesn't know"),
        }
    }

    #[test]
    fn the_ports_that_stay_open_are_those_that_the_runtime_opens() {
        let files = unik_builtin::source_files().unwrap();
        let items = |name: &str| {
            let path = Path::new("runtime/src/platform/machine").join(name);
            let (_, text) = files.iter().find(|(other, _)| *other == path).unwrap();
            syn::parse_file(std::str::from_utf8(text).unwrap()).unwrap().items
        };
        let mut names = BTreeMap::new();
        for item in items("console.rs") {
            if let Item::Const(item) = item
                && let Expr::Lit(literal) = &*item.expr
                && let Lit::Int(number) = &literal.lit
            {
                names.insert(item.ident.to_string(), number.base10_parse().unwrap());
            }
        }
        let is_open = items("paging.rs")
            .into_iter()
            .find_map(|item| match item {
                Item::Fn(item) if item.sig.ident == "is_open" => Some(item.block.stmts),
                _ => None,
            })
            .unwrap();
        let Some(Stmt::Expr(says, None)) = is_open.last() else { panic!("is_open says nothing") };
        for port in 0..=u16::MAX {
            names.insert("port".into(), port.into());
            let listed = OPEN.iter().any(|(first, last, _)| (*first..=*last).contains(&port));
            assert_eq!(value(says, &names) == 1, listed, "port {port:#x}");
        }
        assert_eq!(open(OPEN[0]).0, "0x3f8");
        assert_eq!(open((0x3f8, 0x3ff, "")).0, "0x3f8 to 0x3ff");
    }
}
