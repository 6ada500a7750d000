//! That the gate in an image is the runtime's, and that nobody changes it unseen: not even who
//! rewrites image, report and twin together.

use std::path::Path;
use std::process::Command;

use object::{Object as _, ObjectSection as _, ObjectSymbol as _};
use sha2::{Digest as _, Sha256};
use unik_codegen::audit::gate::assembled::Assembled;
use unik_codegen::audit::gate::own::{GATES, identity};
use unik_codegen::audit::{Evidence, Status, audit, binary};
use unik_codegen::image::{self, Report};
use unik_tests::{build, example, root, scratch, twin, unikgen_command};

/// The runtime, compiled for a level of processor, as an object file.
fn runtime(level: &str, place: &Path) -> Vec<u8> {
    let object = place.join(format!("{level}.o"));
    // The level goes to the last crate alone, so that what it needs is compiled once.
    let flags = ["--cfg=unik_machine", "-Crelocation-model=static", "-Cforce-unwind-tables=no"];
    let output = Command::new(env!("CARGO"))
        .args(["rustc", "--quiet", "--offline", "-p", "unik", "--lib"])
        .args(["--target", "x86_64-unknown-linux-gnu", "--"])
        .args(["-Ccodegen-units=1", &format!("-Ctarget-cpu={level}")])
        .arg(format!("--emit=obj={}", object.display()))
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f"))
        .current_dir(root())
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    std::fs::read(&object).expect("the object")
}

const HEAD: &str =
    "# The gate, as it is assembled from the runtime's source: audit/gate/assembled.rs says how to read it.
# Written by UNIK_BLESS=1 cargo test -p unik-tests --test gate.
";

/// `UNIK_BLESS=1` writes them anew, after a change of the runtime's gate: look at what changes.
#[test]
fn the_gates_that_audits_compare_with_are_the_runtimes() {
    let folder = scratch();
    for (level, text) in GATES {
        let gate = Assembled::of_object(&runtime(level, folder.path())).expect("the gate");
        let now = format!("{HEAD}{gate}");
        if std::env::var_os("UNIK_BLESS").is_some() {
            let place = root().join(format!("codegen/src/audit/gate/{level}.txt"));
            std::fs::write(place, &now).expect("it can be written");
        } else {
            assert!(
                now == text,
                "the runtime's gate for {level} isn't the one that audits compare with: \
                 UNIK_BLESS=1 cargo test -p unik-tests --test gate, and look at the difference"
            );
        }
        assert_eq!(Assembled::parse(&now), Some(gate));
    }
}

/// An image with its report and its twin, as somebody has them who may rewrite all three.
struct Owned {
    image: Vec<u8>,
    twin: Vec<u8>,
    report: Vec<u8>,
}

impl Owned {
    fn new() -> Owned {
        let path = build(&example("hello"), &[]);
        let read = |path: &Path| std::fs::read(path).expect("it is there");
        let twin_path = twin(&path);
        let report = read(&twin_path.with_file_name("report.json"));
        Owned { image: read(&path), twin: read(&twin_path), report }
    }

    /// Where in the image's file, and in the twin's, this address is.
    fn places(&self, address: u64) -> [usize; 2] {
        [&self.image, &self.twin].map(|file| {
            let elf = object::File::parse(file.as_slice()).expect("an image");
            let section = elf
                .sections()
                .find(|section| (section.address()..section.address() + section.size()).contains(&address))
                .expect("a section");
            let (offset, _) = section.file_range().expect("bytes");
            (offset + address - section.address()) as usize
        })
    }

    fn patch(&mut self, address: u64, bytes: &[u8]) {
        let [image, twin] = self.places(address);
        self.image[image..image + bytes.len()].copy_from_slice(bytes);
        self.twin[twin..twin + bytes.len()].copy_from_slice(bytes);
    }

    fn section(&self, name: &str) -> (u64, Vec<u8>) {
        let elf = object::File::parse(self.image.as_slice()).expect("an image");
        let section = elf.section_by_name(name).expect("the section");
        (section.address(), section.data().expect("its bytes").to_vec())
    }

    fn symbol(&self, name: &str) -> u64 {
        let elf = object::File::parse(self.twin.as_slice()).expect("a twin");
        let symbol = elf.symbols().find(|symbol| symbol.name() == Ok(name));
        symbol.unwrap_or_else(|| panic!("no {name}")).address()
    }

    /// The address of these bytes in a section, from `from` on.
    fn find(&self, section: &str, from: u64, bytes: &[u8]) -> u64 {
        let (start, held) = self.section(section);
        let skip = (from.max(start) - start) as usize;
        let at = held[skip..].windows(bytes.len()).position(|window| window == bytes);
        start + (skip + at.expect("they are there")) as u64
    }

    /// Rewrites what binds the three together, with `change` made to the report.
    fn rebind(&mut self, change: impl FnOnce(&mut serde_json::Value)) {
        let mut report: serde_json::Value = serde_json::from_slice(&self.report).expect("JSON");
        report["contents"] = binary::contents_hash(&self.image).expect("an image").into();
        change(&mut report);
        let old = image::report_hash(&self.image).expect("a hash");
        self.report = match serde_json::from_value::<Report>(report.clone()) {
            Ok(report) => report.to_json().into_bytes(),
            Err(_) => report.to_string().into_bytes(),
        };
        let new = Sha256::digest(&self.report);
        for file in [&mut self.image, &mut self.twin] {
            let at = file.windows(32).position(|window| window == old).expect("the hash");
            file[at..at + 32].copy_from_slice(&new);
        }
    }

    /// The codes of the checks that don't pass, and all that is found.
    fn open(&self) -> (Vec<&'static str>, String) {
        let evidence = Evidence {
            image: &self.image,
            report: Some(&self.report),
            twin: Some(&self.twin),
            known: &[],
            ways: &[],
        };
        let audit = audit(&evidence).expect("an image");
        let found = audit.open().flat_map(|check| &check.findings).map(|finding| finding.message.clone());
        let said = found.collect::<Vec<_>>().join("\n");
        assert!(audit.open().all(|check| check.status == Status::Failed), "{said}");
        (audit.open().map(|check| check.rule.code()).collect(), said)
    }
}

fn u64_at(file: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(file[at..at + 8].try_into().expect("eight"))
}

/// Where in the file the header of a section is.
fn section_header(file: &[u8], name: &str) -> usize {
    let elf = object::File::parse(file).expect("an image");
    let section = elf.section_by_name(name).expect("the section");
    u64_at(file, 0x28) as usize + section.index().0 * 64
}

type Attack = fn(&mut Owned);

#[test]
fn who_rewrites_all_three_can_not_change_the_gate() {
    let attacks: [(&str, &str, Attack); 16] = [
        ("the test of the write's call site, of nops", "of .gate.text", |owned| {
            let call = owned.symbol("gate_breakpoint");
            let test = owned.find(".gate.text", call, &[0x48, 0x81, 0x3c, 0x24]);
            owned.patch(test + 8, &[0x90, 0x90]);
        }),
        ("the test of the wait's call site, of nops", "of .gate.text", |owned| {
            let call = owned.symbol("gate_breakpoint");
            let first = owned.find(".gate.text", call, &[0x48, 0x81, 0x3c, 0x24]);
            let test = owned.find(".gate.text", first + 8, &[0x48, 0x81, 0x3c, 0x24]);
            owned.patch(test + 8, &[0x90, 0x90]);
        }),
        ("a store to wherever ring 3 says", "of .gate.text", |owned| {
            // push 2; popfq → mov [rax], ecx; nop
            owned.patch(owned.symbol("gate_breakpoint"), &[0x89, 0x08, 0x90]);
        }),
        ("a slot beyond the last", "of .gate.text", |owned| {
            let mask = owned.find(".gate.text", 0, &[0x83, 0xe7, 0x3f]);
            owned.patch(mask + 2, &[0x7f]);
        }),
        ("a store of boot's, before it turns paging on", "of .gate.boot", |owned| {
            let (start, _) = owned.section(".gate.boot");
            owned.patch(start + 2, &[0x90]);
        }),
        ("another entry for the monitor", "of .note.pvh", |owned| {
            let (start, bytes) = owned.section(".note.pvh");
            let entry = owned.symbol("gate_return").to_le_bytes();
            owned.patch(start + bytes.len() as u64 - 8, &entry);
        }),
        ("how a wait arms the timer", "of .gate.data", |owned| {
            let other = owned.symbol("gate_arm_xapic").to_le_bytes();
            owned.patch(owned.symbol("gate_arm"), &other);
        }),
        ("how an interrupt ends", "of .gate.data", |owned| {
            let other = owned.symbol("gate_write_site").to_le_bytes();
            owned.patch(owned.symbol("gate_eoi"), &other);
        }),
        ("a descriptor of ring 3 that is ring 0's", "of .gate.data", |owned| {
            let (start, bytes) = owned.section(".gate.data");
            let row = 0x00af_fb00_0000_ffff_u64.to_le_bytes();
            let at = bytes.windows(8).position(|window| window == row).expect("the descriptor") as u64;
            owned.patch(start + at + 5, &[0x9b]);
        }),
        ("the stack of ring 0 in ring 3's memory", "of .gate.tss", |owned| {
            let other = owned.symbol("__stack_top").to_le_bytes();
            owned.patch(owned.symbol("gate_tss") + 4, &other);
        }),
        ("where the crash record goes: the gate's own data", "no data of ring 3", |owned| {
            let place = owned.find(".gate.text", 0, &[0xb9, 23, 0, 0, 0]) - 4;
            let target = owned.symbol("gate_tss") as i64 - (place as i64 + 4);
            owned.patch(place, &(target as i32).to_le_bytes());
        }),
        ("where the crash record goes: elsewhere in ring 3", "the twin has elsewhere", |owned| {
            let place = owned.find(".gate.text", 0, &[0xb9, 23, 0, 0, 0]) - 4;
            let [at, _] = owned.places(place);
            let old = i32::from_le_bytes(owned.image[at..at + 4].try_into().expect("four"));
            let (data, size) = {
                let elf = object::File::parse(owned.image.as_slice()).expect("an image");
                let section = elf.section_by_name(".bss").expect("it has zeros");
                (section.address() as i64, section.size() as i64)
            };
            let there = place as i64 + 4 + i64::from(old);
            let other = if there == data { data + 8 } else { data };
            assert!(size > 200);
            owned.patch(place, &((other - place as i64 - 4) as i32).to_le_bytes());
        }),
        ("a call site elsewhere in the table", "the table of the gate's entries", |owned| {
            let site = owned.symbol("gate_wait_site").to_le_bytes();
            let note = owned.section(".note.unik");
            let at = note.1.windows(8).position(|window| window == site).expect("the row") as u64;
            owned.patch(note.0 + at, &(owned.symbol("gate_write_site")).to_le_bytes());
        }),
        ("slots of writes that are taken from the start", "begins as zeros", |owned| {
            // The section has bytes of the file: type 1, not 8.
            for file in [&mut owned.image, &mut owned.twin] {
                let header = section_header(file, ".gate.bss");
                assert_eq!(file[header + 4], 8);
                file[header + 4] = 1;
            }
        }),
        ("a section of code of its own in ring 0", "no image has a section", |owned| {
            for file in [&mut owned.image, &mut owned.twin] {
                let at = file.windows(12).position(|name| name == b"\0.gate.boot\0").expect("the name");
                file[at + 10] = b'x';
            }
        }),
        ("a call site that does more", "of .text.unik_gate_calls", |owned| {
            owned.patch(owned.symbol("gate_wait_site"), &[0x90]);
        }),
    ];
    let mut clean = Owned::new();
    assert_eq!(clean.open().0, Vec::<&str>::new(), "{}", clean.open().1);
    clean.rebind(|_| {});
    assert_eq!(clean.open().0, Vec::<&str>::new(), "{}", clean.open().1);
    let ours = identity(&clean.image).expect("an image");
    for (name, says, attack) in attacks {
        let mut owned = Owned::new();
        attack(&mut owned);
        owned.rebind(|_| {});
        let (codes, said) = owned.open();
        println!("{name}: {codes:?}\n{said}\n");
        assert!(codes.contains(&"A0011"), "{name}: {codes:?}\n{said}");
        assert!(said.contains(says), "{name}: {said}");
        // But for what needs the names of the twin.
        if says != "the twin has elsewhere" {
            assert_ne!(identity(&owned.image).expect("an image"), ours, "{name}");
        }
    }
}

#[test]
fn each_level_of_processor_has_its_gate() {
    let folder = scratch();
    let file = folder.path().join("hello.unik");
    let text = "unik 1\nappliance hello {\n    memory 4 MiB\n    cpu x86-64-v3\n    service a = say { line \"x\" }\n}\n";
    std::fs::write(&file, text).expect("a file");
    let image = folder.path().join("hello.img");
    let output = unikgen_command().arg("build").arg(&file).arg("-o").arg(&image).output().expect("it runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let gate = identity(&std::fs::read(&image).expect("the image")).expect("an image");
    assert!(gate.starts_with("the runtime's, for x86-64-v3"), "{gate}");
    let output = unikgen_command().arg("audit").arg(&image).output().expect("it runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}
