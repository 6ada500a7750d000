//! The macro door: `unik::appliance!`.
//!
//! For those who bring services of their own: the appliance that a `.unik` file describes,
//! inside a crate of the user's. Everything is done by `unik-codegen`; this crate brings the
//! catalogue and the host halves of the built-in components to it.
#![forbid(unsafe_code)]

use std::path::{Path, PathBuf};

use proc_macro::{Group, Span, TokenStream, TokenTree};
use quote::quote;
use unik_codegen::helper::Workshop;
use unik_codegen::{Cache, Cargo, HostHalves, Sources, door};
use unik_dsl::Catalogue;

/// Puts the appliance that a `.unik` file describes into this crate.
///
/// ```ignore
/// #![cfg_attr(unik_machine, no_std, no_main)]
/// unik::appliance!("counter.unik");
/// ```
///
/// The path is relative to the folder of `Cargo.toml`. Stands once, at the root of a binary.
/// Plain cargo makes a Linux process of it, `unikgen build` an image.
#[proc_macro]
pub fn appliance(input: TokenStream) -> TokenStream {
    let tokens = file(input).and_then(|(file, argument)| {
        // What host halves and the generator write must be letter by letter what they write
        // in `unikgen`, since the plan's hash is of it; the compiler's own tokens are printed
        // in another way. This concerns only the copy of proc-macro2 in this crate.
        proc_macro2::fallback::force();
        let components = unik_builtin::components().map_err(|error| error.to_string())?;
        let mut halves = HostHalves::new(unik_builtin::host_halves());
        // Host halves of others are built in the cache, as `unikgen` does: in a target folder
        // of their own, since the one of this build is locked. The lock file of crates by git
        // or version is kept as it is.
        let own = Sources::new(unik_builtin::sources(), unik_builtin::source_files);
        let cargo = Cargo { program: std::env::var_os("CARGO"), offline: false, locked: true };
        let cache = Cache::of_user().ok();
        let workshop = cache.as_ref().map(|cache| Workshop { cache, own: &own, cargo: &cargo });
        let door =
            door::appliance(&file, &Catalogue::from_components(components), &mut halves, workshop.as_ref());
        let mut tokens = TokenStream::from(door.items);
        tokens.extend(at(door.pointers.into(), argument));
        Ok(tokens)
    });
    let tokens = tokens.unwrap_or_else(|message| {
        quote! {
            ::core::compile_error!(#message);
            #[cfg(not(unik_machine))]
            fn main() {}
        }
        .into()
    });
    proc_macro2::fallback::unforce();
    tokens
}

/// The same tokens, shown as being at `span`.
fn at(tokens: TokenStream, span: Span) -> TokenStream {
    let at_span = |mut token: TokenTree| {
        if let TokenTree::Group(group) = &token {
            token = Group::new(group.delimiter(), at(group.stream(), span)).into();
        }
        // The names in them still mean what they mean in the crate.
        token.set_span(span.resolved_at(Span::call_site()));
        token
    };
    tokens.into_iter().map(at_span).collect()
}

/// The file that the argument names, made absolute; and where the argument stands.
fn file(input: TokenStream) -> Result<(PathBuf, Span), String> {
    let argument = input.clone().into_iter().next().map_or_else(Span::call_site, |token| token.span());
    let path: syn::LitStr = syn::parse(input)
        .map_err(|_| "`appliance!` takes the path of a `.unik` file, in quotes".to_string())?;
    let folder = std::env::var("CARGO_MANIFEST_DIR")
        .map_err(|_| "`appliance!` works only when cargo builds the crate")?;
    Ok((Path::new(&folder).join(path.value()), argument))
}
