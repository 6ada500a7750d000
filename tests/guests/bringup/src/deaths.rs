//! Ways to die, each by name. None returns; one that does is a failure.

use alloc::vec::Vec;
use core::arch::asm;
use core::hint::black_box;

use unik::platform::{self, machine::device};

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
            "execute-data" => {
                let code = alloc::vec![0xc3_u8; 16];
                let call: extern "C" fn() = core::mem::transmute(code.as_ptr());
                call();
            }
            "execute-stack" => {
                let code = black_box([0xc3_u8; 16]);
                let call: extern "C" fn() = core::mem::transmute(code.as_ptr());
                call();
            }
            "stack-overflow" => {
                black_box(recurse(1));
            }
            "undefined" => asm!("ud2"),
            "divide" => asm!("div {zero:e}", zero = in(reg) 0, inout("eax") 1 => _, inout("edx") 0 => _),
            "privileged" => asm!("cli"),
            "halt" => asm!("hlt"),
            "load-cr3" => asm!("mov cr3, {}", in(reg) 0_u64),
            // One of the `int3`s that the linker puts between functions, or just like them.
            "padding" => asm!("int3"),
            // The setup call, which is closed after the seal: CR4 without SMEP, WRMSR of EFER.
            "gate-cr4" => asm!("call gate_setup_call", in("edi") 2, in("rsi") page_tables(), in("rdx") 0x620_u64, clobber_abi("C")),
            "gate-msr" => {
                asm!("call gate_setup_call", in("edi") 0, in("ecx") 0xc000_0080_u32, in("eax") 0x901, in("edx") 0, clobber_abi("C"))
            }
            // Neither of the two sites.
            "gate-other-site" => asm!("mov edi, 1", "int3", "nop", clobber_abi("C")),
            // Before the seal the same call faults in ring 0 itself: long mode needs PAE.
            "gate-no-pae" => {
                asm!("call gate_setup_call", in("edi") 2, in("rsi") page_tables(), in("rdx") 0x600_u64, clobber_abi("C"));
            }
            "gate-read" => read(symbol("gate_breakpoint")),
            "gate-write-idt" => write(symbol("gate_idt")),
            "gate-write-stack" => write(symbol("gate_stack_top") - 8),
            "page-table-write" => write(page_tables()),
            "port" => asm!("out dx, al", in("dx") 0xcf8_u16, in("al") 0_u8),
            "local-apic" => read(0xfee0_0020),
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
unsafe fn read(address: u64) {
    // SAFETY: none, see `die`.
    unsafe { black_box((address as *const u64).read_volatile()) };
}

#[inline(never)]
unsafe fn write(address: u64) {
    // SAFETY: none, see `die`.
    unsafe { (address as *mut u64).write_volatile(0) };
}

/// The address of a symbol of the gate.
fn symbol(name: &str) -> u64 {
    unsafe extern "C" {
        static gate_breakpoint: u8;
        static gate_idt: u8;
        static gate_stack_top: u8;
    }
    match name {
        "gate_breakpoint" => &raw const gate_breakpoint as u64,
        "gate_idt" => &raw const gate_idt as u64,
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
