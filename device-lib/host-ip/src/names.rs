//! `Resolver` by the host's configuration: its files, and the servers that they name.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use unik::interface::{BindError, Family, ResolveError, Resolver};

use crate::{HostIp, Socket, errors};

/// Where the host says whom to ask (resolv.conf(5)), and what it knows itself (hosts(5)).
const SERVERS: &str = "/etc/resolv.conf";
const HOSTS: &str = "/etc/hosts";

/// What resolves names for one network.
#[derive(Debug)]
pub(crate) struct Names {
    client: unik_dns::Client,
    /// The command line says whom to ask.
    is_told: bool,
}

impl Names {
    /// Those that ask the servers `told` or, without any, the host's.
    pub fn new(instance: &'static str, told: Vec<SocketAddr>) -> Names {
        let client = unik_dns::Client::new(instance);
        let is_told = !told.is_empty();
        client.set_servers(told);
        Names { client, is_told }
    }
}

impl Resolver for HostIp {
    async fn lookup(&self, name: &str, family: Family) -> Result<Vec<IpAddr>, ResolveError> {
        let names = self.names();
        if !names.is_told {
            // Read each time: what the host is told changes, and the files are small.
            let known = hosts(&std::fs::read_to_string(HOSTS).unwrap_or_default(), name, family);
            if !known.is_empty() {
                return Ok(known);
            }
            names.client.set_servers(servers(&std::fs::read_to_string(SERVERS).unwrap_or_default()));
        }
        names.client.lookup(self, name, family).await
    }
}

impl unik_dns::Network for HostIp {
    type Socket = Socket;

    fn bind(&self) -> Result<Socket, BindError> {
        Socket::client(self.instance()).map_err(|error| errors::bind(&error))
    }

    fn random(&self) -> Option<u64> {
        getrandom::u64().ok()
    }

    fn has_ipv6(&self) -> bool {
        // A socket that is connected sends nothing, but has to have a way.
        let public = (std::net::Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 1), 53);
        std::net::UdpSocket::bind((std::net::Ipv6Addr::UNSPECIFIED, 0))
            .is_ok_and(|socket| socket.connect(public).is_ok())
    }

    async fn ask_over_tcp(&self, server: SocketAddr, question: &[u8]) -> Option<Vec<u8>> {
        unik_dns::over_tcp(self, server, question).await
    }
}

/// The servers that resolv.conf(5) names; this host where it names none.
fn servers(text: &str) -> Vec<SocketAddr> {
    let lines = text.lines().filter_map(|line| line.trim().strip_prefix("nameserver"));
    let words =
        lines.filter(|rest| rest.starts_with([' ', '\t'])).filter_map(|rest| rest.split_whitespace().next());
    // The scope of an address of one link can't be said to a socket in this way.
    let addresses = words.filter_map(|word| word.parse::<IpAddr>().ok());
    let found: Vec<SocketAddr> = addresses.map(|address| SocketAddr::new(address, unik_dns::PORT)).collect();
    if found.is_empty() { vec![SocketAddr::from(([127, 0, 0, 1], unik_dns::PORT))] } else { found }
}

/// What hosts(5) has for a name.
fn hosts(text: &str, name: &str, family: Family) -> Vec<IpAddr> {
    let name = name.strip_suffix('.').unwrap_or(name);
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default());
    let of_line = |line: &str| {
        let mut words = line.split_whitespace();
        let address: IpAddr = words.next()?.parse().ok()?;
        words.any(|word| word.eq_ignore_ascii_case(name)).then_some(address)
    };
    lines
        .filter_map(of_line)
        .filter(|address| match family {
            Family::V4 => address.is_ipv4(),
            Family::V6 => address.is_ipv6(),
            Family::Any => true,
        })
        .collect()
}

/// The servers of `resolver=` for the instance: its own go before those for all.
pub(crate) fn from_boot_line(instance: &str, line: &str) -> Result<Vec<SocketAddr>, WrongServer> {
    let own = format!("{instance}.resolver");
    for wanted in [own.as_str(), "resolver"] {
        let values = line.split_ascii_whitespace().filter_map(|argument| argument.split_once('='));
        let mut values = values.filter(|(key, _)| *key == wanted).map(|(_, value)| value).peekable();
        if values.peek().is_some() {
            return values.flat_map(|value| value.split(',')).map(server).collect();
        }
    }
    Ok(Vec::new())
}

fn server(text: &str) -> Result<SocketAddr, WrongServer> {
    let alone = text.parse().map(|address: IpAddr| SocketAddr::new(address, unik_dns::PORT));
    alone.or_else(|_| text.parse()).map_err(|_| WrongServer(text.into()))
}

/// `resolver=` holds what is no server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WrongServer(String);

impl fmt::Display for WrongServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "resolver={}: expected addresses of DNS servers, such as 9.9.9.9,127.0.0.1:5353,[fd00::1]:53",
            self.0
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(servers: &[SocketAddr]) -> Vec<String> {
        servers.iter().map(SocketAddr::to_string).collect()
    }

    #[test]
    fn the_hosts_servers() {
        let text = "# a comment\nsearch example.org\nnameserver 192.0.2.53 # the first\n nameserver\tfd00::53\n\
            nameservers 192.0.2.1\nnameserver fe80::1%eth0\noptions edns0\n";
        assert_eq!(shown(&servers(text)), ["192.0.2.53:53", "[fd00::53]:53"]);
        assert_eq!(shown(&servers("")), ["127.0.0.1:53"]);
    }

    #[test]
    fn the_hosts_own_names() {
        let text = "127.0.0.1 localhost\n192.0.2.7 Web.example.org web # ours\nfd00::7 web\nnonsense web\n#192.0.2.8 web\n";
        let of = |name, family| hosts(text, name, family).iter().map(IpAddr::to_string).collect::<Vec<_>>();
        assert_eq!(of("web", Family::Any), ["192.0.2.7", "fd00::7"]);
        assert_eq!(of("WEB.", Family::V6), ["fd00::7"]);
        assert_eq!(of("web.example.org", Family::V4), ["192.0.2.7"]);
        assert_eq!(of("example.org", Family::Any), [""; 0]);
    }

    #[test]
    fn the_command_line_goes_first() {
        let line = "quiet resolver=9.9.9.9,[fd00::1]:5353 lan.resolver=127.0.0.1:5354 resolver=fd00::2";
        let of = |instance| from_boot_line(instance, line).map(|servers| shown(&servers));
        assert_eq!(of("lan"), Ok(vec!["127.0.0.1:5354".to_string()]));
        let all = ["9.9.9.9:53", "[fd00::1]:5353", "[fd00::2]:53"].map(String::from).to_vec();
        assert_eq!(of("wan"), Ok(all));
        assert_eq!(from_boot_line("lan", ""), Ok(Vec::new()));
        for wrong in
            ["resolver=", "resolver=dns.example.org", "lan.resolver=9.9.9.9:", "resolver=9.9.9.9,,8.8.8.8"]
        {
            let error = from_boot_line("lan", wrong).expect_err(wrong);
            assert!(error.to_string().contains("expected addresses"), "{error}");
        }
    }
}
