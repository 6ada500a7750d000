//! The host's sockets.

use std::net::{SocketAddr, TcpListener};

use unik::start::{Listen, Protocol};
use unik_contracts::names::NAMES;
use unik_contracts::{Ends, PORT, datagrams, hold, names};
use unik_host_ip::{HostIp, Mapping};

static LISTENS: &[Listen] = &[
    Listen { protocol: Protocol::Tcp, port: PORT, service: "contract" },
    Listen { protocol: Protocol::Udp, port: PORT, service: "contract" },
    Listen { protocol: Protocol::Tcp, port: NAMES, service: "contract" },
    Listen { protocol: Protocol::Udp, port: NAMES, service: "contract" },
];

/// An address of this host with a free port.
fn free() -> SocketAddr {
    let free = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr());
    free.expect("a free port")
}

/// A network on which `port` is `host`, for both protocols.
fn network(port: u16, host: SocketAddr) -> HostIp {
    let mapping = |protocol| Mapping { protocol, port, host };
    HostIp::new("lan", LISTENS, vec![mapping(Protocol::Tcp), mapping(Protocol::Udp)])
}

#[test]
fn the_hosts_sockets_keep_their_promises() {
    let host = free();
    let network = network(PORT, host);
    unik::executor::block_on(async {
        let ends = Ends { server: network.clone(), client: network, at: host };
        hold(&ends).await;
        datagrams::hold(&ends).await;
    });
}

#[test]
fn names_keep_their_promises() {
    let host = free();
    let network = network(NAMES, host).asking(vec![host]);
    unik::executor::block_on(names::hold(&network, &network));
}
