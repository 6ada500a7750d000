//! The routes of an instance, and the `match` that they become.

use std::collections::{BTreeMap, BTreeSet};

use proc_macro2::{Literal, TokenStream};
use quote::{format_ident, quote};
use unik_catalogue::Entry;
use unik_catalogue::host::Finding;
use unik_catalogue::value::Place;

use crate::strings;

/// The routes of one instance.
#[derive(Clone, Debug, Default)]
pub struct Routes {
    /// By path, and there by method.
    patterns: BTreeMap<Pattern, Answers>,
    /// Rust paths, without repetition; routes have indices into it.
    handlers: Vec<String>,
}

/// Which paths a route answers. In the order in which they must be tried.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Pattern {
    /// This one.
    Exact(String),
    /// All that begin so; the longer beginning first.
    Below(std::cmp::Reverse<usize>, String),
}

/// Who answers under a pattern.
#[derive(Clone, Debug, Default)]
struct Answers {
    place: Option<Place>,
    /// For every method.
    any: Option<usize>,
    /// By the method's word.
    by_method: BTreeMap<String, usize>,
}

impl Routes {
    /// Reads the entries of the option `route`; tells what is wrong with them.
    pub fn read(entries: &[Entry], findings: &mut Vec<Finding>) -> Routes {
        let mut routes = Routes::default();
        for entry in entries {
            if let Err(finding) = routes.add(entry) {
                findings.push(finding);
            }
        }
        routes
    }

    fn add(&mut self, entry: &Entry) -> Result<(), Finding> {
        let fail = |message: String| Finding::error(entry.place, message);
        let (Some(path), Some(handler)) = (strings(entry, "path").pop(), strings(entry, "handler").pop())
        else {
            return Err(fail("a route has a path and a handler".into()));
        };
        let pattern = pattern(&path, entry.place)?;
        let handler = rust_path(&handler).ok_or_else(|| {
            fail(format!("`{handler}` is no Rust path"))
                .help("name a function of your crate: `count`, or `api::count`")
        })?;
        let next = self.handlers.len();
        let handler = self.handlers.iter().position(|known| *known == handler).unwrap_or_else(|| {
            self.handlers.push(handler);
            next
        });
        let answers = self.patterns.entry(pattern).or_default();
        answers.place = answers.place.or(entry.place);
        let methods = strings(entry, "method");
        let taken = match methods.as_slice() {
            [] if answers.any.is_none() && answers.by_method.is_empty() => {
                answers.any = Some(handler);
                None
            }
            [] => Some(format!("another route answers `{path}` already")),
            _ if answers.any.is_some() => Some(format!("another route answers `{path}`, with every method")),
            methods => methods
                .iter()
                .find(|method| answers.by_method.insert((*method).clone(), handler).is_some())
                .map(|method| format!("`{}` of `{path}` is answered twice", method.to_uppercase())),
        };
        match taken {
            None => Ok(()),
            Some(message) => Err(fail(message).help("give each its own `method`, or take one away")),
        }
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }

    /// The paths of routes that answer one path, and where they stand in the file.
    pub fn exact(&self) -> impl Iterator<Item = (&str, Option<Place>)> {
        self.patterns.iter().filter_map(|(pattern, answers)| match pattern {
            Pattern::Exact(path) => Some((path.as_str(), answers.place)),
            Pattern::Below(..) => None,
        })
    }

    /// The type `Routes` with its implementation; nothing when there are none.
    #[must_use]
    pub fn bake(&self) -> TokenStream {
        if self.is_empty() {
            return TokenStream::new();
        }
        let arms = self.patterns.iter().map(|(pattern, answers)| {
            let found = found(answers);
            match pattern {
                Pattern::Exact(path) => quote!(#path => #found,),
                Pattern::Below(_, start) => quote!(_ if path.starts_with(#start) => #found,),
            }
        });
        let handlers = self.handlers.iter().enumerate().map(|(at, path)| {
            let tokens = path.split("::").map(|word| format_ident!("{word}"));
            (format_ident!("state_{at}"), quote!(#(#tokens)::*), Literal::usize_unsuffixed(at))
        });
        let (mut states, mut types, mut numbers) = (Vec::new(), Vec::new(), Vec::new());
        for (state, ty, number) in handlers {
            states.push(state);
            types.push(ty);
            numbers.push(number);
        }
        quote! {
            struct Routes { #(#states: ::unik_http::Shared<#types>),* }
            impl ::unik_http::Routes for Routes {
                const ANY: bool = true;
                fn new() -> Self {
                    let mut states = ::unik_http::States::new();
                    Routes { #(#states: states.share()),* }
                }
                fn find(path: &str, method: ::unik_http::Method) -> ::unik_http::Found {
                    match path {
                        #(#arms)*
                        _ => ::unik_http::Found::Nothing,
                    }
                }
                async fn call(&self, route: u16, request: &::unik_http::Request<'_>) -> ::unik_http::Response {
                    match route {
                        #(#numbers => <#types as ::unik_http::Handler>::call(request, &self.#states).await,)*
                        _ => ::unik_http::Status::NOT_FOUND.into(),
                    }
                }
            }
        }
    }
}

/// The expression that chooses the handler by `method`.
fn found(answers: &Answers) -> TokenStream {
    let handler = |at: usize| {
        let at = Literal::usize_unsuffixed(at);
        quote!(::unik_http::Found::Handler(#at))
    };
    if let Some(any) = answers.any {
        return handler(any);
    }
    let mut by_handler: BTreeMap<usize, Vec<TokenStream>> = BTreeMap::new();
    let mut allowed = BTreeSet::new();
    for (word, &at) in &answers.by_method {
        let methods = by_handler.entry(at).or_default();
        let variant = |word: &str| format_ident!("{}{}", word[..1].to_uppercase(), &word[1..]);
        let method = variant(word);
        methods.push(quote!(::unik_http::Method::#method));
        allowed.insert(word.to_uppercase());
        if word == "get" {
            methods.push(quote!(::unik_http::Method::Head));
            allowed.insert("HEAD".into());
        }
    }
    allowed.insert("OPTIONS".into());
    let allowed = allowed.into_iter().collect::<Vec<_>>().join(", ");
    let arms = by_handler.iter().map(|(&at, methods)| {
        let handler = handler(at);
        quote!(#(#methods)|* => #handler,)
    });
    quote! {
        match method {
            #(#arms)*
            _ => ::unik_http::Found::Other(#allowed),
        }
    }
}

/// A route's path is compared with the decoded path of a request, so it is written decoded.
fn pattern(path: &str, place: Option<Place>) -> Result<Pattern, Finding> {
    let fail = |message: String, help: &str| Err(Finding::error(place, message).help(help));
    if !path.starts_with('/') {
        return fail(format!("the route `{path}` doesn't start with `/`"), &format!("write `\"/{path}\"`"));
    }
    let (start, is_below) = match path.strip_suffix("/*") {
        Some(start) => (format!("{start}/"), true),
        None => (path.to_string(), false),
    };
    if start.contains('*') {
        return fail(
            format!("the `*` of `{path}` is not at its end"),
            "`/api/*` stands for all below `/api/`",
        );
    }
    if let Some(wrong) = start.chars().find(|&c| c == '?' || c == '#' || c.is_control()) {
        return fail(
            format!("the path of a route has no {wrong:?}"),
            "a handler gets the query by `request.query()`",
        );
    }
    if start.contains('%') {
        return fail(
            format!("the route `{path}` is encoded"),
            "write the characters themselves: a space for `%20`",
        );
    }
    if start.split('/').any(|segment| segment == "." || segment == "..") {
        return fail(
            format!("no request asks for `{path}`"),
            "dot segments are taken away before routes are tried",
        );
    }
    let length = start.len();
    Ok(if is_below { Pattern::Below(std::cmp::Reverse(length), start) } else { Pattern::Exact(start) })
}

/// `count` → `crate::count`; `None` for what is no path of Rust names.
fn rust_path(written: &str) -> Option<String> {
    let path = written.strip_prefix("crate::").unwrap_or(written);
    let reserved = ["crate", "self", "Self", "super", "_", ""];
    let good = path.split("::").all(|word| {
        !reserved.contains(&word)
            && word.starts_with(|c: char| c.is_alphabetic() || c == '_')
            && word.chars().all(|c| c.is_alphanumeric() || c == '_')
            && unik_catalogue::rust_name::field(word) == word
    });
    good.then(|| format!("crate::{path}"))
}
