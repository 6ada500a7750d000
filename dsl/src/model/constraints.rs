//! The catalogue's constraints on the values of one entry.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use unik_catalogue::schema::{Constraint, Existing};
use unik_catalogue::value::{Entry as TypedEntry, Place};
use unik_catalogue::{Bound, Component, Options, Value as Typed};

use super::load::plain;
use super::matching::Matched;
use super::{Checker, Listening, Taken};
use crate::diagnostic::{Diagnostic, codes};

impl Checker<'_> {
    /// Checks the constraints of a form. `key` names the option.
    pub(super) fn form_constraints(
        &mut self,
        component: &Component,
        key: &str,
        constraints: &[Constraint],
        matched: &Matched,
        listens: &mut Vec<Listening>,
    ) {
        for constraint in constraints {
            match constraint {
                Constraint::Within { value, of, option: None, or_link_local } => {
                    for (network, network_place) in matched.all(of) {
                        for (address, place) in matched.all(value) {
                            if *or_link_local && is_link_local(address) {
                                continue;
                            }
                            self.within(value, address, place, network, network_place);
                        }
                    }
                }
                Constraint::Host(name) => {
                    // That it is no host's anywhere is told once.
                    let once = constraints.contains(&Constraint::Unicast(name.clone()));
                    let told = |value: &Typed| once && not_unicast(value).is_some();
                    let values = matched.all(name).filter(|(value, _)| !told(value));
                    values.for_each(|(value, place)| self.host(value, place));
                }
                Constraint::Differ(one, other) => {
                    for (first, first_place) in matched.all(one) {
                        for (second, second_place) in matched.all(other) {
                            if same(first, second) {
                                let (at, and) = if first_place > second_place {
                                    (first_place, second_place)
                                } else {
                                    (second_place, first_place)
                                };
                                self.error(
                                    Diagnostic::error(
                                        codes::DIFFER,
                                        at,
                                        format!("the {one} and the {other} are the same"),
                                    )
                                    .and(and, "the other"),
                                );
                            }
                        }
                    }
                }
                Constraint::PowerOfTwo(name) => {
                    for (value, place) in matched.all(name) {
                        if let Typed::Integer(number) | Typed::Size(number) = value
                            && !number.is_power_of_two()
                        {
                            let below = number.checked_ilog2().map_or(1, |bits| 1u64 << bits);
                            let mut diagnostic = Diagnostic::error(
                                codes::POWER_OF_TWO,
                                place,
                                format!("`{key}` takes a power of two"),
                            );
                            if matches!(value, Typed::Integer(_)) {
                                diagnostic = match below.checked_mul(2) {
                                    Some(above) => {
                                        diagnostic.help(format!("the nearest are {below} and {above}"))
                                    }
                                    None => diagnostic.help(format!("the nearest is {below}")),
                                };
                            }
                            self.error(diagnostic);
                        }
                    }
                }
                Constraint::Hostname(name) => {
                    for (value, place) in matched.all(name) {
                        if let Typed::String(text) | Typed::Name(text) = value
                            && let Err(why) = hostname(text)
                        {
                            self.error(
                                Diagnostic::error(
                                    codes::HOSTNAME,
                                    place,
                                    format!("`{key}` takes the name of a host"),
                                )
                                .label(why),
                            );
                        }
                    }
                }
                Constraint::InMemory(name) => {
                    for (value, place) in matched.all(name) {
                        // A default is for appliances of every size.
                        if let Typed::Size(bytes) = value
                            && matched.is_written
                        {
                            self.taken.push(Taken { key: key.into(), bytes: *bytes, place });
                        }
                    }
                }
                Constraint::Unicast(name) => {
                    for (value, place) in matched.all(name) {
                        if let Some(why) = not_unicast(value) {
                            self.error(
                                Diagnostic::error(
                                    codes::UNICAST,
                                    place,
                                    format!("`{key}` takes the address of one host"),
                                )
                                .label(why),
                            );
                        }
                    }
                }
                Constraint::Listens { protocol, port, wire, speaks, .. } => {
                    for (value, place) in matched.all(port) {
                        if let Typed::Port(port) = value {
                            listens.push(Listening {
                                protocol: *protocol,
                                port: *port,
                                wire: wire.clone(),
                                speaks: speaks.clone(),
                                place,
                            });
                        }
                    }
                }
                Constraint::Exists { path, is } => {
                    for (value, place) in matched.all(path) {
                        if let Typed::Path { written, resolved } = value
                            && let Err(why) = exists(resolved, *is)
                        {
                            self.error(
                                Diagnostic::error(
                                    codes::NO_FILE,
                                    place,
                                    format!("can't read `{written}`: {why}"),
                                )
                                .help(format!("looked for {}", self.shown(written, place))),
                            );
                        }
                    }
                }
                Constraint::Unique(name) => {
                    for (value, place) in matched.all(name) {
                        let key = (component.name.clone(), key.to_string(), name.clone());
                        self.unique.entry(key).or_default().push((value.clone(), place));
                    }
                }
                Constraint::Apart(name) => {
                    let known = matched
                        .all(name)
                        .filter(|(value, _)| !is_link_local(value) && not_unicast(value).is_none());
                    self.apart.extend(known.filter_map(|(value, place)| Some((cidr(value)?, place))));
                }
                Constraint::Network(name) => {
                    for (value, place) in matched.all(name) {
                        self.network(value, place);
                    }
                }
                // About several entries: see `across`.
                Constraint::Within { option: Some(_), .. }
                | Constraint::Distinct(_)
                | Constraint::NeedsOption(_) => {}
                // These are about several options: see `component_constraints`.
                Constraint::Excludes(_)
                | Constraint::AnyOf(_)
                | Constraint::Requires { .. }
                | Constraint::Idle { .. }
                | Constraint::Void { .. } => {}
            }
        }
    }

    /// Checks what must hold between the entries of an instance's options, which are at `place`.
    pub(super) fn across(&mut self, component: &Component, options: &Options, place: Place) {
        for (key, spec) in &component.options {
            let entries = options.get(key).map_or(&[][..], Vec::as_slice);
            for (at, entry) in entries.iter().enumerate() {
                let here = entry.place.unwrap_or(place);
                for constraint in &spec.forms[entry.form].constraints {
                    match constraint {
                        Constraint::Within { value, of, option: Some(other), or_link_local } => {
                            let others = options.get(other).map_or(&[][..], Vec::as_slice);
                            let networks = others
                                .iter()
                                .filter_map(|other| Some((other.value(of)?.known()?, other.place)));
                            let networks: Vec<_> = networks.collect();
                            let Some((first, first_place)) = networks.first() else { continue };
                            let Some(value_is) = entry.value(value).and_then(Typed::known) else { continue };
                            if *or_link_local && is_link_local(value_is) {
                                continue;
                            }
                            if !networks.iter().any(|(network, _)| is_within(value_is, network)) {
                                self.within(value, value_is, here, first, first_place.unwrap_or(place));
                            }
                        }
                        Constraint::Distinct(name) => {
                            let same = |other: &&TypedEntry| {
                                entry.value(name).is_some_and(|value| other.value(name) == Some(value))
                            };
                            if let Some(first) = entries[..at].iter().find(same) {
                                self.error(
                                    Diagnostic::error(
                                        codes::DISTINCT,
                                        here,
                                        format!("there is another `{key}` with this {name}"),
                                    )
                                    .and(first.place.unwrap_or(place), "the other"),
                                );
                            }
                        }
                        Constraint::NeedsOption(other) if !options.contains_key(other) => {
                            let found = format!("`{key}` needs `{other}` beside it, as it is written here");
                            self.error(Diagnostic::error(codes::REQUIRES, here, found));
                        }
                        _ => {}
                    }
                }
            }
        }
    }

    fn network(&mut self, value: &Typed, place: Place) {
        let Some((address, prefix)) = cidr(value) else { return };
        let Some(network) = masked(address, prefix).filter(|network| *network != address) else { return };
        let message = format!("{address}/{prefix} is no network's address");
        let diagnostic = Diagnostic::error(codes::NO_NETWORK, place, message);
        self.error(self.instead(
            diagnostic,
            "the network that it is in",
            place,
            format!("{network}/{prefix}"),
        ));
    }

    fn within(&mut self, what: &str, address: &Typed, place: Place, network: &Typed, network_place: Place) {
        let (Some(address), Some((base, prefix))) = (ip(address), cidr(network)) else { return };
        if masked(address, prefix) != masked(base, prefix) || address.is_ipv4() != base.is_ipv4() {
            let network = masked(base, prefix).map_or_else(|| base.to_string(), |base| base.to_string());
            self.error(
                Diagnostic::error(
                    codes::OUTSIDE,
                    place,
                    format!("the {what} {address} is outside of the network {network}/{prefix}"),
                )
                .and(network_place, "the network"),
            );
        } else if let IpAddr::V4(address) = address
            && let Some((role, _)) = no_host(address, prefix)
        {
            self.error(
                Diagnostic::error(
                    codes::NO_HOST,
                    place,
                    format!("the {what} {address} is {role}, not of a host"),
                )
                .and(network_place, "the network"),
            );
        }
    }

    /// Proposes another value, where one is written: a `$name` may be meant for others, too.
    fn instead(&self, diagnostic: Diagnostic, what: &str, place: Place, value: String) -> Diagnostic {
        match self.sources.text(place).starts_with('$') {
            true => diagnostic.help(format!("{what}: {value}")),
            false => diagnostic.suggest(what, place, value),
        }
    }

    fn host(&mut self, value: &Typed, place: Place) {
        let Typed::Cidr4(address, prefix) = value else { return };
        let Some((role, network)) = no_host(*address, *prefix) else { return };
        let mut diagnostic =
            Diagnostic::error(codes::NO_HOST, place, format!("{address} is {role}, not of a host"));
        let example = Ipv4Addr::from_bits(network.to_bits() + 2);
        // Where the whole network has no hosts, there is no example in it.
        if not_unicast(&Typed::Ipv4(example)).is_none() {
            diagnostic = self.instead(
                diagnostic,
                "a host of this network, for example",
                place,
                format!("{example}/{prefix}"),
            );
        }
        self.error(diagnostic);
    }

    /// Reports sizes that are more than the memory that they are taken of.
    pub(super) fn more_than_memory(&mut self, settings: &Options) {
        let taken = std::mem::take(&mut self.taken);
        let memory = settings.get("memory").and_then(|entries| entries.first());
        let Some((Typed::Size(memory), place)) =
            memory.and_then(|entry| Some((entry.value("size")?, entry.place)))
        else {
            return;
        };
        for Taken { key, bytes, place: at } in taken.into_iter().filter(|it| it.bytes > *memory) {
            let diagnostic = Diagnostic::error(
                codes::MORE_THAN_MEMORY,
                at,
                format!("`{key}` takes {}, and the appliance has {} in all", shown(bytes), shown(*memory)),
            );
            self.error(match place {
                Some(place) => diagnostic.and(place, "the memory that it is taken of"),
                None => diagnostic.help("`memory SIZE` gives the appliance more than the default"),
            });
        }
    }

    /// Reports values that two instances have and only one may.
    pub(super) fn not_unique(&mut self) {
        let mut found = Vec::new();
        for ((_, key, _), values) in &self.unique {
            for (at, (value, place)) in values.iter().enumerate() {
                // Lists are short: as long as the appliance has instances of a component.
                if let Some((_, first)) = values[..at].iter().find(|(other, _)| other == value) {
                    found.push((*place, *first, key.clone()));
                }
            }
        }
        found.sort();
        for (place, first, key) in found {
            self.error(
                Diagnostic::error(
                    codes::NOT_UNIQUE,
                    place,
                    format!("`{key}` has a value that another instance has"),
                )
                .and(first, "the other"),
            );
        }
    }

    /// Reports networks that share addresses.
    pub(super) fn not_apart(&mut self) {
        let apart = std::mem::take(&mut self.apart);
        // As few as the appliance has networks.
        for (at, ((base, prefix), place)) in apart.iter().enumerate() {
            let shares = |((other, length), _): &&((IpAddr, u8), Place)| {
                let shorter = *prefix.min(length);
                base.is_ipv4() == other.is_ipv4() && masked(*base, shorter) == masked(*other, shorter)
            };
            if let Some(((other, length), first)) = apart[..at].iter().find(shares) {
                let message = format!("{base}/{prefix} has addresses that {other}/{length} has, too");
                self.error(
                    Diagnostic::error(codes::OVERLAP, *place, message)
                        .and(*first, "the other network")
                        .help("which of the two a packet is for couldn't be told"),
                );
            }
        }
    }

    /// A path as it was looked for, without what differs from machine to machine.
    fn shown(&self, written: &str, place: Place) -> String {
        if Path::new(written).is_absolute() {
            return format!("`{written}` on this machine");
        }
        let folder = self.sources.source(place.source).and_then(|source| source.path.parent());
        let folder = folder.filter(|folder| !folder.as_os_str().is_empty());
        match folder {
            Some(folder) => format!("`{written}` in the folder `{}`", folder.display()),
            None => format!("`{written}` beside this file"),
        }
    }
}

impl Matched {
    /// The values of a placeholder, each with its place.
    fn all<'a>(&'a self, name: &str) -> impl Iterator<Item = (&'a Typed, Place)> {
        let values = match self.values.get(name) {
            None => &[][..],
            Some(Bound::One(value)) => std::slice::from_ref(value),
            Some(Bound::Many(values)) => values,
        };
        // What is given at boot is checked then; its default here.
        let known = |(value, place): (&'a Typed, Place)| Some((value.known()?, place));
        values.iter().zip(self.places.get(name).into_iter().flatten().copied()).filter_map(known)
    }
}

fn is_within(address: &Typed, network: &Typed) -> bool {
    let (Some(address), Some((base, prefix))) = (ip(address), cidr(network)) else { return true };
    let is_host = match address {
        IpAddr::V4(address) => no_host(address, prefix).is_none(),
        IpAddr::V6(_) => true,
    };
    address.is_ipv4() == base.is_ipv4() && masked(address, prefix) == masked(base, prefix) && is_host
}

fn is_link_local(value: &Typed) -> bool {
    ip(value).is_some_and(|address| match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    })
}

fn ip(value: &Typed) -> Option<IpAddr> {
    Some(match value {
        Typed::Ipv4(address) | Typed::Cidr4(address, _) => (*address).into(),
        Typed::Ipv6(address) | Typed::Cidr6(address, _) => (*address).into(),
        Typed::Ip(address) => *address,
        _ => return None,
    })
}

fn cidr(value: &Typed) -> Option<(IpAddr, u8)> {
    match value {
        Typed::Cidr4(address, prefix) => Some(((*address).into(), *prefix)),
        Typed::Cidr6(address, prefix) => Some(((*address).into(), *prefix)),
        _ => None,
    }
}

/// The network of an address; `None` when the prefix is longer than the address.
fn masked(address: IpAddr, prefix: u8) -> Option<IpAddr> {
    match address {
        IpAddr::V4(address) => {
            let mask = u32::MAX.checked_shl(32u32.checked_sub(prefix.into())?).unwrap_or(0);
            Some(Ipv4Addr::from_bits(address.to_bits() & mask).into())
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(128u32.checked_sub(prefix.into())?).unwrap_or(0);
            Some(std::net::Ipv6Addr::from_bits(address.to_bits() & mask).into())
        }
    }
}

fn same(one: &Typed, other: &Typed) -> bool {
    match (ip(one), ip(other)) {
        (Some(one), Some(other)) => one == other,
        _ => one == other,
    }
}

/// What an address of a network with this prefix is, if it isn't a host's, and that network.
fn no_host(address: Ipv4Addr, prefix: u8) -> Option<(&'static str, Ipv4Addr)> {
    // Networks of one or two addresses have no broadcast address (RFC 3021).
    if prefix >= 31 {
        return None;
    }
    let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
    let role = match address.to_bits() & !mask {
        0 => "the address of the network itself",
        rest if rest == !mask => "the broadcast address of the network",
        _ => return None,
    };
    Some((role, Ipv4Addr::from_bits(address.to_bits() & mask)))
}

/// A number of bytes in the largest unit that it is whole in.
fn shown(bytes: u64) -> String {
    let units = [(40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")];
    let whole = units.iter().find(|(bits, _)| bytes != 0 && bytes.trailing_zeros() >= *bits);
    whole.map_or_else(|| format!("{bytes} B"), |(bits, unit)| format!("{} {unit}", bytes >> bits))
}

fn hostname(text: &str) -> Result<(), String> {
    if text.is_empty() {
        return Err("this is empty".into());
    }
    if text.len() > 253 {
        return Err(format!("this has {} bytes, and names have at most 253 (RFC 1035)", text.len()));
    }
    for label in text.split('.') {
        if label.is_empty() {
            return Err("there is nothing before, after or between dots".into());
        }
        if label.len() > 63 {
            return Err(format!("a part of a name has at most 63 bytes (RFC 1035), this {}", label.len()));
        }
        if let Some(other) = label.chars().find(|c| !c.is_ascii_alphanumeric() && *c != '-') {
            return Err(format!(
                "names of hosts are of letters, digits and hyphens, not `{}`",
                other.escape_debug()
            ));
        }
        if label.starts_with('-') || label.ends_with('-') {
            return Err("a hyphen stands neither first nor last".into());
        }
    }
    Ok(())
}

fn not_unicast(value: &Typed) -> Option<&'static str> {
    if let Typed::Mac(mac) = value {
        return match mac {
            [0xff, 0xff, 0xff, 0xff, 0xff, 0xff] => Some("this is the broadcast address"),
            [first, ..] if first & 1 == 1 => Some("this is a multicast address: the first byte is odd"),
            [0, 0, 0, 0, 0, 0] => Some("this is no address"),
            _ => None,
        };
    }
    match ip(value)? {
        address if address.is_multicast() => Some("this is a multicast address"),
        address if address.is_unspecified() => Some("this address stands for none"),
        IpAddr::V4(Ipv4Addr::BROADCAST) => Some("this is the broadcast address"),
        address if address.is_loopback() => Some("this address is every host's own, and on no network"),
        IpAddr::V4(address) if address.octets()[0] == 0 => {
            Some("addresses that begin with 0 are no host's (RFC 6890)")
        }
        IpAddr::V4(address) if address.octets()[0] >= 240 => {
            Some("addresses from 240.0.0.0 on are reserved (RFC 6890)")
        }
        _ => None,
    }
}

fn exists(path: &Path, is: Existing) -> Result<(), String> {
    let metadata = std::fs::metadata(path).map_err(|error| match (error.kind(), is) {
        (std::io::ErrorKind::NotFound, Existing::Folder) => "there is no such folder".into(),
        _ => plain(&error),
    })?;
    match is {
        Existing::File if metadata.is_dir() => Err("it is a folder, not a file".into()),
        Existing::File if !metadata.is_file() => Err("it is no ordinary file".into()),
        Existing::File => std::fs::File::open(path).map(drop).map_err(|error| plain(&error)),
        Existing::Folder if !metadata.is_dir() => Err("it is a file, not a folder".into()),
        Existing::Folder => std::fs::read_dir(path).map(drop).map_err(|error| plain(&error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks() {
        let net = |text: &str, prefix| masked(text.parse().unwrap(), prefix).map(|ip: IpAddr| ip.to_string());
        assert_eq!(net("10.0.3.2", 22).as_deref(), Some("10.0.0.0"));
        assert_eq!(net("10.0.3.2", 0).as_deref(), Some("0.0.0.0"));
        assert_eq!(net("10.0.3.2", 32).as_deref(), Some("10.0.3.2"));
        assert_eq!(net("10.0.3.2", 64), None);
        assert_eq!(net("fd00::1:2", 64).as_deref(), Some("fd00::"));
        assert_eq!(net("fd00::1:2", 0).as_deref(), Some("::"));
    }

    #[test]
    fn unicast() {
        assert!(not_unicast(&Typed::Mac([0x52, 0x54, 0, 0, 0, 1])).is_none());
        assert!(not_unicast(&Typed::Mac([0x33, 0x33, 0, 0, 0, 1])).is_some());
        assert!(not_unicast(&Typed::Mac([0xff; 6])).is_some());
        assert!(not_unicast(&Typed::Ip("224.0.0.1".parse().unwrap())).is_some());
        assert!(not_unicast(&Typed::Ipv4("0.0.0.0".parse().unwrap())).is_some());
        assert!(not_unicast(&Typed::Ipv6("fd00::1".parse().unwrap())).is_none());
        for no in ["127.0.0.1", "0.1.2.3", "240.0.0.1", "255.255.255.255", "::1", "ff02::1", "::"] {
            assert!(not_unicast(&Typed::Ip(no.parse().unwrap())).is_some(), "{no}");
        }
        for yes in ["169.254.1.1", "10.0.0.1", "223.255.255.254", "1.1.1.1"] {
            assert!(not_unicast(&Typed::Ip(yes.parse().unwrap())).is_none(), "{yes}");
        }
    }

    #[test]
    fn names_of_hosts() {
        let label = "a".repeat(63);
        for good in ["a", "Web-1", "1st", "a.b.c", &label, &[label.as_str(); 3].join(".")] {
            assert_eq!(hostname(good), Ok(()), "{good}");
        }
        for bad in [
            "",
            ".",
            "a.",
            ".a",
            "a..b",
            "-a",
            "a-",
            "a_b",
            "a b",
            "ü",
            "a\n",
            &"a".repeat(64),
            &[label.as_str(); 4].join("."),
        ] {
            assert!(hostname(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn sizes_are_shown_whole() {
        assert_eq!([0, 1000, 64 << 10, 60 << 30].map(shown), ["0 B", "1000 B", "64 KiB", "60 GiB"]);
    }
}
