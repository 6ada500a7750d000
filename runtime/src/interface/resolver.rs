//! `Resolver`: the addresses of names (RFC 1034).
//!
//! A lookup is bounded in time by the network, by about a quarter of a minute; who has less patience
//! gives it a [deadline](crate::time::timeout). Dropping a lookup loses nothing: what was asked for
//! goes on in the background, for whoever else asks, and is remembered.
//!
//! ```
//! use unik::interface::{ConnectError, Family, ResolveError, Resolver, Tcp};
//! use unik::time::{Duration, timeout};
//!
//! async fn open<N: Tcp + Resolver>(net: &N, name: &str) -> Result<Option<N::Stream>, ResolveError> {
//!     let addresses = timeout(Duration::from_secs(5), net.lookup(name, Family::Any)).await;
//!     for address in addresses.unwrap_or(Err(ResolveError::TimedOut))? {
//!         if let Ok(stream) = net.connect((address, 80).into()).await {
//!             return Ok(Some(stream));
//!         }
//!     }
//!     Ok(None)
//! }
//! ```

use alloc::vec::Vec;
use core::fmt;
use core::net::IpAddr;

/// Names to addresses, by the servers of one network.
#[allow(async_fn_in_trait, reason = "one thread: no future here needs Send")]
pub trait Resolver: Clone + 'static {
    /// The addresses of the host `name`, in the order in which to try them; one at least, and 32 at most.
    ///
    /// A name is absolute, whether a dot stands at its end or not: nothing is appended to it. One
    /// that is an address itself is answered without asking anybody; so is `localhost`. Letters
    /// beyond ASCII are written as in the DNS (`xn--…`).
    ///
    /// # Errors
    /// [`ResolveError`].
    async fn lookup(&self, name: &str, family: Family) -> Result<Vec<IpAddr>, ResolveError>;
}

/// Which addresses are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
    /// Those of the families that the network has: IPv6 first, then IPv4 (RFC 6724).
    Any,
}

/// Why there are no addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResolveError {
    /// That can't be a name: something empty or too long between dots (63 bytes, 253 in all), or
    /// other characters than letters, digits, hyphens and underscores.
    BadName,
    /// There is no such name, or it has no address of that family (NXDOMAIN, NODATA).
    NoName,
    /// The network knows no server that it could ask.
    NoServer,
    /// No server answered in time, or there is no way to any.
    TimedOut,
    /// The servers won't answer: REFUSED.
    Refused,
    /// The servers can't answer: SERVFAIL and its like, or a delegation instead of an answer.
    Failed,
    /// The servers answered what can't be understood, aliases without end, or more than fits.
    Malformed,
    /// Out of ports or memory.
    Resources,
}

impl fmt::Display for ResolveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ResolveError::BadName => "this can't be a host's name",
            ResolveError::NoName => "no such name, or none with an address of this family",
            ResolveError::NoServer => "the network knows no name server",
            ResolveError::TimedOut => "no name server answered",
            ResolveError::Refused => "the name servers refuse to answer",
            ResolveError::Failed => "the name servers can't answer",
            ResolveError::Malformed => "the name servers' answer makes no sense",
            ResolveError::Resources => "no resources left for a lookup",
        })
    }
}

impl core::error::Error for ResolveError {}
