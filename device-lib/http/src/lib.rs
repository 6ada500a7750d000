//! HTTP/1.1 server for static files and handlers (RFC 9110, RFC 9112).
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod handler;
mod method;
#[allow(dead_code)]
mod path;
#[allow(dead_code)]
mod request;
#[allow(dead_code)]
mod response;
#[allow(dead_code)]
mod status;

pub use handler::{Found, Handler, NoRoutes, Routes, States};
pub use method::Method;
pub use request::Request;
pub use response::{Bytes, Response};
pub use status::Status;
