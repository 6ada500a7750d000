//! The book and the README say what is so: their commands are run, their snippets checked.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use unik_tests::client::curl;
use unik_tests::project::Project;
use unik_tests::running::Running;
use unik_tests::{cache, root, scratch, unikgen, unikgen_command};

/// A fenced block of a page.
struct Block {
    language: String,
    text: String,
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn blocks(page: &str) -> Vec<Block> {
    let mut found = Vec::new();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        if let Some(language) = line.strip_prefix("```") {
            let inside: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
            found.push(Block { language: language.into(), text: inside.join("\n") + "\n" });
        }
    }
    found
}

fn pages() -> Vec<PathBuf> {
    let mut found = vec!["README.md", "CHANGELOG.md", "CONTRIBUTING.md"]
        .into_iter()
        .map(|name| root().join(name))
        .collect();
    collect(&root().join("book/src"), &mut found);
    found
}

fn collect(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "md") {
            found.push(path);
        }
    }
}

/// `sh` with the built `unikgen` in its path.
fn shell(script: &str, folder: &Path) -> Command {
    let path = std::env::var("PATH").unwrap_or_default();
    let own = unikgen().parent().expect("a folder").display().to_string();
    let mut command = Command::new("sh");
    command.args(["-ec", script]).current_dir(folder);
    command.env("PATH", format!("{own}:{path}")).env("UNIK_CACHE", cache()).env("NO_COLOR", "1");
    // Of plain cargo in a crate of a user's own.
    command.env("CARGO_TARGET_DIR", cache().join("third-party-target")).env("CARGO_NET_OFFLINE", "true");
    command
}

/// Runs an appliance by `script`, fetches the page that it says it serves, stops it. One that has no page
/// is told `good morning`.
fn serves(script: &str, folder: &Path) -> String {
    // `exec`, so that Ctrl-C reaches the command and not the shell.
    let script = script
        .rsplit_once("&& ")
        .map_or(format!("exec {script}"), |(before, last)| format!("{before}&& exec {last}"));
    let mut running = Running::spawn(shell(&script, folder));
    let ready = running.wait_for("ready: ", Duration::from_secs(400));
    let word = |after: &str| {
        let mut words = ready.split_whitespace().skip_while(|word| !word.starts_with(after));
        words.next().map(|first| words.next().filter(|_| first == "tcp").unwrap_or(first).to_string())
    };
    let page = if let Some(url) = word("http://") {
        let (page, fine) = curl(&[&url]);
        assert!(fine, "{page}\n{}", running.printed());
        page
    } else {
        let at: SocketAddr = word("tcp").and_then(|at| at.parse().ok()).expect("an address");
        let mut stream = TcpStream::connect(at).expect("a connection");
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a socket");
        stream.write_all(b"good morning\n").expect("it listens");
        stream.shutdown(Shutdown::Write).expect("it is open");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap_or_else(|error| panic!("{error}\n{}", running.printed()));
        answer
    };
    assert_eq!(running.interrupt().code(), Some(130), "{}", running.printed());
    page
}

fn said(script: &str, folder: &Path) -> (String, bool) {
    let output = shell(script, folder).output().expect("sh runs");
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (text, output.status.success())
}

/// Every command of the tutorial, in its order; what is shown is what they print.
#[test]
fn the_tutorial_works() {
    let page = read(&root().join("book/src/tutorial.md"));
    // Among its folders is that of the users' crate, for which the generator is compiled by then.
    let project = Project::new();
    let mut here = project.above().to_path_buf();
    for name in ["site", "lines"].map(|name| here.join(name)).iter().filter(|folder| folder.exists()) {
        std::fs::remove_dir_all(name).expect("it can be removed");
    }
    let mut shown = blocks(&page).into_iter().peekable();
    let mut ran = Vec::new();
    while let Some(block) = shown.next() {
        if block.language == "unik" {
            let file = read(&here.join("site.unik"));
            assert_eq!(file, block.text, "site.unik is otherwise");
            continue;
        }
        assert_eq!(block.language, "sh", "{}", block.text);
        let mut printed = String::new();
        let mut went_well = true;
        for line in block.text.lines() {
            ran.push(line.to_string());
            if let Some(inside) = line.strip_prefix("cd ") {
                here.push(inside);
            } else if line.starts_with("cargo install ") {
                // What is tested is built already.
            } else if line.starts_with("unikgen run") {
                let answer = serves(line, &here);
                match shown.next_if(|block| block.language == "text") {
                    Some(expected) => assert_eq!(answer.trim_end(), expected.text.trim_end(), "{line}"),
                    None => assert!(answer.contains("<h1>"), "{line}"),
                }
            } else {
                let (text, fine) = said(line, &here);
                printed += &text;
                went_well &= fine;
            }
        }
        match shown.next_if(|block| block.language == "text") {
            Some(expected) => assert_eq!(printed, expected.text, "{}", block.text),
            None => assert!(went_well, "{}\n{printed}", block.text),
        }
    }
    for command in
        ["new site", "new mine", "new lines", "sync", "check", "graph", "why tcp", "expand", "build", "run"]
    {
        let command = format!("unikgen {command}");
        assert!(ran.iter().any(|line| line.starts_with(&command)), "the tutorial doesn't run {command}");
    }
}

/// Each indented line of the README that is a command.
#[test]
fn the_commands_of_the_readme_work() {
    let page = read(&root().join("README.md"));
    let folder = scratch();
    let image = folder.path().join("web.img").display().to_string();
    let mut seen = Vec::new();
    // Of the pieces between fences every second one is outside of them.
    let outside = page.split("```").step_by(2).flat_map(str::lines);
    for line in outside.filter_map(|line| line.strip_prefix("    ")) {
        // What it is about stands behind two spaces.
        let command = line.split("  ").next().unwrap_or_default();
        let first = command.split_whitespace().take(2).collect::<Vec<_>>().join(" ");
        seen.push(first.clone());
        match first.as_str() {
            "cargo run" => {
                let command =
                    command.replace("cargo run", &format!("cargo run --quiet --target-dir {}", target()));
                assert!(serves(&command, root()).contains("<h1>"), "{command}");
            }
            "unikgen new" => assert!(serves(command, folder.path()).contains("<h1>"), "{command}"),
            // The page of the first, this test, and what takes minutes.
            "curl http://127.0.0.1:8080/" | "tests/run" | "cargo install" => {}
            _ if first.starts_with("unikgen ") => {
                let command = command.replace("FILE", "examples/web").replace("IMAGE", &image);
                let (text, fine) = said(&command, root());
                assert!(fine, "{command}\n{text}");
                assert!(!text.is_empty(), "{command} says nothing");
            }
            _ => panic!("what to do with `{line}`?"),
        }
    }
    for command in ["cargo run", "unikgen check", "unikgen why", "unikgen build"] {
        assert!(seen.iter().any(|first| first == command), "the README lacks {command}");
    }
    assert!(Path::new(&image).is_file());
}

fn target() -> String {
    unikgen().ancestors().nth(2).expect("a target folder").display().to_string()
}

/// Every `.unik` snippet of the book and the README passes `unikgen check`, completed to a
/// file where it is a part of one.
#[test]
fn snippets_are_right() {
    let folder = scratch();
    for name in ["site", "pages", "zones"] {
        std::fs::create_dir_all(folder.path().join(name)).expect("a folder");
        std::fs::write(folder.path().join(name).join("index.html"), "hello").expect("it can be written");
    }
    std::os::unix::fs::symlink(root().join("tests/third-party/greeter"), folder.path().join("greeter"))
        .expect("a link");
    std::fs::write(folder.path().join("base.unik"), "").expect("it can be written");
    let mut count = 0;
    for page in pages() {
        for block in blocks(&read(&page)).iter().filter(|block| block.language == "unik") {
            if block.text.contains("{{#include") {
                continue;
            }
            count += 1;
            let file = folder.path().join(format!("snippet-{count}.unik"));
            std::fs::write(&file, completed(&block.text)).expect("it can be written");
            let output = unikgen_command().arg("check").arg(&file).output().expect("unikgen runs");
            assert!(
                output.status.success(),
                "{}: {}\n{}",
                page.display(),
                block.text,
                String::from_utf8_lossy(&output.stderr)
            );
        }
    }
    assert!(count >= 7, "only {count} snippets: are they marked `unik`?");
}

const DEVICE: &str = "device nic = virtio-net\n";
const NETWORK: &str = "network lan = ip on nic { ipv4 10.0.2.15/24 gateway 10.0.2.2 }\n";

/// The snippet as a whole file.
fn completed(snippet: &str) -> String {
    let is_top = |line: &&str| {
        ["unik ", "param ", "let ", "include ", "crate ", "appliance ", "//"]
            .iter()
            .any(|word| line.starts_with(word))
    };
    let top: Vec<&str> = snippet.lines().filter(is_top).collect();
    let has = |part: &str| snippet.lines().any(|line| line.trim_start().starts_with(part));
    let version = if has("unik ") { "" } else { "unik 1\n" };
    if has("appliance ") {
        return format!("{version}{snippet}");
    }
    let whole_is_top = snippet.lines().all(|line| line.is_empty() || is_top(&line));
    if whole_is_top && !top.is_empty() {
        return format!(
            "{version}{snippet}\nappliance a {{\n    service greeting = say {{ line \"x\" }}\n}}\n"
        );
    }
    let mut body = String::new();
    if snippet.contains(" on nic") && !has("device nic") {
        body += DEVICE;
    }
    if snippet.contains(" on lan") && !has("network lan") {
        body += DEVICE;
        body += NETWORK;
    }
    if snippet.contains("from pages") && !has("storage pages") {
        body += "storage pages = embed { from \"pages\" }\n";
    }
    if !has("service ") {
        body += "service greeting = say { line \"x\" }\n";
    }
    format!("{version}appliance a {{\n{body}{snippet}}}\n")
}

/// What the language's page shows of each type of value can be written.
#[test]
fn values_can_be_written_as_shown() {
    let page = read(&root().join("book/src/reference/language.md"));
    let (_, table) = page.split_once("\n## Values\n").expect("the section on values");
    let (table, _) = table.split_once("\n## ").expect("a section after it");
    let folder = scratch();
    std::fs::create_dir(folder.path().join("site")).expect("a folder");
    let mut count = 0;
    for row in table.lines().filter(|line| line.starts_with("| ")).skip(1) {
        let cells: Vec<&str> = row.split(" | ").collect();
        let [_, written, parameter, ..] = cells[..] else { panic!("{row}") };
        for value in written.split('`').skip(1).step_by(2) {
            count += 1;
            let file = folder.path().join("value.unik");
            let ty = parameter.trim().trim_matches('`');
            let line = match ty {
                "" => format!("let v = {value}"),
                ty => format!("param v: {ty} = {value}"),
            };
            let text = format!("unik 1\n{line}\nappliance a {{\n    service s = say {{ line \"x\" }}\n}}\n");
            std::fs::write(&file, text).expect("it can be written");
            let output = unikgen_command().arg("check").arg(&file).output().expect("unikgen runs");
            assert!(output.status.success(), "{line}\n{}", String::from_utf8_lossy(&output.stderr));
        }
    }
    assert!(count > 12, "only {count} values");
}

/// Links between pages lead somewhere.
#[test]
fn links_lead_somewhere() {
    let mut count = 0;
    for page in pages() {
        let text = read(&page);
        for link in text.split("](").skip(1).filter_map(|rest| rest.split_once(')').map(|(link, _)| link)) {
            if link.starts_with("http") {
                continue;
            }
            let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
            let to = if path.is_empty() { page.clone() } else { page.parent().expect("a folder").join(path) };
            assert!(to.exists(), "{} links to {link}", page.display());
            if !anchor.is_empty() {
                let anchors: Vec<String> =
                    read(&to).lines().filter_map(|line| line.strip_prefix('#')).map(anchor_of).collect();
                assert!(
                    anchors.iter().any(|found| found == anchor),
                    "{} links to {link}: {anchors:?}",
                    page.display()
                );
            }
            count += 1;
        }
    }
    assert!(count > 20, "only {count} links");
}

/// What mdBook makes of a heading.
fn anchor_of(heading: &str) -> String {
    let heading = heading.trim_start_matches('#').trim().to_lowercase();
    heading
        .chars()
        .filter(|c| c.is_alphanumeric() || " -_".contains(*c))
        .map(|c| if c == ' ' { '-' } else { c })
        .collect()
}
