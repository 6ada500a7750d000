//! Long segments of TCP that lie in several buffers.
//!
//! A host that talks to itself needn't cut its data into segments of the link's size, and one that
//! receives puts segments together: both give the guest segments of up to 64 KiB, which lie in as
//! many buffers as it takes. Nothing above wants to deal with a packet in pieces, so each
//! buffer's part becomes a segment of its own: its headers are written in front of it, where
//! the device left room for that. The data isn't moved.

/// Bytes of an Ethernet header.
const ETHERNET: usize = 14;
const IPV4: [u8; 2] = [0x08, 0x00];
const IPV6: [u8; 2] = [0x86, 0xdd];
/// The protocol number of TCP.
const TCP: u8 = 6;
/// Bytes of the least headers.
const LEAST_IPV4: usize = 20;
const LEAST_TCP: usize = 20;
const WHOLE_IPV6: usize = 40;

/// Flags of TCP, in byte 13 of its header.
const FIN: u8 = 1;
const PUSH: u8 = 8;
const WINDOW_REDUCED: u8 = 0x80;

/// The most bytes that [`Headers`] take.
pub const MOST_HEADERS: usize = 128;

/// Where the headers of a segment are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Headers {
    /// Bytes of all of them.
    pub length: usize,
    /// Where that of TCP begins.
    tcp: usize,
    is_v6: bool,
}

impl Headers {
    /// Finds the headers of the segment that begins with `frame`; `None` if it is of another kind,
    /// or they are longer than [`MOST_HEADERS`], or not all there.
    pub fn parse(frame: &[u8]) -> Option<Headers> {
        let kind: [u8; 2] = frame.get(12..ETHERNET)?.try_into().ok()?;
        let (is_v6, tcp) = match kind {
            IPV4 => {
                let ip = frame.get(ETHERNET..ETHERNET + LEAST_IPV4)?;
                let length = usize::from(ip[0] & 0xf) * 4;
                let fragment = ip[6] & 0x3f | ip[7];
                if ip[0] >> 4 != 4 || length < LEAST_IPV4 || fragment != 0 || ip[9] != TCP {
                    return None;
                }
                (false, ETHERNET + length)
            }
            IPV6 => {
                let ip = frame.get(ETHERNET..ETHERNET + WHOLE_IPV6)?;
                if ip[0] >> 4 != 6 || ip[6] != TCP {
                    return None;
                }
                (true, ETHERNET + WHOLE_IPV6)
            }
            _ => return None,
        };
        let header = usize::from(frame.get(tcp + 12)? >> 4) * 4;
        let length = tcp + header;
        (header >= LEAST_TCP && length <= frame.len() && length <= MOST_HEADERS).then_some(Headers {
            length,
            tcp,
            is_v6,
        })
    }

    /// Makes `part`, which begins with the headers of the whole segment, a segment of its own:
    /// that of the data from byte `offset` on. Its checksum is no longer right.
    ///
    /// # Panics
    /// If `part` is shorter than the headers.
    pub fn patch(&self, part: &mut [u8], offset: u32, is_last: bool) {
        let length = part.len() - ETHERNET;
        let (ip, tcp) = part[ETHERNET..].split_at_mut(self.tcp - ETHERNET);
        // No buffer is longer than 64 KiB.
        if self.is_v6 {
            ip[4..6].copy_from_slice(&((length - WHOLE_IPV6) as u16).to_be_bytes());
        } else {
            ip[2..4].copy_from_slice(&(length as u16).to_be_bytes());
            ip[10..12].fill(0);
            let sum = checksum(ip);
            ip[10..12].copy_from_slice(&sum.to_be_bytes());
        }
        let sequence = u32::from_be_bytes([tcp[4], tcp[5], tcp[6], tcp[7]]).wrapping_add(offset);
        tcp[4..8].copy_from_slice(&sequence.to_be_bytes());
        if !is_last {
            tcp[13] &= !(FIN | PUSH);
        }
        if offset > 0 {
            tcp[13] &= !WINDOW_REDUCED;
        }
    }
}

/// The checksum of an IPv4 header (RFC 1071).
fn checksum(header: &[u8]) -> u16 {
    let words = header.chunks_exact(2).map(|word| u32::from(u16::from_be_bytes([word[0], word[1]])));
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use alloc::vec::Vec;

    /// A segment of TCP over IPv4 with options, FIN and PSH.
    pub(crate) fn segment(data: &[u8]) -> Vec<u8> {
        let mut frame =
            [[2; 12].as_slice(), &IPV4, &[0x45, 0], &((52 + data.len()) as u16).to_be_bytes()].concat();
        frame.extend([0, 0, 0x40, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
        frame.extend([0, 80, 4, 0, 0xff, 0xff, 0xff, 0xf0, 0, 0, 0, 7, 8 << 4, 0x99, 1, 0, 0, 0, 0, 0]);
        frame.extend([1, 1, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8]);
        frame.extend(data);
        frame
    }

    #[test]
    fn each_part_is_a_segment_of_its_own() {
        let whole = segment(&[7; 100]);
        let headers = Headers::parse(&whole).unwrap();
        assert_eq!(headers.length, 66);
        let mut first = whole[..66 + 40].to_vec();
        headers.patch(&mut first, 0, false);
        assert_eq!(first[16..18], (52u16 + 40).to_be_bytes());
        assert_eq!(first[38..42], [0xff, 0xff, 0xff, 0xf0]);
        assert_eq!(first[47], 0x90, "no FIN, no PSH");
        assert_eq!(checksum(&first[14..34]), 0, "a right checksum sums up to nothing");
        let mut last = [&whole[..66], &whole[106..]].concat();
        headers.patch(&mut last, 40, true);
        assert_eq!(last[38..42], [0, 0, 0, 0x18], "the sequence number wraps");
        assert_eq!(last[47], 0x19);
        assert_eq!(last[66..], [7; 60]);
        // All else is as it was.
        assert_eq!((&last[..16], &last[48..66]), (&whole[..16], &whole[48..66]));
    }

    #[test]
    fn segments_over_ipv6_too() {
        let mut frame = [[2; 12].as_slice(), &IPV6, &[0x60, 0, 0, 0, 0, 120, 6, 64], &[1; 32]].concat();
        frame.extend([0, 80, 4, 0, 0, 0, 0, 0, 0, 0, 0, 7, 5 << 4, 0x10, 1, 0, 0, 0, 0, 0]);
        frame.extend([7; 50]);
        let headers = Headers::parse(&frame).unwrap();
        assert_eq!(headers.length, 74);
        headers.patch(&mut frame, 0, false);
        assert_eq!(frame[18..20], 70u16.to_be_bytes());
    }

    #[test]
    fn nothing_else_is_touched() {
        let whole = segment(&[7; 100]);
        assert_eq!(Headers::parse(&whole[..65]), None);
        let changed = |at: usize, value: u8| {
            let mut frame = whole.clone();
            frame[at] = value;
            Headers::parse(&frame)
        };
        assert_eq!(changed(13, 6), None, "ARP");
        assert_eq!(changed(23, 17), None, "UDP");
        assert_eq!(changed(20, 0x20), None, "a fragment");
        assert_eq!(changed(14, 0x44), None, "a header too short");
        assert_eq!(changed(46, 4 << 4), None, "one of TCP, too");
        assert_eq!(changed(14, 0x65), None, "another version");
    }
}
