//! The least that can answer on a TAP device: the physical limit of the path.
//!
//! It reads a frame, exchanges source and destination, and writes it back: no stack, no
//! machine, no state. UDP comes back as an echo, an ICMP echo request as its reply, and ARP
//! is answered. No guest on a TAP device can do more with one thread.

use std::io::{self, Read, Write};

const OWN_MAC: [u8; 6] = [0x52, 0x54, 0, 0, 0, 1];
const ETHERTYPE: std::ops::Range<usize> = 12..14;
const ARP: [u8; 2] = [0x08, 0x06];
const IPV4: [u8; 2] = [0x08, 0x00];

/// Answers on the TAP device `name` until it goes away.
///
/// # Errors
/// When the device can't be opened, or breaks.
pub fn serve(name: &str) -> io::Result<()> {
    let mut tap = unik_tests::tap::open(name)?;
    println!("ready");
    let mut frame = [0; 65_536];
    loop {
        let length = tap.read(&mut frame)?;
        if reflect(&mut frame[..length]) {
            // A device without room drops, as a wire does.
            match tap.write(&frame[..length]) {
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
                _ => {}
            }
        }
    }
}

/// Makes the answer of `frame`; false where there is none.
fn reflect(frame: &mut [u8]) -> bool {
    if frame.len() < 42 {
        return false;
    }
    if frame[ETHERTYPE] == ARP {
        return answer_arp(frame);
    }
    // Version 4, a header of 20 bytes, to one host.
    if frame[ETHERTYPE] != IPV4 || frame[14] != 0x45 || frame[0] & 1 != 0 {
        return false;
    }
    match frame[23] {
        // UDP: the sums don't change when both ends are exchanged.
        17 => exchange(frame, 34, 2),
        // ICMP echo request (RFC 792): 8 becomes 0, and the sum grows by as much.
        1 if frame[34] == 8 => {
            frame[34] = 0;
            let sum = u32::from(u16::from_be_bytes([frame[36], frame[37]])) + 0x0800;
            let sum = (sum + (sum >> 16)) as u16;
            frame[36..38].copy_from_slice(&sum.to_be_bytes());
        }
        _ => return false,
    }
    exchange(frame, 26, 4);
    let source: [u8; 6] = [frame[6], frame[7], frame[8], frame[9], frame[10], frame[11]];
    frame[..6].copy_from_slice(&source);
    frame[6..12].copy_from_slice(&OWN_MAC);
    true
}

/// Exchanges the `length` bytes at `at` with those behind them.
fn exchange(frame: &mut [u8], at: usize, length: usize) {
    let (first, second) = frame[at..at + 2 * length].split_at_mut(length);
    first.swap_with_slice(second);
}

/// An ARP request (RFC 826) becomes the reply of whoever was asked for.
fn answer_arp(frame: &mut [u8]) -> bool {
    if frame[20..22] != [0, 1] {
        return false;
    }
    frame[21] = 2;
    let mut sender = [0; 10];
    sender.copy_from_slice(&frame[22..32]);
    let asked: [u8; 4] = [frame[38], frame[39], frame[40], frame[41]];
    frame[22..28].copy_from_slice(&OWN_MAC);
    frame[28..32].copy_from_slice(&asked);
    frame[32..42].copy_from_slice(&sender);
    frame[..6].copy_from_slice(&sender[..6]);
    frame[6..12].copy_from_slice(&OWN_MAC);
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ipv4(protocol: u8, payload: &[u8]) -> Vec<u8> {
        let mut frame = vec![0x52, 0x54, 0, 0, 0, 1, 2, 2, 2, 2, 2, 2, 8, 0, 0x45];
        frame.resize(34, 0);
        frame[23] = protocol;
        frame[26..34].copy_from_slice(&[10, 0, 2, 2, 10, 0, 2, 15]);
        frame.extend(payload);
        frame
    }

    #[test]
    fn datagrams_go_back() {
        let mut frame = ipv4(17, &[0x12, 0x34, 0, 7, 0, 9, 0xab, 0xcd, b'x']);
        assert!(reflect(&mut frame));
        assert_eq!(frame[..12], [2, 2, 2, 2, 2, 2, 0x52, 0x54, 0, 0, 0, 1]);
        assert_eq!(frame[26..34], [10, 0, 2, 15, 10, 0, 2, 2]);
        assert_eq!(frame[34..], [0, 7, 0x12, 0x34, 0, 9, 0xab, 0xcd, b'x']);
    }

    #[test]
    fn pings_are_answered_with_a_right_sum() {
        let mut frame = ipv4(1, &[8, 0, 0xf7, 0xfe, 0, 1, 0, 0]);
        assert!(reflect(&mut frame));
        assert_eq!(frame[34..42], [0, 0, 0xff, 0xfe, 0, 1, 0, 0]);
        // A reply isn't answered: two of these would never end.
        assert!(!reflect(&mut frame));
    }

    #[test]
    fn arp_is_answered_by_whoever_is_asked_for() {
        let mut frame = vec![0xff; 6];
        frame.extend([2, 2, 2, 2, 2, 2, 8, 6, 0, 1, 8, 0, 6, 4, 0, 1]);
        frame.extend([2, 2, 2, 2, 2, 2, 10, 0, 2, 2, 0, 0, 0, 0, 0, 0, 10, 0, 2, 15]);
        assert!(reflect(&mut frame));
        assert_eq!(frame[20..32], [0, 2, 0x52, 0x54, 0, 0, 0, 1, 10, 0, 2, 15]);
        assert_eq!(frame[32..42], [2, 2, 2, 2, 2, 2, 10, 0, 2, 2]);
    }

    #[test]
    fn short_frames_and_others_are_left_alone() {
        assert!(!reflect(&mut [0; 20]));
        assert!(!reflect(&mut ipv4(6, &[0; 20])));
    }
}
