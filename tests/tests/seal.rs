//! What holds of an image once it is sealed, seen from outside through QEMU's monitor: what is
//! mapped, and how, and which ports are open; that interrupts from outside end in a crash record;
//! that the watchdog takes no pause for a loop.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use object::{Object, ObjectSection, ObjectSymbol};
use unik_tests::machine::accelerators;
use unik_tests::{guest, scratch};

/// A guest that says `awaiting`, and QEMU's monitor.
struct Guest {
    child: Child,
    monitor: UnixStream,
    printed: mpsc::Receiver<String>,
    /// What it said up to `awaiting`.
    said: String,
    folder: tempfile::TempDir,
}

const PROMPT: &str = "(qemu) ";

impl Guest {
    fn start(accel: &str, kind: &str, boot_line: &str) -> Guest {
        Guest::start_with(accel, kind, boot_line, &[])
    }

    fn start_with(accel: &str, kind: &str, boot_line: &str, devices: &[&str]) -> Guest {
        let folder = scratch();
        let socket = folder.path().join("monitor");
        let mut command = guest::qemu(accel, kind, boot_line);
        command.args(devices).args([
            "-m",
            "16",
            "-monitor",
            &format!("unix:{},server,nowait", socket.display()),
        ]);
        let mut child = command.stdout(Stdio::piped()).spawn().expect("timeout and QEMU are installed");
        let mut out = child.stdout.take().expect("a pipe");
        let (sender, printed) = mpsc::channel();
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(length @ 1..) = out.read(&mut bytes) {
                let text = String::from_utf8_lossy(&bytes[..length]).replace("\r\n", "\n");
                if sender.send(text).is_err() {
                    return;
                }
            }
        });
        let mut said = String::new();
        while !said.contains("awaiting") {
            said += &printed.recv_timeout(Duration::from_secs(50)).expect("the guest prints `awaiting`");
        }
        let monitor = UnixStream::connect(&socket).expect("QEMU's monitor");
        monitor.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
        let mut guest = Guest { child, monitor, printed, said, folder };
        guest.answer();
        guest
    }

    /// Tells the monitor something, and reads its answer.
    fn tell(&mut self, command: &str) -> String {
        self.monitor.write_all(format!("{command}\n").as_bytes()).expect("the monitor reads");
        self.answer()
    }

    fn answer(&mut self) -> String {
        let mut text = Vec::new();
        let mut bytes = [0; 65536];
        // It may end with the machine.
        while let Ok(length @ 1..) = self.monitor.read(&mut bytes) {
            text.extend_from_slice(&bytes[..length]);
            if text.ends_with(PROMPT.as_bytes()) {
                break;
            }
        }
        String::from_utf8_lossy(&text).replace('\r', "")
    }

    /// The ports that ring 3 reaches: by the bitmap of the task state segment that the processor has
    /// loaded, as the SDM has it (volume 1, 19.5.2).
    fn open_ports(&mut self, registers: &str) -> Vec<u16> {
        let (_, rest) = registers.split_once("TR =").expect("a task register");
        let mut words =
            rest.split_whitespace().skip(1).map(|word| u64::from_str_radix(word, 16).expect("hexadecimal"));
        let (base, limit) = (words.next().expect("a base"), words.next().expect("a limit"));
        let file = self.folder.path().join("tss");
        self.tell(&format!("pmemsave {base:#x} {:#x} \"{}\"", limit + 1, file.display()));
        let segment = std::fs::read(file).expect("what the monitor saved");
        assert_eq!(segment.len() as u64, limit + 1);
        let bitmap = usize::from(u16::from_le_bytes([segment[102], segment[103]]));
        // It reads two bytes, and both must be in the segment.
        let is_open = |port: &u16| {
            let at = bitmap + usize::from(*port / 8);
            at + 1 < segment.len() && segment[at] >> (port % 8) & 1 == 0
        };
        (0..=u16::MAX).filter(is_open).collect()
    }

    /// Stops the monitor's process, or lets it go on.
    fn signal(&self, signal: &str) {
        let timeout = self.child.id();
        let children = format!("/proc/{timeout}/task/{timeout}/children");
        let children = std::fs::read_to_string(children).unwrap_or_default();
        for child in children.split_whitespace() {
            // It may have ended by itself.
            let _ = Command::new("kill").args([signal, child]).status();
        }
    }

    /// How it ended, and what it printed meanwhile.
    fn end(mut self) -> (Option<i32>, String) {
        let status = self.child.wait().expect("QEMU ends, or timeout ends it");
        (status.code(), self.printed.iter().collect())
    }
}

/// The machines of one kind that there are here.
fn all(kind: &'static str) -> impl Iterator<Item = (&'static str, &'static str)> {
    accelerators().iter().map(move |accel| (*accel, kind))
}

/// A page as `info tlb` prints it: writable, executable, for ring 3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Page {
    physical: u64,
    size: u64,
    writable: bool,
    executable: bool,
    ring_3: bool,
}

fn pages(text: &str) -> BTreeMap<u64, Page> {
    text.lines()
        .filter_map(|line| {
            let (address, rest) = line.split_once(": ")?;
            let (physical, flags) = rest.split_once(' ')?;
            let address = u64::from_str_radix(address, 16).ok()?;
            let page = Page {
                physical: u64::from_str_radix(physical, 16).ok()?,
                size: if flags.contains('P') { 2 << 20 } else { 4096 },
                writable: flags.contains('W'),
                executable: !flags.contains('X'),
                ring_3: flags.contains('U'),
            };
            Some((address, page))
        })
        .collect()
}

/// The register `name`, printed as `NAME=HEX`.
fn register(text: &str, name: &str) -> u64 {
    let (_, rest) = text.split_once(&format!("{name}=")).unwrap_or_else(|| panic!("no {name} in {text}"));
    let digits: String = rest.chars().take_while(char::is_ascii_hexdigit).collect();
    u64::from_str_radix(&digits, 16).expect("a register")
}

#[test]
fn what_is_mapped_after_the_seal_is_what_the_book_says() {
    let file = std::fs::read(guest::bringup()).expect("the guest");
    let elf = object::File::parse(&*file).expect("an ELF file");
    let section = |name: &str| {
        let section = elf.section_by_name(name).unwrap_or_else(|| panic!("no section {name}"));
        section.address() & !0xfff..(section.address() + section.size()).next_multiple_of(4096)
    };
    let symbol = |name: &str| {
        let symbol = elf.symbols().find(|symbol| symbol.name() == Ok(name));
        symbol.unwrap_or_else(|| panic!("no symbol {name}")).address()
    };
    let text = section(".text");
    let rodata = section(".note.pvh").start..section(".rodata").end;
    let gate = section(".gate.text");
    let ring_0_data = section(".gate.data").start..section(".gate.stacks").end;
    let mut seen = 0;
    for kind in ["microvm", "microvm-pcie", "q35"] {
        for (accel, kind) in all(kind) {
            let mut guest = Guest::start(accel, kind, "mode=await watchdog=0");
            let pages = pages(&guest.tell("info tlb"));
            let registers = guest.tell("info registers");
            let open = guest.open_ports(&registers);
            drop(guest.tell("quit"));
            guest.end();
            let name = format!("{kind} on {accel}");
            assert!(pages.len() > 100, "{name}: {pages:x?}");
            for (&address, page) in &pages {
                let place = format!("{name}: {address:x}: {page:x?}");
                assert_eq!(page.physical, address, "{place}: not identity-mapped");
                assert!(!(page.writable && page.executable), "{place}: writable and executable");
                assert!(address >= 64 << 10, "{place}: below 64 KiB");
                let inside =
                    |range: &std::ops::Range<u64>| address < range.end && range.start < address + page.size;
                assert_eq!(page.executable, inside(&text) || inside(&gate), "{place}: executable");
                if inside(&text) || inside(&rodata) {
                    assert!(!page.writable && page.ring_3, "{place}: text or rodata");
                }
                if inside(&gate) {
                    assert!(!page.writable && !page.ring_3, "{place}: the gate");
                }
                if inside(&ring_0_data) {
                    assert!(!page.ring_3 && !page.executable, "{place}: the gate's data");
                }
                // No device was planned. An xAPIC's registers are ring 0's.
                assert!(address < 16 << 20 || (address == 0xfee0_0000 && !page.ring_3), "{place}: a device");
            }
            // Pages round each stack, boot code, and the page tables.
            let root = register(&registers, "CR3");
            let absent = [
                ("gate's stack", symbol("gate_stack_top") - 2 * 4096),
                ("stack of NMI and double fault", symbol("gate_ist_top") - 2 * 4096),
                ("stack", symbol("__stack_bottom") - 4096),
                ("stack's end", symbol("__stack_top")),
                ("emergency stack", symbol("__emergency_bottom") - 4096),
                ("boot code", section(".gate.boot").start),
                ("page tables before the seal", symbol("__pool_start")),
                ("page tables", root),
            ];
            for (what, page) in absent {
                let covering =
                    pages.range(..=page).next_back().filter(|(at, found)| **at + found.size > page);
                assert_eq!(covering, None, "{name}: {what} at {page:x}");
            }
            assert_eq!(
                register(&registers, "CR0") & 0x8001_0000,
                0x8001_0000,
                "{name}: paging, write protection"
            );
            // SMEP, SMAP, UMIP: `-cpu max` has them all.
            assert_eq!(register(&registers, "CR4") & 0x30_0800, 0x30_0800, "{name}: {registers}");
            assert_eq!(register(&registers, "EFER") & 0x801, 0x800, "{name}: NX, and no SYSCALL");
            assert_eq!(register(&registers, "CPL"), 3, "{name}");
            // Interrupts on, and no port by the privilege level.
            assert_eq!(register(&registers, "RFL") & 0x3200, 0x200, "{name}: {registers}");
            assert_eq!(open, [0x3f8, 0x3fd], "{name}: the ports of the console that printing takes");
            seen += 1;
        }
    }
    println!("{seen} machines: every page, and each of the 65,536 ports, is as it must be");
    let gate = elf.section_by_name(".gate.text").expect("the gate");
    println!("FIGURE the gate: {} bytes", gate.size());
}

/// Of a device: the page of its bells, for the gate alone on virtio-mmio. What tells it where to
/// write can't be written.
#[test]
fn a_device_keeps_its_bells_after_the_seal_and_no_more() {
    for kind in ["microvm", "microvm-pcie", "q35"] {
        for (accel, kind) in all(kind) {
            let mmio = kind == "microvm";
            let device = if mmio { "virtio-rng-device" } else { "virtio-rng-pci,disable-legacy=on" };
            let mut guest = Guest::start_with(
                accel,
                kind,
                "mode=dma crime=await watchdog=0",
                &[
                    "-object",
                    "rng-random,id=r0,filename=/dev/urandom",
                    "-device",
                    &format!("{device},rng=r0"),
                ],
            );
            let name = format!("{kind} on {accel}");
            let pages = pages(&guest.tell("info tlb"));
            drop(guest.tell("quit"));
            let number = |word: &str| {
                let (_, rest) = guest.said.split_once(&format!("{word} ")).expect("it says so");
                let digits = rest.split_whitespace().next().expect("a number");
                u64::from_str_radix(digits, 16).expect("a number")
            };
            let (descriptors, bells) = (number("descriptors"), number("bells"));
            let devices: Vec<_> =
                pages.iter().filter(|(at, _)| **at >= 16 << 20 && **at != 0xfee0_0000).collect();
            assert_eq!(devices.len(), 1, "{name}: {devices:x?}");
            let (&at, page) = devices[0];
            assert_eq!((at, page.size, page.ring_3), (bells, 4096, !mmio), "{name}: {page:x?}");
            let (at, table) = pages.range(..=descriptors).next_back().expect("the table is mapped");
            assert!(at + table.size > descriptors, "{name}: the table at {descriptors:x} isn't mapped");
            assert!(table.ring_3 && !table.writable, "{name}: {descriptors:x}: {table:x?}");
            guest.end();
            println!("{name}: of the device, the page of its bells");
        }
    }
}

#[test]
fn interrupts_that_nobody_asked_for_make_a_crash_record() {
    const MACHINE_CHECK: &str = "mce 0 9 0xbd00000000000000 5 0 0";
    for (accel, kind) in all("microvm") {
        for (command, fault) in [("nmi", "fault: nmi "), (MACHINE_CHECK, "fault: machine-check ")] {
            for (mode, in_gate) in [("await", false), ("await-asleep", true)] {
                let mut guest = Guest::start(accel, kind, &format!("mode={mode} watchdog=5"));
                // So that it has finished its line, and sleeps if it is to.
                std::thread::sleep(Duration::from_millis(500));
                guest.tell(command);
                let (status, printed) = guest.end();
                assert_eq!(status, Some(237), "{accel}: {command} while {mode}: {printed}");
                assert!(printed.contains(fault), "{accel}: {command} while {mode}: {printed}");
                assert_eq!(
                    printed.contains("in-gate"),
                    in_gate,
                    "{accel}: {command} while {mode}: {printed}"
                );
            }
        }
    }
}

#[test]
fn the_watchdog_takes_no_pause_for_a_loop() {
    for (accel, kind) in all("microvm") {
        // Its turn takes less than two seconds, of eight that it may take.
        let began = Instant::now();
        let mut guest = Guest::start(accel, kind, "mode=turn ms=1500 watchdog=8");
        guest.tell("stop");
        std::thread::sleep(Duration::from_secs(10));
        guest.tell("cont");
        let (status, printed) = guest.end();
        assert_eq!(status, Some(33), "{accel}: {printed}");
        assert!(began.elapsed() > Duration::from_secs(10), "{accel}: it wasn't paused");
    }
}

/// A machine that has a twentieth of a processor takes half a minute for a turn of a second and a half.
/// The watchdog's limit is eight.
#[test]
fn the_watchdog_takes_no_throttled_machine_for_a_loop() {
    let mut guests: Vec<_> = all("microvm")
        .map(|(accel, kind)| (accel, Guest::start(accel, kind, "mode=turn ms=1500 watchdog=8")))
        .collect();
    let mut seconds = 0;
    // On a busy host a turn was measured to be longer, or shorter, than it is.
    while seconds < 25 && guests.iter_mut().any(|(_, guest)| matches!(guest.child.try_wait(), Ok(None))) {
        guests.iter().for_each(|(_, guest)| guest.signal("-STOP"));
        std::thread::sleep(Duration::from_millis(950));
        guests.iter().for_each(|(_, guest)| guest.signal("-CONT"));
        std::thread::sleep(Duration::from_millis(50));
        seconds += 1;
    }
    for (accel, guest) in guests {
        let (status, printed) = guest.end();
        assert_eq!(status, Some(33), "{accel}: {printed}");
    }
    println!("throttled for {seconds} s");
}
