//! A fuzz harness: a network card that fills buffers with whatever it likes, and says whatever it
//! likes of them. Bounded under `cargo test`; `cargo bolero test -p unik-virtio-net` runs it for
//! as long as one likes.

use alloc::vec::Vec;
use core::task::{Context, Waker};

use bolero::{TypeGenerator, check, produce};
use unik::interface::{Frames, Offload};
use unik_virtio::feature;
use unik_virtio::mock::{Chain, Device, MockTransport};

use crate::coalesced::tests::segment;
use crate::{Nic, Settings};

/// What happens next.
#[derive(Clone, Debug, TypeGenerator)]
enum Step {
    /// The driver takes a frame.
    Receive,
    /// It gives the oldest back.
    Release,
    Transmit(u16, bool),
    Flush,
    Poll,
    /// The device writes into the next buffer, and says how much.
    Write(Vec<u8>, u16),
    /// A long segment of TCP, in as many buffers as it takes; in so many, if one believes it.
    Segment {
        length: u16,
        flags: u8,
        buffers: u8,
    },
    /// It has sent the next frame.
    Send,
    Lie(bool, u32, u32),
    Index(bool, u16),
}

#[test]
fn fuzz_card() {
    let steps = (produce::<u8>(), produce::<Vec<Step>>().with().len(0usize..100));
    check!().with_generator(steps).with_iterations(1_000).for_each(|(features, steps)| {
        // Checksums, segmentation, merged buffers and event indices, in any combination.
        let some = [1 << 0, 1 << 1, 0x180, 0x1800, 1 << 15, feature::EVENT_INDEX];
        let some = some.iter().enumerate().filter(|(bit, _)| features >> bit & 1 != 0);
        let features = some.fold(feature::VERSION_1 | 1 << 5, |all, (_, some)| all | some);
        let device = Device::new(features, &[8, 8]);
        device.set_config(&[0x52, 0x54, 0, 1, 2, 3]);
        let settings = Settings {
            queue_size: 8,
            receive_buffer: 2048,
            transmit_memory: 16384,
            mac: None,
            polling: false,
        };
        let mut nic = Nic::new(MockTransport::new(device.clone()), "nic", settings).unwrap();
        let mut frames = Vec::new();
        for step in steps {
            play(&mut nic, &device, &mut frames, step);
        }
    });
}

fn play(
    nic: &mut Nic<unik_virtio::mock::MockPort>,
    device: &Device,
    frames: &mut Vec<crate::Received>,
    step: &Step,
) {
    match step {
        Step::Receive => {
            if let Some(mut frame) = nic.receive() {
                assert!(frame.len() >= 14, "room for an Ethernet header");
                // All of it is ours.
                frame.fill(0x5a);
                frames.push(frame);
            }
        }
        Step::Release if !frames.is_empty() => nic.release(frames.remove(0)),
        Step::Transmit(length, offloaded) => {
            let length = usize::from(*length) % 1515;
            let fill = |frame: &mut [u8]| assert_eq!(frame.len(), length);
            // Either may find the ring full.
            if *offloaded && nic.offloads().checksum {
                let offload = Offload { transport: 34, checksum: 16, segment: None };
                let _ = nic.transmit_offloaded(length, offload, fill);
            } else {
                let _ = nic.transmit(length, fill);
            }
        }
        Step::Flush => nic.flush(),
        Step::Poll => {
            let _ = nic.poll_ready(&mut Context::from_waker(Waker::noop()));
        }
        Step::Write(bytes, length) => {
            device.queue(0, |queue| {
                if let Some(chain) = queue.next() {
                    chain.write(&bytes[..bytes.len().min(1900)]);
                    queue.give_back(u32::from(chain.id), u32::from(*length));
                }
            });
        }
        Step::Segment { length, flags, buffers } => {
            let mut header = [0; 12];
            (header[0], header[10]) = (*flags, *buffers);
            let mut rest = [header.as_slice(), &segment(&[7].repeat(usize::from(*length) % 12_000))].concat();
            device.queue(0, |queue| {
                let mut used: Vec<(Chain, usize)> = Vec::new();
                while !rest.is_empty() {
                    let Some(chain) = queue.next() else { break };
                    let part: Vec<u8> = rest.drain(..rest.len().min(1920)).collect();
                    chain.write(&part);
                    used.push((chain, part.len()));
                }
                for (chain, length) in used {
                    queue.give_back(u32::from(chain.id), length as u32);
                }
            });
        }
        Step::Send => device.queue(1, |queue| {
            if let Some(chain) = queue.next() {
                queue.give_back(u32::from(chain.id), 0);
            }
        }),
        // Seldom, or little else would happen before the device is given up.
        Step::Lie(transmit, id, length) if length % 16 == 0 => {
            device.queue(usize::from(*transmit), |queue| queue.give_back(*id, *length));
        }
        Step::Index(transmit, index) if index % 16 == 0 => {
            device.queue(usize::from(*transmit), |queue| queue.set_used_index(*index));
        }
        Step::Release | Step::Lie(..) | Step::Index(..) => {}
    }
}
