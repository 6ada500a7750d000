//! A written value, as the type that is wanted.

use std::net::IpAddr;
use std::time::Duration;

use unik_catalogue::value::Place;
use unik_catalogue::{BootValue, Secret, Type, Value as Typed};

use super::Checker;
use super::names::Poisoned;
use crate::diagnostic::{Code, Diagnostic, Fix, codes};
use crate::syntax::{MAX_DEPTH, Value, ValueKind};

/// Why a value isn't what is wanted.
#[derive(Debug)]
pub enum Misfit {
    /// That was said already.
    Poisoned,
    /// This.
    Because(Box<Reason>),
}

/// Why a value isn't what is wanted.
#[derive(Debug)]
pub struct Reason {
    pub code: Code,
    /// Where the value is used.
    pub place: Place,
    /// What was found: "the number 80".
    pub found: String,
    /// What was wanted: "a port from 1 to 65535".
    pub wanted: String,
    /// More of it, where there is more to say.
    pub detail: Option<String>,
    pub help: Option<String>,
    /// A replacement that would mend it.
    pub replacement: Option<String>,
    /// Whether that says the very same.
    pub certain: bool,
    /// Where the value is written, when it came by a name.
    pub written: Option<Place>,
    /// Where the instance is declared that it names.
    pub declared: Option<Place>,
    /// Whether it is of the right kind all the same: out of range, in the wrong unit.
    pub close: bool,
}

impl From<Poisoned> for Misfit {
    fn from(_: Poisoned) -> Self {
        Misfit::Poisoned
    }
}

impl Reason {
    /// As a diagnostic about `what`, such as "`port`".
    pub fn diagnostic(self, what: &str) -> Diagnostic {
        let message = match &self.detail {
            Some(detail) => format!("{what}: {detail}"),
            None => format!("{what} takes {}, not {}", self.wanted, self.found),
        };
        let mut diagnostic = Diagnostic::error(self.code, self.place, message);
        diagnostic = diagnostic.label(match self.detail {
            Some(_) if self.code == codes::AT_BOOT => "known at boot only".into(),
            Some(_) if self.code == codes::SECRET => "this".into(),
            Some(_) => format!("expected {}", self.wanted),
            None => format!("this is {}", self.found),
        });
        if let Some(written) = self.written {
            diagnostic = diagnostic.and(written, "the value comes from here");
        }
        if let Some(declared) = self.declared {
            diagnostic = diagnostic.and(declared, "declared here");
        }
        diagnostic.helps.extend(self.help);
        if let Some(replacement) = self.replacement {
            let place = self.written.unwrap_or(self.place);
            diagnostic = diagnostic.fix(match self.certain {
                true => Fix::certain(format!("write `{replacement}`")).replace(place, replacement),
                false => Fix::maybe(format!("did you mean `{replacement}`?")).replace(place, replacement),
            });
        }
        diagnostic
    }
}

impl Reason {
    /// The same of a number with a word behind it at `place`, that is no unit.
    pub fn unknown_unit(mut self, number: u64, word: &str, ty: &Type, place: Place) -> Reason {
        self.place = place;
        self.found = format!("`{number} {word}`");
        match ty {
            Type::Size { .. } => drop(size(number, word, &mut self)),
            _ => drop(duration(number, word, &mut self)),
        }
        self
    }
}

impl Checker<'_> {
    /// `value` as a `ty`; what is wrong is reported as being about `what`.
    pub(super) fn convert_or_say(&mut self, value: &Value, ty: &Type, what: &str) -> Option<Typed> {
        match self.convert(value, ty) {
            Ok(typed) => Some(typed),
            Err(Misfit::Poisoned) => None,
            Err(Misfit::Because(reason)) => {
                self.error(reason.diagnostic(what));
                None
            }
        }
    }

    /// `value` as a `ty`.
    pub(super) fn convert(&mut self, value: &Value, ty: &Type) -> Result<Typed, Misfit> {
        self.convert_deep(value, ty, 0)
    }

    fn convert_deep(&mut self, used: &Value, ty: &Type, depth: usize) -> Result<Typed, Misfit> {
        match self.late(used).map(String::from) {
            Some(name) => self.convert_late(&name, used, ty, depth),
            None if self.takes.secret => Err(self.written_secret(used, ty)),
            None => self.convert_now(used, ty, depth),
        }
    }

    /// A value that isn't simply there: that of the parameter `name`, at boot or secret.
    fn convert_late(&mut self, name: &str, used: &Value, ty: &Type, depth: usize) -> Result<Typed, Misfit> {
        // By whatever other names it came.
        self.mark_chain(used);
        let Some(binding) = self.bindings.get(name) else { return Err(Misfit::Poisoned) };
        let (Some(declared), false) = (binding.ty.clone(), binding.wrong) else {
            return Err(Misfit::Poisoned);
        };
        let (at_boot, secret, place) = (binding.at_boot, binding.secret, binding.place);
        let has_default = binding.value.is_some() && !secret;
        let default = if has_default { Some(self.convert_now(used, ty, depth)?) } else { None };
        let mut misfit = Reason {
            code: codes::AT_BOOT,
            place: used.place,
            found: format!("`${name}`"),
            wanted: ty.to_string(),
            detail: None,
            help: None,
            replacement: None,
            certain: false,
            written: None,
            declared: Some(place),
            close: true,
        };
        if secret != self.takes.secret {
            misfit.code = codes::SECRET;
            misfit.detail = Some(if secret {
                format!("`${name}` is secret, and what this takes is shown")
            } else {
                format!("this is secret, and `${name}` is not")
            });
            misfit.help = (!secret).then(|| format!("declare it as `param {name}: secret string`"));
        } else if at_boot && !self.takes.boot {
            misfit.detail = Some(format!("this is fixed at build, and `${name}` is known at boot only"));
            misfit.help =
                Some(format!("leave `at boot` out of `param {name}`, and give it with `--set {name}=VALUE`"));
        } else if declared.narrowed(ty).is_none() {
            misfit.code = codes::WRONG_TYPE;
            misfit.close = false;
            misfit.detail = Some(format!("`${name}` may be {declared}, and this takes {ty}"));
        } else if at_boot {
            let parameter = name.to_string();
            return Ok(Typed::Boot(Box::new(BootValue { parameter, ty: ty.clone(), default })));
        } else {
            return Ok(Typed::Secret(Secret::new(name, self.secrets.get(name).cloned())));
        }
        Err(Misfit::Because(Box::new(misfit)))
    }

    /// Why what stands in the file is no value for a secret.
    fn written_secret(&mut self, used: &Value, ty: &Type) -> Misfit {
        match self.resolve(used) {
            Ok(value) => self.sources.mask(value.place),
            Err(_) => return Misfit::Poisoned,
        }
        Misfit::Because(Box::new(Reason {
            code: codes::SECRET,
            place: used.place,
            // Not what is written there.
            found: "text in the file".into(),
            wanted: ty.to_string(),
            detail: Some("a secret doesn't stand in a file".into()),
            help: Some(
                "declare `param NAME: secret string`, write `$NAME` here, and give it with `--set-file NAME=FILE`"
                    .into(),
            ),
            replacement: None,
            certain: false,
            written: None,
            declared: None,
            close: true,
        }))
    }

    /// `used` as a `ty`, by what is known of it at build time.
    fn convert_now(&mut self, used: &Value, ty: &Type, depth: usize) -> Result<Typed, Misfit> {
        let value = self.resolve(used)?;
        let mut misfit = Reason {
            code: codes::WRONG_TYPE,
            place: used.place,
            found: self.describe(&value),
            wanted: ty.to_string(),
            detail: None,
            help: None,
            replacement: None,
            certain: false,
            written: (value.place != used.place).then_some(value.place),
            declared: None,
            close: false,
        };
        if depth > MAX_DEPTH || self.budget == 0 {
            misfit.code = codes::TOO_DEEP;
            misfit.detail = Some("the values behind these names are too many".into());
            return Err(Misfit::Because(Box::new(misfit)));
        }
        self.budget -= 1;
        let typed = match (ty, &value.kind) {
            (Type::Bool, ValueKind::Word(word)) if word == "true" || word == "false" => {
                Some(Typed::Bool(word == "true"))
            }
            (Type::Bool, ValueKind::Word(word)) => {
                match word.as_str() {
                    "yes" | "on" => misfit.replacement = Some("true".into()),
                    "no" | "off" => misfit.replacement = Some("false".into()),
                    _ => {}
                }
                misfit.certain = true;
                None
            }
            (Type::Integer { min, max }, ValueKind::Integer(number)) => {
                in_range(*number, *min, *max, &mut misfit).then_some(Typed::Integer(*number))
            }
            (Type::String, ValueKind::String(text)) => Some(Typed::String(text.clone())),
            (Type::Name, ValueKind::Word(text)) => Some(Typed::Name(text.clone())),
            (Type::Name, ValueKind::String(text)) if is_word(text) => Some(Typed::Name(text.clone())),
            (Type::Size { min, max }, ValueKind::Quantity(number, unit)) => size(*number, unit, &mut misfit)
                .filter(|bytes| in_range(*bytes, *min, *max, &mut misfit))
                .map(Typed::Size),
            (Type::Size { .. }, ValueKind::Integer(number)) => {
                misfit.code = codes::UNIT;
                misfit.close = true;
                misfit.detail = Some("a size has a unit".into());
                misfit.help =
                    Some(format!("write `{number} B`, `{number} KiB`, `{number} MiB` or `{number} GiB`"));
                None
            }
            (Type::Duration { min, max }, ValueKind::Quantity(number, unit)) => {
                let span = duration(*number, unit, &mut misfit);
                let nanos = |span: &Duration| u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
                span.filter(|span| in_range(nanos(span), *min, *max, &mut misfit)).map(Typed::Duration)
            }
            (Type::Duration { .. }, ValueKind::Integer(number)) => {
                misfit.code = codes::UNIT;
                misfit.close = true;
                misfit.detail = Some("a duration has a unit".into());
                misfit.help =
                    Some(format!("write `{number} ms`, `{number} s`, `{number} min` or `{number} h`"));
                None
            }
            (Type::Rate, ValueKind::Rate(number, per, unit)) => {
                let span = duration(*per, unit, &mut misfit).filter(|span| !span.is_zero());
                // What it takes in place of the unit, in place of the whole.
                misfit.replacement = misfit
                    .replacement
                    .map(|meant| format!("{number} per {}", meant.strip_prefix("1 ").unwrap_or(&meant)));
                span.map(|span| Typed::Rate(*number, span))
            }
            (Type::Rate, ValueKind::Integer(number)) => {
                misfit.close = true;
                misfit.replacement = Some(format!("{number} per second"));
                None
            }
            (Type::Ipv4, ValueKind::Ip(IpAddr::V4(address))) => Some(Typed::Ipv4(*address)),
            (Type::Ipv6, ValueKind::Ip(IpAddr::V6(address))) => Some(Typed::Ipv6(*address)),
            (Type::Ip, ValueKind::Ip(address)) => Some(Typed::Ip(*address)),
            (Type::Ipv4 | Type::Ipv6 | Type::Ip, ValueKind::Cidr(address, _)) => {
                misfit.close = true;
                misfit.replacement = Some(address.to_string());
                None
            }
            (Type::Cidr4, ValueKind::Cidr(IpAddr::V4(address), prefix)) => {
                Some(Typed::Cidr4(*address, *prefix))
            }
            (Type::Cidr6, ValueKind::Cidr(IpAddr::V6(address), prefix)) => {
                Some(Typed::Cidr6(*address, *prefix))
            }
            (Type::Cidr4, ValueKind::Ip(address @ IpAddr::V4(_))) => {
                misfit.close = true;
                misfit.help = Some(format!("say how long the network's prefix is: `{address}/24`"));
                None
            }
            (Type::Cidr6, ValueKind::Ip(address @ IpAddr::V6(_))) => {
                misfit.close = true;
                misfit.help = Some(format!("say how long the network's prefix is: `{address}/64`"));
                None
            }
            (Type::Mac, ValueKind::Mac(mac)) => Some(Typed::Mac(*mac)),
            (Type::Port, ValueKind::Integer(number)) => in_range(*number, 1, 65535, &mut misfit)
                .then(|| u16::try_from(*number).ok())
                .flatten()
                .map(Typed::Port),
            (Type::Endpoint, ValueKind::Endpoint(endpoint)) => Some(Typed::Endpoint(*endpoint)),
            (Type::Endpoint, ValueKind::Ip(address)) => {
                misfit.close = true;
                misfit.help = Some(match address {
                    IpAddr::V4(address) => format!("say which port: `{address}:PORT`"),
                    IpAddr::V6(address) => format!("say which port: `[{address}]:PORT`"),
                });
                None
            }
            (Type::Path, ValueKind::String(text)) => {
                Some(Typed::Path { written: text.clone(), resolved: self.path(text, value.place) })
            }
            (Type::String | Type::Path, ValueKind::Word(_) | ValueKind::Integer(_)) => {
                misfit.replacement = Some(format!("\"{}\"", self.sources.text(value.place)));
                // A word may be a name that lacks its `$`.
                misfit.certain = !self.bindings.contains_key(self.sources.text(value.place))
                    && self.ends_there(value.place);
                None
            }
            (Type::Instance(interface), ValueKind::Word(name)) => {
                return self.instance(name, interface, misfit).map(Typed::Instance);
            }
            (Type::InstancePath(interface), ValueKind::Place { instance, path }) => {
                return self
                    .instance(&instance.value, interface, misfit)
                    .map(|instance| Typed::InstancePath { instance, path: path.clone() });
            }
            (Type::Handler, _) if is_rust_path(self.sources.text(value.place)) => {
                Some(Typed::Handler(self.sources.text(value.place).into()))
            }
            (Type::OneOf(words), ValueKind::String(text)) if words.contains(text) => {
                misfit.replacement = Some(text.clone());
                misfit.certain = true;
                None
            }
            (Type::Integer { .. } | Type::Port, ValueKind::String(text)) if text.parse::<u16>().is_ok() => {
                misfit.replacement = Some(text.clone());
                misfit.certain = text.bytes().all(|byte| byte.is_ascii_digit());
                None
            }
            (Type::OneOf(words), ValueKind::Word(word)) => {
                if words.contains(word) {
                    Some(Typed::Word(word.clone()))
                } else {
                    misfit.replacement = self.near(word, words);
                    misfit.close = misfit.replacement.is_some();
                    None
                }
            }
            (Type::List(element), ValueKind::List(values)) => {
                let typed: Result<Vec<Typed>, Misfit> =
                    values.iter().map(|value| self.convert_deep(value, element, depth + 1)).collect();
                return typed.map(Typed::List);
            }
            _ => None,
        };
        if typed.is_none()
            && misfit.replacement.is_none()
            && let ValueKind::Word(word) = &value.kind
            && self.bindings.contains_key(word)
        {
            misfit.replacement = Some(format!("${word}"));
        }
        typed.ok_or_else(|| Misfit::Because(Box::new(misfit)))
    }

    /// Whether a value ends where its place does: in `r"text"` it may be more than it seems.
    fn ends_there(&self, place: Place) -> bool {
        let rest = self.sources.source(place.source).and_then(|source| source.text.get(place.end..));
        rest.is_some_and(|rest| {
            rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n', ';', '}', ',', ']'])
        })
    }

    /// The instance with this name, which has to provide `interface`.
    fn instance(&mut self, name: &str, interface: &str, mut misfit: Reason) -> Result<String, Misfit> {
        let Some(declared) = self.known(name) else {
            if self.incomplete && self.mentioned.contains(name) {
                return Err(Misfit::Poisoned);
            }
            misfit.code = codes::UNKNOWN_INSTANCE;
            misfit.detail = Some(format!("no instance is called `{name}`"));
            misfit.replacement = self.near(name, self.declared.keys());
            misfit.declared = self.elsewhere.get(name).map(|declared| declared.place);
            if misfit.declared.is_some() {
                misfit.detail = Some(format!("`{name}` isn't declared under the conditions that hold"));
            }
            return Err(Misfit::Because(Box::new(misfit)));
        };
        let Some(component) = &declared.component else { return Err(Misfit::Poisoned) };
        if component.can_provide(interface) {
            return Ok(name.into());
        }
        misfit.code = codes::NOT_PROVIDED;
        misfit.detail = Some(format!("`{name}` (`{}`) doesn't provide {interface}", component.name));
        misfit.declared = Some(declared.place);
        Err(Misfit::Because(Box::new(misfit)))
    }

    /// A path of the host: relative to the folder of the file that has it, or to the
    /// current folder when it comes from the command line.
    fn path(&self, text: &str, place: Place) -> std::path::PathBuf {
        let source = self.sources.source(place.source).map(|source| source.path.as_path());
        let is_file = source.is_some_and(|path| !path.to_string_lossy().starts_with("--set "));
        let folder = source.filter(|_| is_file).and_then(|path| path.parent());
        let path = folder.map_or_else(|| text.into(), |folder| folder.join(text));
        // Fails for the empty path only.
        std::path::absolute(&path).unwrap_or(path)
    }

    /// A value in words.
    pub(super) fn describe(&self, value: &Value) -> String {
        let text: String = self.sources.text(value.place).chars().take(60).collect();
        let text = text.lines().next().unwrap_or_default();
        match &value.kind {
            ValueKind::Word(_) => format!("the word `{text}`"),
            ValueKind::String(_) => "text in quotes".into(),
            ValueKind::Integer(_) => format!("the number {text}"),
            ValueKind::Quantity(_, unit) if time_unit(unit).is_some() => format!("the duration `{text}`"),
            ValueKind::Quantity(_, unit) if size_unit(unit).is_some() => format!("the size `{text}`"),
            ValueKind::Quantity(..) => format!("`{text}`"),
            ValueKind::Rate(..) => format!("the rate `{text}`"),
            ValueKind::Ip(IpAddr::V4(_)) => format!("the IPv4 address {text}"),
            ValueKind::Ip(IpAddr::V6(_)) => format!("the IPv6 address {text}"),
            ValueKind::Cidr(..) => format!("the network address {text}"),
            ValueKind::Mac(_) => format!("the MAC address {text}"),
            ValueKind::Endpoint(_) => format!("the endpoint {text}"),
            ValueKind::Place { .. } => format!("the place `{text}`"),
            ValueKind::List(_) => "a list".into(),
            ValueKind::Bound(_) => format!("`{text}`"),
            ValueKind::Reference(_) | ValueKind::Malformed => format!("`{text}`"),
        }
    }
}

fn in_range(number: u64, min: u64, max: u64, misfit: &mut Reason) -> bool {
    let good = (min..=max).contains(&number);
    if !good {
        misfit.code = codes::OUT_OF_RANGE;
        misfit.close = true;
    }
    good
}

fn size_unit(unit: &str) -> Option<u64> {
    Some(match unit {
        "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "TiB" => 1 << 40,
        _ => return None,
    })
}

fn size(number: u64, unit: &str, misfit: &mut Reason) -> Option<u64> {
    misfit.close = true;
    let Some(factor) = size_unit(unit) else {
        misfit.code = codes::UNIT;
        misfit.detail = Some(format!("`{unit}` is no unit of size"));
        let meant = match unit.to_ascii_lowercase().as_str() {
            "k" | "kb" | "kib" => "KiB",
            "m" | "mb" | "mib" => "MiB",
            "g" | "gb" | "gib" => "GiB",
            "t" | "tb" | "tib" => "TiB",
            "b" | "byte" | "bytes" => "B",
            _ => {
                misfit.help = Some("units of size are B, KiB, MiB, GiB and TiB".into());
                return None;
            }
        };
        if !meant.starts_with('B') {
            misfit.help = Some("sizes are counted in powers of 1024: B, KiB, MiB, GiB and TiB".into());
        }
        // `8 MB` may be meant in powers of ten, `8 mib` can't.
        misfit.certain = meant == "B" || unit.len() == 3;
        misfit.replacement = Some(format!("{number} {meant}"));
        return None;
    };
    let bytes = number.checked_mul(factor);
    if bytes.is_none() {
        misfit.code = codes::OUT_OF_RANGE;
        misfit.detail = Some("this size is too large".into());
    }
    bytes
}

/// Nanoseconds in a unit of time.
fn time_unit(unit: &str) -> Option<u64> {
    Some(match unit {
        "ns" => 1,
        "us" | "µs" => 1_000,
        "ms" => 1_000_000,
        "s" | "second" | "seconds" => 1_000_000_000,
        "min" | "minute" | "minutes" => 60_000_000_000,
        "h" | "hour" | "hours" => 3_600_000_000_000,
        "d" | "day" | "days" => 86_400_000_000_000,
        _ => return None,
    })
}

const TIME_UNITS: &str = "units of time are ns, us, ms, s, min, h and d";

/// The unit of time that was probably meant.
fn meant_time(unit: &str) -> Option<&'static str> {
    Some(match unit.to_ascii_lowercase().as_str() {
        "m" | "mins" => "min",
        "sec" | "secs" => "s",
        "hr" | "hrs" => "h",
        "msec" | "msecs" | "millis" => "ms",
        "usec" | "usecs" | "micros" => "us",
        "nsec" | "nsecs" | "nanos" => "ns",
        other => ["ns", "us", "ms", "s", "min", "h", "d"].into_iter().find(|unit| *unit == other)?,
    })
}

fn duration(number: u64, unit: &str, misfit: &mut Reason) -> Option<Duration> {
    misfit.close = true;
    let Some(nanoseconds) = time_unit(unit) else {
        misfit.code = codes::UNIT;
        misfit.detail = Some(format!("`{unit}` is no unit of time"));
        misfit.help = Some(TIME_UNITS.into());
        // `5 m` may be months for somebody.
        misfit.certain = unit.len() > 1;
        misfit.replacement = meant_time(unit).map(|meant| format!("{number} {meant}"));
        return None;
    };
    let total = number.checked_mul(nanoseconds);
    if total.is_none() {
        misfit.code = codes::OUT_OF_RANGE;
        misfit.detail = Some("a duration is at most about 584 years".into());
    }
    total.map(Duration::from_nanos)
}

fn is_word(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
}

/// `count` or `api::count`.
fn is_rust_path(text: &str) -> bool {
    text.split("::").all(|part| {
        part.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    })
}
