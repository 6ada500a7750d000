//! The frames of `corpus/`, and many changes of each, through the whole receive path: a card's
//! ring in host memory, the driver, the stack. Whatever comes is dropped and counted, or answered;
//! an honest station is answered afterwards.
//!
//! The frames are recorded from real clients, and from the hostile ones of the whole-appliance
//! tests: `UNIK_RECORD=$PWD/device-lib/ip/corpus tests/run path hostile` adds those of shapes
//! that aren't there yet.

use alloc::rc::Rc;
use core::cell::RefCell;
use core::net::Ipv4Addr;
use core::task::{Context, Waker};
use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::string::String;
use std::vec::Vec;

use embedded_io_async::{Read, Write};
use smoltcp::wire::{EthernetProtocol, IpAddress, IpProtocol, Ipv4Packet, Ipv6Packet, checksum};
use unik::executor::{block_on, spawn_background, yield_now};
use unik::interface::{Frames, Tcp, TcpListener, TcpStream};
use unik::start::{Listen, Protocol};
use unik::time::{Duration, Instant};
use unik_virtio::mock::{Device, MockPort, MockTransport};
use unik_virtio_net::{Nic, Settings};

use crate::lower::Addressing;
use crate::stack::{Handle, Shared, Stack};
use crate::testing::Counter;
use crate::{Ipv4, Ipv6, Options};

/// Who the frames were sent to.
const GUEST: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 15);
const GUEST_MAC: [u8; 6] = [0x52, 0x54, 0, 0x12, 0x34, 0x56];
/// An honest station beside those that sent them.
const HONEST: [u8; 4] = [10, 0, 2, 99];
const HONEST_MAC: [u8; 6] = [2, 0, 0, 0, 0, 99];

const ETHERNET: usize = 14;
/// `struct virtio_net_hdr` (virtio 1.2, section 5.1.6): its length, and flags of it.
const HEADER: usize = 12;
const NEEDS_CHECKSUM: u8 = 1;
const DATA_VALID: u8 = 2;
/// Bytes of one of the card's buffers that the device writes.
const BUFFER: usize = 512;
/// Flags of TCP.
const SYN: u8 = 2;
const RST: u8 = 4;
const ACK: u8 = 16;

static OPTIONS: Options = Options {
    ipv4: Ipv4::Static { address: (GUEST, 24), gateway: None },
    ipv6: Some(Ipv6::Slaac),
    hostname: None,
    max_connections: 64,
    tcp_buffer: 4096,
    tcp_memory: 1 << 20,
    udp_buffer: 65536,
    segmentation: false,
    timestamps: true,
    mtu: None,
    resolver: None,
    route: &[],
    counters: None,
};

static LISTENS: [Listen; 2] = [
    Listen { protocol: Protocol::Tcp, port: 80, service: "test" },
    Listen { protocol: Protocol::Udp, port: 7, service: "test" },
];

/// The frames by their names.
fn corpus() -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let files = fs::read_dir(folder).expect("the folder is there").flatten();
    let mut frames: Vec<_> = files
        .map(|file| {
            let name = file.file_name().into_string().expect("a name in ASCII");
            (name, fs::read(file.path()).expect("the file can be read"))
        })
        .collect();
    frames.sort();
    frames
}

/// A stack on a card whose device the test plays.
struct Host {
    device: Device,
    stack: Shared<Nic<MockPort>, Counter>,
    now: Instant,
    given: u64,
    /// What the stack acknowledged last, by the honest station's port.
    acknowledged: HashMap<u16, u32>,
}

impl Host {
    async fn new() -> Host {
        // Virtio 1, the address, merged buffers, checksums and coalesced segments on receive.
        let device = Device::new(1 << 32 | 1 << 5 | 1 << 15 | 1 << 1 | 0x180, &[256, 256]);
        device.set_config(&GUEST_MAC);
        let settings = Settings {
            queue_size: 256,
            receive_buffer: 2048,
            transmit_memory: 65536,
            mac: None,
            polling: false,
        };
        let nic = Nic::new(MockTransport::new(device.clone()), "nic", settings).expect("a card");
        let addressing = Addressing { address: GUEST, prefix: 24, gateway: None };
        let stack = Stack::new("lan", &OPTIONS, &LISTENS, Some(addressing), nic, Counter::new(3));
        let stack = Rc::new(RefCell::new(stack.expect("a stack")));
        spawn_echo(&Handle::new(stack.clone()));
        let now = Instant::START + Duration::from_secs(1);
        let mut host = Host { device, stack, now, given: 0, acknowledged: HashMap::new() };
        // Its addresses pass their trials.
        for _ in 0..4 {
            host.turn().await;
            host.now += Duration::from_secs(1);
        }
        host
    }

    /// The device writes `frame`, of which it says `flags`, into as many buffers as it takes.
    fn give(&mut self, frame: &[u8], flags: u8) {
        let mut header = [0; HEADER];
        header[0] = flags;
        let buffers = (HEADER + frame.len()).div_ceil(BUFFER).max(1);
        header[10] = if frame.len() + HEADER > 1900 { buffers as u8 } else { 1 };
        let size = if header[10] == 1 { 1900 } else { BUFFER };
        let bytes = [&header, frame].concat();
        self.device.queue(0, |queue| {
            for part in bytes.chunks(size) {
                let chain = queue.next().expect("the driver gives its buffers back");
                chain.write(part);
                queue.give_back(u32::from(chain.id), part.len() as u32);
            }
        });
        self.given += 1;
    }

    /// One turn of the stack and of the echo; what was sent.
    async fn turn(&mut self) -> Vec<Vec<u8>> {
        {
            let mut stack = self.stack.borrow_mut();
            let _ = stack.lower.link.frames.poll_ready(&mut Context::from_waker(Waker::noop()));
            stack.receive(usize::MAX, self.now);
        }
        yield_now().await;
        yield_now().await;
        self.stack.borrow_mut().send(self.now);
        self.now += Duration::from_millis(1);
        let mut sent = Vec::new();
        self.device.queue(1, |queue| {
            while let Some(chain) = queue.next() {
                sent.push(chain.bytes().split_off(HEADER));
                queue.give_back(u32::from(chain.id), 0);
            }
        });
        for frame in &sent {
            if frame.len() >= 54 && frame[30..34] == HONEST && frame[23] == 6 && frame[47] & ACK != 0 {
                let number = u32::from_be_bytes([frame[42], frame[43], frame[44], frame[45]]);
                self.acknowledged.insert(u16::from_be_bytes([frame[36], frame[37]]), number);
            }
        }
        sent
    }

    async fn replay(&mut self, frame: &[u8]) {
        for flags in [0, DATA_VALID, NEEDS_CHECKSUM] {
            self.give(frame, flags);
        }
        self.turn().await;
    }

    /// An honest station finds us, and a ping of its is answered.
    async fn assert_lives(&mut self, after: &str) {
        let mut arp = [&[0xff; 6], &HONEST_MAC[..], &[8, 6, 0, 1, 8, 0, 6, 4, 0, 1]].concat();
        arp.extend([&HONEST_MAC[..], &HONEST, &[0; 6], &GUEST.octets()].concat());
        self.give(&arp, 0);
        let sent = self.turn().await;
        let answer = |frame: &Vec<u8>| frame[..6] == HONEST_MAC && frame[12..14] == [8, 6];
        assert!(sent.iter().any(answer), "{after}: no answer to ARP");
        let mut ping = ipv4(IpProtocol::Icmp, &[8, 0, 0, 0, 1, 2, 3, 4, b'p', b'i', b'n', b'g']);
        finish(&mut ping);
        self.give(&ping, 0);
        let sent = self.turn().await;
        let answer = |frame: &Vec<u8>| frame[..6] == HONEST_MAC && frame.ends_with(b"\x01\x02\x03\x04ping");
        assert!(sent.iter().any(answer), "{after}: no answer to a ping");
    }

    /// Opens a connection from `port`: our next number, and the one that we expect.
    async fn connect(&mut self, port: u16) -> Option<(u32, u32)> {
        let number = 0x0102_0304;
        self.give(&segment(port, number, 0, SYN, &[]), 0);
        let sent = self.turn().await;
        let answer = sent.iter().find(|frame| {
            frame.len() >= 54
                && frame[23] == 6
                && frame[36..38] == port.to_be_bytes()
                && frame[47] == SYN | ACK
        })?;
        let first = u32::from_be_bytes([answer[38], answer[39], answer[40], answer[41]]);
        let ends = (number + 1, first.wrapping_add(1));
        self.give(&segment(port, ends.0, ends.1, ACK, &[]), 0);
        self.turn().await;
        Some(ends)
    }

    /// Resets the connection from `port`, whatever has become of it.
    async fn reset(&mut self, port: u16) {
        let number = self.acknowledged.get(&port).copied().unwrap_or(0);
        self.give(&segment(port, number, 0, RST, &[]), 0);
        self.turn().await;
    }
}

/// Sends back what connections bring, and closes them with their peers.
fn spawn_echo(net: &Handle<Nic<MockPort>, Counter>) {
    let mut listener = net.listen(80).expect("a declared port");
    spawn_background("echo", async move {
        loop {
            let mut stream = listener.accept().await;
            spawn_background("echo", async move {
                let mut buffer = [0; 1000];
                while let Ok(length @ 1..) = stream.read(&mut buffer).await {
                    if stream.write_all(&buffer[..length]).await.is_err() {
                        return;
                    }
                }
                let _ = stream.close().await;
            });
        }
    });
}

/// A frame from the honest station.
fn ipv4(protocol: IpProtocol, payload: &[u8]) -> Vec<u8> {
    let mut frame = [&GUEST_MAC[..], &HONEST_MAC, &[8, 0, 0x45, 0]].concat();
    frame.extend((20 + payload.len() as u16).to_be_bytes());
    frame.extend([0, 0, 0x40, 0, 64, protocol.into(), 0, 0]);
    frame.extend(HONEST);
    frame.extend(GUEST.octets());
    frame.extend(payload);
    frame
}

fn segment(port: u16, sequence: u32, acknowledgement: u32, flags: u8, data: &[u8]) -> Vec<u8> {
    let mut payload = Vec::from(port.to_be_bytes());
    payload.extend(80_u16.to_be_bytes());
    payload.extend(sequence.to_be_bytes());
    payload.extend(acknowledgement.to_be_bytes());
    payload.extend([0x50, flags, 0x20, 0, 0, 0, 0, 0]);
    payload.extend(data);
    let mut frame = ipv4(IpProtocol::Tcp, &payload);
    finish(&mut frame);
    frame
}

/// Writes right checksums, as far as there are headers that have them.
fn finish(frame: &mut [u8]) {
    let Some((head, packet)) = frame.split_at_mut_checked(ETHERNET) else { return };
    let kind = EthernetProtocol::from(u16::from_be_bytes([head[12], head[13]]));
    let found = match kind {
        EthernetProtocol::Ipv4 => {
            let Ok(mut packet) = Ipv4Packet::new_checked(&mut *packet) else { return };
            packet.fill_checksum();
            let ends = (IpAddress::from(packet.src_addr()), IpAddress::from(packet.dst_addr()));
            (packet.next_header(), ends, usize::from(packet.header_len()), usize::from(packet.total_len()))
        }
        EthernetProtocol::Ipv6 => {
            let Ok(packet) = Ipv6Packet::new_checked(&mut *packet) else { return };
            let ends = (IpAddress::from(packet.src_addr()), IpAddress::from(packet.dst_addr()));
            (packet.next_header(), ends, 40, packet.total_len())
        }
        _ => return,
    };
    let (protocol, (from, to), begin, end) = found;
    let Some(payload) = packet.get_mut(begin..end) else { return };
    let at = match protocol {
        IpProtocol::Tcp => 16,
        IpProtocol::Udp => 6,
        IpProtocol::Icmp | IpProtocol::Icmpv6 => 2,
        _ => return,
    };
    let Some(field) = payload.get_mut(at..at + 2) else { return };
    field.fill(0);
    let length = payload.len() as u32;
    let pseudo = match (from, to) {
        _ if protocol == IpProtocol::Icmp => 0,
        (from, to) => checksum::pseudo_header(&from, &to, protocol, length),
    };
    let sum = !checksum::combine(&[pseudo, checksum::data(payload)]);
    payload[at..at + 2].copy_from_slice(&sum.to_be_bytes());
}

/// `frame` with one byte or bit changed, for many of them, with the checksums that were there and with
/// right ones; and cut off everywhere.
fn changes(frame: &[u8]) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    // Behind the headers it is data, of which a few bytes stand for all.
    let headers = frame.len().min(110);
    for at in 0..headers {
        for change in [|_| 0, |_| 0xff, |byte| byte ^ 0x80, |byte: u8| byte.wrapping_add(1)] {
            let mut changed = frame.to_vec();
            changed[at] = change(changed[at]);
            all.push(changed.clone());
            finish(&mut changed);
            all.push(changed);
        }
        all.push(frame[..at].to_vec());
        // As a shorter packet, rather than one that is cut off.
        let mut shorter = frame[..at].to_vec();
        if at > ETHERNET + 4 && frame[12..14] == [8, 0] {
            shorter[16..18].copy_from_slice(&((at - ETHERNET) as u16).to_be_bytes());
            finish(&mut shorter);
            all.push(shorter);
        }
    }
    all
}

/// `frame`, a whole segment over IPv4, as one of the connection from `port` whose next numbers are
/// `ends`; its own numbers become small distances to those.
fn on_connection(frame: &[u8], port: u16, ends: (u32, u32)) -> Option<Vec<u8>> {
    let is_segment = frame.len() >= 54 && frame[12..15] == [8, 0, 0x45] && frame[23] == 6;
    if !is_segment {
        return None;
    }
    let mut frame = frame.to_vec();
    frame[..6].copy_from_slice(&GUEST_MAC);
    frame[6..12].copy_from_slice(&HONEST_MAC);
    frame[26..30].copy_from_slice(&HONEST);
    frame[30..34].copy_from_slice(&GUEST.octets());
    frame[34..36].copy_from_slice(&port.to_be_bytes());
    frame[36..38].copy_from_slice(&80_u16.to_be_bytes());
    let distance = |byte: u8| u32::from(byte % 4).wrapping_sub(1);
    let sequence = ends.0.wrapping_add(distance(frame[41]));
    let acknowledgement = ends.1.wrapping_add(distance(frame[45]) & !1);
    frame[38..42].copy_from_slice(&sequence.to_be_bytes());
    frame[42..46].copy_from_slice(&acknowledgement.to_be_bytes());
    Some(frame)
}

#[test]
fn every_frame_and_its_changes_are_survived() {
    let frames = corpus();
    assert!(frames.len() >= 60, "the corpus is there: {} frames", frames.len());
    let bytes: usize = frames.iter().map(|(_, frame)| frame.len()).sum();
    assert!(frames.len() <= 200 && bytes <= 100 << 10, "{} frames, {bytes} bytes", frames.len());
    block_on(async {
        let mut host = Host::new().await;
        for (name, frame) in &frames {
            host.replay(frame).await;
            for changed in changes(frame) {
                host.replay(&changed).await;
            }
            host.assert_lives(name).await;
        }
        std::println!("{} frames, {} with their changes", frames.len(), host.given);
    });
}

#[test]
fn every_segment_and_its_changes_are_survived_by_a_connection() {
    block_on(async {
        let (mut host, mut port) = (Host::new().await, 1024);
        for (name, frame) in &corpus() {
            if on_connection(frame, port, (0, 0)).is_none() {
                continue;
            }
            for changed in core::iter::once(frame.clone()).chain(changes(frame)) {
                port = if port == u16::MAX { 1024 } else { port + 1 };
                let ends = host.connect(port).await;
                let ends = ends.unwrap_or_else(|| panic!("{name}: no connection: {:?}", host.stack));
                for mut segment in
                    [frame, &changed].into_iter().filter_map(|it| on_connection(it, port, ends))
                {
                    host.give(&segment, 0);
                    finish(&mut segment);
                    host.give(&segment, 0);
                    host.turn().await;
                }
                host.reset(port).await;
            }
            host.assert_lives(name).await;
        }
    });
}
