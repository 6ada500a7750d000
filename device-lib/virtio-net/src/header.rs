//! `struct virtio_net_hdr`, in front of every frame (virtio 1.2, section 5.1.6).

use unik::interface::Offload;

/// Its bytes.
pub const HEADER: usize = 12;

/// Received: the checksum field holds the sum over the pseudo-header alone. To be sent: the
/// device computes the checksum.
const NEEDS_CHECKSUM: u8 = 1;
/// Received: the device has verified the checksum.
const VERIFIED: u8 = 2;

/// Segmentation of TCP over IPv4.
const TCP_4: u8 = 1;
/// Segmentation of TCP over IPv6.
const TCP_6: u8 = 4;

/// Bytes of an Ethernet header.
const ETHERNET: usize = 14;
/// The type of IPv6 frames.
const IPV6: [u8; 2] = [0x86, 0xdd];
/// Where the length of a TCP header is in it, in words, in the upper half.
const TCP_LENGTH: usize = 12;

/// What the device says of a received frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Incoming {
    /// The transport checksum needn't be verified.
    pub verified: bool,
    /// How many buffers the frame takes.
    pub buffers: u16,
}

impl Incoming {
    /// Reads the header at the beginning of what was received.
    pub fn parse(bytes: &[u8]) -> Option<Incoming> {
        let header = bytes.first_chunk::<HEADER>()?;
        Some(Incoming {
            // A partial checksum is of a frame that has never left the host.
            verified: header[0] & (NEEDS_CHECKSUM | VERIFIED) != 0,
            buffers: u16::from_le_bytes([header[10], header[11]]),
        })
    }
}

/// Writes the header of `frame`, which follows it.
pub fn write(header: &mut [u8; HEADER], offload: Option<Offload>, frame: &[u8]) {
    *header = [0; HEADER];
    let Some(offload) = offload else { return };
    header[0] = NEEDS_CHECKSUM;
    header[6..8].copy_from_slice(&offload.transport.to_le_bytes());
    header[8..10].copy_from_slice(&offload.checksum.to_le_bytes());
    let Some(segment) = offload.segment else { return };
    let transport = usize::from(offload.transport);
    let words = frame.get(transport + TCP_LENGTH).map_or(5, |byte| usize::from(byte >> 4));
    let headers = (transport + 4 * words) as u16;
    header[1] = if frame.get(ETHERNET - 2..ETHERNET) == Some(&IPV6[..]) { TCP_6 } else { TCP_4 };
    header[2..4].copy_from_slice(&headers.to_le_bytes());
    header[4..6].copy_from_slice(&segment.get().to_le_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::num::NonZeroU16;

    #[test]
    fn says_what_the_device_is_to_do() {
        let mut frame = [0; 100];
        frame[12..14].copy_from_slice(&[8, 0]);
        frame[34 + 12] = 8 << 4;
        let mut header = [0xff; HEADER];
        write(&mut header, None, &frame);
        assert_eq!(header, [0; HEADER]);
        let offload = Offload { transport: 34, checksum: 16, segment: None };
        write(&mut header, Some(offload), &frame);
        assert_eq!(header, [1, 0, 0, 0, 0, 0, 34, 0, 16, 0, 0, 0]);
        let segment = NonZeroU16::new(1448);
        write(&mut header, Some(Offload { segment, ..offload }), &frame);
        assert_eq!(header, [1, 1, 66, 0, 0xa8, 5, 34, 0, 16, 0, 0, 0]);
        frame[12..14].copy_from_slice(&IPV6);
        write(&mut header, Some(Offload { segment, ..offload }), &frame);
        assert_eq!(header[1], 4);
    }

    #[test]
    fn reads_what_the_device_says() {
        let parse = |flags| Incoming::parse(&[flags, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3, 0, 99]).unwrap();
        assert_eq!(parse(0), Incoming { verified: false, buffers: 3 });
        assert!(parse(1).verified && parse(2).verified && !parse(4).verified);
        assert_eq!(Incoming::parse(&[0; 11]), None);
    }
}
