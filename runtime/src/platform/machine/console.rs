//! The serial port: a 16550 at 0x3F8, which every monitor has.
//!
//! A write is expensive (an exit of the machine per byte), so there is no more of it than
//! the bytes themselves and one look per 16 at whether the port still takes them.

use core::fmt;
use core::sync::atomic::{AtomicBool, Ordering};

use super::{cpu, ports};

/// First of the serial port's eight ports: takes a byte, and gives one. Stays open after the seal.
pub const CONSOLE_PORT: u16 = 0x3f8;
/// Says whether the port takes one, or has one. Stays open after the seal.
pub const LINE_STATUS: u16 = 0x3fd;

const FIFO_CONTROL: u16 = CONSOLE_PORT + 2;
const DATA_READY: u8 = 1;
const TRANSMITTER_EMPTY: u8 = 1 << 5;
const FIFO_BYTES: usize = 16;

/// Cycles after which a port that takes nothing is given up: at least a second.
const PATIENCE: u64 = 5_000_000_000;

/// The port took nothing for long: bytes are dropped until it does again.
static STUCK: AtomicBool = AtomicBool::new(false);

/// Switches the port's transmit queue on.
pub fn start() {
    // SAFETY: a serial port reaches no memory.
    unsafe { ports::out8(FIFO_CONTROL, 1) }
}

/// Writes all bytes, unless the port has been stuck for a second: then what is left is
/// dropped, and later writes are tried once each.
pub fn write(bytes: &[u8]) {
    for chunk in bytes.chunks(FIFO_BYTES) {
        if !is_ready() {
            return;
        }
        for byte in chunk {
            // SAFETY: a serial port reaches no memory.
            unsafe { ports::out8(CONSOLE_PORT, *byte) }
        }
    }
}

fn is_ready() -> bool {
    let start = cpu::tsc();
    loop {
        // SAFETY: a serial port reaches no memory.
        if unsafe { ports::in8(LINE_STATUS) } & TRANSMITTER_EMPTY != 0 {
            STUCK.store(false, Ordering::Relaxed);
            return true;
        }
        if STUCK.load(Ordering::Relaxed) || cpu::tsc().wrapping_sub(start) > PATIENCE {
            STUCK.store(true, Ordering::Relaxed);
            return false;
        }
        core::hint::spin_loop();
    }
}

/// The next byte that the monitor sent, if there is one.
pub fn read() -> Option<u8> {
    // SAFETY: a serial port reaches no memory.
    let status = unsafe { ports::in8(LINE_STATUS) };
    // SAFETY: as above.
    (status & DATA_READY != 0).then(|| unsafe { ports::in8(CONSOLE_PORT) })
}

/// Formats to the console without a buffer and without allocating: for crash records.
pub struct Console;

impl fmt::Write for Console {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        write(text.as_bytes());
        Ok(())
    }
}
