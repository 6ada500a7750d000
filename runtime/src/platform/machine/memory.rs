//! Guest memory: what the monitor says there is, and the heap over what the image leaves.

use core::alloc::{GlobalAlloc, Layout};
use core::cell::{Cell, UnsafeCell};
use core::fmt::Write;
use core::ptr::{self, NonNull};

use rlsf::Tlsf;

use super::super::Ending;
use super::console::{self, Console};
use super::exit::exit;
use super::ranges::{MAX_RANGES, Memory};
use super::{OneThread, linker_symbol};

pub use super::ranges::Range;

/// Bytes of a boot line: twice what Linux takes.
const MAX_BOOT_LINE: usize = 4096;
/// The boot page tables reach so far.
const BOOT_REACH: u64 = 1 << 30;
const MIB: u64 = 1 << 20;

static RAM: OneThread<Cell<[Range; MAX_RANGES]>> =
    OneThread::new(Cell::new([Range { start: 0, end: 0 }; MAX_RANGES]));
static BOOT_LINE_BYTES: OneThread<UnsafeCell<[u8; MAX_BOOT_LINE]>> =
    OneThread::new(UnsafeCell::new([0; MAX_BOOT_LINE]));
static BOOT_LINE: OneThread<Cell<&'static str>> = OneThread::new(Cell::new(""));

/// `hvm_start_info`, version 1.
#[repr(C)]
#[derive(Clone, Copy)]
struct StartInfo {
    magic: u32,
    version: u32,
    flags: u32,
    module_count: u32,
    modules: u64,
    boot_line: u64,
    rsdp: u64,
    map: u64,
    map_entries: u32,
    reserved: u32,
}

/// `hvm_memmap_table_entry`.
#[repr(C)]
#[derive(Clone, Copy)]
struct MapEntry {
    address: u64,
    size: u64,
    kind: u32,
    reserved: u32,
}

const START_INFO_MAGIC: u32 = 0x336e_c578;
const KIND_RAM: u32 = 1;

/// Takes the memory map and the boot line out of the monitor's start info, which isn't
/// mapped any more when the boot page tables are gone.
///
/// # Panics
/// If the start info isn't one, or points where it can't be read.
pub fn start(start_info: u64) {
    let info: StartInfo = read_boot(start_info);
    assert!(info.magic == START_INFO_MAGIC, "the monitor gave no PVH start info");
    assert!(info.version >= 1 && info.map_entries > 0, "the monitor gave no memory map");
    let mut memory = Memory::NONE;
    for index in 0..u64::from(info.map_entries) {
        let entry: MapEntry = read_boot(info.map.saturating_add(index * size_of::<MapEntry>() as u64));
        if entry.kind == KIND_RAM {
            memory.add(Range { start: entry.address, end: entry.address.saturating_add(entry.size) });
        }
    }
    RAM.set(memory.ranges);
    if memory.lost > 0 {
        // Console never fails.
        let _ = writeln!(
            Console,
            "WARN unik: the memory is in more than {MAX_RANGES} pieces, {} KiB of it are not used",
            memory.lost >> 10
        );
    }
    if info.boot_line != 0 {
        copy_boot_line(info.boot_line);
    }
}

/// Reads what the monitor left in memory.
fn read_boot<T: Copy>(address: u64) -> T {
    let end = address.checked_add(size_of::<T>() as u64);
    assert!(
        address != 0 && end.is_some_and(|end| end <= BOOT_REACH),
        "the monitor put its start info above 1 GiB"
    );
    // SAFETY: the range is within what the boot page tables map, and isn't null; `T` is one
    // of the two structures above or a byte, for which all bits are values.
    unsafe { ptr::read_unaligned(address as *const T) }
}

fn copy_boot_line(address: u64) {
    // SAFETY: called once, from `start`; nothing else refers to the bytes yet.
    let bytes = unsafe { &mut *BOOT_LINE_BYTES.get() };
    let mut len = 0;
    loop {
        let byte: u8 = read_boot(address + len as u64);
        if byte == 0 {
            break;
        }
        if len == MAX_BOOT_LINE {
            refuse(b"error: the boot line is longer than 4096 bytes\n");
        }
        bytes[len] = byte;
        len += 1;
    }
    match core::str::from_utf8(&bytes[..len]) {
        Ok(text) => BOOT_LINE.set(text),
        Err(_) => refuse(b"error: the boot line isn't UTF-8\n"),
    }
}

/// Ends the machine: what is on such a line can't be told.
fn refuse(why: &[u8]) -> ! {
    console::write(why);
    exit(Ending::Failed)
}

/// The boot line, as the monitor gave it.
pub fn boot_line() -> &'static str {
    BOOT_LINE.get()
}

/// Every range of guest memory, whoever uses it.
pub fn ram() -> impl Iterator<Item = Range> {
    RAM.get().into_iter().filter(|range| !range.is_empty())
}

/// The whole pages that nothing else uses: not those from 1 MiB to `ring_0_end`, which are
/// the gate's and the page tables', and not those of `image`. What follows the image comes
/// first.
pub fn unused(ring_0_end: u64, image: Range) -> impl Iterator<Item = Range> {
    // The linker script puts it at 64 KiB or above. Nothing below is mapped, so that neither a
    // null pointer nor a descriptor table at address 0 ever works.
    let lowest = linker_symbol!(__low_heap);
    [(image.end, u64::MAX), (ring_0_end, image.start), (lowest, MIB)]
        .into_iter()
        .flat_map(|(start, end)| ram().map(move |range| range.clip(start, end)))
        .filter(|range| !range.is_empty())
}

/// The heap: two-level segregated fit, whose time per call is bounded.
///
/// It starts with what is left of the 2 MiB that the image ends in. It takes more of its
/// *reserve* when it must, because the first touch of a page is expensive in a guest: two
/// milliseconds and more if the host backs it with a huge page.
struct Heap {
    blocks: Tlsf<'static, u64, u16, 59, 16>,
    reserve: [Range; MAX_RESERVES],
    /// Where the memory taken from the reserve last ends.
    taken_to: u64,
}

/// Ranges of the reserve: those of memory, which boot, page tables and image cut into a few
/// more, and what is donated.
const MAX_RESERVES: usize = MAX_RANGES + 8;

/// The heap grows by multiples of this.
const GROWTH: u64 = 2 * MIB;

struct GlobalHeap(OneThread<UnsafeCell<Heap>>);

#[global_allocator]
static HEAP: GlobalHeap = GlobalHeap(OneThread::new(UnsafeCell::new(Heap {
    blocks: Tlsf::new(),
    reserve: [Range { start: 0, end: 0 }; MAX_RESERVES],
    taken_to: 0,
})));

impl GlobalHeap {
    #[allow(clippy::mut_from_ref)]
    fn get(&self) -> &mut Heap {
        // SAFETY: there is one thread, no handler interrupts it, and the heap calls nothing
        // that could come back here: its users drop the reference before they return.
        unsafe { &mut *self.0.get() }
    }
}

/// Gives the heap all [`unused`] memory, but below the image none from `below_end` on.
///
/// # Safety
/// It is mapped for writing. Called once.
pub unsafe fn start_heap(ring_0_end: u64, below_end: u64, image: Range) {
    let near = image.end.next_multiple_of(GROWTH);
    let heap = HEAP.get();
    for range in unused(ring_0_end, image) {
        let below = range.start >= ring_0_end && range.end <= image.start;
        let range = if below { Range { end: range.end.min(below_end), ..range } } else { range };
        let now = Range { end: range.end.min(near), ..range };
        if range.start < image.end || now.is_empty() {
            heap.keep(range);
            continue;
        }
        // SAFETY: the caller's, and nobody uses it by its definition.
        heap.taken_to = unsafe { heap.give(now) };
        heap.keep(Range { start: now.end, ..range });
    }
}

/// Gives memory to the heap, for good: for when there is nothing else left.
///
/// # Safety
/// The range is mapped for writing and nothing else uses it.
pub unsafe fn donate(range: Range) {
    HEAP.get().keep(range);
}

impl Heap {
    /// Adds to the end of the reserve.
    fn keep(&mut self, range: Range) {
        // There is always room, and if not, it is memory that isn't used.
        let free = self.reserve.iter().rposition(|taken| !taken.is_empty()).map_or(0, |last| last + 1);
        if let Some(free) = self.reserve.get_mut(free).filter(|_| !range.is_empty()) {
            *free = range;
        }
    }

    /// Takes memory that doesn't follow what it has, as far as it is of use; where that ends.
    ///
    /// # Safety
    /// As [`donate`].
    unsafe fn give(&mut self, range: Range) -> u64 {
        // SAFETY: the caller's.
        let used = block(range).and_then(|block| unsafe { self.blocks.insert_free_block_ptr(block) });
        range.start + used.map_or(0, |used| used.get() as u64)
    }

    /// Takes `wanted` bytes or more from the reserve, if it has any at all.
    fn grow(&mut self, wanted: u64) -> bool {
        let Some(reserve) = self.reserve.iter_mut().find(|range| !range.is_empty()) else { return false };
        let size = wanted.max(1).next_multiple_of(GROWTH).min(reserve.end - reserve.start);
        let taken = Range { start: reserve.start, end: reserve.start + size };
        reserve.start = taken.end;
        if taken.start == self.taken_to {
            if let Some(block) = block(taken) {
                // SAFETY: as in `start_heap`; it starts where the last block ends, and
                // `taken_to` is 0 if none ended there.
                let used = unsafe { self.blocks.append_free_block_ptr(block) };
                self.taken_to += used as u64;
            }
        } else {
            // SAFETY: as in `start_heap`.
            self.taken_to = unsafe { self.give(taken) };
        }
        true
    }

    fn allocate(&mut self, layout: Layout) -> Option<NonNull<u8>> {
        loop {
            if let Some(block) = self.blocks.allocate(layout) {
                return Some(block);
            }
            // Room for the block wherever its alignment puts it, and for the heap's headers.
            let wanted = layout.size().checked_add(layout.align())?.checked_add(4096)?;
            if wanted as u64 > 1 << 46 || !self.grow(wanted as u64) {
                return None;
            }
        }
    }
}

fn block(range: Range) -> Option<NonNull<[u8]>> {
    let start = NonNull::new(range.start as *mut u8)?;
    Some(NonNull::slice_from_raw_parts(start, (range.end - range.start) as usize))
}

// SAFETY: the blocks are the heap's own, and it never gives one out twice.
unsafe impl GlobalAlloc for GlobalHeap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.get().allocate(layout).map_or(ptr::null_mut(), NonNull::as_ptr)
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller promises that `block` came from `alloc` with `layout`, so it
        // isn't null.
        unsafe { self.get().blocks.deallocate(NonNull::new_unchecked(block), layout.align()) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as for `dealloc`; the caller promises that `size` isn't 0 and doesn't
        // overflow when rounded up to the alignment. On failure the old block stays.
        unsafe {
            let wanted = Layout::from_size_align_unchecked(size, layout.align());
            if let Some(block) = self.get().blocks.reallocate(NonNull::new_unchecked(block), wanted) {
                return block.as_ptr();
            }
            let moved = self.alloc(wanted);
            if !moved.is_null() {
                ptr::copy_nonoverlapping(block, moved, layout.size().min(size));
                self.dealloc(block, layout);
            }
            moved
        }
    }
}
