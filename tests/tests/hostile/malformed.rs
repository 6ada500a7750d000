//! Segments that no right stack sends: what is wrong is dropped, and nothing else is harmed.

use std::net::Ipv4Addr;

use smoltcp::wire::{IpProtocol, Ipv4Packet, checksum};
use unik_tests::hub::{GUEST, Hub};
use unik_tests::peer::{ACK, Conn, FIN, PSH, RST, STATION, SYN, Segment, URG, Wrong, frame};

use crate::{Case, ECHO, HTTP};

pub(crate) const CASES: &[Case] = &[
    ("wrong checksums", wrong_checksums),
    ("headers longer than their segment", wrong_header_lengths),
    ("options that contradict themselves", wrong_options),
    ("no flags, and all of them", odd_flags),
    ("urgent data", urgent),
    ("port 0, and our own address as sender", impossible_ends),
    ("SYNs to and from everybody", groups),
    ("SYN with data", syn_with_data),
    ("a segment in tiny pieces", tiny_pieces),
    ("pieces of a segment that overlap", overlapping_pieces),
    ("frames that are cut off", cut_off),
];

fn wrong_checksums(hub: &Hub) -> Result<(), Wrong> {
    let mut conn = Conn::open(hub, ECHO)?;
    let whole = conn.segment(ACK | PSH, 0, b"evil").frame();
    // Of the packet's header and of the segment: each bit alone.
    for bit in (14 * 8..whole.len() * 8).filter(|bit| !(14 * 8..34 * 8).contains(bit) || bit / 8 < 16) {
        let mut frame = whole.clone();
        frame[bit / 8] ^= 1 << (bit % 8);
        hub.send(frame);
    }
    conn.never("an echo or a reset", |segment| !segment.data.is_empty() || segment.has(RST))?;
    conn.echo(b"after")
}

/// Writes the right checksum into a segment that was changed.
fn resum(frame: &mut [u8]) {
    let segment = &mut frame[34..];
    segment[16..18].fill(0);
    let sum = !checksum::combine(&[
        checksum::pseudo_header_v4(&STATION, &GUEST, IpProtocol::Tcp, segment.len() as u32),
        checksum::data(segment),
    ]);
    segment[16..18].copy_from_slice(&sum.to_be_bytes());
}

fn wrong_header_lengths(hub: &Hub) -> Result<(), Wrong> {
    let mut conn = Conn::open(hub, ECHO)?;
    for words in (0..5).chain(7..16) {
        let mut frame = conn.segment(ACK | PSH, 0, b"evil").frame();
        frame[46] = words << 4;
        resum(&mut frame);
        hub.send(frame);
    }
    conn.never("an echo or a reset", |segment| !segment.data.is_empty() || segment.has(RST))?;
    conn.echo(b"after")
}

fn wrong_options(hub: &Hub) -> Result<(), Wrong> {
    let mut conn = Conn::open(hub, ECHO)?;
    let wrong: [&[u8]; 8] = [
        &[2, 0, 0, 0],
        &[2, 1, 0, 0],
        &[3, 255, 0, 0],
        &[1, 1, 1, 2],
        &[2, 4, 0, 0],
        &[3, 3, 200, 0],
        &[5, 38, 1, 2, 3, 4, 5, 6],
        &[254, 2, 8, 11],
    ];
    for options in wrong {
        let fresh = Conn::new(hub, ECHO);
        fresh.send(&Segment { options: options.to_vec(), ..fresh.segment(SYN, 0, b"") });
        conn.send(&Segment { options: options.to_vec(), ..conn.segment(ACK, 0, b"") });
    }
    conn.echo(b"after")?;
    // A segment size of nothing mustn't become one byte a segment, or none.
    let mut tiny = Conn::new(hub, HTTP);
    tiny.send(&Segment { options: vec![2, 4, 0, 1], ..tiny.segment(SYN, 0, b"") });
    let answer = tiny.expect("an answer", unik_tests::peer::SOON, |segment| segment.has(SYN | ACK))?;
    tiny.next = tiny.next.wrapping_add(1);
    tiny.expected = answer.sequence.wrapping_add(1);
    tiny.say(ACK, b"");
    tiny.say(ACK | PSH, crate::REQUEST);
    tiny.absorb("the page and its end", unik_tests::peer::SOON, |conn| conn.ended)
}

fn odd_flags(hub: &Hub) -> Result<(), Wrong> {
    let mut conn = Conn::open(hub, ECHO)?;
    for flags in [0, FIN, PSH, URG, FIN | PSH | URG, 0xff, SYN | ACK | RST | FIN, 0xc0] {
        Conn::new(hub, ECHO).at(0, flags, b"x");
        Conn::new(hub, 81).at(0, flags, b"");
    }
    // Without ACK, no segment of a connection counts (RFC 9293, section 3.10.7.4).
    for flags in [0, FIN, PSH, URG, FIN | PSH | URG] {
        conn.at(0, flags, b"evil");
    }
    conn.never("an echo or a reset", |segment| !segment.data.is_empty() || segment.has(RST))?;
    conn.echo(b"after")
}

fn urgent(hub: &Hub) -> Result<(), Wrong> {
    let mut conn = Conn::open(hub, ECHO)?;
    for pointer in [0, 1, 3, 0xffff_u16] {
        let mut frame = conn.segment(ACK | PSH | URG, 0, b"urgent").frame();
        frame[52..54].copy_from_slice(&pointer.to_be_bytes());
        resum(&mut frame);
        hub.send(frame);
        conn.next = conn.next.wrapping_add(6);
        conn.received.clear();
        // As ordinary data, in its place.
        conn.absorb("the echo", unik_tests::peer::SOON, |conn| conn.received.len() >= 6)?;
        if conn.received != b"urgent" {
            return Err(format!("came back as {:?}", conn.received));
        }
    }
    conn.echo(b"after")
}

fn impossible_ends(hub: &Hub) -> Result<(), Wrong> {
    let template = Conn::new(hub, ECHO).segment(SYN, 0, b"").frame();
    let payload = &template[34..];
    for from in [GUEST, Ipv4Addr::LOCALHOST, Ipv4Addr::UNSPECIFIED, Ipv4Addr::new(10, 0, 2, 255)] {
        let mut segment = payload.to_vec();
        // From the port that it goes to (a "land" attack), and summed for that sender.
        segment[..2].copy_from_slice(&ECHO.to_be_bytes());
        segment[16..18].fill(0);
        let sum = !checksum::combine(&[
            checksum::pseudo_header_v4(&from, &GUEST, IpProtocol::Tcp, segment.len() as u32),
            checksum::data(&segment),
        ]);
        segment[16..18].copy_from_slice(&sum.to_be_bytes());
        hub.send(frame(from, GUEST, IpProtocol::Tcp, &segment));
    }
    let mut nobody = Conn::new(hub, ECHO);
    nobody.port = 0;
    nobody.at(0, SYN, b"");
    nobody.never("a handshake with port 0", |segment| segment.has(SYN))?;
    let mut conn = Conn::open(hub, ECHO)?;
    conn.echo(b"after")
}

fn groups(hub: &Hub) -> Result<(), Wrong> {
    let payload = Conn::new(hub, ECHO).segment(SYN, 0, b"").frame()[34..].to_vec();
    for to in [Ipv4Addr::BROADCAST, Ipv4Addr::new(10, 0, 2, 255), Ipv4Addr::new(224, 0, 0, 1)] {
        let mut segment = payload.clone();
        segment[16..18].fill(0);
        let sum = !checksum::combine(&[
            checksum::pseudo_header_v4(&STATION, &to, IpProtocol::Tcp, segment.len() as u32),
            checksum::data(&segment),
        ]);
        segment[16..18].copy_from_slice(&sum.to_be_bytes());
        let mut bytes = frame(STATION, to, IpProtocol::Tcp, &segment);
        hub.send(bytes.clone());
        bytes[..6].fill(0xff);
        hub.send(bytes);
    }
    // To us alone by its address, but to everybody on the link.
    let mut conn = Conn::new(hub, ECHO);
    let mut bytes = conn.segment(SYN, 0, b"").frame();
    bytes[..6].fill(0xff);
    hub.send(bytes);
    conn.never("an answer to everybody's SYN", |_| true)
}

fn syn_with_data(hub: &Hub) -> Result<(), Wrong> {
    let mut conn = Conn::new(hub, ECHO);
    conn.at(0, SYN, b"early");
    let answer = conn.expect("an answer", unik_tests::peer::SOON, |segment| segment.has(SYN | ACK))?;
    conn.next = answer.acknowledgement;
    conn.expected = answer.sequence.wrapping_add(1);
    // It may have kept the data or not; if not, it is sent again.
    conn.at(0, ACK, b"");
    conn.echo(b"later")
}

/// The frame's packet in pieces of `size` bytes, a multiple of 8.
fn pieces(whole: &[u8], size: usize) -> Vec<Vec<u8>> {
    let payload = &whole[34..];
    let cut = |(index, data): (usize, &[u8])| {
        let mut piece = frame(STATION, GUEST, IpProtocol::Tcp, data);
        let mut packet = Ipv4Packet::new_unchecked(&mut piece[14..]);
        packet.set_ident(0x4242);
        packet.set_dont_frag(false);
        packet.set_more_frags((index + 1) * size < payload.len());
        packet.set_frag_offset((index * size) as u16);
        packet.fill_checksum();
        piece
    };
    payload.chunks(size).enumerate().map(cut).collect()
}

fn tiny_pieces(hub: &Hub) -> Result<(), Wrong> {
    let mut conn = Conn::open(hub, ECHO)?;
    // Not even the header in one piece (RFC 1858).
    let data = b"in pieces of eight";
    for piece in pieces(&conn.segment(ACK | PSH, 0, data).frame(), 8).into_iter().rev() {
        hub.send(piece);
    }
    conn.next = conn.next.wrapping_add(data.len() as u32);
    conn.absorb("the echo", unik_tests::peer::SOON, |conn| conn.received.len() >= data.len())?;
    if conn.received == data { conn.echo(b"after") } else { Err(format!("{:?}", conn.received)) }
}

fn overlapping_pieces(hub: &Hub) -> Result<(), Wrong> {
    let mut conn = Conn::open(hub, ECHO)?;
    let mut all = pieces(&conn.segment(ACK | PSH, 0, &[b'e'; 100]).frame(), 24);
    // The second says that it begins where the first is (RFC 5722): all of it is dropped.
    let mut packet = Ipv4Packet::new_unchecked(&mut all[1][14..]);
    packet.set_frag_offset(8);
    packet.fill_checksum();
    for piece in all {
        hub.send(piece);
    }
    conn.never("an echo or a reset", |segment| !segment.data.is_empty() || segment.has(RST))?;
    conn.echo(b"after")
}

fn cut_off(hub: &Hub) -> Result<(), Wrong> {
    let mut conn = Conn::open(hub, ECHO)?;
    let whole = conn.segment(ACK | PSH, 0, b"evil").frame();
    // One of no bytes would stop QEMU, not the guest.
    for length in 1..whole.len() {
        hub.send(whole[..length].to_vec());
    }
    conn.never("an echo or a reset", |segment| !segment.data.is_empty() || segment.has(RST))?;
    conn.echo(b"after")
}
