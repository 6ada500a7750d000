//! What is checked of an image, on ELF files broken by hand.

mod elf;

use elf::{HASH, Image, NOTES, R, TEXT, put};
use sha2::{Digest, Sha256};
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
