//! What every example takes, held against `tests/sizes.json`: an image that grows is seen where
//! it does. `UNIK_BLESS=1 cargo test -p unik-tests --test sizes` writes it anew; look at the
//! difference before you commit it.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use unik_tests::{build, example, root, scratch, unikgen_command};

const EXAMPLES: [&str; 5] = ["hello", "web", "echo", "counter", "lan"];

/// The file as a whole, as it stands among the sizes.
const FILE: &str = "the file";

/// By how much the whole file may differ: every change of its sources gives it another layout.
const FILE_ROOM: Room = Room { percent: 1, bytes: 512 };
/// And what one component has for itself: the optimiser makes now one, now another copy of what
/// several use, which changes whose it is and hardly what the file takes.
const OWNER_ROOM: Room = Room { percent: 30, bytes: 2048 };

struct Room {
    percent: u64,
    bytes: u64,
}

impl Room {
    fn has(&self, was: u64, is: u64) -> bool {
        was.abs_diff(is) <= self.bytes.max(was * self.percent / 100)
    }
}

fn unikgen(arguments: &[&str]) -> String {
    let output = unikgen_command().args(arguments).output().expect("unikgen runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{arguments:?}: {said}");
    String::from_utf8(output.stdout).expect("text")
}

#[test]
fn every_example_takes_what_it_took() {
    let mut now: BTreeMap<&str, BTreeMap<String, u64>> = BTreeMap::new();
    for name in EXAMPLES {
        let image = build(&example(name), &[]);
        let cost: Value =
            serde_json::from_str(&unikgen(&["cost", &image.to_string_lossy(), "--format", "json"]))
                .expect("JSON");
        let mut sizes = BTreeMap::new();
        sizes.insert(FILE.to_string(), std::fs::metadata(&image).expect("the image").len());
        for share in cost["components"].as_array().expect("components") {
            let owners = share["owners"].as_array().expect("owners");
            // What several share falls to others with every little change.
            let [owner] = owners.as_slice() else { continue };
            let bytes = share["code"].as_u64().unwrap_or(0) + share["data"].as_u64().unwrap_or(0);
            sizes.insert(owner.as_str().expect("a name").to_string(), bytes);
        }
        now.insert(name, sizes);
    }
    let path = root().join("tests/sizes.json");
    if std::env::var_os("UNIK_BLESS").is_some() {
        std::fs::write(&path, format!("{:#}\n", json!(now))).expect("it can be written");
        return;
    }
    let text = std::fs::read_to_string(&path).expect("tests/sizes.json");
    let held: BTreeMap<String, BTreeMap<String, u64>> = serde_json::from_str(&text).expect("sizes");
    let mut changed = Vec::new();
    for (name, sizes) in &now {
        let held = held.get(*name).cloned().unwrap_or_default();
        for owner in sizes.keys().chain(held.keys()).collect::<std::collections::BTreeSet<_>>() {
            let (was, is) = (held.get(owner).copied().unwrap_or(0), sizes.get(owner).copied().unwrap_or(0));
            let room = if owner == FILE { FILE_ROOM } else { OWNER_ROOM };
            if !room.has(was, is) {
                changed.push(format!("{name}, {owner}: {was} → {is} bytes"));
            }
        }
    }
    assert!(
        changed.is_empty(),
        "images changed; if they should: UNIK_BLESS=1 cargo test -p unik-tests --test sizes\n{}",
        changed.join("\n")
    );
}

#[test]
fn the_cost_of_an_image_is_told_in_tables_and_on_a_page() {
    let web = build(&example("web"), &[]);
    let text = unikgen(&["cost", &web.to_string_lossy()]);
    for part in ["web.unik:", "network lan = ip on nic", "smoltcp 0.", "runtime"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let folder = scratch();
    let page = folder.path().join("cost.html");
    let only = unikgen(&["cost", &web.to_string_lossy(), "--by", "crate", "--html", &page.to_string_lossy()]);
    assert!(!only.contains("network lan") && only.contains("smoltcp"), "{only}");
    let page = std::fs::read_to_string(page).expect("the page");
    for part in ["<title>", "prefers-color-scheme: dark", "\"smoltcp 0.", "src/socket/tcp.rs"] {
        assert!(page.contains(part), "{part}");
    }
}

#[test]
fn differences_are_told() {
    let (web, hello) = (build(&example("web"), &[]), build(&example("hello"), &[]));
    let (web, hello) = (web.to_string_lossy().into_owned(), hello.to_string_lossy().into_owned());
    let against = unikgen(&["cost", &web, "--against", &hello, "--by", "component"]);
    assert!(against.contains("ip ") && against.contains('+'), "{against}");
    assert!(unikgen(&["cost", &web, "--against", &web]).contains("nothing changes"));

    let text = unikgen(&["diff", &hello, &web]);
    for part in [
        "may do more",
        "+ nic = virtio-net",
        "tcp 80 on lan, for site (http)",
        "site may use lan",
        "10.0.2.15/24",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let check = |before: &str, after: &str| {
        let arguments = ["diff", before, after, "--check", "--format", "json"];
        unikgen_command().args(arguments).output().expect("unikgen runs").status.code()
    };
    assert_eq!(check(&hello, &web), Some(4));
    assert_eq!(check(&web, &web), Some(0));
    assert!(unikgen(&["diff", &web, &web]).contains("is the same, byte by byte"));
}
