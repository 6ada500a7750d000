//! The contracts of `Tcp` and `Udp` on the host's sockets.

use std::cell::Cell;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;

use embedded_io_async::{Read, Write};
use unik::executor::{block_on, spawn};
use unik::interface::{
    BindError, ConnectError, ListenError, SendError, StreamError, Tcp, TcpListener, TcpStream, Udp, UdpSocket,
};
use unik::start::{Listen, Protocol};
use unik::time::{Duration, timeout};
use unik_host_ip::{HostIp, Mapping, Stream};

static LISTENS: &[Listen] = &[
    Listen { protocol: Protocol::Tcp, port: 80, service: "site" },
    Listen { protocol: Protocol::Udp, port: 53, service: "names" },
];

/// A network whose ports are at `host`, and that address.
fn network_at(host: SocketAddr) -> HostIp {
    let mapping = |protocol, port| Mapping { protocol, port, host };
    HostIp::new("lan", LISTENS, vec![mapping(Protocol::Tcp, 80), mapping(Protocol::Udp, 53)])
}

/// A network on a port of the host that was free a moment ago.
fn network() -> (HostIp, SocketAddr) {
    let free = std::net::TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr());
    let host = free.expect("a free port");
    (network_at(host), host)
}

/// Both ends of a connection: the one that was opened, the one that was accepted.
async fn pair() -> (Stream, Stream) {
    let (network, host) = network();
    let mut listener = network.listen(80).expect("a port");
    let opened = network.connect(host).await.expect("a connection");
    let accepted = listener.accept().await;
    (opened, accepted)
}

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn carries_bytes_both_ways_and_closes_by_halves() {
    block_on(async {
        let (mut one, mut other) = pair().await;
        assert!(one.peer().ip().is_loopback() && other.peer().ip().is_loopback());
        one.write_all(b"question").await.expect("an open half");
        one.flush().await.expect("an open half");
        one.close().await.expect("an acknowledgement");
        one.close().await.expect("closing again changes nothing");
        assert_eq!(one.write(b"more").await, Err(StreamError::Closed));

        let mut question = [0; 8];
        other.read_exact(&mut question).await.expect("the question");
        assert_eq!(other.read(&mut [0]).await, Ok(0));
        assert_eq!(other.read(&mut [0]).await, Ok(0));
        other.write_all(b"answer").await.expect("an open half");
        other.close().await.expect("an acknowledgement");
        drop(other);

        let mut answer = [0; 6];
        one.read_exact(&mut answer).await.expect("the answer");
        assert_eq!((&question, &answer), (b"question", b"answer"));
        assert_eq!(one.read(&mut [0]).await, Ok(0));
    });
}

#[test]
fn close_waits_for_the_peer() {
    block_on(async {
        let (mut one, mut other) = pair().await;
        // More than the buffers of both ends take.
        let mut sent = 0;
        while let Ok(written) = timeout(SECOND / 5, one.write(&[1; 65_536])).await {
            sent += written.expect("an open half");
        }
        assert!(timeout(SECOND / 5, one.close()).await.is_err(), "closed with {sent} bytes on the way");
        let received = Rc::new(Cell::new(0));
        let counted = Rc::clone(&received);
        spawn("reader", async move {
            let mut buffer = [0; 65_536];
            while let Ok(length @ 1..) = other.read(&mut buffer).await {
                counted.set(counted.get() + length);
            }
            other.close().await.expect("an acknowledgement");
        });
        one.close().await.expect("an acknowledgement");
        assert_eq!(one.read(&mut [0]).await, Ok(0));
        assert_eq!(received.get(), sent);
    });
}

#[test]
fn abort_and_drop_reset() {
    block_on(async {
        let (mut one, mut other) = pair().await;
        one.abort();
        assert_eq!(one.read(&mut [0]).await, Err(StreamError::Closed));
        assert_eq!(one.write(&[0]).await, Err(StreamError::Closed));
        assert_eq!(one.close().await, Err(StreamError::Closed));
        one.abort();
        assert_eq!(other.read(&mut [0]).await, Err(StreamError::Reset));
        assert_eq!(other.close().await, Err(StreamError::Reset));

        let (one, mut other) = pair().await;
        drop(one);
        assert_eq!(other.read(&mut [0]).await, Err(StreamError::Reset));
    });
}

#[test]
fn a_read_that_is_given_up_loses_nothing() {
    block_on(async {
        let (mut one, mut other) = pair().await;
        for byte in 0..50 {
            assert!(timeout(Duration::ZERO, other.read(&mut [0])).await.is_err());
            one.write_all(&[byte]).await.expect("an open half");
            let mut read = [0];
            other.read_exact(&mut read).await.expect("a byte");
            assert_eq!(read, [byte]);
        }
    });
}

#[test]
fn refusals() {
    let (network, host) = network();
    block_on(async {
        assert_eq!(network.connect(host).await.err(), Some(ConnectError::Refused));
        assert_eq!(network.listen(81).err(), Some(ListenError::NotDeclared));
        assert_eq!(network.bind(80).err(), Some(BindError::NotDeclared));
        let listener = network.listen(80).expect("a port");
        assert_eq!(network.listen(80).err(), Some(ListenError::InUse));
        drop(listener);
        drop(network.listen(80).expect("the port, free again"));
        let socket = network.bind(53).expect("a port");
        assert_eq!(network.bind(53).err(), Some(BindError::InUse));
        drop(socket);
        // An address that isn't the host's.
        let elsewhere = network_at(SocketAddr::from((Ipv4Addr::new(192, 0, 2, 1), 8080)));
        assert_eq!(elsewhere.listen(80).err(), Some(ListenError::Denied));
        assert_eq!(elsewhere.bind(53).err(), Some(BindError::Denied));
    });
}

#[test]
fn datagrams_from_a_client_to_a_server_and_back() {
    for host in ["127.0.0.1:0", "[::1]:0"] {
        let Ok(free) = std::net::UdpSocket::bind(host) else { continue };
        let host = free.local_addr().expect("an address");
        drop(free);
        let network = network_at(host);
        block_on(async {
            let mut server = network.bind(53).expect("a port");
            let mut client = network.bind(0).expect("a free port");
            for round in 0..200u8 {
                client.send(&[round; 100], host).await.expect("a way");
                let mut buffer = [0; 10];
                let (length, from) = server.receive(&mut buffer).await;
                assert_eq!((length, buffer), (10, [round; 10]), "cut off at the buffer's end");
                assert_eq!(from.ip(), host.ip());
                server.send(&[round], from).await.expect("a way");
                assert_eq!(client.receive(&mut buffer).await, (1, host));
            }
            assert_eq!(client.send(&[0; 65_536], host).await, Err(SendError::TooLong));
        });
    }
}

#[test]
fn opening_can_be_given_up() {
    // A listener whose queue is full drops further SYNs: nobody answers.
    let full = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
    full.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).expect("a free port");
    full.listen(0).expect("a listener");
    let to = full.local_addr().ok().and_then(|at| at.as_socket()).expect("an address");
    let (network, _) = network();
    block_on(async {
        let mut queued = Vec::new();
        while let Ok(opened) = timeout(SECOND / 5, network.connect(to)).await {
            queued.push(opened.expect("a place in the queue"));
            assert!(queued.len() < 10, "the queue has no end");
        }
    });
}
