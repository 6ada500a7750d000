//! Fuzz harnesses: whatever comes off the wire is dropped and counted, and an honest client
//! is served afterwards. Bounded under `cargo test`; `cargo bolero test -p unik-ip` runs them
//! for as long as one likes.

use core::net::Ipv4Addr;
use std::vec;
use std::vec::Vec;

use bolero::check;
use unik::executor::block_on;
use unik::interface::Frames;
use unik::time::Instant;

use crate::dhcp;
use crate::tests::{World, rewrite, spawn_echo};

/// A frame of an honest conversation, changed: which one, the byte at which place, its new
/// value, where it is cut off.
type Edit = (u16, u16, u8, u16);

/// What a client sends that connects, sends and closes: frames to mutilate.
fn conversation() -> Vec<Vec<u8>> {
    block_on(async {
        let mut world = World::new();
        spawn_echo(&world);
        let mut frames = vec![];
        let handle = world.connect(80);
        for step in 0..60 {
            if step == 20 {
                world.socket(handle).send_slice(b"hello").unwrap();
            }
            if step == 40 {
                world.socket(handle).close();
            }
            frames.extend(world.wire.copy_incoming());
            world.step().await;
        }
        frames
    })
}

#[test]
fn fuzz_frames() {
    let template = conversation();
    check!().with_type::<(Vec<Vec<u8>>, Vec<Edit>)>().with_iterations(1_000).for_each(|(frames, edits)| {
        block_on(async {
            let mut world = World::new();
            spawn_echo(&world);
            for frame in frames {
                deliver_as_each_protocol(&world, frame.clone());
            }
            for edit in edits {
                world.wire.deliver(changed(&template, *edit));
            }
            world.steps(30).await;
            world.wire.take_sent();
            // It is still there for an honest client.
            world.next_port = 3000;
            let handle = world.connected(80).await;
            world.socket(handle).send_slice(b"hi").unwrap();
            world.until("echo", |world| world.socket(handle).recv_queue() == 2).await;
        });
    });
}

/// The frame as it is, and addressed to us as IPv4 and as ARP.
fn deliver_as_each_protocol(world: &World, mut frame: Vec<u8>) {
    world.wire.deliver(frame.clone());
    if frame.len() >= 14 {
        frame[..6].copy_from_slice(&world.wire.mac());
        frame[6] &= !1;
        for kind in [[8, 0], [8, 6]] {
            frame[12..14].copy_from_slice(&kind);
            world.wire.deliver(frame.clone());
        }
    }
}

fn changed(template: &[Vec<u8>], (which, at, value, cut): Edit) -> Vec<u8> {
    let mut frame = template[usize::from(which) % template.len()].clone();
    let at = usize::from(at) % frame.len();
    frame[at] = value;
    frame.truncate(frame.len().min(20 + usize::from(cut) % 200));
    // With right checksums it gets further in.
    if cut % 2 == 0 && frame.len() > 54 && frame[12..14] == [8, 0] && frame[14] == 0x45 {
        let source = Ipv4Addr::new(frame[26], frame[27], frame[28], frame[29]);
        let port = u16::from_be_bytes([frame[34], frame[35]]);
        let total = (frame.len() - 14) as u16;
        frame[16..18].copy_from_slice(&total.to_be_bytes());
        frame = rewrite(&frame, source, port);
    }
    frame
}

#[test]
fn fuzz_dhcp_answers() {
    check!().with_type::<(Vec<u8>, Vec<(u16, u8)>)>().with_iterations(2_000).for_each(|(options, edits)| {
        let now = Instant::from_nanos(0);
        let mut client = dhcp::Client::new([2, 0, 0, 0, 0, 1], Some("test"));
        let (message, _) = client.poll(now, 7);
        // An answer with our transaction id and address, then anything.
        let mut answer = message.map_or_else(Vec::new, |message| message.data.to_vec());
        answer.truncate(240);
        if let Some(operation) = answer.first_mut() {
            *operation = 2;
        }
        answer.extend(options);
        for (at, value) in edits {
            let length = answer.len().max(1);
            if let Some(byte) = answer.get_mut(usize::from(*at) % length) {
                *byte = *value;
            }
        }
        // What it makes of them is its own tests' matter; here: no panic, and it goes on.
        let _ = client.receive(&answer, now);
        let _ = client.receive(options, now);
        assert!(client.next_deadline() >= now);
    });
}
