//! `http`: an HTTP/1.1 server for static files and handlers (RFC 9110, RFC 9112).
//!
//! # Files
//! The host half reads the files of the storage at build time and makes a table of them:
//! each path with the head of its answer, already rendered, its `ETag` a hash of the
//! content. A request for a file is a binary search, a copy of that head, and the content
//! from where it lies in the image. Nothing is allocated for it.
//!
//! # Handlers
//! A route lets a function of your crate answer:
//!
//! ```ignore
//! use core::cell::Cell;
//! use unik_http::{Request, Response};
//!
//! #[derive(Default)]
//! struct Visits(Cell<u64>);
//!
//! #[unik::handler]
//! async fn visits(request: &Request<'_>, visits: &Visits) -> Response {
//!     visits.0.set(visits.0.get() + 1);
//!     Response::text(format!("{} visits, the last to {}\n", visits.0.get(), request.path()))
//! }
//! ```
//!
//! ```text
//! service site = http on lan {
//!     files from pages
//!     route "/visits" visits                    // every method
//!     route "/things" things::list   method get // HEAD too; others get 405
//!     route "/things" things::add    method post
//!     route "/api/*"  api                       // all below /api/, not /api itself
//! }
//! ```
//!
//! Routes come before files: first those of one path, then those of many, the longest
//! first. A handler gets the whole body, up to `max-body`. A panic in it ends the
//! appliance, as everywhere.
//!
//! # What clients can rely on
//! | RFC | |
//! |---|---|
//! | 9112 | keep-alive, pipelining (answers in order), chunked bodies, HTTP/1.0 |
//! | 9110 | GET, HEAD, OPTIONS of files; 405 with `Allow`; `Expect: 100-continue`; `Date` where there is a clock |
//! | 9110, 13 | `If-Match`, `If-None-Match`, `If-Range` with entity tags; conditions on dates don't apply, since files have none |
//! | 9110, 14 | one range (206, 416); several are answered with the whole file |
//! | 3986 | paths are decoded, dot segments taken away; a folder without its `/` is redirected (301) |
//!
//! # What clients can't do
//! - *Smuggle requests*: two lengths, a length beside a transfer coding, folded lines,
//!   bare line feeds, white space before a colon and the like are refused (400), and the
//!   connection ends, since nobody knows where the next request begins.
//! - *Leave the tree*: `..` above the root, an encoded `/` or NUL are refused.
//! - *Hold memory*: a connection has at most `max-header` for a head, `max-body` for a
//!   body and a handler's answer; with nothing to do it gives its buffers back. Without
//!   memory for them a connection ends, and the others go on.
//! - *Hold a connection*: there is a time for the head, however slowly its bytes come
//!   (408), for the body (408), for taking each 16 KiB of an answer (reset), and for doing
//!   nothing. Above `max-connections` clients are told to come back (503).
//!
//! What was refused, timed out or broke is counted; each case is a line in the log at
//! level `debug`, with its reason and the count.
//!
//! # Left out
//! TLS; HTTP/2 and 3; compression; several ranges in one answer; streamed bodies, in both
//! directions; trailer fields (they are read and left away); files of a storage whose
//! contents are known only at run time.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod answer;
mod body;
mod buffer;
mod chunked;
mod condition;
mod connection;
mod date;
mod dozing;
mod handler;
mod head;
mod method;
#[cfg(test)]
mod mock;
mod path;
mod request;
mod response;
mod service;
mod site;
mod status;
#[cfg(test)]
mod tests;
mod wire;

unik::options!();

pub use handler::{Found, Handler, NoRoutes, Routes, Shared, States};
pub use method::Method;
pub use request::Request;
pub use response::{Bytes, Response};
pub use service::start;
pub use site::{Entry, File, Site};
pub use status::Status;
