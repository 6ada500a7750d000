//! `unikgen run` around a QEMU that is a shell script: which arguments it gets, what is
//! made of its console, and how it all ends. Real machines run in the top-level tests.

mod common;

use std::fmt::Write as _;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use common::{Said, said};
use sha2::{Digest as _, Sha256};

const MANIFEST: &str = r#"{"version":1,"appliance":"web","memory":16777216,"cpu":"x86-64-v2",
"devices":[{"name":"nic","component":"virtio-net","hardware":"virtio-net","provides":["Frames"]},{"name":"clock","component":"clock","provides":["Clock"]}],
"networks":[{"name":"lan","device":"nic","address":"10.0.2.15","prefix":24,"gateway":"10.0.2.2"}],
"listens":[{"network":"lan","protocol":"tcp","port":80,"service":"site","component":"http","scheme":"http"}]}"#;

/// A folder with an image that has nothing but notes, and a fake QEMU.
struct Setup {
    folder: tempfile::TempDir,
}

impl Setup {
    /// A QEMU that says its arguments into the file `arguments`, and then runs `script`.
    fn new(script: &str) -> Setup {
        let folder = tempfile::tempdir().expect("a folder");
        let setup = Setup { folder };
        let report = report();
        std::fs::write(setup.at("web.img"), image(MANIFEST, &Sha256::digest(&report))).expect("an image");
        std::fs::write(setup.at("web.report.json"), report).expect("a report");
        let program = setup.at("bin/qemu-system-x86_64");
        std::fs::create_dir(setup.at("bin")).expect("a folder");
        let text = format!(
            "#!/bin/sh\nprintf '%s\\n' \"$@\" > '{}'\necho $$ > '{}'\n{script}\n",
            setup.at("arguments").display(),
            setup.at("pid").display()
        );
        std::fs::write(&program, text).expect("a script");
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).expect("made executable");
        setup
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = common::unikgen(self.folder.path());
        let path = std::env::var("PATH").expect("a path");
        command.env("PATH", format!("{}:{path}", self.at("bin").display()));
        command.args(["run", "web.img", "--accel", "tcg"]).args(arguments);
        command
    }

    fn run(&self, arguments: &[&str]) -> Said {
        said(self.command(arguments).output().expect("it starts"))
    }

    /// The arguments that the fake QEMU got, on one line.
    fn arguments(&self) -> String {
        std::fs::read_to_string(self.at("arguments")).unwrap_or_default().replace('\n', " ")
    }
}

/// An ELF file with unik's notes, and nothing to load.
fn image(manifest: &str, report_hash: &[u8]) -> Vec<u8> {
    let mut notes = Vec::new();
    for (kind, bytes) in [(1u32, manifest.as_bytes()), (2, &[7; 32]), (3, report_hash)] {
        for word in [5, bytes.len() as u32, kind] {
            notes.extend(word.to_le_bytes());
        }
        notes.extend(b"unik\0\0\0\0");
        notes.extend(bytes);
        notes.resize(notes.len().next_multiple_of(4), 0);
    }
    let mut image = vec![0x7f, b'E', b'L', b'F', 2, 1, 1];
    image.resize(16, 0);
    image.extend([2, 0, 62, 0, 1, 0, 0, 0]);
    for long in [0u64, 64, 120 + notes.len() as u64] {
        image.extend(long.to_le_bytes());
    }
    image.extend([0; 4]);
    for half in [64u16, 56, 1, 64, 2, 1] {
        image.extend(half.to_le_bytes());
    }
    image.extend([4, 0, 0, 0, 4, 0, 0, 0]);
    for long in [120, 0, 0, notes.len() as u64, notes.len() as u64, 4] {
        image.extend(long.to_le_bytes());
    }
    image.extend(notes);
    // A section table: the empty entry that each begins with, and one of no names (SHT_STRTAB).
    image.extend([0; 64]);
    image.extend([0, 0, 0, 0, 3, 0, 0, 0]);
    for long in [0u64, 0, 9, 1, 0, 1, 0] {
        image.extend(long.to_le_bytes());
    }
    image
}

/// The report that goes with it.
fn report() -> String {
    let node = r#"{"id":"nic","component":"virtio-net","package":"unik-virtio-net","part":false,"place":"web.unik:7","line":"device nic = virtio-net","needed-by":[]}"#;
    format!(
        r#"{{"version":4,"build":{{"version":1,"unik":"0","sources":"0","rustc":"0","seed":"0x1"}},"manifest":{MANIFEST},"loaded":1,"memory":1,"sections":[],"crates":[],"nodes":[{node}]}}"#
    )
}

fn free_port() -> u16 {
    let probe = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    probe.local_addr().expect("it has one").port()
}

#[test]
fn console_and_ready_and_a_good_end() {
    let setup = Setup::new("echo starting; printf 'unik: ready 10.0.2.15\\r\\n'; echo served; exit 33");
    let port = free_port();
    let said = setup.run(&["--publish", &format!("{port}:80")]);
    assert_eq!(said.code, 0, "{said:?}");
    assert_eq!(said.out, "starting\nserved\n");
    assert_eq!(
        said.err,
        format!("monitor: QEMU with TCG (translated, slower)\nready: http://127.0.0.1:{port}/ → site\n")
    );
    let arguments = setup.arguments();
    for part in [
        "-accel tcg -cpu max -M microvm,rtc=on,pic=off,pit=off,acpi=off ",
        " -m 16M ",
        &format!(
            "restrict=on,net=10.0.2.0/24,host=10.0.2.2,dns=10.0.2.1,hostfwd=tcp:127.0.0.1:{port}-10.0.2.15:80 "
        ),
        "-device virtio-net-device,netdev=n0,mac=52:54:00:",
        "-kernel web.img",
    ] {
        assert!(arguments.contains(part), "{part} in {arguments}");
    }
}

#[test]
fn every_listened_port_is_published_and_told() {
    let setup = Setup::new("echo 'unik: ready'; exit 33");
    let said = setup.run(&[]);
    assert_eq!(said.code, 0, "{said:?}");
    // 8080, or the next that is free here.
    assert!(said.err.contains("publishing: port 80/tcp of site on 127.0.0.1:8"), "{}", said.err);
    assert!(said.err.contains("ready: http://127.0.0.1:8"), "{}", said.err);
}

#[test]
fn the_guests_end_is_ours() {
    for (status, code, part) in [
        (35, 1, "web failed"),
        (235, 101, "web panicked"),
        (237, 102, "web met a processor exception"),
        (0, 102, "web was reset"),
        (1, 3, "QEMU itself failed with 1"),
    ] {
        let setup = Setup::new(&format!("echo 'last words' >&2; exit {status}"));
        let said = setup.run(&["--no-publish"]);
        assert_eq!(said.code, code, "{status}: {said:?}");
        assert!(said.err.contains(part), "{status}: {}", said.err);
        assert!(said.err.contains("qemu: last words"), "{status}: {}", said.err);
    }
    let killed = Setup::new("kill -9 $$").run(&["--no-publish"]);
    assert_eq!(killed.code, 1, "{killed:?}");
    assert!(killed.err.contains("was ended by signal 9"), "{}", killed.err);
}

#[test]
fn unfinished_last_words_are_shown() {
    let said = Setup::new("printf 'no newline'; exit 33").run(&["--no-publish"]);
    assert_eq!((said.code, said.out.as_str()), (0, "no newline\n"));
}

#[test]
fn a_taken_port_is_told_before_anything_starts() {
    let setup = Setup::new("exit 33");
    let holder = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = holder.local_addr().expect("it has one").port();
    let said = setup.run(&["--publish", &format!("{port}:80")]);
    assert_eq!(said.code, 3, "{said:?}");
    assert!(said.err.contains(&format!("port {port} (tcp) of 127.0.0.1 is taken")), "{}", said.err);
    assert_eq!(setup.arguments(), "", "QEMU wasn't started");
}

#[test]
fn a_port_that_nothing_listens_on_is_a_mistake() {
    let said = Setup::new("exit 33").run(&["--publish", "8080:81"]);
    assert_eq!(said.code, 2);
    assert!(
        said.err.contains("nothing listens on 81/tcp; the appliance listens on 80/tcp (site)"),
        "{}",
        said.err
    );
}

#[test]
fn a_lacking_device_is_refused_with_the_line_from_the_bound_report() {
    let setup = Setup::new("exit 33");
    let said = setup.run(&["--no-net"]);
    assert_eq!(said.code, 3, "{said:?}");
    assert!(
        said.err.contains("needs the device `nic` (virtio-net), and --no-net takes it away"),
        "{}",
        said.err
    );
    assert!(said.err.contains("\n  web.unik:7: device nic = virtio-net\n"), "{}", said.err);
    // A report of another image says nothing of this one.
    std::fs::write(setup.at("web.report.json"), report().replace("web.unik:7", "web.unik:8"))
        .expect("written");
    let said = setup.run(&["--no-net"]);
    assert_eq!(said.code, 3);
    assert!(!said.err.contains("web.unik"), "{}", said.err);
}

#[test]
fn an_unknown_device_is_refused() {
    let setup = Setup::new("exit 33");
    let manifest =
        MANIFEST.replace("\"component\":\"clock\"", "\"component\":\"clock\",\"hardware\":\"teleporter\"");
    std::fs::write(setup.at("web.img"), image(&manifest, &[0; 32])).expect("written");
    let said = setup.run(&["--no-publish"]);
    assert_eq!(said.code, 3, "{said:?}");
    assert!(said.err.contains("the device `clock` (teleporter), and no machine"), "{}", said.err);
}

#[test]
fn ctrl_c_ends_it_and_leaves_nothing_behind() {
    for (signal, code) in [("-INT", 130), ("-TERM", 143), ("-HUP", 129)] {
        let setup = Setup::new("echo 'unik: ready'; exec sleep 600");
        let child =
            setup.command(&[]).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("it starts");
        let mut child = Guard(child);
        let pid = wait_for_file(&setup.at("pid"));
        std::thread::sleep(Duration::from_millis(200));
        assert!(
            Command::new("kill").args([signal, &child.0.id().to_string()]).status().expect("kill").success()
        );
        let status = child.0.wait().expect("it ends");
        assert_eq!(status.code(), Some(code), "{signal}");
        let mut err = String::new();
        child.0.stderr.take().expect("piped").read_to_string(&mut err).expect("UTF-8");
        assert!(err.ends_with("stopped: web\n"), "{err}");
        assert!(!Path::new("/proc").join(pid.trim()).exists(), "QEMU is gone");
    }
}

#[test]
fn nothing_is_left_behind_by_a_command_that_was_killed() {
    let setup = Setup::new("echo 'unik: ready'; exec sleep 600");
    let child = setup.command(&[]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts");
    let mut child = Guard(child);
    let pid = wait_for_file(&setup.at("pid"));
    assert!(is_alive(&pid));
    child.0.kill().expect("it runs");
    child.0.wait().expect("it ends");
    wait_until(|| !is_alive(&pid), "QEMU is left behind");
}

/// A port is free when it is looked at, and taken when QEMU wants it.
fn lose_a_port(setup: &Setup, arguments: &[&str]) -> (Said, std::net::TcpListener) {
    let command = setup.command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let child = Guard(command.expect("it starts"));
    wait_for_file(&setup.at("pid"));
    let (_, rule) =
        setup.arguments().split_once("hostfwd=tcp:").map(|(_, rule)| ((), rule.to_string())).expect("a rule");
    let at = rule.split('-').next().expect("an address");
    let holder = std::net::TcpListener::bind(at).expect("it was free");
    std::fs::write(setup.at("go"), "").expect("written");
    let mut child = std::mem::ManuallyDrop::new(child);
    let mut text = [String::new(), String::new()];
    let (out, err) = (child.0.stdout.take(), child.0.stderr.take());
    out.expect("piped").read_to_string(&mut text[0]).expect("UTF-8");
    err.expect("piped").read_to_string(&mut text[1]).expect("UTF-8");
    let code = child.0.wait().expect("it ends").code().expect("by itself");
    let [out, err] = text;
    (Said { code, out, err }, holder)
}

const LOSES: &str = r#"
if [ ! -e lost ]; then
    touch lost
    while [ ! -e go ]; do sleep 0.02; done
    echo "qemu-system-x86_64: -netdev user: Could not set up host forwarding rule 'tcp:x'" >&2
    exit 1
fi
echo 'unik: ready'; exit 33"#;

#[test]
fn a_default_port_that_is_taken_meanwhile_is_replaced_by_the_next() {
    let setup = Setup::new(LOSES);
    let (said, holder) = lose_a_port(&setup, &[]);
    assert_eq!(said.code, 0, "{said:?}");
    assert!(!said.err.contains("forwarding"), "{}", said.err);
    let ready = said.err.lines().find(|line| line.starts_with("ready: ")).expect("it was ready");
    assert!(!ready.contains(&holder.local_addr().expect("bound").to_string()), "{ready}");
}

#[test]
fn a_given_port_that_is_taken_meanwhile_is_told_with_its_holder() {
    let setup = Setup::new(LOSES);
    let port = free_port();
    let (said, _holder) = lose_a_port(&setup, &["--publish", &format!("{port}:80")]);
    assert_eq!(said.code, 3, "{said:?}");
    assert!(!said.err.contains("forwarding"), "{}", said.err);
    let (holder, mine) =
        (format!("port {port} (tcp) of 127.0.0.1 is taken by "), format!("(process {})", std::process::id()));
    assert!(said.err.contains(&holder) && said.err.contains(&mine), "{}", said.err);
}

#[test]
fn more_memory_than_there_is_is_told_before_anything_starts() {
    let setup = Setup::new("exit 33");
    let said = setup.run(&["--no-publish", "--memory", "1024G"]);
    if std::fs::read_to_string("/proc/sys/vm/overcommit_memory").is_ok_and(|how| how.trim() == "1") {
        println!("memory: NOT TRIED, this kernel gives what isn't there");
        return;
    }
    assert_eq!(said.code, 3, "{said:?}");
    assert!(said.err.contains("web is to have 1024.0 GiB of memory, and this machine has "), "{}", said.err);
    assert_eq!(setup.arguments(), "", "QEMU wasn't started");
}

#[test]
fn what_is_no_image_is_not_advised_to_be_run() {
    for (path, advised) in [("/etc/passwd", false), ("/bin/sh", false), ("damaged", false), ("program", true)]
    {
        let setup = Setup::new("exit 33");
        let program = b"\x7fELF /lib64/ld-linux-x86-64.so.2 unik: ready\n";
        std::fs::write(setup.at("program"), program).expect("written");
        std::fs::write(setup.at("damaged"), b"\x7fELF unik: ready\n").expect("written");
        let output = common::unikgen(setup.folder.path()).args(["run", path]).output();
        let said = said(output.expect("it starts"));
        assert_eq!(said.code, 2, "{said:?}");
        assert!(said.err.contains(&format!("`{path}` is no image: ")), "{}", said.err);
        assert_eq!(said.err.contains("runs by itself"), advised, "{path}: {}", said.err);
    }
}

#[test]
fn it_gives_up_on_a_guest_that_is_never_ready() {
    let setup = Setup::new("echo booting; exec sleep 600");
    let said = setup.run(&["--no-publish", "--start-timeout", "1"]);
    assert_eq!(said.code, 1, "{said:?}");
    assert_eq!(said.out, "booting\n");
    assert!(said.err.contains("wasn't ready after 1 s"), "{}", said.err);
}

#[test]
fn it_gives_up_on_a_machine_that_kvm_gave_up_on() {
    let setup = Setup::new("echo 'unik: ready'; echo 'KVM internal error. Suberror: 1' >&2; exec sleep 600");
    let said = setup.run(&["--no-publish"]);
    assert_eq!(said.code, 3, "{said:?}");
    assert!(said.err.contains("qemu: KVM internal error. Suberror: 1\n"), "{}", said.err);
    assert!(said.err.contains("KVM gave up on web"), "{}", said.err);
}

#[test]
fn other_machines_and_gdb_and_memory() {
    let setup = Setup::new("echo 'unik: ready'; exit 33");
    let port = free_port();
    let gdb = format!("--gdb={port}");
    let said = setup.run(&["--no-publish", "--machine", "q35", "--memory", "64M", &gdb]);
    assert_eq!(said.code, 0, "{said:?}");
    let arguments = setup.arguments();
    for part in ["-M q35 -m 64M", "virtio-net-pci,", &format!("-gdb tcp:127.0.0.1:{port} -S")] {
        assert!(arguments.contains(part), "{part} in {arguments}");
    }
    assert!(said.err.contains("hardware breakpoints"), "{}", said.err);
}

#[test]
fn without_qemu_an_image_says_what_to_install() {
    let setup = Setup::new("exit 33");
    let output =
        common::unikgen(setup.folder.path()).env("PATH", "/nowhere").args(["run", "web.img"]).output();
    let said = said(output.expect("it starts"));
    assert_eq!(said.code, 3, "{said:?}");
    assert!(said.err.contains("sudo apt-get install qemu-system-x86"), "{}", said.err);
}

#[test]
fn an_images_parameters_are_fixed() {
    let said = Setup::new("exit 33").run(&["--set", "a=b"]);
    assert_eq!(said.code, 2);
    assert!(said.err.contains("an image is built already"), "{}", said.err);
}

#[test]
fn the_monitor_may_write_much() {
    let mut script =
        String::from("i=0; while [ $i -lt 20000 ]; do echo \"line $i\"; i=$((i+1)); done; exit 33");
    let _ = writeln!(script);
    let said = Setup::new(&script).run(&["--no-publish"]);
    assert_eq!(said.code, 0);
    assert_eq!(said.out.lines().count(), 20_000);
    assert!(said.out.ends_with("line 19999\n"));
}

struct Guard(Child);

impl Drop for Guard {
    fn drop(&mut self) {
        // Mostly it has ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Whether this process runs; one that nobody has taken the status of doesn't.
fn is_alive(pid: &str) -> bool {
    std::fs::read_to_string(Path::new("/proc").join(pid.trim()).join("stat"))
        .is_ok_and(|stat| !stat.contains(") Z "))
}

fn wait_until(what: impl Fn() -> bool, otherwise: &str) {
    let end = Instant::now() + Duration::from_secs(10);
    while !what() {
        assert!(Instant::now() < end, "{otherwise}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn wait_for_file(path: &Path) -> String {
    let end = Instant::now() + Duration::from_secs(10);
    loop {
        match std::fs::read_to_string(path) {
            Ok(text) if text.ends_with('\n') => return text,
            _ => assert!(Instant::now() < end, "{} doesn't appear", path.display()),
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}
