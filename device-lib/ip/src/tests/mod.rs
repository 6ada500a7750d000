//! The whole stack against an independent one: smoltcp with its own Ethernet, in virtual time.

mod datagrams;
mod dhcp;
mod endings;
mod limits;
mod names;
mod ports;
mod routes;
mod streams;

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
use crate::{Ipv4, Ipv6, Options};

const OURS: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
const THEIRS: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 7);
const OURS_6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 2);
const THEIRS_6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 7);

static OPTIONS: Options = PLAIN;

const PLAIN: Options = Options {
    ipv4: Ipv4::Static { address: (OURS, 24), gateway: None },
    ipv6: Some(Ipv6::Static { address: (OURS_6, 64), gateway: None }),
    hostname: Some("test"),
    resolver: None,
    route: &[],
    counters: None,
    max_connections: 1100,
    tcp_buffer: 16384,
    tcp_memory: 8 << 20,
    udp_buffer: 4096,
    segmentation: true,
    timestamps: true,
    mtu: None,
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

/// The client's clock: a tick a segment.
fn tick() -> u32 {
    std::thread_local! {
        static TICKS: std::cell::Cell<u32> = const { std::cell::Cell::new(u32::MAX - 100) };
    }
    TICKS.set(TICKS.get().wrapping_add(1));
    TICKS.get()
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
    /// Whether the client's segments have timestamps.
    stamped: bool,
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
        World {
            shared,
            net,
            wire: ours,
            port,
            client,
            sockets: SocketSet::new(vec![]),
            now,
            next_port: 1024,
            stamped: false,
        }
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
        socket.set_tsval_generator(self.stamped.then_some(tick as fn() -> u32));
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
