//! The figures of this version, printed and not judged: other machines have others. What
//! must hold everywhere (sizes, memory) is asserted where it belongs.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use unik_tests::client::get;
use unik_tests::machine::{Machine, best, microvms};
use unik_tests::namespace::Namespace;
use unik_tests::running::{Running, free_port};
use unik_tests::{build, cache, copy_folder, example, root, scratch, unikgen, unikgen_command};

/// How often each is measured: what `UNIK_ROUNDS` says, else five times. Once shows that it can be.
fn rounds() -> usize {
    let said = std::env::var("UNIK_ROUNDS").ok();
    said.and_then(|count| count.parse().ok()).filter(|count| *count > 0).unwrap_or(5)
}

/// A copy of an example that logs what figures are read from: `debug` the first answer,
/// `trace` the times of boot.
fn logging(level: &str, folder: &Path, name: &str, device: &str) -> PathBuf {
    let copy = folder.join(level).join(name);
    copy_folder(&example(name), &copy);
    let file = copy.join(format!("{name}.unik"));
    let text = std::fs::read_to_string(&file).expect("the example");
    let head = format!("appliance {name} {{");
    assert!(text.contains(&head), "{text}");
    let text =
        text.replace(&head, &format!("{head}\n    log level {level}")).replace("= virtio-net\n", device);
    std::fs::write(&file, text).expect("it can be written");
    copy
}

/// The number after `words` in what was printed.
fn number_after(printed: &str, words: &str) -> u64 {
    let (_, rest) = printed.split_once(words).unwrap_or_else(|| panic!("no `{words}` in:\n{printed}"));
    let digits: String = rest.trim_start().chars().take_while(char::is_ascii_digit).collect();
    digits.parse().expect("a number")
}

fn summary(mut values: Vec<u64>) -> String {
    values.sort_unstable();
    format!("{} µs ({} to {})", values[values.len() / 2], values[0], values[values.len() - 1])
}

fn seconds(duration: Duration) -> String {
    format!("{:.2} s", duration.as_secs_f64())
}

/// From the monitor's jump to the image, by the time stamp counter; median of some boots.
#[test]
fn guest_time() {
    const MAC: &str = "52:54:00:12:34:56";
    let folder = scratch();
    let nic = format!("= virtio-net {{ mac {MAC} }}\n");
    let built = |level: &str, name: &str| {
        let project = logging(level, folder.path(), name, &nic);
        let image = project.with_extension("img");
        let output = unikgen_command()
            .arg("build")
            .arg(&project)
            .arg("-o")
            .arg(&image)
            .output()
            .expect("unikgen runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        image
    };
    let (hello, web, quick) = (built("trace", "hello"), built("trace", "web"), built("debug", "web"));
    for machine in microvms() {
        let mut mains = Vec::new();
        for _ in 0..rounds() {
            let mut running = Running::start(&hello, machine, &[]);
            running.wait_for_end(machine.patience());
            mains.push(number_after(&running.printed(), "main after"));
        }
        println!("FIGURE hello, {machine}: entry to main {}", summary(mains));

        let (mut mains, mut readies, mut seals) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..rounds() {
            let mut running = Running::start(&web, machine, &["--publish", "0:80"]);
            running.wait_for("main after", machine.patience());
            mains.push(number_after(&running.printed(), "main after"));
            readies.push(number_after(&running.printed(), "ready after"));
            seals.push(number_after(&running.printed(), "sealed in"));
        }
        println!("FIGURE web, {machine}: entry to main {}", summary(mains));
        println!("FIGURE web, {machine}: entry to ready {}", summary(readies));
        println!("FIGURE web, {machine}: the seal {}", summary(seals));

        let answers = (0..rounds()).map(|_| {
            let namespace = Namespace::new();
            // So that the first packet is there as soon as the guest can take it.
            let ip = namespace.output(
                "ip",
                &["neigh", "replace", "10.0.2.15", "lladdr", MAC, "dev", "tap0", "nud", "permanent"],
            );
            assert!(ip.status.success(), "{}", String::from_utf8_lossy(&ip.stderr));
            let mut knock = namespace.command(env!("CARGO_BIN_EXE_unik-client"));
            knock.args(["knock", "10.0.2.15:0", "60"]);
            let _knock = Running::spawn(knock);
            let mut command = namespace.command(unikgen());
            command.env("UNIK_CACHE", cache()).env("NO_COLOR", "1");
            command.arg("run").arg(&quick).args(machine.arguments()).args(["--tap", "tap0"]);
            let mut running = Running::spawn(command);
            running.wait_for("first answer after", machine.patience());
            number_after(&running.printed(), "first answer after")
        });
        println!("FIGURE web, {machine}: entry to first answered packet {}", summary(answers.collect()));
    }
}

/// From the start of `unikgen run IMAGE` to the first page; median of some.
#[test]
fn host_time() {
    let web = build(&example("web"), &[]);
    for machine in microvms() {
        let times = (0..rounds()).map(|_| {
            let at = SocketAddr::from(([127, 0, 0, 1], free_port()));
            let began = Instant::now();
            let mut running = Running::start(&web, machine, &["--publish", &format!("{at}:80")]);
            running.wait_until_ready(machine);
            assert!(get(at, "/").is_ok_and(|answer| answer.contains("200")), "{}", running.printed());
            began.elapsed().as_micros() as u64
        });
        println!("FIGURE web, {machine}: unikgen run IMAGE to the first page {}", summary(times.collect()));
    }
}

#[test]
fn sizes_and_least_memory() {
    for name in ["hello", "web", "echo", "lan", "counter"] {
        let image = build(&example(name), &[]);
        println!(
            "FIGURE {name}: {} bytes on disk, stripped",
            std::fs::metadata(image).expect("it is there").len()
        );
    }
    for name in ["hello", "web"] {
        let image = build(&example(name), &[]);
        for machine in microvms() {
            let least = [2, 3, 4, 5, 6, 8, 12, 16].into_iter().find(|&mib| boots(&image, machine, mib));
            println!("FIGURE {name}, {machine}: least memory that it boots and works in {least:?} MiB");
        }
    }
}

fn boots(image: &Path, machine: Machine, mib: u32) -> bool {
    let at = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let is_web = image.file_name().is_some_and(|name| name.to_string_lossy().starts_with("web"));
    let mut command = unikgen_command();
    command.arg("run").arg(image).args(machine.arguments()).args(["--memory", &format!("{mib}M")]);
    if !is_web {
        return command.output().is_ok_and(|output| output.status.success());
    }
    let mut running = Running::spawn({
        command.args(["--publish", &format!("{at}:80"), "--start-timeout", "20"]);
        command
    });
    while running.is_running() {
        if running.printed().contains("ready: ") {
            return get(at, "/").is_ok_and(|answer| answer.contains("200"));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    false
}

#[test]
fn check_and_build_times() {
    let mut checks: Vec<u64> = (0..11)
        .map(|_| {
            let began = Instant::now();
            let output = unikgen_command().arg("check").arg(example("web")).output().expect("unikgen runs");
            assert!(output.status.success());
            began.elapsed().as_micros() as u64
        })
        .collect();
    checks.remove(0);
    println!("FIGURE unikgen check examples/web: {}", summary(checks));

    let folder = scratch();
    let fresh = folder.path().join("cache");
    copy_folder(&example("web"), &folder.path().join("web"));
    let file = folder.path().join("web/web.unik");
    let build = |cache: &Path| {
        let began = Instant::now();
        let output = unikgen_command()
            .env("UNIK_CACHE", cache)
            .arg("build")
            .arg(&file)
            .output()
            .expect("unikgen runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        began.elapsed()
    };
    // A person's first build is tested elsewhere, and takes its time.
    let fresh = if rounds() > 1 { fresh } else { cache() };
    println!(
        "FIGURE unikgen build examples/web, {} cache: {}",
        if rounds() > 1 { "fresh" } else { "used" },
        seconds(build(&fresh))
    );
    let text = std::fs::read_to_string(&file).expect("the example");
    std::fs::write(&file, text.replace("10.0.2.15/24", "10.0.2.77/24")).expect("it can be written");
    println!("FIGURE unikgen build examples/web after a change of its address: {}", seconds(build(&fresh)));
    println!("FIGURE unikgen build examples/web after no change: {}", seconds(build(&fresh)));
    println!("FIGURE all on {}, {}", processor(), best());
}

/// The model of the host's processor, and the commit that was measured.
fn processor() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model =
        text.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": ")).map(|(_, name)| name);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let commit = Command::new("git").args(["rev-parse", "--short", "HEAD"]).current_dir(root()).output();
    let commit =
        commit.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_string()).unwrap_or_default();
    format!("{} ({cores} cores), commit {commit}", model.unwrap_or("an unknown processor"))
}
