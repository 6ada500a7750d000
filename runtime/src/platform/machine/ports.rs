//! Port I/O: all of it, in four functions that are never inlined, so that whoever looks into an
//! image finds the instructions here and nowhere else.

use core::arch::asm;

/// Writes a byte to a port.
///
/// # Safety
/// The effect of the write on the device behind the port leaves memory alone. After the
/// seal any port but the console's two is a general protection fault.
#[inline(never)]
pub unsafe fn out8(port: u16, value: u8) {
    // SAFETY: the caller's.
    unsafe { asm!("out dx, al", in("dx") port, in("al") value, options(nomem, nostack, preserves_flags)) }
}

/// Reads a byte from a port.
///
/// # Safety
/// As for [`out8`].
#[inline(never)]
pub unsafe fn in8(port: u16) -> u8 {
    let value: u8;
    // SAFETY: the caller's.
    unsafe { asm!("in al, dx", in("dx") port, out("al") value, options(nomem, nostack, preserves_flags)) }
    value
}

/// Writes a doubleword to a port.
///
/// # Safety
/// As for [`out8`].
#[inline(never)]
pub unsafe fn out32(port: u16, value: u32) {
    // SAFETY: the caller's.
    unsafe { asm!("out dx, eax", in("dx") port, in("eax") value, options(nomem, nostack, preserves_flags)) }
}

/// Reads a doubleword from a port.
///
/// # Safety
/// As for [`out8`].
#[inline(never)]
pub unsafe fn in32(port: u16) -> u32 {
    let value: u32;
    // SAFETY: the caller's.
    unsafe { asm!("in eax, dx", in("dx") port, out("eax") value, options(nomem, nostack, preserves_flags)) }
    value
}
