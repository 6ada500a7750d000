//! The macro door: `unik::appliance!("counter.unik")` in a crate of the user's own.
//!
//! Both doors call [`expand`](crate::expand()). What this one adds is the choice of the
//! target by `cfg`, and what a macro needs that a generated crate doesn't:
//! errors as `compile_error!`, files as literals, and a way to be run again.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use proc_macro2::{Ident, Literal, Span, TokenStream};
use quote::quote;
use unik_catalogue::Target;
use unik_dsl::fetch::Fetch;
use unik_dsl::{Catalogue, Request, SourceMap, analyse, diagnostic};

use crate::expand::{Expansion, expand, replace_includes};
use crate::handlers::{Handler, handlers};
use crate::helper::Workshop;
use crate::host::{HostHalves, prepare};

/// What the macro expands to.
#[derive(Clone, Debug)]
pub struct Door {
    /// The appliance, or what is wrong with it.
    pub items: TokenStream,
    /// Items that only name the handlers: the compiler is to show the macro's argument where
    /// it finds fault with them.
    pub pointers: TokenStream,
}

/// Expands `appliance!(file)`, where `file` is absolute. Without a `workshop` there are the
/// given host halves only, and no crates by git or version.
#[must_use]
pub fn appliance(
    file: &Path,
    catalogue: &Catalogue,
    halves: &mut HostHalves,
    workshop: Option<&Workshop>,
) -> Door {
    let mut watched = BTreeSet::from([file.to_owned()]);
    let mut errors: Vec<String> = Vec::new();
    let mut items = TokenStream::new();
    let mut pointers = TokenStream::new();
    for target in Target::ALL {
        match one(file, target, catalogue, halves, workshop, &mut watched) {
            Ok((expansion, names)) => {
                items.extend(for_target(&expansion, target));
                if pointers.is_empty() {
                    pointers = names;
                }
            }
            Err(text) if errors.contains(&text) => {}
            // Not everything can be simulated: said where somebody tries.
            Err(text) if target == Target::Sim => items.extend(refusal(&text)),
            Err(text) => errors.push(text),
        }
    }
    let watched = watched.iter().filter(|path| path.is_file()).filter_map(|path| path.to_str());
    let watch = quote!(#(const _: &[u8] = include_bytes!(#watched);)*);
    if errors.is_empty() {
        return Door { items: quote!(#watch #items), pointers };
    }
    let errors = errors.into_iter().map(|text| {
        // rustc indents the first line only.
        let text = format!("the appliance can't be made\n{text}");
        quote!(::core::compile_error!(#text);)
    });
    // An entry that does nothing: no second error about one that is missing.
    let items = quote! {
        #watch
        #(#errors)*
        #[cfg(not(unik_machine))]
        fn main() {}
    };
    Door { items, pointers: TokenStream::new() }
}

/// What there is instead of a simulation.
fn refusal(text: &str) -> TokenStream {
    let text = format!("the appliance can't be simulated\n{text}");
    quote! {
        #[cfg(unik_sim)]
        ::core::compile_error!(#text);
        #[cfg(unik_sim)]
        fn main() {}
    }
}

/// Modules that only name the handlers, each called after the line of the `.unik` file that
/// does: where the crate lacks one, the compiler's words have the line in them.
fn pointers(handlers: &[Handler], sources: &SourceMap) -> TokenStream {
    let mut lines: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    for handler in handlers {
        let Some((path, line, _)) = sources.position(handler.place) else { continue };
        let file = path.file_name().unwrap_or_default().to_string_lossy();
        let file = file.replace(|c: char| !c.is_ascii_alphanumeric(), "_");
        lines.entry(format!("line_{line}_of_{file}")).or_default().insert(&handler.path);
    }
    let modules = lines.into_iter().map(|(name, paths)| {
        let name = Ident::new(&name, Span::call_site());
        let paths = paths.into_iter().filter_map(|path| path.parse::<TokenStream>().ok());
        quote! {
            #[allow(unused_imports, non_snake_case)]
            mod #name {
                use crate::*;
                #(use crate::#name::#paths as _;)*
            }
        }
    });
    modules.collect()
}

/// The tokens of one target under the `cfg` that chooses it, files as literals.
fn for_target(expansion: &Expansion, target: Target) -> TokenStream {
    let cfg = match target {
        Target::Machine => quote!(#[cfg(unik_machine)]),
        Target::Process => quote!(#[cfg(not(any(unik_machine, unik_sim)))]),
        Target::Sim => quote!(#[cfg(unik_sim)]),
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
) -> Result<(Expansion, TokenStream), String> {
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
    if let Some(name) = plan.secrets().keys().next() {
        return Err(format!("error: the secret `{name}` can't be given to a macro: declare it `at boot`"));
    }
    let names = pointers(&handlers(&plan, &analysis.sources), &analysis.sources);
    let expansion = expand(&plan, &baked).map_err(|error| error.to_string())?;
    Ok((expansion, names))
}
