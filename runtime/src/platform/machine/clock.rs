//! Time: the time stamp counter, and what the hypervisor says of it.
//!
//! The counter's rate comes from the first of these that is there: KVM's clock page (which
//! also follows migration), the hypervisor's timing leaf, CPUID leaf 0x15, QEMU's emulated
//! APIC timer (1 GHz), the legacy timer, CPUID leaf 0x16.

use core::arch::x86_64::__cpuid;
use core::cell::Cell;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use super::calendar::CmosTime;
use super::{OneThread, apic, calls, cpu, ports};

const NS_PER_S: u64 = 1_000_000_000;
const HYPERVISOR_LEAF: u32 = 0x4000_0000;
const KVM: [u32; 3] = [0x4b4d_564b, 0x564b_4d56, 0x4d];
const TCG: [u32; 3] = [0x5447_4354, 0x4354_4743, 0x4743_5447];
const KVM_CLOCK: u32 = 1 << 3;
const MSR_KVM_WALL_CLOCK: u32 = 0x4b56_4d00;
const MSR_KVM_SYSTEM_TIME: u32 = 0x4b56_4d01;
/// QEMU emulates the local APIC with a timer of 1 GHz.
const TCG_APIC_KHZ: u64 = 1_000_000;

#[derive(Clone, Copy)]
struct State {
    /// KVM keeps [`PAGE`] up to date.
    kvm: bool,
    /// Time stamp counter that `base_ns` belongs to, without the page.
    entry_tsc: u64,
    /// The page's time at entry.
    entry_ns: u64,
    /// Nanoseconds per tick, times 2³².
    ns_per_tick: u64,
    /// Ticks per nanosecond, times 2³².
    ticks_per_ns: u64,
    /// Nanoseconds since 1970 at entry.
    wall_at_entry: Option<u64>,
    main_tsc: u64,
    seal_ticks: u64,
}

static STATE: OneThread<Cell<State>> = OneThread::new(Cell::new(State {
    kvm: false,
    entry_tsc: 0,
    entry_ns: 0,
    ns_per_tick: 0,
    ticks_per_ns: 0,
    wall_at_entry: None,
    main_tsc: 0,
    seal_ticks: 0,
}));

/// The last time given out.
static LAST: AtomicU64 = AtomicU64::new(0);

/// `pvclock_vcpu_time_info`, written by KVM. An odd version means that it is being written.
#[repr(C, align(64))]
struct Page {
    version: AtomicU32,
    padding: u32,
    tsc: AtomicU64,
    ns: AtomicU64,
    multiplier: AtomicU32,
    shift_and_flags: AtomicU32,
}

static PAGE: Page = Page {
    version: AtomicU32::new(0),
    padding: 0,
    tsc: AtomicU64::new(0),
    ns: AtomicU64::new(0),
    multiplier: AtomicU32::new(0),
    shift_and_flags: AtomicU32::new(0),
};

/// `pvclock_wall_clock`: the time since 1970 at which the page's time was 0.
#[repr(C, align(16))]
struct WallPage {
    version: AtomicU32,
    seconds: AtomicU32,
    nanoseconds: AtomicU32,
}

static WALL_PAGE: WallPage =
    WallPage { version: AtomicU32::new(0), seconds: AtomicU32::new(0), nanoseconds: AtomicU32::new(0) };

/// When the image was entered, and when its main function was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BootTimes {
    /// Time stamp counter at the monitor's jump to the image.
    pub entry: u64,
    /// Time stamp counter when `__unik_main` was called.
    pub main: u64,
    /// Ticks of the time stamp counter that the seal took; 0 before it.
    pub seal: u64,
    /// Ticks of the time stamp counter per millisecond.
    pub khz: u64,
}

impl BootTimes {
    /// Microseconds from entry to main.
    #[must_use]
    pub fn entry_to_main_us(&self) -> u64 {
        self.main.wrapping_sub(self.entry).saturating_mul(1000) / self.khz.max(1)
    }

    /// Microseconds that the seal took.
    #[must_use]
    pub fn seal_us(&self) -> u64 {
        self.seal.saturating_mul(1000) / self.khz.max(1)
    }
}

/// How long boot took, in the terms of the time stamp counter.
#[must_use]
pub fn boot_times() -> BootTimes {
    let state = STATE.get();
    let khz = (u128::from(state.ticks_per_ns) * 1_000_000) >> 32;
    BootTimes { entry: state.entry_tsc, main: state.main_tsc, seal: state.seal_ticks, khz: khz as u64 }
}

/// Finds the time. The monitor entered the image at `entry_tsc`.
///
/// # Panics
/// If nothing tells the rate of the time stamp counter.
pub fn start(entry_tsc: u64) {
    let hypervisor = hypervisor();
    let mut state = State { entry_tsc, ..STATE.get() };
    let khz = if hypervisor.is_some_and(has_kvm_clock) && start_kvm_clock() {
        state.kvm = true;
        let khz = page_khz();
        let now = cpu::tsc();
        let since_entry = ns_of(now.saturating_sub(entry_tsc), ratio(1_000_000, khz));
        state.entry_ns = page_ns(now).saturating_sub(since_entry);
        khz
    } else {
        tsc_khz(hypervisor)
    };
    state.ns_per_tick = ratio(1_000_000, khz);
    state.ticks_per_ns = ratio(khz, 1_000_000);
    STATE.set(state);
    if apic::is_countdown() {
        assert!(apic::start_countdown(), "the local APIC's timer doesn't count");
    }
    let wall_at_entry = if state.kvm { kvm_wall_clock(state.entry_ns) } else { cmos_clock() };
    STATE.set(State { wall_at_entry, ..state });
}

/// Marks the moment before main.
pub fn enter_main() {
    STATE.set(State { main_tsc: cpu::tsc(), ..STATE.get() });
}

/// Says how long the seal took, in ticks of the time stamp counter.
pub fn sealed(ticks: u64) {
    STATE.set(State { seal_ticks: ticks, ..STATE.get() });
}

/// Nanoseconds since entry.
pub fn now() -> u64 {
    let state = STATE.get();
    let tsc = cpu::tsc();
    let ns = if state.kvm {
        page_ns(tsc).saturating_sub(state.entry_ns)
    } else {
        ns_of(tsc.saturating_sub(state.entry_tsc), state.ns_per_tick)
    };
    // The page's rate is adjusted now and then, and may step back by a few nanoseconds.
    let last = LAST.load(Ordering::Relaxed);
    LAST.store(last.max(ns), Ordering::Relaxed);
    last.max(ns)
}

/// Nanoseconds since 1970.
pub fn wall_clock() -> Option<u64> {
    STATE.get().wall_at_entry.map(|at_entry| at_entry.saturating_add(now()))
}

/// Ticks of the time stamp counter that `ns` nanoseconds take.
pub fn ticks(ns: u64) -> u64 {
    ns_of(ns, STATE.get().ticks_per_ns)
}

/// `amount × ratio / 2³²`.
fn ns_of(amount: u64, ratio: u64) -> u64 {
    ((u128::from(amount) * u128::from(ratio)) >> 32) as u64
}

/// `numerator / denominator × 2³²`, for a numerator below 2³².
fn ratio(numerator: u64, denominator: u64) -> u64 {
    (numerator << 32) / denominator.max(1)
}

#[derive(Clone, Copy)]
struct Hypervisor {
    leaf: u32,
    last_leaf: u32,
    signature: [u32; 3],
}

/// The hypervisor that shows itself in CPUID; KVM's, if it also shows another's face.
fn hypervisor() -> Option<Hypervisor> {
    if !cpu::features().hypervisor {
        return None;
    }
    let at = |leaf: u32| {
        let found = __cpuid(leaf);
        Hypervisor { leaf, last_leaf: found.eax, signature: [found.ebx, found.ecx, found.edx] }
    };
    let first = at(HYPERVISOR_LEAF);
    let second = || Some(at(HYPERVISOR_LEAF + 0x100)).filter(|other| other.signature == KVM);
    if first.signature == KVM || first.signature == TCG { Some(first) } else { second().or(Some(first)) }
}

fn has_kvm_clock(hypervisor: Hypervisor) -> bool {
    hypervisor.signature == KVM && __cpuid(hypervisor.leaf + 1).eax & KVM_CLOCK != 0
}

/// Asks KVM to keep [`PAGE`]; whether it does.
fn start_kvm_clock() -> bool {
    // SAFETY: CPUID has the register. KVM writes the 32 bytes at the address, which are
    // atomics that lie in one page and are used for nothing else, for good.
    unsafe { calls::write_msr(MSR_KVM_SYSTEM_TIME, &raw const PAGE as u64 | 1) };
    PAGE.version.load(Ordering::Acquire) != 0 && PAGE.multiplier.load(Ordering::Relaxed) != 0
}

/// The page's time at `tsc` (Linux, `Documentation/virt/kvm/x86/msr.rst`).
fn page_ns(tsc: u64) -> u64 {
    loop {
        let version = PAGE.version.load(Ordering::Acquire);
        let at = PAGE.tsc.load(Ordering::Relaxed);
        let ns = PAGE.ns.load(Ordering::Relaxed);
        let multiplier = PAGE.multiplier.load(Ordering::Relaxed);
        let shift = page_shift();
        core::sync::atomic::fence(Ordering::Acquire);
        if version & 1 == 0 && version == PAGE.version.load(Ordering::Relaxed) {
            let ticks = tsc.saturating_sub(at);
            let ticks = if shift < 0 { ticks >> -shift } else { ticks << shift };
            return ns.wrapping_add(ns_of(ticks, multiplier.into()));
        }
    }
}

/// The power of two that ticks are multiplied by first, from -31 to 31.
fn page_shift() -> i32 {
    let shift = PAGE.shift_and_flags.load(Ordering::Relaxed) as u8 as i8;
    i32::from(shift).clamp(-31, 31)
}

fn page_khz() -> u64 {
    let khz = ratio(1_000_000, PAGE.multiplier.load(Ordering::Relaxed).into());
    let shift = page_shift();
    if shift < 0 { khz << -shift } else { khz >> shift }
}

fn kvm_wall_clock(entry_ns: u64) -> Option<u64> {
    // SAFETY: as in `start_kvm_clock`, with 12 bytes, written now and never again.
    unsafe { calls::write_msr(MSR_KVM_WALL_CLOCK, &raw const WALL_PAGE as u64) };
    let version = WALL_PAGE.version.load(Ordering::Acquire);
    let seconds = u64::from(WALL_PAGE.seconds.load(Ordering::Relaxed));
    let nanoseconds = u64::from(WALL_PAGE.nanoseconds.load(Ordering::Relaxed));
    (version != 0 && seconds != 0).then(|| seconds * NS_PER_S + nanoseconds + entry_ns)
}

/// The rate of the time stamp counter without KVM's clock.
fn tsc_khz(hypervisor: Option<Hypervisor>) -> u64 {
    let leaf = |number: u32| (__cpuid(0).eax >= number).then(|| __cpuid(number));
    if let Some(found) = hypervisor.filter(|found| found.last_leaf >= found.leaf + 0x10) {
        let khz = __cpuid(found.leaf + 0x10).eax;
        if khz != 0 {
            return khz.into();
        }
    }
    if let Some(crystal) = leaf(0x15) {
        // SDM volume 3, 19.7.3: the crystal's rate times a ratio.
        if crystal.eax != 0 && crystal.ebx != 0 && crystal.ecx != 0 {
            return u64::from(crystal.ecx) * u64::from(crystal.ebx) / u64::from(crystal.eax) / 1000;
        }
    }
    let is_tcg = hypervisor.is_some_and(|found| found.signature == TCG) && apic::is_countdown();
    if let Some(counts) = is_tcg.then(apic::counts_per_tick).flatten() {
        return ratio(TCG_APIC_KHZ, counts);
    }
    if let Some(khz) = legacy_timer_khz() {
        return khz;
    }
    if let Some(mhz) = leaf(0x16).map(|base| base.eax & 0xffff).filter(|mhz| *mhz != 0) {
        return u64::from(mhz) * 1000;
    }
    panic!("nothing tells the rate of the time stamp counter")
}

/// Measures for 10 ms against channel 2 of the 8254; `None` if there is none.
fn legacy_timer_khz() -> Option<u64> {
    const HZ: u64 = 1_193_182;
    const COUNT: u64 = HZ / 100;
    const CONTROL: u16 = 0x61;
    const OUTPUT: u8 = 1 << 5;
    /// Cycles after which it is clear that it doesn't count: a tenth of a second at 5 GHz.
    const PATIENCE: u64 = 500_000_000;
    // SAFETY: a timer and the speaker's gate, which reach no memory.
    unsafe {
        let control = ports::in8(CONTROL) & !3;
        ports::out8(CONTROL, control);
        ports::out8(0x43, 0xb0); // channel 2, both bytes, mode 0
        ports::out8(0x42, COUNT as u8);
        ports::out8(0x42, (COUNT >> 8) as u8);
        ports::out8(CONTROL, control | 1);
        let start = cpu::tsc();
        let mut looks = 0;
        while ports::in8(CONTROL) & OUTPUT == 0 {
            looks += 1;
            if cpu::tsc().wrapping_sub(start) > PATIENCE {
                return None;
            }
        }
        let ticks = cpu::tsc().wrapping_sub(start);
        (looks > 0).then(|| ticks * HZ / COUNT / 1000)
    }
}

/// The battery-backed clock, which is taken to be in UTC; `None` if there is none.
fn cmos_clock() -> Option<u64> {
    let read = |register: u8| {
        // SAFETY: the clock's registers, and NMI left enabled; neither reaches memory.
        unsafe {
            ports::out8(0x70, register);
            ports::in8(0x71)
        }
    };
    const STATUS_A: u8 = 10;
    const STATUS_B: u8 = 11;
    const UPDATING: u8 = 1 << 7;
    const BINARY: u8 = 1 << 2;
    const HOURS_24: u8 = 1 << 1;
    let status = read(STATUS_B);
    if status == 0xff || status == 0 {
        return None;
    }
    let sample = || [0, 2, 4, 7, 8, 9, 0x32].map(read);
    // Two equal samples outside an update are one moment.
    let fields = (0..100).find_map(|_| {
        if read(STATUS_A) & UPDATING != 0 {
            return None;
        }
        let first = sample();
        (first == sample()).then_some(first)
    })?;
    let at_entry = now();
    let seconds =
        CmosTime { fields, binary: status & BINARY != 0, hours_24: status & HOURS_24 != 0 }.unix()?;
    seconds.checked_mul(NS_PER_S)?.checked_sub(at_entry)
}
