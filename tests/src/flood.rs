//! Floods with a fixed window, which several unikernels didn't survive: so many on their way at
//! a time, the next as soon as one is back.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, SockRef, Socket, Type};

use crate::client::{Abort, abort, connect, get};

/// What a client has to say, or what went wrong.
pub type Said = Result<String, Box<dyn std::error::Error>>;

/// Pings on their way at a time.
const PINGS: usize = 64;
/// How long an answer may take until it is lost.
const PATIENCE: Duration = Duration::from_millis(500);
/// How long the guest may take to answer after a flood. One that stalls takes for ever.
const STALL: Duration = Duration::from_secs(2);
/// How long a flood of datagrams lasts.
const DATAGRAMS: Duration = Duration::from_millis(250);
/// HTTP connections that are killed midway.
const KILLED: usize = 500;

/// What became of the packets of a flood.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Those that were answered.
    pub answered: u64,
    /// Those that weren't.
    pub lost: u64,
}

/// `count` ICMP echo requests, each of which must be answered as it was sent.
///
/// # Errors
/// When an answer is missing or differs.
pub fn pings(to: SocketAddr, count: u64) -> Said {
    let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::ICMPV4))?;
    socket.connect(&to.into())?;
    socket.set_read_timeout(Some(PATIENCE))?;
    // Room for all that may be on their way, so that it isn't the client who loses any.
    socket.set_recv_buffer_size(1 << 20)?;
    let identifier = (std::process::id() as u16).to_be_bytes();
    let begin = Instant::now();
    // By number; whether it is back.
    let mut waiting: VecDeque<bool> = VecDeque::new();
    let (mut first, mut sent, mut outcome) = (0_u64, 0_u64, Outcome::default());
    while first < count {
        while sent < count && sent - first < PINGS as u64 {
            socket.send(&echo_request(identifier, sent))?;
            waiting.push_back(false);
            sent += 1;
        }
        let mut bytes = [0; 256];
        match (&socket).read(&mut bytes) {
            Ok(length) => {
                let Some(number) = echo_reply(&bytes[..length], identifier, first) else { continue };
                if let Some(back) = waiting.get_mut((number - first) as usize) {
                    outcome.answered += u64::from(!*back);
                    *back = true;
                }
            }
            Err(error) if is_late(&error) => {
                outcome.lost += waiting.iter().filter(|back| !**back).count() as u64;
                waiting.iter_mut().for_each(|back| *back = true);
            }
            Err(error) => return Err(error.into()),
        }
        while waiting.front() == Some(&true) {
            waiting.pop_front();
            first += 1;
        }
    }
    let rate = count as f64 / begin.elapsed().as_secs_f64();
    match outcome {
        Outcome { answered, lost: 0 } if answered == count => {
            Ok(format!("{count} pings with {PINGS} on their way, each answered ({rate:.0}/s)"))
        }
        outcome => Err(format!("of {count} pings {outcome:?}").into()),
    }
}

/// Type 8, code 0, checksum, identifier, the low half of the number (RFC 792); then all of it.
fn echo_request(identifier: [u8; 2], number: u64) -> [u8; 16] {
    let mut packet = [0; 16];
    packet[0] = 8;
    packet[4..6].copy_from_slice(&identifier);
    packet[6..8].copy_from_slice(&(number as u16).to_be_bytes());
    packet[8..].copy_from_slice(&number.to_be_bytes());
    let sum = !smoltcp::wire::checksum::data(&packet);
    packet[2..4].copy_from_slice(&sum.to_be_bytes());
    packet
}

/// The number of the reply that a raw socket gave, behind its IPv4 header, if it is one of ours and
/// none of long ago.
fn echo_reply(packet: &[u8], identifier: [u8; 2], first: u64) -> Option<u64> {
    let header = usize::from(packet.first()? & 15) * 4;
    let reply: [u8; 16] = packet.get(header..)?.try_into().ok()?;
    let number = u64::from_be_bytes([
        reply[8], reply[9], reply[10], reply[11], reply[12], reply[13], reply[14], reply[15],
    ]);
    let mut expected = echo_request(identifier, number);
    (expected[0], expected[2], expected[3]) = (0, reply[2], reply[3]);
    (reply == expected && smoltcp::wire::checksum::data(&reply) == !0 && number >= first).then_some(number)
}

fn is_late(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

/// Datagrams of 64 bytes that an echo sends back, with `window` on their way, for a while.
///
/// # Errors
/// As the socket's. That some are lost is none.
pub fn datagrams(to: SocketAddr, window: usize, time: Duration) -> std::io::Result<Outcome> {
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    SockRef::from(&socket).set_recv_buffer_size(1 << 20)?;
    socket.connect(to)?;
    socket.set_read_timeout(Some(Duration::from_millis(100)))?;
    let (mut outcome, mut waiting) = (Outcome::default(), 0);
    let mut back = [0; 100];
    let begin = Instant::now();
    loop {
        while waiting < window && begin.elapsed() < time {
            socket.send(&[0x55; 64])?;
            waiting += 1;
        }
        if waiting == 0 {
            return Ok(outcome);
        }
        match socket.recv(&mut back) {
            Ok(_) => {
                outcome.answered += 1;
                waiting -= 1;
            }
            Err(error) if is_late(&error) => {
                outcome.lost += waiting as u64;
                waiting = 0;
            }
            Err(error) => return Err(error),
        }
    }
}

/// HTTP connections of which each is reset in the middle of its request or its answer.
///
/// # Errors
/// As the sockets'.
pub fn killed(to: SocketAddr, count: usize) -> std::io::Result<()> {
    let open: Vec<TcpStream> = (0..count).map(|_| connect(to)).collect::<Result<_, _>>()?;
    for (number, mut stream) in open.iter().enumerate() {
        SockRef::from(stream).set_linger(Some(Duration::ZERO))?;
        let request = b"GET / HTTP/1.1\r\nHost: test\r\n\r\n";
        // The server may be quicker, or refuse: both are its right.
        let _ = stream.write_all(if number % 2 == 0 { request } else { &request[..10] });
    }
    Ok(())
}

/// Rounds of all floods: UDP to port 7 of `to` with windows of 64 and 256, HTTP connections to
/// `to` killed midway, aborts at every stage. After each flood a ping and a GET must be
/// answered. A ping may get lost, but only where Linux says that it has dropped something: a TAP's
/// queue has room for 500 frames, and five hundred connections that are killed fill it.
///
/// # Errors
/// When anything stalls: which flood, and in which rounds; and when more pings are lost than `tap0`
/// has dropped frames.
pub fn rounds(to: SocketAddr, count: usize) -> Said {
    let echo = SocketAddr::new(to.ip(), 7);
    let mut stalls = Vec::new();
    let (mut lost_pings, dropped) = (0, dropped_by_tap()?);
    let mut live = |to| live(to, &mut lost_pings);
    let mut outcomes = [(64, Outcome::default()), (256, Outcome::default())];
    for round in 1..=count {
        for (window, outcome) in &mut outcomes {
            let Outcome { answered, lost } = datagrams(echo, *window, DATAGRAMS)?;
            outcome.answered += answered;
            outcome.lost += lost;
            let none = if answered == 0 { Err("not one came back".into()) } else { Ok(()) };
            check(
                &mut stalls,
                round,
                &format!("UDP with a window of {window}"),
                none.and_then(|()| live(to)),
            );
        }
        let flood = killed(to, KILLED).map_err(|error| error.to_string());
        check(&mut stalls, round, "HTTP connections killed midway", flood.and_then(|()| live(to)));
        for stage in Abort::ALL {
            // The server may close or reset first.
            let _ = abort(to, stage);
            check(&mut stalls, round, &format!("abort {stage:?}"), live(to));
        }
    }
    let datagrams = outcomes
        .map(|(window, Outcome { answered, lost })| format!("{window}: {lost} of {} lost", answered + lost));
    let dropped = dropped_by_tap()? - dropped;
    let said = format!(
        "{count} rounds, {} stalls; datagrams by window: {}; {lost_pings} pings lost, {dropped} frames dropped by the TAP",
        stalls.len(),
        datagrams.join(", "),
    );
    if lost_pings > dropped {
        stalls.push("more pings lost than frames dropped".into());
    }
    if stalls.is_empty() { Ok(said) } else { Err(format!("{said}\n{}", stalls.join("\n")).into()) }
}

/// Frames for the guest that found the queue of the TAP device full.
fn dropped_by_tap() -> std::io::Result<u64> {
    let text = std::fs::read_to_string("/sys/class/net/tap0/statistics/tx_dropped")?;
    text.trim().parse().map_err(std::io::Error::other)
}

fn check(stalls: &mut Vec<String>, round: usize, after: &str, outcome: Result<(), String>) {
    if let Err(error) = outcome {
        stalls.push(format!("round {round}, after {after}: {error}"));
    }
}

/// A ping, again where one is lost, and one page.
fn live(to: SocketAddr, lost: &mut u64) -> Result<(), String> {
    let begin = Instant::now();
    while let Err(error) = pings(to, 1) {
        *lost += 1;
        if begin.elapsed() > STALL {
            return Err(format!("ping: {error}"));
        }
    }
    let begin = Instant::now();
    let answer = get(to, "/").map_err(|error| format!("GET: {error}"))?;
    match answer.starts_with("HTTP/1.1 200") {
        true if begin.elapsed() < STALL => Ok(()),
        true => Err(format!("answered only after {:?}", begin.elapsed())),
        false => Err(format!("GET was answered `{}`", answer.lines().next().unwrap_or("nothing"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_are_known_from_what_isnt_one() {
        let request = echo_request([1, 2], 70_000);
        assert_eq!(smoltcp::wire::checksum::data(&request), !0);
        let mut packet = vec![0x45; 20];
        packet.extend(request);
        assert_eq!(echo_reply(&packet, [1, 2], 0), None, "a request");
        packet[20] = 0;
        // What the type was worth is the sum's now (RFC 1624).
        let sum = u16::from_be_bytes([packet[22], packet[23]]).wrapping_add(0x0800);
        packet[22..24].copy_from_slice(&sum.to_be_bytes());
        assert_eq!(echo_reply(&packet, [1, 2], 0), Some(70_000));
        assert_eq!(echo_reply(&packet, [1, 2], 70_001), None, "of long ago");
        assert_eq!(echo_reply(&packet, [1, 3], 0), None);
        packet[35] ^= 1;
        assert_eq!(echo_reply(&packet, [1, 2], 0), None, "changed");
        assert_eq!(echo_reply(&packet[..30], [1, 2], 0), None);
    }

    #[test]
    fn datagrams_that_are_lost_are_counted() {
        let echo = UdpSocket::bind("127.0.0.1:0").expect("a port");
        let to = echo.local_addr().expect("an address");
        std::thread::spawn(move || {
            let mut buffer = [0; 100];
            // The first is lost.
            for number in 0.. {
                let Ok((length, from)) = echo.recv_from(&mut buffer) else { return };
                if number > 0 && echo.send_to(&buffer[..length], from).is_err() {
                    return;
                }
            }
        });
        let outcome = datagrams(to, 2, Duration::from_millis(50)).expect("an echo");
        assert!(outcome.lost >= 1 && outcome.answered > 10, "{outcome:?}");
    }
}
