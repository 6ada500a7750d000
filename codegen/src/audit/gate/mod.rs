//! The gate of an image: what stays in ring 0, and every way into it.
//!
//! The image carries the table that its interrupt descriptors are filled from (note of type
//! 5), so the table is complete: 32 bytes a row.
//!
//! | bytes | hold |
//! |---|---|
//! | 0 | first vector |
//! | 1 | vectors from there; 0 for a call site, which vector 3 is accepted from |
//! | 2 | the least privileged ring that may raise it by an instruction: 0, or 3 |
//! | 3 | stack of its own (IST), 0 for the gate's |
//! | 8 to 15 | address of the first stub, or of the call site |
//! | 16 to 31 | name, filled with zeros |

pub mod assembled;
pub mod own;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use iced_x86::{Code, Decoder, DecoderOptions, FlowControl, Mnemonic, OpKind, Register};
use serde::Serialize;

use super::Finding;
use crate::image::note_bytes;
use crate::{Error, note};

/// Code that may be in the gate, at most, in bytes.
pub const LIMIT: u64 = 1024;

/// What is left in ring 0.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Gate {
    /// Bytes of code that stay after the seal.
    pub bytes: u64,
    /// Bytes of code that boot needs, and that the seal unmaps.
    pub boot: u64,
    /// The ways in.
    pub entries: Vec<Entry>,
    /// The privileged instructions that stay, and how many of each.
    pub privileged: BTreeMap<String, u32>,
    /// The registers that `wrmsr` writes.
    pub registers: Vec<u32>,
    /// The functions of the runtime with instructions of port I/O.
    pub ports: Vec<String>,
    /// The I/O ports that stay open after the seal, and for what.
    pub open_ports: Vec<(String, String)>,
}

/// A way into ring 0.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Entry {
    /// Its name.
    pub name: String,
    /// Its vectors; none for a call site.
    pub vectors: Range<u16>,
    /// Whether ring 3 may raise it by an instruction.
    pub by_ring_3: bool,
    /// The address of its first stub, or of its call site.
    pub address: u64,
}

impl Entry {
    /// Whether it is a place in ring 3 that calls the gate by `int3`.
    #[must_use]
    pub const fn is_call(&self) -> bool {
        self.vectors.start == self.vectors.end
    }
}

/// The table of entries in an image, if it has one.
///
/// # Errors
/// When it is no image.
pub fn entries(image: &[u8]) -> Result<Vec<Entry>, Error> {
    let Some(bytes) = note_bytes(image, note::GATE)? else { return Ok(Vec::new()) };
    let rows = bytes.chunks_exact(32).filter_map(|row| {
        let name = row.get(16..32)?;
        let name = name.split(|&byte| byte == 0).next().unwrap_or(name);
        let (first, count) = (u16::from(row[0]), u16::from(row[1]));
        Some(Entry {
            name: String::from_utf8_lossy(name).into_owned(),
            vectors: first..if count == 0 { first } else { first + count },
            by_ring_3: row[2] == 3,
            address: u64::from_le_bytes(row.get(8..16)?.try_into().ok()?),
        })
    });
    Ok(rows.collect())
}

/// What the table itself must be: no vector twice, one that ring 3 may raise, stubs in the
/// gate and call sites outside.
pub fn table(entries: &[Entry], gate: &Range<u64>, text: &Range<u64>) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut taken = [false; 256];
    for entry in entries {
        let place = if entry.is_call() { text } else { gate };
        if !place.contains(&entry.address) {
            let message =
                format!("the gate's entry `{}` is at {:#x}, outside its place", entry.name, entry.address);
            found.push(Finding::at(message, entry.address));
        }
        for vector in entry.vectors.clone() {
            match taken.get_mut(usize::from(vector)) {
                Some(taken) if !*taken => *taken = true,
                _ => found.push(Finding::new(format!(
                    "the gate's entry `{}` takes vector {vector} again",
                    entry.name
                ))),
            }
        }
        if entry.by_ring_3 && entry.vectors != (3..4) && !entry.is_call() {
            found.push(Finding::new(format!(
                "ring 3 may raise the gate's entry `{}`, which is no `int3`",
                entry.name
            )));
        }
    }
    found
}

/// The registers that `wrmsr` may write after the seal: the timer's deadline, the timer's
/// count, the end of an interrupt (SDM volume 4).
pub const REGISTERS: [u32; 3] = [0x6e0, 0x838, 0x80b];
/// The ports that the gate may write: both end the machine.
pub const PORTS: [u64; 2] = [0xf4, 0x64];

/// Looks at the code that stays after the seal. Counts its privileged instructions in `gate`.
pub fn code(bytes: &[u8], address: u64, gate: &mut Gate) -> Vec<Finding> {
    let mut found = Vec::new();
    let all = || Decoder::with_ip(64, bytes, address, DecoderOptions::NONE).into_iter();
    let targets: BTreeSet<u64> = all()
        .filter(|instruction| instruction.op0_kind() == OpKind::NearBranch64)
        .map(|instruction| instruction.near_branch64())
        .collect();
    // What `ecx` holds, where all ways to an instruction lead through the one that set it.
    let mut ecx: Option<u32> = None;
    for instruction in all() {
        let mnemonic = instruction.mnemonic();
        let name = format!("{mnemonic:?}").to_lowercase();
        if targets.contains(&instruction.ip()) {
            ecx = None;
        }
        let fine = match mnemonic {
            // Padding.
            Mnemonic::Int3 => true,
            Mnemonic::INVALID => false,
            Mnemonic::Iretq | Mnemonic::Sti | Mnemonic::Cli | Mnemonic::Hlt => true,
            Mnemonic::Mov if instruction.code() == Code::Mov_r64_cr => {
                instruction.op1_register() == Register::CR2
            }
            Mnemonic::Wrmsr => ecx.is_some_and(|register| {
                gate.registers.push(register);
                REGISTERS.contains(&register)
            }),
            Mnemonic::Out => {
                instruction.op0_kind() == OpKind::Immediate8 && PORTS.contains(&instruction.immediate(0))
            }
            _ => super::code::special(&instruction).is_none(),
        };
        if super::code::special(&instruction).is_some() && mnemonic != Mnemonic::Int3 {
            *gate.privileged.entry(name.clone()).or_default() += 1;
        }
        if !fine {
            let message = format!(
                "the gate has `{name}` at {:#x}, which may not stay after the seal",
                instruction.ip()
            );
            found.push(Finding::at(message, instruction.ip()));
        }
        let sets = mnemonic == Mnemonic::Mov
            && instruction.op0_register() == Register::ECX
            && instruction.op1_kind() == OpKind::Immediate32;
        if sets {
            ecx = Some(instruction.immediate32());
        } else if instruction.op0_register().full_register() == Register::RCX
            || instruction.flow_control() != FlowControl::Next
        {
            ecx = None;
        }
    }
    gate.registers.sort_unstable();
    gate.registers.dedup();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gate_may_do_what_is_listed() {
        // mov ecx, 0x6e0; xor eax, eax; wrmsr; sti; hlt; cli; iretq; out 0xf4, al; mov rax, cr2; int3
        let fine = [
            0xb9, 0xe0, 0x06, 0, 0, 0x31, 0xc0, 0x0f, 0x30, 0xfb, 0xf4, 0xfa, 0x48, 0xcf, 0xe6, 0xf4, 0x0f,
            0x20, 0xd0, 0xcc,
        ];
        let mut gate = Gate::default();
        assert_eq!(code(&fine, 0x1000, &mut gate), []);
        assert_eq!(gate.registers, [0x6e0]);
        assert_eq!(gate.privileged.get("wrmsr"), Some(&1));
    }

    #[test]
    fn and_nothing_else() {
        let cases: [&[u8]; 13] = [
            &[0x0f, 0x30],                         // wrmsr of any register
            &[0xb9, 0x80, 0, 0, 0xc0, 0x0f, 0x30], // wrmsr of EFER
            // A jump to the wrmsr, past the `mov ecx, 0x6e0`; a pop of ecx after it.
            &[0xeb, 0x05, 0xb9, 0xe0, 0x06, 0, 0, 0x0f, 0x30],
            &[0xb9, 0xe0, 0x06, 0, 0, 0x59, 0x0f, 0x30],
            &[0x0f, 0x22, 0xd8], // mov cr3, rax
            &[0x0f, 0x20, 0xd8], // mov rax, cr3
            &[0x0f, 0x01, 0x10], // lgdt
            &[0x0f, 0x01, 0x18], // lidt
            &[0x0f, 0x00, 0xd8], // ltr
            &[0x0f, 0x01, 0x38], // invlpg
            &[0xe6, 0x70],       // out 0x70, al
            &[0xee],             // out dx, al
            &[0x0f, 0x01, 0xf8], // swapgs
        ];
        for bytes in cases {
            assert_eq!(code(bytes, 0x1000, &mut Gate::default()).len(), 1, "{bytes:x?}");
        }
    }

    #[test]
    fn entries_have_a_vector_each_and_a_place() {
        let entry = |name: &str, vectors, by_ring_3, address| Entry {
            name: name.into(),
            vectors,
            by_ring_3,
            address,
        };
        let (gate, text) = (0x1000..0x1400, 0x2000..0x9000);
        let good = [
            entry("exceptions", 0..3, false, 0x1000),
            entry("call", 3..4, true, 0x1100),
            entry("wait", 0..0, true, 0x2001),
        ];
        assert_eq!(table(&good, &gate, &text), []);
        for wrong in [
            entry("twice", 2..3, false, 0x1010),
            entry("outside", 9..10, false, 0x2000),
            entry("raised", 9..10, true, 0x1010),
            entry("site in the gate", 0..0, true, 0x1010),
        ] {
            let mut entries = good.to_vec();
            entries.push(wrong.clone());
            assert_eq!(table(&entries, &gate, &text).len(), 1, "{wrong:?}");
        }
    }
}
