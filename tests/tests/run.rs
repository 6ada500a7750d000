//! `unikgen run` and `unikgen build`, as people and scripts use them.

use std::io::Read;
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use unik_tests::client::get;
use unik_tests::machine::{Machine, best, microvms};
use unik_tests::namespace::Namespace;
use unik_tests::running::{Running, free_port, signal};
use unik_tests::{build, cache, copy_folder, example, scratch, unikgen, unikgen_command};

const LONG: Duration = Duration::from_secs(300);

fn local() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], free_port()))
}

fn serves(at: SocketAddr, text: &str) -> bool {
    get(at, "/").is_ok_and(|answer| answer.starts_with("HTTP/1.1 200") && answer.contains(text))
}

/// The web example in a folder of its own, which a test may change.
fn site(folder: &Path) -> PathBuf {
    let site = folder.join("web");
    copy_folder(&example("web"), &site);
    site
}

/// Processes that `parent` has started, by their ids.
fn children(parent: u32) -> Vec<u32> {
    let numbers = std::fs::read_dir("/proc").expect("there is /proc").flatten();
    numbers
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|id: &u32| {
            let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
            // After the name, which is in parentheses: state, parent.
            let after = stat.rsplit_once(") ").map_or("", |(_, after)| after);
            after.split(' ').nth(1).and_then(|word| word.parse().ok()) == Some(parent)
        })
        .collect()
}

fn exists(id: u32) -> bool {
    Path::new("/proc").join(id.to_string()).exists()
}

fn is_zombie(id: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{id}/stat")).is_ok_and(|stat| stat.contains(") Z "))
}

/// Whether we are root of the whole machine, and so can become somebody else.
fn is_root() -> bool {
    std::fs::read_to_string("/proc/self/uid_map").is_ok_and(|map| map.contains("4294967295"))
        && std::fs::metadata("/root").is_ok()
        && std::fs::read_dir("/root").is_ok()
}

#[test]
fn an_ordinary_user_publishes_a_port_but_none_below_1024() {
    let folder = tempfile::tempdir_in("/tmp").expect("a folder that everybody reaches");
    let at = |name: &str| folder.path().join(name);
    std::fs::copy(unikgen(), at("unikgen")).expect("a copy");
    std::fs::copy(build(&example("web"), &[]), at("web.img")).expect("a copy");
    Command::new("chmod").args(["-R", "a+rwX"]).arg(folder.path()).status().expect("chmod");
    let command = |publish: &str| {
        let mut command = Command::new(at("unikgen"));
        command.args(["run", "web.img", "--publish", publish]).current_dir(folder.path());
        command.env("UNIK_CACHE", at("cache")).env("NO_COLOR", "1").env("HOME", folder.path());
        if is_root() {
            // Nobody, of no group: without any right, not even to /dev/kvm perhaps.
            command.uid(65534).gid(65534);
        }
        command
    };
    let published = local();
    let mut running = Running::spawn(command(&format!("{published}:80")));
    running.wait_until_ready(best());
    assert!(serves(published, "It works."), "{}", running.printed());
    drop(running);

    let first = std::fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start").unwrap_or_default();
    if first.trim().parse::<u16>().is_ok_and(|first| first > 81) {
        let output = command("81:80").output().expect("unikgen runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(3), "{said}");
        assert!(said.contains("81") && said.contains("1024") && said.contains("--publish"), "{said}");
    } else {
        println!("ports below 1024: NOT TRIED, here everybody may take them");
    }
}

#[test]
fn ctrl_c_ends_it_with_130_and_the_monitor_too() {
    let image = build(&example("web"), &[]);
    let at = local();
    let mut running = Running::start(&image, best(), &["--publish", &format!("{at}:80")]);
    running.wait_until_ready(best());
    let qemu = children(running.id());
    assert_eq!(qemu.len(), 1, "one monitor: {qemu:?}");
    let began = Instant::now();
    assert_eq!(running.interrupt().code(), Some(130), "{}", running.printed());
    assert!(began.elapsed() < Duration::from_secs(2), "it took {:?}", began.elapsed());
    assert!(!exists(qemu[0]), "QEMU is left behind");
    assert!(std::net::TcpListener::bind(at).is_ok(), "the port isn't free again");
}

#[test]
fn a_monitor_that_is_killed_is_told() {
    let image = build(&example("web"), &[]);
    let mut running = Running::start(&image, best(), &["--publish", &format!("{}:80", local())]);
    running.wait_until_ready(best());
    signal(children(running.id())[0], "-KILL");
    let status = running.wait_for_end(Duration::from_secs(10));
    assert_eq!(status.code(), Some(1), "{}", running.printed());
    assert!(running.printed().contains("was ended by signal 9"), "{}", running.printed());
}

#[test]
fn too_little_memory_is_told() {
    for name in ["hello", "web"] {
        let image = build(&example(name), &[]);
        for machine in microvms() {
            let mut running = Running::start(&image, machine, &["--memory", "1 MiB"]);
            let status = running.wait_for_end(LONG);
            let printed = running.printed();
            assert_eq!(status.code(), Some(2), "{name}, {machine}:\n{printed}");
            assert!(printed.contains("1.0 MiB of memory are too little"), "{name}, {machine}: {printed}");
        }
    }
}

#[test]
fn what_has_changed_is_built_again_and_what_has_not_is_not() {
    let folder = scratch();
    let site = site(folder.path());
    let page = site.join("site/index.html");
    for text in ["first", "second", "second"] {
        if !std::fs::read_to_string(&page).is_ok_and(|old| old == text) {
            std::fs::write(&page, text).expect("it can be written");
        }
        let at = local();
        let mut running = Running::start(&site, best(), &["--publish", &format!("{at}:80")]);
        running.wait_until_ready(best());
        assert!(serves(at, text), "{}", running.printed());
        println!("{}", running.wait_for("built: ", LONG).trim());
    }
    let output = unikgen_command().arg("build").arg(&site).output().expect("unikgen runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("nothing to compile"), "{said}");
}

#[test]
fn a_changed_address_builds_without_any_network() {
    // What a cold cache needs is there now.
    build(&example("web"), &[]);
    let folder = scratch();
    let site = site(folder.path());
    let file = site.join("web.unik");
    let text = std::fs::read_to_string(&file).expect("the example");
    std::fs::write(&file, text.replace("10.0.2.15/24", "10.0.2.16/24")).expect("it can be written");
    let namespace = Namespace::new();
    let mut command = namespace.command(unikgen());
    command.env("UNIK_CACHE", cache()).env("NO_COLOR", "1");
    let output = command.args(["build", "--offline"]).arg(&file).output().expect("unikgen runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(site.join("web.img").is_file() && site.join("web.report.json").is_file());
}

#[test]
fn builds_wait_for_each_other() {
    std::fs::create_dir_all(cache()).expect("a folder");
    let lock =
        std::fs::File::options().create(true).append(true).open(cache().join("lock")).expect("the lock");
    lock.lock().expect("nobody builds now");
    let folder = scratch();
    let mut builds: Vec<Running> = ["hello", "web"]
        .iter()
        .map(|name| {
            let mut command = unikgen_command();
            command.arg("build").arg(example(name)).arg("-o").arg(folder.path().join(name));
            Running::spawn(command)
        })
        .collect();
    for build in &mut builds {
        build.wait_for("waiting: another build holds the cache", LONG);
    }
    lock.unlock().expect("it was locked");
    for build in &mut builds {
        assert!(build.wait_for_end(LONG * 5).success(), "{}", build.printed());
    }
}

#[test]
fn a_cache_that_cannot_be_written_is_told() {
    let folder = scratch();
    for cache in ["/dev/null/cache", "/proc/cache"] {
        let output = unikgen_command()
            .env("UNIK_CACHE", cache)
            .args(["build", "-o"])
            .arg(folder.path().join("hello.img"))
            .arg(example("hello"))
            .output()
            .expect("unikgen runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(matches!(output.status.code(), Some(1 | 3)), "{said}");
        assert!(said.contains(cache) && !said.contains("panicked"), "{said}");
    }
}

/// Programs and build scripts are linked by the C compiler; a machine that lacks one is told
/// what mends it.
#[test]
fn a_lacking_c_compiler_is_told_with_what_mends_it() {
    let folder = scratch();
    let bin = folder.path().join("bin");
    std::fs::create_dir(&bin).expect("a folder");
    for program in ["cargo", "rustc"] {
        let path = std::env::var_os("PATH").expect("a path");
        let found =
            std::env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.exists());
        std::os::unix::fs::symlink(found.expect("Rust is there"), bin.join(program)).expect("a link");
    }
    let appliance = folder.path().join("hello");
    copy_folder(&example("hello"), &appliance);
    let file = appliance.join("hello.unik");
    let text = std::fs::read_to_string(&file).expect("the example");
    // Something to link, whatever was built before.
    let line =
        format!("line \"built at {:?}\"", std::time::SystemTime::now()).replace('{', "(").replace('}', ")");
    let (before, rest) = text.split_once("line \"").expect("it says a line");
    let (_, after) = rest.split_once('"').expect("to its end");
    std::fs::write(&file, format!("{before}{line}{after}")).expect("it can be written");
    // With the shared cache the program alone is left to link; with an empty one a build
    // script is the first, also for a machine.
    let empty = folder.path().join("cache");
    for (cache, target) in [(cache(), "process"), (empty, "machine")] {
        let mut command = unikgen_command();
        command.env_remove("CARGO").env("PATH", &bin).env("UNIK_CACHE", cache);
        let output =
            command.arg("build").arg(&file).args(["--target", target]).output().expect("unikgen runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(3), "{target}: {said}");
        assert!(said.contains("there is no `cc`"), "{target}: {said}");
        assert!(said.contains("sudo apt-get install gcc libc6-dev"), "{target}: {said}");
    }
}

/// Two at once look for a port at the same moment, and both find one.
#[test]
fn two_at_once_find_two_ports() {
    let image = build(&example("web"), &[]);
    let mut both: Vec<Running> = (0..3).map(|_| Running::start(&image, best(), &[])).collect();
    let mut found = Vec::new();
    for running in &mut both {
        let ready = running.wait_until_ready(best());
        let (_, rest) = ready.split_once("http://").expect("an address for a browser");
        let at: SocketAddr = rest.split('/').next().and_then(|at| at.parse().ok()).expect("address and port");
        assert!(serves(at, "It works."), "{}", running.printed());
        assert!(!found.contains(&at), "{at} twice: {}", running.printed());
        found.push(at);
    }
}

#[test]
fn killed_it_leaves_no_monitor_and_no_process_behind() {
    for machine in [best(), Machine::PROCESS] {
        let at = local();
        let mut running = Running::start(&example("web"), machine, &["--publish", &format!("{at}:80")]);
        running.wait_until_ready(machine);
        let started = children(running.id());
        assert_eq!(started.len(), 1, "{machine}: {started:?}");
        signal(running.id(), "-KILL");
        let end = Instant::now() + Duration::from_secs(10);
        while std::net::TcpListener::bind(at).is_err() {
            assert!(Instant::now() < end, "{machine}: the port is still held");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// A real build, with real compilers, told to end by a signal to the command alone.
#[test]
fn a_signal_ends_a_real_build_with_its_compilers() {
    let folder = scratch();
    for (which, code) in [("-INT", 130), ("-TERM", 143)] {
        let mut command = unikgen_command();
        command.arg("build").arg(example("hello")).arg("-o").arg(folder.path().join("hello.img"));
        command.env("UNIK_CACHE", folder.path().join("cache"));
        let mut build = Running::spawn(command);
        let end = Instant::now() + LONG;
        let compilers = loop {
            let cargo = children(build.id());
            let compilers: Vec<u32> = cargo.iter().flat_map(|&cargo| children(cargo)).collect();
            if !compilers.is_empty() {
                break [cargo, compilers].concat();
            }
            assert!(build.is_running() && Instant::now() < end, "no compiler is seen: {}", build.printed());
        };
        signal(build.id(), which);
        let status = build.wait_for_end(Duration::from_secs(10));
        assert_eq!(status.code(), Some(code), "{}", build.printed());
        assert!(build.printed().contains("stopped: "), "{}", build.printed());
        let end = Instant::now() + Duration::from_secs(10);
        while compilers.iter().any(|&id| exists(id) && !is_zombie(id)) {
            assert!(Instant::now() < end, "compilers are left behind: {compilers:?}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

#[test]
fn an_output_that_cannot_be_written_is_told() {
    let output = unikgen_command()
        .args(["build", "-o", "/nowhere/at/all.img"])
        .arg(example("hello"))
        .output()
        .expect("unikgen runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("/nowhere/at/all.img can't be written: its folder isn't there"), "{said}");
}

/// `unikgen … | head -1`: whoever has read enough is no error.
#[test]
fn a_closed_pipe_ends_it_quietly() {
    let image = build(&example("hello"), &[]);
    let arguments: [&[&str]; 3] = [&["graph", "examples/web"], &["expand", "examples/web"], &["components"]];
    for arguments in arguments {
        let (code, said) = with_closed_output(unikgen_command().args(arguments));
        assert_eq!((code, said.as_str()), (Some(0), ""), "{arguments:?}");
    }
    let mut command = unikgen_command();
    command.arg("run").arg(image).args(best().arguments());
    let (code, said) = with_closed_output(&mut command);
    assert!(code == Some(0) && !said.contains("error") && !said.contains("panicked"), "{code:?}: {said}");
}

fn with_closed_output(command: &mut Command) -> (Option<i32>, String) {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("unikgen runs");
    drop(child.stdout.take());
    let mut said = String::new();
    child.stderr.take().expect("piped").read_to_string(&mut said).expect("UTF-8");
    (child.wait().expect("it ends").code(), said)
}

#[test]
fn it_runs_from_any_folder_by_any_kind_of_path() {
    let folder = scratch();
    let site = site(folder.path());
    let deep = folder.path().join("a folder with spaces/deep");
    std::fs::create_dir_all(&deep).expect("a folder");
    let ways: [(&Path, &[&str]); 5] = [
        (&site, &[]),
        (&site, &["web.unik"]),
        (folder.path(), &["web"]),
        (&deep, &["../../web/web.unik"]),
        (Path::new("/"), &[site.to_str().expect("UTF-8")]),
    ];
    for (from, named) in ways {
        let at = local();
        let mut command = unikgen_command();
        command.current_dir(from).arg("run").args(named).args(best().arguments());
        command.args(["--publish", &format!("{at}:80")]);
        let mut running = Running::spawn(command);
        running.wait_until_ready(best());
        assert!(serves(at, "It works."), "{named:?}: {}", running.printed());
    }
}

#[test]
fn without_arguments_it_takes_the_best_machine_and_tells_where_to_look() {
    let mut command = unikgen_command();
    command.arg("run").arg(example("web"));
    let mut running = Running::spawn(command);
    let ready = running.wait_until_ready(best());
    assert!(running.printed().contains("monitor: QEMU with "), "{}", running.printed());
    let (_, rest) = ready.split_once("http://").expect("an address for a browser");
    let at = rest.split('/').next().and_then(|at| at.parse().ok()).expect("address and port");
    assert!(serves(at, "It works."), "{}", running.printed());
}

/// The words of gdb's remote protocol: what stopped it, and go on.
#[test]
fn gdb_is_waited_for_and_let_in() {
    use std::io::Write;
    let image = build(&example("web"), &[]);
    let port = free_port();
    let at = local();
    let arguments = [format!("--gdb={port}"), "--publish".into(), format!("{at}:80")];
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let mut running = Running::start(&image, best(), &arguments);
    let line = running.wait_for("gdb: waiting; connect with: gdb ", LONG);
    let twin = line.split("gdb ").last().and_then(|rest| rest.split(' ').next()).expect("the twin");
    assert!(Path::new(twin).is_file() && line.contains(&format!("127.0.0.1:{port}")), "{line}");
    running.wait_for("hbreak", LONG);
    let end = Instant::now() + LONG;
    let mut gdb = loop {
        match std::net::TcpStream::connect(("127.0.0.1", port)) {
            Ok(stream) => break stream,
            Err(error) => assert!(Instant::now() < end, "{error}: {}", running.printed()),
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    gdb.set_read_timeout(Some(Duration::from_secs(20))).expect("it can be set");
    gdb.write_all(b"$?#3f").expect("it listens");
    let mut answer = [0; 5];
    gdb.read_exact(&mut answer).expect("it answers");
    assert_eq!(&answer, b"+$T05", "stopped, by a trap");
    std::thread::sleep(Duration::from_millis(500));
    assert!(!running.printed().contains("ready: "), "it waits: {}", running.printed());
    gdb.write_all(b"+$c#63").expect("it listens");
    running.wait_until_ready(best());
    assert!(serves(at, "It works."), "{}", running.printed());
}

#[test]
fn watched_it_follows_what_is_changed_and_outlives_mistakes() {
    let folder = scratch();
    let site = site(folder.path());
    let (file, page) = (site.join("web.unik"), site.join("site/index.html"));
    for machine in [best(), Machine::PROCESS] {
        std::fs::write(&page, "the first\n").expect("it can be written");
        let at = local();
        let mut running = Running::start(&site, machine, &["--watch", "--publish", &format!("{at}:80")]);
        running.wait_until_ready(machine);
        let comes = |path: &str, text: &str, running: &Running| {
            let end = Instant::now() + LONG;
            while !get(at, path)
                .is_ok_and(|answer| answer.starts_with("HTTP/1.1 200") && answer.contains(text))
            {
                assert!(Instant::now() < end, "{machine}: {text} doesn't come: {}", running.printed());
                std::thread::sleep(Duration::from_millis(50));
            }
        };
        comes("/", "the first", &running);
        std::fs::write(&page, "the second\n").expect("it can be written");
        comes("/", "the second", &running);
        // A new file, in the folder that is embedded.
        std::fs::write(site.join("site/new.html"), "a new one\n").expect("it can be written");
        comes("/new.html", "a new one", &running);
        std::fs::remove_file(site.join("site/new.html")).expect("it can be removed");
        // With a mistake in the file itself what ran goes on, and the mending replaces it.
        let before = children(running.id());
        let right = std::fs::read_to_string(&file).expect("it is there");
        std::fs::write(&file, right.replace("virtio-net", "virtio-nat")).expect("it can be written");
        running.wait_for("running: what was built before", LONG);
        assert!(running.printed().contains("virtio-nat"), "{}", running.printed());
        comes("/", "the second", &running);
        assert_eq!(children(running.id()), before, "{machine}: the same goes on");
        std::fs::write(&page, "the third\n").expect("it can be written");
        std::fs::write(&file, &right).expect("it can be written");
        comes("/", "the third", &running);
        let started = children(running.id());
        assert_eq!(started.len(), 1, "{machine}: {started:?}");
        assert_eq!(running.interrupt().code(), Some(130), "{}", running.printed());
        assert!(started.iter().all(|&id| !exists(id)), "{machine}: it is left behind");
    }
}

#[test]
fn a_process_runs_the_same_file() {
    let at = local();
    let mut running = Running::start(&example("web"), Machine::PROCESS, &["--publish", &format!("{at}:80")]);
    running.wait_until_ready(Machine::PROCESS);
    assert!(serves(at, "It works."), "{}", running.printed());
    let program = children(running.id());
    assert_eq!(running.interrupt().code(), Some(130), "{}", running.printed());
    assert!(program.iter().all(|&id| !exists(id)), "the process is left behind");
}
