//! `#[unik::service]`: the typed options, and a `start` that fits the component's table.
//!
//! Three steps: read the table, compare the signature with it in plain words, and let the
//! compiler compare what only it can: a function that is generic over exactly what the table
//! promises calls `start`, at the places of the user's own types.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens, quote, quote_spanned};
use syn::punctuated::Punctuated;
use syn::spanned::Spanned;
use syn::{
    FnArg, GenericParam, ItemFn, Pat, PatType, ReturnType, Token, Type, TypeParamBound, Visibility,
    WherePredicate,
};
use unik_catalogue::{Component, Kind, OptionSpec, Type as ValueType};

use crate::options;

/// The interfaces of the runtime, `unik::interface`: what bounds are compared by name.
const INTERFACES: &[&str] =
    &["Blocks", "Clock", "Console", "Entropy", "Files", "Frames", "KeyValue", "Resolver", "Tcp", "Udp"];

/// The function as it is, with the options and the comparison; with errors, the function and
/// the options as far as they go.
pub fn expand(attribute: TokenStream, item: TokenStream) -> TokenStream {
    let (component, options) = options::declare_or_error();
    let function: ItemFn = match syn::parse2(item.clone()) {
        Ok(function) => function,
        Err(_) => {
            let message = "`#[unik::service]` stands on the `async fn` that starts an instance";
            let error = syn::Error::new(first_of(&item), message).to_compile_error();
            return quote!(#options #item #error);
        }
    };
    let mut errors = Vec::new();
    if !attribute.is_empty() {
        let message = "`#[unik::service]` takes no argument: what there is to say stands in Cargo.toml";
        errors.push(syn::Error::new(attribute.span(), message));
    }
    let proof = component.map(|component| check(&component, &function, &mut errors));
    let proof = proof.filter(|_| errors.is_empty());
    let errors: TokenStream = errors.iter().map(syn::Error::to_compile_error).collect();
    quote!(#options #function #proof #errors)
}

fn first_of(item: &TokenStream) -> Span {
    item.clone().into_iter().next().map_or_else(Span::call_site, |token| token.span())
}

/// A handle that `start` is given.
#[derive(Clone, Debug)]
struct Handle {
    /// What a parameter for it would be called.
    name: String,
    /// For people: ``the wire `net` (`Tcp`)``.
    what: String,
    /// What it can be asked for; empty where that is not for the table to say.
    interfaces: Vec<String>,
    /// Whether it is `()` where the file doesn't write the option.
    optional: bool,
}

impl Handle {
    /// `Tcp + Udp`.
    fn bounds(&self) -> String {
        self.interfaces.join(" + ")
    }

    /// How a parameter for it is written.
    fn parameter(&self) -> String {
        format!("{}: impl {}", self.name, self.bounds())
    }
}

/// What the table says that `start` is given after the options.
struct Table {
    listeners: bool,
    /// There is a host half, which may bake something.
    host: bool,
    handles: Vec<Handle>,
    /// How many handles there are depends on the file: references of options that repeat, or have
    /// several forms.
    varies: bool,
}

impl Table {
    fn of(component: &Component) -> Table {
        let field = unik_catalogue::rust_name::field;
        let mut handles: Vec<Handle> = component
            .wires
            .iter()
            .map(|wire| Handle {
                name: field(&wire.name),
                what: format!("the wire `{}` (`{}`)", wire.name, wire.interfaces.join(" + ")),
                interfaces: wire.interfaces.clone(),
                optional: false,
            })
            .collect();
        let mut varies = false;
        for (key, option) in &component.options {
            varies |= references(key, option, &mut handles);
        }
        handles.extend(component.needs.iter().map(|need| Handle {
            name: field(&need.interface.to_lowercase()),
            what: format!("the needed `{}`", need.interface),
            interfaces: vec![need.interface.clone()],
            optional: false,
        }));
        Table { listeners: component.listeners, host: component.host.is_some(), handles, varies }
    }
}

/// Adds the handles of what an option refers to; gives back whether their number varies.
fn references(key: &str, option: &OptionSpec, handles: &mut Vec<Handle>) -> bool {
    let of = |ty: &ValueType| match ty {
        ValueType::Instance(interface) | ValueType::InstancePath(interface) => Some(interface.clone()),
        _ => None,
    };
    let refers = |ty: &ValueType| match ty {
        ValueType::List(inner) => of(inner).is_some(),
        ty => of(ty).is_some(),
    };
    let [form] = option.forms.as_slice() else {
        return option.forms.iter().any(|form| form.usage.placeholders().iter().any(|it| refers(it.1)));
    };
    let mut varies = false;
    for (name, ty, repeats, may_be_missing) in form.usage.placeholders() {
        match of(ty) {
            Some(interface) if !option.repeats && !repeats && !may_be_missing => handles.push(Handle {
                name: unik_catalogue::rust_name::field(name),
                what: format!("what the option `{key}` refers to (`{interface}`)"),
                interfaces: vec![interface],
                optional: !option.required && option.default.is_none(),
            }),
            _ => varies |= refers(ty),
        }
    }
    varies
}

/// Compares, and gives the items by which the compiler goes on comparing.
fn check(component: &Component, function: &ItemFn, errors: &mut Vec<syn::Error>) -> TokenStream {
    let signature = &function.sig;
    let mut fail = |at: &dyn ToTokens, message: String| errors.push(syn::Error::new_spanned(at, message));
    if component.kind != Kind::Service {
        let kind = component.kind.word();
        fail(
            &signature.ident,
            format!(
                "Cargo.toml says kind = \"{kind}\": `#[unik::service]` is for services; a {kind} has `unik::options!()` and a plain `start`"
            ),
        );
    }
    let path = component.start.as_deref().unwrap_or_default();
    let named = path.rsplit("::").next().unwrap_or_default();
    if signature.ident != named {
        fail(
            &signature.ident,
            format!("Cargo.toml says start = \"{path}\": this function would have to be called `{named}`"),
        );
    }
    if !matches!(function.vis, Visibility::Public(_)) {
        fail(&signature.ident, format!("`{named}` is called by the appliance, so it must be `pub`"));
    }
    if signature.asyncness.is_none() {
        fail(&signature.fn_token, format!("`{named}` is an `async fn`"));
    }
    let gives = if component.provides.is_empty() { "()" } else { "Handle" };
    if !returns_result(&signature.output) {
        let at: &dyn ToTokens = match &signature.output {
            ReturnType::Default => &signature.ident,
            ReturnType::Type(_, ty) => ty,
        };
        fail(at, format!("`{named}` returns `Result<{gives}, StartError>`"));
    }
    let mut parameters = Vec::new();
    for input in &signature.inputs {
        match input {
            FnArg::Typed(parameter) => parameters.push(parameter),
            FnArg::Receiver(receiver) => {
                fail(receiver, format!("`{named}` is a function, not a method"));
                return TokenStream::new();
            }
        }
    }
    let table = Table::of(component);
    let Some(handles) = check_parameters(&table, function, &parameters, &mut fail) else {
        return TokenStream::new();
    };
    prove(component, &table, function, &handles)
}

/// Whether the type looks as `Result<…>` does; an alias of another name is for the compiler.
fn returns_result(output: &ReturnType) -> bool {
    match output {
        ReturnType::Default => false,
        ReturnType::Type(_, ty) => match &**ty {
            Type::Path(path) => {
                path.path.segments.last().is_some_and(|segment| segment.ident.to_string().ends_with("Result"))
            }
            _ => false,
        },
    }
}

/// Compares the parameters with the table; gives those of the handles, where each has its own.
fn check_parameters<'f>(
    table: &Table,
    function: &'f ItemFn,
    parameters: &[&'f PatType],
    fail: &mut dyn FnMut(&dyn ToTokens, String),
) -> Option<Vec<&'f PatType>> {
    let signature = &function.sig;
    let named = &signature.ident;
    let mut rest = parameters.iter().copied();
    let first: [(&str, &str, bool); 3] = [
        ("cx: &Context", "Context", true),
        ("options: &'static Options", "Options", true),
        ("listens: &'static [Listen]", "Listen", table.listeners),
    ];
    for (written, name, _) in first.into_iter().filter(|it| it.2) {
        match rest.next() {
            Some(parameter) if refers_to(&parameter.ty, name) => {}
            Some(parameter) => {
                fail(&parameter.ty, format!("here `{named}` takes `{written}`"));
                return None;
            }
            None => {
                fail(named, format!("`{named}` lacks the parameter `{written}`"));
                return None;
            }
        }
    }
    let mut rest: Vec<&PatType> = rest.collect();
    if table.host && (table.varies || rest.len() > table.handles.len()) {
        // What the host half bakes has whatever type it has.
        rest.splice(..rest.len().min(1), []);
    }
    if table.varies {
        return None;
    }
    let mut good = true;
    for (at, handle) in table.handles.iter().enumerate() {
        let Some(parameter) = rest.get(at) else {
            let message =
                format!("`{named}` lacks a parameter for {}: `{}`", handle.what, handle.parameter());
            fail(named, message);
            good = false;
            continue;
        };
        if let Err(message) = check_handle(table, handle, function, parameter) {
            fail(&parameter.ty, message);
            good = false;
        }
    }
    for parameter in rest.iter().skip(table.handles.len()) {
        let asked = asked_for(function, &parameter.ty).unwrap_or_default();
        let help = asked.first().map_or_else(String::new, |asked| {
            format!(
                ": `[[package.metadata.unik.wires]]` is for what stands after `on`, \
                 `[[package.metadata.unik.needs]]` with interface = \"{asked}\" for what the appliance finds by itself"
            )
        });
        let name = name_of(parameter);
        fail(parameter, format!("nothing in Cargo.toml is for the parameter `{name}`{help}"));
        good = false;
    }
    good.then_some(rest)
}

/// Whether the type is `&Name` or `&[Name]`.
fn refers_to(ty: &Type, name: &str) -> bool {
    let Type::Reference(reference) = ty else { return false };
    let inner = match &*reference.elem {
        Type::Slice(slice) => &*slice.elem,
        inner => inner,
    };
    reference.mutability.is_none()
        && matches!(inner, Type::Path(path) if path.path.segments.last().is_some_and(|last| last.ident == name))
}

fn name_of(parameter: &PatType) -> String {
    match &*parameter.pat {
        Pat::Ident(pattern) => pattern.ident.to_string(),
        _ => "_".into(),
    }
}

/// What is wrong with the parameter that stands where `handle` comes.
fn check_handle(
    table: &Table,
    handle: &Handle,
    function: &ItemFn,
    parameter: &PatType,
) -> Result<(), String> {
    let Some(asked) = asked_for(function, &parameter.ty) else {
        if handle.optional {
            return Ok(());
        }
        return Err(format!(
            "this is the place of {}, whose type is the appliance's: `{}`",
            handle.what,
            handle.parameter()
        ));
    };
    let Some(wrong) = asked.iter().find(|asked| !handle.interfaces.contains(asked)) else { return Ok(()) };
    let meant = table.handles.iter().any(|other| {
        let fits = asked.iter().all(|asked| other.interfaces.contains(asked));
        other.name != handle.name && fits
    });
    Err(if meant {
        format!(
            "this is the place of {}; after the options come, in the order of Cargo.toml: {}",
            handle.what,
            in_order(table),
        )
    } else {
        format!(
            "{} isn't known to give `{wrong}`: ask for less, or let Cargo.toml name `{wrong}` there",
            handle.what
        )
    })
}

/// `net, clock`.
fn in_order(table: &Table) -> String {
    let names: Vec<&str> = table.handles.iter().map(|handle| handle.name.as_str()).collect();
    names.join(", ")
}

/// The interfaces that a parameter of this type is asked for: those of `impl …`, or of a type
/// parameter. `None` where the type is a certain one.
fn asked_for(function: &ItemFn, ty: &Type) -> Option<Vec<String>> {
    let mut found = Vec::new();
    match ty {
        Type::ImplTrait(it) => collect(&it.bounds, &mut found),
        Type::Path(path) if path.qself.is_none() => {
            let name = path.path.get_ident()?;
            let generics = &function.sig.generics;
            let parameter = generics.params.iter().find_map(|parameter| match parameter {
                GenericParam::Type(parameter) if parameter.ident == *name => Some(parameter),
                _ => None,
            })?;
            collect(&parameter.bounds, &mut found);
            for predicate in generics.where_clause.iter().flat_map(|clause| &clause.predicates) {
                if let WherePredicate::Type(predicate) = predicate
                    && matches!(&predicate.bounded_ty, Type::Path(path) if path.path.is_ident(name))
                {
                    collect(&predicate.bounds, &mut found);
                }
            }
        }
        _ => return None,
    }
    Some(found)
}

/// The interfaces of the runtime among the bounds; others are for the compiler.
fn collect(bounds: &Punctuated<TypeParamBound, Token![+]>, found: &mut Vec<String>) {
    for bound in bounds {
        if let TypeParamBound::Trait(bound) = bound
            && let Some(last) = bound.path.segments.last()
            && INTERFACES.iter().any(|name| last.ident == name)
        {
            found.push(last.ident.to_string());
        }
    }
}

/// A function, never called, that calls `start` with exactly what the table promises.
fn prove(component: &Component, table: &Table, function: &ItemFn, handles: &[&PatType]) -> TokenStream {
    let known = |interface: &String| INTERFACES.contains(&interface.as_str());
    let all_known = table.handles.iter().flat_map(|handle| &handle.interfaces).all(known)
        && component.provides.iter().all(known);
    // What is baked, and what may be `()`, has a type of the component's own.
    if !all_known || table.host || table.handles.iter().any(|handle| handle.optional) {
        return TokenStream::new();
    }
    let start = &function.sig.ident;
    let spans: Vec<Span> = handles.iter().map(|parameter| resolved(parameter.ty.span())).collect();
    let values: Vec<Ident> =
        spans.iter().enumerate().map(|(at, span)| Ident::new(&format!("handle_{at}"), *span)).collect();
    let types = table.handles.iter().map(|handle| {
        let names = handle.interfaces.iter().map(|name| Ident::new(name, Span::call_site()));
        quote!(impl #(::unik::interface::#names +)* 'static)
    });
    let listens = table.listeners.then(|| quote!(&[],));
    let output = match &function.sig.output {
        ReturnType::Type(_, ty) => resolved(ty.span()),
        ReturnType::Default => start.span(),
    };
    // What is wrong with a handle shows at its own type, or the first one's; what is wrong with the
    // result at the type of that.
    let first = spans.first().copied().unwrap_or(output);
    let call = quote_spanned!(first=> #start(cx, options, #listens #(#values),*).await);
    let provided = component.provides.iter().map(|name| Ident::new(name, Span::call_site()));
    let started = Ident::new("started", output);
    let returns = if component.provides.is_empty() {
        quote_spanned!(output=> returns(#started))
    } else {
        quote_spanned!(output=> returns(#started.map(|handle| provides(&handle))))
    };
    quote! {
        const _: () = {
            #[allow(dead_code)]
            fn returns(started: ::core::result::Result<(), ::unik::start::StartError>) {
                let _ = started;
            }
            #[allow(dead_code)]
            fn provides<T: ::core::clone::Clone #(+ ::unik::interface::#provided)* + 'static>(_: &T) {}
            #[allow(dead_code)]
            async fn fits(cx: &::unik::start::Context, options: &'static crate::Options, #(#values: #types),*) {
                let #started = #call;
                #returns
            }
        };
    }
}

/// The place of `span`, where the names of the macro mean what they do there.
fn resolved(span: Span) -> Span {
    span.resolved_at(Span::call_site())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = r#"
        [package]
        name = "post"
        [package.metadata.unik]
        name = "post"
        kind = "service"
        summary = "Carries letters"
        start = "post::start"
        [[package.metadata.unik.wires]]
        name = "net"
        interfaces = ["Tcp", "Udp"]
        doc = "the network"
        [[package.metadata.unik.needs]]
        interface = "Clock"
        reason = "for dates"
        [package.metadata.unik.options.letters]
        doc = "Where letters are"
        usage = "from <store: instance Files>"
        required = true
    "#;

    fn said(table: &str, function: &str) -> Vec<String> {
        let component = Component::from_manifest(table, std::path::Path::new("Cargo.toml")).unwrap();
        let function: ItemFn = syn::parse_str(function).unwrap();
        let mut errors = Vec::new();
        let proof = check(&component, &function, &mut errors).to_string();
        assert!(!errors.is_empty() || !proof.is_empty());
        errors.iter().map(ToString::to_string).collect()
    }

    fn with(parameters: &str) -> Vec<String> {
        let function = format!(
            "pub async fn start<N: Tcp>(cx: &Context, options: &'static Options, {parameters}) -> Result<(), StartError> where N: Udp {{}}"
        );
        said(TABLE, &function)
    }

    #[test]
    fn what_fits_is_left_to_the_compiler() {
        for fitting in [
            "net: impl Tcp + Udp, store: impl Files, clock: impl Clock",
            "net: N, _: impl unik::interface::Files + Clone, clock: impl Clock",
            "mut net: impl Tcp, store: impl MyOwn, clock: impl Clock",
        ] {
            assert_eq!(with(fitting), Vec::<String>::new(), "{fitting}");
        }
    }

    #[test]
    fn parameters_that_do_not_fit_are_named() {
        let said_of = |parameters: &str, parts: &[&str]| {
            let said = with(parameters).join("\n");
            assert!(!said.is_empty(), "{parameters}: nothing");
            for part in parts {
                assert!(said.contains(part), "{parameters}: {said}");
            }
        };
        said_of(
            "net: impl Tcp, store: impl Files",
            &["lacks a parameter for the needed `Clock`: `clock: impl Clock`"],
        );
        said_of(
            "store: impl Files, net: impl Tcp, clock: impl Clock",
            &["this is the place of the wire `net` (`Tcp + Udp`)", "net, store, clock"],
        );
        said_of(
            "net: impl Tcp + Resolver, store: impl Files, clock: impl Clock",
            &["isn't known to give `Resolver`"],
        );
        said_of(
            "net: HostIp, store: impl Files, clock: impl Clock",
            &["whose type is the appliance's: `net: impl Tcp + Udp`"],
        );
        said_of(
            "net: impl Tcp, store: impl Files, clock: impl Clock, console: impl Console",
            &["nothing in Cargo.toml is for the parameter `console`", "interface = \"Console\""],
        );
    }

    #[test]
    fn the_function_itself() {
        let rest = "net: impl Tcp, store: impl Files, clock: impl Clock";
        let whole = format!("(cx: &Context, options: &'static Options, {rest})");
        for (function, part) in [
            (format!("pub fn start{whole} -> Result<(), StartError> {{}}"), "is an `async fn`"),
            (format!("async fn start{whole} -> Result<(), StartError> {{}}"), "must be `pub`"),
            (
                format!("pub async fn run{whole} -> Result<(), StartError> {{}}"),
                "would have to be called `start`",
            ),
            (format!("pub async fn start{whole} {{}}"), "returns `Result<(), StartError>`"),
            (
                format!(
                    "pub async fn start(options: &'static Options, {rest}) -> Result<(), StartError> {{}}"
                ),
                "here `start` takes `cx: &Context`",
            ),
            (
                "pub async fn start(cx: &Context) -> Result<(), StartError> {}".into(),
                "lacks the parameter `options: &'static Options`",
            ),
            ("pub async fn start(&self) -> Result<(), StartError> {}".into(), "not a method"),
        ] {
            let said = said(TABLE, &function).join("\n");
            assert!(said.contains(part), "{function}: {said}");
        }
        let storage = TABLE.replace("\"service\"", "\"storage\"");
        let said =
            said(&storage, &format!("pub async fn start{whole} -> Result<(), StartError> {{}}")).join("\n");
        assert!(said.contains("kind = \"storage\""), "{said}");
    }

    /// What a host half bakes comes before the handles; an option that may refer has `()` too.
    #[test]
    fn what_the_table_leaves_open_stays_open() {
        let table = TABLE
            .replace("required = true", "")
            .replace("start = \"post::start\"", "start = \"post::start\"\nhost = \"post_host::Post\"");
        let component = Component::from_manifest(&table, std::path::Path::new("Cargo.toml")).unwrap();
        for function in [
            "pub async fn start(cx: &Context, o: &'static Options, baked: &'static [u8], net: impl Tcp, store: (), clock: impl Clock) -> Result<(), StartError> {}",
            "pub async fn start(cx: &Context, o: &'static Options, net: impl Tcp, store: impl Kept, clock: impl Clock) -> Result<(), StartError> {}",
        ] {
            let mut errors = Vec::new();
            check(&component, &syn::parse_str(function).unwrap(), &mut errors);
            assert!(errors.is_empty(), "{function}: {errors:?}");
        }
    }

    #[test]
    fn the_interfaces_are_those_of_the_runtime() {
        let source = include_str!("../../src/interface/mod.rs");
        let exported: Vec<&str> = source
            .lines()
            .filter_map(|line| line.strip_prefix("pub use "))
            .flat_map(|line| line.split([' ', ',', ':', ';', '{', '}']))
            .collect();
        for name in INTERFACES {
            assert!(exported.contains(name), "{name}");
        }
        let modules = source.lines().filter(|line| line.starts_with("mod ")).count();
        assert_eq!(modules, INTERFACES.len(), "an interface is missing here");
    }
}
