//! The guest of the runtime alone, `tests/guests/bringup`.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use crate::{cache, root};

/// The guest, built once.
///
/// # Panics
/// When it doesn't build.
pub fn bringup() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| build("x86-64-v2"))
}

/// The guest for processors with AVX2, built once.
///
/// # Panics
/// When it doesn't build.
pub fn bringup_for_avx2() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| build("x86-64-v3"))
}

fn build(cpu: &str) -> PathBuf {
    let image = cache().join(format!("test-images/bringup-{cpu}"));
    std::fs::create_dir_all(cache().join("test-images")).expect("a folder for images");
    let output = Command::new(root().join("tests/guests/bringup/build.sh"))
        .arg(&image)
        // The flags differ, so neither builds the other's anew.
        .env("CARGO_TARGET_DIR", if cpu == "x86-64-v2" { cache() } else { cache().join(cpu) })
        .env("TARGET_CPU", cpu)
        .output()
        .expect("sh runs");
    assert!(output.status.success(), "bringup doesn't build: {}", String::from_utf8_lossy(&output.stderr));
    image
}

/// QEMU with [`bringup`]: see [`qemu_with`].
#[must_use]
pub fn qemu(accel: &str, kind: &str, boot_line: &str) -> Command {
    qemu_with(bringup(), accel, kind, boot_line)
}

/// QEMU with an image, for a minute at most, on `microvm`, `microvm-pcie` or `q35`. It has no
/// memory size yet: 128 MiB.
#[must_use]
pub fn qemu_with(image: &Path, accel: &str, kind: &str, boot_line: &str) -> Command {
    // The guest never hangs: a status of 124 is a failure.
    qemu_bounded(image, accel, kind, boot_line, 60)
}

/// As [`qemu_with`], for so many seconds at most.
#[must_use]
pub fn qemu_bounded(image: &Path, accel: &str, kind: &str, boot_line: &str, seconds: u32) -> Command {
    let machine: &[&str] = match kind {
        "microvm" => &["-M", "microvm,rtc=off,pic=off,pit=off,acpi=off"],
        "microvm-pcie" => &["-M", "microvm,pcie=on,rtc=off,pic=off,pit=off", "-bios", "qboot.rom"],
        _ => &["-M", "q35"],
    };
    let cpu = if accel == "kvm" { "max,-arch-capabilities" } else { "max" };
    let mut command = Command::new("timeout");
    command
        .args([seconds.to_string().as_str(), "qemu-system-x86_64", "-accel", accel, "-cpu", cpu])
        .args(machine);
    command.args(["-global", "virtio-mmio.force-legacy=false", "-nodefaults", "-no-user-config"]);
    command.args(["-nographic", "-serial", "stdio", "-no-reboot"]);
    command.args(["-device", "isa-debug-exit,iobase=0xf4,iosize=4"]);
    command.args(["-append", boot_line, "-kernel"]).arg(image).stdin(Stdio::null());
    command
}
