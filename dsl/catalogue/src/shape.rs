//! The one rule by which a component's options become Rust.
//!
//! `unik::options!()` declares the types with [`declare`]; the code generator fills them
//! in with [`value`]. Both walk the same [`Shape`], so that they can't disagree. The rule
//! itself stands in the book, "The four contracts".

use std::collections::BTreeSet;
use std::fmt::Write as _;

use indexmap::IndexMap;

use crate::rust_name;
use crate::schema::{Component, Form, OptionSpec};
use crate::value::{BootValue, Bound, Entry, Options, Type, Value};

/// A field of the typed options.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// The key or placeholder that it holds.
    pub name: String,
    /// One line for people.
    pub doc: String,
    /// What it holds.
    pub shape: Shape,
}

/// What a field holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Whether an option without values was written, or an optional word: `bool`.
    Flag,
    /// One value, of this Rust type.
    Scalar(String),
    /// One of several words: an enum with a variant for each.
    Words {
        /// The enum.
        name: String,
        /// The words.
        words: Vec<String>,
    },
    /// Several values under one key: a struct.
    Struct {
        /// The struct.
        name: String,
        /// Its fields: those of placeholders, of optional words, of nested options.
        fields: Vec<Field>,
    },
    /// One of several forms: an enum.
    Enum {
        /// The enum.
        name: String,
        /// Form name, doc, fields. Without fields: a unit variant.
        variants: Vec<(String, String, Vec<Field>)>,
    },
    /// `&'static [T]`.
    Slice(Box<Shape>),
    /// `Option<T>`.
    Maybe(Box<Shape>),
}

/// The fields of the typed options of `component`.
///
/// # Errors
/// When the rule gives no Rust: two types of one name, or a nested block under an option
/// with several forms.
pub fn fields(component: &Component) -> Result<Vec<Field>, String> {
    let fields = option_fields(&component.options, "")?;
    let mut names = BTreeSet::from(["Options".to_string()]);
    check_names(&fields, &mut names)?;
    Ok(fields)
}

/// Rust source that declares `pub struct Options` and the types in it.
///
/// # Errors
/// As [`fields`].
pub fn declare(component: &Component) -> Result<String, String> {
    let fields = fields(component)?;
    let mut text = String::new();
    let doc = format!("The options of an instance of `{}`, as its `.unik` file fixes them.", component.name);
    declare_struct("Options", &doc, &fields, &mut text);
    Ok(text)
}

/// A Rust expression that makes the typed options of one instance. `root` is the path of
/// the module that holds the types, such as `::unik_ip`.
///
/// # Errors
/// As [`fields`]; also when `options` were not typed against this component.
pub fn value(component: &Component, options: &Options, root: &str) -> Result<String, String> {
    let fields = fields(component)?;
    let body = option_values(&component.options, &fields, options, root)?;
    Ok(format!("{root}::Options {{ {body} }}"))
}

/// Whether a value of this type is part of the guest, not of the host half alone or an
/// argument of `start`.
#[must_use]
pub fn reaches_guest(ty: &Type) -> bool {
    match ty {
        Type::Path | Type::Handler | Type::Instance(_) | Type::InstancePath(_) => false,
        Type::List(element) => reaches_guest(element),
        _ => true,
    }
}

fn option_fields(options: &IndexMap<String, OptionSpec>, prefix: &str) -> Result<Vec<Field>, String> {
    let mut fields = Vec::new();
    for (key, option) in options.iter().filter(|(_, option)| !option.host_only) {
        if let Some(shape) = option_shape(key, option, prefix)? {
            fields.push(Field { name: key.clone(), doc: option.doc.clone(), shape });
        }
    }
    Ok(fields)
}

fn option_shape(key: &str, option: &OptionSpec, prefix: &str) -> Result<Option<Shape>, String> {
    let name = format!("{prefix}{}", rust_name::type_name(key));
    let shape = match option.forms.as_slice() {
        [form] => {
            let nested = option_fields(&option.options, &name)?;
            one_form(form, nested, &name)
        }
        _ if !option.options.is_empty() => {
            return Err(format!("option `{key}` has several forms, so it can't have a nested block"));
        }
        forms => several_forms(forms, &name),
    };
    let Some(shape) = shape else { return Ok(None) };
    Ok(Some(if option.repeats {
        Shape::Slice(Box::new(shape))
    } else if option.required || option.default.is_some() || shape == Shape::Flag {
        shape
    } else {
        Shape::Maybe(Box::new(shape))
    }))
}

fn one_form(form: &Form, nested: Vec<Field>, name: &str) -> Option<Shape> {
    let placeholders = form.usage.placeholders();
    let guest = placeholders.iter().filter(|(_, ty, ..)| reaches_guest(ty)).count();
    let flags = form.usage.flags().len();
    if guest + flags + nested.len() == 0 {
        // `from <storage: instance Files>` leaves nothing; `readonly` is a flag.
        return placeholders.is_empty().then_some(Shape::Flag);
    }
    if guest == 1 && flags + nested.len() == 0 {
        let (_, ty, repeats, optional) = placeholders.into_iter().find(|(_, ty, ..)| reaches_guest(ty))?;
        if !optional {
            return Some(placeholder_shape(ty, repeats, false, name.into()));
        }
    }
    let mut fields = form_fields(form, name);
    fields.extend(nested);
    Some(Shape::Struct { name: name.into(), fields })
}

fn several_forms(forms: &[Form], name: &str) -> Option<Shape> {
    let hidden = |form: &Form| {
        let placeholders = form.usage.placeholders();
        !placeholders.is_empty() && !placeholders.iter().any(|(_, ty, ..)| reaches_guest(ty))
    };
    if forms.iter().all(hidden) {
        return None;
    }
    let variants =
        forms.iter().map(|form| (form.name.clone(), form.doc.clone(), form_fields(form, name))).collect();
    Some(Shape::Enum { name: name.into(), variants })
}

fn form_fields(form: &Form, name: &str) -> Vec<Field> {
    let usage = &form.usage;
    let values = usage.placeholders().into_iter().filter(|(_, ty, ..)| reaches_guest(ty)).map(
        |(placeholder, ty, repeats, optional)| Field {
            name: placeholder.into(),
            doc: format!("`{placeholder}` of `{usage}`."),
            shape: placeholder_shape(
                ty,
                repeats,
                optional,
                format!("{name}{}", rust_name::type_name(placeholder)),
            ),
        },
    );
    let flags = usage.flags().into_iter().map(|word| Field {
        name: word.into(),
        doc: format!("Whether `{word}` of `{usage}` is written."),
        shape: Shape::Flag,
    });
    values.chain(flags).collect()
}

fn placeholder_shape(ty: &Type, repeats: bool, optional: bool, name: String) -> Shape {
    let shape = type_shape(ty, name);
    match (repeats, optional) {
        // Not written and written without a value are one thing here.
        (true, _) => Shape::Slice(Box::new(shape)),
        (false, true) => Shape::Maybe(Box::new(shape)),
        (false, false) => shape,
    }
}

fn type_shape(ty: &Type, name: String) -> Shape {
    let rust = match ty {
        Type::OneOf(words) => return Shape::Words { name, words: words.clone() },
        Type::List(element) => return Shape::Slice(Box::new(type_shape(element, name))),
        Type::Bool => "bool",
        Type::Integer { .. } => "u64",
        Type::String | Type::Name => "&'static str",
        Type::Size { .. } => "usize",
        Type::Duration { .. } => "::core::time::Duration",
        Type::Rate => "(u64, ::core::time::Duration)",
        Type::Ipv4 => "::core::net::Ipv4Addr",
        Type::Ipv6 => "::core::net::Ipv6Addr",
        Type::Ip => "::core::net::IpAddr",
        Type::Cidr4 => "(::core::net::Ipv4Addr, u8)",
        Type::Cidr6 => "(::core::net::Ipv6Addr, u8)",
        Type::Mac => "[u8; 6]",
        Type::Port => "u16",
        Type::Endpoint => "::core::net::SocketAddr",
        // Never asked for: `reaches_guest` leaves them out.
        Type::Path | Type::Handler | Type::Instance(_) | Type::InstancePath(_) => "()",
    };
    Shape::Scalar(rust.into())
}

fn check_names(fields: &[Field], names: &mut BTreeSet<String>) -> Result<(), String> {
    let mut seen = BTreeSet::new();
    for field in fields {
        if !seen.insert(rust_name::field(&field.name)) {
            return Err(format!("`{}` is the name of two fields of the typed options", field.name));
        }
        check_shape_names(&field.shape, names)?;
    }
    Ok(())
}

fn check_shape_names(shape: &Shape, names: &mut BTreeSet<String>) -> Result<(), String> {
    match shape {
        Shape::Flag | Shape::Scalar(_) => Ok(()),
        Shape::Slice(inner) | Shape::Maybe(inner) => check_shape_names(inner, names),
        Shape::Words { name, .. } | Shape::Struct { name, .. } | Shape::Enum { name, .. }
            if !names.insert(name.clone()) =>
        {
            Err(format!("`{name}` is the name of two types of the typed options"))
        }
        Shape::Words { .. } => Ok(()),
        Shape::Struct { fields, .. } => check_names(fields, names),
        Shape::Enum { variants, .. } => {
            variants.iter().try_for_each(|(_, _, fields)| check_names(fields, names))
        }
    }
}

// Declarations ------------------------------------------------------------------------

const DERIVES: &str = "#[derive(Debug, Clone, PartialEq)]";

fn declare_struct(name: &str, doc: &str, fields: &[Field], text: &mut String) {
    // Writing to a String can't fail.
    let _ = writeln!(text, "#[doc = {doc:?}]\n{DERIVES}\npub struct {name} {{");
    for field in fields {
        let ty = rust_type(&field.shape);
        let _ = writeln!(text, "#[doc = {:?}] pub {}: {ty},", field.doc, rust_name::field(&field.name));
    }
    text.push_str("}\n");
    for field in fields {
        declare_types(field, text);
    }
}

fn declare_types(field: &Field, text: &mut String) {
    let mut shape = &field.shape;
    while let Shape::Slice(inner) | Shape::Maybe(inner) = shape {
        shape = inner;
    }
    match shape {
        Shape::Words { name, words } => {
            let _ = writeln!(text, "#[doc = {:?}]\n{DERIVES}\npub enum {name} {{", field.doc);
            for word in words {
                let _ = writeln!(text, "#[doc = \"`{word}`\"] {},", rust_name::type_name(word));
            }
            text.push_str("}\n");
        }
        Shape::Struct { name, fields } => declare_struct(name, &field.doc, fields, text),
        Shape::Enum { name, variants } => {
            let _ = writeln!(text, "#[doc = {:?}]\n{DERIVES}\npub enum {name} {{", field.doc);
            for (form, doc, fields) in variants {
                let doc = if doc.is_empty() { format!("`{form}`") } else { doc.clone() };
                let _ = write!(text, "#[doc = {doc:?}] {}", rust_name::type_name(form));
                if !fields.is_empty() {
                    text.push_str(" {");
                    for field in fields {
                        let (name, ty) = (rust_name::field(&field.name), rust_type(&field.shape));
                        let _ = writeln!(text, "#[doc = {:?}] {name}: {ty},", field.doc);
                    }
                    text.push('}');
                }
                text.push_str(",\n");
            }
            text.push_str("}\n");
            for field in variants.iter().flat_map(|(_, _, fields)| fields) {
                declare_types(field, text);
            }
        }
        _ => {}
    }
}

fn rust_type(shape: &Shape) -> String {
    match shape {
        Shape::Flag => "bool".into(),
        Shape::Scalar(rust) => rust.clone(),
        Shape::Words { name, .. } | Shape::Struct { name, .. } | Shape::Enum { name, .. } => name.clone(),
        Shape::Slice(inner) => format!("&'static [{}]", rust_type(inner)),
        Shape::Maybe(inner) => format!("::core::option::Option<{}>", rust_type(inner)),
    }
}

// Values ------------------------------------------------------------------------------

fn option_values(
    specs: &IndexMap<String, OptionSpec>,
    fields: &[Field],
    options: &Options,
    root: &str,
) -> Result<String, String> {
    let mut text = String::new();
    for field in fields {
        let (key, spec) =
            specs.get_key_value(&field.name).ok_or_else(|| format!("no option `{}`", field.name))?;
        let entries = options.get(key).map_or(&[][..], Vec::as_slice);
        let entry = |entry: &Entry, shape: &Shape| entry_value(spec, entry, shape, root);
        let value = match (&field.shape, entries) {
            (Shape::Slice(inner), entries) if spec.repeats => {
                let values = entries.iter().map(|e| entry(e, inner)).collect::<Result<Vec<_>, _>>()?;
                list(&values, entries.iter().any(is_at_boot))
            }
            (Shape::Flag, entries) => (!entries.is_empty()).to_string(),
            (Shape::Maybe(_), []) => "::core::option::Option::None".into(),
            (Shape::Maybe(inner), [one, ..]) => {
                format!("::core::option::Option::Some({})", entry(one, inner)?)
            }
            (shape, [one, ..]) => entry(one, shape)?,
            (_, []) => return Err(format!("option `{key}` has no value")),
        };
        let _ = write!(text, "{}: {value}, ", rust_name::field(key));
    }
    Ok(text)
}

/// Whether an entry has a value that is known at boot only.
#[must_use]
pub fn is_at_boot(entry: &Entry) -> bool {
    let mut found = false;
    entry.each_value(&mut |value| found |= value.is_at_boot());
    found
}

fn entry_value(spec: &OptionSpec, entry: &Entry, shape: &Shape, root: &str) -> Result<String, String> {
    match shape {
        Shape::Flag => Ok("true".into()),
        Shape::Enum { name, variants } => {
            let (form, _, fields) = variants.get(entry.form).ok_or("an entry of a form that there isn't")?;
            let path = format!("{root}::{name}::{}", rust_name::type_name(form));
            if fields.is_empty() {
                return Ok(path);
            }
            Ok(format!("{path} {{ {} }}", form_values(fields, entry, root)?))
        }
        Shape::Struct { name, fields } => {
            let (nested, own): (Vec<Field>, Vec<Field>) =
                fields.iter().cloned().partition(|field| spec.options.contains_key(&field.name));
            let own = form_values(&own, entry, root)?;
            let nested = option_values(&spec.options, &nested, &entry.nested, root)?;
            Ok(format!("{root}::{name} {{ {own}{nested} }}"))
        }
        // One placeholder that reaches the guest; others don't count.
        _ => {
            let form = spec.forms.get(entry.form).ok_or("an entry of a form that there isn't")?;
            let placeholders = form.usage.placeholders();
            let (placeholder, ..) =
                placeholders.iter().find(|(_, ty, ..)| reaches_guest(ty)).ok_or("a form without a value")?;
            bound_value(placeholder, entry, shape, root)
        }
    }
}

fn form_values(fields: &[Field], entry: &Entry, root: &str) -> Result<String, String> {
    let mut text = String::new();
    for field in fields {
        let value = match &field.shape {
            Shape::Flag => entry.words.contains(&field.name).to_string(),
            shape => bound_value(&field.name, entry, shape, root)?,
        };
        let _ = write!(text, "{}: {value}, ", rust_name::field(&field.name));
    }
    Ok(text)
}

fn bound_value(placeholder: &str, entry: &Entry, shape: &Shape, root: &str) -> Result<String, String> {
    match (shape, entry.values.get(placeholder)) {
        (Shape::Maybe(_), None) => Ok("::core::option::Option::None".into()),
        (Shape::Maybe(inner), Some(Bound::One(value))) => {
            Ok(format!("::core::option::Option::Some({})", scalar(value, inner, root)?))
        }
        (Shape::Slice(_), None) => Ok("&[]".into()),
        (Shape::Slice(inner), Some(Bound::Many(values))) => slice(values, inner, root),
        (shape, Some(Bound::One(value))) => scalar(value, shape, root),
        _ => Err(format!("`{placeholder}` is not bound as its usage says")),
    }
}

fn slice(values: &[Value], shape: &Shape, root: &str) -> Result<String, String> {
    let is_at_boot = values.iter().any(Value::is_at_boot);
    let values = values.iter().map(|value| scalar(value, shape, root)).collect::<Result<Vec<_>, _>>()?;
    Ok(list(&values, is_at_boot))
}

/// A slice that lives as long as the appliance; no constant, where something in it isn't.
fn list(values: &[String], is_at_boot: bool) -> String {
    let values = values.join(", ");
    if is_at_boot {
        format!("&*alloc::boxed::Box::leak(alloc::boxed::Box::new([{values}]))")
    } else {
        format!("&[{values}]")
    }
}

/// The local variable of the generated wiring that holds the value of a parameter `at boot`.
#[must_use]
pub fn boot_variable(parameter: &str) -> String {
    format!("boot_{}", parameter.replace('-', "_"))
}

/// The file of the generated crate that holds a secret, relative to its source.
#[must_use]
pub fn secret_file(parameter: &str) -> String {
    format!("blobs/secrets/{parameter}")
}

/// The expression of a value at boot, as what it is wanted as.
fn at_boot(boot: &BootValue, shape: &Shape, root: &str) -> String {
    let variable = boot_variable(&boot.parameter);
    match (&boot.ty, shape) {
        (Type::Ip, _) => format!("::core::net::IpAddr::from({variable})"),
        (_, Shape::Words { name, words }) => {
            let variant = |word: &String| format!("{root}::{name}::{}", rust_name::type_name(word));
            let (last, others) =
                words.split_last().map_or((String::new(), &[][..]), |(last, others)| (variant(last), others));
            let arms: String = others.iter().map(|word| format!("{word:?} => {}, ", variant(word))).collect();
            // It was looked at where it was read: there is no other word.
            format!("match {variable} {{ {arms} _ => {last} }}")
        }
        _ => variable,
    }
}

/// The Rust expression of a value that is neither a word nor a list.
///
/// # Errors
/// For those, and for a value that never reaches the guest.
pub fn constant(value: &Value) -> Result<String, String> {
    scalar(value, &Shape::Scalar(String::new()), "")
}

fn scalar(value: &Value, shape: &Shape, root: &str) -> Result<String, String> {
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
    let duration = |d: &std::time::Duration| {
        format!("::core::time::Duration::new({}, {})", d.as_secs(), d.subsec_nanos())
    };
    let ipv4 = |a: &Ipv4Addr| {
        let [a, b, c, d] = a.octets();
        format!("::core::net::Ipv4Addr::new({a}, {b}, {c}, {d})")
    };
    let ipv6 = |a: &Ipv6Addr| {
        let groups: Vec<String> = a.segments().iter().map(|group| format!("{group:#x}")).collect();
        format!("::core::net::Ipv6Addr::new({})", groups.join(", "))
    };
    let ip = |a: &IpAddr| match a {
        IpAddr::V4(a) => format!("::core::net::IpAddr::V4({})", ipv4(a)),
        IpAddr::V6(a) => format!("::core::net::IpAddr::V6({})", ipv6(a)),
    };
    Ok(match (value, shape) {
        (Value::Word(word), Shape::Words { name, words }) if words.contains(word) => {
            format!("{root}::{name}::{}", rust_name::type_name(word))
        }
        (Value::List(values), Shape::Slice(inner)) => slice(values, inner, root)?,
        (Value::Boot(boot), _) => at_boot(boot, shape, root),
        (Value::Secret(secret), _) => format!("include_str!({:?})", secret_file(&secret.parameter)),
        (Value::Bool(value), _) => value.to_string(),
        (Value::Integer(number) | Value::Size(number), _) => number.to_string(),
        (Value::String(text) | Value::Name(text), _) => format!("{text:?}"),
        (Value::Duration(time), _) => duration(time),
        (Value::Rate(count, time), _) => format!("({count}, {})", duration(time)),
        (Value::Ipv4(address), _) => ipv4(address),
        (Value::Ipv6(address), _) => ipv6(address),
        (Value::Ip(address), _) => ip(address),
        (Value::Cidr4(address, prefix), _) => format!("({}, {prefix})", ipv4(address)),
        (Value::Cidr6(address, prefix), _) => format!("({}, {prefix})", ipv6(address)),
        (Value::Mac(octets), _) => format!("{octets:?}"),
        (Value::Port(port), _) => port.to_string(),
        (Value::Endpoint(end), _) => {
            format!("::core::net::SocketAddr::new({}, {})", ip(&end.ip()), end.port())
        }
        (value, _) => return Err(format!("the value {value:?} doesn't reach the guest")),
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::Path;

    use super::*;

    const TABLE: &str = r#"
        [package]
        name = "unik-x"
        [package.metadata.unik]
        name = "x"
        kind = "service"
        summary = "x"
        start = "unik_x::start"
        host = "unik_x_host::X"
        [package.metadata.unik.options]
        index = { doc = "Names", usage = "<name: string>...", default = "\"a\"", host-only = true }
        port = { doc = "Port", usage = "<port: port>", default = "80" }
        mac = { doc = "Mac", usage = "<mac: mac>" }
        resolver = { doc = "Servers", usage = "<server: ip>...", default = "9.9.9.9" }
        readonly = { doc = "Only read", usage = "" }
        files = { doc = "Files", usage = "from <storage: instance Files>" }
        level = { doc = "Level", usage = "<level: low|high>", required = true }
        limit = { doc = "Limit", usage = "<rate: rate> [burst <burst: integer>] [hard]", repeats = true }
        type = { doc = "Nested", usage = "<name: name>", options = { size = { doc = "Size", usage = "<size: size>", default = "4 KiB" }, how = { doc = "How", usage = "<how: a|b>" } } }
        [package.metadata.unik.options.ipv4]
        doc = "Address"
        required = true
        forms = [
            { name = "dhcp", usage = "dhcp" },
            { name = "static", usage = "<address: cidr4> [gateway <gateway: ipv4>]", doc = "Fixed" },
        ]
    "#;

    fn component() -> Component {
        Component::from_manifest(TABLE, Path::new("Cargo.toml")).unwrap()
    }

    fn entry(form: usize, values: &[(&str, Value)]) -> Entry {
        let values =
            values.iter().map(|(name, value)| (name.to_string(), Bound::One(value.clone()))).collect();
        Entry { form, values, ..Entry::default() }
    }

    #[test]
    fn types_by_the_rule() {
        let text = declare(&component()).unwrap();
        for part in [
            "pub port: u16,",
            "pub mac: ::core::option::Option<[u8; 6]>,",
            "pub resolver: &'static [::core::net::IpAddr],",
            "pub readonly: bool,",
            "pub level: Level,",
            "pub limit: &'static [Limit],",
            "pub burst: ::core::option::Option<u64>,",
            "pub hard: bool,",
            "pub type_: ::core::option::Option<Type>,",
            "pub how: ::core::option::Option<TypeHow>,",
            "pub ipv4: Ipv4,",
            "pub enum Level {",
            "Dhcp,",
            "Static {#[doc = \"`address` of `<address: cidr4> [gateway <gateway: ipv4>]`.\"] address: (::core::net::Ipv4Addr, u8),",
        ] {
            assert!(text.contains(part), "{part}\n{text}");
        }
        assert!(!text.contains("files"), "{text}");
        // The host half alone reads it.
        assert!(!text.contains("index"), "{text}");
    }

    #[test]
    fn values_by_the_same_rule() {
        let mut limit = entry(0, &[("rate", Value::Rate(5, std::time::Duration::from_secs(1)))]);
        limit.words.insert("hard".into());
        let mut nested = entry(0, &[("name", Value::Name("n".into()))]);
        nested.nested = BTreeMap::from([("size".into(), vec![entry(0, &[("size", Value::Size(4096))])])]);
        let servers = BTreeMap::from([("server".into(), Bound::Many(vec![Value::Ip([9, 9, 9, 9].into())]))]);
        let options = BTreeMap::from([
            ("port".to_string(), vec![entry(0, &[("port", Value::Port(80))])]),
            ("resolver".to_string(), vec![Entry { values: servers, ..Entry::default() }]),
            ("level".to_string(), vec![entry(0, &[("level", Value::Word("high".into()))])]),
            ("limit".to_string(), vec![limit]),
            ("type".to_string(), vec![nested]),
            ("ipv4".to_string(), vec![entry(1, &[("address", Value::Cidr4([10, 0, 0, 2].into(), 24))])]),
        ]);
        let text = value(&component(), &options, "::unik_x").unwrap();
        for part in [
            "port: 80,",
            "mac: ::core::option::Option::None,",
            "resolver: &[::core::net::IpAddr::V4(::core::net::Ipv4Addr::new(9, 9, 9, 9))],",
            "readonly: false,",
            "level: ::unik_x::Level::High,",
            "limit: &[::unik_x::Limit { rate: (5, ::core::time::Duration::new(1, 0)), burst: ::core::option::Option::None, hard: true,  }],",
            "type_: ::core::option::Option::Some(::unik_x::Type { name: \"n\", size: 4096, how: ::core::option::Option::None,  }),",
            "ipv4: ::unik_x::Ipv4::Static { address: (::core::net::Ipv4Addr::new(10, 0, 0, 2), 24), gateway: ::core::option::Option::None,  },",
        ] {
            assert!(text.contains(part), "{part}\n{text}");
        }
        let missing = value(&component(), &BTreeMap::new(), "::unik_x").unwrap_err();
        assert!(missing.contains("has no value"), "{missing}");
    }

    #[test]
    fn clashing_names_are_refused() {
        let table = TABLE.replace("level = {", "options = { doc = \"\", usage = \"<a: x|y>\" }\n level = {");
        let component = Component::from_manifest(&table, Path::new("Cargo.toml")).unwrap();
        assert!(declare(&component).unwrap_err().contains("two types"));
    }
}
