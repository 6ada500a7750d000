//! What crossed the wire: its hash, its counts, and if asked for, a file of it.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::path::Path;

use sha2::{Digest, Sha256};

/// What happened to a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// The appliance sent it.
    Sent = 1,
    /// It arrived at the appliance.
    Received = 2,
    /// It arrived at the clients.
    Delivered = 3,
    /// The link lost it.
    Lost = 4,
    /// The appliance's ring had no room for it.
    Overflow = 5,
}

/// Of all links of a run.
#[derive(Debug)]
pub(crate) struct Trace {
    hash: Sha256,
    files: Vec<(usize, Capture)>,
    pub counts: Counts,
}

/// How many frames.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub sent: u64,
    pub received: u64,
    pub lost: u64,
    pub duplicated: u64,
    pub reordered: u64,
    pub corrupted: u64,
    pub overflow: u64,
}

impl Trace {
    pub fn new() -> Self {
        Trace { hash: Sha256::new(), files: Vec::new(), counts: Counts::default() }
    }

    /// Writes what the appliance sends and gets on `link` to a file, too.
    pub fn capture(&mut self, link: usize, path: &Path) -> io::Result<()> {
        self.files.push((link, Capture::new(path)?));
        Ok(())
    }

    /// Takes note of a frame.
    pub fn note(&mut self, now: u64, link: usize, what: What, frame: &[u8]) {
        match what {
            What::Sent => self.counts.sent += 1,
            What::Received => self.counts.received += 1,
            What::Delivered => {}
            What::Lost => self.counts.lost += 1,
            What::Overflow => self.counts.overflow += 1,
        }
        self.hash.update(now.to_le_bytes());
        self.hash.update((link as u64).to_le_bytes());
        self.hash.update([what as u8]);
        self.hash.update((frame.len() as u64).to_le_bytes());
        self.hash.update(frame);
        if matches!(what, What::Sent | What::Received) {
            for (_, file) in self.files.iter_mut().filter(|(of, _)| *of == link) {
                file.frame(now, frame);
            }
        }
    }

    /// The hash of all that was noted, in hexadecimal.
    pub fn hash(&self) -> String {
        self.hash.clone().finalize().iter().fold(String::new(), |mut text, byte| {
            // A String takes all that is written.
            let _ = write!(text, "{byte:02x}");
            text
        })
    }

    /// Writes the files to their ends; gives what went wrong with them.
    pub fn close(&mut self) -> Option<String> {
        self.files
            .drain(..)
            .find_map(|(_, file)| file.close().err())
            .map(|error| format!("the capture: {error}"))
    }
}

/// A file of frames, with nanoseconds (pcap; draft-ietf-opsawg-pcap).
#[derive(Debug)]
struct Capture {
    file: BufWriter<File>,
    failed: Option<io::Error>,
}

const MAGIC_NANOSECONDS: u32 = 0xa1b2_3c4d;
const LINKTYPE_ETHERNET: u32 = 1;

impl Capture {
    fn new(path: &Path) -> io::Result<Self> {
        let mut file = BufWriter::new(File::create(path)?);
        let (major, minor): (u16, u16) = (2, 4);
        file.write_all(&MAGIC_NANOSECONDS.to_le_bytes())?;
        file.write_all(&major.to_le_bytes())?;
        file.write_all(&minor.to_le_bytes())?;
        for word in [0, 0, u32::from(u16::MAX), LINKTYPE_ETHERNET] {
            file.write_all(&word.to_le_bytes())?;
        }
        Ok(Capture { file, failed: None })
    }

    fn frame(&mut self, now: u64, frame: &[u8]) {
        // Both fit: a run takes days at most, and a frame 64 KiB.
        let length = frame.len() as u32;
        let head = [(now / 1_000_000_000) as u32, (now % 1_000_000_000) as u32, length, length];
        let mut write = || -> io::Result<()> {
            for word in head {
                self.file.write_all(&word.to_le_bytes())?;
            }
            self.file.write_all(frame)
        };
        if self.failed.is_none() {
            self.failed = write().err();
        }
    }

    fn close(mut self) -> io::Result<()> {
        match self.failed.take() {
            Some(error) => Err(error),
            None => self.file.flush(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_difference_shows_in_the_hash() {
        let hash = |now, link, what, frame: &[u8]| {
            let mut trace = Trace::new();
            trace.note(now, link, what, frame);
            trace.hash()
        };
        let one = hash(1, 0, What::Sent, b"x");
        assert_eq!(one, hash(1, 0, What::Sent, b"x"));
        let others = [
            hash(2, 0, What::Sent, b"x"),
            hash(1, 1, What::Sent, b"x"),
            hash(1, 0, What::Lost, b"x"),
            hash(1, 0, What::Sent, b"y"),
        ];
        assert!(others.iter().all(|other| *other != one));
    }

    #[test]
    fn a_capture_has_its_frames() {
        let path = std::env::temp_dir().join(format!("unik-sim-trace-{}.pcap", std::process::id()));
        let mut trace = Trace::new();
        trace.capture(0, &path).expect("a file");
        trace.note(1_000_000_002, 0, What::Sent, b"abc");
        trace.note(1, 0, What::Lost, b"not seen");
        trace.note(1, 1, What::Sent, b"elsewhere");
        assert_eq!(trace.close(), None);
        let bytes = std::fs::read(&path).expect("the file");
        std::fs::remove_file(&path).expect("gone");
        assert_eq!(bytes.len(), 24 + 16 + 3);
        assert_eq!(bytes[..4], MAGIC_NANOSECONDS.to_le_bytes());
        assert_eq!(bytes[24..40], [1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 3, 0, 0, 0]);
    }
}
