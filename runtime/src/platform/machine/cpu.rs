//! What the processor is and can do: CPUID, the time stamp counter, RDRAND.
//!
//! `cpuid` is expensive in a guest (17,000 cycles where virtualisation is nested), so each
//! leaf is read once, at boot.

use core::arch::x86_64::{__cpuid, __cpuid_count, _rdrand64_step, _rdtsc};
use core::cell::Cell;

use super::OneThread;

/// CR4 as boot sets it: PAE, OSFXSR, OSXMMEXCPT, and OSXSAVE in an image built for AVX.
pub const CR4_BOOT: u64 = 1 << 5 | 1 << 9 | 1 << 10 | if XCR0_BOOT != 0 { 1 << 18 } else { 0 };
/// XCR0 as boot sets it: the register state of what the image was built for; 0 if it needs
/// nothing beyond SSE. Boot sets it, because the first Rust code may use it already.
pub const XCR0_BOOT: u32 = if cfg!(target_feature = "avx512f") {
    0xe7
} else if cfg!(target_feature = "avx") {
    7
} else {
    0
};
const CR4_MCE: u64 = 1 << 6;
const CR4_UMIP: u64 = 1 << 11;
const CR4_FSGSBASE: u64 = 1 << 16;
const CR4_SMEP: u64 = 1 << 20;
const CR4_SMAP: u64 = 1 << 21;

/// What boot and the clock want to know of the processor.
#[derive(Clone, Copy, Debug, Default)]
pub struct Features {
    /// The local APIC has its registers in MSRs.
    pub x2apic: bool,
    /// The local APIC's timer can fire at a value of the time stamp counter.
    pub tsc_deadline: bool,
    /// `rdrand`.
    pub rdrand: bool,
    /// Bits of a physical address.
    pub physical_bits: u8,
    /// The machine runs under a hypervisor.
    pub hypervisor: bool,
    /// CR4 up to the seal.
    pub cr4: u64,
    /// What the seal adds to CR4.
    pub cr4_seal: u64,
}

static FEATURES: OneThread<Cell<Features>> = OneThread::new(Cell::new(Features {
    x2apic: false,
    tsc_deadline: false,
    rdrand: false,
    physical_bits: 36,
    hypervisor: false,
    cr4: CR4_BOOT,
    cr4_seal: 0,
}));

/// What [`start`] found.
pub fn features() -> Features {
    FEATURES.get()
}

/// The bits of CPUID 1.ECX and 7.EBX that stand for what the image was built for.
pub const BUILT_FOR: (u32, u32) = {
    const fn bit(has: bool, bit: u32) -> u32 {
        if has { 1 << bit } else { 0 }
    }
    (
        bit(cfg!(target_feature = "sse3"), 0)
            | bit(cfg!(target_feature = "ssse3"), 9)
            | bit(cfg!(target_feature = "fma"), 12)
            | bit(cfg!(target_feature = "cmpxchg16b"), 13)
            | bit(cfg!(target_feature = "sse4.1"), 19)
            | bit(cfg!(target_feature = "sse4.2"), 20)
            | bit(cfg!(target_feature = "movbe"), 22)
            | bit(cfg!(target_feature = "popcnt"), 23)
            | bit(cfg!(target_feature = "avx"), 28)
            | bit(cfg!(target_feature = "f16c"), 29),
        bit(cfg!(target_feature = "bmi1"), 3)
            | bit(cfg!(target_feature = "avx2"), 5)
            | bit(cfg!(target_feature = "bmi2"), 8)
            | bit(cfg!(target_feature = "avx512f"), 16),
    )
};

/// What boot asks CPUID 1.ECX for before it switches AVX on: that, and XSAVE.
pub const BOOT_NEEDS: u32 = BUILT_FOR.0 | 1 << 26;

/// Reads the feature leaves.
///
/// # Panics
/// If the processor lacks what the image was built for; as far as this code gets without.
pub fn start() {
    let bit = |word: u32, bit: u32| word >> bit & 1 == 1;
    let when = |has: bool, flag: u64| if has { flag } else { 0 };
    let last = __cpuid(0).eax;
    let one = __cpuid(1);
    let (seven_b, seven_c) = if last >= 7 {
        let leaf = __cpuid_count(7, 0);
        (leaf.ebx, leaf.ecx)
    } else {
        (0, 0)
    };
    assert!(
        BUILT_FOR.0 & !one.ecx == 0 && BUILT_FOR.1 & !seven_b == 0,
        "the processor lacks what the image was built for: CPUID 1.ECX {:x}, 7.EBX {:x}",
        BUILT_FOR.0 & !one.ecx,
        BUILT_FOR.1 & !seven_b
    );
    let physical_bits =
        if __cpuid(0x8000_0000).eax >= 0x8000_0008 { __cpuid(0x8000_0008).eax as u8 } else { 36 };
    FEATURES.set(Features {
        x2apic: bit(one.ecx, 21),
        tsc_deadline: bit(one.ecx, 24),
        rdrand: bit(one.ecx, 30),
        physical_bits,
        hypervisor: bit(one.ecx, 31),
        cr4: CR4_BOOT | when(bit(one.edx, 7), CR4_MCE) | when(bit(seven_b, 0), CR4_FSGSBASE),
        cr4_seal: when(bit(seven_b, 7), CR4_SMEP)
            | when(bit(seven_b, 20), CR4_SMAP)
            | when(bit(seven_c, 2), CR4_UMIP),
    });
}

/// The time stamp counter.
#[inline]
pub fn tsc() -> u64 {
    // SAFETY: `rdtsc` reads a counter; CR4.TSD is never set.
    unsafe { _rdtsc() }
}

/// 64 random bits from the processor; `None` if it has no generator or none were ready in
/// ten tries (SDM volume 1, 7.3.17.1).
pub fn random() -> Option<u64> {
    #[target_feature(enable = "rdrand")]
    fn step() -> Option<u64> {
        let mut value = 0;
        (_rdrand64_step(&mut value) == 1).then_some(value)
    }
    if !features().rdrand {
        return None;
    }
    // SAFETY: CPUID says that the instruction exists.
    (0..10).find_map(|_| unsafe { step() })
}
