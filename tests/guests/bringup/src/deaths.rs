//! Ways to die, each by name. None returns; one that does is a failure.

use alloc::vec::Vec;
use core::arch::asm;
use core::hint::black_box;
use core::sync::atomic::{AtomicU64, Ordering};

use unik::platform::{self, machine::device};

use crate::say;

/// Does what `mode` says, which ends the machine.
pub fn die(mode: &str) -> Result<(), &'static str> {
    // SAFETY: none: each of these is a crime, and the machine is to catch it.
    unsafe {
        match mode {
            "panic" => panic!("as asked, with {} and {}", 42, "words"),
            "index" => {
                let empty: Vec<u8> = black_box(Vec::new());
                black_box(empty[7]);
            }
            "read-null" => read(0),
            "read-high" => read(0x7fff_0000_0000),
            "write-text" => write(write as *const () as u64),
            "write-rodata" => write("constant".as_ptr() as u64),
            // The end of so large a block is in memory that the heap grew by, in pages of 2 MiB.
            "execute-heap" => {
                let code = alloc::vec![0xc3_u8; 4 << 20];
                let address = code.as_ptr_range().end as u64 - 16;
                let grown = symbol("__image_end").next_multiple_of(2 << 20);
                if address < grown {
                    return Err("the block isn't where the heap grows");
                }
                say!("heap: {address:x}, grown from {grown:x}");
                execute(address);
            }
            "execute-data" => {
                static CODE: AtomicU64 = AtomicU64::new(0xc3c3_c3c3_c3c3_c3c3);
                execute(&raw const CODE as u64);
            }
            "execute-bss" => {
                static CODE: AtomicU64 = AtomicU64::new(0);
                CODE.store(0xc3, Ordering::Relaxed);
                execute(&raw const CODE as u64);
            }
            "execute-stack" => {
                let code = black_box([0xc3_u8; 16]);
                execute(code.as_ptr() as u64);
            }
            // The last pages before those that aren't mapped.
            "execute-stack-end" => execute(symbol("__stack_bottom")),
            "execute-emergency-stack" => execute(symbol("__emergency_bottom")),
            "stack-overflow" => {
                black_box(recurse(1));
            }
            "undefined" => asm!("ud2"),
            "divide" => asm!("div {zero:e}", zero = in(reg) 0, inout("eax") 1 => _, inout("edx") 0 => _),
            "privileged" => asm!("cli"),
            "halt" => asm!("hlt"),
            "load-cr3" => asm!("mov cr3, {}", in(reg) page_tables()),
            "load-idt" => {
                let pointer = black_box([0_u16; 5]);
                asm!("lidt [{}]", in(reg) pointer.as_ptr());
            }
            "load-gdt" => {
                let pointer = black_box([0_u16; 5]);
                asm!("lgdt [{}]", in(reg) pointer.as_ptr());
            }
            "invalidate" => asm!("invlpg [{}]", in(reg) page_tables()),
            "write-msr" => asm!("wrmsr", in("ecx") 0xc000_0080_u32, in("eax") 0x901, in("edx") 0),
            "padding" => execute(padding()),
            // The setup call, which is closed after the seal: CR4 without SMEP, WRMSR of EFER.
            "gate-cr4" => {
                asm!("call gate_setup_call", in("edi") 2, in("rsi") page_tables(), in("rdx") 0x620_u64, clobber_abi("C"))
            }
            "gate-msr" => {
                asm!("call gate_setup_call", in("edi") 0, in("ecx") 0xc000_0080_u32, in("eax") 0x901, in("edx") 0, clobber_abi("C"))
            }
            // Neither of the two sites.
            "gate-other-site" => asm!("mov edi, 1", "int3", "nop", clobber_abi("C")),
            // Before the seal the same call faults in ring 0 itself: long mode needs PAE.
            "gate-no-pae" => {
                asm!("call gate_setup_call", in("edi") 2, in("rsi") page_tables(), in("rdx") 0x600_u64, clobber_abi("C"));
            }
            // The write call with a slot that nobody took.
            "gate-slot" => asm!("call gate_write_call", in("edi") 63, clobber_abi("C")),
            // AC would let ring 0 reach memory of ring 3, where `before_seal` aims a slot.
            "gate-ac" => asm!(
                "pushfq",
                "or dword ptr [rsp], 0x40000",
                "popfq",
                "call gate_write_call",
                "push 2",
                "popfq",
                in("edi") 0,
                clobber_abi("C")
            ),
            "gate-jump" => execute(symbol("gate_breakpoint") + 3),
            "gate-jump-boot" => execute(symbol("gate_setup_breakpoint") + 3),
            "gate-jump-return" => execute(symbol("gate_return")),
            // A fault that there wasn't: the value that only the gate gives.
            "gate-fake-fault" => asm!("call gate_end_call", in("edi") 118, options(noreturn)),
            // As the gate returns, but to ring 0.
            "forged-frame" => asm!(
                "mov rax, rsp",
                "push 0x10",
                "push rax",
                "push 2",
                "push 8",
                "lea rax, [rip + 2f]",
                "push rax",
                "iretq",
                "2: ud2",
                clobber_abi("C")
            ),
            "far-call" => {
                asm!("push 8", "lea rax, [rip + 2f]", "push rax", "retfq", "2: ud2", clobber_abi("C"))
            }
            "gate-read" => read(symbol("gate_breakpoint")),
            "gate-write-idt" => write(symbol("gate_idt")),
            "gate-write-stack" => write(symbol("gate_stack_top") - 8),
            "gate-write-tss" => write(symbol("gate_tss") + 4),
            "gate-write-gdt" => write(symbol("gate_tss") - 8),
            "gate-write-slot" => write(symbol("gate_slot_registers")),
            "page-table-write" => write(page_tables()),
            "page-table-read" => read(page_tables()),
            // Where other systems have a second view of memory.
            "page-table-write-high" => write(0xffff_8880_0000_0000 + page_tables()),
            "page-table-write-recursive" => write(0xffff_ff7f_bfdf_e000),
            "port" => {
                let port = crate::argument("port").and_then(|port| port.parse().ok()).unwrap_or(0xcf8_u16);
                asm!("out dx, al", in("dx") port, in("al") 0_u8);
            }
            "port-read" => {
                let port = crate::argument("port").and_then(|port| port.parse().ok()).unwrap_or(0xcfc_u16);
                asm!("in eax, dx", in("dx") port, out("eax") _);
            }
            "device-page" => {
                let page = crate::argument("page").and_then(|page| u64::from_str_radix(page, 16).ok());
                read(page.unwrap_or(0xfec0_0000));
            }
            "write-low" => write(0xfff8),
            // A call gate to ring 0, where a live LDTR of base 0 would look for it.
            "call-gate" => {
                write(8);
                asm!("mov ds, {0:e}", in(reg) 7);
            }
            "local-apic" => read(0xfee0_0020),
            "loop" => spin(),
            "loop-after-wait" => {
                platform::wait(Some(platform::now() + 1_000_000));
                spin();
            }
            // Interrupts can't be shut out.
            "loop-without-interrupts" => {
                asm!("pushfq", "and dword ptr [rsp], ~0x200", "popfq");
                spin();
            }
            // The timer disarmed, or put off for good, before the loop.
            "loop-disarmed" => {
                wait_at(0);
                spin();
            }
            "loop-put-off" => {
                wait_at(u64::MAX);
                spin();
            }
            // Each of these holds interrupts back for one instruction.
            "loop-inhibiting" => asm!("2:", "mov ss, {0:e}", "mov ss, {0:e}", "jmp 2b", in(reg) 0x1b),
            // What comes from outside, while ring 3 runs and while it sleeps.
            "await" => {
                platform::console_write(b"awaiting\n");
                let until = platform::now() + 20_000_000_000;
                while platform::now() < until {
                    platform::progress();
                }
            }
            "await-asleep" => {
                platform::console_write(b"awaiting\n");
                let until = platform::now() + 20_000_000_000;
                while platform::now() < until {
                    platform::wait(Some(until));
                }
            }
            "syscall" => asm!("syscall", clobber_abi("C")),
            "ldt" => asm!("mov ds, {0:e}", in(reg) 7),
            "alignment" => asm!(
                "pushfq",
                "or dword ptr [rsp], 0x40000",
                "popfq",
                "mov eax, [rsp + 1]",
                "ud2",
                clobber_abi("C")
            ),
            "map-late" => {
                if device::map(0xd000_0000, 4096).is_ok() {
                    return Err("a page was mapped after the seal");
                }
                panic!("map refused, as it must");
            }
            "out-of-memory" => out_of_memory(),
            _ => return Err("no such mode"),
        }
    }
    platform::console_write(b"still alive\n");
    Err("survived")
}

#[inline(never)]
unsafe fn execute(address: u64) {
    // SAFETY: none, see `die`.
    unsafe {
        let call: extern "C" fn() = core::mem::transmute(address as *const u8);
        call();
    }
}

/// Waits with the timer armed for a moment that no honest caller names.
pub fn wait_at(value: u64) {
    // SAFETY: the gate's wait call, whatever the value; it changes no register but these.
    unsafe {
        asm!("call gate_wait_call", in("edi") 1, inout("rax") value => _, out("rdx") _, out("rcx") _, out("rsi") _)
    }
}

#[inline(never)]
unsafe fn read(address: u64) {
    // SAFETY: none, see `die`.
    unsafe { black_box((address as *const u64).read_volatile()) };
}

#[inline(never)]
unsafe fn write(address: u64) {
    // SAFETY: none, see `die`.
    unsafe { (address as *mut u64).write_volatile(0) };
}

/// Does what `mode` needs done while ring 3 may still write the gate's data.
pub fn before_seal(mode: &str) {
    unsafe extern "C" {
        static gate_slot_registers: AtomicU64;
    }
    static TARGET: AtomicU64 = AtomicU64::new(0);
    if let Some(limit) = crate::argument("watchdog").and_then(|limit| limit.parse().ok()) {
        unik::platform::machine::set_watchdog(limit);
    }
    if mode == "gate-ac" {
        // SAFETY: as above; this is what a driver can't ask for.
        unsafe { gate_slot_registers.store(&raw const TARGET as u64, Ordering::Relaxed) };
    }
}

#[inline(never)]
pub fn spin() -> ! {
    loop {
        core::hint::spin_loop();
    }
}

/// The address of padding that the linker put between two functions.
fn padding() -> u64 {
    unsafe extern "C" {
        static __text_start: u8;
        static __text_end: u8;
    }
    let (start, end) = (&raw const __text_start, &raw const __text_end);
    // SAFETY: text, which ring 3 may read.
    let text = unsafe { core::slice::from_raw_parts(start, end as usize - start as usize) };
    // Behind a return.
    let found = text.windows(4).position(|bytes| bytes == [0xc3, 0xcc, 0xcc, 0xcc]);
    start as u64 + found.map_or(0, |at| at as u64 + 2)
}

/// The address of a symbol of the gate, or of the linker script.
fn symbol(name: &str) -> u64 {
    unsafe extern "C" {
        static gate_return: u8;
        static gate_breakpoint: u8;
        static gate_setup_breakpoint: u8;
        static gate_slot_registers: u8;
        static gate_idt: u8;
        static gate_tss: u8;
        static gate_stack_top: u8;
        static __image_end: u8;
        static __stack_bottom: u8;
        static __emergency_bottom: u8;
    }
    match name {
        "__image_end" => &raw const __image_end as u64,
        "__stack_bottom" => &raw const __stack_bottom as u64,
        "__emergency_bottom" => &raw const __emergency_bottom as u64,
        "gate_return" => &raw const gate_return as u64,
        "gate_breakpoint" => &raw const gate_breakpoint as u64,
        "gate_setup_breakpoint" => &raw const gate_setup_breakpoint as u64,
        "gate_slot_registers" => &raw const gate_slot_registers as u64,
        "gate_idt" => &raw const gate_idt as u64,
        "gate_tss" => &raw const gate_tss as u64,
        _ => &raw const gate_stack_top as u64,
    }
}

/// The root of the page tables.
fn page_tables() -> u64 {
    unsafe extern "C" {
        static __pool_start: u8;
    }
    &raw const __pool_start as u64
}

#[inline(never)]
#[allow(unconditional_recursion)]
fn recurse(depth: u64) -> u64 {
    let frame = black_box([depth; 32]);
    recurse(frame[7] + 1) + frame[depth as usize % 32]
}

fn out_of_memory() {
    let mut blocks = Vec::new();
    loop {
        blocks.push(black_box(Vec::<u8>::with_capacity(64 << 10)));
    }
}
