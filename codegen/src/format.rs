//! Generated Rust for people to read: formatted, with comments that name the place in the
//! `.unik` file where each instance comes from.

use proc_macro2::{Ident, Span, TokenStream};
use quote::quote;
use unik_catalogue::rust_name;
use unik_catalogue::value::Place;
use unik_dsl::plan::{Node, Origin, Plan};
use unik_dsl::source::SourceMap;

use crate::expand::{ExpandError, Expansion, crate_of};

/// Formats `tokens` as a source file.
///
/// # Errors
/// When they are no Rust: a host half made something that isn't.
pub fn format(tokens: TokenStream) -> Result<String, ExpandError> {
    let file = syn::parse2(tokens).map_err(|error| ExpandError {
        instance: "the generated code".into(),
        message: format!("what a host half made is no Rust: {error}"),
    })?;
    Ok(prettyplease::unparse(&file))
}

/// The `main.rs` of the crate that is generated from `plan`.
///
/// # Errors
/// As [`format()`].
pub fn source(plan: &Plan, sources: &SourceMap, expansion: &Expansion) -> Result<String, ExpandError> {
    // Handlers of a crate that the file names are `crate::NAME::…`, as in the user's own.
    let crates = plan.crates.iter().map(|named| {
        // A component says by the path of its `start` what its library is called.
        let component = plan.instances().find(|(_, node)| node.component.package.name == named.name);
        let start = component.and_then(|(_, node)| node.component.start.as_deref());
        let name = start.map_or_else(|| named.name.replace('-', "_"), |start| crate_of(start).into());
        let name = Ident::new(&name, Span::call_site());
        quote!(extern crate #name;)
    });
    let (module, entry) = (&expansion.module, &expansion.entry);
    let text = format(quote! {
        #![no_std]
        #![cfg_attr(unik_machine, no_main)]
        #(#crates)*
        #entry
        #module
    })?;
    let file = short(plan.place, sources);
    let head = format!("// Generated from {file}. Changes are lost.\n\n");
    Ok(head + &with_places(&text, plan, sources))
}

/// `web.unik:7`, the same from whatever folder the file is named.
fn short(place: Place, sources: &SourceMap) -> String {
    let text = sources.short(place);
    text.rsplit_once('/').map_or(text.as_str(), |(_, name)| name).into()
}

/// Adds, before the statement that starts an instance, a comment that says where it is from.
#[must_use]
pub fn with_places(text: &str, plan: &Plan, sources: &SourceMap) -> String {
    let mut waiting: Vec<&Node> = plan.order.iter().rev().map(|&index| &plan.graph[index]).collect();
    let mut out = String::with_capacity(text.len() + 1024);
    let mut wiring = false;
    for line in text.lines() {
        wiring |= line.trim_start().starts_with("pub(super) async fn wire()");
        let indent = &line[..line.len() - line.trim_start().len()];
        // Statements of the wiring are two levels deep: a module, a function.
        if wiring
            && indent.len() == 8
            && let Some(node) = waiting.last()
        {
            let binding = format!("let {} = {{", rust_name::field(&node.id));
            if line.trim_start() == "{" || line.trim_start() == binding {
                let place = match node.origin {
                    Origin::Declared(place) => short(place, sources),
                    Origin::Implied => "implied".into(),
                };
                let component = &node.component.name;
                out.push_str(&format!("{indent}// {place}: {} = {component}\n", node.id));
                waiting.pop();
            }
        }
        out.push_str(line);
        out.push('\n');
    }
    out
}
