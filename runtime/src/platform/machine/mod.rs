//! The platform *machine*: x86-64 under a hypervisor, entered by the PVH protocol, ring 3
//! for life.
//!
//! ```text
//! boot (ring 0) ─▶ start ─▶ __unik_main ─▶ … seal … ─▶ exit
//!                   memory, page tables, APIC, clock      wait ⇄ gate (ring 0)
//! ```
//!
//! | file | holds |
//! |---|---|
//! | `boot` | monitor's entry to ring 3: PVH note, descriptor tables, boot page tables |
//! | `gate`, `calls` | the ring-0 code that stays: wait, write, end, interrupts, exceptions; setup until the seal |
//! | `watchdog` | ends an image whose task never gives way |
//! | `paging` | the page tables, W^X, guard pages, device pages, the seal |
//! | `ranges`, `memory`, `mem_functions` | memory map, heap; `memcpy` and its kin |
//! | `cpu`, `ports` | CPUID, TSC, RDRAND; port I/O |
//! | `apic`, `clock`, `calendar`, `interrupt` | timer, time, interrupts as events |
//! | `device`, `windows`, `pci` | what drivers use |
//! | `fault` | crash records: exceptions and panics |
//! | `console`, `exit` | serial port; the end |
//!
//! The generated crate defines `__unik_main` (through `unik::entry!`) and calls
//! [`seal`] when its device instances have started.

mod apic;
mod boot;
mod calendar;
mod calls;
mod clock;
mod console;
mod cpu;
pub mod device;
mod exit;
mod fault;
mod gate;
mod interrupt;
mod mem_functions;
mod memory;
mod paging;
mod pci;
mod ports;
mod ranges;
mod watchdog;
mod windows;

use super::{Ending, NoEntropy};
use crate::time::{Duration, sleep};
use crate::{executor, shutdown, start};

pub use clock::{BootTimes, boot_times};
pub use exit::exit;
pub use watchdog::{progress, set_limit as set_watchdog};

/// The address of a symbol of the linker script, as `u64`.
macro_rules! linker_symbol {
    ($name:ident) => {{
        unsafe extern "C" {
            safe static $name: u8;
        }
        &raw const $name as u64
    }};
}
use linker_symbol;

/// State of the one thread of ring 3.
///
/// There is one virtual processor, no interrupt runs code of ring 3, and there are no signal
/// handlers, so nothing ever runs beside or in between; the fault handler, which does, never
/// returns and reads no such state. More processors will each want their own.
#[repr(transparent)]
struct OneThread<T>(T);

impl<T> OneThread<T> {
    const fn new(value: T) -> Self {
        OneThread(value)
    }
}

// SAFETY: there is no second thread, as argued above.
unsafe impl<T> Sync for OneThread<T> {}

impl<T> core::ops::Deref for OneThread<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

/// Longest sleep, in nanoseconds: a wake-up that gets lost costs a second, not the appliance.
const LONGEST_SLEEP: u64 = 1_000_000_000;

/// What the monitor sends on the console for the appliance to end in order: EOT (ASCII 4), which
/// is Ctrl-D on a terminal.
const END: u8 = 4;
/// How often that is looked for: nobody tells ring 3 that a byte came, and a look is an exit of
/// the machine.
const LOOK_FOR_END: Duration = Duration::from_millis(250);

unsafe extern "Rust" {
    /// What `unik::entry!` defines: the wiring, then the executor.
    safe fn __unik_main() -> Ending;
}

/// The first Rust code, on the boot page tables: `start_info` as PVH defines it, the time
/// stamp counter as it was at entry.
extern "C" fn begin(start_info: u64, entry_tsc: u64) -> ! {
    cpu::start();
    gate::start();
    console::start();
    memory::start(start_info);
    paging::start();
    apic::start();
    clock::start(entry_tsc);
    watchdog::start();
    clock::enter_main();
    exit(__unik_main())
}

/// Nanoseconds since the monitor entered the image; never goes back.
#[must_use]
pub fn now() -> u64 {
    clock::now()
}

/// Nanoseconds since 1970-01-01 UTC, from the hypervisor's clock or the CMOS clock; `None`
/// if the machine has neither. Counts on from boot: later steps of the host's clock don't
/// show.
#[must_use]
pub fn wall_clock() -> Option<u64> {
    clock::wall_clock()
}

/// Sleeps until an interrupt, or `until` (as [`now`]), or a second: whichever is first.
/// Wakes the waker of the interrupt that it took. With `until` in the past it takes a
/// pending interrupt, if there is one, and doesn't sleep.
pub fn wait(until: Option<u64>) {
    let now = clock::now();
    let until = until.unwrap_or(u64::MAX).min(now.saturating_add(LONGEST_SLEEP));
    let how = if until <= now { calls::Wait::Look } else { apic::wait_until(until - now) };
    let (vector, was_before) = calls::wait(how);
    match vector {
        Some(gate::TIMER_VECTOR) => apic::expired(),
        Some(vector) => {
            if was_before && matches!(how, calls::Wait::Arm(_)) {
                // Who believed in it would sleep until the watchdog's next tick.
                apic::expired();
            }
            interrupt::raise(vector);
        }
        None => {}
    }
}

/// Writes all bytes to the serial port; drops what a port that is stuck for a second
/// doesn't take.
pub fn console_write(bytes: &[u8]) {
    console::write(bytes);
}

/// The boot line, as the monitor gave it: device windows, `at boot` parameters and all.
#[must_use]
pub fn boot_line() -> &'static str {
    memory::boot_line()
}

/// The words of the boot line.
pub fn boot_arguments() -> impl Iterator<Item = &'static str> {
    boot_line().split_ascii_whitespace()
}

/// Fills `bytes` from the processor's generator (RDRAND).
///
/// # Errors
/// [`NoEntropy`] if the processor has none, or it fails; `bytes` may then be half filled.
pub fn entropy(bytes: &mut [u8]) -> Result<(), NoEntropy> {
    for chunk in bytes.chunks_mut(8) {
        let word = cpu::random().ok_or(NoEntropy)?.to_le_bytes();
        chunk.copy_from_slice(&word[..chunk.len()]);
    }
    Ok(())
}

/// Seals the image: the gate's setup call closes, page tables and the gate's data vanish from
/// ring 3, pages of [`device::map_until_seal`] are unmapped, SMEP, SMAP and UMIP go on as the
/// processor has them, and all ports close but the two that the console takes. A second call does
/// nothing.
pub fn seal() {
    if !paging::is_sealed() {
        let before = cpu::tsc();
        paging::seal();
        clock::sealed(cpu::tsc().wrapping_sub(before));
    }
}

/// Lets the monitor ask for the [end](crate::shutdown) by a byte on the console, from now on. For
/// the generated wiring, of an appliance that has something to end.
pub fn listen_for_end() {
    executor::spawn_background("(console)", async {
        let mut pause = LOOK_FOR_END;
        loop {
            sleep(pause).await;
            if shutdown::is_asked() {
                return shutdown::cut_off();
            }
            while let Some(byte) = console::read() {
                if byte == END {
                    shutdown::ask();
                    pause = shutdown::drain();
                }
            }
        }
    });
}

/// Tells the monitor that the services answer, by a line on the console.
pub fn ready() {
    let ready = now();
    // A serial port is slow: a millisecond for the line, where virtualisation is nested. Who
    // waits for a network already is answered first.
    executor::run_background();
    start::print_ready();
    // Not `debug`: what the network says of its first answer would come later by this line.
    let times = boot_times();
    log::trace!(
        "boot: main after {} us, sealed in {} us, ready after {} us",
        times.entry_to_main_us(),
        times.seal_us(),
        ready / 1000
    );
}
