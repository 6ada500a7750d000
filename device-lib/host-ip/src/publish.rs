//! `publish=` on the command line.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use unik::start::{Listen, Protocol};

/// Where the host has a port of the appliance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// The transport.
    pub protocol: Protocol,
    /// The port that a service listens on.
    pub port: u16,
    /// The address of the host; port 0 takes a free one.
    pub host: SocketAddr,
}

/// The mappings for `instance`, whose services listen on `listens`, in the command line `line`.
pub(crate) fn from_boot_line(
    instance: &str,
    listens: &[Listen],
    line: &str,
) -> Result<Vec<Mapping>, PublishError> {
    let own = format!("{instance}.publish");
    let mut mappings = Vec::new();
    // Those of the instance first: they go before those for all.
    for wanted in [own.as_str(), "publish"] {
        let mut level: Vec<Mapping> = Vec::new();
        let values = line.split_ascii_whitespace().filter_map(|argument| argument.split_once('='));
        for (_, value) in values.filter(|(key, _)| *key == wanted) {
            for entry in value.split(',') {
                let mapping = parse(entry)?;
                if level.iter().any(|other| is_same_port(other, &mapping)) {
                    return Err(PublishError { entry: entry.into(), problem: Problem::Repeated });
                }
                let is_open =
                    listens.iter().any(|it| it.protocol == mapping.protocol && it.port == mapping.port);
                // One for all may be for another network.
                if wanted == own && !is_open {
                    return Err(PublishError { entry: entry.into(), problem: Problem::Closed });
                }
                level.push(mapping);
            }
        }
        level.retain(|mapping| !mappings.iter().any(|other| is_same_port(other, mapping)));
        mappings.append(&mut level);
    }
    Ok(mappings)
}

fn is_same_port(one: &Mapping, other: &Mapping) -> bool {
    (one.protocol, one.port) == (other.protocol, other.port)
}

/// Parses `[ADDRESS:]HOSTPORT:PORT[/udp]`.
fn parse(entry: &str) -> Result<Mapping, PublishError> {
    let error = |problem| PublishError { entry: entry.into(), problem };
    let (ports, protocol) = match entry.split_once('/') {
        None | Some((_, "tcp")) => (entry.trim_end_matches("/tcp"), Protocol::Tcp),
        Some((ports, "udp")) => (ports, Protocol::Udp),
        Some(_) => return Err(error(Problem::Protocol)),
    };
    let (host, port) = ports.rsplit_once(':').ok_or_else(|| error(Problem::Form))?;
    let port = port.parse().ok().filter(|port| *port != 0).ok_or_else(|| error(Problem::Port))?;
    let (address, host_port) = match host.rsplit_once(':') {
        Some((address, host_port)) => {
            (parse_address(address).ok_or_else(|| error(Problem::Address))?, host_port)
        }
        None => (IpAddr::V4(Ipv4Addr::LOCALHOST), host),
    };
    let host_port: u16 = host_port.parse().map_err(|_| error(Problem::Port))?;
    Ok(Mapping { protocol, port, host: SocketAddr::from((address, host_port)) })
}

/// An IPv4 address, or an IPv6 address in brackets.
fn parse_address(text: &str) -> Option<IpAddr> {
    match text.strip_prefix('[').and_then(|text| text.strip_suffix(']')) {
        Some(text) => text.parse().ok().map(IpAddr::V6),
        None => text.parse().ok().map(IpAddr::V4),
    }
}

/// `publish=` holds what can't be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublishError {
    entry: String,
    problem: Problem,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Problem {
    Form,
    Protocol,
    Port,
    Address,
    Repeated,
    Closed,
}

impl fmt::Display for PublishError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let problem = match self.problem {
            Problem::Form => "expected [ADDRESS:]HOSTPORT:PORT[/udp], such as 8080:80",
            Problem::Protocol => "expected /udp, /tcp or nothing at the end",
            Problem::Port => "a port is a number from 1 to 65535 (of the host, also 0: any that is free)",
            Problem::Address => "expected an IPv4 address, or an IPv6 address in brackets, before the ports",
            Problem::Repeated => "the port of the appliance is published already",
            Problem::Closed => "no service listens on that port of this network",
        };
        write!(f, "publish={}: {problem}", self.entry)
    }
}

impl std::error::Error for PublishError {}

#[cfg(test)]
mod tests {
    use super::*;

    const LISTENS: &[Listen] = &[Listen { protocol: Protocol::Tcp, port: 80, service: "site" }];

    fn shown(instance: &str, line: &str) -> Result<Vec<String>, String> {
        let mappings = from_boot_line(instance, LISTENS, line).map_err(|error| error.to_string())?;
        Ok(mappings.iter().map(|m| format!("{:?} {} {}", m.protocol, m.port, m.host)).collect())
    }

    #[test]
    fn reads_all_forms() {
        let line = "quiet publish=8080:80,0.0.0.0:5353:53/udp name=x publish=[::1]:0:443/tcp";
        let expected = ["Tcp 80 127.0.0.1:8080", "Udp 53 0.0.0.0:5353", "Tcp 443 [::1]:0"];
        assert_eq!(shown("lan", line).expect("good mappings"), expected);
        assert_eq!(shown("lan", "").expect("none"), [""; 0]);
    }

    #[test]
    fn an_instances_own_goes_first() {
        let line = "publish=8080:80,8443:443 wan.publish=9090:80";
        assert_eq!(shown("lan", line).expect("good"), ["Tcp 80 127.0.0.1:8080", "Tcp 443 127.0.0.1:8443"]);
        assert_eq!(shown("wan", line).expect("good"), ["Tcp 80 127.0.0.1:9090", "Tcp 443 127.0.0.1:8443"]);
    }

    #[test]
    fn a_port_that_nobody_listens_on_isnt_published_in_vain() {
        let error = shown("lan", "lan.publish=8081:81").expect_err("closed");
        assert!(error.contains("no service listens"), "{error}");
        shown("lan", "lan.publish=8080:80/udp").expect_err("another transport");
        assert_eq!(shown("lan", "wan.publish=8081:81").expect("another's"), [""; 0]);
    }

    #[test]
    fn says_what_is_wrong() {
        for (entry, message) in [
            ("80", "expected [ADDRESS:]"),
            ("", "expected [ADDRESS:]"),
            ("8080:80/sctp", "expected /udp"),
            ("8080:0", "a port is a number"),
            ("8080:65536", "a port is a number"),
            (":80", "a port is a number"),
            ("-1:80", "a port is a number"),
            ("::1:8080:80", "expected an IPv4 address"),
            ("localhost:8080:80", "expected an IPv4 address"),
            ("8080:80,8081:80", "published already"),
        ] {
            let error = shown("lan", &format!("publish={entry}")).expect_err(entry);
            assert!(error.contains(message), "{error}");
        }
    }
}
