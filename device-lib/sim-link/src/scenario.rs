//! What a run is to be, by its arguments.

use std::fmt;
use std::net::Ipv4Addr;

use unik::platform::sim;

use crate::faults::{Faults, time};

/// What is asked of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Scenario {
    pub faults: Faults,
    /// Hosts with clients, on each network.
    pub clients: u32,
    /// How often each client uses each service.
    pub rounds: u32,
    /// How long all of it may take, and how long a client waits for something to come, in nanoseconds.
    pub limit: u64,
    pub patience: u64,
    /// When the appliance is asked to end, in nanoseconds after its services answer.
    pub shutdown: Option<u64>,
    /// Paths that are asked for over HTTP, to begin with.
    pub paths: Vec<String>,
    pub capture: Option<String>,
    pub networks: Vec<Network>,
}

/// A network of the appliance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Network {
    pub name: String,
    /// The instance of the link that it is on.
    pub link: String,
    /// Fixed, or given to it by a server of ours.
    pub is_fixed: bool,
    pub address: Ipv4Addr,
    pub prefix: u8,
    pub gateway: Option<Ipv4Addr>,
    pub listens: Vec<Listen>,
}

/// A port that a service listens on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listen {
    pub is_tcp: bool,
    pub port: u16,
    /// What is spoken there.
    pub speaks: Speaks,
    pub service: String,
}

/// What clients can speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Speaks {
    /// RFC 862.
    Echo,
    /// RFC 9112.
    Http,
    /// Something else: connections are opened and closed.
    Unknown,
}

/// The network that has no address of its own.
const DHCP: (Ipv4Addr, u8, Ipv4Addr) = (Ipv4Addr::new(10, 0, 2, 15), 24, Ipv4Addr::new(10, 0, 2, 2));

/// An argument holds what can't be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WrongArgument(String);

impl fmt::Display for WrongArgument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Scenario {
    /// By the arguments of this program.
    pub fn from_arguments() -> Result<Scenario, WrongArgument> {
        Scenario::read(&sim::arguments)
    }

    /// By `arguments`, which gives the values of an argument in their order.
    fn read(arguments: &dyn Fn(&str) -> Vec<String>) -> Result<Scenario, WrongArgument> {
        let last = |name: &str| arguments(name).pop();
        let wrong = |name: &str, value: &str| WrongArgument(format!("{name}={value} can't be read"));
        let number = |name: &str, default: u32| match last(name) {
            Some(value) => value.parse().map_err(|_| wrong(name, &value)),
            None => Ok(default),
        };
        let duration = |name: &str, default: u64| match last(name) {
            Some(value) => time(&value).ok_or_else(|| wrong(name, &value)),
            None => Ok(default),
        };
        let mut networks = Vec::new();
        for value in arguments("network") {
            networks.push(network(&value).ok_or_else(|| wrong("network", &value))?);
        }
        for value in arguments("listen") {
            let (name, listen) = listen(&value).ok_or_else(|| wrong("listen", &value))?;
            let network = networks.iter_mut().find(|network: &&mut Network| network.name == name);
            network.ok_or_else(|| wrong("listen", &value))?.listens.push(listen);
        }
        let faults = last("faults").unwrap_or_default();
        let paths = arguments("request");
        Ok(Scenario {
            faults: Faults::parse(&faults).map_err(|error| WrongArgument(format!("faults={error}")))?,
            clients: number("clients", 3)?,
            rounds: number("rounds", 2)?,
            limit: duration("limit", 3_600_000_000_000)?,
            patience: duration("patience", 300_000_000_000)?,
            shutdown: match last("shutdown") {
                Some(value) => Some(time(&value).ok_or_else(|| wrong("shutdown", &value))?),
                None => None,
            },
            paths: if paths.is_empty() { vec!["/".into()] } else { paths },
            capture: last("pcap"),
            networks,
        })
    }
}

/// `lan,nic,10.0.0.2/24,10.0.0.1`, `lan,nic,10.0.0.2/24,` or `lan,nic,,`.
fn network(text: &str) -> Option<Network> {
    let mut parts = text.split(',');
    let mut next = || parts.next();
    let (name, link, cidr, gateway) = (next()?, next()?, next()?, next()?);
    let (address, prefix, gateway) = match cidr.split_once('/') {
        Some((address, prefix)) => {
            let gateway = if gateway.is_empty() { None } else { Some(gateway.parse().ok()?) };
            (address.parse().ok()?, prefix.parse().ok().filter(|prefix| *prefix <= 32)?, gateway)
        }
        None if cidr.is_empty() => (DHCP.0, DHCP.1, Some(DHCP.2)),
        None => return None,
    };
    let is_fixed = !cidr.is_empty();
    let (name, link) = (name.into(), link.into());
    Some(Network { name, link, is_fixed, address, prefix, gateway, listens: Vec::new() })
}

/// `lan,tcp,80,http,site`.
fn listen(text: &str) -> Option<(String, Listen)> {
    let mut parts = text.splitn(5, ',');
    let mut next = || parts.next();
    let (network, protocol, port, speaks, service) = (next()?, next()?, next()?, next()?, next()?);
    let is_tcp = match protocol {
        "tcp" => true,
        "udp" => false,
        _ => return None,
    };
    let speaks = match speaks {
        "echo" => Speaks::Echo,
        "http" => Speaks::Http,
        _ => Speaks::Unknown,
    };
    Some((network.into(), Listen { is_tcp, port: port.parse().ok()?, speaks, service: service.into() }))
}

impl Network {
    /// Addresses of other hosts than the appliance and the gateway.
    pub fn hosts(&self) -> impl Iterator<Item = Ipv4Addr> {
        let mask = u32::MAX.checked_shl(32 - u32::from(self.prefix)).unwrap_or(0);
        let first = u32::from(self.address) & mask;
        let last = first | !mask;
        let (own, gateway) = (self.address, self.gateway);
        // Networks of two hosts have neither a network address nor a broadcast address (RFC 3021).
        let edge = u32::from(self.prefix < 31);
        let (first, last) = (first.saturating_add(edge), last.saturating_sub(edge));
        // The first hundred are for machines with names, where there are so many.
        let start = if last - first > 200 { first + 100 } else { first };
        (start..=last).map(Ipv4Addr::from).filter(move |host| *host != own && Some(*host) != gateway)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(arguments: &[(&str, &str)]) -> Result<Scenario, String> {
        let of = |name: &str| {
            arguments.iter().filter(|(key, _)| *key == name).map(|(_, value)| value.to_string()).collect()
        };
        Scenario::read(&of).map_err(|error| error.to_string())
    }

    #[test]
    fn reads_networks_and_their_ports() {
        let scenario = read(&[
            ("network", "lan,nic,10.0.0.2/24,10.0.0.1"),
            ("network", "dmz,nic2,,"),
            ("listen", "lan,tcp,80,http,site"),
            ("listen", "dmz,udp,53,,names"),
            ("faults", "loss=1%"),
        ])
        .expect("a scenario");
        assert_eq!(scenario.networks[0].gateway, Some(Ipv4Addr::new(10, 0, 0, 1)));
        assert_eq!(scenario.networks[0].listens[0].speaks, Speaks::Http);
        assert!(!scenario.networks[1].is_fixed);
        assert_eq!(scenario.networks[1].listens[0].speaks, Speaks::Unknown);
        assert_eq!(scenario.faults.loss, 10_000);
        assert_eq!(scenario.paths, ["/"]);
        for wrong in [
            ("network", "lan,nic,10.0.0.2/33,"),
            ("listen", "lan,tcp,80,http,site"),
            ("clients", "x"),
            ("limit", "5"),
            ("shutdown", "soon"),
            ("faults", "loss"),
            ("network", "lan"),
        ] {
            assert!(read(&[wrong]).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn clients_have_addresses_of_the_network() {
        let hosts = |cidr: &str, gateway: &str| -> Vec<String> {
            let network = network(&format!("lan,nic,{cidr},{gateway}")).expect("a network");
            network.hosts().take(3).map(|host| host.to_string()).collect()
        };
        assert_eq!(hosts("10.0.2.15/24", "10.0.2.2"), ["10.0.2.101", "10.0.2.102", "10.0.2.103"]);
        assert_eq!(hosts("10.0.0.2/29", "10.0.0.1"), ["10.0.0.3", "10.0.0.4", "10.0.0.5"]);
        assert_eq!(hosts("10.0.0.0/31", ""), ["10.0.0.1"]);
        assert_eq!(hosts("10.0.0.1/32", ""), [""; 0]);
    }
}
