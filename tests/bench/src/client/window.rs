//! Packets that come back: so many on their way at a time, the next as soon as one is back.

use std::io::{ErrorKind, Read};
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use serde_json::Value;
use socket2::{Domain, Protocol, Socket, Type};

use super::{measured, wrong};
use crate::statistics::Latencies;

/// What a datagram holds, as in the measurements of the prototype.
const PAYLOAD: usize = 64;
/// How long an answer may take until it is lost.
const PATIENCE: Duration = Duration::from_millis(200);

/// UDP datagrams with `window` on their way.
pub(super) fn datagrams(to: SocketAddr, window: usize, time: Duration) -> std::io::Result<Value> {
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    socket.connect(to)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    let mut payload = [0_u8; PAYLOAD];
    let mut sent: Vec<Instant> = vec![Instant::now(); window];
    let mut send = |slot: usize, sent: &mut Vec<Instant>| {
        payload[..8].copy_from_slice(&(slot as u64).to_be_bytes());
        sent[slot] = Instant::now();
        socket.send(&payload)
    };
    let (mut latencies, mut done, mut errors) = (Latencies::new(), 0, 0);
    let begin = Instant::now();
    for slot in 0..window {
        send(slot, &mut sent)?;
    }
    let mut back = [0; PAYLOAD + 1];
    while begin.elapsed() < time {
        match socket.recv(&mut back) {
            Ok(PAYLOAD) => {
                let mut number = [0; 8];
                number.copy_from_slice(&back[..8]);
                let slot = u64::from_be_bytes(number) as usize;
                let began = *sent.get(slot).ok_or_else(|| wrong("a datagram came back changed"))?;
                latencies.add(began.elapsed().as_nanos() as u64);
                done += 1;
                send(slot, &mut sent)?;
            }
            Ok(length) => return Err(wrong(format!("a datagram of {length} bytes came back"))),
            // None came for long: all are lost.
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                errors += window as u64;
                for slot in 0..window {
                    send(slot, &mut sent)?;
                }
            }
            Err(error) => return Err(error),
        }
    }
    Ok(measured(done, errors, begin.elapsed(), &latencies))
}

/// ICMP echo requests (RFC 792), one at a time.
pub(super) fn ping(to: SocketAddr, time: Duration) -> std::io::Result<Value> {
    let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::ICMPV4))?;
    socket.connect(&to.into())?;
    socket.set_read_timeout(Some(PATIENCE))?;
    let identifier = (std::process::id() as u16).to_be_bytes();
    let (mut latencies, mut done, mut errors) = (Latencies::new(), 0, 0);
    let begin = Instant::now();
    let mut sequence = 0_u16;
    while begin.elapsed() < time {
        sequence = sequence.wrapping_add(1);
        let sent = Instant::now();
        socket.send(&echo_request(identifier, sequence))?;
        loop {
            let mut bytes = [0; 128];
            match (&socket).read(&mut bytes) {
                Ok(length) => {
                    if is_reply(&bytes[..length], identifier, sequence) {
                        latencies.add(sent.elapsed().as_nanos() as u64);
                        done += 1;
                        break;
                    }
                    if sent.elapsed() < PATIENCE {
                        continue;
                    }
                }
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(error) => return Err(error),
            }
            errors += 1;
            break;
        }
    }
    Ok(measured(done, errors, begin.elapsed(), &latencies))
}

/// Type 8, code 0, checksum, identifier, sequence number, and 56 bytes as `ping` sends.
fn echo_request(identifier: [u8; 2], sequence: u16) -> [u8; 64] {
    let mut packet = [0; 64];
    packet[0] = 8;
    packet[4..6].copy_from_slice(&identifier);
    packet[6..8].copy_from_slice(&sequence.to_be_bytes());
    let sum = !crate::frames::sum(&packet);
    packet[2..4].copy_from_slice(&sum.to_be_bytes());
    packet
}

/// Whether what a raw socket gives, an IPv4 header and what follows it, is the reply.
fn is_reply(packet: &[u8], identifier: [u8; 2], sequence: u16) -> bool {
    let header = usize::from(packet.first().copied().unwrap_or(0) & 15) * 4;
    packet.get(header..header + 8).is_some_and(|reply| {
        reply[0] == 0 && reply[4..6] == identifier && reply[6..8] == sequence.to_be_bytes()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn datagrams_come_back_and_lost_ones_are_counted() {
        let echo = UdpSocket::bind("127.0.0.1:0").expect("a port");
        let to = echo.local_addr().expect("an address");
        std::thread::spawn(move || {
            let mut buffer = [0; 100];
            // The first is lost.
            let mut number = 0;
            while let Ok((length, from)) = echo.recv_from(&mut buffer) {
                number += 1;
                if number > 1 && echo.send_to(&buffer[..length], from).is_err() {
                    return;
                }
            }
        });
        let said = datagrams(to, 1, Duration::from_millis(400)).expect("an echo");
        assert!(said["errors"] == 1 && said["done"].as_u64() > Some(10), "{said}");
        assert!(said["p50_us"].as_f64() > Some(0.0), "{said}");
    }

    #[test]
    fn replies_are_known_from_requests() {
        let request = echo_request([1, 2], 3);
        assert_eq!(crate::frames::sum(&request), 0xffff);
        let mut packet = vec![0x45; 20];
        packet.extend(request);
        assert!(!is_reply(&packet, [1, 2], 3));
        packet[20] = 0;
        assert!(is_reply(&packet, [1, 2], 3));
        assert!(!is_reply(&packet, [1, 2], 4));
        assert!(!is_reply(&packet[..25], [1, 2], 3) && !is_reply(&[], [1, 2], 3));
    }
}
