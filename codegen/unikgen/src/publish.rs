//! Publishing: which port of this machine leads to which port of the appliance.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::str::FromStr;

use crate::{exit, holder};

/// A transport protocol with ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

impl Protocol {
    /// The word that command lines use.
    pub const fn word(self) -> &'static str {
        match self {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
        }
    }
}

/// A port that a service of the appliance listens on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listening {
    /// The transport.
    pub protocol: Protocol,
    /// The port inside.
    pub port: u16,
    /// The service's name in the `.unik` file.
    pub service: String,
    /// The scheme of the URL by which a client reaches it, where there is one: `http`.
    pub scheme: Option<String>,
    /// The network that it listens on.
    pub network: String,
}

/// `--publish [ADDR:]HOST:GUEST[/udp]`, as written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Publish {
    /// The address on this machine.
    pub address: IpAddr,
    /// The port on this machine; 0 lets one be chosen.
    pub host: u16,
    /// The port inside.
    pub guest: u16,
    /// The transport.
    pub protocol: Protocol,
}

impl FromStr for Publish {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let shape =
            || format!("`{text}` isn't [ADDR:]HOST:GUEST[/udp], such as 8080:80 or 0.0.0.0:5353:53/udp");
        let (rest, protocol) = match text.split_once('/') {
            None => (text, Protocol::Tcp),
            Some((rest, "tcp")) => (rest, Protocol::Tcp),
            Some((rest, "udp")) => (rest, Protocol::Udp),
            Some((_, other)) => return Err(format!("`{other}` is no transport: expected tcp or udp")),
        };
        let (rest, guest) = rest.rsplit_once(':').ok_or_else(shape)?;
        let (address, host) = match rest.rsplit_once(':') {
            None => (None, rest),
            Some((address, host)) => (Some(address), host),
        };
        let number =
            |text: &str| text.parse::<u16>().map_err(|_| format!("`{text}` is no port (0 to 65535)"));
        let address = match address {
            None => IpAddr::V4(Ipv4Addr::LOCALHOST),
            Some(address) => {
                let bare = address.strip_prefix('[').and_then(|a| a.strip_suffix(']')).unwrap_or(address);
                bare.parse().map_err(|_| format!("`{address}` is no IP address"))?
            }
        };
        let guest = number(guest)?;
        if guest == 0 {
            return Err("the appliance's port can't be 0".into());
        }
        Ok(Publish { address, host: number(host)?, guest, protocol })
    }
}

/// A port of this machine that leads to a port of the appliance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// Here.
    pub host: SocketAddr,
    /// There.
    pub to: Listening,
    /// The port was chosen by us and isn't the one inside.
    pub chosen: bool,
}

impl fmt::Display for Published {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A browser wants a URL where a browser makes sense.
        match &self.to.scheme {
            Some(scheme) => write!(f, "{scheme}://{}/", self.host),
            None => write!(f, "{} {}", self.to.protocol.word(), self.host),
        }
    }
}

/// Whether a port of this machine can be used now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Availability {
    /// It can.
    Free,
    /// Another program has it.
    Taken,
    /// It needs a right that we lack.
    Forbidden,
    /// The address isn't one of this machine's.
    NotHere,
    /// Something else is wrong with it.
    Unusable(std::io::ErrorKind),
}

/// Tries a port by binding to it for a moment.
pub fn availability(protocol: Protocol, at: SocketAddr) -> Availability {
    let result = match protocol {
        Protocol::Tcp => TcpListener::bind(at).map(drop),
        Protocol::Udp => UdpSocket::bind(at).map(drop),
    };
    match result {
        Ok(()) => Availability::Free,
        Err(error) => match error.kind() {
            std::io::ErrorKind::AddrInUse => Availability::Taken,
            std::io::ErrorKind::PermissionDenied => Availability::Forbidden,
            std::io::ErrorKind::AddrNotAvailable => Availability::NotHere,
            other => Availability::Unusable(other),
        },
    }
}

/// Decides what is published where: what was asked for, or every port that is listened on.
///
/// # Errors
/// A port that nothing listens on, that is taken, or that needs root.
pub fn resolve(
    asked: &[Publish],
    listening: &[Listening],
    try_port: impl Fn(Protocol, SocketAddr) -> Availability,
) -> anyhow::Result<Vec<Published>> {
    if asked.is_empty() {
        return by_default(listening, try_port);
    }
    let mut published: Vec<Published> = Vec::new();
    for publish in asked {
        let to = target(publish, listening)?;
        let mut host = SocketAddr::new(publish.address, publish.host);
        let taken_twice = published
            .iter()
            .any(|p| publish.host != 0 && p.host == host && p.to.protocol == publish.protocol);
        if taken_twice {
            return Err(exit::usage(format!("{} {host} is published twice", publish.protocol.word())));
        }
        let chosen = publish.host == 0;
        if chosen {
            host.set_port(choose(publish.protocol, publish.address, publish.guest, &published, &try_port)?);
        } else {
            usable(publish, host, try_port(publish.protocol, host))?;
        }
        published.push(Published { host, to: to.clone(), chosen });
    }
    Ok(published)
}

fn by_default(
    listening: &[Listening],
    try_port: impl Fn(Protocol, SocketAddr) -> Availability,
) -> anyhow::Result<Vec<Published>> {
    let address = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let mut published = Vec::new();
    for to in listening {
        let port = choose(to.protocol, address, to.port, &published, &try_port)?;
        let chosen = port != to.port;
        published.push(Published { host: SocketAddr::new(address, port), to: to.clone(), chosen });
    }
    Ok(published)
}

/// The port inside that `publish` means.
fn target<'a>(publish: &Publish, listening: &'a [Listening]) -> anyhow::Result<&'a Listening> {
    let fits = |l: &&Listening| l.port == publish.guest && l.protocol == publish.protocol;
    if let Some(found) = listening.iter().find(fits) {
        return Ok(found);
    }
    let wanted = format!("{}/{}", publish.guest, publish.protocol.word());
    let all: Vec<String> =
        listening.iter().map(|l| format!("{}/{} ({})", l.port, l.protocol.word(), l.service)).collect();
    Err(exit::usage(if all.is_empty() {
        format!("--publish: no service of this appliance listens, so {wanted} can't be published")
    } else {
        format!("--publish: nothing listens on {wanted}; the appliance listens on {}", all.join(", "))
    }))
}

/// The first usable port, beginning with one that people can guess.
fn choose(
    protocol: Protocol,
    address: IpAddr,
    guest: u16,
    published: &[Published],
    try_port: impl Fn(Protocol, SocketAddr) -> Availability,
) -> anyhow::Result<u16> {
    let first = if guest < 1024 { 8000 + guest } else { guest };
    let candidates = first..=first.saturating_add(99);
    let free = |port: &u16| {
        let at = SocketAddr::new(address, *port);
        !published.iter().any(|p| p.host == at && p.to.protocol == protocol)
            && try_port(protocol, at) == Availability::Free
    };
    candidates.clone().find(free).ok_or_else(|| {
        exit::environment(format!(
            "no port from {first} to {} is free on {address} for the appliance's {guest}/{}; say which: --publish PORT:{guest}",
            candidates.end(),
            protocol.word()
        ))
    })
}

fn usable(publish: &Publish, host: SocketAddr, found: Availability) -> anyhow::Result<()> {
    let (word, guest, port) = (publish.protocol.word(), publish.guest, host.port());
    let suffix = if publish.protocol == Protocol::Udp { "/udp" } else { "" };
    let other = if port < 1024 { 8000 + port } else { port.saturating_add(1) };
    Err(exit::environment(match found {
        Availability::Free => return Ok(()),
        Availability::Taken => format!(
            "port {port} ({word}) of {} is taken by {}; choose another: --publish {other}:{guest}{suffix}",
            host.ip(),
            holder::of(publish.protocol, host).unwrap_or_else(|| "another program".into())
        ),
        Availability::Forbidden => format!(
            "port {port} ({word}) needs root, as all below 1024; choose another: --publish {other}:{guest}{suffix}"
        ),
        Availability::NotHere => format!("{} is no address of this machine", host.ip()),
        Availability::Unusable(kind) => {
            format!("port {port} ({word}) of {} can't be used: {kind}", host.ip())
        }
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listening(port: u16, protocol: Protocol) -> Listening {
        Listening {
            protocol,
            port,
            service: "site".into(),
            scheme: Some("http".into()),
            network: "lan".into(),
        }
    }

    #[test]
    fn parses_every_shape() {
        let publish = |text: &str| text.parse::<Publish>();
        let plain = publish("8080:80").unwrap();
        assert_eq!((plain.host, plain.guest, plain.protocol), (8080, 80, Protocol::Tcp));
        assert_eq!(plain.address.to_string(), "127.0.0.1");
        assert_eq!(publish("0.0.0.0:53:53/udp").unwrap().address.to_string(), "0.0.0.0");
        assert_eq!(publish("0.0.0.0:53:53/udp").unwrap().protocol, Protocol::Udp);
        assert_eq!(publish("[::1]:8080:80").unwrap().address.to_string(), "::1");
        assert_eq!(publish("0:80/tcp").unwrap().host, 0);
        for (wrong, part) in [
            ("80", "isn't [ADDR:]HOST:GUEST"),
            ("x:80", "`x` is no port"),
            ("8080:99999", "`99999` is no port"),
            ("8080:80/sctp", "no transport"),
            ("host:1:2", "`host` is no IP"),
            ("1:0", "can't be 0"),
        ] {
            let error = publish(wrong).unwrap_err();
            assert!(error.contains(part), "{wrong}: {error}");
        }
    }

    #[test]
    fn defaults_avoid_low_and_taken_ports() {
        let all = [listening(80, Protocol::Tcp), listening(7, Protocol::Udp), listening(9000, Protocol::Tcp)];
        let published =
            resolve(
                &[],
                &all,
                |_, at| {
                    if at.port() == 8080 { Availability::Taken } else { Availability::Free }
                },
            )
            .unwrap();
        let ports: Vec<(u16, bool)> = published.iter().map(|p| (p.host.port(), p.chosen)).collect();
        assert_eq!(ports, [(8081, true), (8007, true), (9000, false)]);
        assert_eq!(published[0].to_string(), "http://127.0.0.1:8081/");
    }

    #[test]
    fn two_services_on_one_port_of_two_networks_get_two() {
        let mut other = listening(80, Protocol::Tcp);
        other.network = "dmz".into();
        let published =
            resolve(&[], &[listening(80, Protocol::Tcp), other], |_, _| Availability::Free).unwrap();
        assert_eq!((published[0].host.port(), published[1].host.port()), (8080, 8081));
    }

    #[test]
    fn refusals_say_what_to_do() {
        let all = [listening(80, Protocol::Tcp)];
        let try_one = |text: &str, found: Availability| {
            resolve(&[text.parse().unwrap()], &all, |_, _| found).unwrap_err()
        };
        let error = try_one("8080:81", Availability::Free);
        assert!(
            error.to_string().contains("nothing listens on 81/tcp; the appliance listens on 80/tcp (site)")
        );
        assert_eq!(exit::code_of(&error), exit::USAGE);
        let error = try_one("8080:80", Availability::Taken);
        assert!(error.to_string().contains("--publish 8081:80"), "{error}");
        assert_eq!(exit::code_of(&error), exit::ENVIRONMENT);
        assert!(try_one("80:80", Availability::Forbidden).to_string().contains("--publish 8080:80"));
        let twice = ["1:80".parse().unwrap(), "1:80".parse().unwrap()];
        assert!(resolve(&twice, &all, |_, _| Availability::Free).unwrap_err().to_string().contains("twice"));
    }

    #[test]
    fn a_bound_port_is_seen_as_taken() {
        let holder = TcpListener::bind("127.0.0.1:0").unwrap();
        assert_eq!(availability(Protocol::Tcp, holder.local_addr().unwrap()), Availability::Taken);
    }
}
