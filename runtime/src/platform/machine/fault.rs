//! Crash records: what the console says when the appliance ends by a processor exception or
//! a Rust panic. `unikgen run` reads them and puts names to the addresses.
//!
//! A record is at most three lines, each starting at a line's start, numbers in hexadecimal
//! without `0x`:
//!
//! ```text
//! fault: page-fault error=6 rip=10f3a2 rsp=18e000 cr2=18dff8 write stack-overflow task=site
//! registers: rax=0 rbx=… rcx= rdx= rsi= rdi= rbp= r8= … r15= rflags=
//! stack: 10e771 10a014 …
//!
//! panicked at src/main.rs:10:5: message, which may have several lines
//! stack: 10e771 10a014 …
//! ```
//!
//! After `fault:` come the exception's name, four values, and words that say more: `read`,
//! `write` or `execute` for a page fault, `stack-overflow` if it hit the page below the
//! stack, `in-gate` if ring 0 itself faulted, and the instance whose task was running.
//! `watchdog` stands for a task that didn't give way for long.
//! `stack:` lists up to 32 words of the stack, innermost first, that look like return
//! addresses: they lie in text, behind a call. Some are stale, left over from calls
//! that have returned. It is left out when there are none.

use core::cell::UnsafeCell;
use core::fmt::Write;
use core::sync::atomic::{AtomicBool, Ordering};

use super::super::Ending;
use super::boot::GATE_CODE;
use super::console::Console;
use super::exit::exit;
use super::{OneThread, gate, linker_symbol};
use crate::executor;

/// Return addresses in a record.
const MAX_CALLERS: usize = 32;
const PAGE_FAULT: u64 = 14;

/// What the gate's exception stub pushed, lowest address first, and copies to [`RECORD`].
#[repr(C)]
pub struct Crash {
    cr2: u64,
    r15: u64,
    r14: u64,
    r13: u64,
    r12: u64,
    r11: u64,
    r10: u64,
    r9: u64,
    r8: u64,
    rbp: u64,
    rdi: u64,
    rsi: u64,
    rdx: u64,
    rcx: u64,
    rbx: u64,
    rax: u64,
    /// The end of the stub that was entered.
    stub: u64,
    error: u64,
    rip: u64,
    cs: u64,
    rflags: u64,
    rsp: u64,
    ss: u64,
}

// The stub copies 23 words.
const _: () = assert!(size_of::<Crash>() == 23 * 8);

/// Where the gate puts the record: it writes here once, before it enters [`fault_entry`].
pub static RECORD: OneThread<UnsafeCell<Crash>> = OneThread::new(UnsafeCell::new(Crash {
    cr2: 0,
    r15: 0,
    r14: 0,
    r13: 0,
    r12: 0,
    r11: 0,
    r10: 0,
    r9: 0,
    r8: 0,
    rbp: 0,
    rdi: 0,
    rsi: 0,
    rdx: 0,
    rcx: 0,
    rbx: 0,
    rax: 0,
    stub: 0,
    error: 0,
    rip: 0,
    cs: 0,
    rflags: 0,
    rsp: 0,
    ss: 0,
}));

/// Entered by the gate, on the emergency stack, instead of what faulted. The watchdog goes on:
/// what is printed is in memory that whoever owned ring 3 could write.
pub extern "C" fn fault_entry() -> ! {
    // SAFETY: the gate wrote it before it came here, and comes here only once.
    let crash = unsafe { &*RECORD.get() };
    // Console never fails.
    let _ = report(crash);
    exit(Ending::Fault)
}

fn report(crash: &Crash) -> core::fmt::Result {
    let mut out = Console;
    let (vector, has_error) = gate::exception_of(crash.stub);
    let name = exception_name(vector);
    let error = if has_error { crash.error } else { 0 };
    write!(
        out,
        "\nfault: {name} error={error:x} rip={:x} rsp={:x} cr2={:x}",
        crash.rip, crash.rsp, crash.cr2
    )?;
    if vector == PAGE_FAULT {
        out.write_str(match crash.error & 0x12 {
            0 => " read",
            2 => " write",
            _ => " execute",
        })?;
        if is_below_stack(crash.cr2) {
            out.write_str(" stack-overflow")?;
        }
    }
    let in_gate = crash.cs == u64::from(GATE_CODE);
    if in_gate {
        out.write_str(" in-gate")?;
    }
    if let Some(task) = executor::current_task() {
        write!(out, " task={task}")?;
    }
    out.write_str("\nregisters:")?;
    for (name, value) in [
        ("rax", crash.rax),
        ("rbx", crash.rbx),
        ("rcx", crash.rcx),
        ("rdx", crash.rdx),
        ("rsi", crash.rsi),
        ("rdi", crash.rdi),
        ("rbp", crash.rbp),
        ("r8", crash.r8),
        ("r9", crash.r9),
        ("r10", crash.r10),
        ("r11", crash.r11),
        ("r12", crash.r12),
        ("r13", crash.r13),
        ("r14", crash.r14),
        ("r15", crash.r15),
        ("rflags", crash.rflags),
    ] {
        write!(out, " {name}={value:x}")?;
    }
    out.write_str("\n")?;
    if in_gate { Ok(()) } else { report_callers(crash.rsp) }
}

/// SDM volume 3, 6.15.
fn exception_name(vector: u64) -> &'static str {
    match vector {
        0 => "divide-error",
        1 => "debug",
        2 => "nmi",
        3 => "breakpoint",
        4 => "overflow",
        5 => "bound-range",
        6 => "invalid-opcode",
        7 => "no-fpu",
        8 => "double-fault",
        10 => "invalid-tss",
        11 => "segment-not-present",
        12 => "stack-segment",
        13 => "general-protection",
        14 => "page-fault",
        16 => "x87",
        17 => "alignment",
        18 => "machine-check",
        19 => "simd",
        21 => "control-protection",
        gate::WATCHDOG => "watchdog",
        _ => "exception",
    }
}

/// Whether `address` is in the page below the stack, which isn't mapped.
fn is_below_stack(address: u64) -> bool {
    let bottom = linker_symbol!(__stack_bottom);
    (bottom - 4096..bottom).contains(&address)
}

/// Prints the words from `rsp` up that look like return addresses.
fn report_callers(rsp: u64) -> core::fmt::Result {
    let bottom = linker_symbol!(__stack_bottom);
    let top = linker_symbol!(__stack_top);
    // An overflow leaves rsp just below.
    if rsp < bottom - 4096 || rsp >= top {
        return Ok(());
    }
    let mut out = Console;
    let mut found = 0;
    for address in (rsp.max(bottom).next_multiple_of(8)..top).step_by(8) {
        // SAFETY: inside the stack, which is mapped; a volatile read, because what lies
        // there belongs to frames that the compiler knows nothing of here.
        let word = unsafe { (address as *const u64).read_volatile() };
        if is_return_address(word) {
            out.write_str(if found == 0 { "stack:" } else { "" })?;
            write!(out, " {word:x}")?;
            found += 1;
            if found == MAX_CALLERS {
                break;
            }
        }
    }
    out.write_str(if found == 0 { "" } else { "\n" })
}

/// Whether a call instruction ends at `address`: `E8 rel32`, or `FF /2` of two to seven bytes.
fn is_return_address(address: u64) -> bool {
    let text = linker_symbol!(__text_start)..linker_symbol!(__text_end);
    if address < text.start + 7 || address > text.end {
        return false;
    }
    // SAFETY: the seven bytes before `address` are text, which ring 3 may read.
    let bytes = unsafe { core::slice::from_raw_parts((address - 7) as *const u8, 7) };
    let indirect = |length: usize| bytes[7 - length] == 0xff && bytes[8 - length] >> 3 & 7 == 2;
    bytes[2] == 0xe8 || [2, 3, 4, 6, 7].into_iter().any(indirect)
}

static PANICKING: AtomicBool = AtomicBool::new(false);

#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    // A message whose formatting panics gets no second try.
    if !PANICKING.swap(true, Ordering::Relaxed) {
        let mut out = Console;
        // Console never fails; what fails is the message's own formatting.
        if let Some(place) = info.location() {
            let _ = write!(out, "panicked at {place}: ");
        }
        let _ = writeln!(out, "{}", info.message());
        let here: u64;
        // SAFETY: reads a register.
        unsafe { core::arch::asm!("mov {}, rsp", out(reg) here, options(nomem, nostack)) };
        let _ = report_callers(here);
    }
    exit(Ending::Panic)
}

/// The precompiled `core` and `alloc` refer to it; with `panic=abort` nothing unwinds.
#[unsafe(no_mangle)]
extern "C" fn rust_eh_personality() {}

/// Landing pads in the precompiled `alloc` (`format!`) refer to it, and fat LTO keeps them;
/// with `panic=abort` none is ever entered.
#[unsafe(no_mangle)]
extern "C" fn _Unwind_Resume() -> ! {
    exit(Ending::Panic)
}
