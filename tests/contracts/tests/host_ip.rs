//! The host's sockets.

use std::net::{SocketAddr, TcpListener};

use unik::start::{Listen, Protocol};
use unik_contracts::{Ends, PORT, datagrams, hold};
use unik_host_ip::{HostIp, Mapping};

static LISTENS: &[Listen] = &[
    Listen { protocol: Protocol::Tcp, port: PORT, service: "contract" },
    Listen { protocol: Protocol::Udp, port: PORT, service: "contract" },
];

#[test]
fn the_hosts_sockets_keep_their_promises() {
    let free = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr());
    let host: SocketAddr = free.expect("a free port");
    let mapping = |protocol| Mapping { protocol, port: PORT, host };
    let network = HostIp::new("lan", LISTENS, vec![mapping(Protocol::Tcp), mapping(Protocol::Udp)]);
    unik::executor::block_on(async {
        let ends = Ends { server: network.clone(), client: network, at: host };
        hold(&ends).await;
        datagrams::hold(&ends).await;
    });
}
