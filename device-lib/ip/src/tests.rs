//! The whole stack against an independent one: smoltcp with its own Ethernet, in virtual time.

use alloc::rc::Rc;
use alloc::vec;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4};
use std::format;

use embedded_io_async::{Read, Write};
use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::socket::{tcp, udp};
use smoltcp::time::Instant as SmolInstant;
use smoltcp::wire::{EthernetAddress, HardwareAddress, IpCidr, Ipv4Cidr};
use unik::executor::{block_on, spawn_background, yield_now};
use unik::interface::{Frames, Offloads, Tcp, TcpListener, TcpStream, Udp, UdpSocket};
use unik::start::{Listen, Protocol};
use unik::time::{Duration, Instant};

use crate::lower::Addressing;
use crate::stack::{Handle, Shared, Stack};
use crate::testing::{Counter, Wire};
use crate::{Ipv4, Ipv6, Options, dhcp};

const OURS: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
const THEIRS: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 7);
const OURS_6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 2);
const THEIRS_6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 7);

static OPTIONS: Options = Options {
    ipv4: Ipv4::Static { address: (OURS, 24), gateway: None },
    ipv6: Some(Ipv6::Static { address: (OURS_6, 64), gateway: None }),
    hostname: Some("test"),
    max_connections: 1100,
    tcp_buffer: 16384,
    tcp_memory: 8 << 20,
    udp_buffer: 4096,
    segmentation: true,
};

static LISTENS: [Listen; 2] = [
    Listen { protocol: Protocol::Tcp, port: 80, service: "echo" },
    Listen { protocol: Protocol::Udp, port: 7, service: "echo" },
];

/// smoltcp's end of the wire.
struct Port(Wire);
struct PortRx(Vec<u8>);
struct PortTx<'a>(&'a mut Wire);

impl RxToken for PortRx {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(&self.0)
    }
}

impl TxToken for PortTx<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, f: F) -> R {
        self.0.transmit(length, f).expect("the client's ring has room")
    }
}

impl Device for Port {
    type RxToken<'a> = PortRx;
    type TxToken<'a> = PortTx<'a>;

    fn receive(&mut self, _: SmolInstant) -> Option<(PortRx, PortTx<'_>)> {
        let frame = Frames::receive(&mut self.0)?;
        Some((PortRx(frame), PortTx(&mut self.0)))
    }

    fn transmit(&mut self, _: SmolInstant) -> Option<PortTx<'_>> {
        self.0.can_transmit().then_some(PortTx(&mut self.0))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = 1514;
        capabilities
    }
}

/// Our stack, a client, the wire between them, and a clock that only tests move.
pub(crate) struct World {
    shared: Shared<Wire, Counter>,
    net: Handle<Wire, Counter>,
    pub(crate) wire: Wire,
    port: Port,
    client: Interface,
    sockets: SocketSet<'static>,
    now: Instant,
    pub(crate) next_port: u16,
}

impl World {
    pub(crate) fn new() -> World {
        World::with(&OPTIONS, Some(Addressing { address: OURS, prefix: 24, gateway: None }))
    }

    fn with(options: &'static Options, addressing: Option<Addressing>) -> World {
        World::with_offloads(options, addressing, Offloads::default())
    }

    fn with_offloads(options: &'static Options, addressing: Option<Addressing>, offloads: Offloads) -> World {
        let (mut ours, theirs) = Wire::pair();
        ours.offloads = offloads;
        theirs.room.set(usize::MAX);
        let stack = Stack::new("lan", options, &LISTENS, addressing, ours.clone(), Counter::new(1));
        let stack = stack.unwrap();
        let shared = Rc::new(RefCell::new(stack));
        let mut port = Port(theirs);
        let mut config = Config::new(HardwareAddress::Ethernet(EthernetAddress(port.0.mac())));
        config.random_seed = 7;
        let mut client = Interface::new(config, &mut port, SmolInstant::from_secs(1));
        client.update_ip_addrs(|list| {
            list.push(IpCidr::Ipv4(Ipv4Cidr::new(THEIRS, 24))).unwrap();
            list.push(IpCidr::new(THEIRS_6.into(), 64)).unwrap();
        });
        let net = Handle::new(shared.clone());
        let now = Instant::START + Duration::from_secs(1);
        World { shared, net, wire: ours, port, client, sockets: SocketSet::new(vec![]), now, next_port: 1024 }
    }

    /// One turn of everybody. Time passes only when nobody has anything to say.
    pub(crate) async fn step(&mut self) {
        let received = self.shared.borrow_mut().receive(256, self.now);
        yield_now().await;
        yield_now().await;
        self.shared.borrow_mut().send(self.now);
        let before = self.port.0.is_idle();
        let now = SmolInstant::from_micros((self.now.as_nanos() / 1000) as i64);
        self.client.poll(now, &mut self.port, &mut self.sockets);
        if received == 0 && before && self.port.0.is_idle() {
            let ours = self.shared.borrow().next_deadline();
            let theirs = self
                .client
                .poll_at(now, &self.sockets)
                .map(|at| Instant::from_nanos(u64::try_from(at.total_micros()).unwrap() * 1000));
            let least = self.now + Duration::from_micros(100);
            let next = [ours, theirs].into_iter().flatten().min().unwrap_or(least);
            self.now = next.clamp(least, self.now + Duration::from_millis(500));
        }
    }

    pub(crate) async fn steps(&mut self, count: usize) {
        for _ in 0..count {
            self.step().await;
        }
    }

    /// Steps until `done`; fails after a (virtual) hour or many steps.
    pub(crate) async fn until(&mut self, what: &str, mut done: impl FnMut(&mut World) -> bool) {
        for _ in 0..20_000 {
            if done(self) {
                return;
            }
            self.step().await;
        }
        panic!("never: {what}; at {:?}, {:?}, {:?}", self.now, self.net.counters(), self.shared.borrow().tcp);
    }

    pub(crate) fn connect(&mut self, port: u16) -> SocketHandle {
        self.connect_to((OURS, port))
    }

    fn connect_to(&mut self, to: impl Into<smoltcp::wire::IpEndpoint>) -> SocketHandle {
        let buffer = || tcp::SocketBuffer::new(vec![0; 4096]);
        let mut socket = tcp::Socket::new(buffer(), buffer());
        self.next_port = if self.next_port == 65535 { 1024 } else { self.next_port + 1 };
        socket.connect(self.client.context(), to, self.next_port).unwrap();
        self.sockets.add(socket)
    }

    pub(crate) fn socket(&mut self, handle: SocketHandle) -> &mut tcp::Socket<'static> {
        self.sockets.get_mut(handle)
    }

    pub(crate) async fn connected(&mut self, port: u16) -> SocketHandle {
        let handle = self.connect(port);
        self.until("connected", |world| world.socket(handle).may_send()).await;
        handle
    }

    fn flows(&self) -> usize {
        self.shared.borrow().tcp.flow_count()
    }

    /// Nothing of any connection is left, but what TIME-WAIT remembers.
    fn assert_clean(&self) {
        self.shared.borrow().tcp.assert_clean();
    }
}

/// Echoes every connection, and closes when the peer does.
pub(crate) fn spawn_echo(world: &World) {
    let mut listener = world.net.listen(80).unwrap();
    spawn_background("echo", async move {
        loop {
            let mut stream = listener.accept().await;
            spawn_background("echo", async move {
                let mut buffer = [0; 1000];
                loop {
                    match stream.read(&mut buffer).await {
                        Ok(0) => break,
                        Ok(length) => {
                            if stream.write_all(&buffer[..length]).await.is_err() {
                                return;
                            }
                        }
                        Err(_) => return,
                    }
                }
                let _ = stream.close().await;
            });
        }
    });
}

#[test]
fn bytes_come_back_as_they_were_sent() {
    echo_bytes(World::new());
}

#[test]
fn bytes_come_back_from_a_device_that_finishes_segments() {
    let own = Some(Addressing { address: OURS, prefix: 24, gateway: None });
    let world = |segmentation| World::with_offloads(&OPTIONS, own, Offloads { checksum: true, segmentation });
    echo_bytes(world(None));
    let world = world(Some(9014));
    let cuts = world.wire.cuts.clone();
    echo_bytes(world);
    assert_eq!(cuts.get() > 0, cfg!(feature = "segmentation"));
}

/// Sends data to an echo and compares what comes back.
fn echo_bytes(mut world: World) {
    block_on(async {
        spawn_echo(&world);
        let handle = world.connected(80).await;
        let data: Vec<u8> = (0..300_000u32).map(|number| ((number * 7) >> 3) as u8).collect();
        let (mut sent, mut back) = (0, Vec::new());
        world
            .until("all came back", |world| {
                let socket = world.socket(handle);
                sent += socket.send_slice(&data[sent..]).unwrap();
                if socket.can_recv() {
                    socket.recv(|bytes| (bytes.len(), back.extend_from_slice(bytes))).unwrap();
                }
                back.len() == data.len()
            })
            .await;
        assert!(back == data);
        world.socket(handle).close();
        world.until("closed", |world| world.flows() == 0).await;
        world.assert_clean();
    });
}

#[test]
fn both_families_at_once() {
    block_on(async {
        let mut world = World::new();
        spawn_echo(&world);
        // Our address is on trial for a second.
        world.now += Duration::from_secs(1);
        world.steps(3).await;
        world.now += Duration::from_secs(1);
        world.steps(3).await;
        let handles = [world.connect_to((OURS, 80)), world.connect_to((OURS_6, 80))];
        let data: Vec<u8> = (0..100_000u32).map(|number| ((number * 7) >> 3) as u8).collect();
        for handle in handles {
            world.until("connected", |world| world.socket(handle).may_send()).await;
            let (mut sent, mut back) = (0, Vec::new());
            world
                .until("all came back", |world| {
                    let socket = world.socket(handle);
                    sent += socket.send_slice(&data[sent..]).unwrap();
                    if socket.can_recv() {
                        socket.recv(|bytes| (bytes.len(), back.extend_from_slice(bytes))).unwrap();
                    }
                    back.len() == data.len()
                })
                .await;
            assert!(back == data);
            world.socket(handle).close();
        }
        world.until("closed", |world| world.flows() == 0).await;
        // A datagram there and back, and a connection of our own.
        let mut socket = world.net.bind(7).unwrap();
        let buffer = || udp::PacketBuffer::new(vec![udp::PacketMetadata::EMPTY; 4], vec![0; 4096]);
        let mut client = udp::Socket::new(buffer(), buffer());
        client.bind(4000).unwrap();
        let client = world.sockets.add(client);
        world.sockets.get_mut::<udp::Socket>(client).send_slice(b"six", (OURS_6, 7)).unwrap();
        let mut server =
            tcp::Socket::new(tcp::SocketBuffer::new(vec![0; 99]), tcp::SocketBuffer::new(vec![0; 99]));
        server.listen(99).unwrap();
        world.sockets.add(server);
        let (net, done) = (world.net.clone(), Rc::new(RefCell::new(false)));
        let flag = done.clone();
        spawn_background("six", async move {
            let mut buffer = [0; 10];
            let (length, from) = socket.receive(&mut buffer).await;
            assert_eq!(from, SocketAddr::new(THEIRS_6.into(), 4000));
            socket.send(&buffer[..length], from).await.unwrap();
            let stream = net.connect(SocketAddr::new(THEIRS_6.into(), 99)).await.unwrap();
            assert_eq!(stream.peer(), SocketAddr::new(THEIRS_6.into(), 99));
            *flag.borrow_mut() = true;
        });
        world.until("echo", |world| world.sockets.get_mut::<udp::Socket>(client).can_recv()).await;
        world.until("connected", |_| *done.borrow()).await;
    });
}

#[test]
fn a_full_transmit_ring_holds_nobody_up_for_ever() {
    block_on(async {
        let mut world = World::new();
        spawn_echo(&world);
        let handles: Vec<_> = {
            let mut handles = vec![];
            for _ in 0..50 {
                handles.push(world.connected(80).await);
            }
            handles
        };
        world.wire.room.set(3);
        for handle in &handles {
            world.socket(*handle).send_slice(&[5; 4000]).unwrap();
        }
        for handle in &handles {
            let mut count = 0;
            world
                .until("echoed", |world| {
                    count += world.socket(*handle).recv(|bytes| (bytes.len(), bytes.len())).unwrap();
                    count == 4000
                })
                .await;
        }
    });
}

#[test]
fn a_thousand_clients_at_once() {
    block_on(async {
        let mut world = World::new();
        spawn_echo(&world);
        let handles: Vec<_> = (0..1000).map(|_| world.connect(80)).collect();
        world
            .until("all connected", |world| {
                handles.iter().all(|handle| world.sockets.get::<tcp::Socket>(*handle).may_send())
            })
            .await;
        world.until("all accepted", |world| world.flows() == 1000).await;
        // None of them had to try twice.
        assert!(world.now < Instant::START + Duration::from_millis(1900), "{:?}", world.now);
        for handle in &handles {
            world.socket(*handle).send_slice(b"hello").unwrap();
        }
        world
            .until("all echoed", |world| {
                handles.iter().all(|handle| world.sockets.get::<tcp::Socket>(*handle).recv_queue() == 5)
            })
            .await;
        for handle in handles {
            world.socket(handle).close();
        }
        world.until("all closed", |world| world.flows() == 0).await;
        world.assert_clean();
    });
}

#[test]
fn clients_above_the_limit_are_refused_and_none_waits() {
    block_on(async {
        let mut world = World::new();
        spawn_echo(&world);
        // All handshakes begin while there is room for each of them.
        let handles: Vec<_> = (0..1150).map(|_| world.connect(80)).collect();
        let state = |world: &mut World, handle| world.socket(handle).state();
        world
            .until("each has an answer", |world| {
                handles.iter().all(|handle| state(world, *handle) != tcp::State::SynSent)
            })
            .await;
        for handle in &handles {
            // Those that were refused after the handshake don't know it yet.
            let _ = world.socket(*handle).send_slice(b"hello");
        }
        world
            .until("each is served or refused", |world| {
                handles.iter().all(|handle| {
                    let socket = world.socket(*handle);
                    socket.can_recv() || socket.state() == tcp::State::Closed
                })
            })
            .await;
        assert_eq!(handles.iter().filter(|handle| world.socket(**handle).can_recv()).count(), 1100);
        assert_eq!(world.flows(), 1100);
        assert!(world.net.counters().connections_refused >= 50);
        // One more, whose SYN finds no room.
        let late = world.connect(80);
        world.until("refused", |world| state(world, late) == tcp::State::Closed).await;
        for handle in &handles {
            world.socket(*handle).close();
        }
        world.until("all gone", |world| world.flows() == 0).await;
        let late = world.connected(80).await;
        assert!(world.socket(late).may_send());
    });
}

#[test]
fn a_client_above_the_limit_is_served_if_another_goes_soon() {
    block_on(async {
        let mut world = World::new();
        spawn_echo(&world);
        let handles: Vec<_> = (0..1101).map(|_| world.connect(80)).collect();
        world
            .until("all believe in their connection", |world| {
                handles.iter().all(|handle| world.socket(*handle).may_send())
            })
            .await;
        world.steps(5).await;
        assert_eq!((world.flows(), world.shared.borrow().tcp.half_open_count()), (1100, 1));
        // Which of them waits is not known, and it says nothing.
        for handle in &handles[..200] {
            world.socket(*handle).close();
        }
        world.until("the last has its place", |world| world.shared.borrow().tcp.half_open_count() == 0).await;
        assert!(handles[200..].iter().all(|handle| world.socket(*handle).may_send()), "nobody was refused");
    });
}

#[test]
fn a_handshake_whose_last_segment_was_lost_is_finished() {
    block_on(async {
        let mut world = World::new();
        spawn_echo(&world);
        let silent = world.connect(80);
        world.until("it believes in its connection", |world| world.socket(silent).may_send()).await;
        // Its acknowledgement is still on the wire; it won't send another unasked.
        while Frames::receive(&mut world.wire.clone()).is_some() {}
        world.steps(3).await;
        assert_eq!(world.flows(), 0);
        world.until("we do, too", |world| world.flows() == 1).await;
        assert!(world.socket(silent).may_send());
    });
}

/// How a connection ends.
#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    ClientFirst,
    ServerFirst,
    Both,
    ClientResets,
    ServerResets,
    ServerDrops,
}

const ENDS: [End; 6] =
    [End::ClientFirst, End::ServerFirst, End::Both, End::ClientResets, End::ServerResets, End::ServerDrops];

type Accepted = Rc<RefCell<Vec<crate::Stream<Wire, Counter>>>>;

/// Accepts connections and keeps them.
fn spawn_accept(world: &World) -> Accepted {
    let mut listener = world.net.listen(80).unwrap();
    let accepted = Accepted::default();
    let place = accepted.clone();
    spawn_background("accept", async move {
        loop {
            let stream = listener.accept().await;
            place.borrow_mut().push(stream);
        }
    });
    accepted
}

/// One connection from its beginning to its `end`.
async fn one_connection(world: &mut World, accepted: &Accepted, end: End) {
    let handle = world.connect(80);
    world.until("accepted", |_| !accepted.borrow().is_empty()).await;
    let mut stream = accepted.borrow_mut().pop().unwrap();
    assert_eq!(stream.peer().ip(), THEIRS);
    let finished = Rc::new(RefCell::new(false));
    let flag = finished.clone();
    spawn_background("one", async move {
        let mut buffer = [0; 16];
        match end {
            End::ClientFirst => {
                assert_eq!(stream.read(&mut buffer).await, Ok(0));
                stream.close().await.unwrap();
            }
            End::ServerFirst => {
                stream.write_all(b"bye").await.unwrap();
                stream.close().await.unwrap();
                assert_eq!(stream.read(&mut buffer).await, Ok(0));
            }
            End::Both => {
                stream.close().await.unwrap();
                assert_eq!(stream.read(&mut buffer).await, Ok(0));
            }
            End::ClientResets => {
                assert_eq!(stream.read(&mut buffer).await, Err(unik::interface::StreamError::Reset));
            }
            End::ServerResets => stream.abort(),
            End::ServerDrops => {}
        }
        drop(stream);
        *flag.borrow_mut() = true;
    });
    match end {
        End::ClientFirst | End::Both => world.socket(handle).close(),
        End::ClientResets => world.socket(handle).abort(),
        _ => {}
    }
    world
        .until("the connection is over", |world| {
            let socket = world.socket(handle);
            if end == End::ServerFirst && socket.state() == tcp::State::CloseWait {
                socket.recv(|bytes| (bytes.len(), ())).unwrap();
                socket.close();
            }
            *finished.borrow()
                && world.flows() == 0
                && matches!(world.socket(handle).state(), tcp::State::Closed | tcp::State::TimeWait)
        })
        .await;
    world.sockets.remove(handle);
    world.assert_clean();
}

#[test]
fn connections_end_in_every_way_and_leave_nothing() {
    block_on(async {
        let mut world = World::new();
        let accepted = spawn_accept(&world);
        for _ in 0..3 {
            for end in ENDS {
                one_connection(&mut world, &accepted, end).await;
            }
        }
    });
}

#[test]
fn the_65536th_connection_works_as_the_first() {
    block_on(async {
        let mut world = World::new();
        let accepted = spawn_accept(&world);
        // More than there are ports: they are used again while we remember them.
        for number in 0..66_000usize {
            one_connection(&mut world, &accepted, ENDS[number % 2]).await;
        }
        assert_eq!(world.net.counters().connections_refused, 0);
        assert_eq!(world.net.counters().tcp_refused, 0);
    });
}

#[test]
fn a_port_is_used_again_while_its_connection_is_in_time_wait() {
    block_on(async {
        let mut world = World::new();
        let accepted = spawn_accept(&world);
        world.next_port = 5000;
        one_connection(&mut world, &accepted, End::ServerFirst).await;
        assert_eq!(world.shared.borrow().tcp.time_wait_count(), 1);
        let first = world.now;
        for _ in 0..20 {
            world.next_port = 5000;
            one_connection(&mut world, &accepted, End::ServerFirst).await;
        }
        // A client whose numbers go back is told so, resets, and tries again: slow, but it works.
        assert!(world.now.since(first) < Duration::from_secs(60));
    });
}

#[test]
fn a_reset_and_a_new_connection_may_come_together() {
    block_on(async {
        let mut world = World::new();
        spawn_echo(&world);
        let first = world.connected(80).await;
        world.until("accepted", |world| world.flows() == 1).await;
        world.socket(first).abort();
        world.next_port -= 1;
        let second = world.connect(80);
        // Nothing passes between the reset and the SYN.
        world.until("connected", |world| world.socket(second).may_send()).await;
        assert_eq!(world.net.counters().tcp_refused, 0);
        assert!(world.now < Instant::START + Duration::from_millis(1900));
    });
}

#[test]
fn half_open_connections_are_bounded_and_keep_nobody_out() {
    block_on(async {
        let mut world = World::new();
        spawn_echo(&world);
        // One real SYN, to make floods of.
        let handle = world.connect(80);
        world.until("a SYN", |world| world.wire.peek_incoming().is_some_and(|frame| frame.len() > 50)).await;
        let syn = world.wire.peek_incoming().unwrap();
        world.until("connected", |world| world.socket(handle).may_send()).await;
        for number in 0..50_000u32 {
            let source = Ipv4Addr::from(0x0a00_0100 + number);
            world.wire.deliver(rewrite(&syn, source, 1024 + (number % 60_000) as u16));
            if number % 100 == 0 {
                world.shared.borrow_mut().receive(256, world.now);
                world.shared.borrow_mut().send(world.now);
                world.wire.take_sent();
            }
        }
        assert_eq!(world.flows(), 1);
        assert!(world.shared.borrow().tcp.half_open_count() <= 4096);
        assert!(world.net.counters().cookies_sent > 40_000);
        let honest = world.connected(80).await;
        world.socket(honest).send_slice(b"hi").unwrap();
        world.until("echo", |world| world.socket(honest).recv_queue() == 2).await;
        world.now += Duration::from_secs(60);
        world.steps(3).await;
        assert_eq!(world.shared.borrow().tcp.half_open_count(), 0);
    });
}

/// `frame`, an IPv4 frame with TCP, from another address and port.
pub(crate) fn rewrite(frame: &[u8], source: Ipv4Addr, port: u16) -> Vec<u8> {
    use smoltcp::wire::{Ipv4Packet, TcpPacket};
    let mut frame = frame.to_vec();
    let mut packet = Ipv4Packet::new_unchecked(&mut frame[14..]);
    packet.set_src_addr(source);
    packet.fill_checksum();
    let destination = packet.dst_addr();
    let mut segment = TcpPacket::new_unchecked(packet.payload_mut());
    segment.set_src_port(port);
    segment.fill_checksum(&source.into(), &destination.into());
    frame
}

#[test]
fn undeclared_ports_are_refused() {
    block_on(async {
        let mut world = World::new();
        assert!(matches!(world.net.listen(81), Err(unik::interface::ListenError::NotDeclared)));
        assert!(matches!(world.net.bind(8), Err(unik::interface::BindError::NotDeclared)));
        let handle = world.connect(81);
        world.until("refused", |world| world.socket(handle).state() == tcp::State::Closed).await;
        assert_eq!(world.net.counters().tcp_refused, 1);
    });
}

#[test]
fn a_silent_peer_is_given_up() {
    block_on(async {
        let mut world = World::new();
        spawn_echo(&world);
        let handle = world.connected(80).await;
        world.until("accepted", |world| world.flows() == 1).await;
        // The client vanishes without a word.
        world.sockets.remove(handle);
        world.wire.take_sent();
        let mut quiet = World::new();
        core::mem::swap(&mut quiet.sockets, &mut world.sockets);
        for _ in 0..400 {
            world.now += Duration::from_secs(1);
            world.shared.borrow_mut().send(world.now);
            world.wire.take_sent();
            yield_now().await;
        }
        assert_eq!(world.flows(), 0);
        world.assert_clean();
    });
}

#[test]
fn connections_of_our_own() {
    block_on(async {
        let mut world = World::new();
        let buffer = || tcp::SocketBuffer::new(vec![0; 4096]);
        let mut server = tcp::Socket::new(buffer(), buffer());
        server.listen(99).unwrap();
        let server = world.sockets.add(server);
        let net = world.net.clone();
        let results = Rc::new(RefCell::new(vec![]));
        let (log, port) = (results.clone(), |port| SocketAddr::V4(SocketAddrV4::new(THEIRS, port)));
        spawn_background("client", async move {
            let mut stream = net.connect(port(99)).await.unwrap();
            stream.write_all(b"ping").await.unwrap();
            let mut buffer = [0; 4];
            stream.read_exact(&mut buffer).await.unwrap();
            log.borrow_mut().push(std::string::String::from_utf8_lossy(&buffer).into_owned());
            stream.close().await.unwrap();
            drop(stream);
            let refused = net.connect(port(100)).await.map(drop);
            log.borrow_mut().push(format!("{refused:?}"));
            let nobody = SocketAddr::new(Ipv4Addr::new(10, 0, 0, 99).into(), 1);
            let silent = net.connect(nobody).await.map(drop);
            log.borrow_mut().push(format!("{silent:?}"));
            let far = SocketAddr::new(Ipv4Addr::new(99, 0, 0, 99).into(), 1);
            let unreachable = net.connect(far).await.map(drop);
            log.borrow_mut().push(format!("{unreachable:?}"));
        });
        world
            .until("all three", |world| {
                let socket = world.socket(server);
                if socket.can_recv() {
                    let length = socket.recv(|bytes| (bytes.len(), bytes.len())).unwrap();
                    socket.send_slice(&b"pong"[..length]).unwrap();
                }
                if socket.state() == tcp::State::CloseWait {
                    socket.close();
                }
                results.borrow().len() == 4 && world.flows() == 0
            })
            .await;
        assert_eq!(*results.borrow(), ["pong", "Err(Refused)", "Err(Unreachable)", "Err(Unreachable)"]);
        world.assert_clean();
    });
}

#[test]
fn datagrams_come_back_and_floods_are_bounded() {
    block_on(async {
        let mut world = World::new();
        let mut socket = world.net.bind(7).unwrap();
        let buffer = || udp::PacketBuffer::new(vec![udp::PacketMetadata::EMPTY; 64], vec![0; 65536]);
        let mut client = udp::Socket::new(buffer(), buffer());
        client.bind(4000).unwrap();
        let client = world.sockets.add(client);
        for _ in 0..50 {
            world.sockets.get_mut::<udp::Socket>(client).send_slice(&[7; 1000], (OURS, 7)).unwrap();
        }
        world.until("overflow", |world| world.net.counters().udp_overflow > 0).await;
        spawn_background("echo", async move {
            let mut buffer = [0; 2000];
            assert_eq!(
                socket.send(&[0; 1473], SocketAddr::new(THEIRS.into(), 1)).await,
                Err(unik::interface::SendError::TooLong)
            );
            loop {
                let (length, from) = socket.receive(&mut buffer).await;
                socket.send(&buffer[..length], from).await.unwrap();
            }
        });
        world.until("echo", |world| world.sockets.get_mut::<udp::Socket>(client).can_recv()).await;
        assert_eq!(world.sockets.get_mut::<udp::Socket>(client).recv().unwrap().0, [7; 1000]);
        let refused = world.net.counters().udp_refused;
        world.sockets.get_mut::<udp::Socket>(client).send_slice(b"x", (OURS, 9)).unwrap();
        world.until("refused", |world| world.net.counters().udp_refused == refused + 1).await;
    });
}

#[test]
fn an_address_by_dhcp() {
    block_on(async {
        let mut world = World::with(&OPTIONS, None);
        spawn_echo(&world);
        let ours = world.port.0.clone();
        // Plays the server: the message starts after Ethernet, IPv4 and UDP headers.
        let serve = |world: &mut World, lease: u32| {
            world.shared.borrow_mut().send(world.now);
            for frame in world.wire.take_sent() {
                if frame[12..14] != [8, 0] || frame[23] != 17 {
                    continue;
                }
                let message = &frame[42..];
                let kind = match message[242] {
                    1 => 2,
                    _ => 5,
                };
                let answer = dhcp::tests::answer(message, kind, lease);
                let mut reply = frame[..42].to_vec();
                reply[..6].copy_from_slice(&world.shared.borrow().lower.link.mac);
                reply[6..12].copy_from_slice(&ours.mac());
                reply.extend(&answer);
                let length = (answer.len() + 8) as u16;
                let mut packet = smoltcp::wire::Ipv4Packet::new_unchecked(&mut reply[14..]);
                packet.set_total_len(length + 20);
                packet.set_src_addr(Ipv4Addr::new(10, 0, 0, 1));
                packet.set_dst_addr(Ipv4Addr::new(10, 0, 0, 9));
                packet.fill_checksum();
                let mut datagram = smoltcp::wire::UdpPacket::new_unchecked(packet.payload_mut());
                datagram.set_src_port(67);
                datagram.set_dst_port(68);
                datagram.set_len(length);
                datagram.set_checksum(0);
                world.wire.deliver(reply);
            }
            world.shared.borrow_mut().receive(256, world.now);
        };
        for _ in 0..4 {
            serve(&mut world, 60);
        }
        let own = world.shared.borrow().lower.addressing.unwrap();
        assert_eq!((own.address, own.prefix), (Ipv4Addr::new(10, 0, 0, 9), 24));
        // A service that listened before there was an address is reached at it.
        let handle = world.connect(80);
        let client_port = world.next_port;
        world.sockets.remove(handle);
        let buffer = || tcp::SocketBuffer::new(vec![0; 4096]);
        let mut socket = tcp::Socket::new(buffer(), buffer());
        socket.connect(world.client.context(), (own.address, 80), client_port).unwrap();
        let handle = world.sockets.add(socket);
        world.until("connected", |world| world.socket(handle).may_send()).await;
        // The server falls silent: the lease ends, and with it the connection.
        for _ in 0..70 {
            world.now += Duration::from_secs(1);
            world.shared.borrow_mut().send(world.now);
            world.wire.take_sent();
            yield_now().await;
        }
        assert_eq!(world.shared.borrow().lower.addressing, None);
        assert_eq!(world.flows(), 0);
        // And it comes back.
        world.now += Duration::from_secs(40);
        for _ in 0..4 {
            serve(&mut world, 60);
        }
        assert!(world.shared.borrow().lower.addressing.is_some());
    });
}
