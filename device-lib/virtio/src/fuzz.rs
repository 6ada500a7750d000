//! Fuzz harnesses: a device that writes whatever it likes into the used ring. Bounded under
//! `cargo test`; `cargo bolero test -p unik-virtio` runs them for as long as one likes.

use alloc::vec::Vec;

use bolero::{TypeGenerator, ValueGenerator, check, produce};

use crate::mock::{Chain, DeviceQueue};
use crate::{Buffer, Direction, Outbox, Queue};

const SIZE: u16 = 8;

/// What happens next.
#[derive(Clone, Copy, Debug, TypeGenerator)]
enum Step {
    /// The driver offers a buffer, or a message of so many bytes.
    Offer(u16),
    Publish,
    Show,
    Arm(u16),
    Disarm,
    /// The driver takes what is there.
    Take,
    /// The device takes the next buffer.
    Next,
    /// It is done with the oldest that it has: so many bytes written.
    Return(u16),
    /// It is done with the youngest.
    ReturnYoungest,
    /// It says that it is done with whatever this may be.
    Lie(u32, u32),
    /// It sets the index of the used ring.
    Index(u16),
    /// It asks for notifications, or for none.
    Notify(u16),
}

/// Enough of them for the rings to wrap many times, and whether there are event indices.
fn steps() -> impl ValueGenerator<Output = (bool, Vec<Step>)> {
    (produce::<bool>(), produce::<Vec<Step>>().with().len(0usize..400))
}

/// The device's part of a step.
fn play(device: &mut DeviceQueue, has: &mut Vec<Chain>, step: Step) {
    match step {
        Step::Next => has.extend(device.next()),
        Step::Return(written) if !has.is_empty() => {
            device.give_back(u32::from(has.remove(0).id), u32::from(written % 50));
        }
        Step::ReturnYoungest => {
            if let Some(chain) = has.pop() {
                device.give_back(u32::from(chain.id), 0);
            }
        }
        // Seldom, or little else would happen before the device is given up.
        Step::Lie(id, written) if written % 16 == 0 => device.give_back(id % 32, written),
        Step::Index(index) if index % 16 == 0 => device.set_used_index(index),
        Step::Notify(index) => device.notify_at(index),
        _ => {}
    }
}

#[test]
fn fuzz_queue() {
    check!().with_generator(steps()).with_iterations(2_000).for_each(|(event_index, steps)| {
        let (mut queue, mut ours) =
            Queue::with_headroom(SIZE, 16, 64, Direction::FromDevice, *event_index).unwrap();
        let mut device = DeviceQueue::new(SIZE, queue.addresses());
        let table = device.descriptor_table();
        let mut has = Vec::new();
        for step in steps {
            match *step {
                Step::Offer(_) => {
                    if let Some(buffer) = ours.pop() {
                        queue.offer(buffer, 0);
                    }
                }
                Step::Publish => drop(queue.publish()),
                Step::Arm(after) => drop(queue.arm(after)),
                Step::Disarm => queue.disarm(),
                Step::Take => match queue.take() {
                    Ok(Some((buffer, written))) => {
                        assert!(written <= 48, "within what it was given");
                        ours.push(buffer);
                    }
                    Ok(None) => {}
                    // From here on the device isn't used any more.
                    Err(_) => return,
                },
                step => play(&mut device, &mut has, step),
            }
            assert_eq!(ours.len() + usize::from(queue.lent()), usize::from(SIZE), "none is lost");
            let mut ids: Vec<u16> = ours.iter().map(Buffer::id).collect();
            ids.sort_unstable();
            ids.dedup();
            assert_eq!(ids.len(), ours.len(), "none is in two hands");
        }
        assert_eq!(device.descriptor_table(), table);
    });
}

#[test]
fn fuzz_outbox() {
    check!().with_generator(steps()).with_iterations(2_000).for_each(|(event_index, steps)| {
        let mut outbox = Outbox::new(SIZE, 1024, *event_index).unwrap();
        let mut device = DeviceQueue::new(SIZE, outbox.addresses());
        let mut has: Vec<Chain> = Vec::new();
        let (mut written, mut seen, mut honest) = (0u8, 0u8, true);
        for step in steps {
            match *step {
                Step::Offer(length) => {
                    let length = usize::from(length % 400) + 1;
                    match outbox.has_room(length) {
                        Ok(true) => {
                            outbox.message(length).expect("there is room").fill(written);
                            assert!(outbox.queue(length));
                            written = written.wrapping_add(1);
                        }
                        Ok(false) => assert!(outbox.pending() > 0, "room comes back"),
                        Err(_) => return,
                    }
                }
                Step::Publish => drop(outbox.publish()),
                Step::Show => outbox.show(),
                Step::Arm(after) => drop(outbox.arm(after)),
                Step::Disarm => outbox.disarm(),
                Step::Take => {
                    if outbox.reclaim().is_err() {
                        return;
                    }
                }
                step => {
                    honest &= !matches!(step, Step::Lie(..) | Step::Index(_));
                    let before = has.len();
                    play(&mut device, &mut has, step);
                    if honest && has.len() > before {
                        assert!(has[before].bytes().iter().all(|byte| *byte == seen), "whole and in order");
                        seen = seen.wrapping_add(1);
                    }
                }
            }
            assert!(outbox.pending() <= SIZE);
        }
    });
}
