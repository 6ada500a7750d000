//! Tests packet by packet: a client that is nothing but the frames that a test writes, in time
//! that only the test moves.

mod conflicts;
mod time_wait;
mod timestamps;

use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::net::{Ipv4Addr, SocketAddr};
use std::vec;

use embedded_io_async::{Read, Write};
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    IpProtocol, Ipv4Packet, Ipv4Repr, TcpControl, TcpPacket, TcpRepr, TcpSeqNumber, UdpPacket, checksum,
};
use unik::executor::{block_on, spawn_background, yield_now};
use unik::interface::{ConnectError, StreamError, Tcp, TcpListener, TcpStream, Udp, UdpSocket};
use unik::start::{Listen, Protocol};
use unik::time::{Duration, Instant};

use crate::lower::Addressing;
use crate::stack::{Handle, Shared, Stack};
use crate::testing::{Counter, Wire};
use crate::{Ipv4, Options, Stream};

const OURS: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
const THEIRS: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 7);
const OUR_STATION: [u8; 6] = [2, 0, 0, 0, 0, 1];
const STATION: [u8; 6] = [2, 0, 0, 0, 0, 7];

const OPTIONS: Options = Options {
    ipv4: Ipv4::Static { address: (OURS, 24), gateway: Some(Ipv4Addr::new(10, 0, 0, 1)) },
    ipv6: None,
    hostname: None,
    resolver: None,
    route: &[],
    counters: None,
    max_connections: 1000,
    tcp_buffer: 16384,
    tcp_memory: 16 << 20,
    udp_buffer: 65536,
    segmentation: false,
    timestamps: false,
    mtu: None,
};

static USUAL: Options = OPTIONS;

static LISTENS: [Listen; 3] = [
    Listen { protocol: Protocol::Tcp, port: 80, service: "test" },
    Listen { protocol: Protocol::Tcp, port: 81, service: "test" },
    Listen { protocol: Protocol::Udp, port: 7, service: "test" },
];

/// Our stack, and its wire.
struct Net {
    shared: Shared<Wire, Counter>,
    handle: Handle<Wire, Counter>,
    wire: Wire,
    now: Instant,
}

/// A segment that a test sends or has received.
#[derive(Clone, Debug)]
struct Seg {
    from: Ipv4Addr,
    port: u16,
    to: u16,
    flags: TcpControl,
    seq: u32,
    ack: Option<u32>,
    window: u16,
    mss: Option<u16>,
    scale: Option<u8>,
    sack: bool,
    stamp: Option<(u32, u32)>,
    data: Vec<u8>,
}

fn seg(port: u16, flags: TcpControl, seq: u32, ack: Option<u32>) -> Seg {
    let (window, mss, scale, sack) = (60000, None, None, false);
    Seg { from: THEIRS, port, to: 80, flags, seq, ack, window, mss, scale, sack, stamp: None, data: vec![] }
}

impl Seg {
    fn frame(&self) -> Vec<u8> {
        let tcp = TcpRepr {
            src_port: self.port,
            dst_port: self.to,
            control: self.flags,
            seq_number: TcpSeqNumber(self.seq as i32),
            ack_number: self.ack.map(|ack| TcpSeqNumber(ack as i32)),
            window_len: self.window,
            window_scale: self.scale,
            max_seg_size: self.mss,
            sack_permitted: self.sack,
            sack_ranges: [None; 3],
            timestamp: self.stamp.map(|(value, echo)| smoltcp::wire::TcpTimestampRepr::new(value, echo)),
            payload: &self.data,
        };
        let mut payload = vec![0; tcp.buffer_len()];
        let checksums = ChecksumCapabilities::default();
        let mut packet = TcpPacket::new_unchecked(&mut payload[..]);
        tcp.emit(&mut packet, &self.from.into(), &OURS.into(), &checksums);
        frame(self.from, IpProtocol::Tcp, &payload)
    }

    fn read(frame: &[u8]) -> Option<Seg> {
        let packet = Ipv4Packet::new_checked(frame.get(14..)?).ok()?;
        if frame[12..14] != [8, 0] || packet.next_header() != IpProtocol::Tcp {
            return None;
        }
        assert!(packet.verify_checksum() && packet.dont_frag());
        let tcp = TcpPacket::new_checked(packet.payload()).unwrap();
        assert!(tcp.verify_checksum(&packet.src_addr().into(), &packet.dst_addr().into()));
        let all = ChecksumCapabilities::default();
        let tcp = TcpRepr::parse(&tcp, &packet.src_addr().into(), &packet.dst_addr().into(), &all).unwrap();
        Some(Seg {
            from: packet.dst_addr(),
            port: tcp.dst_port,
            to: tcp.src_port,
            flags: tcp.control,
            seq: tcp.seq_number.0 as u32,
            ack: tcp.ack_number.map(|ack| ack.0 as u32),
            window: tcp.window_len,
            mss: tcp.max_seg_size,
            scale: tcp.window_scale,
            sack: tcp.sack_permitted,
            stamp: tcp.timestamp.map(|stamp| (stamp.tsval, stamp.tsecr)),
            data: tcp.payload.to_vec(),
        })
    }
}

/// A frame to us.
fn frame(from: Ipv4Addr, next_header: IpProtocol, payload: &[u8]) -> Vec<u8> {
    let header =
        Ipv4Repr { src_addr: from, dst_addr: OURS, next_header, payload_len: payload.len(), hop_limit: 64 };
    let mut frame = vec![0; 34];
    frame[..6].copy_from_slice(&OUR_STATION);
    frame[6..12].copy_from_slice(&STATION);
    frame[12..14].copy_from_slice(&[8, 0]);
    frame.extend(payload);
    header.emit(&mut Ipv4Packet::new_unchecked(&mut frame[14..]), &ChecksumCapabilities::default());
    frame
}

impl Net {
    fn new() -> Net {
        Net::with(&USUAL)
    }

    fn with(options: &'static Options) -> Net {
        let wire = Wire::alone();
        wire.room.set(usize::MAX);
        let addressing = Addressing { address: OURS, prefix: 24, gateway: Some(Ipv4Addr::new(10, 0, 0, 1)) };
        let stack = Stack::new("lan", options, &LISTENS, Some(addressing), wire.clone(), Counter::new(3));
        let shared = Rc::new(RefCell::new(stack.unwrap()));
        let handle = Handle::new(shared.clone());
        let now = Instant::START + Duration::from_secs(1000);
        let mut net = Net { shared, handle, wire, now };
        net.arp(THEIRS);
        net.arp(Ipv4Addr::new(10, 0, 0, 1));
        net
    }

    /// The neighbour says where it is.
    fn arp(&mut self, address: Ipv4Addr) {
        let mut frame = vec![];
        frame.extend(OUR_STATION);
        frame.extend(STATION);
        frame.extend([8, 6, 0, 1, 8, 0, 6, 4, 0, 1]);
        frame.extend(STATION);
        frame.extend(address.octets());
        frame.extend([0; 6]);
        frame.extend(OURS.octets());
        self.wire.deliver(frame);
        let mut stack = self.shared.borrow_mut();
        stack.receive(1, self.now);
        drop(stack);
        self.wire.take_sent();
    }

    /// A turn; the frames that came of it.
    async fn turn(&mut self) -> Vec<Vec<u8>> {
        self.shared.borrow_mut().receive(usize::MAX, self.now);
        yield_now().await;
        yield_now().await;
        self.shared.borrow_mut().send(self.now);
        self.wire.take_sent()
    }

    /// What is answered to some frames, as far as it is TCP.
    async fn exchange(&mut self, frames: impl IntoIterator<Item = Vec<u8>>) -> Vec<Seg> {
        for frame in frames {
            self.wire.deliver(frame);
        }
        self.turn().await.iter().filter_map(|frame| Seg::read(frame)).collect()
    }

    async fn say(&mut self, seg: &Seg) -> Vec<Seg> {
        self.exchange([seg.frame()]).await
    }

    /// What is sent when nothing comes for a while.
    async fn after(&mut self, pause: Duration) -> Vec<Seg> {
        self.now += pause;
        self.exchange([]).await
    }

    /// A handshake from `port`; the next numbers of both sides: theirs, and ours.
    async fn handshake(&mut self, port: u16) -> (u32, u32) {
        let syn = Seg { mss: Some(1460), ..seg(port, TcpControl::Syn, 1000, None) };
        let answer = self.say(&syn).await.into_iter().find(|seg| seg.port == port).expect("a SYN-ACK");
        assert_eq!((answer.flags, answer.ack), (TcpControl::Syn, Some(1001)));
        let ours = answer.seq.wrapping_add(1);
        let answers = self.say(&seg(port, TcpControl::None, 1001, Some(ours))).await;
        assert!(answers.iter().all(|seg| seg.port != port), "{answers:?}");
        (1001, ours)
    }

    fn counters(&self) -> crate::Counters {
        self.handle.counters()
    }

    /// Our next sequence number of the connection with a port.
    fn next_of(&self, port: u16) -> u32 {
        self.shared.borrow().tcp.numbers_of(THEIRS.into(), port)
    }

    fn flows(&self) -> usize {
        self.shared.borrow().tcp.flow_count()
    }
}

type Held = Rc<RefCell<Vec<Stream<Wire, Counter>>>>;

/// Accepts connections and keeps them.
fn accept(net: &Net) -> Held {
    let mut listener = net.handle.listen(80).unwrap();
    let held = Held::default();
    let place = held.clone();
    spawn_background("accept", async move {
        loop {
            let stream = listener.accept().await;
            place.borrow_mut().push(stream);
        }
    });
    held
}

/// Lets the first connection that was accepted do something; what came of it stands in the list.
fn act<R: 'static>(
    held: &Held,
    act: impl AsyncFnOnce(&mut Stream<Wire, Counter>) -> R + 'static,
) -> Rc<RefCell<Option<R>>> {
    let result = Rc::new(RefCell::new(None));
    let (place, held) = (result.clone(), held.clone());
    spawn_background("act", async move {
        let mut stream = held.borrow_mut().remove(0);
        let done = act(&mut stream).await;
        *place.borrow_mut() = Some(done);
        held.borrow_mut().insert(0, stream);
    });
    result
}

#[test]
fn a_flood_of_syns_leaves_the_honest_ones_in() {
    block_on(async {
        let mut net = Net::new();
        let held = accept(&net);
        // Ten minutes at 50,000 a second would be 30 million: the state is full after the first
        // 4,096, and stays so; what an honest client meets is the same at any later time.
        let mut spoofed = 0u32;
        for second in 0..4u16 {
            for _ in 0..50 {
                let flood: Vec<_> = (0..1000)
                    .map(|_| {
                        spoofed += 1;
                        let from = Ipv4Addr::from(0x0b00_0000 + spoofed);
                        Seg { from, ..seg(spoofed as u16 | 1, TcpControl::Syn, spoofed, None) }.frame()
                    })
                    .collect();
                let answers = net.exchange(flood).await;
                assert!(answers.len() >= 1000, "each is answered: {}", answers.len());
                net.now += Duration::from_millis(20);
            }
            net.handshake(2000 + second).await;
        }
        // A port has its share, and no more.
        assert_eq!(net.shared.borrow().tcp.half_open_count(), 3072);
        assert_eq!((held.borrow().len(), net.flows()), (4, 4));
        let counters = net.counters();
        assert_eq!((counters.cookies_taken, counters.connections_refused), (4, 0));
        // A connection that began with a cookie carries data as any other.
        let echoed = act(&held, async |stream| {
            let mut buffer = [0; 5];
            stream.read_exact(&mut buffer).await.unwrap();
            stream.write_all(&buffer).await.unwrap();
        });
        let (theirs, ours) = (1001, net.next_of(2000));
        let hello = Seg { data: b"hello".to_vec(), ..seg(2000, TcpControl::Psh, theirs, Some(ours)) };
        let answer = net.say(&hello).await;
        assert!(answer.iter().any(|seg| seg.data == b"hello"), "{answer:?}");
        assert!(echoed.borrow().is_some());
        // The other port isn't touched by what the first one meets.
        let _other = net.handle.listen(81).unwrap();
        let syn = Seg { to: 81, scale: Some(7), ..seg(9, TcpControl::Syn, 5, None) };
        assert_eq!(net.say(&syn).await[0].scale, Some(0), "remembered, with its options");
    });
}

#[test]
fn cookies_are_taken_only_while_they_are_given() {
    block_on(async {
        let mut net = Net::new();
        let _held = accept(&net);
        // No flood: whoever guesses gets a reset, however good the guess.
        for number in 0..1000u32 {
            let ack = seg(3000, TcpControl::None, 7, Some(number.wrapping_mul(0x9e37_79b9)));
            assert_eq!(net.say(&ack).await.pop().unwrap().flags, TcpControl::Rst);
        }
        assert_eq!((net.counters().cookies_taken, net.counters().tcp_refused), (0, 1000));
    });
}

#[test]
fn first_numbers_are_keyed_and_grow() {
    block_on(async {
        let mut net = Net::new();
        let _held = accept(&net);
        let mut numbers = vec![];
        for round in 0..2u32 {
            for port in 0..50 {
                let syn = seg(4000 + port, TcpControl::Syn, round * 100_000, None);
                numbers.push(net.say(&syn).await[0].seq);
            }
            net.now += Duration::from_secs(1);
        }
        // The same connection a second later: a quarter of a million more (RFC 6528).
        for port in 0..50 {
            assert_eq!(numbers[port + 50].wrapping_sub(numbers[port]), 250_000);
        }
        let steps: Vec<u32> = numbers[..50].windows(2).map(|pair| pair[1].wrapping_sub(pair[0])).collect();
        assert!(steps.windows(2).all(|pair| pair[0] != pair[1]), "no pattern from port to port: {steps:?}");
    });
}

#[test]
fn a_syn_is_answered_as_smoltcp_would() {
    block_on(async {
        let mut net = Net::new();
        let _held = accept(&net);
        let syn = Seg { mss: Some(1400), scale: Some(7), sack: true, ..seg(5, TcpControl::Syn, 9, None) };
        let answer = net.say(&syn).await.pop().unwrap();
        assert_eq!(
            (answer.mss, answer.scale, answer.sack, answer.window),
            (Some(1460), Some(0), true, 16384)
        );
        let plain = net.say(&seg(6, TcpControl::Syn, 9, None)).await.pop().unwrap();
        assert_eq!((plain.mss, plain.scale, plain.sack), (Some(1460), None, false));
        // Not answered: it comes again, three seconds in a row.
        for _ in 0..3 {
            let again = net.after(Duration::from_secs(1)).await;
            assert_eq!(again.len(), 2);
            assert_eq!((again[0].seq, again[0].mss, again[0].scale), (answer.seq, Some(1460), Some(0)));
        }
        // And then it is forgotten.
        net.after(Duration::from_secs(30)).await;
        assert_eq!(net.shared.borrow().tcp.half_open_count(), 0);
    });
}

#[test]
fn forged_resets_are_questioned_and_true_ones_believed() {
    block_on(async {
        let mut net = Net::new();
        let held = accept(&net);
        let (theirs, ours) = net.handshake(6000).await;
        let rst = |seq| seg(6000, TcpControl::Rst, seq, None);
        // In the window, but not exactly where it should be (RFC 5961, section 3.2).
        let answer = net.say(&rst(theirs + 1)).await;
        assert_eq!(answer.len(), 1);
        assert_eq!((answer[0].seq, answer[0].ack, answer[0].flags), (ours, Some(theirs), TcpControl::None));
        assert!(answer[0].window > 0);
        for distance in [2u32, 100, 16000, 1 << 31, u32::MAX] {
            assert!(net.say(&rst(theirs.wrapping_add(distance))).await.is_empty(), "once a second");
        }
        net.now += Duration::from_secs(1);
        assert_eq!(net.say(&rst(theirs + 1)).await.len(), 1);
        assert_eq!((net.flows(), net.counters().challenged), (1, 7));
        // A SYN in the middle (section 4.2).
        net.now += Duration::from_secs(1);
        let answer = net.say(&seg(6000, TcpControl::Syn, theirs + 5000, None)).await;
        assert!(
            answer.iter().all(|seg| seg.flags == TcpControl::None && seg.ack == Some(theirs)),
            "{answer:?}"
        );
        // Data with an acknowledgement of what was never sent (section 5.2).
        net.now += Duration::from_secs(2);
        let wild =
            Seg { data: vec![1; 4], ..seg(6000, TcpControl::Psh, theirs, Some(ours.wrapping_add(70000))) };
        net.say(&wild).await;
        let read = act(&held, async |stream| stream.read(&mut [0; 16]).await);
        net.turn().await;
        assert!(read.borrow().is_none(), "nothing of it was delivered");
        // Data that isn't acknowledged yet doesn't hide where the reset belongs.
        let data = Seg { data: vec![1; 4], ..seg(6000, TcpControl::Psh, theirs, Some(ours)) };
        net.exchange([data.frame(), rst(theirs + 4).frame()]).await;
        net.turn().await;
        assert_eq!(net.shared.borrow().tcp.table_count(), 0, "it is over");
        assert_eq!(*read.borrow(), Some(Ok(4)), "what came before is read");
        let read = act(&held, async |stream| stream.read(&mut [0; 16]).await);
        net.turn().await;
        assert_eq!(*read.borrow(), Some(Err(StreamError::Reset)));
    });
}

/// An ICMP error about a packet of ours.
fn error(kind: u8, code: u8, rest: [u8; 4], about: &[u8]) -> Vec<u8> {
    let mut message = vec![kind, code, 0, 0];
    message.extend(rest);
    message.extend(&about[14..14 + 28]);
    let sum = !checksum::data(&message);
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    frame(Ipv4Addr::new(10, 0, 0, 1), IpProtocol::Icmp, &message)
}

#[test]
fn a_narrow_path_makes_smaller_segments() {
    block_on(async {
        let mut net = Net::new();
        let held = accept(&net);
        let (theirs, ours) = net.handshake(6001).await;
        act(&held, async |stream| stream.write_all(&[7; 5000]).await.unwrap());
        let frames = net.turn().await;
        let sent: Vec<Seg> = frames.iter().filter_map(|frame| Seg::read(frame)).collect();
        assert_eq!(sent.iter().map(|seg| seg.data.len()).max(), Some(1460));
        // One that quotes a number which isn't on its way is a lie.
        let mut lie = frames[0].clone();
        lie[38] ^= 0x55;
        net.exchange([error(3, 4, [0, 0, 2, 88], &lie)]).await;
        assert_eq!((net.counters().reports, net.counters().icmp), (0, 1));
        net.exchange([error(3, 4, [0, 0, 5, 20], &frames[0])]).await;
        assert_eq!(net.counters().reports, 1);
        let again = net.after(Duration::from_secs(3)).await;
        assert!(!again.is_empty());
        assert!(again.iter().all(|seg| seg.data.len() <= 1300 - 40), "{again:?}");
        // The next connection to the same host knows it.
        let mut all = 0;
        for _ in 0..20 {
            let ack = seg(6001, TcpControl::None, theirs, Some(ours.wrapping_add(all)));
            for seg in net.say(&ack).await {
                all = all.max(seg.seq.wrapping_sub(ours).wrapping_add(seg.data.len() as u32));
            }
        }
        assert_eq!(all, 5000);
        let second = net.handshake(6002).await.1;
        held.borrow_mut().remove(0);
        net.turn().await;
        act(&held, async |stream| stream.write_all(&[7; 3000]).await.unwrap());
        let sent = net.exchange([]).await;
        assert_eq!(
            sent.iter().filter(|seg| seg.port == 6002).map(|seg| seg.data.len()).max(),
            Some(1260),
            "{second}"
        );
    });
}

#[test]
fn errors_end_what_begins_and_leave_what_stands() {
    block_on(async {
        let mut net = Net::new();
        let held = accept(&net);
        net.handshake(6003).await;
        act(&held, async |stream| stream.write_all(b"hello").await.unwrap());
        let frames = net.turn().await;
        for code in [0, 1, 2, 3, 13] {
            net.exchange([error(3, code, [0; 4], &frames[0])]).await;
        }
        assert_eq!((net.flows(), net.counters().reports), (1, 5));
        for (code, expected) in [(1, ConnectError::Unreachable), (3, ConnectError::Refused)] {
            let handle = net.handle.clone();
            let result = Rc::new(RefCell::new(None));
            let place = result.clone();
            spawn_background("connect", async move {
                let to = SocketAddr::new(THEIRS.into(), 443);
                *place.borrow_mut() = Some(handle.connect(to).await.map(drop));
            });
            yield_now().await;
            let frames = net.turn().await;
            net.exchange([error(3, code, [0; 4], &frames[0])]).await;
            net.turn().await;
            assert_eq!(*result.borrow(), Some(Err(expected)));
        }
    });
}

/// A datagram to port 7.
fn datagram(data: &[u8]) -> Vec<u8> {
    let mut payload = vec![0; 8 + data.len()];
    let mut packet = UdpPacket::new_unchecked(&mut payload[..]);
    packet.set_src_port(4000);
    packet.set_dst_port(7);
    packet.set_len(8 + data.len() as u16);
    packet.payload_mut().copy_from_slice(data);
    packet.fill_checksum(&THEIRS.into(), &OURS.into());
    payload
}

/// A packet in pieces of `size` bytes.
fn pieces(payload: &[u8], protocol: IpProtocol, size: usize) -> Vec<Vec<u8>> {
    let last = payload.len().div_ceil(size) - 1;
    let piece = |(at, data): (usize, &[u8])| {
        let mut frame = frame(THEIRS, protocol, data);
        let mut packet = Ipv4Packet::new_unchecked(&mut frame[14..]);
        packet.clear_flags();
        packet.set_ident(77);
        packet.set_frag_offset((at * size) as u16);
        packet.set_more_frags(at != last);
        packet.fill_checksum();
        frame
    };
    payload.chunks(size).enumerate().map(piece).collect()
}

#[test]
fn datagrams_and_segments_in_pieces_arrive_whole() {
    block_on(async {
        let mut net = Net::new();
        let mut socket = net.handle.bind(7).unwrap();
        let data: Vec<u8> = (0..9000u32).map(|at| ((at * 7) >> 3) as u8).collect();
        let mut frames = pieces(&datagram(&data), IpProtocol::Udp, 1480);
        frames.reverse();
        net.exchange(frames).await;
        let mut buffer = vec![0; 10_000];
        assert_eq!(socket.receive(&mut buffer).await, (9000, SocketAddr::new(THEIRS.into(), 4000)));
        assert!(buffer[..9000] == data[..]);
        // A segment too: somebody on the way may cut them in spite of "don't fragment".
        let held = accept(&net);
        let (theirs, ours) = net.handshake(6004).await;
        let long = Seg { data: data[..1400].to_vec(), ..seg(6004, TcpControl::Psh, theirs, Some(ours)) };
        let frames = pieces(&long.frame()[34..], IpProtocol::Tcp, 576);
        let read = act(&held, async |stream| {
            let mut buffer = vec![0; 2000];
            let length = stream.read(&mut buffer).await.unwrap();
            buffer.truncate(length);
            buffer
        });
        net.exchange(frames).await;
        net.turn().await;
        assert!(read.borrow().as_deref() == Some(&data[..1400]));
        assert_eq!(net.counters().fragment, 0);
    });
}

#[test]
fn peers_may_close_in_every_order() {
    block_on(async {
        let mut net = Net::new();
        let held = accept(&net);
        let fin = |port, seq, ack| seg(port, TcpControl::Fin, seq, Some(ack));
        // They first.
        let (theirs, ours) = net.handshake(7001).await;
        let closed = act(&held, async |stream| {
            assert_eq!(stream.read(&mut [0; 4]).await, Ok(0));
            stream.close().await
        });
        let answer = net.say(&fin(7001, theirs, ours)).await;
        let ours_fin = answer.iter().find(|seg| seg.flags == TcpControl::Fin).expect("our FIN");
        assert_eq!((ours_fin.seq, ours_fin.ack), (ours, Some(theirs + 1)));
        net.say(&seg(7001, TcpControl::None, theirs + 1, Some(ours + 1))).await;
        net.turn().await;
        assert_eq!(*closed.borrow(), Some(Ok(())));
        held.borrow_mut().clear();
        net.turn().await;
        assert_eq!(
            (net.flows(), net.shared.borrow().tcp.time_wait_count()),
            (0, 0),
            "LAST-ACK leaves nothing"
        );
        // We first; then a pause between their acknowledgement and their FIN.
        let (theirs, ours) = net.handshake(7002).await;
        let closed = act(&held, async |stream| stream.close().await);
        assert_eq!(net.exchange([]).await[0].flags, TcpControl::Fin);
        net.say(&seg(7002, TcpControl::None, theirs, Some(ours + 1))).await;
        net.turn().await;
        assert_eq!(*closed.borrow(), Some(Ok(())));
        let answer = net.say(&fin(7002, theirs, ours + 1)).await;
        assert_eq!(answer[0].ack, Some(theirs + 1));
        assert_eq!(net.shared.borrow().tcp.time_wait_count(), 1);
        // Their FIN again: our acknowledgement was lost.
        assert_eq!(net.say(&fin(7002, theirs, ours + 1)).await[0].ack, Some(theirs + 1));
        held.borrow_mut().clear();
        // Both at once: FINs cross.
        let (theirs, ours) = net.handshake(7003).await;
        act(&held, async |stream| stream.close().await);
        assert_eq!(net.exchange([]).await[0].flags, TcpControl::Fin);
        assert_eq!(net.say(&fin(7003, theirs, ours)).await[0].ack, Some(theirs + 1), "CLOSING");
        net.say(&seg(7003, TcpControl::None, theirs + 1, Some(ours + 1))).await;
        net.turn().await;
        assert_eq!(net.shared.borrow().tcp.time_wait_count(), 2);
        held.borrow_mut().clear();
        net.turn().await;
        assert_eq!(net.flows(), 0);
        // A port in TIME-WAIT is used again, by a SYN that is newer.
        let again = net.say(&seg(7003, TcpControl::Syn, theirs + 1000, None)).await.pop().unwrap();
        assert_eq!((again.flags, again.ack), (TcpControl::Syn, Some(theirs + 1001)));
        // An older one is told where the old connection stood.
        let old = net.say(&seg(7002, TcpControl::Syn, 500, None)).await.pop().unwrap();
        assert_eq!((old.flags, old.ack), (TcpControl::None, Some(1002)));
        net.after(Duration::from_secs(61)).await;
        assert_eq!(net.shared.borrow().tcp.time_wait_count(), 0);
    });
}

#[test]
fn a_silent_peer_is_asked_and_then_given_up() {
    block_on(async {
        let mut net = Net::new();
        let _held = accept(&net);
        let (theirs, ours) = net.handshake(7010).await;
        let mut probes = 0;
        for _ in 0..59 {
            probes += net.after(Duration::from_secs(1)).await.len();
        }
        assert_eq!(probes, 0);
        let probe = net.after(Duration::from_secs(2)).await.pop().expect("a keep-alive");
        assert_eq!((probe.seq, probe.ack), (ours.wrapping_sub(1), Some(theirs)));
        // It lives.
        net.say(&seg(7010, TcpControl::None, theirs, Some(ours))).await;
        for _ in 0..50 {
            assert!(net.after(Duration::from_secs(1)).await.is_empty());
        }
        for _ in 0..100 {
            net.after(Duration::from_secs(1)).await;
        }
        assert_eq!(net.shared.borrow().tcp.table_count(), 0, "it is gone");
    });
}

#[test]
fn a_window_that_opens_again_goes_on() {
    block_on(async {
        let mut net = Net::new();
        let held = accept(&net);
        let (theirs, ours) = net.handshake(7011).await;
        // Their window is closed when we begin to send, and its opening is lost.
        let shut = Seg { window: 0, ..seg(7011, TcpControl::None, theirs, Some(ours)) };
        net.say(&shut).await;
        act(&held, async |stream| stream.write_all(&[9; 100]).await.unwrap());
        assert!(net.exchange([]).await.iter().all(|seg| seg.data.len() <= 1));
        let mut probes = vec![];
        for _ in 0..20 {
            probes.extend(
                net.after(Duration::from_secs(1)).await.into_iter().filter(|seg| !seg.data.is_empty()),
            );
        }
        assert!(!probes.is_empty(), "the window is probed");
        assert!(probes.iter().all(|seg| seg.data.len() == 1));
        let sent = net.say(&seg(7011, TcpControl::None, theirs, Some(ours))).await;
        let more = net.after(Duration::from_millis(20)).await;
        let length: usize = sent.iter().chain(&more).map(|seg| seg.data.len()).max().unwrap();
        assert!(length >= 99, "{sent:?}");
    });
}

#[test]
fn three_acknowledgements_bring_what_was_lost_at_once() {
    block_on(async {
        let mut net = Net::new();
        let held = accept(&net);
        let (theirs, ours) = net.handshake(7012).await;
        act(&held, async |stream| stream.write_all(&[5; 8000]).await.unwrap());
        // It begins with two segments; when they have arrived, there are more.
        let mut lost = ours;
        for seg in net.exchange([]).await {
            lost = seg.seq.wrapping_add(seg.data.len() as u32);
            net.now += Duration::from_millis(1);
            net.say(&super::packets::seg(7012, TcpControl::None, theirs, Some(lost))).await;
        }
        let ack = seg(7012, TcpControl::None, theirs, Some(lost)).frame();
        let mut again = vec![];
        for _ in 0..4 {
            again.extend(net.exchange([ack.clone()]).await);
        }
        assert!(again.iter().any(|seg| seg.seq == lost && !seg.data.is_empty()), "{again:?}");
    });
}

#[test]
fn a_scaled_window_is_used_in_full() {
    block_on(async {
        let mut net = Net::new();
        let held = accept(&net);
        let syn = Seg { mss: Some(1460), scale: Some(7), ..seg(7013, TcpControl::Syn, 1000, None) };
        let ours = net.say(&syn).await.pop().unwrap().seq.wrapping_add(1);
        // A window of 8 says 1,024 bytes.
        let ack = Seg { window: 8, ..seg(7013, TcpControl::None, 1001, Some(ours)) };
        net.say(&ack).await;
        act(&held, async |stream| stream.write_all(&[5; 3000]).await.unwrap());
        let sent = net.exchange([]).await;
        assert_eq!(sent.iter().map(|seg| seg.data.len()).sum::<usize>(), 1024);
    });
}

#[test]
fn a_neighbour_that_is_away_for_a_minute_costs_no_connection() {
    block_on(async {
        let mut net = Net::new();
        let held = accept(&net);
        let (theirs, ours) = net.handshake(7014).await;
        // More than a minute without a word, then something to say: it is asked for, and silent.
        net.now += Duration::from_secs(61);
        act(&held, async |stream| stream.write_all(b"hello").await.unwrap());
        for _ in 0..30 {
            net.after(Duration::from_secs(1)).await;
        }
        assert_eq!(net.flows(), 1);
        net.arp(THEIRS);
        let mut sent = vec![];
        for _ in 0..10 {
            sent.extend(net.after(Duration::from_secs(4)).await);
        }
        assert!(sent.iter().any(|seg| seg.data == b"hello"), "{sent:?}");
        net.say(&seg(7014, TcpControl::None, theirs, Some(ours + 5))).await;
        assert_eq!(net.flows(), 1);
    });
}

/// `cargo test --release -p unik-ip --lib -- --ignored --nocapture segments_of_one`.
#[test]
#[ignore = "a measurement"]
fn segments_of_one_connection_beside_many() {
    static MANY: Options =
        Options { max_connections: 20_000, tcp_memory: 1 << 30, tcp_buffer: 2048, ..OPTIONS };
    block_on(async {
        for count in [10u16, 100, 1000, 10_000] {
            let mut net = Net::with(&MANY);
            let held = accept(&net);
            let mut numbers = vec![];
            for port in 0..count {
                numbers.push(net.handshake(1024 + port).await);
            }
            assert_eq!(held.borrow().len(), usize::from(count));
            // Each of them is asked in turn: a keep-alive, and an answer.
            let frames: Vec<_> = (0..20_000usize)
                .map(|at| {
                    let port = at.wrapping_mul(7919) % usize::from(count);
                    let (theirs, ours) = numbers[port];
                    let data = vec![1];
                    Seg {
                        data,
                        ..seg(1024 + port as u16, TcpControl::Psh, theirs.wrapping_sub(1), Some(ours))
                    }
                    .frame()
                })
                .collect();
            let start = std::time::Instant::now();
            for frames in frames.chunks(200) {
                for frame in frames {
                    net.wire.deliver(frame.clone());
                }
                assert_eq!(net.turn().await.len(), 200);
            }
            let each = start.elapsed().as_nanos() / 20_000;
            std::println!("{count} connections: {each} ns a segment and its answer");
        }
    });
}

#[test]
fn what_an_idle_connection_costs() {
    let [flow, socket, set] = crate::tcp::Tcp::sizes();
    // What the book says: beside its two buffers at most a KiB, which the budget charges.
    std::println!("flow {flow}, of it smoltcp's socket {socket} on the heap and its set {set}");
    assert!(flow + socket + 64 <= 1024, "{flow} + {socket}");
}
