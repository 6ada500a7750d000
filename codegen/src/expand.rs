//! Plan → Rust tokens: the one function behind both doors.
//!
//! The tokens hold no place of the `.unik` file, so that a comment added there doesn't
//! make another image; [`format`](mod@crate::format) adds places as comments, for people.

use std::collections::BTreeMap;
use std::path::PathBuf;

use petgraph::graph::NodeIndex;
use proc_macro2::{Delimiter, Ident, Literal, Span, TokenStream, TokenTree};
use quote::quote;
use sha2::{Digest, Sha256};
use unik_catalogue::host::Baked;
use unik_catalogue::schema::{Argument, Transport};
use unik_catalogue::value::Bound;
use unik_catalogue::{Kind, Target, Type, Value, rust_name, shape};
use unik_dsl::plan::{EdgeKind, Node, Plan};

use crate::boot;
use crate::host::BakedSet;
use crate::manifest::From;
use crate::note;
use crate::settings::{DRAIN, Settings};

/// The watchdog's limit, in seconds, if nothing sets it: `watchdog::LIMIT` of the runtime.
const WATCHDOG: u32 = 10;

/// The generated Rust of one appliance, on one target.
#[derive(Clone, Debug)]
pub struct Expansion {
    /// `mod unik_appliance { … }`: the wiring.
    pub module: TokenStream,
    /// What makes the wiring the entry point: stands at the root of the crate.
    pub entry: TokenStream,
    /// Files that `module` includes, relative to the source file that holds it.
    pub blobs: BTreeMap<PathBuf, Vec<u8>>,
    /// The hash of the plan: of the wiring, the files in it, and the crates and features.
    pub hash: [u8; 32],
}

impl Expansion {
    /// Everything, as it stands at the root of a crate.
    #[must_use]
    pub fn tokens(&self) -> TokenStream {
        let (module, entry) = (&self.module, &self.entry);
        quote!(#module #entry)
    }
}

/// Why a plan makes no Rust: something that a component's table or its host half says
/// doesn't fit together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{instance}`: {message}")]
pub struct ExpandError {
    /// The instance.
    pub instance: String,
    /// What doesn't.
    pub message: String,
}

/// Writes the wiring of `plan`.
///
/// # Errors
/// [`ExpandError`], when a Rust path of the catalogue, or what a host half baked, is no Rust.
pub fn expand(plan: &Plan, baked: &BakedSet) -> Result<Expansion, ExpandError> {
    let mut blobs = BTreeMap::new();
    let mut uses = uses(plan);
    // No mapping is made after the last device has started.
    let is_device = |&index: &NodeIndex| plan.graph[index].component.kind == Kind::Device;
    let seal_at = plan.order.iter().rposition(is_device).map_or(0, |last| last + 1);
    let mut steps = TokenStream::new();
    for (at, (index, node)) in plan.instances().enumerate() {
        if at == seal_at {
            steps.extend(quote!(::unik::platform::seal();));
        }
        steps.extend(start(plan, index, node, baked.instances.get(&node.id), &mut uses, &mut blobs)?);
    }
    if plan.order.len() == seal_at {
        steps.extend(quote!(::unik::platform::seal();));
    }
    let arguments = (plan.target == Target::Process).then(|| arguments(plan));
    let boot =
        boot::read(plan).map_err(|message| ExpandError { instance: plan.appliance.clone(), message })?;
    let log = log_level(plan)
        .map(|level| Ident::new(&rust_name::type_name(level), Span::call_site()))
        .map(|level| quote!(::unik::logging::start(::unik::log::LevelFilter::#level);));
    // Ring 3 may set it until the seal only.
    let watchdog = (plan.target == Target::Machine)
        .then(|| watchdog(plan))
        .flatten()
        .map(|seconds| quote!(::unik::platform::machine::set_watchdog(#seconds);));
    let settings = Settings::of(plan);
    let drain = u32::try_from(settings.drain.as_millis()).unwrap_or(u32::MAX);
    let drain = (settings.drain != DRAIN).then(|| quote!(::unik::shutdown::set_drain(#drain);));
    let listen = (plan.target == Target::Machine && settings.drains(plan).is_some())
        .then(|| quote!(::unik::platform::machine::listen_for_end();));
    let doc = format!(" The appliance `{}`, for the target `{}`.", plan.appliance, plan.target.word());
    let wire = quote! {
        /// Starts every instance, providers first.
        pub(super) async fn wire() -> Result<(), StartError> {
            #arguments
            #boot
            #log
            #watchdog
            #drain
            #steps
            #listen
            ::unik::platform::ready();
            Ok(())
        }
    };
    let hash = hash(plan, &settings, baked, &wire, &blobs);
    let notes = (plan.target == Target::Machine).then(|| note::tokens(plan, hash));
    let module = quote! {
        #[doc = #doc]
        mod unik_appliance {
            extern crate alloc;
            use ::unik::start::{Context, StartError};
            #wire
            #notes
        }
    };
    Ok(Expansion { module, entry: quote!(::unik::entry!(unik_appliance::wire);), blobs, hash })
}

/// The statement that refuses a command line with words that no instance reads.
fn arguments(plan: &Plan) -> TokenStream {
    let known = plan.instances().flat_map(|(_, node)| {
        node.component.arguments.iter().map(|argument| {
            let (instance, Argument { name, usage, doc }) = (&node.id, argument);
            quote!(::unik::platform::process::Argument { instance: #instance, name: #name, usage: #usage, doc: #doc })
        })
    });
    match boot::table(plan) {
        None => quote!(::unik::platform::process::check_arguments(&[#(#known),*]);),
        Some(parameters) => {
            quote!(::unik::platform::process::check_arguments_beside(&[#(#known),*], #parameters);)
        }
    }
}

/// How often the handle of each instance is an argument.
fn uses(plan: &Plan) -> BTreeMap<NodeIndex, usize> {
    let mut uses = BTreeMap::new();
    for argument in plan.order.iter().flat_map(|&node| plan.arguments(node)) {
        *uses.entry(argument).or_default() += 1;
    }
    uses
}

/// The statement that starts one instance.
fn start(
    plan: &Plan,
    index: NodeIndex,
    node: &Node,
    baked: Option<&Baked>,
    uses: &mut BTreeMap<NodeIndex, usize>,
    blobs: &mut BTreeMap<PathBuf, Vec<u8>>,
) -> Result<TokenStream, ExpandError> {
    let fail = |message: String| ExpandError { instance: node.id.clone(), message };
    let parse = |what: &str, text: &str| {
        text.parse::<TokenStream>().map_err(|error| fail(format!("{what} is no Rust: {error}")))
    };
    let component = &node.component;
    let path = component.start.as_deref().ok_or_else(|| fail("its component has no `start`".into()))?;
    let start = parse("`start`", &absolute(path))?;
    let root = absolute(crate_of(path));
    let options_type = parse("`start`", &format!("{root}::Options"))?;
    let options = parse("its options", &shape::value(component, &node.options, &root).map_err(fail)?)?;
    let name = &node.id;
    let (mut items, options) = if boot::is_late(&node.options) {
        let items = quote!(let options: &'static #options_type = alloc::boxed::Box::leak(alloc::boxed::Box::new(#options)););
        (items, quote!(options))
    } else {
        (quote!(static OPTIONS: #options_type = #options;), quote!(&OPTIONS))
    };
    let mut arguments = vec![quote!(&Context::new(#name)), options];
    if component.listeners {
        let listens = node.listens.iter().map(|listen| {
            let (port, service) = (listen.port, &listen.service);
            let protocol = match listen.protocol {
                Transport::Tcp => quote!(Tcp),
                Transport::Udp => quote!(Udp),
            };
            quote!(::unik::start::Listen { protocol: ::unik::start::Protocol::#protocol, port: #port, service: #service })
        });
        items.extend(quote!(static LISTENS: &[::unik::start::Listen] = &[#(#listens),*];));
        arguments.push(quote!(LISTENS));
    }
    if let Some(baked) = baked {
        let folder = PathBuf::from("blobs").join(rust_name::field(name));
        let place = |tokens| {
            with_blobs(tokens, &mut |blob| {
                baked.blobs.contains_key(blob).then(|| Literal::string(&folder.join(blob).to_string_lossy()))
            })
        };
        items.extend(place(parse("what its host half made", &baked.items)?));
        if !baked.value.trim().is_empty() {
            arguments.push(place(parse("what its host half made", &baked.value)?));
        }
        blobs.extend(baked.blobs.iter().map(|(blob, bytes)| (folder.join(blob), bytes.clone())));
    }
    for argument in slots(plan, index) {
        let Some(argument) = argument else {
            arguments.push(quote!(()));
            continue;
        };
        let handle = variable(&plan.graph[argument].id);
        let left = uses.entry(argument).or_default();
        *left = left.saturating_sub(1);
        // The last user gets the handle itself: a device's can't be cloned.
        arguments.push(if *left == 0 { quote!(#handle) } else { quote!(#handle.clone()) });
    }
    let binding = uses.get(&index).is_some_and(|&uses| uses > 0).then(|| {
        let handle = variable(name);
        quote!(let #handle =)
    });
    Ok(quote!(#binding { #items #start(#(#arguments),*).await? };))
}

/// The arguments of `start` that are handles; `None` for an option that may refer to an
/// instance and isn't written, so that `start` has one signature.
fn slots(plan: &Plan, index: NodeIndex) -> Vec<Option<NodeIndex>> {
    let node = &plan.graph[index];
    let wires =
        plan.graph.edges(index).filter(|edge| matches!(edge.weight().kind, EdgeKind::Wire(_))).count();
    let mut handles = plan.arguments(index).into_iter();
    let mut slots: Vec<_> = handles.by_ref().take(wires).map(Some).collect();
    for (key, option) in &node.component.options {
        match (node.options.get(key).map_or(&[][..], Vec::as_slice), option.forms.as_slice()) {
            ([], [form]) if !option.repeats => {
                let refers = |ty: &Type| matches!(ty, Type::Instance(_) | Type::InstancePath(_));
                slots.extend(
                    form.usage
                        .placeholders()
                        .iter()
                        .filter(|placeholder| refers(placeholder.1))
                        .map(|_| None),
                );
            }
            (entries, _) => {
                let references = entries.iter().flat_map(|entry| entry.values.values()).map(references).sum();
                slots.extend(handles.by_ref().take(references).map(Some));
            }
        }
    }
    slots.extend(handles.map(Some));
    slots
}

/// How many instances a value names.
fn references(bound: &Bound) -> usize {
    fn count(value: &Value) -> usize {
        match value {
            Value::Instance(_) | Value::InstancePath { .. } => 1,
            Value::List(values) => values.iter().map(count).sum(),
            _ => 0,
        }
    }
    match bound {
        Bound::One(value) => count(value),
        Bound::Many(values) => values.iter().map(count).sum(),
    }
}

/// The local variable that holds the handle of an instance.
fn variable(instance: &str) -> Ident {
    Ident::new(&rust_name::field(instance), Span::call_site())
}

/// The crate that a Rust path begins with.
pub(crate) fn crate_of(path: &str) -> &str {
    path.trim_start_matches("::").split("::").next().unwrap_or_default()
}

fn absolute(path: &str) -> String {
    format!("::{}", path.trim_start_matches("::"))
}

/// The level of the log, unless it is off.
pub(crate) fn log_level(plan: &Plan) -> Option<&str> {
    match plan.settings.get("log")?.first()?.value("level")? {
        unik_catalogue::Value::Word(level) if level != "off" => Some(level),
        _ => None,
    }
}

/// The limit of the watchdog, in seconds, unless it is what the runtime has by itself.
fn watchdog(plan: &Plan) -> Option<u32> {
    let time = match plan.settings.get("watchdog")?.first()?.value("time")? {
        Value::Duration(time) => *time,
        _ => return None,
    };
    let seconds = time.as_secs() + u64::from(time.subsec_nanos() > 0);
    u32::try_from(seconds).ok().filter(|seconds| *seconds != WATCHDOG)
}

/// Replaces the argument of each `include_bytes!("NAME")` for which `place` gives another.
fn with_blobs(tokens: TokenStream, place: &mut dyn FnMut(&str) -> Option<Literal>) -> TokenStream {
    replace_includes(tokens, &mut |name| {
        let literal = place(name)?;
        Some(quote!(include_bytes!(#literal)))
    })
}

/// Replaces each `include_bytes!("NAME")` for which `with` gives something.
pub(crate) fn replace_includes(
    tokens: TokenStream,
    with: &mut dyn FnMut(&str) -> Option<TokenStream>,
) -> TokenStream {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    let mut out = TokenStream::new();
    let mut at = 0;
    while at < tokens.len() {
        if let [TokenTree::Ident(name), TokenTree::Punct(bang), TokenTree::Group(group), ..] = &tokens[at..]
            && name == "include_bytes"
            && bang.as_char() == '!'
            && let Ok(file) = syn::parse2::<syn::LitStr>(group.stream())
            && let Some(other) = with(&file.value())
        {
            out.extend(other);
            at += 3;
            continue;
        }
        match &tokens[at] {
            TokenTree::Group(group) => {
                let mut new =
                    proc_macro2::Group::new(group.delimiter(), replace_includes(group.stream(), with));
                new.set_span(group.span());
                out.extend([TokenTree::Group(new)]);
            }
            other => out.extend([other.clone()]),
        }
        at += 1;
    }
    out
}

/// What makes this image this image: see [`Expansion::hash`].
fn hash(
    plan: &Plan,
    settings: &Settings,
    baked: &BakedSet,
    wire: &TokenStream,
    blobs: &BTreeMap<PathBuf, Vec<u8>>,
) -> [u8; 32] {
    let mut hash = Sha256::new();
    let mut add = |bytes: &[u8]| {
        hash.update((bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    };
    add(env!("CARGO_PKG_VERSION").as_bytes());
    add(plan.appliance.as_bytes());
    add(plan.target.word().as_bytes());
    add(format!("{:?}", settings).as_bytes());
    // Not by `to_string`: the compiler, which the macro door runs in, puts spaces elsewhere.
    add_tokens(wire.clone(), &mut add);
    for dependency in crate::manifest::dependencies(plan, baked) {
        add(dependency.package.as_bytes());
        add(format!("{:?} {:?}", dependency.alias, dependency.features).as_bytes());
        match dependency.from {
            // Where it lies isn't what it is.
            From::Path(_) => add(b"path"),
            from => add(format!("{from:?}").as_bytes()),
        }
    }
    // What the named crates depend on in turn.
    if let Some(lock) = &plan.lock {
        add(lock.text.as_bytes());
    }
    for (path, bytes) in blobs {
        add(path.to_string_lossy().as_bytes());
        add(bytes);
    }
    hash.finalize().into()
}

/// Each token by itself, whoever made the stream.
fn add_tokens(tokens: TokenStream, add: &mut impl FnMut(&[u8])) {
    for token in tokens {
        match token {
            TokenTree::Group(group) => {
                let (open, close): (&[u8], &[u8]) = match group.delimiter() {
                    Delimiter::Parenthesis => (b"(", b")"),
                    Delimiter::Brace => (b"{", b"}"),
                    Delimiter::Bracket => (b"[", b"]"),
                    // Invisible, and not always there.
                    Delimiter::None => (b"", b""),
                };
                add(open);
                add_tokens(group.stream(), add);
                add(close);
            }
            TokenTree::Ident(ident) => add(ident.to_string().as_bytes()),
            TokenTree::Punct(punct) => add(punct.as_char().to_string().as_bytes()),
            TokenTree::Literal(literal) => add(literal.to_string().as_bytes()),
        }
    }
}
