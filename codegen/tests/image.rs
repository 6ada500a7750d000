//! What is checked of an image, on ELF files broken by hand.

mod elf;

use elf::{HASH, Image, NOTES, R, TEXT, put};
use sha2::{Digest, Sha256};
use unik_codegen::audit::{Evidence, audit, claims, form};
use unik_codegen::image;

#[test]
fn a_good_image_passes_before_and_after_stripping() {
    let image = Image::good().bytes();
    image::check(&image, &HASH).unwrap();
    assert_eq!(image::manifest(&image).unwrap().appliance, "x");
    assert_eq!(image::plan_hash(&image).unwrap(), HASH);
    let stripped = image::strip(&image).unwrap();
    image::check(&stripped, &HASH).unwrap();
    assert!(stripped.len() < image.len());
    // All that is loaded is the same, byte by byte.
    assert_eq!(stripped[TEXT..NOTES + 0x200], image[TEXT..NOTES + 0x200]);
    assert!(!stripped.windows(6).any(|bytes| bytes == b"malloc"));
    assert!(stripped.windows(10).any(|bytes| bytes == b".note.unik"));
    assert_eq!(image::strip(&stripped).unwrap(), stripped);
    assert!(!image::is_report_of(b"{}", &image).unwrap());
    assert_eq!(image::report_hash(&image).unwrap(), [0; 32]);
    let mut known = image.clone();
    let at = image[..0x2300].windows(4).rposition(|bytes| bytes == b"unik").unwrap() + 8;
    put(&mut known, at, &Sha256::digest(b"{}"));
    assert!(image::is_report_of(b"{}", &known).unwrap());
}

#[test]
fn each_fault_is_named() {
    type Break = fn(&mut Image);
    let faults: [(Break, &str); 14] = [
        (|image| image.kind = 3, "position-independent"),
        (|image| image.machine = 183, "not for x86-64"),
        (|image| image.segments[0].1 = 7, "segment at 0x1000 is writable and executable"),
        (|image| image.segments[1].3 = 1 << 40, "segment at 0x2000 isn't whole"),
        (|image| image.segments.push((3, R, 0x1000, 4)), "asks for a dynamic linker"),
        (|image| image.segments.push((2, R, 0x1000, 4)), "linked dynamically (PT_DYNAMIC)"),
        (|image| image.sections.push((".dynsym", 11, 2, 0x1000, 0)), "linked dynamically (section .dynsym)"),
        (|image| image.sections.push((".dynamic", 6, 2, 0x1000, 0)), "linked dynamically (section .dynamic)"),
        (
            |image| image.sections.push((".rela.text", 4, 0, 0x1000, 24)),
            "relocations left (section .rela.text)",
        ),
        (|image| image.undefined = true, "nothing defines malloc"),
        (|image| drop(image.notes.remove(0)), "no PVH note"),
        (
            |image| image.notes[0].2 = 0x2000u64.to_le_bytes().to_vec(),
            "PVH entry 0x2000 is not in executable memory",
        ),
        (|image| drop(image.notes.remove(2)), "doesn't carry the hash of its plan"),
        (|image| image.notes[2].2 = vec![8; 32], "made from another plan"),
    ];
    for (fault, message) in faults {
        let mut image = Image::good();
        fault(&mut image);
        let error = image::check(&image.bytes(), &HASH).unwrap_err().to_string();
        assert!(error.contains(message), "{message}: {error}");
    }
}

#[test]
fn damaged_files_are_refused_without_a_panic() {
    let image = Image::good().bytes();
    for end in (0..image.len()).step_by(7) {
        let part = &image[..end];
        let _ = image::check(part, &HASH);
        let _ = image::strip(part);
        let _ = image::manifest(part);
    }
    for at in 0..0x200 {
        let mut other = image.clone();
        other[at] ^= 0xff;
        let _ = image::check(&other, &HASH);
        let _ = image::strip(&other);
        let _ = image::manifest(&other);
    }
    for wrong in [&b""[..], b"\x7fELF", b"#!/bin/sh\n"] {
        assert!(image::check(wrong, &HASH).unwrap_err().to_string().contains("no 64-bit ELF file"));
    }
    let mut manifest = Image::good();
    manifest.notes[1].2 =
        br#"{"version":2,"appliance":"x","memory":1,"cpu":"","devices":[],"networks":[],"listens":[]}"#
            .to_vec();
    assert!(image::manifest(&manifest.bytes()).unwrap_err().to_string().contains("version 2"));
}

fn messages(found: &[unik_codegen::audit::Finding]) -> String {
    found.iter().map(|finding| finding.message.as_str()).collect::<Vec<_>>().join("; ")
}

#[test]
fn a_second_segment_of_notes_is_found() {
    // Monitors look for the entry in each: in one that lacks it QEMU reads on behind its end.
    let mut image = Image::good();
    let said = |image: &Image| messages(&claims::notes(&image.bytes()).unwrap());
    assert!(!said(&image).contains("segments of notes"), "{}", said(&image));
    image.segments.push((4, R, NOTES as u64, 0));
    assert!(said(&image).contains("it has 2 segments of notes"), "{}", said(&image));
}

#[test]
fn what_stands_behind_the_loaded_part_is_its_table_of_sections() {
    let said = |file: &[u8]| messages(&form::check(file).unwrap());
    let whole = Image::good().bytes();
    let stripped = image::strip(&whole).unwrap();
    assert!(!said(&stripped).contains("behind what is loaded"), "{}", said(&stripped));
    // Sections that aren't loaded; a field of a section that nobody reads.
    assert!(said(&whole).contains("behind what is loaded"), "{}", said(&whole));
    let mut link = stripped.clone();
    let last = link.len() - 64;
    link[last + 40] = 1;
    assert!(said(&link).contains("behind what is loaded"), "{}", said(&link));
}

#[test]
fn headers_that_say_more_than_a_linker_does_are_refused() {
    let good = image::strip(&Image::good().bytes()).unwrap();
    // The kind of numbers, the interface and its version, padding, flags of the processor.
    for at in [5, 7, 8, 9, 15, 0x30] {
        let mut file = good.clone();
        file[at] = 2;
        assert!(image::report_hash(&file).is_err(), "byte {at:#x}");
    }
}

#[test]
fn names_of_an_image_make_no_lines_and_command_no_terminal() {
    let mut image = Image::good();
    image.sections.push(("\x1b[2J\nweb  passed", 1, 3, NOTES as u64, 8));
    let file = image::strip(&image.bytes()).unwrap();
    let evidence = Evidence { image: &file, report: None, twin: None, known: &[], ways: &[] };
    let checks = audit(&evidence).unwrap().checks;
    let said: Vec<&str> =
        checks.iter().flat_map(|check| &check.findings).map(|finding| finding.message.as_str()).collect();
    assert!(said.iter().any(|message| message.contains("web  passed")), "{said:?}");
    assert!(!said.iter().any(|message| message.contains(char::is_control)), "{said:?}");
}
