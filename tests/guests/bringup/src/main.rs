//! A guest that does what `mode=…` on its boot line says, and nothing else: the source of
//! the tests of boot, faults, time and the heap. `boot` builds and boots it.
//!
//! Modes that end well print `SUCCESS`; the others die in the one way that their name says.
#![no_std]
#![no_main]

extern crate alloc;

mod checks;
mod deaths;
mod devices;
mod dma;

use core::fmt::{self, Write};
use core::sync::atomic::{AtomicU64, Ordering};

use unik::platform::{self, Ending, machine};

/// Prints a line, in one write to the console.
#[macro_export]
macro_rules! say {
    ($($text:tt)*) => { $crate::print(format_args!($($text)*)) };
}

pub(crate) fn print(text: fmt::Arguments<'_>) {
    let mut line = alloc::string::String::new();
    // Formatting into a string doesn't fail.
    let _ = line.write_fmt(text);
    line.push('\n');
    platform::console_write(line.as_bytes());
}

/// The value of `NAME=VALUE` on the boot line.
pub(crate) fn argument(name: &str) -> Option<&'static str> {
    machine::boot_arguments().find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
}

/// How long the seal took.
static SEAL_NS: AtomicU64 = AtomicU64::new(0);

/// What boot calls.
#[unsafe(no_mangle)]
fn __unik_main() -> Ending {
    let mode = argument("mode").unwrap_or("hello");
    deaths::before_seal(mode);
    // Most of what is tried here holds before the seal and after it; `sealed=no` leaves it out.
    let seals_itself = matches!(argument("mode"), Some("devices" | "gate-writes" | "dma"));
    if argument("sealed") != Some("no") && !seals_itself {
        let start = platform::now();
        platform::seal();
        SEAL_NS.store(platform::now() - start, Ordering::Relaxed);
    }
    let outcome = match mode {
        "hello" => checks::hello(SEAL_NS.load(Ordering::Relaxed)),
        "heap" => checks::heap(),
        "exhaust" => checks::exhaust(),
        "memory-functions" => checks::memory_functions(),
        "time" => checks::time(),
        "hammer" => checks::hammer(),
        "idle" => checks::idle(),
        "turn" => checks::turn(argument("ms").and_then(|ms| ms.parse().ok()).unwrap_or(0)),
        "busy" => checks::busy(),
        "devices" => devices::devices(),
        "gate-writes" => devices::gate_writes(argument("crime").unwrap_or("none")),
        "dma" => dma::dma(argument("crime").unwrap_or("none")),
        "fail" => return Ending::Failed,
        _ => deaths::die(mode),
    };
    match outcome {
        Ok(()) => {
            say!("SUCCESS");
            Ending::Done
        }
        Err(text) => {
            say!("FAILED: {text}");
            Ending::Failed
        }
    }
}
