//! The macro door: `unik::appliance!("counter.unik")` in a crate of the user's own.
//!
//! Both doors call [`expand`](crate::expand()). What this one adds is the choice between
//! machine and process by `cfg`, and what a macro needs that a generated crate doesn't:
//! errors as `compile_error!`, files as literals, and a way to be run again.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use proc_macro2::{Literal, TokenStream};
use quote::quote;
use unik_catalogue::Target;
use unik_dsl::fetch::Fetch;
use unik_dsl::{Catalogue, Request, analyse, diagnostic};

use crate::expand::{Expansion, expand, replace_includes};
use crate::helper::Workshop;
use crate::host::{HostHalves, prepare};

/// Expands `appliance!(file)`, where `file` is absolute. Without a `workshop` there are the
/// given host halves only, and no crates by git or version.
#[must_use]
pub fn appliance(
    file: &Path,
    catalogue: &Catalogue,
    halves: &mut HostHalves,
    workshop: Option<&Workshop>,
) -> TokenStream {
    let mut watched = BTreeSet::from([file.to_owned()]);
    let mut errors: Vec<String> = Vec::new();
    let mut items = TokenStream::new();
    for target in [Target::Machine, Target::Process] {
        match one(file, target, catalogue, halves, workshop, &mut watched) {
            Ok(expansion) => items.extend(for_target(&expansion, target)),
            Err(text) if errors.contains(&text) => {}
            Err(text) => errors.push(text),
        }
    }
    let watched = watched.iter().filter(|path| path.is_file()).filter_map(|path| path.to_str());
    let watch = quote!(#(const _: &[u8] = include_bytes!(#watched);)*);
    if errors.is_empty() {
        return quote!(#watch #items);
    }
    let errors = errors.into_iter().map(|text| {
        // rustc indents the first line only.
        let text = format!("the appliance can't be made\n{text}");
        quote!(::core::compile_error!(#text);)
    });
    // An entry that does nothing: no second error about one that is missing.
    quote! {
        #watch
        #(#errors)*
        #[cfg(not(unik_machine))]
        fn main() {}
    }
}

/// The tokens of one target under the `cfg` that chooses it, files as literals.
fn for_target(expansion: &Expansion, target: Target) -> TokenStream {
    let cfg = match target {
        Target::Machine => quote!(#[cfg(unik_machine)]),
        Target::Process => quote!(#[cfg(not(unik_machine))]),
    };
    let (entry, module) = (&expansion.entry, &expansion.module);
    let module = replace_includes(module.clone(), &mut |name| {
        let bytes = Literal::byte_string(expansion.blobs.get(Path::new(name))?);
        Some(quote!(#bytes))
    });
    quote!(#cfg #entry #cfg #module)
}

fn one(
    file: &Path,
    target: Target,
    catalogue: &Catalogue,
    halves: &mut HostHalves,
    workshop: Option<&Workshop>,
    watched: &mut BTreeSet<PathBuf>,
) -> Result<Expansion, String> {
    let fetcher = workshop.map(|workshop| workshop.fetcher(catalogue, &|_| {}));
    let mut request = Request::new(file, None);
    request.target = Some(target);
    request.fetch = fetcher.as_ref().map(|fetcher| fetcher as &dyn Fetch);
    let mut analysis = analyse(&request, catalogue);
    let shown =
        |diagnostics: &[diagnostic::Diagnostic], sources| diagnostic::render_all(diagnostics, sources, false);
    let Some(plan) = analysis.plan else {
        return Err(shown(&analysis.diagnostics, &analysis.sources));
    };
    watched.extend(plan.sources.iter().cloned());
    if let Some(workshop) = workshop {
        let refused = workshop.fit_out(&plan, halves, &mut |_| {}).map_err(|error| error.to_string())?;
        if !refused.is_empty() {
            return Err(shown(&refused, &analysis.sources));
        }
    }
    let (baked, diagnostics) = prepare(&plan, halves, &mut analysis.sources);
    watched.extend(baked.dependencies.iter().cloned());
    if diagnostics.iter().any(diagnostic::Diagnostic::is_error) {
        return Err(shown(&diagnostics, &analysis.sources));
    }
    expand(&plan, &baked).map_err(|error| error.to_string())
}
