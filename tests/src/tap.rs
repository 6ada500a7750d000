//! A TAP device that exists already, opened for its frames.

#![allow(unsafe_code)]

use std::ffi::c_void;
use std::fs::File;
use std::io;

use rustix::ioctl::{Ioctl, IoctlOutput, Opcode, ioctl};

/// `TUNSETIFF`, `_IOW('T', 202, int)` of `linux/if_tun.h`.
const TUNSETIFF: Opcode = 0x4004_54ca;
/// Ethernet frames, and nothing before them.
const IFF_TAP_IFF_NO_PI: u16 = 0x0002 | 0x1000;
/// The longest name of a network device, with the zero behind it.
const NAME: usize = 16;

/// `struct ifreq` of `net/if.h`, as far as `TUNSETIFF` reads it.
#[repr(C)]
struct Request {
    name: [u8; NAME],
    flags: u16,
    rest: [u8; 22],
}

// SAFETY: TUNSETIFF reads and writes one `struct ifreq` of 40 bytes, which `Request` is in
// size and layout, and which outlives the call since `ioctl` takes it by value; it returns
// nothing but success.
unsafe impl Ioctl for Request {
    type Output = ();
    const IS_MUTATING: bool = true;

    fn opcode(&self) -> Opcode {
        TUNSETIFF
    }

    fn as_ptr(&mut self) -> *mut c_void {
        (&raw mut *self).cast()
    }

    unsafe fn output_from_ptr(_: IoctlOutput, _: *mut c_void) -> rustix::io::Result<()> {
        Ok(())
    }
}

/// Opens the TAP device `name` of this network namespace. Each read gives one frame, each
/// write sends one.
///
/// # Errors
/// When there is no such device, another program has it, or the rights are missing.
pub fn open(name: &str) -> io::Result<File> {
    let file = File::options().read(true).write(true).open("/dev/net/tun")?;
    let mut request = Request { name: [0; NAME], flags: IFF_TAP_IFF_NO_PI, rest: [0; 22] };
    if name.len() >= NAME {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "a name of at most 15 bytes"));
    }
    request.name[..name.len()].copy_from_slice(name.as_bytes());
    // SAFETY: the file is the TUN device, of which `Request` is the argument of TUNSETIFF.
    unsafe { ioctl(&file, request) }?;
    Ok(file)
}
