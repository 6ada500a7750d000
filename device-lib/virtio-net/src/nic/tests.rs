//! The card against a device in host memory.

use super::*;
use crate::coalesced;
use alloc::vec;
use alloc::vec::Vec;
use core::future::poll_fn;
use core::task::Waker;
use unik::executor;
use unik_virtio::mock::{Device, DeviceQueue, MockPort, MockTransport};

const MAC: [u8; 6] = [0x52, 0x54, 0, 1, 2, 3];

fn card(features: u64, size: u16) -> (Nic<MockPort>, Device) {
    let device = Device::new(features | feature::VERSION_1 | bit::MAC, &[256, 256]);
    let mut config = MAC.to_vec();
    config.extend([0, 0, 0, 0]);
    config.extend(1400u16.to_le_bytes());
    device.set_config(&config);
    let nic = Nic::new(MockTransport::new(device.clone()), "nic", settings(size)).unwrap();
    (nic, device)
}

fn settings(queue_size: u16) -> Settings {
    Settings { queue_size, receive_buffer: 2048, transmit_memory: 64 << 10, mac: None, polling: false }
}

/// The device receives `frame` from the wire.
fn deliver(device: &Device, frame: &[u8]) {
    device.queue(0, |queue| {
        let chain = queue.next().unwrap();
        let mut bytes = [0; HEADER].to_vec();
        bytes.extend(frame);
        chain.write(&bytes);
        queue.give_back(u32::from(chain.id), bytes.len() as u32);
    });
}

fn is_ready(nic: &mut Nic<MockPort>) -> bool {
    nic.poll_ready(&mut Context::from_waker(Waker::noop())).is_ready()
}

#[test]
fn frames_go_both_ways() {
    let (mut nic, device) = card(feature::EVENT_INDEX, 16);
    assert_eq!((nic.mac(), nic.mtu()), (MAC, 1500));
    assert_eq!(nic.transmit(20, |frame| frame.fill(7)), Ok(()));
    nic.flush();
    device.queue(1, |queue| {
        let bytes = queue.next().unwrap().bytes();
        assert_eq!(bytes[..HEADER], [0; HEADER]);
        assert_eq!(bytes[HEADER..], [7; 20]);
    });
    deliver(&device, &[9; 60]);
    let frame = nic.receive().unwrap();
    assert_eq!(*frame, [9; 60]);
    nic.release(frame);
    assert!(nic.receive().is_none());
}

#[test]
fn one_bell_for_many_frames() {
    let (mut nic, device) = card(feature::EVENT_INDEX, 16);
    for _ in 0..5 {
        nic.transmit(60, |_| ()).unwrap();
    }
    assert_eq!(device.notifications(1), 0);
    nic.flush();
    nic.flush();
    assert_eq!(device.notifications(1), 1);
}

#[test]
fn the_full_ring_says_so_and_asks_for_an_interrupt() {
    let (mut nic, device) = card(feature::EVENT_INDEX, 16);
    while nic.can_transmit() {
        nic.transmit(60, |_| ()).unwrap();
    }
    nic.flush();
    assert_eq!(nic.transmit(60, |_| ()), Err(FullRing));
    assert!(!is_ready(&mut nic));
    for sent in 1..=16 {
        device.queue(1, |queue| {
            let id = queue.next().unwrap().id;
            queue.give_back(u32::from(id), 0);
        });
        assert_eq!(device.interrupt(1), sent == 8, "only at half of the ring");
    }
    assert!(is_ready(&mut nic));
    assert!(nic.can_transmit());
}

#[test]
fn who_found_no_room_is_not_forgotten_when_another_finds_some() {
    let (mut nic, device) = card(feature::EVENT_INDEX, 16);
    while nic.can_transmit() {
        nic.transmit(60, |_| ()).unwrap();
    }
    nic.flush();
    device.queue(1, |queue| {
        let id = queue.next().unwrap().id;
        queue.give_back(u32::from(id), 0);
    });
    // The one buffer that came back goes to somebody else.
    nic.transmit(60, |_| ()).unwrap();
    nic.flush();
    assert!(!is_ready(&mut nic));
    for sent in 1..=16 {
        device.queue(1, |queue| {
            let id = queue.next().unwrap().id;
            queue.give_back(u32::from(id), 0);
        });
        assert_eq!(device.interrupt(1), sent == 8);
    }
    assert!(is_ready(&mut nic), "the interrupt");
    assert!(nic.can_transmit());
    assert!(is_ready(&mut nic), "one more turn, to be sure");
    assert!(!is_ready(&mut nic));
}

#[test]
fn interrupts_only_before_sleeping_and_none_is_lost() {
    for features in [0, feature::EVENT_INDEX] {
        let (mut nic, device) = card(features, 16);
        deliver(&device, &[1; 60]);
        assert!(!device.interrupt(0), "not asked for");
        assert!(is_ready(&mut nic), "came before the interrupt was asked for");
        let frame = nic.receive().unwrap();
        nic.release(frame);
        assert!(!is_ready(&mut nic));
        deliver(&device, &[2; 60]);
        assert!(device.interrupt(0));
        assert!(is_ready(&mut nic));
        deliver(&device, &[3; 60]);
        assert!(!device.interrupt(0), "one is enough");
        assert_eq!(nic.receive().unwrap()[0], 2);
        assert_eq!(nic.receive().unwrap()[0], 3);
    }
}

#[test]
fn buffers_circulate_for_ever() {
    let (mut nic, device) = card(0, 16);
    for round in 0..100_000u32 {
        deliver(&device, &[round as u8; 60]);
        let frame = nic.receive().unwrap();
        assert_eq!(frame[0], round as u8);
        nic.release(frame);
        nic.flush();
    }
}

#[test]
fn the_mtu_of_the_device_counts() {
    let (nic, device) = card(bit::MTU, 16);
    assert_eq!(nic.mtu(), 1400);
    assert_ne!(device.agreed() & bit::MTU, 0);
}

#[test]
fn runts_are_dropped_and_counted() {
    let (mut nic, device) = card(0, 16);
    deliver(&device, &[0; 13]);
    device.queue(0, |queue| {
        let id = queue.next().unwrap().id;
        queue.give_back(u32::from(id), 0);
    });
    deliver(&device, &[5; 14]);
    assert_eq!(nic.receive().unwrap().len(), 14);
    assert_eq!(nic.counters().runts, 2);
}

/// The device receives `frame` into as many buffers as it takes.
fn deliver_merged(device: &Device, flags: u8, frame: &[u8]) {
    device.queue(0, |queue| {
        let mut rest = [[flags; 1].as_slice(), &[0; HEADER - 1], frame].concat();
        let mut chains = Vec::new();
        while !rest.is_empty() {
            let chain = queue.next().unwrap();
            let part: Vec<u8> = rest.drain(..rest.len().min(2048 - HEADROOM)).collect();
            chains.push((chain, part));
        }
        chains[0].1[10] = chains.len() as u8;
        for (chain, part) in chains {
            chain.write(&part);
            queue.give_back(u32::from(chain.id), part.len() as u32);
        }
    });
}

#[test]
fn a_long_segment_comes_as_several() {
    let (mut nic, device) = card(bit::GUEST_CHECKSUM | bit::MERGED_BUFFERS, 16);
    let data: Vec<u8> = (0..5000u32).map(|index| (index * 7) as u8).collect();
    let whole = coalesced::tests::segment(&data);
    // More of them than there are buffers: all come back.
    for _ in 0..20 {
        deliver_merged(&device, 1, &whole);
        let (mut received, mut at): (Vec<u8>, Option<u32>) = (Vec::new(), None);
        while let Some(frame) = nic.receive() {
            assert!(nic.is_verified(&frame));
            let headers = Headers::parse(&frame).unwrap();
            let sequence = u32::from_be_bytes(frame[38..42].try_into().unwrap());
            assert_eq!(sequence, at.unwrap_or(sequence), "one follows the other");
            at = Some(sequence.wrapping_add((frame.len() - headers.length) as u32));
            received.extend(&frame[headers.length..]);
            nic.release(frame);
        }
        assert_eq!(received, data);
        nic.flush();
    }
    assert_eq!(nic.counters().received, 60);
}

#[test]
fn what_is_too_long_and_no_segment_is_dropped() {
    let (mut nic, device) = card(bit::GUEST_CHECKSUM | bit::MERGED_BUFFERS, 16);
    for _ in 0..20 {
        deliver_merged(&device, 1, &[6; 4000]);
        assert!(nic.receive().is_none());
        nic.flush();
        // Nor one whose checksum nobody has verified.
        deliver_merged(&device, 0, &coalesced::tests::segment(&[7; 4000]));
        assert!(nic.receive().is_none());
        nic.flush();
    }
    assert_eq!((nic.counters().oversized, nic.counters().broken), (40, None));
}

#[test]
fn a_frame_of_more_buffers_than_there_are_is_a_lie() {
    let (mut nic, device) = card(bit::GUEST_CHECKSUM | bit::MERGED_BUFFERS, 16);
    device.queue(0, |queue| {
        let chain = queue.next().unwrap();
        let mut bytes = [0; 100];
        bytes[10] = 2;
        chain.write(&bytes);
        queue.give_back(u32::from(chain.id), 100);
    });
    assert!(nic.receive().is_none());
    assert_eq!(nic.counters().broken, Some(DeviceError::TooFewBuffers(2)));
}

#[test]
fn the_device_finishes_what_it_is_asked_to() {
    let offload = Offload { transport: 34, checksum: 16, segment: None };
    let (mut nic, device) = card(bit::CHECKSUM | bit::SEGMENTATION, 16);
    let longest = nic.offloads().segmentation.unwrap();
    assert!(nic.offloads().checksum && longest > 8000);
    nic.transmit_offloaded(60, offload, |frame| frame.fill(1)).unwrap();
    let segment = core::num::NonZeroU16::new(1448);
    let whole = coalesced::tests::segment(&vec![3; longest - 66]);
    let offload = Offload { segment, ..offload };
    nic.transmit_offloaded(longest, offload, |frame| frame.copy_from_slice(&whole)).unwrap();
    nic.flush();
    device.queue(1, |queue| {
        let bytes = queue.next().unwrap().bytes();
        assert_eq!((&bytes[..HEADER], bytes.len()), (&[1, 0, 0, 0, 0, 0, 34, 0, 16, 0, 0, 0][..], 72));
        let bytes = queue.next().unwrap().bytes();
        assert_eq!(bytes[..HEADER], [1, 1, 66, 0, 0xa8, 5, 34, 0, 16, 0, 0, 0]);
        assert_eq!(bytes[HEADER..], whole);
    });
    let (nic, _) = card(bit::SEGMENTATION, 16);
    assert_eq!(nic.offloads(), Offloads::default(), "none without checksums");
}

#[test]
fn asks_for_no_more_than_it_can_have() {
    let all = u64::MAX;
    let has = |offered: u64, bits: u64| wanted(offered, None) & offered & bits != 0;
    assert!(has(all, bit::GUEST_SEGMENTS) && has(all, bit::SEGMENTATION));
    assert!(!has(all & !bit::MERGED_BUFFERS, bit::GUEST_SEGMENTS));
    assert!(!has(all & !bit::GUEST_CHECKSUM, bit::GUEST_SEGMENTS | bit::MERGED_BUFFERS));
    assert!(!has(all & !bit::CHECKSUM, bit::SEGMENTATION));
}

#[test]
fn the_bell_waits_while_more_comes_in() {
    let (mut nic, device) = card(feature::EVENT_INDEX, 16);
    nic.bell.cost = u64::MAX;
    // Before the first frame nothing is known of how long an answer takes.
    for _ in 0..3 {
        deliver(&device, &[1; 60]);
    }
    let frame = nic.receive().unwrap();
    nic.release(frame);
    nic.transmit(60, |_| ()).unwrap();
    nic.flush();
    assert_eq!(device.notifications(1), 0);
    assert!(device.queue(1, DeviceQueue::next).is_some(), "it may look all the same");
    assert!(is_ready(&mut nic), "a turn follows");
    let frame = nic.receive().unwrap();
    nic.release(frame);
    let frame = nic.receive().unwrap();
    nic.release(frame);
    // Nothing to send in that one: the bell is rung all the same.
    nic.flush();
    assert!(!is_ready(&mut nic));
    assert_eq!(device.notifications(1), 1);
    // It doesn't wait longer than it takes.
    nic.bell.cost = 0;
    device.queue(1, |queue| queue.notify_at(1));
    for _ in 0..2 {
        deliver(&device, &[1; 60]);
    }
    let frame = nic.receive().unwrap();
    nic.release(frame);
    nic.transmit(60, |_| ()).unwrap();
    nic.flush();
    assert_eq!(device.notifications(1), 2);
}

#[test]
fn while_the_loop_looks_no_interrupt_is_asked_for() {
    let (mut nic, device) = card(feature::EVENT_INDEX, 16);
    nic.polling = true;
    executor::block_on(async {
        poll_fn(|cx| {
            // The first to know what a wake-up costs, and the others then to look.
            if nic.poll_ready(cx).is_ready() {
                return Poll::Ready(());
            }
            deliver(&device, &[1; 60]);
            assert!(!device.interrupt(0));
            Poll::Pending
        })
        .await;
    });
    assert_eq!(nic.receive().unwrap().len(), 60);
}

#[test]
fn a_device_that_lies_is_given_up() {
    let (mut nic, device) = card(0, 16);
    deliver(&device, &[0; 60]);
    device.queue(0, |queue| queue.give_back(77, 60));
    assert!(nic.receive().is_some());
    assert!(nic.receive().is_none());
    assert_eq!(nic.counters().broken, Some(DeviceError::UnknownBuffer(77)));
    assert_eq!(nic.transmit(60, |_| ()), Err(FullRing));
    assert!(!is_ready(&mut nic));
    nic.flush();
}

#[test]
fn a_device_without_a_usable_address_or_queue_is_refused() {
    let device = Device::new(feature::VERSION_1 | bit::MAC, &[256, 256]);
    device.set_config(&[1, 0, 0, 0, 0, 1]);
    assert!(Nic::new(MockTransport::new(device), "nic", settings(16)).is_err());
    let device = Device::new(feature::VERSION_1 | bit::MAC, &[256, 0]);
    device.set_config(&MAC);
    assert_eq!(Nic::new(MockTransport::new(device), "nic", settings(16)).map(drop), Err(SetupError::NoQueue));
}
