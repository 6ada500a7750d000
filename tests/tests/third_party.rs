//! Components of others: crates in `tests/third-party/` that the generator has never heard of.

use std::io::BufRead as _;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use unik_tests::client::exchange;
use unik_tests::machine::{Machine, best};
use unik_tests::running::{Running, free_port, signal};
use unik_tests::{root, scratch, unikgen_command};

fn folder() -> PathBuf {
    root().join("tests/third-party")
}

/// Exit code and standard error of `unikgen` with these arguments.
fn unikgen(arguments: &[&str], file: &Path) -> (Option<i32>, String) {
    let output = unikgen_command().args(arguments).arg(file).output().expect("unikgen runs");
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// The appliance with another text, in the same folder but for its news.
fn changed(into: &Path, from: &str, to: &str) -> PathBuf {
    let text = std::fs::read_to_string(folder().join("town.unik")).expect("the appliance");
    let here = folder().to_string_lossy().into_owned();
    let text = text.replace("path \"", &format!("path \"{here}/"));
    assert!(text.contains(from), "{from}");
    let path = into.join("town.unik");
    std::fs::write(&path, text.replace(from, to)).expect("it can be written");
    path
}

#[test]
fn they_serve_in_a_machine_and_in_a_process() {
    for machine in [best(), Machine::PROCESS] {
        let [hello, news] = [0; 2].map(|_| SocketAddr::from(([127, 0, 0, 1], free_port())));
        let (to_hello, to_news) = (format!("{hello}:2000"), format!("{news}:2001"));
        let town = folder().join("town.unik");
        let mut running = Running::start(
            &town,
            machine,
            &["--publish", &to_hello, "--publish", &to_news, "--start-timeout", "0"],
        );
        running.wait_for("ready", Duration::from_secs(400));
        let said = |at| exchange(at, b"").unwrap_or_else(|error| panic!("{machine}: {error}"));
        assert_eq!(said(hello), "HELLO\nHELLO\n", "{machine}");
        // Turned round and numbered by the host half.
        assert_eq!(said(news), "1. The well is dry.\n2. A ship has come in.\n", "{machine}");
    }
}

/// All kinds of options reach the service as they are in the file, in a machine and in a process; and
/// the appliance's end is a word to the guests who are there.
#[test]
fn every_kind_of_option_reaches_a_service() {
    for machine in [best(), Machine::PROCESS] {
        let at = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let mut running = Running::start(
            &folder().join("lodge.unik"),
            machine,
            &["--publish", &format!("{at}:4000"), "--start-timeout", "0"],
        );
        running.wait_for("ready", Duration::from_secs(400));
        let said = |text: &[u8]| exchange(at, text).unwrap_or_else(|error| panic!("{machine}: {error}"));
        let answers = said(b"SIGN a\nSIGN b\nSIGN c\nSIGN d\nSIGN ads\nREAD\nBYE\n");
        // The dates are of today.
        let answers =
            regex_lite::Regex::new(" [0-9]{10} ").expect("a pattern").replace_all(&answers, " NOW ");
        assert_eq!(
            answers,
            "The lodge\nSign the book, please.\nOK 1\nOK 2\nOK 3\nOK 4\nNO nobody says ads here\n\
             4 NOW d\n3 NOW c\n2 NOW b\n.\nBYE\n",
            "{machine}"
        );
        assert!(said(&[b'x'; 100]).ends_with("NO the line is too long\n"), "{machine}");

        let guest = std::net::TcpStream::connect(at).expect("a guest");
        guest.set_read_timeout(Some(Duration::from_secs(20))).expect("a limit");
        let mut heard = std::io::BufReader::new(guest).lines().map(|line| line.expect("a line"));
        assert_eq!(heard.by_ref().take(2).collect::<Vec<_>>(), ["The lodge", "Sign the book, please."]);
        signal(running.id(), "-TERM");
        assert_eq!(heard.collect::<Vec<_>>(), ["BYE the book is closed"], "{machine}");
        let ended = running.wait_for_end(Duration::from_secs(20));
        assert_eq!(ended.code(), Some(143), "{machine}: {}", running.printed());
    }
}

/// A secret reaches the service, and nothing that is shown or that others may read.
#[test]
fn a_secret_is_shown_by_nothing() {
    const WORD: &str = "xyzzy-2718";
    let place = scratch();
    let text = std::fs::read_to_string(folder().join("lodge.unik")).expect("the appliance");
    let text = text.replace("\"guestbook\"", &format!("{:?}", folder().join("guestbook")));
    let text = text.replace("\"lodge\"", &format!("{:?}", folder().join("lodge")));
    let text = text.replace("crate guest", "param word: secret string\n\ncrate guest");
    let text = text.replace("title", "keeper $word\n        title");
    let file = place.path().join("lodge.unik");
    std::fs::write(&file, &text).expect("it can be written");
    let key = place.path().join("word.txt");
    std::fs::write(&key, format!("{WORD}\n")).expect("it can be written");
    let given = format!("word={}", key.display());
    let image = place.path().join("lodge.img");

    let said = |arguments: &[&str], file: &Path| {
        let mut command = unikgen_command();
        let output = command.args(arguments).arg(file).env("WORD", WORD).output().expect("unikgen runs");
        let all =
            [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
        assert!(!all.contains(WORD), "{arguments:?} shows it: {all}");
        (output.status.code(), all)
    };
    let (code, all) = said(&["build", "-v", "--set-file", &given, "-o", &image.display().to_string()], &file);
    assert_eq!(code, Some(0), "{all}");
    for arguments in [
        &["check", "--format", "json"][..],
        &["graph"],
        &["expand"],
        &["cost"],
        &["why", "guestbook"],
        &["build", "--report", "json", "-o", &image.display().to_string()],
    ] {
        let mut all: Vec<&str> = arguments.to_vec();
        all.extend(["--set-env", "word=WORD"]);
        let (code, said) = said(&all, &file);
        assert_eq!(code, Some(0), "{arguments:?}: {said}");
    }
    for command in ["inspect", "audit"] {
        assert_eq!(said(&[command], &image).0, Some(0), "{command}");
    }
    // Said on the command line, or in the file, it is refused.
    let (code, all) = said(&["check", "--set", "word=guess"], &file);
    assert!(code == Some(1) && all.contains("--set-file"), "{all}");
    let open = place.path().join("open.unik");
    std::fs::write(&open, text.replace("$word", &format!("{WORD:?}"))).expect("it can be written");
    let (code, all) = said(&["check", "--format", "sarif", "--set-file", &given], &open);
    assert!(code == Some(1) && all.contains("U0216"), "{all}");

    // Of what lies beside the image and in the cache, nobody else may read what has it.
    let mut folders = vec![place.path().to_owned(), unik_tests::cache()];
    while let Some(folder) = folders.pop() {
        let closed = std::fs::metadata(&folder).expect("a folder").permissions().mode() & 0o077 == 0;
        if closed && folder.starts_with(unik_tests::cache()) {
            continue;
        }
        for entry in std::fs::read_dir(&folder).expect("a folder").flatten() {
            let (path, meta) = (entry.path(), entry.metadata().expect("it is there"));
            if meta.is_dir() {
                folders.push(path);
            } else if meta.is_file()
                && [&image, &key, &open].iter().all(|known| **known != path)
                && std::fs::read(&path)
                    .expect("it can be read")
                    .windows(WORD.len())
                    .any(|at| at == WORD.as_bytes())
            {
                assert_eq!(meta.permissions().mode() & 0o077, 0, "others may read {}", path.display());
            }
        }
    }

    let machine = best();
    let at = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let mut running = Running::start(&image, machine, &["--publish", &format!("{at}:4000")]);
    running.wait_for("ready", Duration::from_secs(60));
    let answers = exchange(at, format!("SIGN a\nCLEAR guess\nCLEAR {WORD}\nREAD\nSIGN b\nBYE\n").as_bytes());
    let answers = answers.unwrap_or_else(|error| panic!("{machine}: {error}"));
    assert!(answers.ends_with("OK 1\nNO it is SIGN, READ or BYE\nOK\n.\nOK 2\nBYE\n"), "{answers}");
    assert!(!running.printed().contains(WORD));
}

/// Each slip is found by the table alone, at its place.
#[test]
fn every_kind_of_option_is_checked() {
    let place = scratch();
    let right = std::fs::read_to_string(folder().join("lodge.unik")).expect("the appliance");
    let right = right.replace("\"guestbook\"", &format!("{:?}", folder().join("guestbook")));
    let right = right.replace("\"lodge\"", &format!("{:?}", folder().join("lodge")));
    let file = place.path().join("lodge.unik");
    for (from, to, parts) in [
        ("newest-first", "newest", &["U0304", "`oldest-first` or `newest-first`"][..]),
        ("at-most 3 {", "at-most 0 {", &["U0305", "from 1 to 100000"]),
        ("longest 64 B", "longest 8 B", &["U0305", "a size from 16 B to 64 KiB"]),
        ("longest 64 B", "longest 64", &["U0306", "64 KiB"]),
        ("longest 64 B", "lonest 64 B", &["U0301", "did you mean `longest`"]),
        ("[\"spam\", \"ads\"]", "[\"spam\", 7]", &["U0304"]),
        ("silent 30 s", "silent 2 h", &["U0305", "1 h"]),
        ("100 per minute", "100", &["U0304", "a rate"]),
        ("192.0.2.0/24", "192.0.2.7/24", &["U0415", "192.0.2.0/24"]),
        ("192.0.2.0/24", "198.51.100.0/24", &["U0416"]),
        ("10.0.2.2:4999", "10.0.2.2", &["U0304", "endpoint"]),
        ("copy to 10.0.2.2:4999", "", &["U0411", "`copy-within` needs `copy`"]),
        ("title \"The lodge\"", "", &["U0303", "`title`"]),
        ("of pages", "of lan", &["Files"]),
    ] {
        assert!(right.contains(from), "{from}");
        std::fs::write(&file, right.replace(from, to)).expect("it can be written");
        let (code, said) = unikgen(&["check"], &file);
        assert_eq!(code, Some(1), "{to}: {said}");
        for part in parts {
            assert!(said.contains(part), "{to}: no {part} in\n{said}");
        }
    }
}

/// Away from any appliance they are crates like others.
#[test]
fn plain_cargo_tests_them() {
    for name in ["greeter", "guestbook", "herald"] {
        let output = Command::new("cargo")
            .args(["test", "--workspace", "--quiet", "--offline"])
            .env("CARGO_TARGET_DIR", unik_tests::cache().join("third-party-target"))
            .current_dir(folder().join(name))
            .output()
            .expect("cargo runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && !said.contains("warning"), "{name}: {said}");
    }
}

/// In a crate of a user's own, `sync` brings them in, and this unik to them.
#[test]
fn sync_brings_them_into_a_crate_with_the_macro() {
    let place = scratch();
    let made = unikgen_command()
        .args(["new", "mine", "--template", "handler"])
        .current_dir(place.path())
        .output()
        .expect("unikgen runs");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let here = place.path().join("mine");
    let file = here.join("mine.unik");
    let greeter = folder().join("greeter").display().to_string();
    let text = std::fs::read_to_string(&file).expect("the template");
    let (head, rest) = text.rsplit_once('}').expect("an appliance");
    let text = format!("{head}    service greet = greeter on lan {{ greeting \"hi\" }}\n}}{rest}");
    let text =
        text.replace("appliance mine", &format!("crate greeter {{ path \"{greeter}\" }}\n\nappliance mine"));
    std::fs::write(&file, text).expect("it can be written");
    let sync = unikgen_command().arg("sync").current_dir(&here).output().expect("unikgen runs");
    assert!(sync.status.success(), "{}", String::from_utf8_lossy(&sync.stderr));
    let manifest = std::fs::read_to_string(here.join("Cargo.toml")).expect("the manifest");
    let (_, patches) = manifest.split_once("[patch.crates-io]\n").expect("patches");
    assert!(patches.contains("unik = { path = \".unik/src/runtime\" }"), "{manifest}");
    assert!(manifest.contains("greeter = { path = "), "{manifest}");
    let again =
        unikgen_command().args(["sync", "--check"]).current_dir(&here).output().expect("unikgen runs");
    assert!(again.status.success(), "{}", String::from_utf8_lossy(&again.stderr));
}

#[test]
fn their_tables_check_their_options() {
    let folder = scratch();
    std::fs::write(folder.path().join("news.txt"), "x\n").expect("it can be written");
    let file = changed(folder.path(), "times 2\n        mood loud", "times 20\n        moood loud");
    let (code, said) = unikgen(&["check"], &file);
    assert_eq!(code, Some(1), "{said}");
    for part in ["a whole number from 1 to 9", "`greeter` has no option `moood`", "did you mean `mood`?"] {
        assert!(said.contains(part), "{part}: {said}");
    }
}

#[test]
fn their_host_halves_find_mistakes_inside_files() {
    let folder = scratch();
    let news = folder.path().join("news.txt");
    std::fs::write(&news, format!("short\n{}\n", "long".repeat(20))).expect("it can be written");
    let file = changed(folder.path(), "appliance town", "appliance city");
    let (code, said) = unikgen(&["check"], &file);
    assert_eq!(code, Some(1), "{said}");
    for part in ["a line of 80 bytes, 60 is the most", "news.txt:2:1", "read for `news`", "make two of it"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    std::fs::write(&news, "short\n").expect("it can be written");
    let (code, said) = unikgen(&["check"], &file);
    assert_eq!(code, Some(0), "{said}");
}

#[test]
fn a_host_half_that_does_not_build_says_what_the_compiler_said() {
    let folder = scratch();
    let herald = folder.path().join("herald");
    for (from, to) in
        [("Cargo.toml", "Cargo.toml"), ("host/Cargo.toml", "host/Cargo.toml"), ("src/lib.rs", "src/lib.rs")]
    {
        let to = herald.join(to);
        std::fs::create_dir_all(to.parent().expect("a folder")).expect("a folder");
        std::fs::copy(self::folder().join("herald").join(from), to).expect("a copy");
    }
    std::fs::create_dir_all(herald.join("host/src")).expect("a folder");
    std::fs::write(herald.join("host/src/lib.rs"), "pub struct Herald;\n").expect("it can be written");
    std::fs::write(folder.path().join("news.txt"), "x\n").expect("it can be written");
    let own = self::folder().join("herald").to_string_lossy().into_owned();
    let file = changed(folder.path(), &own, "herald");
    let (code, said) = unikgen(&["check"], &file);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("the host half of `herald` doesn't build") && said.contains("Default"), "{said}");
    assert!(said.contains("service news = herald on lan"), "{said}");
}

#[test]
fn a_crate_that_needs_std_is_named() {
    let leak = folder().join("leak.unik");
    let image = scratch();
    let out = image.path().join("leak.img");
    let (code, said) = unikgen(&["build", "-o", &out.to_string_lossy()], &leak);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("`leaky` needs the Rust standard library"), "{said}");
    assert!(said.contains("--target process") && !said.contains("E0152"), "{said}");
    assert!(!out.exists());

    let mut running = Running::start(&leak, Machine::PROCESS, &[]);
    let status = running.wait_for_end(Duration::from_secs(300));
    assert_eq!(status.code(), Some(0), "{}", running.printed());
    assert!(running.printed().contains("processors: "), "{}", running.printed());
}

/// Nothing in the generator knows any of them.
#[test]
fn the_generator_names_none_of_them() {
    let mut files = Vec::new();
    for part in ["dsl", "codegen"] {
        collect(&root().join(part), &mut files);
    }
    assert!(files.len() > 50, "the generator is somewhere else");
    for file in files {
        let text = std::fs::read_to_string(&file).expect("a source file").to_lowercase();
        for name in ["greeter", "guestbook", "herald", "leaky::"] {
            assert!(!text.contains(name), "{} names {name}", file.display());
        }
    }
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        if path.is_dir() && !path.ends_with("target") {
            collect(&path, files);
        } else if path
            .extension()
            .is_some_and(|extension| ["rs", "toml", "pest", "hbs"].iter().any(|of| extension == *of))
        {
            files.push(path);
        }
    }
}
