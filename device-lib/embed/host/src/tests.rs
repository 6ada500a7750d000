use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;

use tempfile::TempDir;
use unik_catalogue::value::Bound;

use super::*;

fn entry(values: &[(&str, Value)]) -> Vec<Entry> {
    let values = values.iter().map(|(name, value)| (name.to_string(), Bound::One(value.clone()))).collect();
    vec![Entry { values, place: Some(Place { source: 0, start: 10, end: 20 }), ..Entry::default() }]
}

fn input(folder: &Path, more: &[(&str, Vec<Entry>)]) -> Input {
    let path = Value::Path { written: "site".into(), resolved: folder.into() };
    let mut options = BTreeMap::from([("from".to_string(), entry(&[("folder", path)]))]);
    options.extend(more.iter().map(|(key, entries)| (key.to_string(), entries.clone())));
    Input::new("pages", options, BTreeMap::new(), "machine")
}

fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = TempDir::new().unwrap();
    for (name, content) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    folder
}

fn messages(input: &Input) -> Vec<String> {
    let findings = Embed.check(input);
    assert!(findings.iter().all(|finding| matches!(finding.at, At::Place(Place { start: 10, .. }))));
    findings.into_iter().map(|finding| finding.message).collect()
}

#[test]
fn takes_in_everything_sorted_and_equal_contents_once() {
    let folder = folder(&[
        ("b/c.txt", "same"),
        ("a.html", "page"),
        ("b/d/e", "same"),
        (".git/config", "x"),
        (".well-known/security.txt", "mail"),
        ("empty", ""),
    ]);
    let input = input(folder.path(), &[]);
    assert_eq!(messages(&input), [""; 0]);
    let baked = Embed.bake(&input).unwrap();
    let files = baked.offer.files.unwrap();
    let names: Vec<&str> = files.keys().map(String::as_str).collect();
    assert_eq!(names, [".well-known/security.txt", "a.html", "b/c.txt", "b/d/e", "empty"]);
    assert_eq!(baked.blobs.len(), 4);
    assert_eq!(baked.value, "Tree");
    assert!(baked.items.contains(r#"("b/d/e" , & FILE_2)"#), "{}", baked.items);
    assert!(
        baked.items.contains("static FILE_2 : [u8 ; 4] = * include_bytes ! (\"2.bin\")"),
        "{}",
        baked.items
    );
    let read = input.dependencies();
    assert!(read.contains(&folder.path().join("b/d")) && read.contains(&folder.path().join("a.html")));
}

#[test]
fn hidden_files_on_request() {
    let folder = folder(&[(".a", "x"), ("b/.c/d", "y")]);
    assert!(messages(&input(folder.path(), &[]))[0].ends_with("has no files"));
    let baked = Embed.bake(&input(folder.path(), &[("hidden", entry(&[]))])).unwrap();
    assert_eq!(baked.offer.files.unwrap().len(), 2);
}

#[test]
fn links_inside_are_followed_and_others_are_errors() {
    let outside = folder(&[("secret", "x")]);
    let inside = folder(&[("a/x", "1"), ("b", "2")]);
    let link = |target: &Path, name: &str| symlink(target, inside.path().join(name)).unwrap();
    link(Path::new("../b"), "a/to-b");
    link(Path::new("a"), "to-a");
    let files = Embed.bake(&input(inside.path(), &[])).unwrap().offer.files.unwrap();
    assert_eq!(files["to-a/x"], files["a/x"]);
    assert_eq!(files["a/to-b"], b"2");
    link(outside.path(), "out");
    link(&outside.path().join("secret"), "a/secret");
    link(Path::new("."), "loop");
    link(Path::new("nowhere"), "broken");
    let messages = messages(&input(inside.path(), &[]));
    let has = |part: &str| messages.iter().filter(|message| message.contains(part)).count();
    assert_eq!(
        (messages.len(), has("leads out"), has("that it is in"), has("broken")),
        (5, 3, 1, 1),
        "{messages:#?}"
    );
    assert!(Embed.bake(&input(inside.path(), &[])).is_err());
}

#[test]
fn what_can_not_be_taken_in() {
    let folder = folder(&[("a", "x")]);
    fs::write(folder.path().join(OsStr::from_bytes(b"\xff.txt")), "").unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(folder.path().join("socket")).unwrap();
    let messages = messages(&input(folder.path(), &[]));
    assert!(messages[0].contains("neither") && messages[1].contains("not UTF-8"), "{messages:#?}");
    let gone = input(&folder.path().join("gone"), &[]);
    assert!(Embed.check(&gone)[0].message.contains("can't read"));
    assert!(Embed.bake(&gone).is_err());
}

#[test]
fn sizes_are_bounded() {
    let folder = folder(&[("a", &"x".repeat(2048)), ("b", "y")]);
    let bounded = |key| input(folder.path(), &[(key, entry(&[("size", Value::Size(2047))]))]);
    assert_eq!(messages(&bounded("max-file")), ["`a` has 2 KiB, more than the 2047 B of `max-file`"]);
    assert_eq!(messages(&bounded("max-total")).len(), 1);
    assert!(Embed.bake(&bounded("max-total")).is_err());
}

#[test]
fn a_folder_full_of_what_can_not_be_taken_in_is_given_up() {
    let folder = folder(&[]);
    for number in 0..100 {
        symlink("nowhere", folder.path().join(format!("link-{number}"))).unwrap();
    }
    assert_eq!(messages(&input(folder.path(), &[])).len(), 32);
}
