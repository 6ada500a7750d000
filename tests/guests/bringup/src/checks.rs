//! What must work: each prints what it found and says what is wrong.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::hint::black_box;

use unik::platform::machine::device::{self, Dma};
use unik::platform::{self, machine};

use crate::{argument, say};

pub type Outcome = Result<(), &'static str>;

const MS: u64 = 1_000_000;

/// Prints how boot went.
pub fn hello(seal_ns: u64) -> Outcome {
    let times = machine::boot_times();
    say!(
        "hello: entry to main {} us, seal {} us, {} kHz",
        times.entry_to_main_us(),
        seal_ns / 1000,
        times.khz
    );
    say!("boot line: {}", platform::boot_line());
    match platform::wall_clock() {
        Some(ns) => say!("wall clock: {}", ns / 1_000_000_000),
        None => say!("wall clock: none"),
    }
    let mut random = [0; 16];
    match platform::entropy(&mut random) {
        Ok(()) => say!("entropy: {random:x?}"),
        Err(_) => say!("entropy: none"),
    }
    if random == [0xff; 16] { Err("the generator is stuck") } else { Ok(()) }
}

/// A generator of reproducible numbers (xorshift).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize
    }
}

/// Allocates and frees at random, and checks that no two blocks share a byte.
pub fn heap() -> Outcome {
    let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
    let mut blocks: BTreeMap<usize, Vec<u8>> = BTreeMap::new();
    let start = platform::now();
    for round in 0..100_000_usize {
        let key = numbers.next() % 256;
        if let Some(block) = blocks.remove(&key) {
            if block.iter().any(|byte| *byte != key as u8) {
                return Err("a block was overwritten");
            }
        }
        let mut block = alloc::vec![key as u8; numbers.next() % 2048];
        if round % 16 == 0 {
            block.resize(block.len() + numbers.next() % 4096, key as u8);
        }
        blocks.insert(key, block);
    }
    say!("heap: {} ns per round", (platform::now() - start) / 100_000);
    drop(blocks);
    // All that there is, in pages, each at its own address; and given back.
    let mut pages = Vec::new();
    while let Some(page) = Dma::new(device::PAGE_SIZE) {
        if page.phys() % 4096 != 0 || page.len() != 4096 {
            return Err("a page is not aligned");
        }
        // SAFETY: the page is ours, and its last word lies inside.
        let last = unsafe { page.as_ptr().cast::<u64>().add(511) };
        // SAFETY: as above.
        unsafe {
            if last.read() != 0 {
                return Err("a page is not zeroed");
            }
            last.write(page.phys());
        }
        pages.push(page);
        if pages.len() == 100_000 {
            break;
        }
    }
    say!("heap: {} pages", pages.len());
    for page in pages {
        // SAFETY: as above; no device knows of it.
        unsafe {
            if page.as_ptr().cast::<u64>().add(511).read() != page.phys() {
                return Err("a page was overwritten");
            }
            page.free();
        }
    }
    black_box(Box::new([0_u8; 1 << 19]));
    Ok(())
}

/// Uses up the heap in the way that a service survives, and goes on.
pub fn exhaust() -> Outcome {
    for _ in 0..3 {
        let mut blocks = Vec::new();
        loop {
            let mut block = Vec::<u8>::new();
            if block.try_reserve_exact(64 << 10).is_err() || blocks.try_reserve(1).is_err() {
                break;
            }
            block.resize(64 << 10, 0x5a);
            blocks.push(block);
        }
        if blocks.len() < 16 || blocks.iter().any(|block| block.iter().any(|byte| *byte != 0x5a)) {
            return Err("the heap gave too little, or one block twice");
        }
    }
    black_box(Box::new([0_u8; 1 << 19]));
    Ok(())
}

/// Every small length, alignment and distance against byte loops; then the speed.
pub fn memory_functions() -> Outcome {
    const SIZE: usize = 1024;
    let pattern = |at: usize| (at * 7 + at / 256) as u8;
    let mut numbers = Numbers(1);
    for round in 0..60_000_usize {
        let len = if round < 20_000 { round % 200 } else { numbers.next() % 600 };
        let from = numbers.next() % (SIZE - len);
        let to = numbers.next() % (SIZE - len);
        let mut bytes: Vec<u8> = (0..SIZE).map(pattern).collect();
        black_box(&mut bytes).copy_within(from..from + len, to);
        let moved =
            |at: usize| if (to..to + len).contains(&at) { pattern(at - to + from) } else { pattern(at) };
        if (0..SIZE).any(|at| bytes[at] != moved(at)) {
            say!("{len} bytes from {from} to {to}");
            return Err("memmove");
        }
        black_box(&mut bytes)[to..to + len].fill(0xa5);
        if (0..SIZE).any(|at| bytes[at] != if (to..to + len).contains(&at) { 0xa5 } else { moved(at) }) {
            return Err("memset");
        }
        let original: Vec<u8> = (0..SIZE).map(pattern).collect();
        let mut copy = alloc::vec![0; SIZE];
        black_box(&mut copy)[to..to + len].copy_from_slice(&black_box(&original)[from..from + len]);
        if (0..SIZE)
            .any(|at| copy[at] != if (to..to + len).contains(&at) { pattern(at - to + from) } else { 0 })
        {
            return Err("memcpy");
        }
        let expected =
            (0..len).map(|at| original[from + at].cmp(&original[to + at])).find(|order| order.is_ne());
        let order = black_box(&original)[from..from + len].cmp(black_box(&original[to..to + len]));
        if order != expected.unwrap_or(core::cmp::Ordering::Equal) {
            return Err("memcmp");
        }
        if black_box(&original)[from..from + len] != black_box(&copy)[to..to + len] {
            return Err("bcmp");
        }
    }
    let from = alloc::vec![1_u8; 4096];
    let mut to = alloc::vec![0_u8; 4096];
    let start = platform::now();
    for _ in 0..10_000 {
        black_box(&mut to)[3..1451].copy_from_slice(&black_box(&from)[1..1449]);
    }
    say!("memcpy: {} ns for 1448 misaligned bytes", (platform::now() - start) / 10_000);
    Ok(())
}

/// Sleeps of several lengths end when they should, and time only goes forward.
pub fn time() -> Outcome {
    let mut last = platform::now();
    for _ in 0..100_000 {
        let now = platform::now();
        if now < last {
            return Err("time went back");
        }
        last = now;
    }
    for ms in [0, 1, 2, 5, 10, 50, 200, 1500] {
        let start = platform::now();
        let until = start + ms * MS;
        let mut waits = 0;
        while platform::now() < until {
            platform::wait(Some(until));
            waits += 1;
        }
        let late = platform::now() - until;
        say!("sleep {ms} ms: late by {} us, {waits} waits", late / 1000);
        // A busy host makes a guest late; a timer that was lost costs a second.
        if late > 300 * MS {
            return Err("a sleep was late");
        }
        if waits > 6 {
            return Err("sleeps ended early again and again");
        }
    }
    // With no deadline a wait ends within a second or so.
    let start = platform::now();
    platform::wait(None);
    let took = platform::now() - start;
    say!("wait without deadline: {} ms", took / MS);
    if took > 1200 * MS {
        return Err("a wait took more than its bound");
    }
    // A deadline in the past doesn't sleep.
    let start = platform::now();
    for _ in 0..1000 {
        platform::wait(Some(0));
    }
    say!("look: {} ns", (platform::now() - start) / 1000);
    Ok(())
}

/// Short sleeps, many of them: none may hang or be very late.
pub fn hammer() -> Outcome {
    let rounds = argument("rounds").and_then(|text| text.parse().ok()).unwrap_or(100_000_u64);
    let mut numbers = Numbers(42);
    let mut worst = 0;
    let mut total = 0;
    for _ in 0..rounds {
        let until = platform::now() + numbers.next() as u64 % 60_000;
        while platform::now() < until {
            platform::wait(Some(until));
        }
        let late = platform::now() - until;
        worst = worst.max(late);
        total += late;
    }
    say!("hammer: {rounds} sleeps, late by {} ns on average, {} us at worst", total / rounds, worst / 1000);
    if worst > 500 * MS { Err("a wake-up was lost") } else { Ok(()) }
}

/// Sleeps for long: the watchdog mustn't mind.
pub fn idle() -> Outcome {
    let until = platform::now() + 4500 * MS;
    while platform::now() < until {
        platform::wait(Some(until));
    }
    Ok(())
}

/// Works for long, in turns that end: the watchdog mustn't mind, and its ticks must leave the
/// registers alone.
pub fn busy() -> Outcome {
    /// A number that takes all the registers' work; the same each time.
    #[inline(never)]
    fn work() -> usize {
        let mut numbers = Numbers(black_box(7));
        let mut floats = [1.5_f64, 2.5, 3.5, 4.5];
        let mut sum = 0_usize;
        for round in 0..200_000_usize {
            sum = sum.rotate_left(5) ^ numbers.next();
            for (at, float) in floats.iter_mut().enumerate() {
                *float = *float * 0.999 + ((round + at) % 7) as f64;
            }
        }
        sum ^ floats
            .iter()
            .map(|float| float.to_bits() as usize)
            .fold(0_usize, |all, one| all.rotate_left(1) ^ one)
    }
    let expected = work();
    let until = platform::now() + 4500 * MS;
    let mut turns = 0;
    while platform::now() < until {
        if work() != expected {
            return Err("a tick changed a register");
        }
        turns += 1;
        platform::progress();
    }
    say!("{turns} turns");
    Ok(())
}

/// Works for some milliseconds without a sign of life. Counted in work and not by the clock,
/// which goes on while the machine is paused.
pub fn turn(ms: u64) -> Outcome {
    let mut rounds = 0_u64;
    let start = platform::now();
    while platform::now() < start + 100 * MS {
        rounds += 1;
    }
    platform::progress();
    platform::console_write(b"awaiting\n");
    for _ in 0..rounds * ms / 100 {
        black_box(platform::now());
    }
    Ok(())
}
