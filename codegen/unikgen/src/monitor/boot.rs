//! The boot line: values that `--boot` gives, checked before anything is started.

use std::collections::BTreeMap;

use unik_catalogue::{Type, Value, usage};
use unik_codegen::note::{BootParameter, DeviceManifest};
use unik_dsl::diagnostic::did_you_mean;

use crate::appliance;
use crate::cli::{BootValues, Parameters};
use crate::exit;

/// What an appliance is given when it starts.
#[derive(Clone, Debug, Default)]
pub struct Given {
    /// The boot line; empty where nothing is given.
    pub line: String,
    /// Whether a secret is on it.
    pub has_secret: bool,
    values: BTreeMap<String, Value>,
}

impl Given {
    /// What `args` give to an appliance that has the parameters `known`.
    ///
    /// # Errors
    /// A usage error for a name that there isn't, a value of another type or out of its range, one that is
    /// given twice, and one that must be given and isn't.
    pub fn of(args: &BootValues, known: &[BootParameter]) -> anyhow::Result<Given> {
        let mut given = Given::default();
        let mut words = Vec::new();
        for (name, value) in &args.boot {
            words.push(("--boot", name, value.clone()));
        }
        for (name, file) in &args.boot_file {
            words.push(("--boot-file", name, appliance::text_of_file("--boot-file", name, file)?));
        }
        for (flag, name, text) in words {
            let parameter = find(flag, name, known)?;
            if parameter.secret && flag == "--boot" {
                return Err(exit::usage(format!(
                    "--boot {name}=…: `{name}` is secret, and command lines aren't: --boot-file {name}=FILE"
                )));
            }
            let ty = usage::parse_type(&parameter.ty).map_err(|error| {
                exit::usage(format!("{flag} {name}: this unikgen doesn't know its type: {error}"))
            })?;
            let value = value_of(&text, &ty).map_err(|why| {
                // Of a secret not even what is wrong with it.
                let why = if parameter.secret { format!("it takes {ty}") } else { why };
                exit::usage(format!("{flag} {name}=…: {why}"))
            })?;
            let word = word(name, &value).ok_or_else(|| {
                exit::usage(format!("{flag} {name}=…: there is a line's end or a NUL in it"))
            })?;
            if given.values.insert(name.clone(), value).is_some() {
                return Err(exit::usage(format!("{flag} {name}=…: `{name}` is given twice")));
            }
            given.has_secret |= parameter.secret;
            given.line = format!("{} {word}", given.line).trim_start().into();
        }
        let missing = known.iter().find(|it| it.is_required() && !given.values.contains_key(&it.name));
        if let Some(BootParameter { name, ty, secret, .. }) = missing {
            let way =
                if *secret { format!("--boot-file {name}=FILE") } else { format!("--boot {name}=VALUE") };
            return Err(exit::usage(format!("`{name}` must be given at boot, a `{ty}`: {way}")));
        }
        // What the image itself takes; monitors put the places of devices on the line, too.
        if given.line.len() > 3500 {
            return Err(exit::usage("--boot: that is more than a boot line holds, 3,500 bytes"));
        }
        Ok(given)
    }

    /// The parameters with which a file is to be checked, so that what is given holds what the whole file
    /// asks of the defaults; `None` where nothing is given.
    pub fn tried(args: &BootValues, known: &[BootParameter], parameters: &Parameters) -> Option<Parameters> {
        let given = |name: &String| args.boot.iter().any(|(other, _)| other == name);
        // `--set` takes the same text, but for lists, which have brackets there.
        let is_plain = |name: &String| known.iter().any(|it| it.name == *name && !it.ty.starts_with("list "));
        let mut tried = parameters.clone();
        tried.set.retain(|(name, _)| !given(name));
        tried.set.extend(args.boot.iter().filter(|(name, _)| is_plain(name)).cloned());
        (!args.boot.is_empty()).then_some(tried)
    }

    /// Puts what is given in place of the defaults: a monitor's network must fit the addresses.
    pub fn apply(&self, manifest: &mut DeviceManifest) {
        let of = |name: &Option<String>| name.as_ref().and_then(|name| self.values.get(name));
        for network in &mut manifest.networks {
            if let Some(Value::Cidr4(address, prefix)) = of(&network.address_at_boot) {
                (network.address, network.prefix) = (Some(*address), Some(*prefix));
            }
            if let Some(Value::Ipv4(gateway)) = of(&network.gateway_at_boot) {
                network.gateway = Some(*gateway);
            }
        }
    }
}

fn find<'k>(flag: &str, name: &str, known: &'k [BootParameter]) -> anyhow::Result<&'k BootParameter> {
    known.iter().find(|parameter| parameter.name == name).ok_or_else(|| {
        let names: Vec<&str> = known.iter().map(|parameter| parameter.name.as_str()).collect();
        exit::usage(match (did_you_mean(name, names.iter().copied()), names.as_slice()) {
            (_, []) => format!("{flag} {name}=…: the appliance has no parameters at boot"),
            (Some(near), _) => {
                format!("{flag} {name}=…: there is no parameter `{name}` at boot; did you mean `{near}`?")
            }
            (None, names) => {
                format!(
                    "{flag} {name}=…: there is no parameter `{name}` at boot; there is {}",
                    names.join(", ")
                )
            }
        })
    })
}

/// A text as a value: a list by its commas, everything else as `--set` has it.
fn value_of(text: &str, ty: &Type) -> Result<Value, String> {
    match ty {
        Type::List(element) => {
            let inside =
                text.trim().strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
            let parts = inside.split(',').map(str::trim).filter(|_| !inside.trim().is_empty());
            parts.map(|part| unik_dsl::value_of(part, element)).collect::<Result<_, _>>().map(Value::List)
        }
        ty => unik_dsl::value_of(text, ty),
    }
}

/// The word of the boot line, if it can be one.
fn word(name: &str, value: &Value) -> Option<String> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::List(values) => values.iter().map(ToString::to_string).collect::<Vec<_>>().join(","),
        value => value.to_string(),
    };
    if text.contains(['\0', '\n', '\r']) {
        return None;
    }
    let plain = !text.contains(|c: char| c.is_ascii_whitespace() || c == '"');
    Some(match plain {
        true => format!("unik.{name}={text}"),
        false => format!("unik.{name}=\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Cli, Command};
    use clap::Parser as _;

    fn given(words: &[&str]) -> Result<Given, String> {
        let parameter = |name: &str, ty: &str, default: Option<&str>| BootParameter {
            name: name.into(),
            ty: ty.into(),
            default: default.map(Into::into),
            secret: name == "key",
            unused: name == "key",
            doc: String::new(),
        };
        let known = [
            parameter("address", "cidr4", Some("10.0.0.2/24")),
            parameter("text", "string", Some("\"a\"")),
            parameter("count", "integer 1..=9", Some("1")),
            parameter("wait", "duration", Some("1 s")),
            parameter("ports", "list port", Some("[]")),
            parameter("key", "string", None),
        ];
        let cli = Cli::try_parse_from(["unikgen", "run"].iter().chain(words)).unwrap();
        let Command::Run(run) = cli.command else { panic!() };
        Given::of(&run.boot, &known).map_err(|error| error.to_string())
    }

    #[test]
    fn values_become_words() {
        for (value, line) in [
            ("address=10.0.0.9/24", "unik.address=10.0.0.9/24"),
            ("text=two words", "unik.text=\"two words\""),
            ("text=a\"b\\ c", "unik.text=\"a\\\"b\\\\ c\""),
            ("text=", "unik.text="),
            ("count=0x5", "unik.count=5"),
            ("wait=90 s", "unik.wait=\"90 s\""),
            ("ports=80,443", "unik.ports=80,443"),
            ("ports=[80, 443]", "unik.ports=80,443"),
            ("ports=", "unik.ports="),
        ] {
            assert_eq!(given(&["--boot", value]).unwrap().line, line, "{value}");
        }
        assert_eq!(given(&[]).unwrap().line, "");
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for (value, part) in [
            ("adress=10.0.0.9/24", "did you mean `address`?"),
            ("zzzzzzzz=1", "there is address, text, count"),
            ("address=10.0.0.9", "prefix"),
            ("count=10", "from 1 to 9"),
            ("count=$text", "one value"),
            ("count=1 2", "one value"),
            ("text=a\nb", "line's end"),
            ("ports=80,x", "a port"),
            ("key=hunter2", "--boot-file key=FILE"),
        ] {
            let error = given(&["--boot", value]).map(|given| given.line).unwrap_err();
            assert!(error.contains(part), "{value}: {error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
        let error = given(&["--boot", "count=1", "--boot", "count=2"]).map(|_| ()).unwrap_err();
        assert!(error.contains("twice"), "{error}");
    }
}
