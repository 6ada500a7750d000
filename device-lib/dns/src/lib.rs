//! A DNS client, shared by the networks that provide `Resolver`. Not a component.
//!
//! ```text
//!   Client      lookups: literals, what is known, who asks already; a task for each that is asked
//!     ask       servers in turn, with patience that grows; datagrams, and TCP for what is too long
//!     message   questions, and what answers say of them;  name: names in messages
//!     cache     what was learnt, for as long as it is good
//!   Network     what the client has of the network: ports, random numbers, perhaps TCP
//! ```
//!
//! It is one that asks servers which resolve names for it (a stub resolver, RFC 1123, section 6.1.3.1). A
//! crate for messages would have been twenty times their code in an image (`domain`), or knows IPv6
//! addresses only together with an IPv6 stack (`smoltcp`, which the tests compare with).
//!
//! # Who forges answers
//! must guess, for each question anew, its number (16 bits), its port (14 bits on `ip`), and the case of
//! the letters in its name (a bit each); and say that it is the server. After 32 wrong guesses a question
//! is put anew, from another port. Only a server that once answered in another case is asked without mixing
//! from then on. What an answer says of other names isn't believed. Against who sees the question there is no defence: answers
//! aren't signed (DNSSEC) nor hidden (DNS over TLS).
//!
//! # Bounds
//! 32 names at one time, others wait; 128 names are remembered, addresses for an hour at most, that
//! there are none for five minutes, failures for a second. Of one answer 256 records are looked at, of
//! one name 16 addresses of each family taken; 8 aliases within an answer, and 8 answers. A lookup takes
//! three rounds over at most three servers, of 1, 2 and 4 s for each, but no longer than 15 s.
//!
//! # Left out
//! Search lists, other records than addresses, multicast DNS, DNSSEC, encrypted transports.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod ask;
mod cache;
mod client;
#[cfg(test)]
mod fuzz;
mod message;
mod name;
#[cfg(test)]
mod tests;

use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};

use unik::interface::{BindError, ResolveError, UdpSocket};

pub use ask::over_tcp;
pub use client::Client;

/// The port of servers.
pub const PORT: u16 = 53;

/// The most servers that are asked; the first ones.
pub const SERVERS: usize = 3;

/// What a lookup comes to.
pub(crate) type Outcome = Result<Vec<IpAddr>, ResolveError>;

/// What a [`Client`] has of its network.
#[allow(async_fn_in_trait, reason = "one thread: no future here needs Send")]
pub trait Network: Clone + 'static {
    /// A port of it.
    type Socket: UdpSocket;

    /// A free port that nobody can guess.
    ///
    /// # Errors
    /// [`BindError`].
    fn bind(&self) -> Result<Self::Socket, BindError>;

    /// A random number that nobody can guess; `None` when the source of them fails.
    fn random(&self) -> Option<u64>;

    /// Whether the network has an address of its own for IPv6: else nobody asks for others' by
    /// [`Family::Any`](unik::interface::Family::Any).
    fn has_ipv6(&self) -> bool;

    /// Asks over TCP, as [`over_tcp`] does; `None` where there is no TCP, or it came to nothing.
    async fn ask_over_tcp(&self, server: SocketAddr, question: &[u8]) -> Option<Vec<u8>>;
}

/// What a client has counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Lookups that somebody asked for; of one for both families each counts.
    pub lookups: u64,
    /// Of those, answered by what was known.
    pub known: u64,
    /// Of those, joined to one that was under way.
    pub joined: u64,
    /// Questions sent to servers, over either transport.
    pub questions: u64,
    /// Questions without an answer in time.
    pub unanswered: u64,
    /// Datagrams dropped that were no answer to the question: of others than the server, or with
    /// another number or name.
    pub strangers: u64,
    /// Questions put anew since too many of those came from the server's address.
    pub guessed: u64,
    /// Answers that made no sense.
    pub malformed: u64,
    /// Answers that were too long for a datagram.
    pub cut: u64,
}
