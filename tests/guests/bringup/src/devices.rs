//! Devices and their interrupts, tried on a virtio-rng (virtio 1.2, 5.4): the smallest
//! device there is, with one queue and no configuration.

use alloc::sync::Arc;
use alloc::task::Wake;
use core::sync::atomic::{AtomicU32, Ordering};
use core::task::{Context, Poll, Waker};

use unik::platform;
use unik::platform::machine::device::{self, Bar, Dma, Interrupt, MapError, Mapped, PciFunction, Trigger};

use crate::checks::Outcome;
use crate::{argument, say};

const BYTES: u32 = 64;

/// Names the devices; asks a virtio-rng for bytes, to see its interrupt, if there is one.
pub fn devices() -> Outcome {
    let mut woken = 0;
    for window in device::mmio_windows() {
        let registers = device::map(window.base, window.size).map_err(|_| "map")?;
        let (magic, version, kind) =
            (registers.read::<u32>(0), registers.read::<u32>(4), registers.read::<u32>(8));
        if kind == 0 {
            continue;
        }
        say!(
            "mmio {:x}+{} gsi {}: {magic:x} version {version} kind {kind}",
            window.base,
            window.size,
            window.gsi
        );
        if kind == 4 && version == 2 {
            let interrupt = Interrupt::from_gsi(window.gsi, Trigger::Edge).map_err(|_| "route")?;
            let rounds = argument("rounds").and_then(|text| text.parse().ok()).unwrap_or(3);
            let worst = mmio_entropy(&registers, &interrupt, rounds)?;
            say!("  {rounds} interrupts, after {} us at worst", worst / 1000);
            woken += rounds;
        }
    }
    for function in device::pci_functions() {
        let (vendor, kind) = function.id();
        say!("pci {}: {vendor:04x}:{kind:04x} class {:x?}", function.address(), function.class());
        if (vendor, kind) == (0x1af4, 0x1044) {
            pci_entropy(function)?;
            woken += 1;
        }
    }
    if !matches!(device::map(0x10_0000, 4096), Err(MapError::NotADevice)) {
        return Err("memory was mapped as a device");
    }
    if argument("expect") == Some("interrupt") && woken == 0 {
        return Err("no device raised an interrupt");
    }
    platform::seal();
    if !matches!(device::map(0xd000_0000, 4096), Err(MapError::Sealed)) {
        return Err("a page was mapped after the seal");
    }
    if device::pci_functions().next().is_some() {
        return Err("PCI answers after the seal");
    }
    platform::wait(Some(platform::now() + 1_000_000));
    Ok(())
}

/// Counts how often it is woken.
struct Count(AtomicU32);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// Waits up to a second for the interrupt, as the executor would; for how long, in ns.
fn wait_for(interrupt: &Interrupt) -> Result<u64, &'static str> {
    let count = Arc::new(Count(AtomicU32::new(0)));
    let waker = Waker::from(Arc::clone(&count));
    let mut context = Context::from_waker(&waker);
    let start = platform::now();
    let until = start + 1_000_000_000;
    loop {
        if let Poll::Ready(times) = interrupt.poll(&mut context) {
            let woken = count.0.load(Ordering::Relaxed);
            // Nobody was to be woken if it had fired before the first poll.
            if times == 0 || woken > 1 {
                return Err("an interrupt was counted wrongly");
            }
            return Ok(platform::now() - start);
        }
        if platform::now() >= until {
            return Err("no interrupt within a second");
        }
        platform::wait(Some(until));
    }
}

/// One queue of one descriptor, in one page: descriptors at 0, available ring at 64, used
/// ring at 128, the buffer at 1024.
struct Queue(Dma, u16);

impl Queue {
    const AVAILABLE: u64 = 64;
    const USED: u64 = 128;
    const BUFFER: u64 = 1024;

    fn new() -> Result<Queue, &'static str> {
        let queue = Queue(Dma::new(4096).ok_or("no memory")?, 0);
        queue.write::<u64>(0, queue.0.phys() + Self::BUFFER);
        queue.write::<u32>(8, BYTES);
        queue.write::<u16>(12, 2); // the device writes
        Ok(queue)
    }

    /// Makes the one buffer available, again.
    fn offer(&mut self) {
        self.1 = self.1.wrapping_add(1);
        self.write::<u16>(Self::AVAILABLE + 4, 0);
        core::sync::atomic::fence(Ordering::SeqCst);
        self.write::<u16>(Self::AVAILABLE + 2, self.1);
        core::sync::atomic::fence(Ordering::SeqCst);
    }

    /// Whether the device used the buffer.
    fn check(&self) -> Outcome {
        let (index, bytes) = (self.read::<u16>(Self::USED + 2), self.read::<u32>(Self::USED + 8));
        if index == self.1 && bytes > 0 { Ok(()) } else { Err("the device used no buffer") }
    }

    fn write<T>(&self, offset: u64, value: T) {
        // SAFETY: every offset above is aligned for its type and inside the page.
        unsafe { self.0.as_ptr().add(offset as usize).cast::<T>().write_volatile(value) }
    }

    fn read<T>(&self, offset: u64) -> T {
        // SAFETY: as in `write`; all types here take any bits.
        unsafe { self.0.as_ptr().add(offset as usize).cast::<T>().read_volatile() }
    }
}

/// Sets the one queue up, up to the last status.
fn mmio_queue(registers: &Mapped) -> Result<Queue, &'static str> {
    let queue = Queue::new()?;
    let write = |offset: usize, value: u32| registers.write(offset, value);
    let address = |offset: usize, phys: u64| {
        write(offset, phys as u32);
        write(offset + 4, (phys >> 32) as u32);
    };
    write(0x70, 0); // reset
    write(0x70, 3); // acknowledge, driver
    write(0x24, 1); // features, upper half: version 1
    write(0x20, 1);
    write(0x70, 11);
    write(0x30, 0);
    write(0x38, 1);
    let phys = queue.0.phys();
    address(0x80, phys);
    address(0x90, phys + Queue::AVAILABLE);
    address(0xa0, phys + Queue::USED);
    write(0x44, 1);
    write(0x70, 15);
    Ok(queue)
}

/// Asks `rounds` times; the longest wait, in ns.
fn mmio_entropy(registers: &Mapped, interrupt: &Interrupt, rounds: u32) -> Result<u64, &'static str> {
    let mut queue = mmio_queue(registers)?;
    let mut worst = 0;
    for _ in 0..rounds {
        queue.offer();
        registers.write::<u32>(0x50, 0);
        worst = worst.max(wait_for(interrupt)?);
        registers.write::<u32>(0x64, registers.read(0x60));
        queue.check()?;
    }
    registers.write::<u32>(0x70, 0);
    // SAFETY: the device was reset, so it has forgotten the queue.
    unsafe { queue.0.free() };
    Ok(worst)
}

/// A virtio-mmio device after the seal: kick and acknowledgement through the gate, which work;
/// then `crime`, on the device's registers.
pub fn gate_writes(crime: &str) -> Outcome {
    let found = device::mmio_windows().find_map(|window| {
        let registers = device::map_for_gate(window.base, window.size).ok()?;
        (registers.read::<u32>(8) == 4).then_some((window, registers))
    });
    let Some((window, registers)) = found else {
        // Machines without virtio-mmio have nothing to try.
        say!("no virtio-mmio");
        return Ok(());
    };
    let interrupt = Interrupt::from_gsi(window.gsi, Trigger::Edge).map_err(|_| "route")?;
    let kick = registers.gate_write(0x50, 0).map_err(|_| "slot")?;
    let acknowledge = registers.gate_write(0x64, 3).map_err(|_| "slot")?;
    let mut queue = mmio_queue(&registers)?;
    platform::seal();
    for _ in 0..3 {
        queue.offer();
        kick.write();
        wait_for(&interrupt)?;
        acknowledge.write();
        queue.check()?;
    }
    if !matches!(registers.gate_write(0x50, 0), Err(MapError::Sealed)) {
        return Err("a write was added after the seal");
    }
    let start = platform::now();
    for _ in 0..100 {
        acknowledge.write();
    }
    say!("gate write: {} ns; the queue still works", (platform::now() - start) / 100);
    match crime {
        "none" => {}
        "read" => say!("{}", registers.read::<u32>(0)),
        // The address of the used ring.
        "write" => registers.write::<u32>(0xa0, 0x10_0000),
        // The timer put off for good; the device ends that sleep, and then nothing else comes.
        "loop" => {
            queue.offer();
            kick.write();
            crate::deaths::wait_at(u64::MAX);
            crate::deaths::spin();
        }
        // SAFETY: none: slot 2 isn't taken, and this must be a crash: its register is at 0.
        _ => unsafe { core::arch::asm!("call gate_write_call", in("edi") 2, clobber_abi("C")) },
    }
    Ok(())
}

fn map(
    phys: u64,
    length: u64,
    how: fn(u64, u64) -> Result<Mapped, MapError>,
) -> Result<Mapped, &'static str> {
    how(phys, length).map_err(|error| {
        say!("  map {phys:x}+{length:x}: {error}");
        "map"
    })
}

fn pci_entropy(function: PciFunction) -> Outcome {
    let mut queue = Queue::new()?;
    let mut common = None;
    let mut notify = None;
    for index in 0..6 {
        if let Ok(bar) = function.bar(index) {
            say!("  bar {index}: {bar:x?}");
        }
    }
    function.enable().map_err(|_| "enable")?;
    let mut msix = function.msix().map_err(|_| "msix")?;
    let interrupt = msix.route(0).map_err(|_| "route")?;
    for found in function.capabilities() {
        if found.id != 9 {
            continue;
        }
        let kind = function.read8(found.offset + 3);
        let bar = function.read8(found.offset + 4);
        let offset = u64::from(function.read32(found.offset + 8));
        let length = u64::from(function.read32(found.offset + 12));
        if !(1..=2).contains(&kind) {
            continue;
        }
        let Ok(Bar::Memory { address, .. }) = function.bar(bar) else { return Err("bar") };
        if kind == 1 {
            common = Some(map(address + offset, length, device::map_until_seal)?);
        } else {
            notify = Some(map(address + offset, length, device::map)?);
        }
    }
    let (Some(common), Some(notify)) = (common, notify) else { return Err("no virtio capabilities") };
    common.write(20, 0_u8);
    common.write(20, 3_u8);
    common.write(8, 1_u32);
    common.write(12, 1_u32);
    common.write(20, 11_u8);
    common.write(22, 0_u16);
    common.write(24, 1_u16);
    common.write(26, 0_u16);
    if common.read::<u16>(26) != 0 {
        return Err("the device refused its vector");
    }
    let phys = queue.0.phys();
    for (offset, address) in [(32, phys), (40, phys + Queue::AVAILABLE), (48, phys + Queue::USED)] {
        common.write(offset, address as u32);
        common.write(offset + 4, (address >> 32) as u32);
    }
    common.write(28, 1_u16);
    common.write(20, 15_u8);
    queue.offer();
    notify.write(0, 0_u16);
    say!("  interrupt after {} us", wait_for(&interrupt)? / 1000);
    common.write(20, 0_u8);
    queue.check()
}
