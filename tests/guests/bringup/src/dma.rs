//! What ring 3 can make a device write after the seal: nothing that it couldn't write itself.
//! There is no IOMMU, so a device that were told to would write over the page tables.
//!
//! On the queues and transports that the drivers use.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::arch::asm;
use core::sync::atomic::{Ordering, fence};

use unik::platform;
use unik::platform::machine::device::{Bar, PciFunction, map_until_seal, mmio_windows, pci_functions};
use unik_virtio::{Buffer, Direction, Kind, MachinePort, Port, Queue, Transport, find, negotiate};

use crate::checks::Outcome;
use crate::{argument, say};

/// Sets `device` going, seals the image, sees that the device works, and then does `crime`.
pub fn dma(crime: &str) -> Outcome {
    let kind = if argument("device") == Some("net") { Kind::Network } else { Kind::Entropy };
    let registers = Registers::of(kind).ok_or("the machine has no such device")?;
    let mut transport = find(kind, |_| true).map_err(|_| "find")?;
    negotiate(&mut transport, 0).map_err(|_| "negotiate")?;
    let mut queues = Vec::new();
    for index in 0..if kind == Kind::Network { 2 } else { 1 } {
        let direction = if index == 0 { Direction::FromDevice } else { Direction::ToDevice };
        let queue = Queue::new(SIZE, FRAME, direction, false).ok_or("no memory")?;
        transport.set_queue(index, SIZE, queue.0.addresses()).map_err(|_| "set_queue")?;
        queues.push(queue);
    }
    let port = transport.activate().map_err(|_| "activate")?;
    if argument("sealed") != Some("no") {
        platform::seal();
    }
    let before = witnesses();
    let outcome = match kind {
        Kind::Entropy => entropy(crime, &port, queues.remove(0), &registers),
        Kind::Network => network(crime, &port, &mut queues),
    };
    outcome?;
    if witnesses() == before { Ok(()) } else { Err("memory that nobody can write was written") }
}

const SIZE: u16 = 4;
/// Bytes of virtio-net's header and a frame.
const FRAME: usize = 64;
/// Descriptor flags (virtio 1.2, section 2.7.5).
const NEXT: u16 = 1;
const WRITE: u16 = 2;
const INDIRECT: u16 = 4;

fn entropy(
    crime: &str,
    port: &MachinePort,
    (mut queue, mut buffers): (Queue, Vec<Buffer>),
    registers: &Registers,
) -> Outcome {
    let at = queue.addresses();
    queue.offer(buffers.pop().ok_or("no buffer")?, 0);
    if queue.publish() {
        port.notify(0);
    }
    let (_, written) = wait_for(&mut queue)?;
    say!("the device wrote {written} bytes");
    // SAFETY: none: each of these is a crime, and the machine is to catch it.
    unsafe {
        match crime {
            "none" => Ok(()),
            // For who looks at the mappings from outside.
            "await" => {
                say!("descriptors {:x} bells {:x}", at.descriptors, registers.bells);
                say!("awaiting");
                loop {
                    pause();
                }
            }
            // Where the device writes next, and then it is asked to.
            "descriptor" => {
                for id in 0..u64::from(SIZE) {
                    store(at.descriptors + 16 * id, RODATA.as_ptr() as u64)?;
                }
                queue.offer(buffers.pop().ok_or("no buffer")?, 0);
                if queue.publish() {
                    port.notify(0);
                }
                wait_for(&mut queue).map(drop)
            }
            "descriptor-length" => store(at.descriptors + 8, u32::MAX),
            // Where the used ring is.
            "ring" => store(registers.used_ring, page_tables() as u32),
            "reset" => store(registers.status, 0_u8),
            // Where an interrupt is written.
            "vector" => store(registers.vectors.ok_or("no vectors here")?, page_tables() as u32),
            "fw-cfg" => fw_cfg(),
            // A descriptor that isn't there: beyond the table, in memory that ring 3 can't write.
            "index" => {
                store(at.available + 4 + 2, SIZE + 3)?;
                fence(Ordering::SeqCst);
                store(at.available + 2, 2_u16)?;
                fence(Ordering::SeqCst);
                port.notify(0);
                pause();
                Ok(())
            }
            _ => Err("no such crime"),
        }
    }
}

/// The transmit queue's descriptors may be written: the device only reads through them, whatever
/// they say.
fn network(crime: &str, port: &MachinePort, queues: &mut [(Queue, Vec<Buffer>)]) -> Outcome {
    let [_, (transmit, buffers)] = queues else { return Err("no transmit queue") };
    let at = transmit.addresses();
    let targets = witnesses().into_iter().map(|(address, _)| address).chain(SECRET.map(|get| get()));
    buffers[0][..FRAME].fill(0);
    let frame = buffers[0].as_ptr() as u64;
    // SAFETY: the buffers and tables are ours; what the device is told to write isn't.
    unsafe {
        let indirect = Box::leak(Box::new([[0_u64; 2]; 2]));
        let mut published = 0;
        for target in targets {
            let first = u64::from(1_u16) << 48 | u64::from(NEXT) << 32 | FRAME as u64;
            let second = u64::from(WRITE) << 32 | 64;
            match crime {
                "chain" => {
                    store(at.descriptors, frame)?;
                    store(at.descriptors + 8, first)?;
                    store(at.descriptors + 16, target)?;
                    store(at.descriptors + 24, second)?;
                }
                "indirect" => {
                    *indirect = [[frame, first], [target, second]];
                    store(at.descriptors, indirect.as_ptr() as u64)?;
                    store(at.descriptors + 8, u64::from(INDIRECT) << 32 | 32)?;
                }
                // All of it for the device to write.
                "alone" => {
                    store(at.descriptors, target)?;
                    store(at.descriptors + 8, second)?;
                }
                _ => return Err("no such crime"),
            }
            store(at.available + 4 + 2 * u64::from(published % SIZE), 0_u16)?;
            published += 1;
            fence(Ordering::SeqCst);
            store(at.available + 2, published)?;
            fence(Ordering::SeqCst);
            port.notify(1);
            pause();
        }
        let used = (at.used as *const u16).add(1).read_volatile();
        say!("the device used {used} of {published}");
        // QEMU's takes no more once it has seen a frame that isn't its to read.
        if crime != "alone" && used != published {
            return Err("the device didn't look at what it was given");
        }
    }
    Ok(())
}

/// fw_cfg's own DMA (QEMU, docs/specs/fw_cfg): its signature, over the page tables.
unsafe fn fw_cfg() -> Outcome {
    const SELECT_AND_READ: u32 = 8 | 2;
    let access = Box::leak(Box::new([0_u8; 16]));
    access[..4].copy_from_slice(&SELECT_AND_READ.to_be_bytes());
    access[4..8].copy_from_slice(&4_u32.to_be_bytes());
    access[8..].copy_from_slice(&page_tables().to_be_bytes());
    let address = (access.as_ptr() as u64 as u32).swap_bytes();
    // SAFETY: none, as the caller's.
    unsafe { asm!("out dx, eax", in("dx") 0x518_u16, in("eax") address) };
    Ok(())
}

/// The registers that would move a queue, once they can't be written any more.
struct Registers {
    used_ring: u64,
    status: u64,
    /// The page with the bells.
    bells: u64,
    vectors: Option<u64>,
}

impl Registers {
    fn of(kind: Kind) -> Option<Registers> {
        let window = mmio_windows().find(|window| {
            let found = map_until_seal(window.base, window.size);
            found.is_ok_and(|registers| registers.read::<u32>(8) == kind as u32)
        });
        if let Some(window) = window {
            let (used_ring, status) = (window.base + 0xa0, window.base + 0x70);
            return Some(Registers { used_ring, status, bells: window.base & !0xfff, vectors: None });
        }
        let id = 0x1040 + kind as u16;
        Registers::of_function(&pci_functions().find(|function| function.id() == (0x1af4, id))?)
    }

    fn of_function(function: &PciFunction) -> Option<Registers> {
        let place = |bar: u8, offset: u32| match function.bar(bar) {
            Ok(Bar::Memory { address, .. }) => Some(address + u64::from(offset)),
            _ => None,
        };
        let structure = |kind: u8| {
            let found = function.capabilities().find(|found| found.id == 9 && found.head[1] == kind)?;
            place(function.read8(found.offset + 4), function.read32(found.offset + 8))
        };
        let (common, bells) = (structure(1)?, structure(2)?);
        let table = function.capabilities().find(|found| found.id == 0x11)?;
        let table = function.read32(table.offset + 4);
        let vectors = place(table as u8 & 7, table & !7);
        Some(Registers { used_ring: common + 48, status: common + 20, bells, vectors })
    }
}

fn wait_for(queue: &mut Queue) -> Result<(Buffer, usize), &'static str> {
    let until = platform::now() + 1_000_000_000;
    while platform::now() < until {
        if let Some(answer) = queue.take().map_err(|_| "the device broke the rules")? {
            return Ok(answer);
        }
        platform::wait(Some(platform::now() + 1_000_000));
    }
    Err("the device gave nothing within a second")
}

/// Long enough for a device to do what it was told.
fn pause() {
    let until = platform::now() + 20_000_000;
    while platform::now() < until {
        platform::wait(Some(until));
    }
}

/// Memory that ring 3 may only read: text, rodata; where it is, and what is in it.
fn witnesses() -> Vec<(u64, [u8; 64])> {
    let read = |address: *const u8| {
        // SAFETY: text and rodata are longer than this, and stay as they are.
        (address as u64, unsafe { address.cast::<[u8; 64]>().read_volatile() })
    };
    [read(dma as *const u8), read(RODATA.as_ptr())].into()
}

static RODATA: [u8; 64] = [0x5a; 64];

/// Memory that ring 3 can't even read: who writes there takes the machine down.
const SECRET: [fn() -> u64; 2] = [page_tables, gate];

fn page_tables() -> u64 {
    unsafe extern "C" {
        static __pool_start: u8;
    }
    &raw const __pool_start as u64
}

fn gate() -> u64 {
    unsafe extern "C" {
        static __gate_start: u8;
    }
    &raw const __gate_start as u64
}

/// Writes at an address, whatever is there.
#[inline(never)]
unsafe fn store<T>(address: u64, value: T) -> Outcome {
    // SAFETY: none, see the callers.
    unsafe { (address as *mut T).write_volatile(value) };
    Ok(())
}
