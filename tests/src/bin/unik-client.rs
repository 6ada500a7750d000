//! The clients of the tests as a command, to be run inside a network namespace.
#![forbid(unsafe_code)]

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream, UdpSocket};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, Socket, Type};
use unik_tests::client::{Abort, abort, connect, exchange, get};
use unik_tests::flood::{self, Said};

const USAGE: &str =
    "usage: unik-client sequence ADDRESS COUNT | parallel ADDRESS COUNT | abort ADDRESS ROUNDS
       | garbage ADDRESS ROUNDS | slow ADDRESS | knock ADDRESS SECONDS | udp-echo ADDRESS COUNT
       | tcp-echo ADDRESS BYTES | router PREFIX SECONDS | many ADDRESS COUNT | pings ADDRESS COUNT
       | rounds ADDRESS ROUNDS | udp-retry ADDRESS COUNT | greet ADDRESS COUNT
       | tap SOCKET NAME";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [what, to, rest @ ..] = arguments.as_slice() else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    if what == "tap" {
        return said(what, tap(to, rest));
    }
    let Ok(to) = to.parse::<SocketAddr>() else {
        eprintln!("`{to}` is no ADDRESS:PORT");
        return ExitCode::from(2);
    };
    let count = rest.first().and_then(|count| count.parse().ok()).unwrap_or(1);
    let result = match what.as_str() {
        "sequence" => sequence(to, count),
        "parallel" => parallel(to, count),
        "abort" => aborts(to, count),
        "garbage" => garbage(to, count),
        "slow" => slow(to),
        "knock" => knock(to, count),
        "udp-echo" => udp_echo(to, count),
        "tcp-echo" => tcp_echo(to, count),
        "router" => router(to, count),
        "greet" => greet(to, count),
        "udp-retry" => udp_retry(to, count),
        "many" => many(to, count),
        "pings" => flood::pings(to, count as u64),
        "rounds" => flood::rounds(to, count),
        _ => Err(USAGE.into()),
    };
    said(what, result)
}

fn said(what: &str, result: Said) -> ExitCode {
    match result {
        Ok(said) => {
            println!("{said}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{what}: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Says "here" to so many who connect.
fn greet(at: SocketAddr, count: usize) -> Said {
    let listener = std::net::TcpListener::bind(at)?;
    for _ in 0..count {
        // Who has gone already isn't told.
        let _ = listener.accept()?.0.write_all(b"here\n");
    }
    Ok(format!("greeted {count}"))
}

/// Advertises itself as a router on `tap0`, and a prefix of 64 bits, five times a second.
fn router(prefix: SocketAddr, seconds: usize) -> Said {
    use socket2::{Domain, Protocol, SockAddr, Socket, Type};
    use std::net::{IpAddr, Ipv6Addr, SocketAddrV6};

    let IpAddr::V6(prefix) = prefix.ip() else { return Err("not an IPv6 prefix".into()) };
    let index: u32 = std::fs::read_to_string("/sys/class/net/tap0/ifindex")?.trim().parse()?;
    // Lifetimes: of the router 1,800 s, of the prefix an hour; it is on the link and autonomous.
    let mut message = vec![134, 0, 0, 0, 64, 0, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0];
    message.extend([3, 4, 64, 0xc0, 0, 0, 0x0e, 0x10, 0, 0, 0x0e, 0x10, 0, 0, 0, 0]);
    message.extend(prefix.octets());
    let socket = Socket::new(Domain::IPV6, Type::RAW, Some(Protocol::ICMPV6))?;
    socket.set_multicast_hops_v6(255)?;
    socket.set_multicast_if_v6(index)?;
    let all = SockAddr::from(SocketAddrV6::new(Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1), 0, 0, index));
    for _ in 0..seconds * 5 {
        // Before the link is up there is nobody to hear it.
        let _ = socket.send_to(&message, &all);
        std::thread::sleep(Duration::from_millis(200));
    }
    Ok(String::new())
}

/// Joins a [`cable`](unik_tests::cable) to a TAP device.
fn tap(socket: &str, rest: &[String]) -> Said {
    let [name, ..] = rest else { return Err(USAGE.into()) };
    unik_tests::cable::join_tap(std::os::unix::net::UnixStream::connect(socket)?, name)?;
    Ok(String::new())
}

/// One connection after the other; the last must work as the first.
fn sequence(to: SocketAddr, count: usize) -> Said {
    for number in 1..=count {
        let answer = get(to, "/").map_err(|error| format!("connection {number}: {error}"))?;
        if !answer.starts_with("HTTP/1.1 200") {
            return Err(format!("connection {number} was answered `{}`", first_line(&answer)).into());
        }
    }
    Ok(format!("{count} connections, each answered"))
}

/// All open at once; then each asks once.
fn parallel(to: SocketAddr, count: usize) -> Said {
    let open: Result<Vec<_>, _> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..count).map(|_| scope.spawn(move || connect(to))).collect();
        workers.into_iter().map(|worker| worker.join().expect("no panic while connecting")).collect()
    });
    let mut open = open?;
    for (number, stream) in open.iter_mut().enumerate() {
        stream
            .write_all(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n")
            .map_err(|error| format!("{number}: {error}"))?;
    }
    for (number, stream) in open.iter_mut().enumerate() {
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).map_err(|error| format!("answer {number}: {error}"))?;
        if &answer != b"HTTP/1.1 200" {
            return Err(format!("{number} was answered `{}`", String::from_utf8_lossy(&answer)).into());
        }
    }
    close(open)?;
    Ok(format!("{count} connections at once, each answered"))
}

/// All open at once, idle; then each asks, one after the other. They stay to the end.
fn many(to: SocketAddr, count: usize) -> Said {
    let mut open = Vec::with_capacity(count);
    for number in 0..count {
        let stream = connect(to).map_err(|error| format!("connection {number}: {error}"))?;
        open.push(stream);
    }
    for (number, stream) in open.iter_mut().enumerate() {
        let mut ask = || -> std::io::Result<[u8; 12]> {
            stream.write_all(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n")?;
            let mut answer = [0; 12];
            stream.read_exact(&mut answer)?;
            Ok(answer)
        };
        let answer = ask().map_err(|error| format!("connection {number} of {count}: {error}"))?;
        if &answer != b"HTTP/1.1 200" {
            return Err(format!("{number} was answered `{}`", String::from_utf8_lossy(&answer)).into());
        }
    }
    close(open)?;
    Ok(format!("{count} connections at once, each answered"))
}

/// In order, and no more at a time than the queue of a TAP has room for: what Linux ends with the process
/// is mostly dropped there, and comes again when it does.
fn close(mut open: Vec<TcpStream>) -> std::io::Result<()> {
    for streams in open.chunks_mut(100) {
        for stream in &*streams {
            stream.shutdown(Shutdown::Write)?;
        }
        for stream in streams {
            std::io::copy(stream, &mut std::io::sink())?;
        }
    }
    Ok(())
}

/// Aborts at every stage; after each round an honest client must be served.
fn aborts(to: SocketAddr, rounds: usize) -> Said {
    for round in 0..rounds {
        for stage in Abort::ALL {
            // The server may well close or reset first: that is its right.
            let _ = abort(to, stage);
        }
        if round % 10 == 9 {
            let answer = get(to, "/").map_err(|error| format!("after round {round}: {error}"))?;
            if !answer.starts_with("HTTP/1.1 200") {
                return Err(format!("after round {round}: `{}`", first_line(&answer)).into());
            }
        }
    }
    Ok(format!("{rounds} rounds of aborts at {} stages, still served", Abort::ALL.len()))
}

/// Bytes that are no HTTP, from a fixed seed; each must be refused, not served, and the
/// next honest client served.
fn garbage(to: SocketAddr, rounds: usize) -> Said {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    for round in 0..rounds {
        let length = (random() % 3000) as usize + 1;
        let bytes: Vec<u8> = (0..length).map(|_| random() as u8).collect();
        let mut all = b"\x00".to_vec();
        all.extend(bytes);
        all.extend(b"\r\n\r\n");
        // A reset is a fair answer to garbage; being served is not.
        if let Ok(answer) = exchange(to, &all)
            && answer.starts_with("HTTP/1.1 2")
        {
            return Err(format!("round {round}: garbage was served").into());
        }
    }
    let answer = get(to, "/")?;
    if !answer.starts_with("HTTP/1.1 200") {
        return Err(format!("after garbage: `{}`", first_line(&answer)).into());
    }
    Ok(format!("{rounds} pieces of garbage refused, still served"))
}

/// One byte a second: a short request is answered, or the server says that it took too long.
fn slow(to: SocketAddr) -> Said {
    let mut stream = connect(to)?;
    let mut sent = 0;
    for byte in b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" {
        if stream.write_all(&[*byte]).is_err() {
            break;
        }
        sent += 1;
        std::thread::sleep(Duration::from_secs(1));
    }
    let mut answer = Vec::new();
    // After a 408 the rest of our bytes may be answered by a reset; what came before counts.
    let _ = stream.take(4096).read_to_end(&mut answer);
    let answer = String::from_utf8_lossy(&answer).into_owned();
    match first_line(&answer) {
        line if line.starts_with("HTTP/1.1 200") || line.starts_with("HTTP/1.1 408") => {
            Ok(format!("{sent} bytes at one a second: {line}"))
        }
        line => Err(format!("a slow client was answered `{line}`").into()),
    }
}

/// An ICMP echo request every half millisecond. `ping` sends at most one in 10 ms for as long
/// as nothing answers, whatever its interval: longer than a boot takes.
fn knock(to: SocketAddr, seconds: usize) -> Said {
    let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::ICMPV4))?;
    // Type 8, code 0, checksum, identifier and sequence number 0 (RFC 792).
    let request = [8, 0, 0xf7, 0xff, 0, 0, 0, 0];
    let end = Instant::now() + Duration::from_secs(seconds as u64);
    let (mut sent, mut refused) = (0_u32, 0_u32);
    while Instant::now() < end {
        match socket.send_to(&request, &to.into()) {
            Ok(_) => sent += 1,
            Err(_) => refused += 1,
        }
        std::thread::sleep(Duration::from_micros(500));
    }
    Ok(format!("{sent} sent, {refused} refused by the host"))
}

fn udp_echo(to: SocketAddr, count: usize) -> Said {
    let socket = UdpSocket::bind(if to.is_ipv6() { "[::]:0" } else { "0.0.0.0:0" })?;
    socket.set_read_timeout(Some(Duration::from_secs(2)))?;
    let mut buffer = [0; 2048];
    for number in 0..count {
        let data: Vec<u8> = (0..number % 1400 + 1).map(|at| (at + number) as u8).collect();
        let mut tries = 0;
        loop {
            socket.send_to(&data, to)?;
            match socket.recv_from(&mut buffer) {
                Ok((length, _)) if buffer[..length] == data[..] => break,
                Ok(_) => return Err(format!("datagram {number} came back changed").into()),
                Err(error) if tries == 3 => return Err(format!("datagram {number}: {error}").into()),
                Err(_) => tries += 1,
            }
        }
    }
    Ok(format!("{count} datagrams came back"))
}

/// As `dig` does over a path that may lose a question or its answer: each has a number, and is asked
/// again; old answers are passed over.
fn udp_retry(to: SocketAddr, count: usize) -> Said {
    const TRIES: usize = 20;
    let socket = UdpSocket::bind(if to.is_ipv6() { "[::]:0" } else { "0.0.0.0:0" })?;
    socket.set_read_timeout(Some(Duration::from_millis(50)))?;
    socket.connect(to)?;
    let (mut buffer, mut again) = ([0; 2048], 0);
    for number in 0..count {
        let mut data = (number as u32).to_be_bytes().to_vec();
        data.extend((0..number * 13 % 1400).map(|at| (at ^ number) as u8));
        let mut answered = false;
        for attempt in 0..TRIES {
            again += usize::from(attempt > 0);
            socket.send(&data)?;
            while let Ok(length) = socket.recv(&mut buffer) {
                if buffer[..length] == data[..] {
                    answered = true;
                    break;
                }
                let of_before = buffer[..length]
                    .first_chunk()
                    .is_some_and(|first| (u32::from_be_bytes(*first) as usize) < number);
                if !of_before {
                    return Err(format!("datagram {number} came back changed").into());
                }
            }
            if answered {
                break;
            }
        }
        if !answered {
            return Err(format!("datagram {number}: no answer to {TRIES} of them").into());
        }
    }
    Ok(format!("{count} datagrams came back, {again} were sent again"))
}

fn tcp_echo(to: SocketAddr, bytes: usize) -> Said {
    let stream = connect(to)?;
    let mut writer = stream.try_clone()?;
    let sent: Vec<u8> = (0..bytes).map(|at| (at % 251) as u8).collect();
    let expected = sent.clone();
    let sender = std::thread::spawn(move || -> std::io::Result<()> {
        writer.write_all(&sent)?;
        writer.shutdown(std::net::Shutdown::Write)
    });
    let mut back = Vec::new();
    (&stream).read_to_end(&mut back)?;
    sender.join().expect("no panic while sending")?;
    if back == expected {
        Ok(format!("{bytes} bytes came back"))
    } else {
        Err("they came back changed".into())
    }
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or("nothing")
}
