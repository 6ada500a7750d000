//! A path that loses, overtakes, repeats and damages frames, between a real image and real
//! clients: every byte is right, everything ends in time, and nothing is left over.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use unik_sim_link::Faults;
use unik_tests::machine::{best, microvms};
use unik_tests::rig::{Rig, large, path_image};
use unik_tests::running::Running;
use unik_tests::{build, root, scratch};

const CLIENT: &str = env!("CARGO_BIN_EXE_unik-client");

/// As `unikgen sim --faults` has them.
const PATHS: [(&str, &str); 6] = [
    ("nothing goes wrong", ""),
    ("loss", "loss=5%,delay=1ms"),
    ("reordering", "reorder=10%,delay=1ms"),
    ("duplication", "duplicate=10%,delay=1ms"),
    ("corruption", "corrupt=5%,delay=1ms"),
    ("all of it", "loss=5%,reorder=5%,duplicate=5%,corrupt=3%,delay=1ms..3ms"),
];

/// So many connections the network of the fixture has at most.
const CONNECTIONS: &str = "64";
/// Bytes of the large file that are asked for.
const DOWNLOAD: usize = 150_000;
/// A client that takes longer than that hangs.
const PATIENCE: &str = "60";

#[test]
fn every_byte_is_right_through_a_bad_path_and_nothing_is_left_over() {
    let image = path_image();
    let folder = scratch();
    let (upload, back) = (folder.path().join("upload"), folder.path().join("back"));
    let sent: Vec<u8> = large().into_iter().rev().take(50_000).collect();
    std::fs::write(&upload, &sent).expect("a file");
    for machine in microvms() {
        let rig = Rig::start(&image, machine, 32, 580, CLIENT);
        // Through all of it on each machine; one after the other on one.
        let paths = if machine == best() { &PATHS[..] } else { &PATHS[5..] };
        for (name, faults) in paths {
            let begin = Instant::now();
            rig.hub.set_faults(Faults::parse(faults).expect("faults"));
            let curl = |arguments: &[&str]| {
                let back = back.display().to_string();
                let always = ["-sS", "--fail", "--max-time", PATIENCE, "-o", &back];
                rig.client("curl", &[&always, arguments].concat());
                std::fs::read(&back).expect("curl has written it")
            };
            let download = curl(&["-r", &format!("0-{}", DOWNLOAD - 1), "http://10.0.2.15/large.bin"]);
            assert!(download == large()[..DOWNLOAD], "{machine}: {name}: a download came changed");
            let data = format!("@{}", upload.display());
            let came = curl(&["-H", "Expect:", "--data-binary", &data, "http://10.0.2.15/upload"]);
            assert!(came == sent, "{machine}: {name}: an upload came back changed");
            rig.client(CLIENT, &["tcp-echo", "10.0.2.15:7", "50000"]);
            rig.client(CLIENT, &["udp-retry", "10.0.2.15:7", "60"]);
            println!("{machine}: {name}: every byte right in {:.1} s", begin.elapsed().as_secs_f64());
        }
        let counts = rig.hub.counts();
        for (what, counter) in [
            ("frames", &counts.frames),
            ("lost", &counts.lost),
            ("twice", &counts.twice),
            ("damaged", &counts.corrupt),
            ("late", &counts.late),
        ] {
            let count = counter.load(Ordering::Relaxed);
            println!("{machine}: {what}: {count}");
            assert!(count > 5, "{machine}: the path did no harm");
        }
        rig.hub.set_faults(Faults::default());
        println!("{machine}: {} at once after {:?}", CONNECTIONS, all_free(&rig));
    }
}

/// The fixture of IPv6, whose address comes through such a path, too.
#[test]
fn neighbours_and_addresses_of_ipv6_come_through_a_bad_path() {
    let image = build(&root().join("tests/fixtures/six/six.unik"), &[]);
    let machine = best();
    let mut router = None;
    let rig = Rig::start_with(&image, machine, 32, 280, CLIENT, |hub, namespace| {
        hub.set_faults(Faults::parse("loss=5%,reorder=5%,duplicate=5%,delay=1ms").expect("faults"));
        namespace.output("ip", &["-6", "address", "add", "fd00:5::1/64", "dev", "tap0", "nodad"]);
        let mut command = namespace.command(CLIENT);
        router = Some(Running::spawn({
            command.args(["router", "[fd00:5::]:0", "280"]);
            command
        }));
    });
    let printed = rig.printed();
    let six = printed.split_whitespace().find(|word| word.starts_with("fd00:5::") && !word.contains('/'));
    let six = six.unwrap_or_else(|| panic!("no address: {printed}"));
    let (url, echo) = (format!("http://[{six}]/"), format!("[{six}]:7"));
    for round in 0..5 {
        let page = rig.client("curl", &["-6", "-sS", "-g", "--fail", "--max-time", PATIENCE, &url]);
        assert!(page.contains("Found by six."), "{machine}: {page}");
        rig.client(CLIENT, &["udp-retry", &echo, "20"]);
        // Some may be lost, but not all.
        rig.client(
            "ping",
            &["-6", "-c", "5", "-i", "0.05", "-s", &(round * 300).to_string(), "-W", "2", six],
        );
    }
    rig.client(CLIENT, &["tcp-echo", &echo, "100000"]);
    println!("{machine}: {six} through loss, reordering and duplication");
}

/// How long it takes until all connections that the network has are free again. Those whose last
/// segments were lost end by their timers, after a minute at most.
fn all_free(rig: &Rig) -> Duration {
    let begin = Instant::now();
    loop {
        match rig.try_client(CLIENT, &["parallel", "10.0.2.15:80", CONNECTIONS]) {
            Ok(_) => return begin.elapsed(),
            Err(said) => assert!(begin.elapsed() < Duration::from_secs(90), "connections leak: {said}"),
        }
        std::thread::sleep(Duration::from_millis(500));
    }
}
