//! Host half of `http`: prepares answers and routes at build time.
//!
//! | module | holds |
//! |---|---|
//! | [`routes`] | the routes of an instance: their check, and the `match` that they become |
//! | [`files`] | the files of an instance: their paths, and the heads of their answers |
//! | [`media`] | media types by the ends of names |
#![forbid(unsafe_code)]

pub mod files;
pub mod media;
pub mod routes;

use std::collections::BTreeMap;

use quote::quote;
use unik_catalogue::host::{At, Baked, Finding, HostHalf, Input, Severity};
use unik_catalogue::value::{Bound, Place};
use unik_catalogue::{Entry, Value};

use files::Files;
use routes::Routes;

/// The host half of `http`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Http;

impl HostHalf for Http {
    fn component(&self) -> &'static str {
        "http"
    }

    fn check(&self, input: &Input) -> Vec<Finding> {
        read(input).0
    }

    fn bake(&self, input: &Input) -> Result<Baked, Vec<Finding>> {
        let (findings, site) = read(input);
        let errors: Vec<Finding> =
            findings.into_iter().filter(|finding| finding.severity == Severity::Error).collect();
        if errors.is_empty() { Ok(site.bake()) } else { Err(errors) }
    }
}

/// What an instance serves.
struct Site {
    files: Files,
    routes: Routes,
}

impl Site {
    fn bake(&self) -> Baked {
        let mut blobs = BTreeMap::new();
        let (statics, paths) = self.files.bake(&mut blobs);
        let routes = self.routes.bake();
        let routes_type = if self.routes.is_empty() { quote!(::unik_http::NoRoutes) } else { quote!(Routes) };
        let items = quote! {
            #statics
            #routes
            struct Site;
            impl ::unik_http::Site for Site {
                type Routes = #routes_type;
                fn paths() -> &'static [(&'static str, ::unik_http::Entry)] {
                    static PATHS: &[(&str, ::unik_http::Entry)] = &[#paths];
                    PATHS
                }
            }
        };
        Baked { items: items.to_string(), value: "Site".into(), blobs, ..Baked::default() }
    }
}

/// Reads the options and what the storage offers; tells what is wrong.
fn read(input: &Input) -> (Vec<Finding>, Site) {
    let mut findings = Vec::new();
    let routes = Routes::read(input.options.get("route").map_or(&[], Vec::as_slice), &mut findings);
    let index = first(input, "index").map(|entry| (entry.place, strings(entry, "name"))).unwrap_or_default();
    for name in &index.1 {
        if name.is_empty() || name.contains('/') {
            let message = format!("`{name}` is no name of a file in a folder");
            findings.push(Finding::error(index.0, message));
        }
    }
    let mut files = Files::default();
    if let Some((entry, Value::Instance(storage))) =
        first(input, "files").and_then(|entry| Some((entry, entry.value("storage")?)))
    {
        match input.offers.get(storage).map(|offer| &offer.files) {
            Some(Some(offered)) => {
                files = Files::new(offered, &index.1);
                // The default is for all sites; a name that was written was meant.
                if findings.is_empty()
                    && let Some(place) = index.0
                    && !offered
                        .keys()
                        .any(|path| index.1.iter().any(|name| path.rsplit('/').next() == Some(name)))
                {
                    let names: Vec<String> = index.1.iter().map(|name| format!("`{name}`")).collect();
                    let message = format!("no folder of `{storage}` has a file {}", names.join(" or "));
                    findings.push(warning(Some(place), message));
                }
            }
            // Asked before the storage was prepared: what is in it isn't known yet.
            None => {}
            Some(None) => findings.push(
                Finding::error(
                    entry.place,
                    format!("what is in `{storage}` is known only when the image runs"),
                )
                .help("http serves files from a storage such as `embed`; others are not supported yet"),
            ),
        }
    }
    for (path, place) in routes.exact() {
        if files.has(path) {
            findings.push(warning(place, format!("the route `{path}` hides a file of the same path")));
        }
    }
    (findings, Site { files, routes })
}

fn first<'a>(input: &'a Input, key: &str) -> Option<&'a Entry> {
    input.options.get(key)?.first()
}

/// All values of a placeholder that are text.
pub(crate) fn strings(entry: &Entry, name: &str) -> Vec<String> {
    let values = match entry.values.get(name) {
        Some(Bound::One(value)) => std::slice::from_ref(value),
        Some(Bound::Many(values)) => values.as_slice(),
        None => &[],
    };
    let text = values.iter().filter_map(|value| match value {
        Value::String(text) | Value::Name(text) | Value::Word(text) | Value::Handler(text) => {
            Some(text.clone())
        }
        _ => None,
    });
    text.collect()
}

pub(crate) fn warning(place: Option<Place>, message: String) -> Finding {
    Finding { severity: Severity::Warning, message, at: place.map_or(At::Instance, At::Place), help: None }
}

#[cfg(test)]
mod tests;
