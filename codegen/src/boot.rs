//! Values at boot: the generated code that reads them, and what must hold of them then.
//!
//! Of each parameter there is a local variable of the wiring, which the typed options of the instances
//! that take it are made of. A constraint of the catalogue on a value that is known at boot only becomes
//! a check in the wiring, before anything is started.

use std::collections::BTreeSet;

use indexmap::IndexMap;
use proc_macro2::TokenStream;
use quote::quote;
use unik_catalogue::schema::Constraint;
use unik_catalogue::shape::boot_variable;
use unik_catalogue::value::Entry;
use unik_catalogue::{Bound, OptionSpec, Options, Type, Value};
use unik_dsl::plan::{BootParameter, Plan};

/// The statements that read the parameters `at boot` of `plan`, and check them; nothing where there are
/// none.
///
/// # Errors
/// When a value makes no Rust: a bug.
pub fn read(plan: &Plan) -> Result<TokenStream, String> {
    if plan.boot.is_empty() {
        return Ok(TokenStream::new());
    }
    let mut text = String::from("const BOOT: &[::unik::boot::Parameter] = &[");
    for BootParameter { name, ty, secret, .. } in &plan.boot {
        let wanted = if *secret { "text".to_string() } else { in_words(ty) };
        text +=
            &format!("::unik::boot::Parameter {{ name: {name:?}, wanted: {wanted:?}, secret: {secret} }}, ");
    }
    text += "]; let boot = ::unik::boot::read(BOOT)?; ";
    for (at, parameter) in plan.boot.iter().enumerate() {
        let parse = parse(&parameter.ty);
        if !parameter.used {
            text += &format!("boot.check(&BOOT[{at}], {parse})?; ");
            continue;
        }
        let default = match &parameter.default {
            Some(default) => format!("Some({})", literal(default)?),
            None => "None".into(),
        };
        let variable = boot_variable(&parameter.name);
        text += &format!("let {variable} = boot.value(&BOOT[{at}], {default}, {parse})?; ");
    }
    let mut checks = Checks { plan, done: BTreeSet::new(), text };
    for (_, node) in plan.instances() {
        checks.options(&node.component.options, &node.options)?;
    }
    checks.apart()?;
    checks.text.parse().map_err(|error| format!("values at boot: {error}"))
}

/// Whether an instance with these options can't be a constant.
pub fn is_late(options: &Options) -> bool {
    options.values().flatten().any(unik_catalogue::shape::is_at_boot)
}

/// A type as whoever writes a boot line knows it.
fn in_words(ty: &Type) -> String {
    match ty {
        Type::String => "text".into(),
        Type::List(element) => format!("values with commas between them, each {element}"),
        ty => ty.to_string(),
    }
}

/// The function that makes a value of this type of a text.
fn parse(ty: &Type) -> String {
    let function = |name: &str| format!("::unik::boot::{name}");
    let ranged =
        |name: &str, min: &u64, max: &u64| format!("|text| ::unik::boot::{name}(text, {min}, {max})");
    match ty {
        Type::Bool => function("boolean"),
        Type::Integer { min, max } => ranged("integer", min, max),
        Type::Size { min, max } => ranged("size", min, max),
        Type::Duration { min, max } => ranged("duration", min, max),
        Type::Name => function("name"),
        Type::Rate => function("rate"),
        Type::Ipv4 => function("address::<::core::net::Ipv4Addr>"),
        Type::Ipv6 => function("address::<::core::net::Ipv6Addr>"),
        Type::Ip => function("address::<::core::net::IpAddr>"),
        Type::Cidr4 => function("cidr4"),
        Type::Cidr6 => function("cidr6"),
        Type::Mac => function("mac"),
        Type::Port => function("port"),
        Type::Endpoint => function("endpoint"),
        Type::OneOf(words) => format!("|text| ::unik::boot::word(text, &{words:?})"),
        Type::List(element) => format!("|text| ::unik::boot::list(text, {})", parse(element)),
        // The checker lets no others be at boot.
        _ => "Some".into(),
    }
}

/// The Rust of a value, as the variable of its parameter has it.
fn literal(value: &Value) -> Result<String, String> {
    match value {
        Value::Word(word) => Ok(format!("{word:?}")),
        Value::List(values) => {
            let values = values.iter().map(literal).collect::<Result<Vec<_>, _>>()?;
            Ok(format!("&[{}][..]", values.join(", ")))
        }
        value => unik_catalogue::shape::constant(value),
    }
}

struct Checks<'p> {
    plan: &'p Plan,
    done: BTreeSet<String>,
    text: String,
}

impl Checks<'_> {
    fn options(&mut self, specs: &IndexMap<String, OptionSpec>, options: &Options) -> Result<(), String> {
        for (key, entries) in options {
            let Some(spec) = specs.get(key) else { continue };
            for entry in entries {
                let constraints = spec.forms.get(entry.form).map_or(&[][..], |form| &form.constraints);
                for constraint in constraints {
                    self.constraint(constraint, entry, options)?;
                }
                self.options(&spec.options, &entry.nested)?;
            }
        }
        Ok(())
    }

    /// Networks that must have no address in common, of all instances.
    fn apart(&mut self) -> Result<(), String> {
        let mut found: Vec<&Value> = Vec::new();
        let plan = self.plan;
        for (_, node) in plan.instances() {
            for (key, entries) in &node.options {
                let Some(spec) = node.component.options.get(key) else { continue };
                for entry in entries {
                    let constraints = spec.forms.get(entry.form).map_or(&[][..], |form| &form.constraints);
                    found.extend(constraints.iter().flat_map(|constraint| match constraint {
                        Constraint::Apart(name) => entry.values.get(name).map_or(&[][..], Bound::all),
                        _ => &[],
                    }));
                }
            }
        }
        for (at, second) in found.iter().enumerate() {
            for first in &found[..at] {
                if let (Some((one, length)), Some((other, prefix))) = (network(first)?, network(second)?) {
                    let good = format!("::unik::boot::are_apart({one}, {length}, {other}, {prefix})");
                    self.check(&[second, first], &good, "has addresses that another network has, too")?;
                }
            }
        }
        Ok(())
    }

    /// Those that look at more than addresses and names are about what is written, and are checked at
    /// build; or the component's table was refused for them.
    fn constraint(
        &mut self,
        constraint: &Constraint,
        entry: &Entry,
        options: &Options,
    ) -> Result<(), String> {
        let values = |name: &String| entry.values.get(name).map_or(&[][..], Bound::all);
        match constraint {
            Constraint::Host(name) => values(name).iter().try_for_each(|value| {
                let Some((address, prefix)) = network(value)? else { return Ok(()) };
                let good = format!("::unik::boot::is_host({address}, {prefix})");
                self.check(&[value], &good, "is its network's own or broadcast address, not a host's")
            }),
            Constraint::Network(name) => values(name).iter().try_for_each(|value| {
                let Some((address, prefix)) = network(value)? else { return Ok(()) };
                let good = format!("::unik::boot::is_network({address}, {prefix})");
                self.check(&[value], &good, "is no network's address: a bit is set beyond its prefix")
            }),
            Constraint::Unicast(name) => values(name).iter().try_for_each(|value| {
                let good = match (kind(value), address(value)?) {
                    (Kind::Mac, _) => format!("::unik::boot::is_unicast_mac({})", expression(value)?),
                    (_, Some(address)) => format!("::unik::boot::is_unicast({address})"),
                    _ => return Ok(()),
                };
                self.check(&[value], &good, "is not the address of one host")
            }),
            Constraint::Hostname(name) => values(name).iter().try_for_each(|value| {
                let good = format!("::unik::boot::is_hostname({})", expression(value)?);
                self.check(&[value], &good, "is no name of a host")
            }),
            Constraint::PowerOfTwo(name) => values(name).iter().try_for_each(|value| {
                let good = format!("{}.is_power_of_two()", expression(value)?);
                self.check(&[value], &good, "is no power of two")
            }),
            Constraint::Differ(one, other) => {
                for first in values(one) {
                    for second in values(other) {
                        let good = match (address(first)?, address(second)?) {
                            (Some(first), Some(second)) => format!("{first} != {second}"),
                            (None, None) if kind(first) == kind(second) => {
                                format!("{} != {}", expression(first)?, expression(second)?)
                            }
                            _ => continue,
                        };
                        let why =
                            format!("is the same as the {}", if first.is_at_boot() { other } else { one });
                        self.check(&[first, second], &good, &why)?;
                    }
                }
                Ok(())
            }
            Constraint::Within { value, of, option, or_link_local } => {
                let others = match option {
                    None => std::slice::from_ref(entry),
                    Some(other) => options.get(other).map_or(&[][..], Vec::as_slice),
                };
                let networks: Vec<&Value> =
                    others.iter().filter_map(|other| other.values.get(of)).flat_map(Bound::all).collect();
                for inside in values(value) {
                    let Some(what) = address(inside)? else { continue };
                    let mut good = Vec::new();
                    if *or_link_local {
                        good.push(format!("::unik::boot::is_link_local({what})"));
                    }
                    for other in &networks {
                        if let Some((base, prefix)) = network(other)? {
                            good.push(format!("::unik::boot::is_within({what}, {base}, {prefix})"));
                        }
                    }
                    // Within its own entry's network; of other entries', one will do.
                    let (involved, why) = if inside.is_at_boot() {
                        (inside, format!("is no host's address in the network of the {of}"))
                    } else {
                        let Some(late) = networks.iter().find(|other| other.is_at_boot()) else { continue };
                        (*late, format!("is of a network that the {value} is no host of"))
                    };
                    if good.len() > usize::from(*or_link_local) {
                        self.check(&[involved], &good.join(" || "), &why)?;
                    }
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Refuses the first of `values` that is known at boot only, unless `good`.
    fn check(&mut self, values: &[&Value], good: &str, why: &str) -> Result<(), String> {
        let Some(parameter) = values.iter().find_map(|value| match value {
            Value::Boot(boot) => Some(&boot.parameter),
            _ => None,
        }) else {
            return Ok(());
        };
        let at = self.plan.boot.iter().position(|known| known.name == *parameter);
        let at = at.ok_or_else(|| format!("there is no parameter `{parameter}`"))?;
        let check = format!("boot.require({good}, &BOOT[{at}], {why:?})?; ");
        if self.done.insert(check.clone()) {
            self.text += &check;
        }
        Ok(())
    }
}

/// What kind of value an expression has.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Address,
    Network,
    Mac,
    Other,
}

fn kind(value: &Value) -> Kind {
    match value {
        Value::Ipv4(_) | Value::Ipv6(_) | Value::Ip(_) => Kind::Address,
        Value::Cidr4(..) | Value::Cidr6(..) => Kind::Network,
        Value::Mac(_) => Kind::Mac,
        Value::Boot(boot) => match boot.ty {
            Type::Ipv4 | Type::Ipv6 | Type::Ip => Kind::Address,
            Type::Cidr4 | Type::Cidr6 => Kind::Network,
            Type::Mac => Kind::Mac,
            _ => Kind::Other,
        },
        _ => Kind::Other,
    }
}

fn expression(value: &Value) -> Result<String, String> {
    match value {
        Value::Boot(boot) => Ok(boot_variable(&boot.parameter)),
        value => literal(value),
    }
}

/// An expression of type `IpAddr`.
fn address(value: &Value) -> Result<Option<String>, String> {
    let of = |part: &str| Ok(Some(format!("::core::net::IpAddr::from({}{part})", expression(value)?)));
    match kind(value) {
        Kind::Address => of(""),
        Kind::Network => of(".0"),
        _ => Ok(None),
    }
}

/// An expression of type `IpAddr`, and one of the prefix's length.
fn network(value: &Value) -> Result<Option<(String, String)>, String> {
    if kind(value) != Kind::Network {
        return Ok(None);
    }
    Ok(address(value)?.zip(Some(format!("{}.1", expression(value)?))))
}

/// The table of the parameters, for the command line of a process: `&[]` where there are none.
pub fn table(plan: &Plan) -> Option<TokenStream> {
    let known = plan.boot.iter().map(|parameter| {
        let (name, doc) = (&parameter.name, parameter.doc.lines().next().unwrap_or_default());
        let usage = parameter.ty.text();
        quote!(::unik::platform::process::Argument { instance: "unik", name: #name, usage: #usage, doc: #doc })
    });
    let known: Vec<TokenStream> = known.collect();
    (!known.is_empty()).then(|| quote!(&[#(#known),*]))
}
