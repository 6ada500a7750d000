//! What `unikgen audit` proves of real images, and that what isn't so is found: images that
//! somebody has tampered with, and a driver that no plan holds.

use std::path::{Path, PathBuf};
use std::time::Instant;

use serde_json::Value;
use sha2::{Digest as _, Sha256};
use unik_codegen::audit::anatomy::Anatomy;
use unik_codegen::audit::known::{Known, known};
use unik_codegen::audit::lines::Lines;
use unik_codegen::audit::packages::Package;
use unik_codegen::audit::{Finding, binary, contents};
use unik_codegen::image::{self, Report};
use unik_tests::{build, copy_folder, example, root, scratch, twin, unikgen_command};

const EXAMPLES: [&str; 5] = ["hello", "web", "echo", "counter", "lan"];

/// Exit code, standard output and standard error of `unikgen audit`.
fn audit(arguments: &[&str], image: &Path) -> (Option<i32>, String, String) {
    let output = unikgen_command().arg("audit").arg(image).args(arguments).output().expect("unikgen runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

fn json(arguments: &[&str], image: &Path) -> Value {
    let (_, out, err) = audit(arguments, image);
    serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}{err}"))
}

#[test]
fn every_example_passes() {
    for name in EXAMPLES {
        let image = build(&example(name), &[]);
        let began = Instant::now();
        let (code, out, err) = audit(&[], &image);
        println!("FIGURE {name}: audited in {:.2} s", began.elapsed().as_secs_f64());
        assert_eq!(code, Some(0), "{name}: {out}{err}");
        assert!(out.starts_with(&format!("{name}  passed  ")), "{out}");
        assert!(out.lines().count() <= 40, "it takes more than a screen:\n{out}");
    }
}

#[test]
fn bytes_end_at_lines_of_the_file() {
    let web = json(&["--format", "json"], &build(&example("web"), &[]));
    assert_eq!(web["verdict"], "passed");
    let of = |owner: &str| {
        let owners = web["owners"].as_array().expect("owners");
        let share = owners.iter().find(|share| share["owners"] == serde_json::json!([owner]));
        share.unwrap_or_else(|| panic!("nothing is {owner}'s alone")).clone()
    };
    let http = of("http");
    assert_eq!(http["nodes"], serde_json::json!(["site"]));
    assert!(http["lines"][0]["place"].as_str().is_some_and(|place| place.starts_with("web.unik:")), "{http}");
    assert_eq!(http["lines"][0]["text"], "service site = http on lan {");
    assert!(http["code"].as_u64().is_some_and(|code| code > 10_000), "{http}");
    assert_eq!(of("rdrand")["lines"][0]["implies"], "rdrand");
    let sum = |rows: &Value| -> u64 {
        let rows = rows.as_array().expect("rows");
        rows.iter().map(|row| row["code"].as_u64().unwrap_or(0) + row["data"].as_u64().unwrap_or(0)).sum()
    };
    assert_eq!(sum(&web["owners"]), sum(&web["lines"]));
    // TCP is smoltcp's, most of it, and brought in by the network.
    let crates = web["crates"].as_array().expect("crates");
    let smoltcp = crates.iter().find(|entry| entry["name"] == "smoltcp").expect("smoltcp");
    assert!(smoltcp["size"].as_u64().is_some_and(|size| size > 10_000), "{smoltcp}");
    let hello = json(&["--format", "json"], &build(&example("hello"), &[]));
    assert!(!hello.to_string().contains("smoltcp"));
}

#[test]
fn the_bill_names_crates_that_have_bytes_and_no_others() {
    let folder = scratch();
    let place = folder.path().join("web.cdx.json");
    let image = build(&example("web"), &[]);
    let (code, out, err) = audit(&["--sbom", &place.to_string_lossy()], &image);
    assert_eq!(code, Some(0), "{out}{err}");
    let text = std::fs::read_to_string(&place).expect("the bill");
    let bill: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!((&bill["bomFormat"], &bill["specVersion"]), (&"CycloneDX".into(), &"1.5".into()));
    let components = bill["components"].as_array().expect("components");
    let of = |name: &str| components.iter().find(|component| component["name"] == name);
    let smoltcp = of("smoltcp").expect("smoltcp");
    assert_eq!(smoltcp["purl"], format!("pkg:cargo/smoltcp@{}", smoltcp["version"].as_str().unwrap_or("")));
    assert_eq!(smoltcp["licenses"][0]["expression"], "0BSD");
    // What was downloaded, by the lock file.
    assert_eq!(smoltcp["hashes"][0]["content"].as_str().map(str::len), Some(64), "{smoltcp}");
    assert!(of("core").is_some());
    // Nobody finds it at crates.io.
    assert!(of("unik-http").expect("unik-http").get("purl").is_none());
    // Resolved for the build, and not in the image.
    let image_packages = json(&["--format", "json"], &image);
    assert!(image_packages["crates"].as_array().is_some_and(|crates| crates.len() >= components.len()));
    for name in ["libc", "cfg-if", "stable_deref_trait", "serde"] {
        assert!(of(name).is_none(), "{name} has no bytes in the image");
    }
    let references: Vec<&Value> = components.iter().map(|component| &component["bom-ref"]).collect();
    for dependency in bill["dependencies"].as_array().expect("dependencies") {
        for on in dependency["dependsOn"].as_array().expect("a list") {
            assert!(references.contains(&on), "{on} is not in the bill");
        }
    }
    audit(&["--sbom", &place.to_string_lossy()], &image);
    assert_eq!(text, std::fs::read_to_string(&place).expect("the bill"), "the same image, the same bill");
}

#[test]
fn unsafe_code_comes_with_its_reasons() {
    let (code, out, _) = audit(&["--unsafe"], &build(&example("hello"), &[]));
    assert_eq!(code, Some(0));
    let (_, rest) = out.split_once("src/platform/machine/ports.rs").expect("the port functions are unsafe");
    assert!(rest.lines().nth(1).is_some_and(|reason| !reason.contains("no reason")), "{out}");
    assert!(!out.contains("smoltcp"), "{out}");
    // Ours all say why.
    let (_, ours) = out.split_once("\nunik 0.1.0\n").expect("the runtime");
    let bare: Vec<&str> = ours.lines().filter(|line| line.contains("no reason is given")).collect();
    assert!(bare.is_empty(), "{ours}");
}

/// An image with its twin and its report in a folder of its own, to be tampered with.
struct Tampered {
    _folder: tempfile::TempDir,
    image: PathBuf,
    twin: PathBuf,
    report: PathBuf,
}

impl Tampered {
    fn new() -> Tampered {
        let built = build(&example("hello"), &[]);
        let folder = scratch();
        let place = |name: &str| folder.path().join(name);
        let report = twin(&built).with_file_name("report.json");
        for (from, to) in
            [(&built, "hello.img"), (&twin(&built), "hello.twin.elf"), (&report, "hello.report.json")]
        {
            std::fs::copy(from, place(to)).expect("a copy");
        }
        let (image, twin, report) = (place("hello.img"), place("hello.twin.elf"), place("hello.report.json"));
        Tampered { _folder: folder, image, twin, report }
    }

    /// The codes of the checks that fail, after checking that the command says so.
    fn failing(&self) -> Vec<String> {
        let arguments = ["--report", &self.report.to_string_lossy(), "--twin", &self.twin.to_string_lossy()];
        let (code, out, err) = audit(&arguments, &self.image);
        assert_eq!(code, Some(4), "{out}{err}");
        assert!(out.contains("FAILED"), "{out}");
        let outcome = json(&[&["--format", "json"][..], &arguments].concat(), &self.image);
        assert_eq!(outcome["verdict"], "failed");
        let sarif = json(&[&["--format", "sarif"][..], &arguments].concat(), &self.image);
        let checks = outcome["checks"].as_array().expect("checks");
        let failed: Vec<String> = checks
            .iter()
            .filter(|check| check["status"] == "failed")
            .map(|check| check["code"].as_str().unwrap_or("").to_string())
            .collect();
        for rule in &failed {
            let results = sarif["runs"][0]["results"].as_array().expect("results");
            assert!(results.iter().any(|result| result["ruleId"] == **rule), "{rule}: {sarif}");
        }
        failed
    }
}

fn change(path: &Path, what: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = std::fs::read(path).expect("it is there");
    what(&mut bytes);
    std::fs::write(path, bytes).expect("it can be written");
}

fn number(bytes: &[u8], at: usize, size: usize) -> usize {
    bytes[at..at + size].iter().rev().fold(0, |number, &byte| number << 8 | usize::from(byte))
}

/// Where the program header of the segment with the text of ring 3 stands, and the offset and
/// size of its bytes: the largest that can be executed.
fn text(image: &[u8]) -> (usize, usize, usize) {
    let (table, count) = (number(image, 0x20, 8), number(image, 0x38, 2));
    let headers = (0..count).map(|at| table + at * 56);
    headers
        .filter(|&header| number(image, header, 4) == 1 && number(image, header + 4, 4) & 1 == 1)
        .map(|header| (header, number(image, header + 8, 8), number(image, header + 32, 8)))
        .max_by_key(|(_, _, size)| *size)
        .expect("a segment with text")
}

/// An offset in the first 8 KiB of the file whose bytes are loaded.
fn early(image: &[u8]) -> usize {
    let (table, count) = (number(image, 0x20, 8), number(image, 0x38, 2));
    let loaded = (0..count).map(|at| table + at * 56).filter(|&header| number(image, header, 4) == 1);
    loaded
        .map(|header| (number(image, header + 8, 8).next_multiple_of(4) + 64, number(image, header + 32, 8)))
        .find(|&(at, size)| size >= 128 && at < 8192)
        .expect("something is loaded from there")
        .0
}

#[test]
fn one_flipped_bit_is_found() {
    let tampered = Tampered::new();
    change(&tampered.image, |image| {
        let (_, start, size) = text(image);
        image[start + size / 2] ^= 4;
    });
    // The twin alone, and the hash alone, would tell.
    assert_eq!(tampered.failing(), ["A0002", "A0003"]);
}

#[test]
fn writable_text_is_found() {
    let tampered = Tampered::new();
    change(&tampered.image, |image| {
        let (header, _, _) = text(image);
        image[header + 4] |= 2;
    });
    let failing = tampered.failing();
    assert!(failing.contains(&"A0004".into()) && failing.contains(&"A0002".into()), "{failing:?}");
}

#[test]
fn what_is_loaded_in_the_place_of_a_section_is_found() {
    let tampered = Tampered::new();
    change(&tampered.image, |image| {
        let (header, start, size) = text(image);
        // The monitor loads a copy at the end of the file; the section stays as it was.
        let copy = image[start..start + size].to_vec();
        let end = image.len() as u64;
        image[header + 8..header + 16].copy_from_slice(&end.to_le_bytes());
        image.extend(copy);
    });
    // What is loaded is the same, and so is the twin.
    assert_eq!(tampered.failing(), ["A0002", "A0004"]);
    let output = unikgen_command().arg("cost").arg(&tampered.image).output().expect("it starts");
    assert_eq!(output.status.code(), Some(2), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Moves all of the image but its header and segment table up by `by` bytes of the file, which
/// are left as zeros; its section table too.
fn make_room(image: &mut Vec<u8>, by: usize) -> usize {
    let (segments, sections) = (number(image, 0x38, 2), number(image, 0x3c, 2));
    let at = 64 + 56 * segments;
    let table = number(image, 0x28, 8);
    let places = (0..segments).map(|i| 64 + 56 * i + 8).chain((1..sections).map(|i| table + 64 * i + 0x18));
    for place in places.chain([0x28]) {
        let moved = (number(image, place, 8) + by) as u64;
        image[place..place + 8].copy_from_slice(&moved.to_le_bytes());
    }
    image.splice(at..at, std::iter::repeat_n(0, by));
    at
}

#[test]
fn a_segment_table_with_two_readings_is_refused() {
    let tampered = Tampered::new();
    change(&tampered.image, |image| {
        // Monitors take the number as it stands; readers that know PN_XNUM take section 0's.
        let (segments, sections) = (number(image, 0x38, 2), number(image, 0x28, 8));
        image[0x38..0x3a].copy_from_slice(&u16::MAX.to_le_bytes());
        image[sections + 44..sections + 48].copy_from_slice(&(segments as u32).to_le_bytes());
    });
    for command in ["audit", "cost"] {
        let output = unikgen_command().arg(command).arg(&tampered.image).output().expect("it starts");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{command}: {said}");
        assert!(said.contains("program headers"), "{command}: {said}");
    }
}

#[test]
fn a_header_of_another_format_is_found() {
    let multiboot = 0x1bad_b002_u32.to_le_bytes();
    // In a gap of the file that nothing is loaded from: the sections are what they were.
    let tampered = Tampered::new();
    change(&tampered.image, |image| {
        let at = make_room(image, 4096);
        let at = at.next_multiple_of(4);
        image[at..at + 4].copy_from_slice(&multiboot);
    });
    assert_eq!(tampered.failing(), ["A0002", "A0004"]);
    let output = unikgen_command().arg("cost").arg(&tampered.image).output().expect("it starts");
    assert_eq!(output.status.code(), Some(2), "{}", String::from_utf8_lossy(&output.stderr));

    // In what is loaded, with the twin and the report to agree. What stands in the first 8 KiB, where
    // monitors look, is the seed's choice.
    let tampered = Tampered::new();
    let at = early(&std::fs::read(&tampered.image).expect("the image"));
    for path in [&tampered.image, &tampered.twin] {
        change(path, |image| image[at..at + 4].copy_from_slice(&multiboot));
    }
    agree(&tampered);
    assert!(tampered.failing().contains(&"A0004".into()));
}

/// Makes the report say what the image is, as who rewrites all three does.
fn agree(tampered: &Tampered) {
    let image = std::fs::read(&tampered.image).expect("the image");
    let contents = binary::contents_hash(&image).expect("an image");
    let file = image::file_hash(&image).expect("an image");
    rebind(tampered, |report| {
        report["contents"] = contents.into();
        report["file"] = file.into();
    });
}

#[test]
fn what_is_loaded_twice_or_put_beside_sections_is_found() {
    // More of the segment that text is in, behind its end; and the file's bytes once more.
    for (what, field) in [("a longer segment", 40), ("twice", 8)] {
        let tampered = Tampered::new();
        for path in [&tampered.image, &tampered.twin] {
            change(path, |image| {
                let (header, start, size) = text(image);
                if field == 40 {
                    let longer = (size + 16) as u64;
                    image[header + 40..header + 48].copy_from_slice(&longer.to_le_bytes());
                } else {
                    let count = number(image, 0x38, 2);
                    let other = (0..count)
                        .map(|at| 64 + at * 56)
                        .find(|&at| {
                            at != header && number(image, at, 4) == 1 && number(image, at + 32, 8) > 0
                        })
                        .expect("another segment");
                    image[other + 8..other + 16].copy_from_slice(&(start as u64).to_le_bytes());
                }
            });
        }
        agree(&tampered);
        assert!(tampered.failing().contains(&"A0004".into()), "{what}");
    }
}

#[test]
fn bytes_of_the_file_that_are_nobodys_are_found() {
    let tampered = Tampered::new();
    change(&tampered.image, |image| image.extend(b"something else"));
    assert_eq!(tampered.failing(), ["A0002", "A0004"]);
    let output = unikgen_command().args(["diff", "--check"]).args([&tampered.image; 2]).output();
    assert_eq!(output.expect("it starts").status.code(), Some(2));
}

#[test]
fn a_privileged_instruction_is_found_even_with_a_twin_that_has_it_too() {
    let tampered = Tampered::new();
    for path in [&tampered.image, &tampered.twin] {
        change(path, |image| {
            let (_, start, size) = text(image);
            // A function's end: `ret`, and the room after it.
            let room = (start..start + size - 3)
                .find(|&at| image[at] == 0xc3 && image[at + 1..at + 3] == [0xcc, 0xcc])
                .expect("room between functions");
            image[room + 1..room + 3].copy_from_slice(&[0x0f, 0x30]);
        });
    }
    assert_eq!(tampered.failing(), ["A0002", "A0006"]);
    let (_, out, _) = audit(&["--twin", &tampered.twin.to_string_lossy()], &tampered.image);
    assert!(out.contains("`wrmsr` stands outside the gate"), "{out}");
}

#[test]
fn the_report_of_another_image_is_found() {
    let tampered = Tampered::new();
    let web = twin(&build(&example("web"), &[]));
    std::fs::copy(web.with_file_name("report.json"), &tampered.report).expect("a copy");
    assert_eq!(tampered.failing(), ["A0001"]);
    change(&tampered.report, |report| report.clear());
    assert_eq!(tampered.failing(), ["A0001"]);
}

/// Puts the hash of the report into image and twin, as who rewrites all three does.
fn rebind(tampered: &Tampered, what: impl FnOnce(&mut Value)) {
    let old = image::report_hash(&std::fs::read(&tampered.image).expect("the image")).expect("a hash");
    change(&tampered.report, |report| {
        let mut value: Value = serde_json::from_slice(report).expect("JSON");
        what(&mut value);
        *report = value.to_string().into_bytes();
    });
    let new = Sha256::digest(std::fs::read(&tampered.report).expect("the report"));
    for path in [&tampered.image, &tampered.twin] {
        change(path, |file| {
            let at = file.windows(32).position(|window| window == old).expect("the hash");
            file[at..at + 32].copy_from_slice(&new);
        });
    }
}

#[test]
fn a_report_that_says_more_or_less_than_the_image_is_found() {
    let device = serde_json::json!({ "name": "spy", "component": "virtio-net", "provides": ["Frames"] });
    type Change<'a> = &'a dyn Fn(&mut Value);
    let changes: [Change<'_>; 6] = [
        &|report| report["manifest"]["devices"] = serde_json::json!([device]),
        &|report| report["manifest"]["memory"] = 1.into(),
        &|report| report["build"]["rustc"] = "1.0.0".into(),
        &|report| report["sections"][0]["size"] = 1.into(),
        &|report| report["crates"][0]["size"] = 1.into(),
        &|report| report["loaded"] = 1.into(),
    ];
    for what in changes {
        let tampered = Tampered::new();
        rebind(&tampered, what);
        assert_eq!(tampered.failing(), ["A0012"]);
        let output = unikgen_command().arg("cost").arg(&tampered.image).output().expect("it starts");
        assert_eq!(output.status.code(), Some(2), "{}", String::from_utf8_lossy(&output.stderr));
    }
    // Nothing of a table of another version is believed.
    let tampered = Tampered::new();
    rebind(&tampered, |report| report["version"] = 5.into());
    assert_eq!(tampered.failing(), ["A0012"]);
    let arguments = ["--report", &tampered.report.to_string_lossy()];
    let (_, out, _) = audit(&arguments, &tampered.image);
    assert!(out.contains("its report has version 5, this unikgen knows 4"), "{out}");
}

#[test]
fn notes_that_lack_or_are_too_many_are_found() {
    // Type → another type, in the image and its twin.
    for (from, to) in [(2_u8, 9_u8), (5, 9), (4, 2)] {
        let tampered = Tampered::new();
        for path in [&tampered.image, &tampered.twin] {
            change(path, |file| {
                let note = [from, 0, 0, 0, b'u', b'n', b'i', b'k', 0];
                let at = file.windows(note.len()).position(|window| window == note).expect("the note");
                file[at] = to;
            });
        }
        let failing = tampered.failing();
        assert!(failing.contains(&"A0012".into()), "{failing:?}");
    }
}

#[test]
fn an_entry_of_three_bytes_without_its_section_is_found() {
    // QEMU reads four bytes of an entry, however many the note says: the fourth is padding.
    let tampered = Tampered::new();
    for path in [&tampered.image, &tampered.twin] {
        change(path, |file| {
            let note = [8, 0, 0, 0, 18, 0, 0, 0, b'X', b'e', b'n', 0];
            let at = file.windows(note.len()).position(|window| window == note).expect("the note") - 4;
            // A note of 20 bytes; what follows moves up.
            file[at + 4] = 3;
            file[at + 19] = 1;
            let mut headers = (0..number(file, 0x38, 2)).map(|at| 64 + at * 56);
            let header = headers.find(|&at| number(file, at, 4) == 4).expect("the notes' header");
            let size = number(file, header + 32, 8);
            file.copy_within(at + 24..at + size, at + 20);
            for field in [32, 40] {
                file[header + field..header + field + 8].copy_from_slice(&(size as u64 - 4).to_le_bytes());
            }
            // The section of the entry is none that is loaded, and the next begins in its place.
            let row = |file: &[u8], offset| {
                let table = number(file, 0x28, 8);
                (0..number(file, 0x3c, 2))
                    .map(|row| table + row * 64)
                    .find(|&row| number(file, row + 4, 4) == 7 && number(file, row + 24, 8) == offset)
                    .expect("a section of notes")
            };
            let (entry, own) = (row(file, at), row(file, at + 24));
            file[entry + 8..entry + 16].fill(0);
            for field in [16, 24] {
                let start = number(file, own + field, 8) as u64 - 24;
                file[own + field..own + field + 8].copy_from_slice(&start.to_le_bytes());
            }
            let longer = number(file, own + 32, 8) as u64 + 24;
            file[own + 32..own + 40].copy_from_slice(&longer.to_le_bytes());
        });
    }
    agree(&tampered);
    let failing = tampered.failing();
    assert!(failing.contains(&"A0004".into()) && failing.contains(&"A0011".into()), "{failing:?}");
}

#[test]
fn what_is_for_files_is_refused_for_images() {
    let image = build(&example("hello"), &[]);
    for arguments in [&["--set", "a=b"][..], &["--target", "process"], &["--deny", "warnings"]] {
        let (code, out, err) = audit(arguments, &image);
        assert_eq!(code, Some(2), "{out}{err}");
        assert!(err.contains("is for a .unik file"), "{err}");
    }
}

#[test]
fn a_bill_is_written_of_what_is_proven_and_over_nothing_else() {
    let tampered = Tampered::new();
    let place = tampered.image.with_file_name("hello.cdx.json");
    let bill = place.to_string_lossy().into_owned();
    let report = tampered.report.to_string_lossy().into_owned();
    let (code, _, err) = audit(&["--sbom", &report], &tampered.image);
    assert_eq!(code, Some(2), "a report is no bill: {err}");
    change(&tampered.image, |image| {
        let (_, start, size) = text(image);
        image[start + size / 2] ^= 4;
    });
    let (code, _, err) = audit(&["--sbom", &bill], &tampered.image);
    assert_eq!(code, Some(4), "{err}");
    assert!(!place.exists() && err.contains("isn't written"), "{err}");
}

#[test]
fn an_image_is_proven_after_another_of_the_same_plan() {
    let folder = scratch();
    let (first, second) = (folder.path().join("first.img"), folder.path().join("second.img"));
    std::fs::copy(build(&example("hello"), &[]), &first).expect("a copy");
    std::fs::copy(build(&example("hello"), &["--seed", "7"]), &second).expect("a copy");
    for image in [&first, &second] {
        let (code, out, err) = audit(&[], image);
        assert_eq!(code, Some(0), "{out}{err}");
    }
}

#[test]
fn the_twin_of_another_image_is_found() {
    let tampered = Tampered::new();
    std::fs::copy(twin(&build(&example("web"), &[])), &tampered.twin).expect("a copy");
    assert!(tampered.failing().contains(&"A0003".into()));
}

#[test]
fn without_its_twin_it_is_not_proven() {
    let folder = scratch();
    let image = folder.path().join("alone.img");
    std::fs::copy(build(&example("hello"), &[]), &image).expect("a copy");
    let output = unikgen_command()
        .env("UNIK_CACHE", folder.path().join("cache"))
        .arg("audit")
        .arg(&image)
        .output()
        .expect("unikgen runs");
    assert_eq!(output.status.code(), Some(4));
    assert!(String::from_utf8_lossy(&output.stdout).contains("not proven"));
}

#[test]
fn what_is_no_image_is_refused_in_words() {
    let folder = scratch();
    let image = std::fs::read(build(&example("hello"), &[])).expect("the image");
    let mut noise = vec![0u8; 4096];
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    noise.fill_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    });
    let elf = std::fs::read("/bin/true").expect("there is a true");
    let cases: [(&str, &[u8]); 6] = [
        ("half", &image[..image.len() / 2]),
        ("begun", &image[..80]),
        ("empty", &[]),
        ("noise", &noise),
        ("other", &elf),
        ("text", b"unik 1\n"),
    ];
    for (name, bytes) in cases {
        let place = folder.path().join(name);
        std::fs::write(&place, bytes).expect("it can be written");
        let (code, out, err) = audit(&[], &place);
        assert_eq!(code, Some(2), "{name}: {out}{err}");
        assert!(err.contains("is no image of unik"), "{name}: {err}");
    }
}

fn all_known() -> Vec<Known> {
    let files = unik_builtin::source_files().expect("the sources");
    known(files.iter().map(|(path, bytes)| (path.as_path(), bytes.as_slice())))
}

/// A driver that the optimiser leaves no function of its own, in an image whose plan doesn't
/// hold it: the build fails, and each kind of evidence alone would make it fail.
#[test]
fn a_smuggled_driver_is_found_three_times() {
    let folder = scratch();
    let here = folder.path();
    for name in ["smuggler", "smuggle.unik"] {
        let from = root().join("tests/third-party").join(name);
        if from.is_dir() {
            copy_folder(&from, &here.join(name));
        } else {
            std::fs::copy(from, here.join(name)).expect("a copy");
        }
    }
    copy_folder(&root().join("device-lib/rdrand"), &here.join("rdrand"));
    // As a third party would publish it: nothing of our workspace, all of the component.
    change(&here.join("rdrand/Cargo.toml"), |text| {
        let manifest = String::from_utf8_lossy(text)
            .replace("rust-version.workspace = true\n", "")
            .replace("version.workspace = true", "version = \"0.1.0\"")
            .replace("edition.workspace = true", "edition = \"2024\"")
            .replace("license.workspace = true", "license = \"MIT\"")
            .replace("unik.workspace = true", "unik = { version = \"0.1\", default-features = false }")
            .replace(
                "rand_chacha.workspace = true",
                "rand_chacha = { version = \"0.10\", default-features = false }",
            )
            .replace("[lints]\nworkspace = true", "[workspace]");
        *text = manifest.into_bytes();
    });
    let output =
        unikgen_command().arg("build").arg(here.join("smuggle.unik")).output().expect("unikgen runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(!here.join("smuggle.img").exists(), "it is not deployed");
    for part in
        ["[A0007] cargo built the component `rdrand`", "[A0008]", "[A0009] it says", "smuggler depends on it"]
    {
        assert!(said.contains(part), "{part}: {said}");
    }

    let (_, kept) = said.rsplit_once("unikgen audit ").expect("where it is kept");
    let kept = PathBuf::from(kept.lines().next().unwrap_or("").trim());
    let (code, out, _) = audit(&[], &kept);
    assert_eq!(code, Some(4), "{out}");

    // All of it is inlined but two functions, which are called through pointers. Of these the
    // names are taken away: what follows must not need a symbol of the driver's.
    let mut bytes = std::fs::read(kept.with_extension("twin.elf")).expect("the twin");
    let symbol = b"11unik_rdrand";
    let left: Vec<usize> = (0..bytes.len()).filter(|&at| bytes[at..].starts_with(symbol)).collect();
    assert!(left.len() <= 4, "it isn't inlined: this would prove less than it says");
    left.into_iter().for_each(|at| bytes[at..at + symbol.len()].fill(b'x'));
    let text = std::fs::read_to_string(kept.with_file_name("report.json")).expect("the report");
    let report = Report::from_json(&text).expect("a report");
    let says = |found: &[Finding], what: &str| {
        assert!(found.iter().any(|finding| finding.message.contains(what)), "{what}: {found:?}");
    };
    // Each with what it needs, and nothing of what the others go by.
    says(&contents::by_graph(&report.packages, &report.nodes), "rdrand");
    let honest: Vec<Package> =
        report.packages.iter().filter(|package| package.name != "unik-rdrand").cloned().collect();
    let lying = Anatomy::of(&bytes, &honest).expect("an image");
    says(&contents::by_lines(&lying, &honest, &report.nodes, &[]), "a file of no package");
    let mut bare = Anatomy::of(&bytes, &[]).expect("an image");
    bare.lines = Lines::default();
    says(&contents::by_texts(&bare, &report.nodes, &all_known(), &report.content), "`rdrand`");
    // And none of them cries at what is planned.
    let hello = twin(&build(&example("hello"), &[]));
    let text = std::fs::read_to_string(hello.with_file_name("report.json")).expect("the report");
    let report = Report::from_json(&text).expect("a report");
    let bytes = std::fs::read(&hello).expect("the twin");
    let anatomy = Anatomy::of(&bytes, &report.packages).expect("an image");
    assert_eq!(contents::by_graph(&report.packages, &report.nodes), []);
    assert_eq!(contents::by_lines(&anatomy, &report.packages, &report.nodes, &all_known()), []);
    assert_eq!(contents::by_texts(&anatomy, &report.nodes, &all_known(), &report.content), []);
}
