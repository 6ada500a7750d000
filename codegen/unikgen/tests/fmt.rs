//! `unikgen fmt`: what it writes, what it leaves alone, and how it ends.

mod common;

use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::Stdio;

use common::{Said, run_in, said, unikgen};

const ODD: &str = "unik 1\nappliance a{log   level info}\n";
const LAID_OUT: &str = "unik 1\nappliance a { log level info }\n";

fn from_input(folder: &Path, arguments: &[&str], text: &[u8]) -> Said {
    let mut command = unikgen(folder);
    command.arg("fmt").args(arguments);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(text).unwrap();
    said(child.wait_with_output().unwrap())
}

#[test]
fn files_of_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    std::fs::create_dir(at("base")).unwrap();
    std::fs::write(at("odd.unik"), ODD).unwrap();
    std::fs::write(at("right.unik"), LAID_OUT).unwrap();
    std::fs::set_permissions(at("odd.unik"), std::fs::Permissions::from_mode(0o640)).unwrap();
    std::os::unix::fs::symlink("../odd.unik", at("base/link.unik")).unwrap();
    let before = std::fs::metadata(at("right.unik")).unwrap().ino();

    let check = run_in(folder.path(), &["fmt", "--check"]);
    assert_eq!(check.code, 1, "{check:?}");
    assert_eq!(
        check.out,
        "base/link.unik\n    2 - appliance a{log   level info}\n    2 + appliance a { log level info }\n"
    );
    assert_eq!(std::fs::read_to_string(at("odd.unik")).unwrap(), ODD);

    let done = run_in(folder.path(), &["fmt"]);
    assert_eq!((done.code, done.out.as_str()), (0, ""), "{done:?}");
    assert_eq!(done.err, "laid out: 1 of 2 files\n");
    assert_eq!(std::fs::read_to_string(at("odd.unik")).unwrap(), LAID_OUT);
    assert_eq!(std::fs::metadata(at("odd.unik")).unwrap().permissions().mode() & 0o777, 0o640);
    assert!(at("base/link.unik").is_symlink());
    assert_eq!(std::fs::metadata(at("right.unik")).unwrap().ino(), before, "it wasn't written");

    let check = run_in(folder.path(), &["fmt", "--check", "odd.unik", "right.unik"]);
    assert_eq!((check.code, check.out.as_str()), (0, ""), "{check:?}");
}

#[test]
fn a_file_with_errors_is_left_alone_and_the_next_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    std::fs::write(at("a.unik"), "unik 1\nappliance a {\n").unwrap();
    std::fs::write(at("b.unik"), ODD).unwrap();
    std::fs::write(at("c.unik"), b"unik 1 // \xff\n").unwrap();
    let done = run_in(folder.path(), &["fmt"]);
    assert_eq!(done.code, 1, "{done:?}");
    assert!(done.err.contains("error[U0102]") && done.err.contains("a.unik:2:"), "{done:?}");
    assert!(done.err.contains("c.unik: it is no UTF-8 text"), "{done:?}");
    assert!(done.err.contains("left alone: a.unik and 1 file, with errors"), "{done:?}");
    assert_eq!(std::fs::read_to_string(at("a.unik")).unwrap(), "unik 1\nappliance a {\n");
    assert_eq!(std::fs::read_to_string(at("b.unik")).unwrap(), LAID_OUT);
    for (arguments, part) in [
        (&["fmt", "none.unik"][..], "can't find"),
        (&["fmt", "-", "a.unik"], "stands alone"),
        (&["fmt", "--stdin", "a.unik"], "--stdin"),
    ] {
        let done = run_in(folder.path(), arguments);
        assert_eq!(done.code, 2, "{done:?}");
        assert!(done.err.contains(part), "{done:?}");
    }
}

#[test]
fn standard_input() {
    let folder = tempfile::tempdir().unwrap();
    for arguments in [&["-"][..], &["--stdin"]] {
        let done =
            from_input(folder.path(), arguments, format!("\u{feff}{ODD}").replace('\n', "\r\n").as_bytes());
        assert_eq!((done.code, done.out.as_str(), done.err.as_str()), (0, LAID_OUT, ""));
    }
    let done = from_input(folder.path(), &["-", "--stdin-name", "x/y.unik"], b"unik 1 2\n");
    assert_eq!((done.code, done.out.as_str()), (1, ""), "{done:?}");
    assert!(done.err.contains("x/y.unik:1:8"), "{done:?}");
    assert_eq!(from_input(folder.path(), &["-", "--check"], ODD.as_bytes()).code, 1);
    assert_eq!(from_input(folder.path(), &["-", "--check"], LAID_OUT.as_bytes()).code, 0);
    assert_eq!(from_input(folder.path(), &["-"], b"\xff").code, 1);
}
