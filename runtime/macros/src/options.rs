//! `unik::options!()`.

use std::path::Path;

use proc_macro2::{Span, TokenStream};
use quote::quote;
use unik_catalogue::{Component, ManifestError, shape};

/// A table without wires or options.
const LEAST: &str = r#"[package.metadata.unik]
name = "NAME"
kind = "service"
summary = "One line for people""#;

/// The declaration of the options, or an error with an empty `Options`.
pub fn expand(input: TokenStream) -> TokenStream {
    if input.is_empty() { declare_or_error().1 } else { instead("`options!` takes no argument") }
}

/// The component whose crate this is, if its table can be read, and the declaration of its
/// options, or an error with an empty `Options`.
pub fn declare_or_error() -> (Option<Component>, TokenStream) {
    match declare() {
        Ok((component, tokens)) => (Some(component), tokens),
        Err(message) => (None, instead(&message)),
    }
}

fn instead(message: &str) -> TokenStream {
    let error = syn::Error::new(Span::call_site(), message).to_compile_error();
    quote! {
        #error
        /// The options could not be read.
        #[derive(Debug, Clone, PartialEq)]
        pub struct Options {}
    }
}

fn declare() -> Result<(Component, TokenStream), String> {
    let folder = std::env::var("CARGO_MANIFEST_DIR")
        .map_err(|_| "the options stand in Cargo.toml, so only cargo can build this crate")?;
    let path = Path::new(&folder).join("Cargo.toml");
    let component = Component::read(&path).map_err(|error| match error {
        ManifestError::NoTable { .. } => format!("{error}; the least that it says is\n{LEAST}"),
        error => error.to_string(),
    })?;
    let types: TokenStream = shape::declare(&component)
        .map_err(|message| format!("in {}: {message}", path.display()))?
        .parse()
        .map_err(|error| format!("in {}: the options make no Rust: {error}", path.display()))?;
    let path = path.to_str().ok_or_else(|| format!("{} is not UTF-8", path.display()))?;
    // Without this, cargo doesn't know that a change of the table changes the types.
    let tokens = quote! {
        const _: &[u8] = include_bytes!(#path);
        #types
    };
    Ok((component, tokens))
}
