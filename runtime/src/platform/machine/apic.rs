//! The local APIC: its timer, which ends sleeps (SDM volume 3, 11.5).
//!
//! With x2APIC its registers are MSRs, else a page. The timer fires at a value of the time
//! stamp counter where it can, else counts down once. Both choices are the gate's, too.

use core::cell::Cell;

use super::calls::{self, Arm, Wait};
use super::gate::{SPURIOUS_VECTOR, TIMER_VECTOR};
use super::{OneThread, clock, cpu, paging, ports};

const MSR_APIC_BASE: u32 = 0x1b;
const MSR_X2APIC: u32 = 0x800;
const MSR_TSC_DEADLINE: u32 = 0x6e0;
/// Images don't use it.
const MSR_FS_BASE: u32 = 0xc000_0100;
const BASE_ENABLED: u64 = 1 << 11;
const BASE_X2APIC: u64 = 1 << 10;
const XAPIC: u64 = 0xfee0_0000;

// Registers, by their x2APIC number; the page has them at 16 times that.
const ID: u32 = 0x02;
const SPURIOUS: u32 = 0x0f;
const LVT_TIMER: u32 = 0x32;
const LVT_LINT0: u32 = 0x35;
const LVT_LINT1: u32 = 0x36;
const INITIAL_COUNT: u32 = 0x38;
const CURRENT_COUNT: u32 = 0x39;
const DIVIDE: u32 = 0x3e;

const SOFTWARE_ENABLED: u32 = 1 << 8;
const MASKED: u32 = 1 << 16;
const MODE_DEADLINE: u32 = 0b10 << 17;
const DELIVER_NMI: u32 = 0b100 << 8;
const DIVIDE_BY_1: u32 = 0b1011;

const PIC_MASKS: [u16; 2] = [0x21, 0xa1];

#[derive(Clone, Copy)]
struct Timer {
    /// Counts of the timer per 2³² ticks of the time stamp counter; 0 if not measured.
    counts_per_tick: u64,
    /// The time stamp counter at which it will fire; `None` if it has fired, or wasn't armed.
    armed: Option<u64>,
}

static TIMER: OneThread<Cell<Timer>> = OneThread::new(Cell::new(Timer { counts_per_tick: 0, armed: None }));

/// Switches the local APIC on, its timer silent, and shuts the legacy interrupt controller
/// out.
pub fn start() {
    for port in PIC_MASKS {
        // SAFETY: masks a legacy interrupt controller, if there is one.
        unsafe { ports::out8(port, 0xff) };
    }
    let features = cpu::features();
    let arm = if features.tsc_deadline { Arm::TscDeadline } else { Arm::OneShot };
    calls::choose_apic(features.x2apic, arm);
    if features.x2apic {
        // SAFETY: the register exists on every processor with long mode. x2APIC can be
        // switched on from any state of an enabled APIC, and CPUID has it.
        unsafe {
            let base = calls::read_msr(MSR_APIC_BASE);
            calls::write_msr(MSR_APIC_BASE, base | BASE_ENABLED | BASE_X2APIC);
        }
    } else {
        assert!(paging::map_local_apic(XAPIC).is_ok(), "no page table is left for the local APIC");
    }
    write(SPURIOUS, SOFTWARE_ENABLED | u32::from(SPURIOUS_VECTOR));
    write(LVT_LINT0, MASKED);
    // Where boards connect their NMI, and monitors inject one.
    write(LVT_LINT1, DELIVER_NMI);
    match arm {
        Arm::TscDeadline => write(LVT_TIMER, MODE_DEADLINE | u32::from(TIMER_VECTOR)),
        Arm::OneShot => {
            write(DIVIDE, DIVIDE_BY_1);
            write(LVT_TIMER, MASKED | u32::from(TIMER_VECTOR));
        }
    }
}

/// Counts of the timer per 2³² ticks of the time stamp counter, measured once, for half a
/// millisecond or so; `None` if the timer doesn't count.
pub fn counts_per_tick() -> Option<u64> {
    let timer = TIMER.get();
    if timer.counts_per_tick == 0 {
        TIMER.set(Timer { counts_per_tick: measure_counts_per_tick(), ..timer });
    }
    Some(TIMER.get().counts_per_tick).filter(|counts| *counts > 0)
}

fn measure_counts_per_tick() -> u64 {
    /// The timer's count and the time stamp counter at one moment.
    #[inline(never)] // so that an emulator has translated it when it counts
    fn sample() -> (u32, u64) {
        let mut best = (0, 0, u64::MAX);
        // The quickest of a few reads is the one that nothing came in between.
        for _ in 0..8 {
            let before = cpu::tsc();
            let count = read(CURRENT_COUNT);
            let took = cpu::tsc().wrapping_sub(before);
            if took < best.2 {
                best = (count, before + took / 2, took);
            }
        }
        (best.0, best.1)
    }
    const TICKS: u64 = 1_500_000;
    write(DIVIDE, DIVIDE_BY_1);
    write(INITIAL_COUNT, u32::MAX);
    sample();
    let (first_count, first_tsc) = sample();
    while cpu::tsc().wrapping_sub(first_tsc) < TICKS {
        core::hint::spin_loop();
    }
    let (last_count, last_tsc) = sample();
    write(INITIAL_COUNT, 0);
    let counts = u64::from(first_count.wrapping_sub(last_count));
    (counts << 32) / (last_tsc - first_tsc).max(1)
}

/// Lets the countdown timer fire. Whether it counts at all.
pub fn start_countdown() -> bool {
    let counts = counts_per_tick().is_some();
    write(LVT_TIMER, u32::from(TIMER_VECTOR));
    counts
}

/// Whether the timer counts down rather than taking deadlines.
pub fn is_countdown() -> bool {
    !cpu::features().tsc_deadline
}

/// How to wait for `ns` nanoseconds, at most a second.
///
/// A timer that is armed for earlier is left alone: waking early is cheaper than arming
/// twice, when it is mostly packets that end a sleep.
pub fn wait_until(ns: u64) -> Wait {
    let timer = TIMER.get();
    let now = cpu::tsc();
    let ticks = clock::ticks(ns).max(1);
    let deadline = now.saturating_add(ticks);
    // One that is due may have been taken while tasks ran.
    if timer.armed.is_some_and(|armed| armed > now && armed <= deadline) {
        return Wait::Sleep;
    }
    TIMER.set(Timer { armed: Some(deadline), ..timer });
    if is_countdown() { Wait::Arm(counts(ns)) } else { Wait::Arm(deadline) }
}

/// `ns` nanoseconds in the timer's unit, at least 1; for a countdown at most 2³² − 1.
pub fn counts(ns: u64) -> u64 {
    let ticks = clock::ticks(ns).max(1);
    if is_countdown() {
        let counts = (u128::from(ticks) * u128::from(TIMER.get().counts_per_tick)) >> 32;
        (counts as u64).clamp(1, u32::MAX.into())
    } else {
        ticks
    }
}

/// Arms the timer for `length` in its unit from now, by the write to an MSR that is returned.
/// An xAPIC, which has no such MSR, is armed here; the write is then one without effect.
pub fn arm_by_msr(length: u64) -> (u32, u64) {
    if !is_countdown() {
        (MSR_TSC_DEADLINE, cpu::tsc().saturating_add(length))
    } else if cpu::features().x2apic {
        (MSR_X2APIC + INITIAL_COUNT, length)
    } else {
        write(INITIAL_COUNT, length as u32);
        (MSR_FS_BASE, 0)
    }
}

/// Nothing is armed, as far as is known: the timer's interrupt was taken, or arming it came to nothing.
pub fn expired() {
    TIMER.set(Timer { armed: None, ..TIMER.get() });
}

/// The identity of this processor's local APIC, as I/O APICs and messages name it. Before the seal only.
///
/// CPUID would tell it, too, but where a host can't intercept that instruction in ring 3, what
/// comes is the identity of whichever host processor it ran on.
pub fn id() -> u8 {
    let id = read(ID);
    (if cpu::features().x2apic { id } else { id >> 24 }) as u8
}

fn read(register: u32) -> u32 {
    if cpu::features().x2apic {
        // SAFETY: x2APIC is on, and these registers can be read.
        unsafe { calls::read_msr(MSR_X2APIC + register) as u32 }
    } else {
        // SAFETY: `start` mapped the page, and all of this runs before the seal.
        unsafe { (XAPIC as *const u32).add(register as usize * 4).read_volatile() }
    }
}

fn write(register: u32, value: u32) {
    if cpu::features().x2apic {
        // SAFETY: x2APIC is on, and the values are of the registers' formats.
        unsafe { calls::write_msr(MSR_X2APIC + register, value.into()) }
    } else {
        // SAFETY: as in `read`; a timer and an interrupt mask, which reach no memory.
        unsafe { (XAPIC as *mut u32).add(register as usize * 4).write_volatile(value) }
    }
}
