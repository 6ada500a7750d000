//! What this machine has for running images. `/dev/kvm` may be there and yet not work (no
//! right to open it, another hypervisor holds the processor, nested and incomplete), so it
//! is tried with a machine of four instructions.

use std::fmt;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::qemu::KVM_CPU;

/// The name of the program.
pub const QEMU: &str = "qemu-system-x86_64";
/// The command that installs QEMU here.
pub const INSTALL_QEMU: &str = "sudo apt-get install qemu-system-x86";
/// How long the tiny machine may take; it needs 0.1 s.
const PATIENCE: Duration = Duration::from_secs(10);
/// What the tiny machine writes to the debug-exit port; QEMU ends with 2 × it + 1.
const ANSWER: u8 = 0x2a;

/// QEMU, as found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Qemu {
    /// The program.
    pub program: PathBuf,
}

impl Qemu {
    /// The first one on `PATH`.
    pub fn find() -> Option<Qemu> {
        find_program(QEMU).map(|program| Qemu { program })
    }

    /// Its version, `7.2.22`; `None` if it doesn't say.
    pub fn version(&self) -> Option<String> {
        let output = Command::new(&self.program).arg("--version").stdin(Stdio::null()).output().ok()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let (_, version) = text.lines().next()?.split_once("version ")?;
        version.split([' ', '(']).next().map(String::from)
    }
}

/// The first program `name` on `PATH`.
pub fn find_program(name: &str) -> Option<PathBuf> {
    use std::os::unix::fs::PermissionsExt as _;
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| {
        std::fs::metadata(file).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
    })
}

/// Why KVM can't be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoKvm {
    /// There is no `/dev/kvm`.
    Missing,
    /// We may not open it.
    Forbidden,
    /// It is there and doesn't work.
    Broken(
        /// What QEMU or the kernel says.
        String,
    ),
}

impl fmt::Display for NoKvm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NoKvm::Missing => f.write_str("there is no /dev/kvm"),
            NoKvm::Forbidden => f.write_str("/dev/kvm can't be opened: no permission"),
            NoKvm::Broken(why) => write!(f, "/dev/kvm doesn't work here: {why}"),
        }
    }
}

impl NoKvm {
    /// The one command that mends it, if one does.
    pub const fn mend(&self) -> &'static str {
        match self {
            NoKvm::Missing => "sudo modprobe -a kvm_intel kvm_amd",
            NoKvm::Forbidden => "sudo usermod -aG kvm \"$USER\" && newgrp kvm",
            NoKvm::Broken(_) => "sudo dmesg | grep -i kvm",
        }
    }
}

/// Whether KVM can be used, tried with `qemu`. A success is remembered until the next boot
/// in the folder `cache`.
///
/// # Errors
/// [`NoKvm`].
pub fn kvm(qemu: &Qemu, cache: Option<&Path>) -> Result<(), NoKvm> {
    open_kvm()?;
    let memory = cache.map(|folder| folder.join("kvm-works"));
    let key = probe_key(qemu);
    if let (Some(file), Some(key)) = (&memory, &key)
        && std::fs::read_to_string(file).is_ok_and(|known| known == *key)
    {
        return Ok(());
    }
    try_tiny_machine(qemu)?;
    if let (Some(file), Some(key)) = (&memory, &key) {
        // Not being able to remember costs a tenth of a second the next time.
        let _ = file.parent().map(std::fs::create_dir_all);
        let _ = std::fs::write(file, key);
    }
    Ok(())
}

/// Opens `/dev/kvm` as QEMU will.
///
/// # Errors
/// [`NoKvm`].
pub fn open_kvm() -> Result<(), NoKvm> {
    match std::fs::OpenOptions::new().read(true).write(true).open("/dev/kvm") {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(NoKvm::Missing),
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => Err(NoKvm::Forbidden),
        Err(error) => Err(NoKvm::Broken(error.to_string())),
    }
}

/// This boot, this QEMU: what a remembered success holds for.
fn probe_key(qemu: &Qemu) -> Option<String> {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let changed = std::fs::metadata(&qemu.program).ok()?.modified().ok()?;
    let changed = changed.duration_since(std::time::UNIX_EPOCH).ok()?.as_secs();
    Some(format!("{} {} {changed}\n", boot.trim(), qemu.program.display()))
}

fn try_tiny_machine(qemu: &Qemu) -> Result<(), NoKvm> {
    let broken = |what: &str, error: std::io::Error| NoKvm::Broken(format!("{what}: {error}"));
    let folder = tempfile::tempdir().map_err(|error| broken("no temporary folder", error))?;
    let image = folder.path().join("tiny");
    std::fs::write(&image, tiny_image()).map_err(|error| broken("no temporary file", error))?;
    let said = std::fs::File::create(folder.path().join("said"))
        .map_err(|error| broken("no temporary file", error))?;
    let mut child = Command::new(&qemu.program)
        .args(["-accel", "kvm", "-cpu", KVM_CPU, "-M", "microvm,rtc=off,pic=off,pit=off,acpi=off", "-m", "4"])
        .args(["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"])
        .args(["-device", "isa-debug-exit,iobase=0xf4,iosize=4", "-kernel"])
        .arg(&image)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(said)
        .spawn()
        .map_err(|error| broken("QEMU doesn't start", error))?;
    let end = Instant::now() + PATIENCE;
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if Instant::now() < end => std::thread::sleep(Duration::from_millis(2)),
            outcome => {
                // Nothing more can be done about a child that can't be ended.
                let _ = child.kill();
                let _ = child.wait();
                return Err(match outcome {
                    Err(error) => broken("QEMU can't be waited for", error),
                    _ => NoKvm::Broken(format!("a tiny machine didn't end within {} s", PATIENCE.as_secs())),
                });
            }
        }
    };
    if status.code() == Some(i32::from(ANSWER) * 2 + 1) {
        return Ok(());
    }
    let said = std::fs::read_to_string(folder.path().join("said")).unwrap_or_default();
    let line = said.lines().map(str::trim).find(|line| !line.is_empty()).map(String::from);
    Err(NoKvm::Broken(line.unwrap_or_else(|| match status.signal() {
        Some(signal) => format!("QEMU was ended by signal {signal}"),
        None => format!("a tiny machine ended with {status}"),
    })))
}

/// An ELF image that boots by PVH, writes [`ANSWER`] to port 0xf4, and halts.
fn tiny_image() -> Vec<u8> {
    const BASE: u64 = 0x10_0000;
    const CODE: u64 = 0x100;
    const NOTE: u64 = 0x120;
    const END: u64 = 0x138;
    // 32-bit code: mov dx, 0xf4; mov al, ANSWER; out dx, al; cli; hlt
    let code = [0x66, 0xba, 0xf4, 0x00, 0xb0, ANSWER, 0xee, 0xfa, 0xf4];
    let mut image = vec![0x7f, b'E', b'L', b'F', 2, 1, 1, 0];
    image.resize(16, 0);
    let half = |image: &mut Vec<u8>, value: u16| image.extend(value.to_le_bytes());
    let word = |image: &mut Vec<u8>, value: u32| image.extend(value.to_le_bytes());
    let long = |image: &mut Vec<u8>, value: u64| image.extend(value.to_le_bytes());
    half(&mut image, 2); // an executable
    half(&mut image, 62); // for x86-64
    word(&mut image, 1);
    long(&mut image, BASE + CODE); // entry
    long(&mut image, 64); // program headers
    long(&mut image, 0); // no sections
    word(&mut image, 0);
    for value in [64, 56, 2, 64, 0, 0] {
        half(&mut image, value);
    }
    for (kind, flags, offset, size, align) in [(1, 5, 0, END, 0x1000), (4, 4, NOTE, END - NOTE, 4)] {
        word(&mut image, kind);
        word(&mut image, flags);
        long(&mut image, offset);
        long(&mut image, BASE + offset);
        long(&mut image, BASE + offset);
        long(&mut image, size);
        long(&mut image, size);
        long(&mut image, align);
    }
    image.resize(CODE as usize, 0);
    image.extend(code);
    image.resize(NOTE as usize, 0);
    // XEN_ELFNOTE_PHYS32_ENTRY: where a PVH loader jumps, in 32-bit mode.
    for value in [4, 8, 18] {
        word(&mut image, value);
    }
    image.extend(b"Xen\0");
    long(&mut image, BASE + CODE);
    image
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiny_image_is_as_long_as_its_headers_say() {
        let image = tiny_image();
        assert_eq!(image.len(), 0x138);
        assert_eq!(&image[0x100..0x104], [0x66, 0xba, 0xf4, 0x00]);
    }

    #[test]
    fn finds_programs_that_can_be_run() {
        assert!(find_program("sh").is_some());
        assert!(find_program("no-such-program-anywhere").is_none());
    }

    #[test]
    fn tiny_machine_runs_wherever_kvm_can_be_opened_or_says_why_not() {
        let Some(qemu) = Qemu::find() else {
            println!("no QEMU here: nothing to try");
            return;
        };
        match kvm(&qemu, None) {
            Ok(()) => println!("KVM works here"),
            Err(why) => println!("KVM doesn't work here: {why}; mend: {}", why.mend()),
        }
    }
}
