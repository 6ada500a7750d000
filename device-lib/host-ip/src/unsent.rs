//! How much of a connection's data the peer hasn't acknowledged.
#![allow(unsafe_code)]

use std::ffi::c_int;
use std::io;
use std::os::fd::AsFd;

use rustix::ioctl::{Getter, Opcode, ioctl};

/// `SIOCOUTQ` of tcp(7), the same number as `TIOCOUTQ`.
const SIOCOUTQ: Opcode = 0x5411;

/// The bytes that were written but not acknowledged by the peer; the end of our half
/// (FIN) counts as one, since it takes a sequence number.
///
/// # Errors
/// When `socket` is no TCP connection.
pub(crate) fn unacknowledged(socket: impl AsFd) -> io::Result<usize> {
    // SAFETY: `SIOCOUTQ` on a TCP socket stores one `int` at the address it is given, as
    // tcp(7) says, and `Getter` gives it room for exactly that. On another kind of file
    // the number means the same (tty) or fails; it never stores more.
    let bytes = unsafe { ioctl(socket, Getter::<SIOCOUTQ, c_int>::new()) }?;
    Ok(usize::try_from(bytes).unwrap_or(0))
}
