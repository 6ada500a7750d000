//! Ethernet II (RFC 894) over `Frames`.

#[cfg(feature = "tcp")]
use unik::interface::Offload;
use unik::interface::{Frames, FullRing};
use unik::time::Instant;

use crate::counters::Counters;

/// The address of a link-layer station.
pub(crate) type Mac = [u8; 6];

/// Everybody on the link.
pub(crate) const BROADCAST: Mac = [0xff; 6];

/// Bytes of the header: destination, source, type.
pub(crate) const HEADER: usize = 14;

/// The types of frame that we know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EtherType {
    Ipv4,
    #[cfg(feature = "ipv6")]
    Ipv6,
    Arp,
}

impl EtherType {
    const fn number(self) -> u16 {
        match self {
            EtherType::Ipv4 => 0x0800,
            #[cfg(feature = "ipv6")]
            EtherType::Ipv6 => 0x86dd,
            EtherType::Arp => 0x0806,
        }
    }
}

/// A received frame, taken apart.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FrameIn<'a> {
    pub from: Mac,
    pub to: Mac,
    pub kind: EtherType,
    pub payload: &'a [u8],
}

/// How far the record of the first answer is, which only an appliance that logs debugging
/// writes: of the others the compiler leaves no code for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FirstAnswer {
    Awaited,
    Queued,
    Told,
}

/// The device and what is counted about it.
#[derive(Debug)]
pub(crate) struct Link<F> {
    pub frames: F,
    pub mac: Mac,
    pub counters: Counters,
    /// The checksum of the transport header of the frame that is being received needn't be
    /// verified.
    pub verified: bool,
    first_answer: FirstAnswer,
}

impl<F: Frames> Link<F> {
    pub fn new(frames: F) -> Self {
        Link {
            mac: frames.mac(),
            frames,
            counters: Counters::default(),
            verified: false,
            first_answer: FirstAnswer::Awaited,
        }
    }

    /// Takes `frame` apart if it is for us and of a type that we know; else counts it.
    pub fn parse<'a>(&mut self, frame: &'a [u8]) -> Option<FrameIn<'a>> {
        self.counters.received += 1;
        let Some((header, payload)) = frame.split_first_chunk::<HEADER>() else {
            self.counters.malformed += 1;
            return None;
        };
        let [t0, t1, t2, t3, t4, t5, f0, f1, f2, f3, f4, f5, high, low] = *header;
        let (to, from) = ([t0, t1, t2, t3, t4, t5], [f0, f1, f2, f3, f4, f5]);
        // Of groups the packet's address tells whether we are in it (RFC 2464, section 7).
        let is_ipv6_group = cfg!(feature = "ipv6") && to[..2] == [0x33, 0x33];
        if to != self.mac && to != BROADCAST && !is_ipv6_group {
            self.counters.not_ours += 1;
            return None;
        }
        if is_group(from) || from == self.mac {
            self.counters.martian += 1;
            return None;
        }
        let kind = match u16::from_be_bytes([high, low]) {
            0x0800 => EtherType::Ipv4,
            #[cfg(feature = "ipv6")]
            0x86dd => EtherType::Ipv6,
            0x0806 => EtherType::Arp,
            _ => {
                self.counters.protocol += 1;
                return None;
            }
        };
        Some(FrameIn { from, to, kind, payload })
    }

    /// Queues a frame with `length` bytes of payload that `fill` writes.
    ///
    /// # Errors
    /// [`FullRing`]; `fill` was not called.
    pub fn transmit<R>(
        &mut self,
        to: Mac,
        kind: EtherType,
        length: usize,
        fill: impl FnOnce(&mut [u8]) -> R,
    ) -> Result<R, FullRing> {
        let from = self.mac;
        self.note_answer();
        self.frames.transmit(HEADER + length, |frame| fill(write_header(frame, to, from, kind)))
    }

    /// As [`transmit`](Self::transmit), but the device finishes the frame.
    ///
    /// # Errors
    /// [`FullRing`]; `fill` was not called.
    #[cfg(feature = "tcp")]
    pub fn transmit_offloaded<R>(
        &mut self,
        to: Mac,
        kind: EtherType,
        length: usize,
        offload: Offload,
        fill: impl FnOnce(&mut [u8]) -> R,
    ) -> Result<R, FullRing> {
        let from = self.mac;
        self.note_answer();
        let fill = |frame: &mut [u8]| fill(write_header(frame, to, from, kind));
        self.frames.transmit_offloaded(HEADER + length, offload, fill)
    }

    fn note_answer(&mut self) {
        if log::log_enabled!(log::Level::Debug)
            && self.counters.received > 0
            && self.first_answer == FirstAnswer::Awaited
        {
            self.first_answer = FirstAnswer::Queued;
        }
    }

    /// Tells the device what was queued.
    pub fn flush(&mut self) {
        self.frames.flush();
        if log::log_enabled!(log::Level::Debug) && self.first_answer == FirstAnswer::Queued {
            self.first_answer = FirstAnswer::Told;
            log::debug!("first answer after {} us", Instant::now().as_nanos() / 1000);
        }
    }

    /// As [`transmit`](Self::transmit), for replies that may be lost: counts those that are.
    pub fn reply(&mut self, to: Mac, kind: EtherType, length: usize, fill: impl FnOnce(&mut [u8])) {
        if self.transmit(to, kind, length, fill).is_err() {
            self.counters.replies_dropped += 1;
        }
    }
}

/// Writes the header of `frame`; gives what follows it.
fn write_header(frame: &mut [u8], to: Mac, from: Mac, kind: EtherType) -> &mut [u8] {
    let (header, payload) = frame.split_at_mut(HEADER);
    header[..6].copy_from_slice(&to);
    header[6..12].copy_from_slice(&from);
    header[12..].copy_from_slice(&kind.number().to_be_bytes());
    payload
}

/// Multicast or broadcast.
pub(crate) const fn is_group(mac: Mac) -> bool {
    mac[0] & 1 != 0
}
