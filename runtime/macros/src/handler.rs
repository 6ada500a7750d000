//! `#[unik::handler]`.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{FnArg, ItemFn, ReturnType, Type};

/// The function as it is, and its type; with errors, the function as it is, the errors,
/// and a type that answers with whatever the function would have.
pub fn expand(attribute: TokenStream, item: TokenStream) -> TokenStream {
    let function: ItemFn = match syn::parse2(item.clone()) {
        Ok(function) => function,
        Err(error) => {
            let error = error.to_compile_error();
            return quote!(#item #error);
        }
    };
    let mut errors = Vec::new();
    if !attribute.is_empty() {
        errors.push(syn::Error::new(attribute.span(), "`#[unik::handler]` takes no argument"));
    }
    let state = check(&function, &mut errors);
    let errors: TokenStream = errors.iter().map(syn::Error::to_compile_error).collect();
    let handler = implement(&function, state, errors.is_empty());
    quote!(#function #handler #errors)
}

/// Checks the signature; gives the type of the state, if there is one.
fn check<'a>(function: &'a ItemFn, errors: &mut Vec<syn::Error>) -> Option<&'a Type> {
    let signature = &function.sig;
    let mut fail = |at: &dyn ToTokens, message: &str| errors.push(syn::Error::new_spanned(at, message));
    if signature.asyncness.is_none() {
        fail(&signature.fn_token, "a handler is an `async fn`");
    }
    if signature.generics.type_params().next().is_some() || signature.generics.const_params().next().is_some()
    {
        fail(&signature.generics, "a handler has no type parameters: the `.unik` file couldn't say which");
    }
    if matches!(signature.output, ReturnType::Default) {
        fail(&signature.ident, "a handler returns a `Response`");
    }
    let types: Vec<&Type> = signature
        .inputs
        .iter()
        .filter_map(|argument| match argument {
            FnArg::Typed(argument) => Some(&*argument.ty),
            FnArg::Receiver(_) => None,
        })
        .collect();
    if types.len() != signature.inputs.len() {
        fail(&signature.inputs, "a handler is a function, not a method");
    }
    if !(1..=2).contains(&types.len()) {
        fail(
            &signature.ident,
            "a handler takes `request: &Request<'_>`, and, if it has a state, `state: &State`",
        );
    }
    if let Some(request) =
        types.first().filter(|ty| !matches!(ty, Type::Reference(it) if it.mutability.is_none()))
    {
        fail(request, "the request comes by `&`: `request: &Request<'_>`");
    }
    match types.get(1) {
        None => None,
        Some(Type::Reference(state)) if state.mutability.is_none() => Some(&state.elem),
        Some(other) => {
            fail(other, "the state comes by `&`: use `Cell` or `RefCell` inside it for what changes");
            None
        }
    }
}

fn implement(function: &ItemFn, state: Option<&Type>, good: bool) -> TokenStream {
    let (name, visibility) = (&function.sig.ident, &function.vis);
    let doc = format!("The handler `{name}`, for the generated code.");
    // The type lives in another namespace than the function, so both have one name.
    let ty = quote! {
        #[doc = #doc]
        #[allow(non_camel_case_types, dead_code)]
        #visibility enum #name {}
    };
    if !good {
        return ty;
    }
    // At the spans of the types, so that a wrong one shows there.
    let at = |node: &dyn Spanned| node.span().resolved_at(Span::call_site());
    let input = function.sig.inputs.first().map_or_else(Span::call_site, |input| match input {
        FnArg::Typed(input) => at(&input.ty),
        FnArg::Receiver(receiver) => at(receiver),
    });
    let output = match &function.sig.output {
        ReturnType::Type(_, ty) => at(ty),
        ReturnType::Default => Span::call_site(),
    };
    let request = Ident::new("request", input);
    let call = match state {
        None => quote_spanned!(input=> #name(#request).await),
        Some(state) => {
            let state = Ident::new("state", at(state));
            quote_spanned!(input=> #name(#request, #state).await)
        }
    };
    let answer = Ident::new("answer", output);
    let answer = quote_spanned!(output=> let #answer = #call; ::unik_http::Response::from(#answer));
    let state = state.map_or_else(|| quote!(()), |state| quote!(#state));
    quote! {
        #ty
        impl ::unik_http::Handler for #name {
            type State = #state;
            async fn call(
                #request: &::unik_http::Request<'_>,
                #[allow(unused_variables)]
                state: &Self::State,
            ) -> ::unik_http::Response {
                #answer
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(item: &str) -> String {
        expand(TokenStream::new(), item.parse().unwrap()).to_string()
    }

    #[test]
    fn with_and_without_state() {
        let plain = expanded("async fn a(r: &Request<'_>) -> Response { x }");
        assert!(plain.contains("type State = ()"), "{plain}");
        assert!(plain.contains("a (request) . await"), "{plain}");
        let stateful = expanded("pub async fn b(r: &Request<'_>, s: &Counter) -> Response { x }");
        assert!(stateful.contains("type State = Counter"), "{stateful}");
        assert!(stateful.contains("pub enum b"), "{stateful}");
    }

    #[test]
    fn errors_keep_the_function_and_the_type() {
        for (item, message) in [
            ("fn a(r: &Request<'_>) -> Response { x }", "`async fn`"),
            ("async fn a() -> Response { x }", "takes `request"),
            ("async fn a(r: Request<'_>) -> Response { x }", "the request comes by `&`"),
            ("async fn a(r: &Request<'_>, s: State) -> Response { x }", "comes by `&`"),
            ("async fn a(r: &Request<'_>, s: &mut State) -> Response { x }", "comes by `&`"),
            ("async fn a<T>(r: &Request<'_>) -> Response { x }", "no type parameters"),
            ("async fn a(r: &Request<'_>) { x }", "returns a `Response`"),
        ] {
            let text = expanded(item);
            assert!(text.contains(message), "{item}: {text}");
            assert!(text.contains("fn a"), "{item}: {text}");
            assert!(text.contains("enum a"), "{item}: {text}");
            assert!(!text.contains("impl"), "{item}: {text}");
        }
        assert!(expanded("struct A;").contains("struct A"));
    }
}
