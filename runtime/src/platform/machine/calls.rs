//! Calls into the [gate](super::gate): wait, write and end, and setup until the seal.

use core::arch::asm;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use super::gate;

/// Writes that [`add_write`] takes; a power of two.
pub const SLOTS: usize = 64;

const OP_WRITE_MSR: u32 = 0;
/// Setup: reads an MSR.
pub const OP_READ_MSR: u32 = 1;
/// Setup: loads CR4 and CR3.
pub const OP_LOAD: u32 = 2;
const OP_SEAL: u32 = 3;

unsafe extern "C" {
    static gate_eoi_xapic: u8;
    static gate_eoi_x2apic: u8;
    static gate_arm_deadline: u8;
    static gate_arm_x2apic: u8;
    static gate_arm_xapic: u8;
    static gate_arm: AtomicU64;
    static gate_eoi: AtomicU64;
    static gate_deadline: AtomicU32;
    static gate_x2apic: AtomicU32;
    static gate_tick_part: AtomicU32;
    static gate_tick_part_tsc: AtomicU64;
    static gate_tick_slack: AtomicU32;
    static gate_tick_limit: AtomicU32;
    static gate_slot_registers: [AtomicU64; SLOTS];
    static gate_slot_values: [AtomicU32; SLOTS];
}

/// How the timer is armed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arm {
    /// The time stamp counter reaches a value.
    TscDeadline,
    /// The local APIC counts down.
    OneShot,
}

/// Chooses how the gate arms the timer and ends interrupts. Before the seal only.
pub fn choose_apic(x2apic: bool, arm: Arm) {
    // SAFETY: labels, and variables that ring 3 may write until the seal.
    unsafe {
        let label = match arm {
            Arm::TscDeadline => &raw const gate_arm_deadline,
            Arm::OneShot if x2apic => &raw const gate_arm_x2apic,
            Arm::OneShot => &raw const gate_arm_xapic,
        };
        let eoi = if x2apic { &raw const gate_eoi_x2apic } else { &raw const gate_eoi_xapic };
        gate_arm.store(label as u64, Ordering::Relaxed);
        gate_eoi.store(eoi as u64, Ordering::Relaxed);
        gate_deadline.store((arm == Arm::TscDeadline).into(), Ordering::Relaxed);
        gate_x2apic.store(x2apic.into(), Ordering::Relaxed);
    }
}

/// Sets the length of the watchdog's ticks, by the 4,096th part of a second: in the timer's unit,
/// at most [`MOST_TICK_PART`](super::watchdog::MOST_TICK_PART), and in those of the time stamp
/// counter. A tick that comes more than `slack` of the latter too late isn't counted. Before the
/// seal only.
pub fn set_ticks(part: u32, part_tsc: u64, slack: u32) {
    // SAFETY: variables that ring 3 may write until the seal.
    unsafe {
        gate_tick_part.store(part, Ordering::Relaxed);
        gate_tick_part_tsc.store(part_tsc, Ordering::Relaxed);
        gate_tick_slack.store(slack, Ordering::Relaxed);
    }
}

/// Sets how many ticks there may be without a wait. Before the seal only.
pub fn set_tick_limit(limit: u32) {
    // SAFETY: a variable that ring 3 may write until the seal.
    unsafe { gate_tick_limit.store(limit, Ordering::Relaxed) }
}

/// What a wait does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Sleep until an interrupt; the timer is as it was.
    Sleep,
    /// Arm the timer with this (a TSC value, or a count of the local APIC), then sleep. What is
    /// more than a second ahead counts as a second.
    Arm(u64),
    /// Take a pending interrupt if there is one; don't sleep.
    Look,
}

/// Enters the gate to wait. The vector of the interrupt taken, if there was one, and whether that
/// came before the call: then the timer wasn't armed.
pub fn wait(how: Wait) -> (Option<u8>, bool) {
    let (selector, value) = match how {
        Wait::Sleep => (0_u32, 0),
        Wait::Arm(value) => (1, value),
        Wait::Look => (2, 0),
    };
    let (stub, slept): (u64, u64);
    // SAFETY: the call pushes one word (no `nostack`, so the compiler left room); the gate
    // changes no memory of ring 3, and no register but those named.
    unsafe {
        asm!(
            "call gate_wait_call",
            in("edi") selector,
            inout("rax") value => _,
            out("rdx") _,
            out("rcx") slept,
            out("rsi") stub,
        );
    }
    (gate::interrupt_of(stub), slept == 0)
}

/// Lets ring 3 have the gate write `value` to the register at `address`, with [`write`], for as
/// long as the image runs: the slot to name; `None` if all are taken. Before the seal only.
///
/// # Safety
/// The register takes this value at any time without harm to memory, and `address` stays
/// mapped for ring 0.
pub unsafe fn add_write(address: u64, value: u32) -> Option<u32> {
    // SAFETY: variables that ring 3 may write until the seal.
    let (registers, values) = unsafe { (&gate_slot_registers, &gate_slot_values) };
    let slot = registers.iter().position(|register| register.load(Ordering::Relaxed) == 0)?;
    values[slot].store(value, Ordering::Relaxed);
    registers[slot].store(address, Ordering::Relaxed);
    Some(slot as u32)
}

/// Enters the gate to do the write of a slot that [`add_write`] gave.
pub fn write(slot: u32) {
    // SAFETY: the call pushes one word; the gate changes no register but those named. The
    // write's effect is argued for by the caller of `add_write`. Memory is an input: a device
    // may read what was written before.
    unsafe { asm!("call gate_write_call", inout("rdi") u64::from(slot) => _, out("rax") _, out("rcx") _) }
}

/// Enters the gate to end the machine with a value for its exit port. A fault's value is refused,
/// as a breakpoint that is nobody's: it takes a fault.
pub fn end(value: u8) -> ! {
    // SAFETY: the gate never returns from here.
    unsafe { asm!("call gate_end_call", "ud2", in("edi") u32::from(value), options(noreturn)) }
}

/// Writes a model-specific register.
///
/// # Safety
/// Not after the seal. The value must be one that the register takes, and its effect must
/// leave the running code its memory.
pub unsafe fn write_msr(msr: u32, value: u64) {
    // SAFETY: the gate runs `wrmsr` with these; the caller argues for the effect.
    unsafe {
        asm!("call gate_setup_call", in("edi") OP_WRITE_MSR, in("ecx") msr,
            in("eax") value as u32, in("edx") (value >> 32) as u32);
    }
}

/// Reads a model-specific register.
///
/// # Safety
/// Not after the seal. The processor must have the register.
pub unsafe fn read_msr(msr: u32) -> u64 {
    let (low, high): (u32, u32);
    // SAFETY: the gate runs `rdmsr`, which changes nothing.
    unsafe {
        asm!("call gate_setup_call", in("edi") OP_READ_MSR, in("ecx") msr,
            out("eax") low, out("edx") high);
    }
    u64::from(high) << 32 | u64::from(low)
}

/// Sets CR4, and switches to the page tables at `root`.
///
/// # Safety
/// Not after the seal. The processor must have every bit of CR4 that is set; the tables must
/// map what runs, as it is mapped now.
pub unsafe fn load_page_tables(root: u64, cr4: u64) {
    // SAFETY: the caller's.
    unsafe { asm!("call gate_setup_call", in("edi") OP_LOAD, in("rsi") root, in("rdx") cr4) }
}

/// Arms the timer, by an MSR and its value; switches to the sealed page tables and CR4, closes
/// the setup call, and lets ring 3 go on with interrupts on.
///
/// # Safety
/// Once. The tables must map what ring 3 goes on to use, and the gate for ring 0 alone.
pub unsafe fn seal(root: u64, cr4: u64, timer: (u32, u64)) {
    let (msr, value) = timer;
    // SAFETY: the caller's.
    unsafe {
        asm!("call gate_setup_call", in("edi") OP_SEAL, in("rsi") root,
            in("r8") gate::sealed_breakpoint(), in("r9") cr4,
            in("ecx") msr, in("eax") value as u32, in("edx") (value >> 32) as u32);
    }
}
