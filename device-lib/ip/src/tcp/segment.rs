//! A TCP segment whose header was checked, and those that we write ourselves.

use alloc::vec::Vec;
use core::net::SocketAddr;

use smoltcp::phy::{Checksum, ChecksumCapabilities};
use smoltcp::wire::{IpProtocol, TcpControl, TcpOption, TcpPacket, TcpRepr, TcpSeqNumber, TcpTimestampRepr};
use unik::interface::{Entropy, Frames};

use super::engine::Sent;
use super::timestamps::Stamp;
use crate::address::{Address, WORDS};
use crate::link::Mac;
use crate::lower::{Lower, PacketIn, emit_header};

/// Bytes of a TCP header without options.
pub(crate) const TCP_HEADER: usize = 20;

/// What tells connections apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    pub peer: Address,
    pub own: Address,
    pub peer_port: u16,
    pub port: u16,
}

impl Key {
    pub fn peer(&self) -> SocketAddr {
        SocketAddr::new(self.peer.into(), self.peer_port)
    }

    /// What a keyed hash for `purpose` takes in.
    pub fn words(&self, purpose: u32) -> [u64; 2 * WORDS + 1] {
        let mut words = [0; 2 * WORDS + 1];
        words[..WORDS].copy_from_slice(&self.peer.words());
        words[WORDS..2 * WORDS].copy_from_slice(&self.own.words());
        let ports = u32::from(self.peer_port) << 16 | u32::from(self.port);
        words[2 * WORDS] = u64::from(purpose) << 32 | u64::from(ports);
        words
    }
}

/// The parts of a received segment that are looked at before smoltcp does.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Segment<'a> {
    pub key: Key,
    pub sequence: u32,
    pub acknowledgement: Option<u32>,
    pub syn: bool,
    pub fin: bool,
    pub rst: bool,
    /// Bytes of data.
    pub length: usize,
    pub window: u16,
    /// The options, unread.
    options: &'a [u8],
}

/// What the SYN of a peer says, as far as it must be remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Syn {
    pub sequence: u32,
    pub window: u16,
    pub segment_size: Option<u16>,
    pub window_scale: Option<u8>,
    pub selective: bool,
    /// The peer's clock.
    pub timestamp: Option<Stamp>,
}

impl<'a> Segment<'a> {
    /// Checks the segment in `packet`; counts what it drops.
    pub fn parse<F: Frames, E: Entropy>(lower: &mut Lower<F, E>, packet: &PacketIn<'a>) -> Option<Self> {
        let trusted = lower.link.verified;
        let counters = &mut lower.link.counters;
        let Ok(segment) = TcpPacket::new_checked(packet.payload) else {
            counters.malformed += 1;
            return None;
        };
        let (peer, own) = (packet.from, packet.to);
        let key = Key { peer, own, peer_port: segment.src_port(), port: segment.dst_port() };
        let flags = [segment.syn(), segment.fin(), segment.rst()];
        if key.port == 0 || key.peer_port == 0 || flags.iter().filter(|flag| **flag).count() > 1 {
            counters.malformed += 1;
            return None;
        }
        if !trusted && !segment.verify_checksum(&packet.from.into(), &packet.to.into()) {
            counters.checksum += 1;
            return None;
        }
        let head = usize::from(segment.header_len());
        Some(Segment {
            key,
            sequence: number(segment.seq_number()),
            acknowledgement: segment.ack().then(|| number(segment.ack_number())),
            syn: segment.syn(),
            fin: segment.fin(),
            rst: segment.rst(),
            length: packet.payload.len() - head,
            window: segment.window_len(),
            options: &packet.payload[20..head],
        })
    }

    /// What is worth remembering of a SYN.
    pub fn as_syn(&self) -> Syn {
        let mut syn = Syn {
            sequence: self.sequence,
            window: self.window,
            segment_size: None,
            window_scale: None,
            selective: false,
            timestamp: None,
        };
        self.each_option(|option| {
            match option {
                TcpOption::MaxSegmentSize(size) => syn.segment_size = Some(size),
                // RFC 7323, section 2.3: more than 14 counts as 14.
                TcpOption::WindowScale(scale) => syn.window_scale = Some(scale.min(14)),
                TcpOption::SackPermitted => syn.selective = true,
                TcpOption::TimeStamp { tsval, .. } => syn.timestamp = Stamp::new(tsval),
                _ => {}
            }
        });
        syn
    }

    /// The peer's clock, and what it has seen of ours.
    pub fn timestamp(&self) -> Option<(Stamp, u32)> {
        let mut timestamp = None;
        self.each_option(|option| {
            if let TcpOption::TimeStamp { tsval, tsecr } = option {
                timestamp = Stamp::new(tsval).map(|stamp| (stamp, tsecr));
            }
        });
        timestamp
    }

    /// Options that can't be read end the list.
    fn each_option(&self, mut take: impl FnMut(TcpOption<'a>)) {
        let mut options = self.options;
        while let Ok((rest, option)) = TcpOption::parse(options) {
            if option == TcpOption::EndOfList {
                break;
            }
            take(option);
            if rest.is_empty() {
                break;
            }
            options = rest;
        }
    }
}

impl Syn {
    /// The packet, as it might have come from the peer of `key`.
    pub fn packet(&self, key: Key) -> Vec<u8> {
        let segment = TcpRepr {
            control: TcpControl::Syn,
            window_len: self.window,
            window_scale: self.window_scale,
            max_seg_size: self.segment_size,
            sack_permitted: self.selective,
            timestamp: self.timestamp.map(|theirs| TcpTimestampRepr::new(theirs.value, 0)),
            ..bare(key.peer_port, key.port, self.sequence, None)
        };
        packet_of(key, &segment)
    }

    /// Answers it with our first number, a window of `window` bytes, and our clock, if it has one:
    /// to the letter what smoltcp would say. `false` if the ring is full.
    pub fn answer<F: Frames, E: Entropy>(
        &self,
        lower: &mut Lower<F, E>,
        station: Mac,
        key: Key,
        (sequence, stamp): (u32, u32),
        window: usize,
    ) -> bool {
        let largest = lower.mtu_for(key.own) - key.own.header() - TCP_HEADER;
        let segment = TcpRepr {
            control: TcpControl::Syn,
            window_len: u16::try_from(window).unwrap_or(u16::MAX),
            // Also where our windows need none: that allows the peer its own.
            window_scale: self.window_scale.map(|_| scale_of(window)),
            max_seg_size: u16::try_from(largest).ok(),
            sack_permitted: self.selective,
            timestamp: self.timestamp.map(|theirs| TcpTimestampRepr::new(stamp, theirs.value)),
            ..bare(key.port, key.peer_port, sequence, Some(self.sequence.wrapping_add(1)))
        };
        send(lower, station, key, &segment)
    }
}

/// An acknowledgement without data, as it might have come from the peer of `key`.
pub(crate) fn acknowledgement(key: Key, sequence: u32, number: u32, window: u16) -> Vec<u8> {
    let segment = TcpRepr { window_len: window, ..bare(key.peer_port, key.port, sequence, Some(number)) };
    packet_of(key, &segment)
}

/// `segment` in a packet from the peer of `key`.
fn packet_of(key: Key, segment: &TcpRepr<'_>) -> Vec<u8> {
    let header = key.peer.header();
    let mut packet = alloc::vec![0; header + segment.buffer_len()];
    emit_header(&mut packet, (key.peer, key.own), IpProtocol::Tcp);
    let mut payload = TcpPacket::new_unchecked(&mut packet[header..]);
    segment.emit(&mut payload, &key.peer.into(), &key.own.into(), &ChecksumCapabilities::ignored());
    packet
}

/// By how many bits smoltcp shifts the windows of a connection with a receive buffer of `size` bytes.
pub(crate) const fn scale_of(size: usize) -> u8 {
    (usize::BITS - size.leading_zeros()).saturating_sub(16) as u8
}

/// Acknowledges what was received without data, as the last segment that was `sent` would;
/// the acknowledgement is lost if the ring is full.
pub(crate) fn acknowledge<F: Frames, E: Entropy>(
    lower: &mut Lower<F, E>,
    station: Mac,
    key: Key,
    sent: Sent,
    acknowledgement: u32,
    timestamp: Option<TcpTimestampRepr>,
) {
    let segment = TcpRepr {
        window_len: sent.window,
        timestamp,
        ..bare(key.port, key.peer_port, sent.next, Some(acknowledgement))
    };
    if !send(lower, station, key, &segment) {
        lower.link.counters.replies_dropped += 1;
    }
}

fn bare(src_port: u16, dst_port: u16, sequence: u32, acknowledgement: Option<u32>) -> TcpRepr<'static> {
    TcpRepr {
        src_port,
        dst_port,
        control: TcpControl::None,
        seq_number: TcpSeqNumber(sequence as i32),
        ack_number: acknowledgement.map(|number| TcpSeqNumber(number as i32)),
        window_len: 0,
        window_scale: None,
        max_seg_size: None,
        sack_permitted: false,
        sack_ranges: [None; 3],
        timestamp: None,
        payload: &[],
    }
}

fn send<F: Frames, E: Entropy>(
    lower: &mut Lower<F, E>,
    station: Mac,
    key: Key,
    segment: &TcpRepr<'_>,
) -> bool {
    let mut checksums = ChecksumCapabilities::ignored();
    checksums.tcp = Checksum::Tx;
    let ends = (key.own, key.peer);
    let sent = lower.transmit(station, ends, IpProtocol::Tcp, segment.buffer_len(), |payload| {
        segment.emit(&mut TcpPacket::new_unchecked(payload), &ends.0.into(), &ends.1.into(), &checksums);
    });
    sent.is_ok()
}

fn number(sequence: TcpSeqNumber) -> u32 {
    sequence.0 as u32
}

/// Whether `one` comes after `other` (RFC 9293, section 3.4).
pub(crate) fn is_after(one: u32, other: u32) -> bool {
    (one.wrapping_sub(other) as i32) > 0
}
