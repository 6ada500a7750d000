//! `leaky`: uses the standard library. That works in a process, and in no image.
#![forbid(unsafe_code)]

use unik::start::{Context, StartError};

/// Prints a line.
///
/// # Errors
/// When the host doesn't know.
#[unik::service]
pub async fn start(cx: &Context, _options: &'static Options) -> Result<(), StartError> {
    let count = std::thread::available_parallelism().map_err(|error| cx.error(error.to_string()))?;
    println!("processors: {count}");
    Ok(())
}
