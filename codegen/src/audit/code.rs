//! Executable bytes, decoded: what they may do, and what they refer to.

use std::ops::Range;

use iced_x86::{Decoder, DecoderOptions, FlowControl, Instruction, Mnemonic, OpKind, Register};

/// An instruction that only ring 0 may run, or that leaves ring 3 another way than the gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Special {
    /// Where it stands.
    pub address: u64,
    /// What it is.
    pub kind: SpecialKind,
    /// Its name, in lower case when shown.
    pub mnemonic: Mnemonic,
}

/// What is special about an instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpecialKind {
    /// It reads or writes an I/O port.
    Port,
    /// Only ring 0 may run it, or it enters ring 0 by another way than the gate.
    Privileged,
    /// `int3`: the way into the gate, and what fills the room between functions.
    Breakpoint,
    /// It can't be decoded.
    Undecodable,
}

/// A reference from code or data to an address of the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reference {
    /// The instruction, or the word of data.
    pub from: u64,
    /// What it refers to.
    pub to: u64,
}

/// What decoding found.
#[derive(Clone, Debug, Default)]
pub struct Decoded {
    /// How many instructions there are.
    pub instructions: u64,
    /// Those to look at.
    pub special: Vec<Special>,
    /// What they refer to.
    pub references: Vec<Reference>,
    /// Constants that don't fit 16 bits: what an identifier or a magic number would be.
    pub constants: Vec<u64>,
}

/// Numbers that stand in nearly all Rust code and may look like addresses: one past the
/// last `char`, which is how `Option<char>` says none, and its neighbours.
const NO_ADDRESS: Range<u64> = 0x10_ffff..0x11_0003;

impl Decoded {
    /// Decodes `bytes`, which are loaded at `address`. `starts` are addresses where a function
    /// begins, sorted: nothing goes on across them. `image` holds the addresses that a
    /// reference may go to.
    pub fn add(&mut self, bytes: &[u8], address: u64, starts: &[u64], image: &[Range<u64>]) {
        let end = address.saturating_add(bytes.len() as u64);
        let first = starts.partition_point(|&start| start <= address);
        let mut limits: Vec<u64> = starts[first..].iter().copied().take_while(|&start| start < end).collect();
        limits.push(end);
        let mut from = address;
        for limit in limits {
            let range = (from - address) as usize..(limit - address) as usize;
            if let Some(part) = bytes.get(range) {
                self.stretch(part, from, image);
            }
            from = limit;
        }
    }

    fn stretch(&mut self, bytes: &[u8], address: u64, image: &[Range<u64>]) {
        let mut decoder = Decoder::with_ip(64, bytes, address, DecoderOptions::NONE);
        let mut instruction = Instruction::default();
        while decoder.can_decode() {
            decoder.decode_out(&mut instruction);
            self.instructions += 1;
            let at = instruction.ip();
            if let Some(kind) = special(&instruction) {
                self.special.push(Special { address: at, kind, mnemonic: instruction.mnemonic() });
            }
            self.refer(&instruction, image);
        }
    }

    fn refer(&mut self, instruction: &Instruction, image: &[Range<u64>]) {
        let inside = |to: u64| image.iter().any(|range| range.contains(&to));
        let from = instruction.ip();
        if matches!(
            instruction.flow_control(),
            FlowControl::Call | FlowControl::UnconditionalBranch | FlowControl::ConditionalBranch
        ) && instruction.op0_kind() == OpKind::NearBranch64
        {
            let to = instruction.near_branch64();
            if inside(to) {
                self.references.push(Reference { from, to });
            }
            return;
        }
        for operand in 0..instruction.op_count() {
            let to = match instruction.op_kind(operand) {
                OpKind::Memory if instruction.is_ip_rel_memory_operand() => {
                    instruction.ip_rel_memory_address()
                }
                OpKind::Memory if instruction.memory_displ_size() >= 4 => instruction.memory_displacement64(),
                OpKind::Immediate32 | OpKind::Immediate64 | OpKind::Immediate32to64 => {
                    instruction.immediate(operand)
                }
                _ => continue,
            };
            if inside(to) && !NO_ADDRESS.contains(&to) {
                self.references.push(Reference { from, to });
            } else if to > 0xffff && instruction.memory_base() != Register::RSP {
                self.constants.push(to);
            }
        }
    }
}

/// What is special about an instruction, if something is.
pub(super) fn special(instruction: &Instruction) -> Option<SpecialKind> {
    use Mnemonic::*;
    match instruction.mnemonic() {
        INVALID => Some(SpecialKind::Undecodable),
        In | Insb | Insw | Insd | Out | Outsb | Outsw | Outsd => Some(SpecialKind::Port),
        Int3 => Some(SpecialKind::Breakpoint),
        // Not all of these are privileged by themselves; none has a use in ring 3 here.
        Syscall | Sysenter | Sysexit | Sysret | Int | Int1 | Into | Iret | Iretd | Iretq | Swapgs | Stac
        | Clac | Retf | Vmcall | Vmmcall | Rsm => Some(SpecialKind::Privileged),
        // Far transfers load a selector.
        Call | Jmp if is_far(instruction) => Some(SpecialKind::Privileged),
        _ if instruction.is_privileged() => Some(SpecialKind::Privileged),
        _ => None,
    }
}

fn is_far(instruction: &Instruction) -> bool {
    instruction.is_call_far_indirect()
        || instruction.is_jmp_far_indirect()
        || instruction.is_call_far()
        || instruction.is_jmp_far()
}

/// The pointers in `bytes` of data at `address`: aligned words that are addresses of the image.
pub fn pointers(bytes: &[u8], address: u64, image: &[Range<u64>]) -> Vec<Reference> {
    let skip = (address.wrapping_neg() & 7) as usize;
    let words = bytes.get(skip..).unwrap_or(&[]).chunks_exact(8);
    words
        .enumerate()
        .filter_map(|(at, word)| {
            let to = u64::from_le_bytes(word.try_into().ok()?);
            let inside = image.iter().any(|range| range.contains(&to)) && !NO_ADDRESS.contains(&to);
            inside.then(|| Reference { from: address + (skip + 8 * at) as u64, to })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const IMAGE: Range<u64> = 0x1000..0x3000;

    fn decode(bytes: &[u8]) -> Decoded {
        let mut decoded = Decoded::default();
        decoded.add(bytes, 0x1000, &[0x1000], &[IMAGE]);
        decoded
    }

    fn kinds(bytes: &[u8]) -> Vec<SpecialKind> {
        decode(bytes).special.iter().map(|special| special.kind).collect()
    }

    #[test]
    fn what_ring_3_must_not_run_is_found() {
        use SpecialKind::*;
        let cases: [(&[u8], SpecialKind); 21] = [
            (&[0x0f, 0x30], Privileged),                   // wrmsr
            (&[0x0f, 0x32], Privileged),                   // rdmsr
            (&[0x0f, 0x22, 0xd8], Privileged),             // mov cr3, rax
            (&[0x0f, 0x20, 0xd8], Privileged),             // mov rax, cr3
            (&[0x0f, 0x23, 0xc0], Privileged),             // mov dr0, rax
            (&[0x0f, 0x01, 0x10], Privileged),             // lgdt
            (&[0x0f, 0x01, 0x18], Privileged),             // lidt
            (&[0x0f, 0x00, 0xd0], Privileged),             // lldt ax
            (&[0x0f, 0x00, 0xd8], Privileged),             // ltr ax
            (&[0x0f, 0x01, 0x38], Privileged),             // invlpg
            (&[0x66, 0x0f, 0x38, 0x82, 0x00], Privileged), // invpcid
            (&[0xf4], Privileged),                         // hlt
            (&[0xfa], Privileged),                         // cli
            (&[0xfb], Privileged),                         // sti
            (&[0x48, 0xcf], Privileged),                   // iretq
            (&[0x0f, 0x05], Privileged),                   // syscall
            (&[0xcd, 0x80], Privileged),                   // int 0x80
            (&[0xff, 0x28], Privileged),                   // jmp far [rax]
            (&[0xee], Port),                               // out dx, al
            (&[0xed], Port),                               // in eax, dx
            (&[0x06], Undecodable),                        // push es: none in 64-bit mode
        ];
        for (bytes, kind) in cases {
            assert_eq!(kinds(bytes), [kind], "{bytes:x?}");
        }
        assert!(kinds(&[0x90, 0xc3, 0x0f, 0x31, 0x0f, 0xa2]).is_empty(), "nop, ret, rdtsc, cpuid");
        assert_eq!(kinds(&[0xcc]), [Breakpoint]);
    }

    #[test]
    fn references_are_those_into_the_image() {
        // lea rax, [rip + 0x10]; mov esi, 0x2000; call +0; mov eax, 0x110000; mov eax, 0x12345678
        let bytes = [
            0x48, 0x8d, 0x05, 0x10, 0, 0, 0, 0xbe, 0, 0x20, 0, 0, 0xe8, 0, 0, 0, 0, 0xb8, 0, 0, 0x11, 0,
            0xb8, 0x78, 0x56, 0x34, 0x12,
        ];
        let decoded = decode(&bytes);
        let to: Vec<u64> = decoded.references.iter().map(|reference| reference.to).collect();
        assert_eq!(to, [0x1017, 0x2000, 0x1011]);
        assert!(decoded.constants.contains(&0x1234_5678));
    }

    #[test]
    fn a_function_starts_a_new_stretch() {
        // A `mov eax, imm32` that is cut by the start of the next function.
        let mut decoded = Decoded::default();
        decoded.add(&[0xb8, 0, 0x0f, 0x30], 0x1000, &[0x1000, 0x1002], &[]);
        let kinds: Vec<_> = decoded.special.iter().map(|special| special.kind).collect();
        assert_eq!(kinds, [SpecialKind::Undecodable, SpecialKind::Privileged]);
    }

    #[test]
    fn pointers_are_aligned_words() {
        let mut bytes = vec![0; 4];
        bytes.extend(0x1008u64.to_le_bytes());
        bytes.extend(0x9000u64.to_le_bytes());
        assert_eq!(pointers(&bytes, 0x2004, &[IMAGE]), [Reference { from: 0x2008, to: 0x1008 }]);
        assert!(pointers(&[1], 0x2001, &[]).is_empty());
    }
}
