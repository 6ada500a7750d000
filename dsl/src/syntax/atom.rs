//! What begins like a number or an address: which of them it is, or why it is none.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::ValueKind;

/// Reads a number, `1_000_000` or `80`.
pub fn integer(text: &str) -> Result<u64, String> {
    let digits: String = text.chars().filter(|c| *c != '_').collect();
    digits.parse().map_err(|_| "this number is greater than 2⁶⁴ − 1".to_string())
}

/// Reads what starts with a digit and is neither a plain number nor a number with a
/// unit: an IPv4 address, with a prefix length or a port.
pub fn numeric(text: &str) -> Result<ValueKind, String> {
    if let Some((address, prefix)) = text.split_once('/') {
        let address = ipv4(address)?;
        return Ok(ValueKind::Cidr(address.into(), prefix_length(prefix, 32)?));
    }
    if let Some((address, port)) = text.split_once(':') {
        if port.contains(':') {
            return Err(
                mac(text).map_or_else(|why| why, |()| "this is neither a MAC nor an IPv6 address".into())
            );
        }
        let address = ipv4(address)?;
        return Ok(ValueKind::Endpoint(SocketAddr::new(address.into(), self::port(port)?)));
    }
    if let Some(hex) = text.strip_prefix("0x") {
        return u64::from_str_radix(&hex.replace('_', ""), 16)
            .map(ValueKind::Integer)
            .map_err(|_| "this is no hexadecimal number of at most 64 bits".into());
    }
    let hex = |part: &str| part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_hexdigit());
    if text.split('-').count() == 6 && text.split('-').all(hex) {
        return Err(format!("a MAC address is written `{}`", text.replace('-', ":")));
    }
    if !text.contains('.') {
        return Err(
            "this is neither a number nor a word: words begin with a letter, text stands in quotes".into()
        );
    }
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let all_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let digits = fraction.find(|c: char| !c.is_ascii_digit()).unwrap_or(fraction.len());
    if all_digits(whole) && digits > 0 && !fraction[digits..].contains('.') {
        return Err("numbers are whole: write it in a smaller unit".into());
    }
    ipv4(text).map(|address| ValueKind::Ip(address.into()))
}

/// Reads an IPv6 address, with or without a prefix length.
pub fn ipv6(text: &str) -> Result<ValueKind, String> {
    let (address, prefix) =
        text.split_once('/').map_or((text, None), |(address, prefix)| (address, Some(prefix)));
    let address: Ipv6Addr = address.parse().map_err(|_| match mac(address) {
        Err(why) if address.matches(':').count() == 5 && !address.contains("::") => why,
        _ => {
            "this is no IPv6 address: it has eight groups of up to four hexadecimal digits, or `::` for some"
                .into()
        }
    })?;
    match prefix {
        None => Ok(ValueKind::Ip(address.into())),
        Some(prefix) => Ok(ValueKind::Cidr(IpAddr::V6(address), prefix_length(prefix, 128)?)),
    }
}

/// Reads `[::1]:53`.
pub fn endpoint6(text: &str) -> Result<ValueKind, String> {
    let (address, port) = text.trim_start_matches('[').split_once("]:").unwrap_or((text, ""));
    let address: Ipv6Addr =
        address.parse().map_err(|_| "the address in brackets is no IPv6 address".to_string())?;
    Ok(ValueKind::Endpoint(SocketAddr::new(address.into(), self::port(port)?)))
}

fn ipv4(text: &str) -> Result<Ipv4Addr, String> {
    let parts: Vec<&str> = text.split('.').take(6).collect();
    for part in &parts {
        let number = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        match part.parse::<u64>() {
            _ if !number => return Err(format!("`{part}` in an IPv4 address is no number from 0 to 255")),
            Ok(value) if value <= 255 => {}
            _ => return Err(format!("{part} in an IPv4 address is greater than 255")),
        }
    }
    if parts.len() != 4 {
        return Err("an IPv4 address has four numbers, such as `10.0.0.2`".into());
    }
    // The standard library refuses leading zeros, which some read as octal.
    text.parse().map_err(|_| "the numbers of an IPv4 address have no leading zeros".into())
}

fn prefix_length(text: &str, max: u8) -> Result<u8, String> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|length| digits && *length <= max).ok_or_else(|| {
        if max == 32 && text.contains('.') {
            "a prefix length is a number, such as `/24`, and no mask".into()
        } else {
            format!("a prefix length is a number from 0 to {max}")
        }
    })
}

fn port(text: &str) -> Result<u16, String> {
    text.parse().ok().filter(|port| *port != 0).ok_or_else(|| "a port is a number from 1 to 65535".into())
}

/// Why something with colons is no MAC address.
fn mac(text: &str) -> Result<(), String> {
    let parts: Vec<&str> = text.split(':').take(8).collect();
    if parts.len() != 6 {
        return Err("a MAC address has six pairs of hexadecimal digits, such as `52:54:00:12:34:56`".into());
    }
    match parts.iter().find(|part| part.len() != 2 || !part.bytes().all(|byte| byte.is_ascii_hexdigit())) {
        Some(part) => Err(format!("`{part}` in a MAC address is no pair of hexadecimal digits")),
        None => Ok(()),
    }
}

/// Takes quotes and escapes from a string. `Err` has the bytes of the wrong escape.
pub fn unescape(quoted: &str) -> Result<String, (std::ops::Range<usize>, String)> {
    let inner = quoted.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(quoted);
    let mut text = String::with_capacity(inner.len());
    let mut rest = inner.char_indices();
    while let Some((at, c)) = rest.next() {
        if c != '\\' {
            text.push(c);
            continue;
        }
        let wrong = |end: usize| (at + 1..end + 1, "there is no such escape".to_string());
        match rest.next() {
            Some((_, 'n')) => text.push('\n'),
            Some((_, 't')) => text.push('\t'),
            Some((_, 'r')) => text.push('\r'),
            Some((_, c @ ('"' | '\\'))) => text.push(c),
            Some((_, 'u')) => {
                let hex =
                    inner[at + 2..].strip_prefix('{').and_then(|hex| hex.split_once('}')).map(|(hex, _)| hex);
                let c = hex
                    .filter(|hex| hex.len() <= 6)
                    .and_then(|hex| u32::from_str_radix(hex, 16).ok())
                    .and_then(char::from_u32)
                    .ok_or_else(|| {
                        (at + 1..at + 3, "a character by number is written `\\u{1F600}`".to_string())
                    })?;
                text.push(c);
                for _ in 0..hex.map_or(0, |hex| hex.len() + 2) {
                    rest.next();
                }
            }
            Some((end, c)) => return Err(wrong(end + c.len_utf8())),
            None => return Err(wrong(inner.len())),
        }
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        assert_eq!(numeric("10.0.0.1"), Ok(ValueKind::Ip("10.0.0.1".parse().unwrap())));
        assert_eq!(numeric("10.0.0.2/24"), Ok(ValueKind::Cidr("10.0.0.2".parse().unwrap(), 24)));
        assert_eq!(numeric("10.0.0.2:53"), Ok(ValueKind::Endpoint("10.0.0.2:53".parse().unwrap())));
        assert_eq!(ipv6("fd00::2/64"), Ok(ValueKind::Cidr("fd00::2".parse().unwrap(), 64)));
        assert_eq!(endpoint6("[::1]:53"), Ok(ValueKind::Endpoint("[::1]:53".parse().unwrap())));
        assert_eq!(numeric("0x1f"), Ok(ValueKind::Integer(31)));
    }

    #[test]
    fn why_it_is_none() {
        for (text, why) in [
            ("10.0.0.300", "300 in an IPv4 address is greater than 255"),
            ("10.0.0", "four numbers"),
            ("10.0.0.2/33", "from 0 to 32"),
            ("10.0.0.2/255.255.255.0", "no mask"),
            ("10.0.0.01", "leading zeros"),
            ("10.0.0.1:70000", "from 1 to 65535"),
            ("1.5", "whole"),
            ("52:54:00:12:34:5g", "`5g` in a MAC"),
            ("12-x", "neither a number nor a word"),
            ("52-54-00-12-34-56", "`52:54:00:12:34:56`"),
        ] {
            let error = numeric(text).unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
        assert!(ipv6("1::2::3").unwrap_err().contains("IPv6"));
    }

    #[test]
    fn escapes() {
        assert_eq!(unescape(r#""a\n\"\\\u{e9}b""#).unwrap(), "a\n\"\\éb");
        assert_eq!(unescape(r#""a\q""#).unwrap_err().0, 2..4);
        assert!(unescape(r#""\u{d800}""#).is_err());
        assert!(unescape(r#""\u12""#).is_err());
    }
}
