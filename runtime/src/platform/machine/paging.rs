//! The page tables that replace those of boot, and what the seal makes of them.
//!
//! Everything is identity-mapped: gate text (ring 0, read and execute), gate data (ring 0),
//! text (read, execute), rodata (read), data, stacks between pages that aren't mapped, heap
//! (read, write), devices (read, write, uncached). Nothing is both writable and executable,
//! nothing below 64 KiB is mapped, accessed and dirty bits are preset.
//!
//! There are two sets of tables: those to run on until the seal, and those for afterwards,
//! without the page tables, descriptor tables and whatever else the seal takes away. Both are
//! built at boot, and share what doesn't differ: the seal is then little more than loading
//! the second. That is for the sake of hosts that shadow page tables, where it is slow to
//! write a table that is in use, and to touch any page for the first time through a new one.
//!
//! The tables come out of a *pool* of pages behind the gate. Until the seal ring 3 may write
//! them, and the gate's data: it is still building both. From there on nothing that ring 3
//! can reach holds a page table.

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

/// Tables set aside: for what differs in the second set, and for devices, in both sets.
const SPARE: u64 = 28;
/// Pages for [`read_only_at_seal`], below 2 MiB.
const DESCRIPTORS: u64 = 64;
/// Maps of devices that the seal keeps.
const MAPS: usize = 48;

/// The local APIC and the area that message-signalled interrupts are written to, and the
/// I/O APICs: the machine's own.
const INTERRUPT_CONTROLLERS: [Range; 2] =
    [Range { start: 0xfee0_0000, end: 0xfef0_0000 }, Range { start: 0xfec0_0000, end: 0xfec2_0000 }];

#[derive(Clone, Copy)]
struct Pool {
    next: u64,
    end: u64,
}

static POOL: OneThread<Cell<Pool>> = OneThread::new(Cell::new(Pool { next: 0, end: 0 }));

/// A set of tables.
#[derive(Clone, Copy)]
struct Tables {
    root: u64,
    /// Tables of the pool below this address are the other set's: they are copied before
    /// anything in them is changed.
    own: u64,
}

/// Until the seal.
static LIVE: OneThread<Cell<Tables>> = OneThread::new(Cell::new(Tables { root: 0, own: 0 }));
/// After it.
static AFTER: OneThread<Cell<Tables>> = OneThread::new(Cell::new(Tables { root: 0, own: 0 }));

/// The maps of devices that stay, and whether for ring 0 alone.
static KEPT: OneThread<Cell<[(Range, bool); MAPS]>> =
    OneThread::new(Cell::new([(Range { start: 0, end: 0 }, false); MAPS]));
/// What is left for [`read_only_at_seal`].
static WRITABLE_UNTIL_SEAL: OneThread<Cell<Range>> = OneThread::new(Cell::new(Range { start: 0, end: 0 }));

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
    let pool_start = linker_symbol!(__pool_start);
    let image = Range { start: linker_symbol!(__ring_3_start), end: linker_symbol!(__image_end) };
    let tables = tables_needed(image);
    let pool_end = pool_start + (tables + SPARE) * PAGE;
    assert!(pool_end <= image.start, "the page tables of so much memory don't fit below the image");
    let ring_0 = Range { start: linker_symbol!(__image_start), end: pool_end };
    assert!(
        [ring_0, image].iter().all(|range| memory::ram().any(|ram| ram.contains(*range))),
        "the guest has too little memory for the image, which needs {} KiB above 1 MiB",
        (image.end - ring_0.start) >> 10
    );
    POOL.set(Pool { next: pool_start + PAGE, end: pool_end });
    let live = Tables { root: pool_start, own: 0 };
    LIVE.set(live);
    zero(live.root);
    // Now, since pages are touched for nothing here, but not at the seal.
    fill_closed_ports();
    map_image();
    for range in memory::unused(pool_end, image) {
        map(range, DATA);
    }
    // Uses at most what was counted, so the pool doesn't run out before the spare tables.
    let used = POOL.get().next;
    let kept = (used + SPARE * PAGE).min(pool_end);
    POOL.set(Pool { next: used, end: kept });
    map(Range { start: pool_start, end: kept }, DATA | GONE_AT_SEAL);
    map(Range { start: kept, end: pool_end }, DATA);
    AFTER.set(Tables { root: sealed(live.root, 39), own: used });
    let descriptors = Range { start: (image.start - DESCRIPTORS * PAGE).max(kept), end: image.start };
    WRITABLE_UNTIL_SEAL.set(descriptors);
    // SAFETY: the tables map the image, its stacks and the gate as they are used; `cpu` sets
    // only bits that CPUID has.
    unsafe { calls::load_page_tables(live.root, cpu::features().cr4) };
    // SAFETY: mapped writable just now; the descriptors' pages are left out.
    unsafe { memory::start_heap(kept, descriptors.start, image) };
}

/// Tables that mapping all memory takes, or a few more.
fn tables_needed(image: Range) -> u64 {
    let touched = |range: Range, shift: u32| ((range.end - 1) >> shift) - (range.start >> shift) + 1;
    let rest: u64 = memory::unused(image.start, image)
        .map(|range| touched(range, 39) + touched(range, 30) + touched(range, 21).min(2))
        .sum();
    // The first of each kind, and that of the first 2 MiB.
    4 + touched(image, 21) + rest
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
    assert!(LIVE.get().map(range, flags).is_ok(), "the pool of page tables is too small");
}

impl Tables {
    /// Maps whole pages. A page that is mapped already stays as it is.
    fn map(self, range: Range, flags: u64) -> Result<(), MapError> {
        let mut address = range.start;
        while address < range.end {
            let directory_entry = self.entry(address, 21)?;
            let present = directory_entry.get() & PRESENT != 0;
            let large = if present {
                directory_entry.get() & LARGE != 0
            } else {
                address.is_multiple_of(LARGE_PAGE) && range.end - address >= LARGE_PAGE
            };
            if large {
                set(directory_entry, address | flags | LARGE);
                address = (address & !(LARGE_PAGE - 1)) + LARGE_PAGE;
            } else {
                set(self.entry(address, 12)?, address | flags);
                address += PAGE;
            }
        }
        Ok(())
    }

    /// The entry for `address` in its table of entries for 2^`shift` bytes. Makes the tables
    /// on the way, and those of the other set its own.
    fn entry(self, address: u64, shift: u32) -> Result<&'static Cell<u64>, MapError> {
        let mut table = self.root;
        for level in [39, 30, 21].into_iter().filter(|level| *level > shift) {
            let entry = entry(table, address, level);
            let old = entry.get();
            table = old & ADDRESS;
            if old & PRESENT == 0 {
                table = new_table()?;
                zero(table);
                entry.set(table | TABLE);
            } else if old & LARGE != 0 {
                return Err(MapError::NotADevice);
            } else if table < self.own {
                table = copy_of(table)?;
                entry.set(old & !ADDRESS | table);
            }
        }
        Ok(entry(table, address, shift))
    }
}

fn set(entry: &Cell<u64>, value: u64) {
    if entry.get() & PRESENT == 0 {
        entry.set(value);
    }
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

fn copy_of(table: u64) -> Result<u64, MapError> {
    let copy = new_table()?;
    for (to, from) in entries(copy).iter().zip(entries(table)) {
        to.set(from.get());
    }
    Ok(copy)
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
                let Ok(made) = copy_of(table) else { panic!("the pool of page tables is too small") };
                copy = made;
            }
            entries(copy)[index].set(new);
        }
    }
    copy
}

fn entry(table: u64, address: u64, shift: u32) -> &'static Cell<u64> {
    &entries(table)[(address >> shift & 511) as usize]
}

/// The entries of a table of the pool.
fn entries(table: u64) -> &'static [Cell<u64>; 512] {
    // SAFETY: `table` is a page of the pool, which is identity-mapped and which nobody else
    // refers to. It stays so while this can be called: all that do refuse after the seal.
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
    if until != Until::Seal {
        let wanted = (range, until == Until::Gate);
        let mut kept = KEPT.get();
        let place = kept.iter_mut().find(|map| **map == wanted || map.0.end == 0);
        *place.ok_or(MapError::NoTables)? = wanted;
        KEPT.set(kept);
    }
    LIVE.get().map(range, DEVICE)
}

/// Maps the local APIC's registers, for ring 0 alone once sealed.
pub fn map_local_apic(address: u64) -> Result<(), MapError> {
    map_registers(Range { start: address, end: address + PAGE }, Until::Gate)
}

/// Zeroed memory that ring 3 may write until the seal, and afterwards only read: for what tells
/// a device where to write. Whole pages, for good; `None` if there aren't so many, or the image
/// is sealed.
pub fn read_only_at_seal(pages: u64) -> Option<u64> {
    let left = WRITABLE_UNTIL_SEAL.get();
    let start = left.end.checked_sub(pages.checked_mul(PAGE)?).filter(|start| *start >= left.start)?;
    if is_sealed() {
        return None;
    }
    WRITABLE_UNTIL_SEAL.set(Range { end: start, ..left });
    (start..left.end).step_by(PAGE as usize).for_each(zero);
    Some(start)
}

unsafe extern "C" {
    static gate_io_base: AtomicU16;
    static gate_io_closed: [AtomicU64; 17];
}

/// The ports that ring 3 keeps after the seal: the two of the console that printing takes. This is
/// the only place that says so. The one that ends the machine is the gate's, as is the keyboard
/// controller's: besides the reset it takes the command that turns the A20 gate off, after which
/// an emulator lets ring 3 reach the gate's memory through addresses of its own.
const fn is_open(port: u16) -> bool {
    use super::console::{CONSOLE_PORT, LINE_STATUS};
    port == CONSOLE_PORT || port == LINE_STATUS
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

/// Fills the bitmap in which all ports are closed but those of [`is_open`]. What lies beyond
/// the end of the segment is closed, too.
fn fill_closed_ports() {
    // SAFETY: the gate's data, which ring 3 may write until the seal.
    let closed = unsafe { &gate_io_closed };
    for (word, first) in closed.iter().zip((0..).step_by(64)) {
        word.store(closed_ports(first), Ordering::Relaxed);
    }
}

/// Seals the image. A second call does nothing.
///
/// # Panics
/// If the tables set aside are too few for what drivers mapped.
pub fn seal() {
    if SEALED.swap(true, Ordering::Relaxed) {
        return;
    }
    let after = AFTER.get();
    let kept = KEPT.get();
    // The gate's first: a page that is mapped in both ways is the gate's.
    for (range, _) in kept.into_iter().filter(|(range, ring_0)| range.end != 0 && *ring_0) {
        keep(after.map(range, DEVICE & !RING_3));
    }
    for (range, _) in kept.into_iter().filter(|(range, ring_0)| range.end != 0 && !*ring_0) {
        keep(after.map(range, DEVICE));
    }
    let descriptors = WRITABLE_UNTIL_SEAL.get();
    for page in (descriptors.end..linker_symbol!(__ring_3_start)).step_by(PAGE as usize) {
        keep(after.entry(page, 12)).set(page | RODATA);
    }
    // The pool's pages are gone, but what is left of it is memory. An image without devices
    // does without it: the tables that say so would be touched for that alone.
    let pool = POOL.get();
    let has_devices = kept[0].0.end != 0;
    let spare = Range { start: if has_devices { pool.next } else { pool.end }, end: pool.end };
    for page in (spare.start..spare.end).step_by(PAGE as usize) {
        keep(after.entry(page, 12)).set(page | DATA);
    }
    // SAFETY: the gate's data, which ring 3 may write up to the next statement.
    unsafe { gate_io_base.store(super::boot::IO_CLOSED_BASE, Ordering::Relaxed) };
    let features = cpu::features();
    // SAFETY: the tables are those that ring 3 runs on, less the pool, what devices gave up
    // and the gate's data, none of which is used from here on.
    unsafe { calls::seal(after.root, features.cr4 | features.cr4_seal, watchdog::first_tick()) };
    let boot_tables =
        Range { start: linker_symbol!(__boot_tables_start), end: linker_symbol!(__boot_tables_end) };
    // SAFETY: all are mapped writable. The boot page tables were used for the last time when
    // `start` was through, no table of the pool is in its spare pages, and what is left of the
    // descriptors' pages was never handed out.
    unsafe {
        memory::donate(descriptors);
        memory::donate(spare);
        memory::donate(boot_tables);
    }
}

fn keep<T>(mapped: Result<T, MapError>) -> T {
    let Ok(mapped) = mapped else { panic!("the page tables set aside for the seal are used up") };
    mapped
}
