//! A TCP segment whose header was checked, and those that we write ourselves.

use alloc::vec::Vec;
use core::net::{Ipv4Addr, SocketAddrV4};

use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    IpProtocol, Ipv4Packet, Ipv4Repr, TcpControl, TcpOption, TcpPacket, TcpRepr, TcpSeqNumber,
};
use unik::interface::{Entropy, Frames};

use crate::lower::{IPV4_HEADER, Lower, PacketIn};

/// What tells connections apart: all of them are with our one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    pub peer: Ipv4Addr,
    pub peer_port: u16,
    pub port: u16,
}

impl Key {
    pub fn peer(&self) -> SocketAddrV4 {
        SocketAddrV4::new(self.peer, self.peer_port)
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
        let key = Key { peer: packet.from, peer_port: segment.src_port(), port: segment.dst_port() };
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

    /// What is worth remembering of a SYN. Options that can't be read end the list.
    pub fn as_syn(&self) -> Syn {
        let mut syn = Syn {
            sequence: self.sequence,
            window: self.window,
            segment_size: None,
            window_scale: None,
            selective: false,
        };
        let mut options = self.options;
        while let Ok((rest, option)) = TcpOption::parse(options) {
            match option {
                TcpOption::EndOfList => break,
                TcpOption::MaxSegmentSize(size) => syn.segment_size = Some(size),
                // RFC 7323, section 2.3: more than 14 counts as 14.
                TcpOption::WindowScale(scale) => syn.window_scale = Some(scale.min(14)),
                TcpOption::SackPermitted => syn.selective = true,
                _ => {}
            }
            if rest.is_empty() {
                break;
            }
            options = rest;
        }
        syn
    }
}

impl Syn {
    /// The packet, as it might have come from `key` to `own`.
    pub fn packet(&self, key: Key, own: Ipv4Addr) -> Vec<u8> {
        let segment = TcpRepr {
            control: TcpControl::Syn,
            window_len: self.window,
            window_scale: self.window_scale,
            max_seg_size: self.segment_size,
            sack_permitted: self.selective,
            ..bare(key.peer_port, key.port, self.sequence, None)
        };
        packet(key.peer, own, &segment)
    }
}

/// An acknowledgement from us to `key` without data.
pub(crate) fn acknowledgement(key: Key, own: Ipv4Addr, sequence: u32, acknowledgement: u32) -> Vec<u8> {
    packet(own, key.peer, &bare(key.port, key.peer_port, sequence, Some(acknowledgement)))
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

fn packet(from: Ipv4Addr, to: Ipv4Addr, segment: &TcpRepr<'_>) -> Vec<u8> {
    let checksums = ChecksumCapabilities::default();
    let header = Ipv4Repr {
        src_addr: from,
        dst_addr: to,
        next_header: IpProtocol::Tcp,
        payload_len: segment.buffer_len(),
        hop_limit: 64,
    };
    let mut packet = alloc::vec![0; IPV4_HEADER + segment.buffer_len()];
    header.emit(&mut Ipv4Packet::new_unchecked(&mut packet[..]), &checksums);
    let mut payload = TcpPacket::new_unchecked(&mut packet[IPV4_HEADER..]);
    segment.emit(&mut payload, &from.into(), &to.into(), &checksums);
    packet
}

fn number(sequence: TcpSeqNumber) -> u32 {
    sequence.0 as u32
}

/// Whether `one` comes after `other` (RFC 9293, section 3.4).
pub(crate) fn is_after(one: u32, other: u32) -> bool {
    (one.wrapping_sub(other) as i32) > 0
}
