//! HTTP/1.1 server for static files and handlers (RFC 9110, RFC 9112).
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
