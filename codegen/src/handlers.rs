//! The handlers that a file names: paths into a crate of the user's own, which only the
//! compiler can follow.

use unik_catalogue::Value;
use unik_catalogue::value::{Bound, Options, Place};
use unik_dsl::diagnostic::{Diagnostic, codes};
use unik_dsl::plan::Plan;
use unik_dsl::source::SourceMap;

/// A handler, as the file names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handler {
    /// Its path, without the `crate::` before it.
    pub path: String,
    /// Where the file names it.
    pub place: Place,
}

/// All handlers that the file of `plan` names, each as often as it does.
#[must_use]
pub fn handlers(plan: &Plan, sources: &SourceMap) -> Vec<Handler> {
    let mut found = Vec::new();
    for (_, node) in plan.instances() {
        collect(&node.options, sources, &mut found);
    }
    found
}

/// What to say of the handlers that are in no crate that the file names, where no crate names the
/// file either: then there is nothing for the compiler to look into.
#[must_use]
pub fn without_crate(plan: &Plan, sources: &SourceMap) -> Vec<Diagnostic> {
    let named = |path: &str| {
        let first = path.split("::").next().unwrap_or(path);
        plan.crates.iter().any(|named| named.name.replace('-', "_") == first)
    };
    let mut found = handlers(plan, sources).into_iter().filter(|handler| !named(&handler.path));
    let Some(first) = found.next() else { return Vec::new() };
    let message = format!("there is no handler `{}`: the appliance has no crate of its own", first.path);
    let mut diagnostic = Diagnostic::error(codes::HANDLER, first.place, message)
        .help("a handler stands in a crate that names the file by `unik::appliance!`: unikgen new NAME --template handler");
    for other in found {
        diagnostic = diagnostic.and(other.place, "nor this one");
    }
    vec![diagnostic]
}

fn collect(options: &Options, sources: &SourceMap, found: &mut Vec<Handler>) {
    for entry in options.values().flatten() {
        if let Some(place) = entry.place {
            let mut paths = Vec::new();
            for bound in entry.values.values() {
                match bound {
                    Bound::One(value) => paths_in(value, &mut paths),
                    Bound::Many(values) => values.iter().for_each(|value| paths_in(value, &mut paths)),
                }
            }
            found.extend(paths.into_iter().map(|path| {
                // The entry's place is of all of it.
                let at = sources.text(place).rfind(path).map(|at| place.start + at);
                let place = at.map_or(place, |start| Place { start, end: start + path.len(), ..place });
                Handler { path: path.into(), place }
            }));
        }
        collect(&entry.nested, sources, found);
    }
}

fn paths_in<'a>(value: &'a Value, paths: &mut Vec<&'a str>) {
    match value {
        Value::Handler(path) => paths.push(path),
        Value::List(values) => values.iter().for_each(|value| paths_in(value, paths)),
        _ => {}
    }
}
