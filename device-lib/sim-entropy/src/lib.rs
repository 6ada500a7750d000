//! `sim-entropy`: what a simulation has for entropy.
//!
//! All of it follows from the seed of the run, so that the run can be repeated. Anyone can
//! guess it: it exists on the target `sim` alone.
#![no_std]
#![forbid(unsafe_code)]

use unik::interface::{Entropy, EntropyError};
use unik::platform;
use unik::start::{Context, StartError};

unik::options!();

/// Starts the source.
///
/// # Errors
/// None; the signature is that of every component.
pub async fn start(_cx: &Context, _options: &'static Options) -> Result<Seeded, StartError> {
    Ok(Seeded)
}

/// The platform's entropy, which in a simulation follows from its seed.
#[derive(Clone, Copy, Debug)]
pub struct Seeded;

impl Entropy for Seeded {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), EntropyError> {
        platform::entropy(bytes).map_err(|_| EntropyError)
    }
}
