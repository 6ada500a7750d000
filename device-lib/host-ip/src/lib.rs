//! `host-ip`: the host's sockets in place of a network.
//!
//! In a process it stands in for `ip`: the services are the same, their `Tcp` and `Udp`
//! are non-blocking sockets of the host. Nothing of the network that the `.unik` file
//! describes is used but its ports: the addresses are the host's.
//!
//! # Which address of the host
//! A service that listens on port N is reached at 127.0.0.1, port N. The command line
//! says otherwise:
//!
//! ```text
//! publish=[ADDRESS:]HOSTPORT:PORT[/udp],…
//! ```
//!
//! `publish=8080:80` reaches TCP port 80 at 127.0.0.1:8080, `publish=0.0.0.0:5353:53/udp`
//! UDP port 53 at port 5353 of every address, `publish=[::1]:8080:80` is for IPv6. Host
//! port 0 takes a free one, and logs which. `publish=` holds for every network of the
//! appliance, `NAME.publish=` for the instance NAME only, and before the other.
//!
//! # Whom it asks for names
//! Where a service looks up names: `/etc/hosts`, and the servers of `/etc/resolv.conf`, both read anew
//! for each lookup; nothing else of the two files counts, no search list above all. `resolver=` on the
//! command line names servers in place of both files, `NAME.resolver=` for one instance:
//!
//! ```text
//! resolver=ADDRESS[:PORT],…
//! ```
//!
//! # What differs from `ip`
//! - Connections are opened from the host's own addresses, with its routes.
//! - Half-open connections, retransmission and buffers are the host's; a `close` waits
//!   for the peer's acknowledgement for 10 s at most.
//! - ICMP, address configuration, neighbours: none.
#![cfg(not(unik_machine))]
#![deny(unsafe_code)]

mod errors;
#[cfg(feature = "dns")]
mod names;
mod publish;
mod tcp;
mod udp;
mod unsent;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;

use unik::interface::{BindError, ConnectError, ListenError, Tcp, Udp};
use unik::start::{Context, Listen, Protocol, StartError, announce};

pub use publish::{Mapping, PublishError};
pub use tcp::{Listener, Stream};
pub use udp::Socket;

unik::options!();

/// Starts the network `cx.instance()`, which accepts the ports of `listens`.
///
/// A `publish=` on the command line that can't be read, names a port twice, or, where it is
/// for this instance alone, a port that no service listens on, ends the process with exit
/// code 2.
///
/// # Errors
/// None; others of its kind have some.
pub async fn start(
    cx: &Context,
    _options: &'static Options,
    listens: &'static [Listen],
) -> Result<HostIp, StartError> {
    let mappings = publish::from_boot_line(cx.instance(), listens, unik::platform::boot_line())
        .unwrap_or_else(|error| {
            unik::platform::process::refuse_arguments(&format!("{}: {error}", cx.instance()))
        });
    announce(IpAddr::V4(Ipv4Addr::LOCALHOST));
    #[cfg(feature = "dns")]
    let told = names::from_boot_line(cx.instance(), unik::platform::boot_line()).unwrap_or_else(|error| {
        unik::platform::process::refuse_arguments(&format!("{}: {error}", cx.instance()))
    });
    let network = Network {
        instance: cx.instance(),
        listens,
        mappings,
        #[cfg(feature = "dns")]
        names: names::Names::new(cx.instance(), told),
    };
    Ok(HostIp { network: Rc::new(network) })
}

/// A network of the host's sockets.
#[derive(Clone, Debug)]
pub struct HostIp {
    network: Rc<Network>,
}

#[derive(Debug)]
struct Network {
    instance: &'static str,
    listens: &'static [Listen],
    mappings: Vec<Mapping>,
    #[cfg(feature = "dns")]
    names: names::Names,
}

impl HostIp {
    /// The network `instance`, which accepts the ports of `listens`, at the addresses of
    /// `mappings` or else at 127.0.0.1. For tests; the generated wiring calls [`start`].
    #[must_use]
    pub fn new(instance: &'static str, listens: &'static [Listen], mappings: Vec<Mapping>) -> Self {
        let network = Network {
            instance,
            listens,
            mappings,
            #[cfg(feature = "dns")]
            names: names::Names::new(instance, Vec::new()),
        };
        HostIp { network: Rc::new(network) }
    }

    /// The same, whose names `servers` know; the files of the host don't count. For tests.
    #[cfg(feature = "dns")]
    #[must_use]
    pub fn asking(self, servers: Vec<SocketAddr>) -> Self {
        let network = Network {
            instance: self.network.instance,
            listens: self.network.listens,
            mappings: self.network.mappings.clone(),
            names: names::Names::new(self.network.instance, servers),
        };
        HostIp { network: Rc::new(network) }
    }

    #[cfg(feature = "dns")]
    fn names(&self) -> &names::Names {
        &self.network.names
    }

    #[cfg(feature = "dns")]
    fn instance(&self) -> &'static str {
        self.network.instance
    }

    /// The address of the host that stands for `port`; `None` when no service listens there.
    fn host_address(&self, protocol: Protocol, port: u16) -> Option<SocketAddr> {
        let network = &self.network;
        if !network.listens.iter().any(|listen| listen.protocol == protocol && listen.port == port) {
            return None;
        }
        let mapping =
            network.mappings.iter().find(|mapping| mapping.protocol == protocol && mapping.port == port);
        Some(mapping.map_or(SocketAddr::from((Ipv4Addr::LOCALHOST, port)), |mapping| mapping.host))
    }

    fn log_address(&self, protocol: &str, port: u16, at: Option<SocketAddr>) {
        if let Some(at) = at.filter(|at| at.port() != port || !at.ip().is_loopback()) {
            log::info!("{}: {protocol} port {port} at {at}", self.network.instance);
        }
    }
}

impl Tcp for HostIp {
    type Listener = Listener;
    type Stream = Stream;

    fn listen(&self, port: u16) -> Result<Listener, ListenError> {
        let at = self.host_address(Protocol::Tcp, port).ok_or(ListenError::NotDeclared)?;
        let listener = Listener::new(self.network.instance, at).map_err(|error| {
            log::error!("{}: TCP port {port} at {at}: {error}", self.network.instance);
            errors::listen(&error)
        })?;
        self.log_address("TCP", port, listener.local_address());
        Ok(listener)
    }

    async fn connect(&self, to: SocketAddr) -> Result<Stream, ConnectError> {
        Stream::connect(to).await.map_err(|error| errors::connect(&error))
    }
}

impl Udp for HostIp {
    type Socket = Socket;

    fn bind(&self, port: u16) -> Result<Socket, BindError> {
        if port == 0 {
            return Socket::client(self.network.instance).map_err(|error| errors::bind(&error));
        }
        let at = self.host_address(Protocol::Udp, port).ok_or(BindError::NotDeclared)?;
        let socket = Socket::server(self.network.instance, at).map_err(|error| {
            log::error!("{}: UDP port {port} at {at}: {error}", self.network.instance);
            errors::bind(&error)
        })?;
        self.log_address("UDP", port, socket.local_address());
        Ok(socket)
    }
}
