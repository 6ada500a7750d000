//! How the machine ends, and what its monitor makes of it.
//!
//! With QEMU's `-device isa-debug-exit,iobase=0xf4,iosize=4` QEMU itself ends, with status
//! `2 × (16 + exit code) + 1`: 33 for [`Ending::Done`], 35 `Failed`, 235 `Panic`, 237
//! `Fault`. The 16 keeps them apart from QEMU's own status 1. Without that device the gate pulls the
//! keyboard controller's reset line (which is how Firecracker guests end), and at last makes a
//! triple fault; then only the console tells how it ended.
//!
//! After the seal it is the gate that writes to both ports. Ring 3 tells it the value, but not
//! that of a fault: with that one, and no other, the machine ends after an exception.

use super::super::Ending;
use super::{calls, paging, ports};

/// Port of QEMU's debug exit.
pub const EXIT_PORT: u16 = 0xf4;
/// Port of the keyboard controller's commands, for the gate alone.
pub const RESET_PORT: u16 = 0x64;
/// The command that pulls the reset line.
pub const RESET: u8 = 0xfe;

/// What is written to [`EXIT_PORT`].
pub const fn value(ending: Ending) -> u8 {
    16 + ending.exit_code()
}

/// Ends the machine.
pub fn exit(ending: Ending) -> ! {
    if !paging::is_sealed() {
        // There may be no gate yet, but all ports are open.
        // SAFETY: the write ends the machine or does nothing.
        unsafe { ports::out8(EXIT_PORT, value(ending)) };
    }
    calls::end(value(ending))
}
