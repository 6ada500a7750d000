//! How the machine ends, and what its monitor makes of it.
//!
//! With QEMU's `-device isa-debug-exit,iobase=0xf4,iosize=4` QEMU itself ends, with status
//! `2 × (16 + exit code) + 1`: 33 for [`Ending::Done`], 35 `Failed`, 235 `Panic`, 237
//! `Fault`. The 16 keeps them apart from QEMU's own status 1. Without that device, two exceptions
//! make the gate pull the keyboard controller's reset line (which is how Firecracker guests
//! end), and at last a triple fault; then only the console tells how it ended.

use core::sync::atomic::{AtomicBool, Ordering};

use super::super::Ending;
use super::cpu;

/// Port of QEMU's debug exit; stays open after the seal.
pub const EXIT_PORT: u16 = 0xf4;
/// Port of the keyboard controller's commands, for the gate alone.
pub const RESET_PORT: u16 = 0x64;
/// The command that pulls the reset line.
pub const RESET: u8 = 0xfe;

static ENDING: AtomicBool = AtomicBool::new(false);

/// What is written to [`EXIT_PORT`].
pub const fn value(ending: Ending) -> u8 {
    16 + ending.exit_code()
}

/// Ends the machine.
pub fn exit(ending: Ending) -> ! {
    ENDING.store(true, Ordering::Relaxed);
    // SAFETY: the write ends the machine or does nothing, and the port is open.
    unsafe { cpu::out8(EXIT_PORT, value(ending)) };
    undefined_instruction()
}

/// Whether the machine is ending: then a fault is the last resort of [`exit`], not news.
pub fn is_ending() -> bool {
    ENDING.load(Ordering::Relaxed)
}

/// The first is reflected to the fault handler, which comes here again when the machine is
/// ending; the second makes the gate end it with a triple fault.
pub fn undefined_instruction() -> ! {
    // SAFETY: the exception never returns here.
    unsafe { core::arch::asm!("ud2", options(noreturn, nomem, nostack)) }
}
