//! An IP network on an Ethernet device.
//!
//! ```text
//!   Tcp, Udp handles            async, in the tasks of services
//!        │  shared state
//!      Stack                    one turn: receive, let services run, send, one notification
//!    ┌───┴────────────┐
//!   tcp    udp  icmp  dhcp      each a cargo feature, chosen by the plan
//!    └───┬────────────┘
//!      Lower                    addresses, neighbours, pieces, paths; `v6` where it is asked for
//!      Link                     Ethernet on `Frames`
//! ```
//!
//! Everything below the handles is free of input, output and clocks: it is given frames
//! and the time. The background task in `driver` gives it both.
//!
//! # TCP
//! smoltcp's TCP, with one socket set for each connection: a segment finds its connection
//! by a keyed hash, so that its cost doesn't grow with their number. In front of it stand
//!
//! - the half-open connections, about a hundred bytes each, in a bounded list, and SYN cookies when
//!   that is full: buffers are only taken when a handshake is complete;
//! - the connections in TIME-WAIT, likewise small and bounded;
//! - sequence numbers by RFC 6528, resets by RFC 5961, ICMP errors and path MTU.
//!
//! Every state ends: handshakes after 30 s, silent peers after 120 s (with keep-alive probes
//! after 60 s), a closed connection whose peer doesn't close after 60 s.
//!
//! # Bounds
//! Connections: the options `max-connections` and `tcp-memory`. Half-open: 4,096, of one port
//! 3,072. TIME-WAIT: 4,096. Not accepted yet: 1,024 a port. Neighbours: 4,096. Datagrams:
//! `udp-buffer` a port. Packets in pieces: 16, 256 KiB. ICMP errors: 100 a second.
//!
//! The book's page "The network" says more, and what is left out.
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
#[cfg(test)]
mod corpus;
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
#[cfg(feature = "dns")]
mod names;
mod neighbours;
#[cfg(all(test, feature = "tcp", feature = "udp", feature = "dhcp", feature = "icmp"))]
mod packets;
mod paths;
#[cfg(feature = "counters")]
mod ports;
#[cfg(feature = "icmp")]
mod report;
#[cfg(feature = "routes")]
mod routes;
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
#[cfg(feature = "counters")]
pub use ports::PortCounters;
pub use stack::Handle;
pub use start::start;
#[cfg(feature = "tcp")]
pub use tcp::{Listener, Stream};
#[cfg(feature = "udp")]
pub use udp::Socket;

unik::options!();
