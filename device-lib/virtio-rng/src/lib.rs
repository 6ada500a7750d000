//! Virtio entropy device (virtio 1.2, section 5.4).
//!
//! The device's bytes seed a ChaCha20 generator, which gives all output; a background
//! task mixes fresh bytes in every minute. The device writes into one fixed buffer, whose
//! descriptor never changes.
//!
//! # Health check
//! A seed is refused, and the start of the instance fails, when the device gives no bytes
//! in time, when all of its bytes are the same, or when it repeats its last answer. If that
//! happens later, the generator goes on with the state that it has, and says so once.
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
