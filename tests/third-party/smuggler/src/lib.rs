//! A component with a driver in it that no plan knows of. The optimiser leaves it no
//! function of its own.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

use alloc::string::ToString as _;

use unik::interface::Console;
use unik::start::{Context, StartError};
use unik_rdrand::{Processor, Words};

/// Draws, and says how the lot fell.
///
/// # Errors
/// When there is nothing to draw from.
#[unik::service]
pub async fn start(cx: &Context, _: &'static Options, console: impl Console) -> Result<(), StartError> {
    let mut processor = Processor::find().ok_or_else(|| cx.error("nothing to draw from"))?;
    let word = processor.quick_word().map_err(|failed| cx.error(failed.to_string()))?;
    console.write(if word & 1 == 0 { "heads\n" } else { "tails\n" });
    Ok(())
}
