//! One end of QEMU's `-netdev stream`: Ethernet frames over a UNIX socket, each behind its length
//! (32 bits, big-endian).
//!
//! Unlike a TAP, such a device takes nothing over for the guest: no checksums, no segmentation.
//! What the guest sends and verifies, it does itself.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;

/// The longest frame: a segment of 64 KiB, its headers, and some.
const LONGEST: usize = 70_000;
/// What is read at once.
const CHUNK: usize = 256 << 10;

/// Sends frames.
#[derive(Debug)]
pub struct Sender {
    stream: UnixStream,
    buffer: Vec<u8>,
}

/// Takes frames.
#[derive(Debug)]
pub struct Receiver {
    stream: UnixStream,
    buffer: Vec<u8>,
    /// What of the buffer isn't taken yet.
    rest: std::ops::Range<usize>,
}

/// The two ways of a cable.
///
/// # Errors
/// When the socket can't be cloned.
pub fn split(stream: UnixStream) -> io::Result<(Sender, Receiver)> {
    let other = stream.try_clone()?;
    let receiver = Receiver { stream, buffer: vec![0; CHUNK], rest: 0..0 };
    Ok((Sender { stream: other, buffer: Vec::new() }, receiver))
}

impl Sender {
    /// Sends one frame; waits for as long as the other end takes none.
    ///
    /// # Errors
    /// When the other end is gone.
    pub fn send(&mut self, frame: &[u8]) -> io::Result<()> {
        self.buffer.clear();
        self.buffer.extend((frame.len() as u32).to_be_bytes());
        self.buffer.extend(frame);
        self.stream.write_all(&self.buffer)
    }

    /// Ends both ways of the cable, also for whoever waits for a frame.
    pub fn end(&self) {
        // It may have ended by itself.
        let _ = self.stream.shutdown(Shutdown::Both);
    }
}

impl Receiver {
    /// The next frame; waits for it. `None` when the other end is gone.
    ///
    /// # Errors
    /// As the socket's, and for a length that no frame has.
    #[allow(clippy::should_implement_trait, reason = "what it gives is borrowed")]
    pub fn next(&mut self) -> io::Result<Option<&[u8]>> {
        loop {
            let rest = &self.buffer[self.rest.clone()];
            if let Some((length, frames)) = rest.split_first_chunk::<4>() {
                let length = u32::from_be_bytes(*length) as usize;
                if length > LONGEST {
                    return Err(io::Error::new(io::ErrorKind::InvalidData, "a frame of too many bytes"));
                }
                if frames.len() >= length {
                    let begin = self.rest.start + 4;
                    self.rest.start = begin + length;
                    return Ok(Some(&self.buffer[begin..begin + length]));
                }
            }
            self.buffer.copy_within(self.rest.clone(), 0);
            self.rest = 0..self.rest.len();
            match self.stream.read(&mut self.buffer[self.rest.end..])? {
                0 => return Ok(None),
                more => self.rest.end += more,
            }
        }
    }
}

/// Joins a cable to the TAP device `name`, until either is gone.
///
/// # Errors
/// When the device can't be opened, or the cable breaks.
pub fn join_tap(stream: UnixStream, name: &str) -> io::Result<()> {
    let mut tap = crate::tap::open(name)?;
    let mut out = tap.try_clone()?;
    let (mut sender, mut receiver) = split(stream)?;
    std::thread::spawn(move || {
        let mut frame = vec![0; LONGEST];
        while let Ok(length) = tap.read(&mut frame) {
            if sender.send(&frame[..length]).is_err() {
                break;
            }
        }
        sender.end();
    });
    while let Some(frame) = receiver.next()? {
        match out.write(frame) {
            // A frame that was damaged may be one that Linux takes for none.
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_as_they_were_sent_however_they_are_cut() {
        let (one, other) = UnixStream::pair().expect("a pair");
        let (mut sender, _) = split(one).expect("two ways");
        let (_, mut receiver) = split(other.try_clone().expect("a clone")).expect("two ways");
        let frames: Vec<Vec<u8>> = (0..200).map(|number| vec![number as u8; number * 13 % 1515]).collect();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for frame in &frames {
                    sender.send(frame).expect("it takes them");
                }
                // In parts, as a stream may give them.
                for part in [&[0, 0][..], &[0, 3, b'a'], b"bc", &[0xff; 4]] {
                    sender.stream.write_all(part).expect("it takes them");
                }
            });
            for frame in &frames {
                assert_eq!(receiver.next().expect("a frame"), Some(frame.as_slice()));
            }
            assert_eq!(receiver.next().expect("a frame"), Some(&b"abc"[..]));
            assert!(receiver.next().is_err(), "a frame of 4 GiB");
        });
        sender.end();
        assert!(matches!(split(other).expect("two ways").1.next(), Ok(None)));
    }
}
