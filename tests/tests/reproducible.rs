//! The same inputs make the same image, byte by byte: in other folders, with another cache,
//! cargo home and home, after other appliances. And the seed decides where everything is.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use object::{Object as _, ObjectSegment as _, ObjectSymbol as _};
use unik_tests::client::get;
use unik_tests::machine::microvms;
use unik_tests::running::{Running, free_port};
use unik_tests::{build, copy_folder, example, root, scratch, twin, unikgen, unikgen_command};

/// Another person's machine: their home, cargo home, cache and projects. It stays for all
/// tests of this file, so that each of them finds a cache in which others were built.
fn elsewhere() -> &'static Path {
    static MADE: OnceLock<tempfile::TempDir> = OnceLock::new();
    MADE.get_or_init(|| {
        let place = scratch();
        let home = std::env::var_os("CARGO_HOME")
            .map_or_else(|| std::env::home_dir().expect("there is a home").join(".cargo"), PathBuf::from);
        let theirs = place.path().join("somebody/else/.cargo");
        std::fs::create_dir_all(&theirs).expect("a folder");
        // What was fetched, so that nothing is again; cargo writes under `registry`.
        let copied = Command::new("cp").arg("-r").arg(home.join("registry")).arg(&theirs).status();
        assert!(copied.expect("cp runs").success());
        place
    })
    .path()
}

/// `unikgen` as that person runs it.
fn their_unikgen() -> Command {
    let home = elsewhere().join("somebody/else");
    let rustup = std::env::var_os("RUSTUP_HOME")
        .map_or_else(|| std::env::home_dir().expect("there is a home").join(".rustup"), PathBuf::from);
    let mut command = Command::new(unikgen());
    command
        .env("HOME", &home)
        .env("USER", "else")
        .env("RUSTUP_HOME", rustup)
        .env("CARGO_HOME", home.join(".cargo"))
        .env("UNIK_CACHE", home.join("a cache"))
        .env("TZ", "Asia/Tokyo")
        .env("LC_ALL", "C")
        .env("NO_COLOR", "1")
        .current_dir(&home);
    command
}

/// Runs, and gives what was printed.
fn run(command: &mut Command) -> String {
    let output = command.output().expect("unikgen runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{command:?}\n{said}");
    said
}

/// Builds `file` of `project` here, and in a copy elsewhere; both images.
fn both(project: &Path, file: &str) -> [Vec<u8>; 2] {
    let name = project.file_name().expect("a name");
    let theirs = elsewhere().join("somebody/else/projects").join(name);
    let mine = scratch();
    let out = [mine.path().join("here.img"), mine.path().join("there.img")];
    copy_folder(project, &theirs);
    let said = run(unikgen_command().arg("build").arg(project.join(file)).arg("-o").arg(&out[0]));
    run(their_unikgen()
        .arg("build")
        .arg(Path::new("projects").join(name).join(file))
        .args(["--offline", "-o"])
        .arg(&out[1]));
    let images = out.map(|path| std::fs::read(path).expect("an image"));
    assert!(said.contains("sha256"), "{said}");
    images
}

fn hold_equal(project: &Path, file: &str) {
    let [here, there] = both(project, file);
    let different = here.iter().zip(&there).position(|(a, b)| a != b);
    assert_eq!(different, None, "{file}: the first byte that differs");
    assert_eq!(here.len(), there.len(), "{file}");
}

#[test]
fn hello_and_web() {
    for name in ["hello", "web"] {
        hold_equal(&example(name), &format!("{name}.unik"));
    }
}

#[test]
fn a_crate_of_the_users_own() {
    hold_equal(&example("counter"), "counter.unik");
}

#[test]
fn crates_of_third_parties() {
    hold_equal(&root().join("tests/third-party"), "town.unik");
}

/// Builds `hello` with this seed; the image, and its functions by address.
fn seeded(seed: &str) -> (PathBuf, Vec<(u64, String)>) {
    let image = build(&example("hello"), &["--seed", seed]);
    let bytes = std::fs::read(twin(&image)).expect("a twin");
    let elf = object::File::parse(&*bytes).expect("an ELF file");
    let mut functions: Vec<(u64, String)> = elf
        .symbols()
        .filter(|symbol| symbol.kind() == object::SymbolKind::Text)
        .map(|symbol| (symbol.address(), symbol.name().expect("a name").to_string()))
        .filter(|(_, name)| name.starts_with("_R") || name.starts_with("_ZN"))
        .collect();
    functions.sort();
    assert!(functions.len() > 50, "the twin has no symbols");
    (image, functions)
}

#[test]
fn seeds_lay_out_images_differently_and_all_of_them_boot() {
    let mut orders: Vec<Vec<String>> = Vec::new();
    let mut images = Vec::new();
    for seed in ["1", "2", "0xfedcba9876543210", "18446744073709551615"] {
        let (image, functions) = seeded(seed);
        for machine in microvms() {
            let mut running = Running::start(&image, machine, &["--memory", "4 MiB"]);
            let status = running.wait_for_end(machine.patience());
            assert_eq!(status.code(), Some(0), "{machine}, seed {seed}:\n{}", running.printed());
        }
        let bytes = std::fs::metadata(&image).expect("an image").len();
        println!("seed {seed}: boots, {bytes} bytes");
        assert!(bytes <= 40 << 10, "seed {seed}: {bytes} bytes");
        orders.push(functions.into_iter().map(|(_, name)| name).collect());
        images.push(std::fs::read(&image).expect("an image"));
    }
    for (one, other) in (0..orders.len()).flat_map(|one| (0..one).map(move |other| (one, other))) {
        assert_ne!(orders[one], orders[other], "two seeds put functions in one order");
        let places = |image: &[u8]| {
            let elf = object::File::parse(image).expect("an ELF file");
            elf.segments().map(|segment| segment.address() & !0xfff).collect::<Vec<_>>()
        };
        assert_ne!(places(&images[one]), places(&images[other]), "two seeds put segments in one place");
    }
    // The same functions, all of them.
    let sorted = |order: &Vec<String>| order.iter().cloned().collect::<std::collections::BTreeSet<_>>();
    assert_eq!(sorted(&orders[0]), sorted(&orders[1]));
    let (again, _) = seeded("1");
    assert!(std::fs::read(again).expect("an image") == images[0], "one seed made two images");
}

#[test]
fn a_web_server_serves_with_any_seed() {
    for (machine, seed) in microvms().into_iter().zip(["11", "12"].into_iter().cycle()) {
        let image = build(&example("web"), &["--seed", seed]);
        let at = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let mut running = Running::start(&image, machine, &["--publish", &format!("{at}:80")]);
        running.wait_until_ready(machine);
        let answer = get(at, "/").unwrap_or_else(|error| panic!("{machine}: {error}"));
        assert!(answer.starts_with("HTTP/1.1 200"), "{machine}, seed {seed}: {answer}");
    }
}

#[test]
fn a_drawn_seed_is_recorded_and_another_each_time() {
    let mut seeds = Vec::new();
    for _ in 0..2 {
        let folder = scratch();
        let image = folder.path().join("hello.img");
        run(unikgen_command()
            .arg("build")
            .arg(example("hello"))
            .args(["--seed", "random", "-o"])
            .arg(&image));
        let report = std::fs::read(image.with_extension("report.json")).expect("a report");
        let report: serde_json::Value = serde_json::from_slice(&report).expect("JSON");
        let seed = report["build"]["seed"].as_str().expect("the seed").to_string();
        let (again, _) = seeded(&seed);
        assert!(std::fs::read(image).expect("an image") == std::fs::read(again).expect("an image"));
        seeds.push(seed);
    }
    assert_ne!(seeds[0], seeds[1]);
}

/// `unikgen verify`: exit code, and what it says.
fn verify(image: &Path, file: &Path) -> (Option<i32>, String) {
    let output = unikgen_command().arg("verify").arg(image).arg(file).output().expect("unikgen runs");
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn verify_knows_an_image_from_another() {
    let folder = scratch();
    let project = folder.path().join("a copy");
    copy_folder(&example("hello"), &project);
    let image = build(&example("hello"), &["--seed", "5"]);
    let (code, said) = verify(&image, &project);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("byte by byte") && said.contains("with the seed 0x0000000000000005"), "{said}");

    // One byte of a function, as somebody may have changed it on the way.
    let (_, functions) = seeded("5");
    let mut bytes = std::fs::read(&image).expect("an image");
    let (address, name) = &functions[functions.len() / 2];
    let at = {
        let elf = object::File::parse(&*bytes).expect("an ELF file");
        let segment = elf.segments().find(|segment| {
            let (_, size) = segment.file_range();
            (segment.address()..segment.address() + size).contains(address)
        });
        let segment = segment.expect("a segment");
        (segment.file_range().0 + address - segment.address()) as usize
    };
    bytes[at] ^= 1;
    let changed = folder.path().join("changed.img");
    std::fs::write(&changed, bytes).expect("it can be written");
    let (code, said) = verify(&changed, &project);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("section .text: 1 bytes differ, the first at"), "{name}: {said}");
    assert!(said.contains(" begins") && !said.contains("other tools"), "{name}: {said}");

    let file = project.join("hello.unik");
    let text = std::fs::read_to_string(&file).expect("the file");
    std::fs::write(&file, text.replace("Hello", "Hullo")).expect("it can be written");
    let (code, said) = verify(&image, &project);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("made from other plans"), "{said}");

    let (code, said) = verify(&file, &project);
    assert_eq!(code, Some(2), "{said}");
}
