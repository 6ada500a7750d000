//! IPv6 packet by packet, in time that only the test moves.

use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::vec;

use unik::executor::{block_on, yield_now};
use unik::interface::{SendError, Udp, UdpSocket};
use unik::start::{Listen, Protocol};
use unik::time::{Duration, Instant};

use super::message::{Neighbour, Router, kind};
use super::packet::{emit_header, sum};
use super::{solicited_node, station_of};
use crate::stack::{Handle, Shared, Stack};
use crate::testing::{Counter, Wire};
use crate::{Ipv4, Ipv6, Options};

const OURS: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 2);
const THEIRS: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 7);
const ROUTER: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
/// What our MAC makes.
const LOCAL: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0xff, 0xfe00, 1);
const STATION: [u8; 6] = [2, 0, 0, 0, 0, 7];

const fn options(ipv6: Ipv6) -> Options {
    Options {
        ipv4: Ipv4::Static { address: (Ipv4Addr::new(10, 0, 0, 2), 24), gateway: None },
        ipv6: Some(ipv6),
        hostname: None,
        resolver: None,
        route: &[],
        counters: None,
        max_connections: 10,
        tcp_buffer: 4096,
        tcp_memory: 1 << 20,
        udp_buffer: 65536,
        segmentation: false,
        timestamps: false,
        mtu: None,
    }
}

static FIXED: Options = options(Ipv6::Static { address: (OURS, 64), gateway: Some(ROUTER) });
static SLAAC: Options = options(Ipv6::Slaac);
static LISTENS: [Listen; 1] = [Listen { protocol: Protocol::Udp, port: 7, service: "test" }];

struct Net {
    shared: Shared<Wire, Counter>,
    wire: Wire,
    now: Instant,
}

/// An ICMPv6 message that was sent: to which station and address, from which, its hop limit.
#[derive(Debug)]
struct Sent {
    station: [u8; 6],
    from: Ipv6Addr,
    to: Ipv6Addr,
    hop_limit: u8,
    next: u8,
    data: Vec<u8>,
}

impl Net {
    fn new(options: &'static Options) -> Net {
        let wire = Wire::alone();
        wire.room.set(usize::MAX);
        let stack = Stack::new("lan", options, &LISTENS, None, wire.clone(), Counter::new(5)).unwrap();
        Net { shared: Rc::new(RefCell::new(stack)), wire, now: Instant::START + Duration::from_secs(9) }
    }

    /// One whose addresses have passed their trials.
    fn ready(options: &'static Options) -> Net {
        let mut net = Net::new(options);
        net.after(0);
        net.after(1000);
        net.after(1000);
        net
    }

    /// What is sent in a turn.
    fn turn(&mut self) -> Vec<Sent> {
        let mut stack = self.shared.borrow_mut();
        stack.receive(usize::MAX, self.now);
        stack.send(self.now);
        let frames = self.wire.take_sent();
        frames.iter().filter(|frame| frame[12..14] == [0x86, 0xdd]).map(|frame| Sent::read(frame)).collect()
    }

    fn after(&mut self, milliseconds: u64) -> Vec<Sent> {
        self.now += Duration::from_millis(milliseconds);
        self.turn()
    }

    /// What an ICMPv6 message is answered with.
    fn say(&mut self, ends: (Ipv6Addr, Ipv6Addr), hop_limit: u8, message: Vec<u8>) -> Vec<Sent> {
        self.wire.deliver(icmp(ends, hop_limit, message));
        self.turn()
    }

    fn addresses(&self) -> Vec<Ipv6Addr> {
        let stack = self.shared.borrow();
        let own = stack.lower.v6.own.iter().filter(|own| own.trial == super::Trial::Passed);
        own.map(|own| own.address).collect()
    }

    fn counters(&self) -> crate::Counters {
        self.shared.borrow().lower.link.counters
    }
}

impl Sent {
    fn read(frame: &[u8]) -> Sent {
        let address = |at: usize| Ipv6Addr::from(*frame[at..].first_chunk::<16>().unwrap());
        let (from, to) = (address(22), address(38));
        let mut next = frame[20];
        let mut data = frame[54..].to_vec();
        assert_eq!(usize::from(u16::from_be_bytes([frame[18], frame[19]])), data.len());
        if next == 0 {
            assert_eq!(data[2..6], [5, 2, 0, 0], "a router alert");
            next = data[0];
            data.drain(..8);
        }
        if next == 58 {
            assert_eq!(sum((from, to), &data), !0, "the checksum");
        }
        Sent { station: *frame.first_chunk().unwrap(), from, to, hop_limit: frame[21], next, data }
    }
}

/// A frame to us, or to a group.
fn frame((from, to): (Ipv6Addr, Ipv6Addr), next: u8, hop_limit: u8, payload: &[u8]) -> Vec<u8> {
    let station = if to.is_multicast() { station_of(to) } else { [2, 0, 0, 0, 0, 1] };
    let mut frame = vec![];
    frame.extend(station);
    frame.extend(STATION);
    frame.extend([0x86, 0xdd]);
    frame.resize(54, 0);
    frame.extend(payload);
    emit_header(&mut frame[14..], (from, to), next, hop_limit);
    frame
}

fn icmp(ends: (Ipv6Addr, Ipv6Addr), hop_limit: u8, mut message: Vec<u8>) -> Vec<u8> {
    message[2..4].fill(0);
    let sum = !sum(ends, &message);
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    frame(ends, 58, hop_limit, &message)
}

fn echo(length: usize) -> Vec<u8> {
    let mut message = vec![kind::ECHO_REQUEST, 0, 0, 0, 1, 2, 3, 4];
    message.resize(8 + length, 9);
    message
}

#[test]
fn addresses_are_tried_and_reported_before_they_are_ours() {
    let mut net = Net::new(&FIXED);
    let sent = net.after(0);
    for own in [LOCAL, OURS] {
        let group = solicited_node(own);
        let trial = sent.iter().find(|sent| sent.to == group).expect("a trial");
        assert_eq!(
            (trial.from, trial.hop_limit, trial.station),
            (Ipv6Addr::UNSPECIFIED, 255, station_of(group))
        );
        assert_eq!(
            Neighbour::parse(&trial.data).map(|trial| (trial.target, trial.station)),
            Some((own, None))
        );
        assert!(
            sent.iter().any(|sent| sent.data[0] == kind::MLD_REPORT && sent.data[12..28] == group.octets())
        );
    }
    assert!(net.say((THEIRS, OURS), 64, echo(4)).is_empty(), "not yet ours");
    assert!(net.addresses().is_empty());
    net.after(1000);
    assert_eq!(net.addresses(), [LOCAL, OURS]);
    let answer = net.say((THEIRS, OURS), 64, echo(4));
    assert_eq!((answer[0].from, answer[0].to, answer[0].data[0]), (OURS, THEIRS, kind::ECHO_REPLY));
    assert_eq!(answer[0].data[4..], echo(4)[4..]);
    // Every report goes out twice.
    assert_eq!(net.after(5000).len(), 0);
}

#[test]
fn an_address_that_somebody_has_is_not_used() {
    for is_trial_too in [false, true] {
        let mut net = Net::new(&FIXED);
        net.after(0);
        match is_trial_too {
            true => {
                let group = solicited_node(OURS);
                net.say((Ipv6Addr::UNSPECIFIED, group), 255, Neighbour::solicitation(OURS, None))
            }
            false => net.say((OURS, super::ALL_NODES), 255, Neighbour::advertisement(OURS, STATION, false)),
        };
        net.after(2000);
        assert_eq!(net.addresses(), [LOCAL], "{is_trial_too}");
    }
    // From another network it is a lie.
    let mut net = Net::new(&FIXED);
    net.after(0);
    net.say((THEIRS, super::ALL_NODES), 254, Neighbour::advertisement(OURS, STATION, false));
    net.after(2000);
    assert_eq!(net.addresses(), [LOCAL, OURS]);
}

#[test]
fn neighbours_are_answered_and_asked() {
    let mut net = Net::ready(&FIXED);
    let question = Neighbour::solicitation(OURS, Some(STATION));
    let answer = net.say((THEIRS, solicited_node(OURS)), 255, question.clone());
    assert_eq!((answer[0].from, answer[0].to, answer[0].station), (OURS, THEIRS, STATION));
    let said = Neighbour::parse(&answer[0].data).unwrap();
    assert_eq!((said.target, said.station, said.solicited), (OURS, Some([2, 0, 0, 0, 0, 1]), true));
    assert!(net.say((THEIRS, solicited_node(OURS)), 254, question).is_empty(), "a router has touched it");
    // Somebody tries our address: all are told whose it is.
    let trial = Neighbour::solicitation(OURS, None);
    let answer = net.say((Ipv6Addr::UNSPECIFIED, solicited_node(OURS)), 255, trial);
    assert_eq!(answer[0].to, super::ALL_NODES);
    // Who we don't know is asked for, in its group; a known one again by itself.
    let other = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0x12, 0x3456);
    block_on(async {
        let handle = Handle::new(net.shared.clone());
        let mut socket = handle.bind(7).unwrap();
        unik::executor::spawn_background("send", async move {
            for _ in 0..2 {
                socket.send(b"hello", SocketAddr::new(other.into(), 9)).await.unwrap();
                yield_now().await;
                yield_now().await;
            }
        });
        yield_now().await;
        let asked = net.turn();
        assert_eq!((asked[0].to, asked[0].from), (solicited_node(other), OURS));
        net.say((other, OURS), 255, Neighbour::advertisement(other, [4; 6], true));
        yield_now().await;
        let sent = net.turn();
        let datagram = sent.iter().find(|sent| sent.next == 17).expect("the datagram");
        assert_eq!((datagram.station, &datagram.data[8..]), ([4; 6], &b"hello"[..]));
    });
    // What is far goes by the router.
    let hop = net.shared.borrow().lower.v6.next_hop("2001:db8::1".parse().unwrap());
    assert_eq!(hop, Some(ROUTER));
}

/// A router advertisement of a prefix.
fn advertisement(lifetime: u16, prefix: Ipv6Addr, valid: u32, preferred: u32) -> Vec<u8> {
    let mut message = vec![kind::ROUTER_ADVERTISEMENT, 0, 0, 0, 64, 0];
    message.extend(lifetime.to_be_bytes());
    message.extend([0; 8]);
    message.extend([1, 1, 2, 0, 0, 0, 0, 9, 5, 1, 0, 0, 0, 0, 0x05, 0x78]);
    message.extend([3, 4, 64, 0xc0]);
    message.extend(valid.to_be_bytes());
    message.extend(preferred.to_be_bytes());
    message.extend([0; 4]);
    message.extend(prefix.octets());
    message
}

#[test]
fn a_router_brings_an_address_and_takes_it_away() {
    let mut net = Net::new(&SLAAC);
    net.after(0);
    let asked = net.after(1000);
    let question = asked.iter().find(|sent| sent.data[0] == kind::ROUTER_SOLICITATION).expect("a question");
    assert_eq!((question.from, question.hop_limit), (LOCAL, 255));
    assert_eq!(net.after(4000).iter().filter(|sent| sent.data[0] == kind::ROUTER_SOLICITATION).count(), 1);
    let prefix = Ipv6Addr::new(0x2001, 0xdb8, 0, 5, 0, 0, 0, 0);
    let own = Ipv6Addr::new(0x2001, 0xdb8, 0, 5, 0, 0xff, 0xfe00, 1);
    // Not from a neighbour's link-local address, or touched by a router: not believed.
    net.say((THEIRS, super::ALL_NODES), 255, advertisement(1800, prefix, 9000, 9000));
    net.say((ROUTER, super::ALL_NODES), 64, advertisement(1800, prefix, 9000, 9000));
    net.after(2000);
    assert_eq!(net.addresses(), [LOCAL]);
    net.say((ROUTER, super::ALL_NODES), 255, advertisement(1800, prefix, 9000, 100));
    net.after(1000);
    assert_eq!(net.addresses(), [LOCAL, own]);
    {
        let stack = net.shared.borrow();
        let v6 = &stack.lower.v6;
        assert_eq!((v6.mtu(), v6.global()), (1400, Some(own)));
        let far = "2001:db8:9::1".parse().unwrap();
        let near = "2001:db8:0:5::9".parse().unwrap();
        assert_eq!((v6.next_hop(far), v6.next_hop(near)), (Some(ROUTER), Some(near)));
        assert_eq!((v6.source_for(far, net.now), v6.source_for(ROUTER, net.now)), (Some(own), Some(LOCAL)));
    }
    // A stranger can't end it at once (RFC 4862, section 5.5.3).
    net.say((ROUTER, super::ALL_NODES), 255, advertisement(0, prefix, 1, 0));
    net.after(60_000);
    assert_eq!(net.addresses(), [LOCAL, own]);
    assert_eq!(net.shared.borrow().lower.v6.next_hop("2001:db8:9::1".parse().unwrap()), None, "no router");
    net.after(7_200_000);
    assert_eq!(net.addresses(), [LOCAL]);
    // However many are advertised, a few are taken.
    for number in 0..50 {
        let prefix = Ipv6Addr::new(0x2001, 0xdb8, 1, number, 0, 0, 0, 0);
        net.say((ROUTER, super::ALL_NODES), 255, advertisement(1800, prefix, 9000, 9000));
    }
    net.after(1000);
    assert_eq!(net.addresses().len(), super::ADDRESSES);
}

#[cfg(feature = "dns")]
#[test]
fn a_router_names_servers_for_names_and_takes_them_back() {
    let mut net = Net::ready(&SLAAC);
    let prefix = "2001:db8::".parse().unwrap();
    let with = |seconds: u32, servers: &[u16]| {
        let mut message = advertisement(1800, prefix, 9000, 9000);
        message.extend([25, 1 + 2 * servers.len() as u8, 0, 0]);
        message.extend(seconds.to_be_bytes());
        for last in servers {
            message.extend(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, *last).octets());
        }
        message
    };
    let servers = |net: &Net| -> Vec<u16> {
        let servers = net.shared.borrow().names.servers();
        let last = |server: SocketAddr| match server {
            SocketAddr::V6(server) => server.ip().segments()[7],
            SocketAddr::V4(_) => 0,
        };
        servers.into_iter().map(last).collect()
    };
    net.say((ROUTER, super::ALL_NODES), 255, with(600, &[1, 2, 3, 4]));
    assert_eq!(servers(&net), [1, 2, 3]);
    net.say((ROUTER, super::ALL_NODES), 255, with(0, &[2]));
    assert_eq!(servers(&net), [1, 3]);
    net.say((ROUTER, super::ALL_NODES), 255, with(100_000, &[3]));
    net.after(601_000);
    assert_eq!(servers(&net), [3]);
}

#[test]
fn what_stands_between_headers_is_passed_over_or_refused() {
    let mut net = Net::ready(&FIXED);
    let ends = (THEIRS, OURS);
    let message = icmp(ends, 64, echo(8))[54..].to_vec();
    let mut deliver = |next: u8, headers: &[u8]| {
        let mut payload = headers.to_vec();
        payload.extend(&message);
        net.wire.deliver(frame(ends, next, 64, &payload));
        net.turn().len()
    };
    assert_eq!(deliver(58, &[]), 1);
    assert_eq!(deliver(0, &[58, 0, 1, 4, 0, 0, 0, 0]), 1, "hop-by-hop with padding");
    assert_eq!(deliver(60, &[60, 0, 1, 4, 0, 0, 0, 0, 58, 0, 5, 2, 0, 0, 0, 0]), 1, "two of them");
    assert_eq!(deliver(0, &[58, 0, 0xc2, 4, 0, 0, 0, 0]), 0, "an option that must be known");
    assert_eq!(deliver(0, &[58, 9, 1, 4, 0, 0, 0, 0]), 0, "longer than the packet");
    assert_eq!(deliver(43, &[58, 0, 0, 0, 0, 0, 0, 0]), 1, "a route that has ended");
    assert_eq!(deliver(43, &[58, 0, 0, 1, 0, 0, 0, 0]), 0, "a route that goes on");
    assert_eq!(deliver(44, &[58, 0, 0, 0, 0, 0, 0, 1]), 1, "a piece that is all of it");
    let many: Vec<u8> = [60, 0, 1, 4, 0, 0, 0, 0].repeat(100);
    assert_eq!(deliver(60, &many), 0);
    assert_eq!(net.counters().protocol, 4);
}

#[test]
fn pieces_are_put_together() {
    let mut net = Net::ready(&FIXED);
    let ends = (THEIRS, OURS);
    let message = icmp(ends, 64, echo(1300))[54..].to_vec();
    for (at, data) in message.chunks(800).enumerate().rev() {
        let mut payload = vec![58, 0];
        payload.extend(((at as u16 * 800) | u16::from(at == 0)).to_be_bytes());
        payload.extend([0, 0, 0, 7]);
        payload.extend(data);
        net.wire.deliver(frame(ends, 44, 64, &payload));
    }
    let answer = net.turn();
    assert_eq!(answer[0].data.len(), 1308);
}

#[test]
fn errors_are_sent_and_believed() {
    let mut net = Net::ready(&FIXED);
    let mut datagram = vec![0x0f, 0xa0, 0, 9, 0, 12, 0, 0, 1, 2, 3, 4];
    // Without a checksum it is none (RFC 8200, section 8.1).
    net.wire.deliver(frame((THEIRS, OURS), 17, 64, &datagram));
    assert!(net.turn().is_empty());
    let mut packet = smoltcp::wire::UdpPacket::new_unchecked(&mut datagram[..]);
    packet.fill_checksum(&THEIRS.into(), &OURS.into());
    net.wire.deliver(frame((THEIRS, OURS), 17, 64, &datagram));
    let answer = net.turn();
    assert_eq!(answer[0].data[..2], [kind::UNREACHABLE, 4]);
    assert_eq!(answer[0].data[8 + 40..], datagram);
    // Too large for a path: the next one is told so.
    block_on(async {
        let handle = Handle::new(net.shared.clone());
        let mut socket = handle.bind(7).unwrap();
        let mut quoted = frame((OURS, THEIRS), 17, 64, &[0, 7, 0x0f, 0xa0, 5, 0, 0, 0])[14..].to_vec();
        quoted[4..6].copy_from_slice(&[5, 0xb4]);
        for (mtu, largest) in [(1400u16, 1352), (600, 1232)] {
            let mut message = vec![kind::TOO_LARGE, 0, 0, 0, 0, 0];
            message.extend(mtu.to_be_bytes());
            message.extend(&quoted);
            net.say((ROUTER, OURS), 64, message);
            let to = SocketAddr::new(THEIRS.into(), 4000);
            assert_eq!(socket.send(&vec![0; largest + 1], to).await, Err(SendError::TooLong), "{mtu}");
        }
        assert_eq!(net.counters().reports, 2);
    });
}

#[test]
fn groups_are_reported_to_who_asks() {
    let mut net = Net::ready(&FIXED);
    let query = || {
        let mut message = vec![kind::MLD_QUERY, 0, 0, 0, 0, 0, 0, 0];
        message.resize(28, 0);
        message
    };
    let answer = net.say((ROUTER, super::ALL_NODES), 1, query());
    assert_eq!(
        (answer.len(), answer[0].hop_limit, answer[0].from, answer[0].to),
        (1, 1, LOCAL, super::ALL_REPORTS)
    );
    assert_eq!(answer[0].data[7], 2, "two groups");
    for _ in 0..100 {
        assert!(net.say((ROUTER, super::ALL_NODES), 1, query()).is_empty(), "once a second");
    }
}

#[test]
fn fuzz_packets() {
    let messages: Vec<Vec<u8>> = vec![
        icmp((THEIRS, OURS), 64, echo(40)),
        icmp((THEIRS, solicited_node(OURS)), 255, Neighbour::solicitation(OURS, Some(STATION))),
        icmp((THEIRS, OURS), 255, Neighbour::advertisement(THEIRS, STATION, true)),
        icmp((ROUTER, super::ALL_NODES), 255, advertisement(1800, "2001:db8::".parse().unwrap(), 900, 900)),
        icmp((ROUTER, super::ALL_NODES), 255, Router::solicitation(Some(STATION))),
        frame(
            (THEIRS, OURS),
            0,
            64,
            &[60, 0, 1, 4, 0, 0, 0, 0, 44, 0, 1, 4, 0, 0, 0, 0, 58, 0, 0, 1, 0, 0, 0, 7],
        ),
    ];
    let edits = bolero::check!().with_type::<Vec<(u8, u16, u8, bool)>>().with_iterations(1_000);
    edits.for_each(|edits| {
        for options in [&FIXED, &SLAAC] {
            let mut net = Net::ready(options);
            for (which, at, value, honest) in edits {
                let mut frame = messages[usize::from(*which) % messages.len()].clone();
                let at = usize::from(*at) % frame.len();
                frame[at] = *value;
                if *honest && frame.len() > 58 && frame[20] == 58 {
                    // With a right checksum it gets further in.
                    let address = |at: usize| Ipv6Addr::from(*frame[at..].first_chunk::<16>().unwrap());
                    let ends = (address(22), address(38));
                    frame[56..58].fill(0);
                    let sum = !sum(ends, &frame[54..]);
                    frame[56..58].copy_from_slice(&sum.to_be_bytes());
                }
                net.wire.deliver(frame);
                net.after(u64::from(*value));
            }
            // It is still there for an honest neighbour.
            let own = net.addresses()[0];
            let answer = net.say((ROUTER, own), 64, echo(4));
            assert!(answer.iter().any(|sent| sent.data[0] == kind::ECHO_REPLY), "{answer:?}");
        }
    });
}
