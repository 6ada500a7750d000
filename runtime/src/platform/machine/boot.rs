//! From the monitor's jump to ring-3 Rust (the PVH boot protocol,
//! `xen/include/public/arch-x86/hvm/start_info.h`).
//!
//! The monitor enters in 32-bit protected mode, paging off, `ebx` = address of the start
//! info. About forty instructions later the processor runs ring-3 code in long mode, and
//! ring 0 is left for good but for the [gate](super::gate). No loop runs in ring 0, because
//! some hypervisors emulate it at thousands of cycles per instruction; what needs a loop
//! (the rest of the boot page tables) is filled by ring 3.
//!
//! The boot page tables map the first GiB, readable, writable and executable for ring 3.
//! [`paging`](super::paging) replaces them before anything else happens but reading what the
//! monitor left: memory map and boot line.
//!
//! An image that was built for AVX looks first whether the processor has it: even the code that
//! would say so later may need it.

use core::arch::global_asm;

/// Ring-3 data segment selector.
pub const USER_DATA: u16 = 0x1b;
/// Ring-3 64-bit code segment selector.
pub const USER_CODE: u16 = 0x23;
/// Ring-0 64-bit code segment selector.
pub const GATE_CODE: u16 = 0x08;

/// Where in the task state segment the bitmap begins that the seal closes the ports with. The
/// one before it, of zeros, leaves all open. With its 129 bytes the segment ends.
pub const IO_CLOSED_BASE: u16 = 112 + 8192;

/// Entries of the interrupt descriptor table.
pub const IDT_ENTRIES: usize = 0x60;

global_asm!(
    // Where to enter, for the monitor: XEN_ELFNOTE_PHYS32_ENTRY.
    r#"
    .section .note.pvh, "a", @note
    .balign 4
    .long 4, 8, 18
    .asciz "Xen"
    .balign 4
    .quad unik_pvh_entry
    "#,
    // Ring-0 data. What has no value before the first instruction is in `.gate.bss`.
    // The TSS address is split by the linker script into __tss_low, __tss_mid, __tss_high.
    r#"
    .section .gate.data, "aw", @progbits
    .balign 16
    gate_gdt:
    .quad 0
    .quad 0x00af9b000000ffff        // 0x08: ring-0 code, 64 bits, accessed
    .quad 0x00cf93000000ffff        // 0x10: ring-0 data
    .quad 0x00cff3000000ffff        // 0x1b: ring-3 data
    .quad 0x00affb000000ffff        // 0x23: ring-3 code, 64 bits
    .short {tss_limit}, __tss_low   // 0x28: the TSS, 16 bytes
    .byte __tss_mid, 0x89, 0, __tss_high
    .quad 0
    gate_gdt_end:
    gate_gdt_pointer:
    .short gate_gdt_end - gate_gdt - 1
    .long gate_gdt
    gate_idt_pointer:
    .short {idt_limit}
    .long gate_idt

    // The task state segment (SDM volume 3, 8.7): ring-0 stack, stack of NMI and double
    // fault (IST 1), and the I/O permission bitmaps: one of zeros, and the seal's.
    .section .gate.tss, "aw", @progbits
    .balign 16
    .globl gate_tss, gate_io_base
    gate_tss:
    .long 0
    .quad gate_stack_top, 0, 0
    .quad 0
    .quad gate_ist_top, 0, 0, 0, 0, 0, 0
    .quad 0
    .short 0
    gate_io_base:
    .short 112
    .quad 0                         // fills up to the alignment of what follows

    .section .gate.bss, "aw", @nobits
    .globl gate_io_bitmap, gate_io_closed
    gate_io_bitmap:                 // follows the TSS: the linker script sees to it
    .skip 8192
    gate_io_closed:                 // the segment ends after its first 129 bytes
    .skip 136
    .balign 16
    .globl gate_idt
    gate_idt:
    .skip 16 * {idt_entries}

    // The linker script aligns these two to pages.
    .section .gate.stacks, "aw", @nobits
    .globl gate_ist_top, gate_stack_top
    .skip 4096                      // not mapped
    .skip 4096
    gate_ist_top:
    .skip 4096                      // not mapped
    .skip 4096
    gate_stack_top:

    .section .gate.tables, "aw", @nobits
    boot_pml4:
    .skip 4096
    boot_pdpt:
    .skip 4096
    boot_pd_first:                  // 2 MiB, by ring 0
    .skip 4096
    boot_pd:                        // 1 GiB, by ring 3
    .skip 4096
    "#,
    // Ring 0, 32 bits.
    r#"
    .section .gate.boot.entry, "ax", @progbits
    .code32
    .globl unik_pvh_entry
    unik_pvh_entry:
    rdtsc
    mov esi, eax
    mov edi, edx
    .if {xcr0}
    mov ebp, ebx
    mov eax, 1
    cpuid
    not ecx
    test ecx, {needs}
    jne gate_lacking
    mov eax, 7
    xor ecx, ecx
    cpuid
    not ebx
    test ebx, {needs_7}
    jne gate_lacking
    mov ebx, ebp
    .endif
    mov dword ptr [boot_pml4], offset boot_pdpt + 0x27  // present, writable, ring 3, accessed
    mov dword ptr [boot_pdpt], offset boot_pd_first + 0x27
    mov dword ptr [boot_pd_first], 0xe7                 // the first 2 MiB; dirty, large page
    lgdt [gate_gdt_pointer]
    lidt [gate_idt_pointer]
    mov eax, {cr4}
    mov cr4, eax
    .if {xcr0}
    xor ecx, ecx
    xor edx, edx
    mov eax, {xcr0}
    xsetbv
    .endif
    mov eax, offset boot_pml4
    mov cr3, eax
    mov ecx, 0xc0000080                                 // EFER: LME, NXE; SCE stays off
    mov eax, 0x900
    xor edx, edx
    wrmsr
    mov eax, {cr0}
    mov cr0, eax
    mov eax, {user_data}
    mov ds, eax
    mov es, eax
    mov eax, 0x28
    ltr ax
    xor eax, eax
    lldt ax                                             // no LDT, ever
    mov fs, eax
    mov gs, eax
    mov esp, offset gate_stack_top
    .byte 0xea                                          // far jump to the 64-bit segment
    .long 2f
    .short {gate_code}
    .code64
2:
    push {user_data}
    push offset __stack_top
    push 2
    push {user_code}
    push offset ring3_entry
    iretq
    "#,
    // The one end that isn't Rust's: there is no stack yet.
    r#"
    .if {xcr0}
    .code32
    gate_lacking:
    mov esi, offset gate_lacking_text
    cld
2:  lodsb
    test al, al
    je 3f
    mov dx, {console}
    out dx, al
    jmp 2b
3:  mov al, {failed}
    out {exit_port}, al
    mov al, {reset}
    out {reset_port}, al
    ud2
    gate_lacking_text:
    .asciz "error: this processor lacks AVX2, or what else `cpu x86-64-v3` stands for\r\n"
    .endif
    .code64
    "#,
    // Ring 3, 64 bits, within the first 2 MiB. The page is ring 0's when the boot page tables go.
    r#"
    ring3_entry:
    cld
    lea rcx, [rip + boot_pd]
    mov eax, 0xe7
    mov edx, 512
2:
    mov [rcx], rax
    add rax, 0x200000
    add rcx, 8
    dec edx
    jnz 2b
    // A table that is in use is expensive to write where page tables are shadowed, so it
    // was filled before it is hung in.
    mov qword ptr [rip + boot_pdpt], offset boot_pd + 0x27
    mov eax, edi                                        // TSC at entry, high half
    shl rax, 32
    or rsi, rax
    mov edi, ebx
    xor ebp, ebp
    call {start}
    ud2
    "#,
    tss_limit = const IO_CLOSED_BASE + 129 - 1,
    idt_entries = const IDT_ENTRIES,
    idt_limit = const IDT_ENTRIES * 16 - 1,
    xcr0 = const super::cpu::XCR0_BOOT,
    needs = const super::cpu::BOOT_NEEDS,
    needs_7 = const super::cpu::BUILT_FOR.1,
    console = const super::console::CONSOLE_PORT,
    failed = const super::exit::value(super::super::Ending::Failed),
    exit_port = const super::exit::EXIT_PORT,
    reset = const super::exit::RESET,
    reset_port = const super::exit::RESET_PORT,
    cr4 = const super::cpu::CR4_BOOT,
    // PG, WP, NE, ET, MP, PE
    cr0 = const 0x8001_0033_u32,
    user_data = const USER_DATA,
    user_code = const USER_CODE,
    gate_code = const GATE_CODE,
    start = sym super::begin,
);
