//! `console`: text for the person who runs the appliance.
//!
//! On a machine the serial port that the monitor connects, in a process standard output.
#![no_std]
#![forbid(unsafe_code)]

use unik::interface::Console;
use unik::platform;
use unik::start::{Context, StartError};

unik::options!();

/// Starts the console.
///
/// # Errors
/// None; the signature is that of every component.
pub async fn start(_cx: &Context, _options: &'static Options) -> Result<PlatformConsole, StartError> {
    Ok(PlatformConsole)
}

/// The platform's console.
#[derive(Clone, Copy, Debug)]
pub struct PlatformConsole;

impl Console for PlatformConsole {
    fn write(&self, text: &str) {
        platform::console_write(text.as_bytes());
    }
}
