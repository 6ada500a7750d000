//! The page tables that replace those of boot, and what the seal makes of them.
//!
//! Everything is identity-mapped: gate text (ring 0, read and execute), gate data (ring 0),
//! text (read, execute), rodata (read), data, stacks between pages that aren't mapped, heap
//! (read, write), devices (read, write, uncached). Nothing is both writable and executable,
//! nothing below 64 KiB is mapped, accessed and dirty bits are preset.
//!
//! The tables come out of a *pool* of pages behind the image. Until the seal ring 3 may
//! write them, and the gate's data: it is still building both. Entries carry in their free
//! bits what the seal does to them. It does that to copies, since writing a table that is in
//! use is slow where page tables are shadowed: a table of which nothing changes is shared by
//! both. Then the gate loads the result, and from there on nothing that ring 3 can reach
//! holds a page table.

use core::cell::Cell;
use core::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering};

use super::device::MapError;
use super::memory::{self, Range};
use super::{OneThread, calls, cpu, linker_symbol, watchdog};

const PAGE: u64 = 4096;
const LARGE_PAGE: u64 = 2 << 20;

// SDM volume 3, 4.5: entries of all levels.
const PRESENT: u64 = 1;
const WRITABLE: u64 = 1 << 1;
const RING_3: u64 = 1 << 2;
const UNCACHED: u64 = 1 << 3 | 1 << 4;
const TOUCHED: u64 = 1 << 5 | 1 << 6;
const LARGE: u64 = 1 << 7;
const NO_EXECUTE: u64 = 1 << 63;
const ADDRESS: u64 = 0x000f_ffff_ffff_f000;
// Bits that the processor leaves to software.
const RING_0_AT_SEAL: u64 = 1 << 9;
const GONE_AT_SEAL: u64 = 1 << 10;

const TABLE: u64 = PRESENT | WRITABLE | RING_3 | 1 << 5;
const RING_0_TEXT: u64 = PRESENT | TOUCHED;
const TEXT: u64 = PRESENT | TOUCHED | RING_3;
const RODATA: u64 = TEXT | NO_EXECUTE;
const DATA: u64 = RODATA | WRITABLE;
const DEVICE: u64 = DATA | UNCACHED;

/// Tables set aside for devices, at most three per map, usually none; and for the copies that
/// the seal makes.
const SPARE: u64 = 28;

/// The local APIC and the area that message-signalled interrupts are written to, and the
/// I/O APICs: the machine's own.
const INTERRUPT_CONTROLLERS: [Range; 2] =
    [Range { start: 0xfee0_0000, end: 0xfef0_0000 }, Range { start: 0xfec0_0000, end: 0xfec2_0000 }];

#[derive(Clone, Copy)]
struct Pool {
    root: u64,
    next: u64,
    end: u64,
}

static POOL: OneThread<Cell<Pool>> = OneThread::new(Cell::new(Pool { root: 0, next: 0, end: 0 }));
static SEALED: AtomicBool = AtomicBool::new(false);

/// How long a device's page stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// Up to the seal.
    Seal,
    /// For good, but after the seal for the gate alone.
    Gate,
    /// For good.
    End,
}

/// Whether the image is sealed.
pub fn is_sealed() -> bool {
    SEALED.load(Ordering::Relaxed)
}

/// Builds the tables, switches to them and gives the heap the memory that is left.
///
/// # Panics
/// If the guest has too little memory for the image and its tables.
pub fn start() {
    let image_end = linker_symbol!(__image_end);
    let tables = tables_needed(image_end);
    let pool_end = image_end + (tables + SPARE) * PAGE;
    let image = Range { start: linker_symbol!(__image_start), end: pool_end };
    assert!(
        memory::ram().any(|range| range.contains(image)),
        "the guest has too little memory for the image, which needs {} KiB above 1 MiB",
        (image.end - image.start) >> 10
    );
    POOL.set(Pool { root: image_end, next: image_end + PAGE, end: pool_end });
    zero(image_end);
    map_image();
    for range in memory::unused(pool_end) {
        map(range, DATA);
    }
    // Uses at most what was counted, so the pool doesn't run out before the spare tables.
    let pool = POOL.get();
    let kept = (pool.next + SPARE * PAGE).min(pool_end);
    POOL.set(Pool { end: kept, ..pool });
    map(Range { start: image_end, end: kept }, DATA | GONE_AT_SEAL);
    map(Range { start: kept, end: pool_end }, DATA);
    // SAFETY: the tables map the image, its stacks and the gate as they are used; `cpu` sets
    // only bits that CPUID has.
    unsafe { calls::load_page_tables(pool.root, cpu::features().cr4) };
    // SAFETY: mapped writable just now.
    unsafe { memory::start_heap(kept) };
}

/// Tables that mapping all memory takes, or a few more.
fn tables_needed(image_end: u64) -> u64 {
    let touched = |range: Range, shift: u32| ((range.end - 1) >> shift) - (range.start >> shift) + 1;
    let image = 4 + (image_end >> 21) + 1;
    let rest: u64 = memory::unused(image_end)
        .map(|range| touched(range, 39) + touched(range, 30) + touched(range, 21).min(2))
        .sum();
    image + rest + 1
}

fn map_image() {
    let segment = |start: u64, end: u64, flags: u64| {
        map(Range { start: start & !(PAGE - 1), end: end.next_multiple_of(PAGE) }, flags);
    };
    segment(linker_symbol!(__gate_boot_start), linker_symbol!(__gate_boot_end), RING_0_TEXT | GONE_AT_SEAL);
    segment(linker_symbol!(__gate_start), linker_symbol!(__gate_end), RING_0_TEXT);
    for top in [linker_symbol!(gate_ist_top), linker_symbol!(gate_stack_top)] {
        segment(top - PAGE, top, DATA | RING_0_AT_SEAL);
    }
    segment(linker_symbol!(__gate_data_start), linker_symbol!(__gate_data_end), DATA | RING_0_AT_SEAL);
    segment(linker_symbol!(__boot_tables_start), linker_symbol!(__boot_tables_end), DATA);
    segment(linker_symbol!(__text_start), linker_symbol!(__text_end), TEXT);
    segment(linker_symbol!(__rodata_start), linker_symbol!(__rodata_end), RODATA);
    segment(linker_symbol!(__data_start), linker_symbol!(__data_end), DATA);
    segment(linker_symbol!(__emergency_bottom), linker_symbol!(__emergency_top), DATA);
    segment(linker_symbol!(__stack_bottom), linker_symbol!(__stack_top), DATA);
}

/// Maps whole pages of our own memory, for which the pool was sized.
fn map(range: Range, flags: u64) {
    assert!(map_range(range, flags).is_ok(), "the pool of page tables is too small");
}

/// Maps whole pages. A page that is mapped already keeps its flags, but stays past the seal
/// if either mapping does, and then for ring 0 alone if one of them says so.
fn map_range(range: Range, flags: u64) -> Result<(), MapError> {
    let mut address = range.start;
    while address < range.end {
        let mut table = POOL.get().root;
        for shift in [39, 30] {
            table = next_table(table, address, shift)?;
        }
        let directory_entry = entry(table, address, 21);
        let present = directory_entry.get() & PRESENT != 0;
        let large = if present {
            directory_entry.get() & LARGE != 0
        } else {
            address.is_multiple_of(LARGE_PAGE) && range.end - address >= LARGE_PAGE
        };
        if large {
            set(directory_entry, address, flags | LARGE);
            address = (address & !(LARGE_PAGE - 1)) + LARGE_PAGE;
        } else {
            let table = next_table(table, address, 21)?;
            set(entry(table, address, 12), address, flags);
            address += PAGE;
        }
    }
    Ok(())
}

fn set(entry: &Cell<u64>, address: u64, flags: u64) {
    if entry.get() & PRESENT == 0 {
        entry.set(address | flags);
    } else if flags & GONE_AT_SEAL == 0 {
        let merged = entry.get() & !GONE_AT_SEAL | flags & RING_0_AT_SEAL;
        // A live table is expensive to write.
        if merged != entry.get() {
            entry.set(merged);
        }
    }
}

fn next_table(table: u64, address: u64, shift: u32) -> Result<u64, MapError> {
    let entry = entry(table, address, shift);
    if entry.get() & PRESENT == 0 {
        let next = new_table()?;
        zero(next);
        entry.set(next | TABLE);
    }
    Ok(entry.get() & ADDRESS)
}

/// A page of the pool, with whatever is in it.
fn new_table() -> Result<u64, MapError> {
    let pool = POOL.get();
    if pool.next >= pool.end {
        return Err(MapError::NoTables);
    }
    POOL.set(Pool { next: pool.next + PAGE, ..pool });
    Ok(pool.next)
}

fn entry(table: u64, address: u64, shift: u32) -> &'static Cell<u64> {
    &entries(table)[(address >> shift & 511) as usize]
}

/// The entries of a table of the pool.
fn entries(table: u64) -> &'static [Cell<u64>; 512] {
    // SAFETY: `table` is a page of the pool, which is identity-mapped and which nobody else
    // refers to. It stays so while this can be called: `map_range`'s callers refuse after
    // the seal.
    unsafe { &*(table as *const [Cell<u64>; 512]) }
}

fn zero(table: u64) {
    for entry in entries(table) {
        entry.set(0);
    }
}

/// Maps the pages of a device's registers.
pub fn map_device(phys: u64, len: u64, until: Until) -> Result<(), MapError> {
    let end = phys.checked_add(len).ok_or(MapError::OutOfRange)?;
    // Four-level paging reaches 48 bits, of which the upper half is sign-extended.
    let bits = cpu::features().physical_bits.min(47);
    if len == 0 || end > 1 << bits {
        return Err(MapError::OutOfRange);
    }
    let range = Range { start: phys & !(PAGE - 1), end: end.next_multiple_of(PAGE) };
    let taken = |other: &Range| range.overlaps(*other);
    if range.start < 1 << 20
        || memory::ram().any(|ram| taken(&ram))
        || INTERRUPT_CONTROLLERS.iter().any(taken)
    {
        return Err(MapError::NotADevice);
    }
    map_registers(range, until)
}

/// As [`map_device`], for the machine's own: interrupt controllers.
pub fn map_registers(range: Range, until: Until) -> Result<(), MapError> {
    if is_sealed() {
        return Err(MapError::Sealed);
    }
    let flags = match until {
        Until::Seal => DEVICE | GONE_AT_SEAL,
        Until::Gate => DEVICE | RING_0_AT_SEAL,
        Until::End => DEVICE,
    };
    map_range(range, flags)
}

/// Maps the local APIC's registers, for ring 0 alone once sealed.
pub fn map_local_apic(address: u64) -> Result<(), MapError> {
    map_range(Range { start: address, end: address + PAGE }, DEVICE | RING_0_AT_SEAL)
}

/// Makes pages that ring 3 may write until the seal read-only after it: what a device reads
/// where to write from. Whole pages of memory, at most 16 ranges in all.
pub fn read_only_at_seal(range: Range) -> Result<(), MapError> {
    if is_sealed() {
        return Err(MapError::Sealed);
    }
    if range.start % PAGE != 0 || range.end % PAGE != 0 || range.start >= range.end {
        return Err(MapError::OutOfRange);
    }
    let mut ranges = READ_ONLY.get();
    let free = ranges.iter_mut().find(|free| free.end == 0).ok_or(MapError::NoTables)?;
    *free = range;
    READ_ONLY.set(ranges);
    Ok(())
}

static READ_ONLY: OneThread<Cell<[Range; 16]>> = OneThread::new(Cell::new([Range { start: 0, end: 0 }; 16]));

unsafe extern "C" {
    static gate_io_base: AtomicU16;
    static gate_io_closed: [AtomicU64; 17];
}

/// The ports that ring 3 keeps after the seal: the console's, and the two that end the machine.
/// This is the only place that says so.
const fn is_open(port: u16) -> bool {
    use super::{console::CONSOLE_PORT, exit::EXIT_PORT, exit::RESET_PORT};
    port == EXIT_PORT || port == RESET_PORT || (port >= CONSOLE_PORT && port < CONSOLE_PORT + 8)
}

/// Where the closed bitmap ends, and the task state segment.
const PORTS: u16 = 0x400;

/// The closed bitmap's word for 64 ports from `first` on: a set bit closes a port.
const fn closed_ports(first: u16) -> u64 {
    let mut word = 0;
    let mut port = 0;
    if first >= PORTS {
        return u64::MAX; // the processor reads a byte more than it needs
    }
    while port < 64 {
        if !is_open(first + port) {
            word |= 1 << port;
        }
        port += 1;
    }
    word
}

/// Switches the task state segment to the bitmap in which all ports are closed but those of
/// [`is_open`]. What lies beyond the end of the segment is closed, too.
fn close_ports() {
    // SAFETY: the gate's data, which ring 3 may write until the seal.
    let (base, closed) = unsafe { (&gate_io_base, &gate_io_closed) };
    for (word, first) in closed.iter().zip((0..).step_by(64)) {
        word.store(closed_ports(first), Ordering::Relaxed);
    }
    base.store(super::boot::IO_CLOSED_BASE, Ordering::Relaxed);
}

/// Seals the image. A second call does nothing.
///
/// # Panics
/// If the tables set aside are too few for what drivers mapped.
pub fn seal() {
    if SEALED.swap(true, Ordering::Relaxed) {
        return;
    }
    let live = POOL.get();
    let root = sealed(live.root, 39);
    for range in READ_ONLY.get().into_iter().filter(|range| range.end != 0) {
        change(root, live.next, range, |_, entry| entry & !WRITABLE);
    }
    // The pool's pages are gone from the copies, but what is left of it is memory.
    let spare = Range { start: POOL.get().next, end: live.end };
    change(root, live.next, spare, |page, _| page | DATA);
    assert!(POOL.get().next == spare.start, "the pool's own table is a copy already");
    close_ports();
    let features = cpu::features();
    // SAFETY: the tables are those that ring 3 runs on, less the pool, what devices gave up
    // and the gate's data, none of which is used from here on.
    unsafe { calls::seal(root, features.cr4 | features.cr4_seal, watchdog::first_tick()) };
    let boot_tables =
        Range { start: linker_symbol!(__boot_tables_start), end: linker_symbol!(__boot_tables_end) };
    // SAFETY: both are mapped writable. The boot page tables were used for the last time when
    // `start` was through, and no table of the pool is in its spare pages.
    unsafe {
        memory::donate(boot_tables);
        memory::donate(spare);
    }
}

/// What the seal makes of a table whose entries stand for 2^`shift` bytes: itself, if nothing
/// changes in it or below, else a copy.
fn sealed(table: u64, shift: u32) -> u64 {
    let mut copy = table;
    for (index, entry) in entries(table).iter().enumerate() {
        let old = entry.get();
        let new = if old & PRESENT == 0 {
            continue;
        } else if shift > 12 && old & LARGE == 0 {
            old & !ADDRESS | sealed(old & ADDRESS, shift - 9)
        } else if old & GONE_AT_SEAL != 0 {
            0
        } else if old & RING_0_AT_SEAL != 0 {
            old & !(RING_3 | RING_0_AT_SEAL)
        } else {
            continue;
        };
        if new != old {
            if copy == table {
                copy = copy_of(table);
            }
            entries(copy)[index].set(new);
        }
    }
    copy
}

fn copy_of(table: u64) -> u64 {
    let Ok(copy) = new_table() else { panic!("the page tables set aside for the seal are used up") };
    for (to, from) in entries(copy).iter().zip(entries(table)) {
        to.set(from.get());
    }
    copy
}

/// Changes the entries of pages of memory in the tables under `root`, of which those from
/// `copies` on are copies that may be written.
///
/// # Panics
/// If the pages aren't mapped memory, or the pool is used up.
fn change(root: u64, copies: u64, range: Range, new: impl Fn(u64, u64) -> u64) {
    for page in (range.start..range.end).step_by(PAGE as usize) {
        let mut table = root;
        for shift in [39, 30, 21] {
            let entry = entry(table, page, shift);
            let old = entry.get();
            assert!(old & PRESENT != 0 && (shift == 21 || old & LARGE == 0), "{page:x} isn't mapped memory");
            table = if old & LARGE != 0 {
                let Ok(pages) = new_table() else { panic!("the page tables set aside for the seal are used up") };
                let large = old & !LARGE;
                for (small, offset) in entries(pages).iter().zip((0..).step_by(PAGE as usize)) {
                    small.set(large + offset);
                }
                entry.set(pages | TABLE);
                pages
            } else if old & ADDRESS < copies {
                let copy = copy_of(old & ADDRESS);
                entry.set(old & !ADDRESS | copy);
                copy
            } else {
                old & ADDRESS
            };
        }
        let entry = entry(table, page, 12);
        entry.set(new(page, entry.get()));
    }
}
