//! The gate: the only ring-0 code that stays after the seal.
//!
//! What enters it, and by which way, is one table, `gate_entries` below. The interrupt
//! descriptor table is filled from it, and it stands in the image as a note (name `unik`,
//! type 5), so that tools can print it.
//!
//! | entry | from | does |
//! |---|---|---|
//! | `int3` at `gate_wait_site` | ring 3 | arms the timer if asked, for a second at most; sleeps, says what ended the sleep |
//! | `int3` at `gate_write_site` | ring 3 | writes a value to a register, both fixed before the seal: the *slot* that ring 3 names |
//! | `int3` at `gate_end_site` | ring 3 | ends the machine, with a value that isn't a fault's |
//! | device interrupts | the sleep | end of interrupt, return to ring 3 |
//! | device interrupts | ring 3 | remembered for the next wait |
//! | the timer | the sleep | as a device's; and it is armed anew, for a tick |
//! | the timer | ring 3 | a tick of the watchdog |
//! | exceptions, NMI, machine check | anywhere | reflected to [`fault`](super::fault) on the emergency stack; a second one ends the machine |
//!
//! The gate trusts no caller. `lld` pads text with `int3`, so a wild jump may land on one:
//! the saved `rip` must be that of a call site. Until the seal a third site, *setup*, writes
//! MSRs and control registers: by code in a page of its own, which the seal's tables don't
//! map. No instruction of what stays can change a mapping.
//!
//! **Interrupts never run code of ring 3.** In the sleep there is nothing to return to: the
//! stub drops the interrupt's frame and leaves through the wait's own, which lies where the
//! processor puts every frame that comes from ring 3. After the seal ring 3 runs with
//! interrupts on, for the watchdog's sake. A device's interrupt is then remembered and *not*
//! ended, so that no other of its class follows before the wait that hands it over. The
//! timer's class is higher.
//!
//! **The watchdog** counts the ticks since ring 3 last called wait. From the seal on the timer is
//! always armed: for the next tick, or by a wait, which can't put it off by more than a second. So
//! there is no way around it but waiting. Ticks have a length drawn from the time stamp counter, and
//! one that is late isn't counted, because the machine didn't run when it was due
//! ([`watchdog`](super::watchdog)).
//!
//! **A crash is final.** After the first exception the machine ends as crashed: the call that ends
//! it otherwise has no effect any more, and ring 3 can't claim a crash that there wasn't. The
//! handler of the first exception runs under the watchdog, too.
//!
//! Stubs that ring 3 can reach load clean flags before they do anything that matters:
//! interrupt gates don't clear AC, which ring 3 can set to get around SMAP. Not with `clac`,
//! which KVM's instruction emulator lacks, so that a guest dies of it where ring 0 is
//! emulated; nor do all processors have it.

use core::arch::global_asm;
use core::sync::atomic::{AtomicU64, Ordering};

use super::boot::{GATE_CODE, IDT_ENTRIES, USER_CODE, USER_DATA};
use super::calls::{OP_LOAD, OP_READ_MSR, SLOTS};
use super::watchdog::MOST_TICK_PART;

/// First vector of devices. All are of one priority class: while one is in service, no other
/// comes.
pub const FIRST_DEVICE_VECTOR: u8 = 0x30;
/// One past the last device vector.
pub const END_DEVICE_VECTOR: u8 = 0x40;
/// Vector of the timer, of a higher class.
pub const TIMER_VECTOR: u8 = 0x50;
/// Vector that the APIC raises when an interrupt vanished.
pub const SPURIOUS_VECTOR: u8 = 0x5f;
/// What crash records say when the watchdog ended the image: one past the exceptions.
pub const WATCHDOG: u64 = 32;

/// Exceptions for which the processor pushes an error code (SDM volume 3, 6.15).
const WITH_ERROR: u64 = 0x6022_7d00;
/// Bytes of a stub: a `call`, whose return address says which it is.
const STUB: u64 = 5;

const MSR_TSC_DEADLINE: u32 = 0x6e0;
const MSR_X2APIC_EOI: u32 = 0x80b;
const MSR_X2APIC_INITIAL_COUNT: u32 = 0x838;
const XAPIC_EOI: u32 = 0xfee0_00b0;
const XAPIC_INITIAL_COUNT: u32 = 0xfee0_0380;

const _: () = assert!(SPURIOUS_VECTOR as usize + 1 == IDT_ENTRIES);

global_asm!(
    r#"
    .section .gate.data, "aw", @progbits
    .balign 8
    .globl gate_arm, gate_eoi, gate_deadline, gate_x2apic
    .globl gate_tick_part, gate_tick_part_tsc, gate_tick_slack, gate_tick_limit
    gate_arm:     .quad gate_arm_deadline   // how a wait arms the timer
    gate_eoi:     .quad gate_eoi_x2apic     // how it ends an interrupt
    gate_pending: .quad 0                   // what came while ring 3 ran: the end of its stub, or 0
    gate_due:     .quad 0                   // when the next tick is, by the time stamp counter; or 0
    gate_tick_part_tsc: .quad 1 << 40       // the 4,096th part of a second, by that counter
    gate_handler_flags: .quad 2             // of the handler of exceptions
    gate_deadline:    .long 1               // the timer takes deadlines, and doesn't count down
    gate_x2apic:      .long 1
    gate_tick_part:   .long {most_part}     // of a second, in the timer's unit
    gate_tick_slack:  .long -1              // what is later wasn't running, by the time stamp counter
    gate_tick_limit:  .long -1              // one more of them without a wait ends the image
    gate_ticks:       .long 0               // since the last wait
    gate_crashed:     .long 0

    // What the write call may do: by slot, the register and the value. The register of a slot
    // that isn't taken is 0, where nothing is ever mapped.
    .section .gate.bss, "aw", @nobits
    .balign 8
    .globl gate_slot_registers, gate_slot_values
    gate_slot_registers: .skip 8 * {slots}
    gate_slot_values:    .skip 4 * {slots}

    // Until the seal: code in a page that it takes away.
    .section .gate.boot.setup, "ax", @progbits
    .code64
    .globl gate_setup_breakpoint
    gate_setup_breakpoint:
    push 2
    popfq
    cmp qword ptr [rsp], offset gate_setup_site
    jne gate_call
    cmp edi, {op_load}
    ja gate_seal
    je 3f
    cmp edi, {op_read_msr}
    je 2f
    wrmsr
    iretq
2:  rdmsr
    iretq
3:  mov cr4, rdx
    mov cr3, rsi
    iretq

    // The last code of that page. The tables that it loads don't map it any more, but what
    // follows it: the gate's own text, whose first instruction returns.
    .section .gate.boot.seal, "ax", @progbits
    gate_seal:
    wrmsr                                   // arms the timer: the watchdog's first tick
    mov qword ptr [rip + gate_idt + 3 * 16], r8     // breakpoints are gate_breakpoint's
    or dword ptr [rsp + 16], 0x200          // ring 3 goes on with interrupts on
    or dword ptr [rip + gate_handler_flags], 0x200
    mov cr4, r9
    mov cr3, rsi

    .section .gate.text, "ax", @progbits
    .globl gate_return
    gate_return:                            // also where spurious interrupts end
    iretq

    .globl gate_breakpoint
    gate_breakpoint:
    push 2
    popfq
    gate_call:
    cmp qword ptr [rsp], offset gate_write_site
    jne 2f
    and edi, {slots} - 1
    mov rax, [rdi * 8 + gate_slot_registers]
    mov ecx, [rdi * 4 + gate_slot_values]
    mov [rax], ecx
    iretq
2:
    cmp qword ptr [rsp], offset gate_wait_site
    jne 6f
    and dword ptr [rip + gate_ticks], 0
    cmp qword ptr [rip + gate_pending], 0
    jne 5f
    cmp edi, 1
    ja 3f
    jb gate_sleep
    and qword ptr [rip + gate_due], 0       // ring 3 says when: no tick to count
    jmp qword ptr [rip + gate_arm]
    .globl gate_arm_xapic, gate_arm_x2apic, gate_arm_deadline
    gate_arm_xapic:
    call gate_clamp
    mov ecx, {xapic_count}
    mov dword ptr [rcx], eax
    jmp gate_sleep
    gate_arm_x2apic:
    call gate_clamp
    xor edx, edx
    mov ecx, {x2apic_count}
    wrmsr
    jmp gate_sleep
    gate_arm_deadline:
    mov rsi, rax
    mov rcx, [rip + gate_tick_part_tsc]
    shl rcx, 12
    call gate_now
    add rax, rcx
    cmp rsi, rax
    cmovb rax, rsi
    or al, 1                                // 0 would disarm it
    call gate_set_deadline
    gate_sleep:
    sti
    hlt
    cli
    jmp 4f
3:                                          // look, don't sleep
    sti
    nop
    cli
4:
    xor esi, esi
    iretq
5:                                          // it came while ring 3 ran
    xor esi, esi
    xchg rsi, [rip + gate_pending]
    call qword ptr [rip + gate_eoi]
    xor ecx, ecx                            // and the timer was left as it was
    iretq
6:
    cmp qword ptr [rsp], offset gate_end_site
    jne 7f
    mov eax, edi
    cmp al, {exit_value}                    // there was no fault yet
    je 7f
    bts dword ptr [rip + gate_crashed], 0
    jnc gate_end
    jmp gate_end_crashed
7:                                          // a breakpoint that is nobody's
    jmp gate_exceptions + 3 * {stub}

    gate_clamp:                             // a count of 1 to a second's
    mov ecx, dword ptr [rip + gate_tick_part]
    shl ecx, 12
    lea esi, [rax - 1]
    cmp esi, ecx
    cmovae eax, ecx
    ret

    // A stub for each exception, and one for the watchdog. The processor pushes an error code
    // for some; the others get a word that means nothing.
    .globl gate_exceptions
    gate_exceptions:
    .set vector, 0
    .rept 32
    .if ((1 << vector) & {with_error}) == 0
    call gate_exception
    .else
    call gate_exception_with_error
    .endif
    .set vector, vector + 1
    .endr
    gate_watchdog:
    call gate_exception

    // A stub for each device's interrupt, and the timer's.
    .globl gate_interrupts, gate_timer
    gate_interrupts:
    .rept {device_vectors}
    call gate_interrupt
    .endr
    gate_timer:
    call gate_timer_interrupt

    gate_interrupt:
    cmp byte ptr [rsp + 16], {gate_code}
    jne 2f
    pop rsi
    gate_wake:
    call qword ptr [rip + gate_eoi]
    gate_leave:
    lea rsp, [rip + gate_stack_top - 40]    // the frame that ring 3 came with
    iretq
2:  pop qword ptr [rip + gate_pending]      // ring 3 ran: ended when it is handed over
    iretq

    gate_timer_interrupt:
    cmp byte ptr [rsp + 16], {gate_code}
    jne gate_tick
    call gate_rearm
    pop rsi
    jmp gate_wake

    .globl gate_eoi_xapic, gate_eoi_x2apic
    gate_eoi_xapic:
    mov ecx, {xapic_eoi}
    mov dword ptr [rcx], 0
    ret
    gate_eoi_x2apic:
    mov ecx, {x2apic_eoi}
    xor eax, eax
    xor edx, edx
    wrmsr
    ret

    gate_now:
    rdtsc
    shl rdx, 32
    or rax, rdx
    ret

    gate_set_deadline:
    mov rdx, rax
    shr rdx, 32
    mov ecx, {tsc_deadline}
    wrmsr
    ret

    // Arms the timer for the next tick, half a second to one and a half from now: who runs only now
    // and then, by somebody's rhythm, isn't always found running, or never.
    gate_rearm:
    call gate_now
    mov ecx, eax
    and ecx, 0xfff
    add ecx, 0x800
    mov rdx, rcx
    imul rdx, [rip + gate_tick_part_tsc]
    add rax, rdx
    mov [rip + gate_due], rax
    cmp dword ptr [rip + gate_deadline], 0
    jne gate_set_deadline
    imul ecx, [rip + gate_tick_part]
    mov eax, ecx
    cmp dword ptr [rip + gate_x2apic], 0
    je 2f
    xor edx, edx
    mov ecx, {x2apic_count}
    wrmsr
    ret
2:  mov ecx, {xapic_count}
    mov dword ptr [rcx], eax
    ret

    gate_tick:                              // ring 3 ran: it keeps all registers
    push rax
    push rcx
    push rdx
    push 0x40002                            // AC, for its memory
    popfq
    mov al, 1
    mov byte ptr [rip + {ticked}], al
    push 2
    popfq
    call gate_now
    sub rax, [rip + gate_due]
    mov ecx, dword ptr [rip + gate_tick_slack]
    cmp rax, rcx
    jg 2f                                   // late: it didn't run when the tick was due
    inc dword ptr [rip + gate_ticks]
2:  call gate_rearm
    call qword ptr [rip + gate_eoi]
    cmp qword ptr [rip + gate_pending], 0   // a wait that relied on this one must not sleep
    jne 3f
    mov rax, [rsp + 24]
    mov qword ptr [rip + gate_pending], rax
3:  mov ecx, dword ptr [rip + gate_tick_limit]
    cmp dword ptr [rip + gate_ticks], ecx
    pop rdx
    pop rcx
    pop rax
    jbe gate_leave
    lea rsp, [rip + gate_stack_top - 40]
    jmp gate_watchdog

    gate_exception:
    push qword ptr [rsp]
    gate_exception_with_error:
    // Stack: end of the stub, error code, rip, cs, rflags, rsp, ss.
    bts dword ptr [rip + gate_crashed], 0
    jc gate_end_crashed
    and dword ptr [rip + gate_ticks], 0     // the handler has its time
    push rax
    push rbx
    push rcx
    push rdx
    push rsi
    push rdi
    push rbp
    push r8
    push r9
    push r10
    push r11
    push r12
    push r13
    push r14
    push r15
    mov rax, cr2
    push rax
    mov rsi, rsp
    push 0x40002                            // AC, for the record in memory of ring 3; no DF
    popfq
    lea rdi, [rip + {record}]
    mov ecx, 23
    rep movsq
    push {user_data}
    push offset __emergency_top - 8
    push qword ptr [rip + gate_handler_flags]
    push {user_code}
    push offset {fault}
    iretq

    gate_end_crashed:                       // a crash within a crash
    mov al, {exit_value}
    gate_end:
    out {exit_port}, al
    mov al, {reset}
    out {reset_port}, al
    bts rsp, 63                             // no stack, and none for a double fault
    mov qword ptr [rip + gate_tss + 36], rsp
    ud2

    // The call sites, in text of ring 3.
    .section .text.unik_gate_calls, "ax", @progbits
    .balign 16
    .globl gate_wait_call, gate_write_call, gate_end_call, gate_setup_call
    gate_wait_call:
    int3
    gate_wait_site:
    ret
    gate_write_call:
    int3
    gate_write_site:
    ret
    gate_end_call:
    int3
    gate_end_site:
    ud2
    gate_setup_call:
    int3
    gate_setup_site:
    ret

    // The table of entries, a note: of rows of 32 bytes. First vector; vectors, each of whose
    // stubs is {stub} bytes after the one before, or 0 for a call at vector 3 from one site; lowest
    // privilege that may raise it by an instruction (3: ring 3 may); stack of its own, or 0 for
    // the gate's; 4 bytes of 0; address of the first stub, or of the call's return; name.
    .macro gate_entry first, count, privilege, ist, address, name
    .byte \first, \count, \privilege, \ist
    .long 0
    .quad \address
9:  .ascii "\name"
    .skip 16 - (. - 9b)
    .endm
    .section .note.unik.gate, "a", @note
    .balign 4
    .long 5, gate_entries_end - gate_entries, 5
    .asciz "unik"
    .balign 4
    .globl gate_entries, gate_entries_end
    gate_entries:
    gate_entry 0, 2, 0, 0, gate_exceptions, "exception"
    gate_entry 2, 1, 0, 1, "gate_exceptions + 2 * {stub}", "nmi"
    gate_entry 3, 1, 3, 0, gate_breakpoint, "call"
    gate_entry 4, 4, 0, 0, "gate_exceptions + 4 * {stub}", "exception"
    gate_entry 8, 1, 0, 1, "gate_exceptions + 8 * {stub}", "double-fault"
    gate_entry 9, 9, 0, 0, "gate_exceptions + 9 * {stub}", "exception"
    gate_entry 18, 1, 0, 1, "gate_exceptions + 18 * {stub}", "machine-check"
    gate_entry 19, 13, 0, 0, "gate_exceptions + 19 * {stub}", "exception"
    gate_entry {first_device}, {device_vectors}, 0, 0, gate_interrupts, "device"
    gate_entry {timer_vector}, 1, 0, 0, gate_timer, "timer"
    gate_entry {spurious_vector}, 1, 0, 0, gate_return, "spurious"
    gate_entry 3, 0, 3, 0, gate_wait_site, "wait"
    gate_entry 3, 0, 3, 0, gate_write_site, "write"
    gate_entry 3, 0, 3, 0, gate_end_site, "end"
    gate_entries_end:
    .balign 4
    "#,
    slots = const SLOTS,
    stub = const STUB,
    with_error = const WITH_ERROR,
    first_device = const FIRST_DEVICE_VECTOR,
    device_vectors = const END_DEVICE_VECTOR - FIRST_DEVICE_VECTOR,
    timer_vector = const TIMER_VECTOR,
    spurious_vector = const SPURIOUS_VECTOR,
    xapic_eoi = const XAPIC_EOI,
    xapic_count = const XAPIC_INITIAL_COUNT,
    x2apic_eoi = const MSR_X2APIC_EOI,
    x2apic_count = const MSR_X2APIC_INITIAL_COUNT,
    tsc_deadline = const MSR_TSC_DEADLINE,
    op_read_msr = const OP_READ_MSR,
    op_load = const OP_LOAD,
    most_part = const MOST_TICK_PART,
    ticked = sym super::watchdog::TICKED,
    record = sym super::fault::RECORD,
    fault = sym super::fault::fault_entry,
    user_data = const USER_DATA,
    user_code = const USER_CODE,
    gate_code = const GATE_CODE,
    exit_port = const super::exit::EXIT_PORT,
    exit_value = const super::exit::value(super::super::Ending::Fault),
    reset_port = const super::exit::RESET_PORT,
    reset = const super::exit::RESET,
);

/// A row of the table of entries.
#[repr(C)]
struct Entry {
    first: u8,
    count: u8,
    privilege: u8,
    ist: u8,
    zero: u32,
    address: u64,
    name: [u8; 16],
}

const _: () = assert!(size_of::<Entry>() == 32);

unsafe extern "C" {
    safe static gate_exceptions: u8;
    safe static gate_interrupts: u8;
    safe static gate_breakpoint: u8;
    safe static gate_setup_breakpoint: u8;
    safe static gate_entries: u8;
    safe static gate_entries_end: u8;
    static gate_idt: [[AtomicU64; 2]; IDT_ENTRIES];
}

/// Fills the interrupt descriptor table: from here on an exception makes a crash record.
///
/// Runs once, on the boot page tables, where ring 3 may write it.
pub fn start() {
    let (start, end) = (&raw const gate_entries, &raw const gate_entries_end);
    let rows = (end as usize - start as usize) / size_of::<Entry>();
    // SAFETY: the assembly above lays the rows out as `Entry`; unaligned, since notes have
    // an alignment of 4.
    let entries = (0..rows).map(|row| unsafe { start.cast::<Entry>().add(row).read_unaligned() });
    for entry in entries {
        for index in 0..entry.count {
            let address = entry.address + STUB * u64::from(index);
            set_vector(entry.first + index, address, entry.privilege, entry.ist);
        }
    }
    // The setup call's, which hands on what isn't for it.
    set_vector(3, &raw const gate_setup_breakpoint as u64, 3, 0);
}

fn set_vector(vector: u8, address: u64, privilege: u8, ist: u8) {
    // SAFETY: the table is in memory that ring 3 may write until the seal, and `start`, the
    // only caller, runs before. Atomics because nothing else tells the compiler of readers.
    let entry = unsafe { &gate_idt[usize::from(vector)] };
    entry[0].store(descriptor(address, privilege, ist), Ordering::Relaxed);
    entry[1].store(address >> 32, Ordering::Relaxed);
}

/// The lower half of an interrupt gate (SDM volume 3, 6.14.1).
fn descriptor(address: u64, privilege: u8, ist: u8) -> u64 {
    (address & 0xffff)
        | u64::from(GATE_CODE) << 16
        | u64::from(ist) << 32
        | (0x8e | u64::from(privilege) << 5) << 40
        | (address >> 16 & 0xffff) << 48
}

/// The descriptor of breakpoints after the seal.
pub fn sealed_breakpoint() -> u64 {
    descriptor(&raw const gate_breakpoint as u64, 3, 0)
}

/// The exception (or [`WATCHDOG`]) whose stub ends at `end`, and whether it has an error code.
pub fn exception_of(end: u64) -> (u64, bool) {
    let vector = end.wrapping_sub(&raw const gate_exceptions as u64) / STUB;
    let vector = vector.saturating_sub(1);
    (vector, vector < 32 && WITH_ERROR >> vector & 1 == 1)
}

/// The vector of the interrupt whose stub ends at `end`; `None` for 0.
pub fn interrupt_of(end: u64) -> Option<u8> {
    let index = (end.checked_sub(&raw const gate_interrupts as u64)? / STUB).checked_sub(1)?;
    let vector = FIRST_DEVICE_VECTOR.saturating_add(index as u8);
    Some(if vector < END_DEVICE_VECTOR { vector } else { TIMER_VECTOR })
}
