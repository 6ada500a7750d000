//! Bytes → crates → components.
//!
//! Fat link-time optimisation leaves no crate a place of its own. So code is laid to crates by
//! the functions that were inlined into it: a stretch that is a slice's `sort`, inlined into
//! the TCP of `smoltcp`, inlined into the component `ip`, is smoltcp's, and brought in by `ip`.
//! Code that stands alone and that no component claims (a function of `core`, of a crate below
//! several components), and data, is brought in by whoever refers to it; several then share it.
//!
//! References are found by decoding the code and by looking for pointers in data. Where an
//! object of data begins is known by its references: a number in the code that happens to
//! equal an address may lay a few bytes of constants wrongly. Code isn't laid by guessing.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::anatomy::{Anatomy, Section};
use super::packages::{Package, SourceOf};

/// What a stretch of an image costs, and who brought it in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Cost {
    /// Who brought it in: components, `runtime`, `wiring` (the generated crate), crates of the
    /// file. Several share it.
    pub owners: Vec<String>,
    /// The crate whose source it is, with its version; `core` and its like have none.
    pub package: String,
    /// The source file in there.
    pub module: String,
    /// Bytes of code.
    pub code: u64,
    /// Bytes of constants and other data.
    pub data: u64,
    /// Bytes of memory that begin as zeros; not in the file.
    pub zeroed: u64,
}

/// The owner of what every image has.
pub const RUNTIME: &str = "runtime";
/// The owner of the generated crate, or of the crate that `unik::appliance!` stands in.
pub const WIRING: &str = "wiring";
/// What `package` says of files and other content that the `.unik` file names.
pub const CONTENT: &str = "content";
/// What `package` says of the room between functions.
pub const PADDING: &str = "padding";

/// Bytes that the `.unik` file brought in as they are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Content {
    /// The component of the node that they are of.
    pub owner: String,
    /// What they are called.
    pub name: String,
    /// Where they begin.
    pub address: u64,
    /// How many there are.
    pub size: u64,
    /// Their SHA-256.
    pub sha256: String,
}

/// Lays every loaded byte. The rows are sorted, largest first.
#[must_use]
pub fn lay(anatomy: &Anatomy<'_>, packages: &[Package], content: &[Content]) -> Vec<Cost> {
    let mut laying = Laying::new(anatomy, packages);
    laying.spread();
    laying.code();
    laying.data(content);
    laying.rows()
}

/// The owner of a package's code, if it is one that owns: a component, the runtime, the
/// image's own crate, a crate that the file names.
fn owner_of(at: usize, package: &Package) -> Option<String> {
    match package {
        _ if at == 0 => Some(WIRING.into()),
        package if package.name == "unik" => Some(RUNTIME.into()),
        Package { component: Some(component), .. } => Some(component.clone()),
        // A crate of ours that several components build on owns nothing by itself.
        Package { registry: false, folder, name, .. } if !folder.starts_with("unik/") => Some(name.clone()),
        _ => None,
    }
}

/// A set of owners, by index; the last stands for all that don't fit.
type Owners = u128;

struct Laying<'a, 'b> {
    anatomy: &'a Anatomy<'b>,
    packages: &'a [Package],
    names: Vec<String>,
    /// By package.
    owner: Vec<Option<Owners>>,
    runtime: Owners,
    /// Objects of data: where each begins.
    objects: Vec<u64>,
    /// Who refers to a function, to an object.
    to_function: Vec<Owners>,
    to_object: Vec<Owners>,
    /// What refers to an object: crate, file, how often.
    by: Vec<BTreeMap<(String, String), u32>>,
    rows: BTreeMap<(Owners, String, String), [u64; 3]>,
}

impl<'a, 'b> Laying<'a, 'b> {
    fn new(anatomy: &'a Anatomy<'b>, packages: &'a [Package]) -> Self {
        let mut names: Vec<String> = Vec::new();
        let mut bit = |name: String| -> Owners {
            let at = names.iter().position(|other| *other == name).unwrap_or_else(|| {
                names.push(name);
                names.len() - 1
            });
            1 << at.min(127)
        };
        let runtime = bit(RUNTIME.into());
        let owner: Vec<_> =
            packages.iter().enumerate().map(|(at, package)| owner_of(at, package).map(&mut bit)).collect();
        let mut objects: BTreeSet<u64> = BTreeSet::new();
        let data = |address: u64| anatomy.section(address).is_some_and(|section| !section.code);
        for section in anatomy.sections.iter().filter(|section| !section.code) {
            objects.insert(section.range.start);
        }
        for object in &anatomy.objects {
            objects.extend([object.range.start, object.range.end].into_iter().filter(|&at| data(at)));
        }
        let all = anatomy.decoded.references.iter().chain(&anatomy.pointers);
        objects.extend(all.map(|reference| reference.to).filter(|&to| data(to)));
        let objects: Vec<u64> = objects.into_iter().collect();
        Laying {
            to_function: vec![0; anatomy.functions.len()],
            to_object: vec![0; objects.len()],
            by: vec![BTreeMap::new(); objects.len()],
            rows: BTreeMap::new(),
            anatomy,
            packages,
            names,
            owner,
            runtime,
            objects,
        }
    }

    fn object(&self, address: u64) -> Option<usize> {
        self.objects.partition_point(|&start| start <= address).checked_sub(1)
    }

    /// Who owns the code at `address` by what was inlined there.
    fn claimed(&self, address: u64) -> Option<Owners> {
        let span = self.anatomy.lines.at(address)?;
        span.frames.iter().find_map(|frame| match self.anatomy.origins.get(frame.file)?.0 {
            SourceOf::Package(at) => self.owner.get(at).copied().flatten(),
            _ => None,
        })
    }

    /// Who owns what stands at `from`, as far as is known.
    fn owners_at(&self, from: u64) -> Owners {
        match self.anatomy.section(from) {
            Some(section) if section.name.starts_with(".gate") => self.runtime,
            Some(section) if section.code => self.claimed(from).unwrap_or_else(|| {
                self.anatomy.function(from).map_or(0, |function| self.to_function[function])
            }),
            Some(_) => self.object(from).map_or(0, |object| self.to_object[object]),
            None => 0,
        }
    }

    /// Follows references until nobody is owned by more than before.
    fn spread(&mut self) {
        enum To {
            Function(usize),
            Object(usize),
        }
        let all = self.anatomy.decoded.references.iter().chain(&self.anatomy.pointers);
        let edges: Vec<(u64, To)> = all
            .filter_map(|reference| {
                let section = self.anatomy.section(reference.to)?;
                let to = if section.code {
                    let to = self.anatomy.function(reference.to)?;
                    // A jump inside a function is no reference to it.
                    if self.anatomy.function(reference.from) == Some(to) {
                        return None;
                    }
                    To::Function(to)
                } else {
                    To::Object(self.object(reference.to)?)
                };
                Some((reference.from, to))
            })
            .collect();
        for (from, to) in &edges {
            let To::Object(object) = to else { continue };
            let source = self.anatomy.lines.at(*from).and_then(|span| self.anatomy.source_of(span));
            if let Some((of, module)) = source {
                let key = (self.package_name(of), module.clone());
                *self.by[*object].entry(key).or_default() += 1;
            }
        }
        // Every round adds an owner somewhere, or is the last.
        loop {
            let mut grown = false;
            for (from, to) in &edges {
                let owners = self.owners_at(*from);
                let held = match to {
                    To::Function(at) => &mut self.to_function[*at],
                    To::Object(at) => &mut self.to_object[*at],
                };
                grown |= *held | owners != *held;
                *held |= owners;
            }
            if !grown {
                break;
            }
        }
        // What is reached only through data takes the crate of that data.
        for _ in 0..4 {
            for (from, to) in &edges {
                let (To::Object(to), Some(from)) = (to, self.object(*from)) else { continue };
                let in_data = self.anatomy.section(self.objects[from]).is_some_and(|section| !section.code);
                if in_data && self.by[*to].is_empty() && from != *to {
                    self.by[*to] = self.by[from].clone();
                }
            }
        }
    }

    fn package_name(&self, of: &SourceOf) -> String {
        match of {
            SourceOf::Package(at) => self.packages.get(*at).map_or_else(String::new, Package::id),
            SourceOf::Library(name) => name.clone(),
            SourceOf::Unknown => "?".into(),
        }
    }

    fn add(&mut self, owners: Owners, package: String, module: String, column: usize, bytes: u64) {
        if bytes > 0 {
            self.rows.entry((owners, package, module)).or_default()[column] += bytes;
        }
    }

    fn code(&mut self) {
        let anatomy = self.anatomy;
        for section in anatomy.sections.iter().filter(|section| section.code) {
            if section.name.starts_with(".gate") {
                let package = self.runtime_package();
                self.add(self.runtime, package, "the gate".into(), 0, length(&section.range));
                continue;
            }
            let mut at = section.range.start;
            let first = anatomy.lines.spans.partition_point(|span| span.range.end <= at);
            for span in &anatomy.lines.spans[first..] {
                if span.range.start >= section.range.end {
                    break;
                }
                self.gap(section, at..span.range.start);
                let start = span.range.start.max(at);
                let owners = match self.owners_at(start) {
                    0 => self.runtime,
                    owners => owners,
                };
                let (package, module) = match anatomy.source_of(span) {
                    Some((of, module)) => (self.package_name(of), module.clone()),
                    None => ("?".into(), String::new()),
                };
                self.add(owners, package, module, 0, span.range.end.saturating_sub(start));
                at = span.range.end;
            }
            self.gap(section, at..section.range.end);
        }
    }

    /// Code without lines: assembly, and the room between functions.
    fn gap(&mut self, section: &Section<'_>, mut range: Range<u64>) {
        while range.start < range.end {
            let functions = &self.anatomy.functions;
            let next = functions.partition_point(|function| function.range.start <= range.start);
            let end = functions.get(next).map_or(range.end, |next| next.range.start.min(range.end));
            let part = range.start..end;
            let bytes = section.bytes.and_then(|bytes| {
                bytes.get(
                    (part.start - section.range.start) as usize..(part.end - section.range.start) as usize,
                )
            });
            let filled = bytes.is_some_and(|bytes| bytes.iter().all(|&byte| byte == 0xcc || byte == 0));
            match self.anatomy.function(part.start) {
                Some(function) if !filled => {
                    let owners = match self.to_function[function] {
                        0 => self.runtime,
                        owners => owners,
                    };
                    let name = crate_of(&functions[function].name);
                    let package = match name.as_deref() {
                        Some(name) => self.named(name),
                        None => self.runtime_package(),
                    };
                    self.add(owners, package, String::new(), 0, length(&part));
                }
                _ => self.add(self.runtime, PADDING.into(), String::new(), 0, length(&part)),
            }
            range.start = end;
        }
    }

    fn named(&self, name: &str) -> String {
        let found = self.packages.iter().find(|package| package.name.replace('-', "_") == name);
        found.map_or_else(|| name.to_string(), Package::id)
    }

    fn runtime_package(&self) -> String {
        self.named("unik")
    }

    fn data(&mut self, content: &[Content]) {
        for section in self.anatomy.sections.iter().filter(|section| !section.code) {
            let column = if section.bytes.is_some() { 1 } else { 2 };
            let whole = match section.name.as_str() {
                ".stacks" => Some((self.runtime, "stacks")),
                name if name.starts_with(".gate") => Some((self.runtime, "the gate")),
                name if name.starts_with(".note") => {
                    Some((self.owner.first().copied().flatten().unwrap_or(self.runtime), "notes"))
                }
                _ => None,
            };
            if let Some((owners, module)) = whole {
                let package = self.runtime_package();
                self.add(owners, package, module.into(), column, length(&section.range));
                continue;
            }
            let mut at = section.range.start;
            let mut inside: Vec<&Content> =
                content.iter().filter(|content| section.range.contains(&content.address)).collect();
            inside.sort_by_key(|content| content.address);
            for content in inside {
                let start = content.address.max(at);
                let end = content.address.saturating_add(content.size).min(section.range.end);
                self.objects_in(at..start, column);
                let owners =
                    self.names.iter().position(|name| *name == content.owner).map(|at| 1 << at.min(127));
                let owners = owners.unwrap_or(self.runtime);
                self.add(owners, CONTENT.into(), content.name.clone(), column, end.saturating_sub(start));
                at = at.max(end);
            }
            self.objects_in(at..section.range.end, column);
        }
    }

    fn objects_in(&mut self, mut range: Range<u64>, column: usize) {
        while range.start < range.end {
            let next = self.objects.partition_point(|&start| start <= range.start);
            let end = self.objects.get(next).map_or(range.end, |&next| next.min(range.end));
            let bytes = end - range.start;
            let Some(object) = next.checked_sub(1) else {
                self.add(self.runtime, "?".into(), String::new(), column, bytes);
                range.start = end;
                continue;
            };
            let owners = match self.to_object[object] {
                0 => self.runtime,
                owners => owners,
            };
            let after = self.anatomy.objects.partition_point(|named| named.range.start <= range.start);
            let symbol =
                self.anatomy.objects[..after].last().filter(|named| named.range.contains(&range.start));
            let named = symbol.and_then(|symbol| crate_of(&symbol.name)).map(|name| self.named(&name));
            let most = self.by[object].iter().max_by_key(|(key, count)| (**count, std::cmp::Reverse(*key)));
            let (package, module) = match (named, most) {
                (Some(package), Some(((of, module), _))) if *of == package => (package, module.clone()),
                (Some(package), _) => (package, String::new()),
                (None, Some(((package, module), _))) => (package.clone(), module.clone()),
                (None, None) => ("?".into(), String::new()),
            };
            self.add(owners, package, module, column, bytes);
            range.start = end;
        }
    }

    fn rows(self) -> Vec<Cost> {
        let mut rows: Vec<Cost> = self
            .rows
            .into_iter()
            .map(|((owners, package, module), [code, data, zeroed])| {
                let set = (0..self.names.len()).filter(|at| owners & (1 << (*at).min(127)) != 0);
                let mut owners: Vec<String> = set.map(|at| self.names[at].clone()).collect();
                owners.sort();
                Cost { owners, package, module, code, data, zeroed }
            })
            .collect();
        rows.sort_by(|a, b| {
            (b.code + b.data, &a.owners, &a.package, &a.module).cmp(&(
                a.code + a.data,
                &b.owners,
                &b.package,
                &b.module,
            ))
        });
        rows
    }
}

const fn length(range: &Range<u64>) -> u64 {
    range.end.saturating_sub(range.start)
}

/// The crate of a mangled symbol: `<alloc::vec::Vec<T> as x::Y>::z` is of `alloc`.
#[must_use]
pub fn crate_of(symbol: &str) -> Option<String> {
    let demangled = rustc_demangle::try_demangle(symbol).ok()?;
    let name = format!("{demangled:#}");
    let start = name.trim_start_matches(|c: char| !(c.is_alphanumeric() || c == '_'));
    let start = start.strip_prefix("mut ").or_else(|| start.strip_prefix("dyn ")).unwrap_or(start);
    let end = start.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(start.len());
    (end > 0 && start[end..].starts_with("::")).then(|| start[..end].into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crates_of_symbols() {
        assert_eq!(crate_of("_ZN4core3fmt9Formatter3pad17h0123456789abcdefE").as_deref(), Some("core"));
        assert_eq!(crate_of("memcpy"), None);
        assert_eq!(crate_of(""), None);
    }
}
