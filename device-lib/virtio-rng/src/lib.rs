//! Virtio entropy device (virtio 1.2, section 5.4).
//!
//! The device's bytes seed a ChaCha20 generator, which gives all output; a background
//! task mixes fresh bytes in every minute. The device writes into one fixed buffer, whose
//! descriptor never changes.
//!
//! # Health check
//! All that the device gives goes through the continuous tests of NIST SP 800-90B
//! ([`unik::health`]), 1,024 bytes of it before the first seed is used. A seed is refused, and
//! the start of the instance fails, when it doesn't pass, when the device gives no bytes in
//! time, or when it repeats its last answer; a device that was refused stays so. If that happens
//! later, the generator goes on with the state that it has, and says so once.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod generator;
mod source;
#[cfg(unik_machine)]
mod start;

pub use generator::Generator;
pub use source::{Source, SourceError};
#[cfg(unik_machine)]
pub use start::start;

unik::options!();
