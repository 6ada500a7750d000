//! `memcpy` and its kin, which the compiler calls and no C library supplies.
//!
//! Blocks of 64 bytes through SSE2, because `rep movsb` is ten times slower on misaligned
//! buffers under some hypervisors. The ends are moved as blocks that may overlap those next
//! to them, so there are no byte loops. The loops are assembly, so that the compiler can't
//! turn them into calls of the very functions that they make up.

use core::arch::asm;
use core::arch::x86_64::{
    __m128i, _mm_cmpeq_epi8, _mm_loadu_si128, _mm_movemask_epi8, _mm_set1_epi8, _mm_storeu_si128,
};

/// Copies up to 64 bytes, which may overlap: all are loaded before the first is stored.
///
/// # Safety
/// `len` bytes are readable at `from` and writable at `to`; `len` is at most 64.
#[inline(always)]
unsafe fn move_up_to_64(to: *mut u8, from: *const u8, len: usize) {
    /// The first and the last `size_of::<T>()` bytes, which together are all of them.
    #[inline(always)]
    unsafe fn ends<T: Copy>(to: *mut u8, from: *const u8, len: usize) {
        // SAFETY: the caller has at least `size_of::<T>()` bytes at both.
        unsafe {
            let last = len - size_of::<T>();
            let head = from.cast::<T>().read_unaligned();
            let tail = from.add(last).cast::<T>().read_unaligned();
            to.cast::<T>().write_unaligned(head);
            to.add(last).cast::<T>().write_unaligned(tail);
        }
    }
    // SAFETY: each arm moves the ends of a length that has them.
    unsafe {
        match len {
            0 => {}
            1 => *to = *from,
            2..=3 => ends::<u16>(to, from, len),
            4..=7 => ends::<u32>(to, from, len),
            8..=15 => ends::<u64>(to, from, len),
            16..=32 => ends::<__m128i>(to, from, len),
            _ => ends::<[__m128i; 2]>(to, from, len),
        }
    }
}

/// Copies ascending in blocks of 64; the last 64 bytes are loaded first and stored last.
///
/// # Safety
/// `len` is more than 64, the ranges are readable and writable, and `to` is below `from` if
/// they overlap.
unsafe fn copy_up(to: *mut u8, from: *const u8, len: usize) {
    // SAFETY: the loop moves whole blocks short of the last 64 bytes, or up to 63 into them,
    // which were loaded before it.
    unsafe {
        let last = len - 64;
        let tail = from.add(last).cast::<[__m128i; 4]>().read_unaligned();
        asm!(
            "2:",
            "movdqu {a}, [{from}]",
            "movdqu {b}, [{from} + 16]",
            "movdqu {c}, [{from} + 32]",
            "movdqu {d}, [{from} + 48]",
            "add {from}, 64",
            "movdqu [{to}], {a}",
            "movdqu [{to} + 16], {b}",
            "movdqu [{to} + 32], {c}",
            "movdqu [{to} + 48], {d}",
            "add {to}, 64",
            "cmp {from}, {end}",
            "jb 2b",
            from = inout(reg) from => _,
            to = inout(reg) to => _,
            end = in(reg) from.add(last),
            a = out(xmm_reg) _, b = out(xmm_reg) _, c = out(xmm_reg) _, d = out(xmm_reg) _,
            options(nostack),
        );
        to.add(last).cast::<[__m128i; 4]>().write_unaligned(tail);
    }
}

/// Copies descending in blocks of 64; the first 64 bytes are loaded first and stored last.
///
/// # Safety
/// As [`copy_up`], but `to` is above `from` if they overlap.
unsafe fn copy_down(to: *mut u8, from: *const u8, len: usize) {
    // SAFETY: the mirror image of `copy_up`.
    unsafe {
        let head = from.cast::<[__m128i; 4]>().read_unaligned();
        asm!(
            "2:",
            "movdqu {a}, [{from} - 16]",
            "movdqu {b}, [{from} - 32]",
            "movdqu {c}, [{from} - 48]",
            "movdqu {d}, [{from} - 64]",
            "sub {from}, 64",
            "movdqu [{to} - 16], {a}",
            "movdqu [{to} - 32], {b}",
            "movdqu [{to} - 48], {c}",
            "movdqu [{to} - 64], {d}",
            "sub {to}, 64",
            "cmp {from}, {end}",
            "ja 2b",
            from = inout(reg) from.add(len) => _,
            to = inout(reg) to.add(len) => _,
            end = in(reg) from.add(64),
            a = out(xmm_reg) _, b = out(xmm_reg) _, c = out(xmm_reg) _, d = out(xmm_reg) _,
            options(nostack),
        );
        to.cast::<[__m128i; 4]>().write_unaligned(head);
    }
}

/// C's `memcpy`.
///
/// # Safety
/// `len` bytes are readable at `from` and writable at `to`, and don't overlap.
#[unsafe(no_mangle)]
unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, len: usize) -> *mut u8 {
    // SAFETY: the caller's.
    unsafe {
        if len <= 64 {
            move_up_to_64(to, from, len);
        } else {
            copy_up(to, from, len);
        }
    }
    to
}

/// C's `memmove`.
///
/// # Safety
/// `len` bytes are readable at `from` and writable at `to`.
#[unsafe(no_mangle)]
unsafe extern "C" fn memmove(to: *mut u8, from: *const u8, len: usize) -> *mut u8 {
    // SAFETY: the caller's; the distance tells which direction reads each byte in time.
    unsafe {
        if len <= 64 {
            move_up_to_64(to, from, len);
        } else if (to as usize).wrapping_sub(from as usize) >= len {
            copy_up(to, from, len);
        } else {
            copy_down(to, from, len);
        }
    }
    to
}

/// C's `memset`.
///
/// # Safety
/// `len` bytes are writable at `to`.
#[unsafe(no_mangle)]
unsafe extern "C" fn memset(to: *mut u8, value: i32, len: usize) -> *mut u8 {
    let word = u64::from(value as u8).wrapping_mul(0x0101_0101_0101_0101);
    // SAFETY: as in `move_up_to_64` and `copy_up`: ends that have room, and whole blocks that
    // stay below the last 64 bytes or run up to 63 into them.
    unsafe {
        let block = _mm_set1_epi8(value as i8);
        let store = |offset: usize| _mm_storeu_si128(to.add(offset).cast(), block);
        match len {
            0 => {}
            1 => *to = value as u8,
            2..=3 => {
                to.cast::<u16>().write_unaligned(word as u16);
                to.add(len - 2).cast::<u16>().write_unaligned(word as u16);
            }
            4..=7 => {
                to.cast::<u32>().write_unaligned(word as u32);
                to.add(len - 4).cast::<u32>().write_unaligned(word as u32);
            }
            8..=15 => {
                to.cast::<u64>().write_unaligned(word);
                to.add(len - 8).cast::<u64>().write_unaligned(word);
            }
            16..=32 => {
                store(0);
                store(len - 16);
            }
            33..=64 => {
                store(0);
                store(16);
                store(len - 32);
                store(len - 16);
            }
            _ => {
                asm!(
                    "2:",
                    "movdqu [{to}], {block}",
                    "movdqu [{to} + 16], {block}",
                    "movdqu [{to} + 32], {block}",
                    "movdqu [{to} + 48], {block}",
                    "add {to}, 64",
                    "cmp {to}, {end}",
                    "jb 2b",
                    to = inout(reg) to => _,
                    end = in(reg) to.add(len - 64),
                    block = in(xmm_reg) block,
                    options(nostack),
                );
                store(len - 64);
                store(len - 48);
                store(len - 32);
                store(len - 16);
            }
        }
    }
    to
}

/// C's `memcmp`: the sign tells the order of the first bytes that differ.
///
/// # Safety
/// `len` bytes are readable at both.
#[unsafe(no_mangle)]
unsafe extern "C" fn memcmp(left: *const u8, right: *const u8, len: usize) -> i32 {
    /// All ones where the 16 bytes at `offset` are equal.
    #[inline(always)]
    unsafe fn equal_16(left: *const u8, right: *const u8, offset: usize) -> u32 {
        // SAFETY: the caller has 16 bytes at both.
        unsafe {
            let left = _mm_loadu_si128(left.add(offset).cast());
            let right = _mm_loadu_si128(right.add(offset).cast());
            _mm_movemask_epi8(_mm_cmpeq_epi8(left, right)) as u32
        }
    }
    // SAFETY: all offsets stay below `len`.
    unsafe {
        let mut offset = 0;
        while len - offset >= 16 {
            let equal = equal_16(left, right, offset);
            if equal != 0xffff {
                let at = offset + (!equal).trailing_zeros() as usize;
                return i32::from(*left.add(at)) - i32::from(*right.add(at));
            }
            offset += 16;
        }
        while offset < len {
            let order = i32::from(*left.add(offset)) - i32::from(*right.add(offset));
            if order != 0 {
                return order;
            }
            offset += 1;
        }
    }
    0
}

/// BSD's `bcmp`, which the compiler calls when only equality matters.
///
/// # Safety
/// `len` bytes are readable at both.
#[unsafe(no_mangle)]
unsafe extern "C" fn bcmp(left: *const u8, right: *const u8, len: usize) -> i32 {
    // SAFETY: the caller's.
    unsafe { memcmp(left, right, len) }
}
