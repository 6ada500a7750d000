//! A fuzz harness of all that reads an image: `cargo bolero test -p unik-codegen fuzz_audit`
//! runs it for as long as one likes, `cargo test` for a bounded while. Whatever the bytes, the
//! outcome is an error or a finding, never a panic.

mod elf;

use unik_codegen::audit::anatomy::Anatomy;
use unik_codegen::audit::{Evidence, audit, claims, gate, lay};
use unik_codegen::image;

fn read(bytes: &[u8]) {
    let _ = image::check(bytes, &elf::HASH);
    let _ = image::strip(bytes);
    let _ = image::manifest(bytes);
    let _ = gate::own::identity(bytes);
    let _ = claims::notes(bytes);
    if let Ok(anatomy) = Anatomy::of(bytes, &[]) {
        let _ = lay(&anatomy, &[], &[]);
    }
    let report = br#"{"version":3}"#;
    for (report, twin) in [(None, None), (Some(&report[..]), Some(bytes)), (Some(bytes), Some(&[][..]))] {
        let _ = audit(&Evidence { image: bytes, report, twin, known: &[], ways: &[] });
    }
}

#[test]
fn fuzz_audit() {
    let good = elf::Image::good().bytes();
    bolero::check!().with_type::<Vec<(u16, u8)>>().with_iterations(1_000).for_each(|changes| {
        let mut bytes = good.clone();
        for &(at, value) in changes {
            // Most of the file is room; what is read are its tables.
            let at = usize::from(at) % bytes.len();
            bytes[at] = value;
        }
        read(&bytes);
        bytes.truncate(changes.first().map_or(0, |change| usize::from(change.0)));
        read(&bytes);
    });
}

#[test]
fn fuzz_noise() {
    bolero::check!().with_type::<Vec<u8>>().with_iterations(1_000).for_each(|bytes| {
        read(bytes);
        let mut image = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x3e\0".to_vec();
        image.extend(bytes);
        read(&image);
    });
}
