//! The command line: help, mistakes, exit codes.

mod common;

use common::{golden, run, run_in};

const SUBCOMMANDS: &[&str] = &[
    "new",
    "init",
    "doctor",
    "check",
    "fmt",
    "build",
    "run",
    "graph",
    "why",
    "verify",
    "expand",
    "components",
    "sync",
    "clean",
    "symbolize",
    "eject",
    "explain",
    "completions",
    "man",
];

#[test]
fn help_of_everything() {
    let whole = run(&["--help"]);
    assert_eq!(whole.code, 0);
    golden("help/unikgen.txt", &whole.out);
    for subcommand in SUBCOMMANDS {
        let help = run(&[subcommand, "--help"]);
        assert_eq!(help.code, 0, "{subcommand}");
        golden(&format!("help/{subcommand}.txt"), &help.out);
    }
}

#[test]
fn every_subcommand_teaches_by_example() {
    for subcommand in SUBCOMMANDS.iter().filter(|name| **name != "doctor") {
        let help = run(&[subcommand, "--help"]).out;
        assert!(
            help.contains(&format!("unikgen {subcommand}")) && help.contains("Examples:"),
            "{subcommand}: {help}"
        );
    }
}

#[test]
fn mistakes_end_with_2_and_say_what_was_meant() {
    for (arguments, part) in [
        (&["chek"][..], "'check'"),
        (&["check", "--formt", "json"], "--format"),
        (&["check", "--format", "xml"], "human, short, json, sarif"),
        (&["check", "--set", "host"], "expected NAME=VALUE"),
        (&["check", "--deny", "everything"], "`warnings`"),
        (&["check", "--allow", "U0301"], "U0301 is an error, and stays one"),
        (&["check", "--deny", "U0551"], "did you mean `U0511`?"),
        (&["check", "--deny", "U0511", "--allow", "U0511", "examples/hello"], "exclude each other"),
        (&["build", "--format", "json", "--report", "json"], "cannot be used with"),
        (&["check", "no-such.unik"], "can't find `no-such.unik`"),
        (&["check", "Cargo.toml"], "is no .unik file"),
        (&["check", "examples"], "there is no .unik file in `examples`"),
        (&["run", "--publish", "80"], "[ADDR:]HOST:GUEST[/udp]"),
        (&["run", "--memory", "16"], "with its unit"),
        (&["run", "--tap", "tap0", "--publish", "1:1"], "cannot be used with"),
        (&["run", "--gdb", "--monitor", "process", "examples/hello"], "--gdb is for virtual machines"),
        (&["run", "--monitor", "process", "--target", "machine", "examples/hello"], "exclude each other"),
        (&["run", "Cargo.toml"], "is no image"),
        (&["new", "Bad Name"], "lower-case letters"),
        (&["components", "htpp"], "did you mean `http`?"),
        (&["explain", "U9999"], "there is no diagnostic `U9999`"),
        (&["why", "sya", "examples/hello"], "did you mean `say`?"),
        (&["sync", "examples/hello"], "holds no crate"),
        (&["-q", "-v", "check"], "cannot be used with"),
    ] {
        let said = run(arguments);
        assert_eq!(said.code, 2, "{arguments:?}: {}", said.err);
        assert!(said.err.contains(part), "{arguments:?}: {}", said.err);
        assert!(said.out.is_empty(), "{arguments:?}: {}", said.out);
    }
}

#[test]
fn without_arguments_there_is_help() {
    let said = run(&[]);
    assert_eq!(said.code, 2);
    assert!(said.err.contains("Start here:"), "{}", said.err);
}

#[test]
fn the_one_file_of_a_folder_is_found() {
    let folder = tempfile::tempdir().expect("a folder");
    let empty = run_in(folder.path(), &["check"]);
    assert_eq!(empty.code, 2);
    assert!(empty.err.contains("unikgen new site"), "{}", empty.err);
    std::fs::copy(common::root().join("examples/hello/hello.unik"), folder.path().join("a.unik"))
        .expect("copied");
    let one = run_in(folder.path(), &["check"]);
    assert_eq!((one.code, one.err.as_str()), (0, "checked: a.unik is right\n"));
    std::fs::copy(folder.path().join("a.unik"), folder.path().join("b.unik")).expect("copied");
    let two = run_in(folder.path(), &["check"]);
    assert_eq!(two.code, 2);
    assert!(two.err.contains("name one of a.unik, b.unik"), "{}", two.err);
}

#[test]
fn a_reader_that_had_enough_is_no_error() {
    let script = format!("{} components | head -1", env!("CARGO_BIN_EXE_unikgen"));
    let output = std::process::Command::new("sh").args(["-c", &script]).output().expect("sh runs");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "Devices\n");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

/// Whatever can't be written, the exit code says how it went; nothing panics.
#[test]
fn full_and_closed_streams_are_no_panic() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("wrong.unik"), "unik 1\nappliance a { nonsense }\n").expect("written");
    std::fs::copy(common::root().join("examples/hello/hello.unik"), folder.path().join("right.unik"))
        .expect("copied");
    for (line, code) in [
        ("check wrong.unik 2>/dev/full", 1),
        ("check right.unik 2>/dev/full", 0),
        ("check wrong.unik --format json >/dev/full", 1),
        ("check right.unik --format json >/dev/full 2>/dev/full", 1),
        ("components >/dev/full 2>/dev/full", 1),
        ("graph right.unik >/dev/full", 1),
        ("check none.unik 2>/dev/full", 2),
        ("check wrong.unik >&- 2>&-", 1),
        ("check right.unik >&- 2>&-", 0),
        ("components >&-", 0),
        ("--help >/dev/full", 0),
        ("chek 2>/dev/full", 2),
        ("completions bash >/dev/full", 1),
        ("man >/dev/full", 1),
        ("explain >/dev/full", 1),
        ("expand right.unik >/dev/full", 1),
        ("doctor >/dev/full 2>/dev/full", 1),
    ] {
        let output = std::process::Command::new("sh")
            .args(["-c", &format!("{} {line}", env!("CARGO_BIN_EXE_unikgen"))])
            .current_dir(folder.path())
            .env("UNIK_CACHE", common::cache())
            .output()
            .expect("sh runs");
        assert_eq!(output.status.code(), Some(code), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn a_file_is_ejected_with_all_that_it_is_made_of() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    std::fs::create_dir_all(at("site/pages/deep")).expect("a folder");
    let file = "unik 1\ninclude \"parts/net.unik\"\nappliance site {\n    device nic = virtio-net\n    network lan = ip on nic { ipv4 $address }\n    storage pages = embed { from \"pages\" }\n    service site = http on lan { port 80; files from pages }\n}\n";
    std::fs::write(at("site/site.unik"), file).expect("written");
    std::fs::write(at("site/pages/deep/a.html"), "a").expect("written");
    std::fs::write(at("site/other.txt"), "not a part of it").expect("written");
    std::fs::create_dir(at("site/parts")).expect("a folder");
    let net = "unik 1\nlet address = 10.0.2.15/24\n";
    std::fs::write(at("site/parts/net.unik"), net).expect("written");
    let checked = run_in(folder.path(), &["check", "site"]);
    assert_eq!(checked.code, 0, "{}", checked.err);
    let said = run_in(folder.path(), &["eject", "site", "kept"]);
    assert_eq!(said.code, 0, "{}", said.err);
    for name in
        ["site.unik", "parts/net.unik", "pages/deep/a.html", "Cargo.toml", "src/main.rs", ".gitignore"]
    {
        assert!(at("kept").join(name).is_file(), "{name}");
    }
    assert!(!at("kept/other.txt").exists());
    let manifest = std::fs::read_to_string(at("kept/Cargo.toml")).expect("there");
    assert!(manifest.contains("unik-http"), "it is in step: {manifest}");
    assert_eq!(run_in(&at("kept"), &["sync", "--check"]).code, 0);
    for (arguments, part) in [
        (&["eject", "site", "kept"][..], "`kept` is there already"),
        (&["eject", "kept", "again"], "belongs to a crate already"),
        (&["eject", "none.unik", "again"], "can't find `none.unik`"),
    ] {
        let said = run_in(folder.path(), arguments);
        assert_eq!(said.code, 2, "{}", said.err);
        assert!(said.err.contains(part), "{}", said.err);
    }
    std::fs::write(at("site/site.unik"), file.replace("\"pages\"", "\"../outside\"")).expect("written");
    std::fs::create_dir(at("outside")).expect("a folder");
    std::fs::write(at("outside/a.html"), "a").expect("written");
    let said = run_in(folder.path(), &["eject", "site", "again"]);
    assert_eq!(said.code, 2, "{}", said.err);
    assert!(said.err.contains("lies outside of") && !at("again").exists(), "{}", said.err);
}

#[test]
fn clean_says_what_goes_and_takes_nothing_of_others() {
    let folder = tempfile::tempdir().expect("a folder");
    let clean = |cache: &str, arguments: &[&str]| {
        let mut command = common::unikgen(common::root());
        command.args(["clean", "--all"]).args(arguments).env("UNIK_CACHE", folder.path().join(cache));
        common::said(command.output().expect("it starts"))
    };
    std::fs::create_dir_all(folder.path().join("project/src")).expect("a folder");
    std::fs::write(folder.path().join("project/src/main.rs"), "mine").expect("written");
    let refused = clean("project", &[]);
    assert_eq!(refused.code, 3, "{}", refused.err);
    assert!(refused.err.contains("has a `src` that unikgen didn't make"), "{}", refused.err);
    assert!(folder.path().join("project/src/main.rs").is_file());

    assert_eq!(clean("cache", &[]).code, 0);
    std::fs::create_dir(folder.path().join("cache/work")).expect("a folder");
    std::fs::write(folder.path().join("cache/work/x"), [0; 2048]).expect("written");
    std::fs::write(folder.path().join("cache/mine"), "").expect("written");
    let dry = clean("cache", &["--dry-run"]);
    assert!(dry.err.contains("would remove:    2.0 KiB  ") && dry.err.contains("/work\n"), "{}", dry.err);
    assert!(folder.path().join("cache/work/x").is_file());
    let done = clean("cache", &[]);
    assert!(done.err.contains("removed:    2.0 KiB  in all\n"), "{}", done.err);
    assert!(!folder.path().join("cache/work").exists() && folder.path().join("cache/mine").exists());
}

#[test]
fn completions_and_man_pages_are_made() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let said = run(&["completions", shell]);
        assert_eq!(said.code, 0);
        assert!(said.out.contains("publish"), "{shell}");
    }
    let page = run(&["man"]);
    assert!(page.out.contains(".TH unikgen 1") && page.out.contains("Exit codes"), "{}", page.out);
    let folder = tempfile::tempdir().expect("a folder");
    assert_eq!(run_in(folder.path(), &["man", "--output", "man1"]).code, 0);
    for subcommand in SUBCOMMANDS {
        assert!(folder.path().join(format!("man1/unikgen-{subcommand}.1")).is_file(), "{subcommand}");
    }
    assert!(folder.path().join("man1/unikgen.1").is_file());
}

#[test]
fn colours_only_when_asked_for_or_on_a_terminal() {
    assert!(!run(&["components"]).out.contains('\x1b'));
    assert!(run(&["components", "--color", "always"]).out.contains('\x1b'));
}

#[test]
fn quiet_says_nothing_of_what_went_well() {
    let said = run(&["check", "--quiet", "examples/hello"]);
    assert_eq!((said.code, said.out.as_str(), said.err.as_str()), (0, "", ""));
}
