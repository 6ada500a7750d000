//! An IP network on an Ethernet device.
//!
//! ```text
//!   Tcp, Udp handles            async, in the tasks of services
//!        │  shared state
//!      Stack                    one turn: receive, let services run, send, one notification
//!    ┌───┴────────────┐
//!   tcp    udp  icmp  dhcp      each a cargo feature, chosen by the plan
//!    └───┬────────────┘
//!      Lower                    IPv4, our address, neighbours (ARP)
//!      Link                     Ethernet on `Frames`
//! ```
//!
//! Everything below the handles is free of input, output and clocks: it is given frames
//! and the time. The background task in `driver` gives it both.
//!
//! # TCP
//! smoltcp's TCP, with one socket set for each connection: a segment finds its connection
//! in a table, so that its cost doesn't grow with their number. In front of it stand
//!
//! - the half-open connections, a few dozen bytes each, in a bounded table from which the
//!   oldest is dropped for a new one: buffers are only taken when a handshake is complete;
//! - the connections in TIME-WAIT, likewise small and bounded;
//! - sequence numbers from `Entropy`, fresh for every connection.
//!
//! Every state ends: handshakes after 30 s, silent peers after 120 s (with keep-alive probes
//! after 60 s), a closed connection whose peer doesn't close after 60 s.
//!
//! # Bounds
//! Connections: the options `max-connections` and `tcp-memory`. Half-open: 4,096. TIME-WAIT:
//! 4,096. Not accepted yet: 1,024 a port. Neighbours: 1,024. Datagrams: `udp-buffer` a port.
//! ICMP errors: 100 a second.
//!
//! # Left out
//! IPv6, fragments in both directions, IP options (skipped over), path MTU discovery, ICMP
//! errors to their connection, address conflict detection, windows above 60 KiB, SYN
//! cookies, a DNS client.
#![no_std]
#![forbid(unsafe_code)]
// With fewer parts, some of what they share is used by none of them.
#![cfg_attr(
    not(all(feature = "icmp", feature = "udp", feature = "tcp", feature = "dhcp")),
    allow(dead_code, unused_imports, unused_variables)
)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod address;
mod counters;
#[cfg(any(feature = "udp", feature = "dhcp"))]
mod datagram;
#[cfg(feature = "dhcp")]
mod dhcp;
mod driver;
mod fragments;
#[cfg(all(test, feature = "tcp", feature = "udp", feature = "dhcp", feature = "icmp"))]
mod fuzz;
mod hash;
#[cfg(feature = "icmp")]
mod icmp;
mod index;
mod link;
mod lower;
mod neighbours;
#[cfg(all(test, feature = "tcp", feature = "udp", feature = "dhcp", feature = "icmp"))]
mod packets;
mod paths;
#[cfg(feature = "icmp")]
mod report;
mod stack;
mod start;
#[cfg(feature = "tcp")]
mod tcp;
#[cfg(test)]
mod testing;
#[cfg(all(test, feature = "tcp", feature = "udp", feature = "dhcp", feature = "icmp"))]
mod tests;
#[cfg(feature = "udp")]
mod udp;
#[cfg(feature = "ipv6")]
mod v6;

pub use counters::Counters;
pub use stack::Handle;
pub use start::start;
#[cfg(feature = "tcp")]
pub use tcp::{Listener, Stream};
#[cfg(feature = "udp")]
pub use udp::Socket;

unik::options!();
