//! Keeps frames of as many shapes as there are, as the corpus of what the stack is fuzzed with.

use std::collections::HashSet;
use std::path::PathBuf;

use smoltcp::wire::{
    ArpPacket, EthernetFrame, EthernetProtocol, Icmpv4Packet, IpProtocol, Ipv4Packet, Ipv6Packet, TcpPacket,
    UdpPacket,
};

/// Names the folder that frames are kept in.
const FOLDER: &str = "UNIK_RECORD";
/// Longer ones are cut: what is behind that is data.
const LONGEST: usize = 700;

/// Writes the first frame of each shape into a folder. What makes a shape is what a stack decides
/// by: protocols, flags, kinds of options, how long it is about, and whether it is right.
#[derive(Debug)]
pub struct Recorder {
    folder: PathBuf,
    seen: HashSet<String>,
}

impl Recorder {
    /// For the folder that the environment's `UNIK_RECORD` names, if it does.
    #[must_use]
    pub fn from_environment() -> Option<Recorder> {
        let folder = PathBuf::from(std::env::var_os(FOLDER)?);
        Some(Recorder { folder, seen: HashSet::new() })
    }

    /// Keeps `frame` if it is the first of its shape.
    ///
    /// # Panics
    /// When it can't be written: whoever asked for a corpus would miss it.
    pub fn record(&mut self, frame: &[u8]) {
        let name = shape(frame);
        if frame.len() <= LONGEST && self.seen.insert(name.clone()) {
            let file = self.folder.join(format!("{name}.frame"));
            // One that an earlier run found is as good.
            if !file.exists() {
                std::fs::write(&file, frame).expect("the frame can be written");
            }
        }
    }
}

/// What the stack decides by, as the name of a file.
fn shape(frame: &[u8]) -> String {
    let Ok(ethernet) = EthernetFrame::new_checked(frame) else { return "short".into() };
    let payload = ethernet.payload();
    match ethernet.ethertype() {
        EthernetProtocol::Arp => match ArpPacket::new_checked(payload) {
            Ok(packet) => format!("arp-{}", u16::from(packet.operation())),
            Err(_) => "arp-wrong".into(),
        },
        EthernetProtocol::Ipv4 => shape_v4(payload).unwrap_or("ipv4-wrong".into()),
        EthernetProtocol::Ipv6 => shape_v6(payload).unwrap_or("ipv6-wrong".into()),
        _ => "other".into(),
    }
}

fn shape_v4(packet: &[u8]) -> Option<String> {
    let packet = Ipv4Packet::new_checked(packet).ok()?;
    let options = if packet.header_len() > 20 { "-options" } else { "" };
    if !packet.verify_checksum() {
        return Some(format!("ipv4-sum{options}"));
    }
    if packet.more_frags() || packet.frag_offset() > 0 {
        let place = match (packet.frag_offset(), packet.more_frags()) {
            (0, _) => "first",
            (_, true) => "middle",
            (_, false) => "last",
        };
        return Some(format!("ipv4-piece-{place}-{}", u8::from(packet.next_header())));
    }
    let ends = (packet.src_addr().into(), packet.dst_addr().into());
    Some(format!("{}{options}", shape_above(packet.next_header(), packet.payload(), ends)))
}

fn shape_v6(packet: &[u8]) -> Option<String> {
    let packet = Ipv6Packet::new_checked(packet).ok()?;
    let ends = (packet.src_addr().into(), packet.dst_addr().into());
    let group = if packet.dst_addr().is_multicast() { "-group" } else { "" };
    let above = match packet.next_header() {
        IpProtocol::Icmpv6 => format!("icmp-{}", packet.payload().first()?),
        protocol => shape_above(protocol, packet.payload(), ends),
    };
    Some(format!("ipv6-{above}{group}"))
}

type Ends = (smoltcp::wire::IpAddress, smoltcp::wire::IpAddress);

fn shape_above(protocol: IpProtocol, payload: &[u8], (from, to): Ends) -> String {
    let found = match protocol {
        IpProtocol::Tcp => TcpPacket::new_checked(payload).ok().map(|segment| {
            let sum = if segment.verify_checksum(&from, &to) { "" } else { "-sum" };
            format!("tcp-{}{}-{}{sum}", flags(&segment), kinds(segment.options()), about(segment.payload()))
        }),
        IpProtocol::Udp => UdpPacket::new_checked(payload).ok().map(|datagram| {
            let sum = if datagram.verify_checksum(&from, &to) { "" } else { "-sum" };
            format!("udp-{}{sum}", about(datagram.payload()))
        }),
        IpProtocol::Icmp => Icmpv4Packet::new_checked(payload).ok().map(|message| {
            let sum = if message.verify_checksum() { "" } else { "-sum" };
            format!("icmp-{}-{}{sum}", u8::from(message.msg_type()), message.msg_code())
        }),
        other => Some(format!("protocol-{}", u8::from(other))),
    };
    found.unwrap_or_else(|| format!("protocol-{}-wrong", u8::from(protocol)))
}

fn flags(segment: &TcpPacket<&[u8]>) -> String {
    let all = [
        ('f', segment.fin()),
        ('s', segment.syn()),
        ('r', segment.rst()),
        ('p', segment.psh()),
        ('a', segment.ack()),
        ('u', segment.urg()),
        ('e', segment.ece()),
        ('c', segment.cwr()),
    ];
    all.iter().filter(|(_, set)| *set).map(|(name, _)| name).collect()
}

/// The kinds of the options in their order.
fn kinds(mut options: &[u8]) -> String {
    let mut all = String::new();
    while let Some((&kind, rest)) = options.split_first() {
        if kind == 0 {
            break;
        }
        all += &format!("-{kind}");
        let length = if kind == 1 { 1 } else { usize::from(rest.first().copied().unwrap_or(0)) };
        match options.get(length.max(1)..) {
            Some(rest) if length > 0 => options = rest,
            _ => return all + "-wrong",
        }
    }
    all
}

/// How long data is, about.
const fn about(data: &[u8]) -> &'static str {
    match data.len() {
        0 => "none",
        1 => "one",
        2..=64 => "little",
        _ => "much",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_tell_frames_apart() {
        assert_eq!(shape(&[0; 5]), "short");
        let mut frame = vec![0; 14];
        frame.extend([0x45, 0, 0, 24, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2, 0, 1, 0, 2]);
        frame[12..14].copy_from_slice(&[8, 0]);
        assert_eq!(shape(&frame), "ipv4-sum");
        Ipv4Packet::new_unchecked(&mut frame[14..]).fill_checksum();
        assert_eq!(shape(&frame), "protocol-17-wrong");
        assert_eq!(shape(&frame[..20]), "ipv4-wrong");
        assert_eq!(kinds(&[2, 4, 5, 180, 1, 3, 3, 7, 0]), "-2-1-3");
        assert_eq!(kinds(&[2, 0]), "-2-wrong");
        assert_eq!(kinds(&[2, 9, 1]), "-2-wrong");
    }
}
