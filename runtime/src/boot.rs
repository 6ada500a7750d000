//! Values at boot: what the boot line says of the parameters that a file declares `at boot`.
//!
//! The generated wiring reads them before it starts anything, by one table of [`Parameter`]s: no other
//! name is known. On the boot line they are words of the form
//!
//! ```text
//! unik.NAME=VALUE     unik.NAME="a value with blanks, \" and \\"
//! ```
//!
//! among the words of monitors (`console=ttyS0 virtio_mmio.device=…`), which are left alone. Without the
//! prefix nobody could tell a slip in a name from a word that is meant for somebody else.
//!
//! What makes no sense is a [`StartError`]: the appliance ends before any instance has started. It names
//! the parameter, the value (that of a secret isn't shown) and what was expected.
//!
//! In a process each argument of the command line is a word, whole as the shell passed it, and the variable
//! `UNIK_BOOT` of the environment is a boot line besides; where both say something, the command line
//! counts. In a simulation it is the command line.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use core::str::FromStr;
use core::time::Duration;

use crate::platform;
use crate::start::{Context, StartError};

/// What stands before the name of a parameter.
const PREFIX: &str = "unik.";
/// How much of a word is shown.
const SHOWN: usize = 100;

/// A parameter `at boot`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// Its name.
    pub name: &'static str,
    /// What it takes, in words: "an IPv4 address".
    pub wanted: &'static str,
    /// Whether its value is never shown.
    pub secret: bool,
}

/// The values that were given, none of them looked at yet.
#[derive(Debug)]
pub struct Given {
    words: Vec<(&'static str, &'static str)>,
}

/// Reads the boot line.
///
/// # Errors
/// For a parameter that isn't one of `known`, one without a value, one that is given twice, and a quote
/// that isn't closed.
pub fn read(known: &[Parameter]) -> Result<Given, StartError> {
    #[cfg(unik_machine)]
    let words = of_line(platform::boot_line(), known)?;
    #[cfg(not(unik_machine))]
    let words = {
        let mut words = of_arguments(std::env::args_os().skip(1), known)?;
        if let Some(line) = std::env::var_os("UNIK_BOOT") {
            let line = line.into_string().map_err(|_| error("UNIK_BOOT isn't UTF-8"))?;
            let said = words.len();
            for (name, value) in of_line(Box::leak(line.into_boxed_str()), known)? {
                if words[..said].iter().all(|(other, _)| *other != name) {
                    words.push((name, value));
                }
            }
        }
        words
    };
    Ok(Given { words })
}

impl Given {
    /// The value of a parameter, as `parse` makes it of the text; else the default.
    ///
    /// # Errors
    /// For a text that `parse` makes nothing of, and where there is neither a value nor a default.
    pub fn value<T>(
        &self,
        parameter: &Parameter,
        default: Option<T>,
        parse: impl FnOnce(&'static str) -> Option<T>,
    ) -> Result<T, StartError> {
        match (self.text(parameter), default) {
            (Some(text), _) => parse(text).ok_or_else(|| self.refuse(parameter, "")),
            (None, Some(default)) => Ok(default),
            (None, None) => {
                Err(told(&["`", PREFIX, parameter.name, "=…` is missing: it takes ", parameter.wanted]))
            }
        }
    }

    /// Looks at the value of a parameter that nothing takes on this platform: a boot line is right or
    /// wrong everywhere.
    ///
    /// # Errors
    /// As [`value`](Self::value), for a value that is given.
    pub fn check<T>(
        &self,
        parameter: &Parameter,
        parse: impl FnOnce(&'static str) -> Option<T>,
    ) -> Result<(), StartError> {
        match self.text(parameter).map(parse) {
            Some(None) => Err(self.refuse(parameter, "")),
            _ => Ok(()),
        }
    }

    fn text(&self, parameter: &Parameter) -> Option<&'static str> {
        self.words.iter().find(|(name, _)| *name == parameter.name).map(|(_, value)| *value)
    }

    /// What must hold of a value.
    ///
    /// # Errors
    /// If it isn't `good`; `why` follows the value.
    pub fn require(&self, good: bool, parameter: &Parameter, why: &str) -> Result<(), StartError> {
        if good { Ok(()) } else { Err(self.refuse(parameter, why)) }
    }

    /// The error for a value that won't do; `why` is empty where it isn't even of its type.
    fn refuse(&self, parameter: &Parameter, why: &str) -> StartError {
        let shown = match self.text(parameter) {
            _ if parameter.secret => "what is given (secret)".into(),
            Some(text) => shown(text),
            None => "its default".into(),
        };
        if why.is_empty() {
            return told(&["`", PREFIX, parameter.name, "` takes ", parameter.wanted, ", not ", &shown]);
        }
        told(&["`", PREFIX, parameter.name, "`: ", &shown, " ", why])
    }
}

fn error(message: impl Into<alloc::borrow::Cow<'static, str>>) -> StartError {
    Context::new("boot line").error(message)
}

fn told(parts: &[&str]) -> StartError {
    error(parts.concat())
}

/// Text of unknown origin in quotes, without what a terminal could take for a command.
fn shown(text: &str) -> String {
    let mut out = String::from("`");
    out.extend(text.chars().take(SHOWN).map(|c| if c.is_control() { '\u{fffd}' } else { c }));
    if text.chars().nth(SHOWN).is_some() {
        out.push('…');
    }
    out.push('`');
    out
}

/// The parameters on a line.
fn of_line(line: &'static str, known: &[Parameter]) -> Result<Vec<(&'static str, &'static str)>, StartError> {
    let mut found = Vec::new();
    let mut rest = line.trim_ascii_start();
    while !rest.is_empty() {
        let (mut quoted, mut escaped) = (false, false);
        let mut end = rest.len();
        for (at, byte) in rest.bytes().enumerate() {
            match byte {
                _ if escaped => escaped = false,
                b'\\' if quoted => escaped = true,
                b'"' => quoted = !quoted,
                byte if byte.is_ascii_whitespace() && !quoted => {
                    end = at;
                    break;
                }
                _ => {}
            }
        }
        if quoted {
            return Err(error("a quote isn't closed"));
        }
        let (word, after) = rest.split_at(end);
        rest = after.trim_ascii_start();
        if let Some((parameter, value)) = parameter(word, known)? {
            take(&mut found, parameter, unquoted(parameter, value)?)?;
        }
    }
    Ok(found)
}

/// The parameters of a command line, whose words a shell has unquoted.
#[cfg(not(unik_machine))]
fn of_arguments(
    arguments: impl Iterator<Item = std::ffi::OsString>,
    known: &[Parameter],
) -> Result<Vec<(&'static str, &'static str)>, StartError> {
    let mut found = Vec::new();
    for argument in arguments.filter(|argument| argument.as_encoded_bytes().starts_with(PREFIX.as_bytes())) {
        let word = argument.into_string().map_err(|_| error("an argument isn't UTF-8"))?;
        if let Some((parameter, value)) = parameter(Box::leak(word.into_boxed_str()), known)? {
            take(&mut found, parameter, value)?;
        }
    }
    Ok(found)
}

/// The parameter that a word is about, with its value; `None` for a word that is somebody else's.
fn parameter<'k>(
    word: &'static str,
    known: &'k [Parameter],
) -> Result<Option<(&'k Parameter, &'static str)>, StartError> {
    let (key, value) = word.split_once('=').map_or((word, None), |(key, value)| (key, Some(value)));
    let Some(name) = key.strip_prefix(PREFIX) else {
        if value.is_some() && known.iter().any(|parameter| parameter.name == key) {
            let line =
                ["WARN unik: `", key, "=` on the boot line is nothing of ours: `", PREFIX, key, "=` is\n"];
            platform::console_write(line.concat().as_bytes());
        }
        return Ok(None);
    };
    let Some(parameter) = known.iter().find(|parameter| parameter.name == name) else {
        let names: Vec<&str> = known.iter().map(|parameter| parameter.name).collect();
        return Err(told(&["there is no parameter ", &shown(key), "; there is ", &names.join(", ")]));
    };
    match value {
        Some(value) => Ok(Some((parameter, value))),
        None => Err(told(&[
            "`",
            PREFIX,
            parameter.name,
            "` takes ",
            parameter.wanted,
            ": write `",
            key,
            "=VALUE`",
        ])),
    }
}

fn take(
    found: &mut Vec<(&'static str, &'static str)>,
    parameter: &Parameter,
    value: &'static str,
) -> Result<(), StartError> {
    if found.iter().any(|(name, _)| *name == parameter.name) {
        return Err(told(&["`", PREFIX, parameter.name, "` is given twice"]));
    }
    found.push((parameter.name, value));
    Ok(())
}

/// A value without the quotes around it.
fn unquoted(parameter: &Parameter, value: &'static str) -> Result<&'static str, StartError> {
    // Where virtio devices are is looked for on the line as it is.
    if value.contains("virtio_mmio.device=") {
        return Err(told(&["`", PREFIX, parameter.name, "` can't hold the word `virtio_mmio.device=`"]));
    }
    if !value.contains('"') {
        return Ok(value);
    }
    let inside = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    let wrong = || {
        told(&["`", PREFIX, parameter.name, "`: a value is quoted as a whole, with \\\" for a quote in it"])
    };
    let inside = inside.ok_or_else(wrong)?;
    if !inside.contains(['\\', '"']) {
        return Ok(inside);
    }
    let mut text = String::new();
    let mut chars = inside.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => return Err(wrong()),
            '\\' => text.push(chars.next().ok_or_else(wrong)?),
            c => text.push(c),
        }
    }
    Ok(Box::leak(text.into_boxed_str()))
}

// Types -------------------------------------------------------------------------------

/// `true` or `false`.
#[must_use]
pub fn boolean(text: &str) -> Option<bool> {
    match text {
        "true" => Some(true),
        "false" => Some(false),
        _ => None,
    }
}

/// A whole number from `min` to `max`, in decimal digits.
#[must_use]
pub fn integer(text: &str, min: u64, max: u64) -> Option<u64> {
    let number = digits(text)?;
    (min..=max).contains(&number).then_some(number)
}

/// A port, 1 to 65535.
#[must_use]
pub fn port(text: &str) -> Option<u16> {
    u16::try_from(integer(text, 1, 65535)?).ok()
}

/// A size from `min` to `max` bytes: `16MiB`, `16 MiB`.
#[must_use]
pub fn size(text: &str, min: u64, max: u64) -> Option<usize> {
    let (number, unit) = quantity(text)?;
    let shift = match unit {
        "B" => 0,
        "KiB" => 10,
        "MiB" => 20,
        "GiB" => 30,
        "TiB" => 40,
        _ => return None,
    };
    let bytes = number.checked_mul(1 << shift)?;
    usize::try_from(bytes).ok().filter(|_| (min..=max).contains(&bytes))
}

/// A duration from `min` to `max` nanoseconds: `30s`, `30 s`.
#[must_use]
pub fn duration(text: &str, min: u64, max: u64) -> Option<Duration> {
    let (number, unit) = quantity(text)?;
    let nanoseconds = number.checked_mul(nanoseconds(unit)?)?;
    (min..=max).contains(&nanoseconds).then_some(Duration::from_nanos(nanoseconds))
}

/// A rate: `1000 per second`, `5 per 10 s`.
#[must_use]
pub fn rate(text: &str) -> Option<(u64, Duration)> {
    let (count, span) = text.split_once(" per ")?;
    let span = span.trim_ascii();
    let span = match nanoseconds(span) {
        Some(one) => Duration::from_nanos(one),
        None => duration(span, 1, u64::MAX)?,
    };
    Some((digits(count.trim_ascii())?, span))
}

/// An address of one family or either, by `core::net`.
#[must_use]
pub fn address<T: FromStr>(text: &str) -> Option<T> {
    text.parse().ok()
}

/// An address and a port: `10.0.0.1:53`, `[::1]:53`.
#[must_use]
pub fn endpoint(text: &str) -> Option<SocketAddr> {
    // Of a zone's name the language knows nothing.
    if text.contains('%') { None } else { text.parse().ok() }
}

/// `10.0.0.2/24`
#[must_use]
pub fn cidr4(text: &str) -> Option<(Ipv4Addr, u8)> {
    let (address, prefix) = text.split_once('/')?;
    Some((address.parse().ok()?, u8::try_from(integer(prefix, 0, 32)?).ok()?))
}

/// `fd00::2/64`
#[must_use]
pub fn cidr6(text: &str) -> Option<(Ipv6Addr, u8)> {
    let (address, prefix) = text.split_once('/')?;
    Some((address.parse().ok()?, u8::try_from(integer(prefix, 0, 128)?).ok()?))
}

/// `52:54:00:12:34:56`
#[must_use]
pub fn mac(text: &str) -> Option<[u8; 6]> {
    let mut parts = text.split(':');
    let mut mac = [0; 6];
    for byte in &mut mac {
        let part = parts.next().filter(|part| part.len() == 2 && !part.starts_with('+'))?;
        *byte = u8::from_str_radix(part, 16).ok()?;
    }
    parts.next().is_none().then_some(mac)
}

/// A word that could stand in a file without quotes.
#[must_use]
pub fn name(text: &'static str) -> Option<&'static str> {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let begins = text.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_');
    (begins && text.bytes().all(good)).then_some(text)
}

/// One of these words.
#[must_use]
pub fn word(text: &str, words: &'static [&'static str]) -> Option<&'static str> {
    words.iter().find(|word| **word == text).copied()
}

/// Values with commas between them; of an empty text, none.
#[must_use]
pub fn list<T>(text: &'static str, parse: impl Fn(&'static str) -> Option<T>) -> Option<&'static [T]> {
    if text.is_empty() {
        return Some(&[]);
    }
    let values: Option<Vec<T>> = text.split(',').map(|value| parse(value.trim_ascii())).collect();
    Some(Box::leak(values?.into_boxed_slice()))
}

fn digits(text: &str) -> Option<u64> {
    // `parse` would take a plus.
    if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None }
}

fn quantity(text: &str) -> Option<(u64, &str)> {
    let end = text.bytes().position(|byte| !byte.is_ascii_digit())?;
    let (number, unit) = text.split_at(end);
    Some((digits(number)?, unit.trim_ascii_start()))
}

fn nanoseconds(unit: &str) -> Option<u64> {
    Some(match unit {
        "ns" => 1,
        "us" => 1_000,
        "ms" => 1_000_000,
        "s" | "second" | "seconds" => 1_000_000_000,
        "min" | "minute" | "minutes" => 60_000_000_000,
        "h" | "hour" | "hours" => 3_600_000_000_000,
        "d" | "day" | "days" => 86_400_000_000_000,
        _ => return None,
    })
}

// What must hold of values: the catalogue's constraints ----------------------------------

/// Whether `address` is a host's in its network: neither the network's own nor its broadcast address.
#[must_use]
pub fn is_host(address: IpAddr, prefix: u8) -> bool {
    let (IpAddr::V4(address), true) = (address, prefix < 31) else { return true };
    let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
    let rest = address.to_bits() & !mask;
    rest != 0 && rest != !mask
}

/// Whether `address` is of the network of `base`, and a host's there.
#[must_use]
pub fn is_within(address: IpAddr, base: IpAddr, prefix: u8) -> bool {
    address.is_ipv4() == base.is_ipv4()
        && network(address, prefix) == network(base, prefix)
        && is_host(address, prefix)
}

/// Whether `address` is one that is good on its link only (RFC 3927, RFC 4291 2.5.6).
#[must_use]
pub fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    }
}

/// Whether two networks have no address in common. Link-local ones are on every link.
#[must_use]
pub fn are_apart(one: IpAddr, length: u8, other: IpAddr, prefix: u8) -> bool {
    let shorter = length.min(prefix);
    one.is_ipv4() != other.is_ipv4()
        || is_link_local(one)
        || is_link_local(other)
        || network(one, shorter) != network(other, shorter)
}

/// Whether no bit of `address` is set beyond the prefix.
#[must_use]
pub fn is_network(address: IpAddr, prefix: u8) -> bool {
    network(address, prefix) == address
}

fn network(address: IpAddr, prefix: u8) -> IpAddr {
    match address {
        IpAddr::V4(address) => {
            let mask = u32::MAX.checked_shl(32u32.saturating_sub(prefix.into())).unwrap_or(0);
            Ipv4Addr::from_bits(address.to_bits() & mask).into()
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(128u32.saturating_sub(prefix.into())).unwrap_or(0);
            Ipv6Addr::from_bits(address.to_bits() & mask).into()
        }
    }
}

/// Whether `address` is one that a host may have on a network.
#[must_use]
pub fn is_unicast(address: IpAddr) -> bool {
    let reserved = match address {
        IpAddr::V4(address) => address.octets()[0] == 0 || address.octets()[0] >= 240,
        IpAddr::V6(_) => false,
    };
    !(reserved || address.is_multicast() || address.is_unspecified() || address.is_loopback())
}

/// Whether `mac` is one that a host may have.
#[must_use]
pub fn is_unicast_mac(mac: [u8; 6]) -> bool {
    mac[0] & 1 == 0 && mac != [0; 6]
}

/// Whether `text` is the name of a host (RFC 1123, 2.1).
#[must_use]
pub fn is_hostname(text: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    text.len() <= 253 && text.split('.').all(label)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    const ADDRESS: Parameter = Parameter { name: "address", wanted: "an address", secret: false };
    const KEY: Parameter = Parameter { name: "key", wanted: "text", secret: true };
    const KNOWN: &[Parameter] = &[ADDRESS, KEY];

    fn given(line: &'static str) -> Result<Given, String> {
        of_line(line, KNOWN).map(|words| Given { words }).map_err(|error| error.to_string())
    }

    #[test]
    fn words_of_others_are_left_alone() {
        let line = "console=ttyS0 reboot=k pci=off unik.address=10.0.0.9/24 quiet \
                    virtio_mmio.device=4K@0xd0000000:5 x=\"a unik.key=1 b\" unik";
        let given = given(line).unwrap();
        assert_eq!(given.words, [("address", "10.0.0.9/24")]);
        let default = (Ipv4Addr::new(1, 1, 1, 1), 8);
        let value = given.value(&ADDRESS, Some(default), cidr4).unwrap();
        assert_eq!(value, (Ipv4Addr::new(10, 0, 0, 9), 24));
        assert_eq!(given.value(&KEY, Some("d"), Some).unwrap(), "d");
        assert_eq!(
            given.value(&KEY, None, Some).unwrap_err().to_string(),
            "boot line: `unik.key=…` is missing: it takes text"
        );
        assert!(self::given("").unwrap().words.is_empty() && self::given(" \t\n ").unwrap().words.is_empty());
    }

    #[test]
    fn values_with_blanks_are_quoted() {
        for (line, value) in [
            ("unik.key=\"two words\"", "two words"),
            ("unik.key=\"\"", ""),
            ("unik.key=", ""),
            (r#"a unik.key="say \"x\" \\" b"#, r#"say "x" \"#),
            ("unik.key=a=b", "a=b"),
        ] {
            assert_eq!(given(line).unwrap().words, [("key", value)], "{line}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for (line, part) in [
            ("unik.adress=1", "there is no parameter `unik.adress`; there is address, key"),
            ("unik.=1", "no parameter `unik.`"),
            ("unik.address", "write `unik.address=VALUE`"),
            ("unik.address=1 unik.address=1", "given twice"),
            ("a=\"b unik.address=1", "a quote isn't closed"),
            ("unik.key=\"a\\", "a quote isn't closed"),
            ("unik.key=\"a\"b", "quoted as a whole"),
            ("unik.key=a\"b\"", "quoted as a whole"),
            ("unik.key=\"a\"\"b\"", "quoted as a whole"),
            ("unik.key=\"x virtio_mmio.device=512@0:1\"", "can't hold"),
            ("unik.\u{1b}[2J=1", "`unik.\u{fffd}[2J`"),
        ] {
            let error = given(line).map(|given| given.words).unwrap_err();
            assert!(error.contains(part), "{line}: {error}");
        }
        let long = std::format!("unik.{}=1", "x".repeat(5000));
        assert!(given(Box::leak(long.into_boxed_str())).unwrap_err().len() < 300);
    }

    #[test]
    fn a_secret_is_not_shown() {
        let given = given("unik.key=hunter2 unik.address=nonsense").unwrap();
        let error = given.value(&KEY, None::<u64>, |text| integer(text, 0, 9)).unwrap_err().to_string();
        assert_eq!(error, "boot line: `unik.key` takes text, not what is given (secret)");
        let error = given.value(&ADDRESS, None, cidr4).unwrap_err().to_string();
        assert_eq!(error, "boot line: `unik.address` takes an address, not `nonsense`");
        assert!(!given.refuse(&KEY, "is no name").to_string().contains("hunter2"));
    }

    #[test]
    fn types() {
        assert_eq!((integer("7", 1, 9), integer("10", 1, 9), integer("+7", 1, 9)), (Some(7), None, None));
        assert_eq!((integer("", 0, 9), integer("99999999999999999999", 0, u64::MAX)), (None, None));
        assert_eq!((port("80"), port("0"), port("65536")), (Some(80), None, None));
        assert_eq!((size("16 MiB", 0, u64::MAX), size("1KiB", 0, 1023)), (Some(16 << 20), None));
        assert_eq!((size("16", 0, 99), size("16MB", 0, u64::MAX), size("B", 0, 9)), (None, None, None));
        assert_eq!(size("18446744073709551615TiB", 0, u64::MAX), None);
        assert_eq!(duration("30s", 0, u64::MAX), Some(Duration::from_secs(30)));
        assert_eq!(
            (duration("30 s", 0, 1), duration("30", 0, 99), duration("1 m", 0, u64::MAX)),
            (None, None, None)
        );
        assert_eq!(rate("5 per second"), Some((5, Duration::from_secs(1))));
        assert_eq!(rate("5 per 10 s"), Some((5, Duration::from_secs(10))));
        assert_eq!((rate("5 per 0 s"), rate("5"), rate("per second")), (None, None, None));
        assert_eq!(cidr4("10.0.0.2/24"), Some((Ipv4Addr::new(10, 0, 0, 2), 24)));
        for wrong in ["10.0.0.2", "10.0.0.2/", "10.0.0.2/33", "10.0.0.2/+4", "10.0.0.300/24", "::1/64"] {
            assert_eq!(cidr4(wrong), None, "{wrong}");
        }
        assert!(cidr6("fd00::2/64").is_some() && cidr6("fd00::2/129").is_none());
        assert_eq!(mac("52:54:00:12:34:5f"), Some([0x52, 0x54, 0, 0x12, 0x34, 0x5f]));
        for wrong in ["52:54:00:12:34", "52:54:00:12:34:56:78", "5:54:00:12:34:56", "+2:54:00:12:34:56", ""] {
            assert_eq!(mac(wrong), None, "{wrong}");
        }
        assert!(endpoint("[::1]:53").is_some() && endpoint("10.0.0.1").is_none());
        assert!(endpoint("[fe80::1%1]:53").is_none());
        assert_eq!((name("a-b.c"), name("1a"), name("")), (Some("a-b.c"), None, None));
        assert_eq!((word("low", &["low", "high"]), word("mid", &["low", "high"])), (Some("low"), None));
        assert_eq!(list("80, 443", port), Some(&[80, 443][..]));
        assert_eq!((list("", port), list("80,", port)), (Some(&[][..]), None));
        assert_eq!((boolean("true"), boolean("yes")), (Some(true), None));
    }

    #[test]
    fn constraints() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        assert!(is_host(ip("10.0.0.2"), 24) && is_host(ip("10.0.0.0"), 31) && is_host(ip("fd00::"), 64));
        assert!(!is_host(ip("10.0.0.0"), 24) && !is_host(ip("10.0.0.255"), 24) && !is_host(ip("0.0.0.0"), 0));
        assert!(
            is_within(ip("10.0.0.1"), ip("10.0.0.9"), 24) && !is_within(ip("10.0.1.1"), ip("10.0.0.9"), 24)
        );
        assert!(!is_within(ip("10.0.0.255"), ip("10.0.0.9"), 24) && !is_within(ip("::1"), ip("10.0.0.9"), 0));
        assert!(
            are_apart(ip("10.0.0.2"), 24, ip("10.0.1.2"), 24) && are_apart(ip("::1"), 0, ip("0.0.0.1"), 0)
        );
        assert!(
            !are_apart(ip("10.0.0.2"), 24, ip("10.0.1.2"), 16)
                && !are_apart(ip("2001::"), 9, ip("2000::"), 8)
        );
        assert!(are_apart(ip("fe80::1"), 64, ip("fe80::1"), 64) && is_link_local(ip("169.254.0.1")));
        assert!(is_network(ip("10.0.0.0"), 24) && !is_network(ip("10.0.0.1"), 24) && is_network(ip("::"), 0));
        for no in
            ["127.0.0.1", "0.1.2.3", "240.0.0.1", "255.255.255.255", "224.0.0.1", "::1", "ff02::1", "::"]
        {
            assert!(!is_unicast(ip(no)), "{no}");
        }
        assert!(is_unicast(ip("10.0.0.1")) && is_unicast(ip("fe80::1")));
        assert!(is_unicast_mac([2, 0, 0, 0, 0, 1]) && !is_unicast_mac([1; 6]) && !is_unicast_mac([0; 6]));
        assert!(is_hostname("web-1.lan") && !is_hostname("-a") && !is_hostname("a..b") && !is_hostname(""));
    }
}
