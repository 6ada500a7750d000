//! `Resolver`: a DNS client on this network.

use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};

use unik::interface::{BindError, Entropy, Family, Frames, ResolveError, Resolver, Udp};

use crate::Options;
use crate::address::Address;
use crate::stack::{Handle, Stack};
use crate::udp::Socket;

impl<F: Frames, E: Entropy> Resolver for Handle<F, E> {
    async fn lookup(&self, name: &str, family: Family) -> Result<Vec<IpAddr>, ResolveError> {
        let names = self.shared().borrow().names.clone();
        names.lookup(self, name, family).await
    }
}

impl<F: Frames, E: Entropy> Handle<F, E> {
    /// What the DNS client has counted since the start.
    #[must_use]
    pub fn name_counters(&self) -> unik_dns::Counters {
        self.shared().borrow().names.counters()
    }
}

impl<F: Frames, E: Entropy> unik_dns::Network for Handle<F, E> {
    type Socket = Socket<F, E>;

    fn bind(&self) -> Result<Socket<F, E>, BindError> {
        Udp::bind(self, 0)
    }

    fn random(&self) -> Option<u64> {
        self.shared().borrow().lower.random()
    }

    fn has_ipv6(&self) -> bool {
        #[cfg(feature = "ipv6")]
        return self.shared().borrow().lower.v6.is_ready();
        #[cfg(not(feature = "ipv6"))]
        false
    }

    async fn ask_over_tcp(&self, server: SocketAddr, question: &[u8]) -> Option<Vec<u8>> {
        #[cfg(feature = "tcp")]
        return unik_dns::over_tcp(self, server, question).await;
        #[cfg(not(feature = "tcp"))]
        None
    }
}

/// A client that asks the servers that the file names, if it names any.
pub(crate) fn client(instance: &'static str, options: &Options) -> unik_dns::Client {
    let names = unik_dns::Client::new(instance);
    let servers = options.resolver.unwrap_or_default();
    for server in servers.iter().filter(|server| Address::new(**server).is_none()) {
        log::warn!("{instance}: the name server {server} is of a family that this network doesn't have");
    }
    names.set_servers(servers.iter().filter(|server| Address::new(**server).is_some()).map(at));
    names
}

impl<F: Frames, E: Entropy> Stack<F, E> {
    /// Has those servers asked that DHCP and routers name, unless the file names some.
    pub(crate) fn find_name_servers(&mut self) {
        if !core::mem::take(&mut self.lower.name_servers_changed) || self.named_servers {
            return;
        }
        #[cfg_attr(
            not(any(feature = "dhcp", feature = "slaac")),
            allow(unused_mut, reason = "nobody names any")
        )]
        let mut found: Vec<IpAddr> = Vec::new();
        #[cfg(feature = "dhcp")]
        found.extend(self.dhcp.iter().flat_map(crate::dhcp::Client::name_servers).map(IpAddr::from));
        #[cfg(feature = "slaac")]
        found.extend(self.lower.v6.name_servers().map(IpAddr::from));
        self.names.set_servers(found.iter().map(at));
    }
}

fn at(server: &IpAddr) -> SocketAddr {
    SocketAddr::new(*server, unik_dns::PORT)
}
