//! The gate: the only ring-0 code that runs after boot.
//!
//! | entry | from | does |
//! |---|---|---|
//! | `int3` at `gate_wait_site` | ring 3 | arms the timer if asked, sleeps, returns the vector that ended the sleep |
//! | `int3` at `gate_write_site` | ring 3 | writes a value to a register, both fixed before the seal: the *slot* that ring 3 names |
//! | `int3` at `gate_setup_site` | ring 3, before the seal | writes MSRs, CR3, CR4; seals |
//! | interrupts | the sleep itself | end of interrupt, return to ring 3 |
//! | exceptions | anywhere | reflected to [`fault`](super::fault) on the emergency stack; a second one ends the machine |
//!
//! The gate trusts no caller. `lld` pads text with `int3`, so a wild jump may land on one:
//! the saved `rip` must be that of a call site. The setup call's site is compared with a
//! variable that the seal zeroes, in memory that the seal takes from ring 3.
//!
//! Interrupts are only taken between `sti` and `hlt`, so there is nothing to return to:
//! the stub drops the interrupt frame and leaves through the wait's own.
//!
//! Stubs that ring 3 can reach start by loading clean flags: interrupt gates don't clear AC,
//! which ring 3 can set to get around SMAP. Not with `clac`, which KVM's instruction emulator
//! lacks, so that a guest dies of it where ring 0 is emulated; nor do all processors have it.

use core::arch::{asm, global_asm};
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use super::boot::{GATE_CODE, IDT_ENTRIES, USER_CODE, USER_DATA};

/// Vector of the timer.
pub const TIMER_VECTOR: u8 = 0x30;
/// Vectors of devices: `0x31..0x50`.
pub const FIRST_DEVICE_VECTOR: u8 = 0x31;
/// One past the last device vector.
pub const END_DEVICE_VECTOR: u8 = 0x50;
/// Vector that the APIC raises when an interrupt vanished.
pub const SPURIOUS_VECTOR: u8 = 0x50;

const MSR_TSC_DEADLINE: u32 = 0x6e0;
const MSR_X2APIC_EOI: u32 = 0x80b;
const MSR_X2APIC_INITIAL_COUNT: u32 = 0x838;
const XAPIC_EOI: u32 = 0xfee0_00b0;
const XAPIC_INITIAL_COUNT: u32 = 0xfee0_0380;

const _: () = assert!(SPURIOUS_VECTOR as usize + 1 == IDT_ENTRIES);

global_asm!(
    r#"
    .section .gate.data
    .balign 8
    .globl gate_arm, gate_eoi, gate_setup
    gate_arm:     .quad gate_arm_deadline   // how the timer is armed
    gate_eoi:     .quad gate_eoi_x2apic     // how an interrupt is ended
    gate_setup:   .quad gate_setup_site     // the setup call's site; 0 once sealed
    gate_crashed: .quad 0
    gate_no_idt:  .quad 0, 0

    // What the write call may do: by slot, the register and the value. None at first.
    .globl gate_slots, gate_slot_registers, gate_slot_values
    gate_slots:   .quad 0

    .section .gate.bss, "aw", @nobits
    .balign 8
    gate_slot_registers: .skip 8 * {slots}
    gate_slot_values:    .skip 4 * {slots}

    .section .gate.text, "ax", @progbits
    .code64

    // One stub of 16 bytes per exception; those without an error code push 0.
    .globl gate_exceptions
    .balign 16
    gate_exceptions:
    .set vector, 0
    .rept 32
    .balign 16
    push 2
    popfq
    .if ((1 << vector) & 0x60227d00) == 0
    push 0
    .endif
    .byte 0x6a, vector          // push
    jmp gate_exception
    .set vector, vector + 1
    .endr

    // One stub of 8 bytes per interrupt vector, timer first.
    .globl gate_interrupts
    .balign 8
    gate_interrupts:
    .set vector, {timer_vector}
    .rept {spurious_vector} - {timer_vector}
    .balign 8
    .byte 0x6a, vector          // push
    jmp gate_interrupt
    .set vector, vector + 1
    .endr

    .balign 8
    .globl gate_spurious
    gate_spurious:                          // no end of interrupt for these
    mov esi, {spurious_vector}
    jmp gate_leave

    gate_interrupt:
    pop rsi
    jmp qword ptr [rip + gate_eoi]
    .globl gate_eoi_xapic
    gate_eoi_xapic:
    mov ecx, {xapic_eoi}
    mov dword ptr [rcx], 0
    jmp gate_leave
    .globl gate_eoi_x2apic
    gate_eoi_x2apic:
    mov ecx, {x2apic_eoi}
    xor eax, eax
    xor edx, edx
    wrmsr
    gate_leave:
    mov eax, esi
    lea rsp, [rip + gate_stack_top - 40]    // the frame of the wait
    iretq

    .globl gate_breakpoint
    .balign 16
    gate_breakpoint:
    push 2
    popfq
    cmp qword ptr [rsp], offset gate_write_site
    jne 2f
    cmp edi, dword ptr [rip + gate_slots]
    jae 9f
    mov edi, edi
    mov rax, [rdi * 8 + gate_slot_registers]
    mov ecx, [rdi * 4 + gate_slot_values]
    mov [rax], ecx
    iretq
2:
    cmp qword ptr [rsp], offset gate_wait_site
    jne 3f
    cmp edi, 1
    ja 2f
    jb gate_sleep
    jmp qword ptr [rip + gate_arm]
    .globl gate_arm_xapic
    gate_arm_xapic:
    mov ecx, {xapic_count}
    mov dword ptr [rcx], eax
    jmp gate_sleep
    .globl gate_arm_x2apic
    gate_arm_x2apic:
    mov ecx, {x2apic_count}
    wrmsr
    jmp gate_sleep
    .globl gate_arm_deadline
    gate_arm_deadline:
    mov ecx, {tsc_deadline}
    wrmsr
    gate_sleep:
    sti
    hlt
    cli
    jmp 4f
2:                                          // look, don't sleep
    sti
    nop
    cli
4:
    xor eax, eax
    iretq

3:
    push rax
    mov rax, [rsp + 8]
    cmp rax, [rip + gate_setup]
    pop rax
    jne 9f
    cmp edi, {op_read_msr}
    ja 5f
    jb 4f
    rdmsr
    iretq
4:  wrmsr
    iretq
5:  cmp edi, {op_cr4}
    ja 6f
    jb 4f
    mov cr4, rsi
    iretq
4:  mov cr3, rsi
    iretq
6:  mov cr3, rsi                            // the seal
    mov cr4, rdx
    mov qword ptr [rip + gate_setup], 0
    iretq
9:                                          // a breakpoint that is nobody's
    push 0
    push 3

    // Stack: vector, error code, rip, cs, rflags, rsp, ss.
    gate_exception:
    cmp dword ptr [rip + gate_crashed], 0
    jne 8f
    mov dword ptr [rip + gate_crashed], 1
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
    mov rbx, cr4                            // the record is in ring-3 memory: no SMAP for its copy
    mov rax, rbx
    btr rax, 21
    mov cr4, rax
    cld
    mov rsi, rsp
    lea rdi, [rip + {record}]
    mov ecx, 23
    rep movsq
    mov cr4, rbx
    push {user_data}
    push offset __emergency_top - 8
    push 2
    push {user_code}
    push offset {fault}
    iretq

8:                                          // a crash within a crash
    mov al, {exit_value}
    out {exit_port}, al
    mov al, 0xfe
    out 0x64, al
    lidt [rip + gate_no_idt]
    ud2

    // The two call sites, in ring-3 text.
    .section .text.unik_gate_calls, "ax", @progbits
    .balign 16
    .globl gate_wait_call, gate_write_call, gate_setup_call
    gate_wait_call:
    int3
    gate_wait_site:
    ret
    gate_write_call:
    int3
    gate_write_site:
    ret
    gate_setup_call:
    int3
    gate_setup_site:
    ret
    "#,
    slots = const SLOTS,
    timer_vector = const TIMER_VECTOR,
    spurious_vector = const SPURIOUS_VECTOR,
    xapic_eoi = const XAPIC_EOI,
    xapic_count = const XAPIC_INITIAL_COUNT,
    x2apic_eoi = const MSR_X2APIC_EOI,
    x2apic_count = const MSR_X2APIC_INITIAL_COUNT,
    tsc_deadline = const MSR_TSC_DEADLINE,
    op_read_msr = const OP_READ_MSR,
    op_cr4 = const OP_CR4,
    record = sym super::fault::RECORD,
    fault = sym super::fault::fault_entry,
    user_data = const USER_DATA,
    user_code = const USER_CODE,
    exit_port = const super::exit::EXIT_PORT,
    exit_value = const super::exit::value(super::super::Ending::Fault),
);

/// Writes that [`add_write`] takes.
const SLOTS: usize = 64;

const OP_WRITE_MSR: u32 = 0;
const OP_READ_MSR: u32 = 1;
const OP_CR3: u32 = 2;
const OP_CR4: u32 = 3;
const OP_SEAL: u32 = 4;

unsafe extern "C" {
    static gate_exceptions: u8;
    static gate_interrupts: u8;
    static gate_spurious: u8;
    static gate_breakpoint: u8;
    static gate_eoi_xapic: u8;
    static gate_eoi_x2apic: u8;
    static gate_arm_deadline: u8;
    static gate_arm_x2apic: u8;
    static gate_arm_xapic: u8;
    static gate_arm: AtomicU64;
    static gate_eoi: AtomicU64;
    static gate_idt: [[AtomicU64; 2]; IDT_ENTRIES];
    static gate_slots: AtomicU64;
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

/// Fills the interrupt descriptor table: from here on an exception makes a crash record.
///
/// Runs once, on the boot page tables, where ring 3 may write it.
pub fn start() {
    // The stubs of each kind have the spacing that the assembly above gives them.
    let exceptions = &raw const gate_exceptions as u64;
    let interrupts = &raw const gate_interrupts as u64;
    let spurious = &raw const gate_spurious as u64;
    let breakpoint = &raw const gate_breakpoint as u64;
    for vector in 0..32 {
        // NMI and double fault get a stack of their own: they can hit the gate.
        let ist = u64::from(vector == 2 || vector == 8);
        set_vector(vector, exceptions + 16 * vector as u64, 0, ist);
    }
    set_vector(3, breakpoint, 3, 0);
    for vector in TIMER_VECTOR..SPURIOUS_VECTOR {
        set_vector(vector.into(), interrupts + 8 * u64::from(vector - TIMER_VECTOR), 0, 0);
    }
    set_vector(SPURIOUS_VECTOR.into(), spurious, 0, 0);
}

/// An interrupt gate: SDM volume 3, 6.14.1.
fn set_vector(vector: usize, address: u64, privilege: u64, ist: u64) {
    let low = (address & 0xffff)
        | u64::from(GATE_CODE) << 16
        | ist << 32
        | (0x8e | privilege << 5) << 40
        | (address >> 16 & 0xffff) << 48;
    // SAFETY: the table is in memory that ring 3 may write until the seal, and `start`, the
    // only caller, runs before. Atomics because nothing else tells the compiler of readers.
    let entry = unsafe { &gate_idt[vector] };
    entry[0].store(low, Ordering::Relaxed);
    entry[1].store(address >> 32, Ordering::Relaxed);
}

/// Chooses how the gate arms the timer and ends interrupts. Before the seal only.
pub fn choose_apic(x2apic: bool, arm: Arm) {
    // SAFETY: labels, and two variables that ring 3 may write until the seal.
    unsafe {
        let arm = match arm {
            Arm::TscDeadline => &raw const gate_arm_deadline,
            Arm::OneShot if x2apic => &raw const gate_arm_x2apic,
            Arm::OneShot => &raw const gate_arm_xapic,
        };
        let eoi = if x2apic { &raw const gate_eoi_x2apic } else { &raw const gate_eoi_xapic };
        gate_arm.store(arm as u64, Ordering::Relaxed);
        gate_eoi.store(eoi as u64, Ordering::Relaxed);
    }
}

/// What a wait does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Sleep until an interrupt; the timer is as it was.
    Sleep,
    /// Arm the timer with this (a TSC value, or a count of the local APIC), then sleep.
    Arm(u64),
    /// Take a pending interrupt if there is one; don't sleep.
    Look,
}

/// Enters the gate to wait. The vector of the interrupt taken, if there was one.
pub fn wait(how: Wait) -> Option<u8> {
    let (selector, value) = match how {
        Wait::Sleep => (0_u32, 0),
        Wait::Arm(value) => (1, value),
        Wait::Look => (2, 0),
    };
    let vector: u64;
    // SAFETY: the call pushes one word (no `nostack`, so the compiler left room); the gate
    // changes no memory of ring 3, and no register but those named.
    unsafe {
        asm!(
            "call gate_wait_call",
            in("edi") selector,
            inout("rax") value & 0xffff_ffff => vector,
            inout("rdx") value >> 32 => _,
            out("rcx") _,
            out("rsi") _,
        );
    }
    (vector as u8 != 0).then_some(vector as u8)
}

/// Lets ring 3 have the gate write `value` to the register at `address`, with [`write`], for as
/// long as the image runs: the slot to name; `None` if all are taken. Before the seal only.
///
/// # Safety
/// The register takes this value at any time without harm to memory, and `address` stays
/// mapped for ring 0.
pub unsafe fn add_write(address: u64, value: u32) -> Option<u32> {
    // SAFETY: variables that ring 3 may write until the seal.
    let (taken, registers, values) = unsafe { (&gate_slots, &gate_slot_registers, &gate_slot_values) };
    let slot = taken.load(Ordering::Relaxed) as usize;
    registers.get(slot)?.store(address, Ordering::Relaxed);
    values.get(slot)?.store(value, Ordering::Relaxed);
    taken.store(slot as u64 + 1, Ordering::Relaxed);
    Some(slot as u32)
}

/// Enters the gate to do the write of a slot that [`add_write`] gave.
pub fn write(slot: u32) {
    // SAFETY: the call pushes one word; the gate changes no register but those named. The
    // write's effect is argued for by the caller of `add_write`. Memory is an input: a device
    // may read what was written before.
    unsafe { asm!("call gate_write_call", inout("edi") slot => _, out("rax") _, out("rcx") _) }
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

/// Switches to the page tables at `root`.
///
/// # Safety
/// Not after the seal. They must map what runs, as it is mapped now.
pub unsafe fn load_page_tables(root: u64) {
    // SAFETY: the caller's.
    unsafe { asm!("call gate_setup_call", in("edi") OP_CR3, in("rsi") root) }
}

/// Sets CR4.
///
/// # Safety
/// Not after the seal. The processor must have every bit that is set.
pub unsafe fn set_cr4(value: u64) {
    // SAFETY: the caller's.
    unsafe { asm!("call gate_setup_call", in("edi") OP_CR4, in("rsi") value) }
}

/// Switches to the sealed page tables and CR4, and closes the setup call.
///
/// # Safety
/// Once. The tables must map what ring 3 goes on to use, and the gate for ring 0 alone.
pub unsafe fn seal(root: u64, cr4: u64) {
    // SAFETY: the caller's.
    unsafe { asm!("call gate_setup_call", in("edi") OP_SEAL, in("rsi") root, in("rdx") cr4) }
}
