//! The service on the host's sockets, driven by clients of all manners.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

use unik::start::{Context, Listen, Protocol};
use unik_echo::Options;
use unik_host_ip::{HostIp, Mapping};

static LISTENS: &[Listen] = &[
    Listen { protocol: Protocol::Tcp, port: 7, service: "mirror" },
    Listen { protocol: Protocol::Udp, port: 7, service: "mirror" },
    Listen { protocol: Protocol::Tcp, port: 9, service: "mirror" },
    Listen { protocol: Protocol::Tcp, port: 19, service: "mirror" },
];

/// Starts a service in a thread of its own, which lives until the tests end.
fn serve(idle_timeout: Duration, max_connections: u64) -> SocketAddr {
    serve_three(idle_timeout, max_connections).0
}

/// The same, with where it discards and generates.
fn serve_three(idle_timeout: Duration, max_connections: u64) -> (SocketAddr, SocketAddr, SocketAddr) {
    // A port that was free a moment ago, for both protocols.
    let (tcp, udp) = loop {
        let tcp = TcpListener::bind("127.0.0.1:0").expect("a free port");
        if let Ok(udp) = UdpSocket::bind(tcp.local_addr().expect("an address")) {
            break (tcp, udp);
        }
    };
    let host = tcp.local_addr().expect("an address");
    let more = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").expect("a free port"));
    let [discard, chargen] = [0, 1].map(|at| more[at].local_addr().expect("an address"));
    drop((tcp, udp, more));
    let options: &'static Options = Box::leak(Box::new(Options {
        port: 7,
        discard: Some(9),
        chargen: Some(19),
        idle_timeout,
        max_connections,
    }));
    thread::spawn(move || {
        unik::executor::run(async move {
            let mapping = |protocol, port, host| Mapping { protocol, port, host };
            let mappings = vec![
                mapping(Protocol::Tcp, 7, host),
                mapping(Protocol::Udp, 7, host),
                mapping(Protocol::Tcp, 9, discard),
                mapping(Protocol::Tcp, 19, chargen),
            ];
            let network = HostIp::new("lan", LISTENS, mappings);
            unik_echo::start(&Context::new("mirror"), options, network).await
        })
    });
    let deadline = Instant::now() + Duration::from_secs(10);
    while TcpStream::connect(host).map(reset).is_err() {
        assert!(Instant::now() < deadline, "the service doesn't answer");
        thread::sleep(Duration::from_millis(5));
    }
    (host, discard, chargen)
}

fn serve_any() -> SocketAddr {
    serve(Duration::from_secs(30), 256)
}

fn connect(to: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(to).expect("a connection");
    stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a socket");
    stream.set_nodelay(true).expect("a socket");
    stream
}

/// Closes a connection with RST.
fn reset(stream: TcpStream) {
    let socket = socket2::Socket::from(stream);
    socket.set_linger(Some(Duration::ZERO)).expect("a socket");
}

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|place| (place * 31 % 251) as u8).collect()
}

/// Sends `data`, closes our half, and gives what came back until the peer closed its.
fn exchange(mut stream: TcpStream, data: &[u8]) -> Vec<u8> {
    let mut writer = stream.try_clone().expect("a socket");
    thread::scope(|scope| {
        scope.spawn(move || {
            writer.write_all(data).expect("a reader");
            writer.shutdown(Shutdown::Write).expect("an open half");
        });
        let mut back = Vec::new();
        stream.read_to_end(&mut back).expect("the echo, and its end");
        back
    })
}

fn assert_serves(to: SocketAddr) {
    assert_eq!(exchange(connect(to), b"still there?"), b"still there?");
}

/// Whether the peer resets the connection within `limit`; what comes before is dropped.
fn is_reset(mut stream: TcpStream, limit: Duration) -> bool {
    stream.set_read_timeout(Some(limit)).expect("a socket");
    let mut buffer = [0; 4096];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return false,
            Ok(_) => {}
            Err(error) => return error.kind() == ErrorKind::ConnectionReset,
        }
    }
}

#[test]
fn sends_back_and_closes_after_the_client() {
    let to = serve_any();
    for length in [0, 1, 2047, 2048, 2049, 5_000_000] {
        let data = pattern(length);
        assert!(exchange(connect(to), &data) == data, "{length} bytes");
    }
}

#[test]
fn discards_and_closes_after_the_client() {
    let (_, to, _) = serve_three(Duration::from_secs(30), 256);
    for length in [0, 1, 16_384, 5_000_000] {
        assert_eq!(exchange(connect(to), &pattern(length)), b"", "{length} bytes");
    }
}

#[test]
fn generates_characters_until_the_client_ends_it() {
    let (_, _, from) = serve_three(Duration::from_secs(30), 1);
    // With one place, one that isn't given back would show at once.
    for _ in 0..3 {
        let mut stream = connect(from);
        let mut text = vec![0; 95 * 74 * 3];
        stream.read_exact(&mut text).expect("characters");
        assert!(text.starts_with(b" !\"#$%&'()*+,-./0123456789:;<=>?@ABC"));
        // They begin anew after 95 lines, and each line holds 72 characters.
        assert!(text[..95 * 74] == text[95 * 74..95 * 74 * 2]);
        assert!(text.chunks(74).all(|line| line.ends_with(b"\r\n") && !line[..72].contains(&b'\r')));
    }
}

#[test]
fn a_client_that_does_not_read_characters_is_reset() {
    let (_, _, from) = serve_three(Duration::from_millis(300), 1);
    let silent = connect(from);
    thread::sleep(Duration::from_millis(600));
    // The only place is free again.
    connect(from).read_exact(&mut [0; 1000]).expect("characters");
    drop(silent);
}

#[test]
fn one_byte_at_a_time() {
    let to = serve_any();
    let mut stream = connect(to);
    for byte in pattern(500) {
        stream.write_all(&[byte]).expect("a reader");
        let mut back = [0];
        stream.read_exact(&mut back).expect("the echo");
        assert_eq!(back, [byte]);
    }
    stream.shutdown(Shutdown::Write).expect("an open half");
    assert_eq!(stream.read(&mut [0]).expect("the end"), 0);
}

#[test]
fn clients_that_abort_at_every_stage_leave_nothing() {
    // With two places, one that isn't given back would show at once.
    let to = serve(Duration::from_secs(30), 2);
    for round in 0..20 {
        // Right after the handshake.
        reset(connect(to));
        // With data on the way.
        let mut stream = connect(to);
        stream.write_all(&pattern(100_000)[..1000 * (round + 1)]).expect("a reader");
        reset(stream);
        // In the middle of the echo.
        let mut stream = connect(to);
        stream.write_all(&pattern(2000)).expect("a reader");
        stream.read_exact(&mut [0; 100]).expect("the echo");
        reset(stream);
        // After closing our half.
        let stream = connect(to);
        stream.shutdown(Shutdown::Write).expect("an open half");
        reset(stream);
        // Closed, while the echo is on its way.
        let mut stream = connect(to);
        stream.write_all(&pattern(2000)).expect("a reader");
        drop(stream);
    }
    assert_serves(to);
}

#[test]
fn a_client_that_does_not_read_is_reset() {
    let to = serve(Duration::from_millis(300), 256);
    let mut stream = connect(to);
    stream.set_write_timeout(Some(Duration::from_secs(10))).expect("a socket");
    let chunk = pattern(1 << 16);
    let start = Instant::now();
    let error = loop {
        // Stops taking when the buffers of both ends are full.
        if let Err(error) = stream.write_all(&chunk) {
            break error;
        }
    };
    assert!(matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe), "{error}");
    assert!(start.elapsed() < Duration::from_secs(8));
    assert_serves(to);
}

#[test]
fn a_silent_client_is_reset() {
    let to = serve(Duration::from_millis(200), 256);
    let start = Instant::now();
    assert!(is_reset(connect(to), Duration::from_secs(5)));
    assert!(start.elapsed() >= Duration::from_millis(200));
    // One that goes on talking isn't.
    let mut stream = connect(to);
    for _ in 0..8 {
        thread::sleep(Duration::from_millis(50));
        stream.write_all(b"x").expect("a reader");
        stream.read_exact(&mut [0]).expect("the echo");
    }
}

#[test]
fn more_connections_than_places_wait() {
    let to = serve(Duration::from_secs(30), 2);
    let (mut first, second) = (connect(to), connect(to));
    for stream in [&first, &second] {
        let mut stream = stream;
        stream.write_all(b"x").expect("a reader");
        stream.read_exact(&mut [0]).expect("the echo");
    }
    let mut third = connect(to);
    third.write_all(b"y").expect("room in the host");
    third.set_read_timeout(Some(Duration::from_millis(200))).expect("a socket");
    assert!(third.read(&mut [0]).is_err(), "a third was served");
    first.write_all(b"z").expect("a reader");
    first.read_exact(&mut [0]).expect("the echo of the first");
    drop(first);
    third.set_read_timeout(Some(Duration::from_secs(10))).expect("a socket");
    third.read_exact(&mut [0]).expect("the echo of the third");
}

#[test]
fn datagrams_of_every_size() {
    let to = serve_any();
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    socket.set_read_timeout(Some(Duration::from_secs(10))).expect("a socket");
    let mut buffer = vec![0; 65_536];
    for length in [0, 1, 1472, 1473, 9000, 65_507] {
        let data = pattern(length);
        socket.send_to(&data, to).expect("room");
        let (back, from) = socket.recv_from(&mut buffer).expect("the echo");
        assert_eq!((back, from), (length, to));
        assert!(buffer[..back] == data);
    }
}

#[test]
fn a_client_that_never_stops_starves_nobody() {
    let to = serve_any();
    let mut flood = connect(to);
    let mut drain = flood.try_clone().expect("a socket");
    thread::spawn(move || while drain.read(&mut [0; 65_536]).is_ok_and(|length| length > 0) {});
    thread::spawn(move || while flood.write_all(&[0; 65_536]).is_ok() {});
    for _ in 0..50 {
        let start = Instant::now();
        assert_serves(to);
        assert!(start.elapsed() < Duration::from_secs(2));
    }
}
