//! Whatever the text, the checker answers, and soon.

mod common;

use std::path::Path;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use unik_dsl::format::format;
use unik_dsl::{Request, analyse, diagnostic};

fn check(text: &str) -> unik_dsl::Analysis {
    let catalogue = CATALOGUE.with(Clone::clone);
    let analysis = analyse(&Request::new(Path::new("test.unik"), Some(text.into())), &catalogue);
    let rendered = diagnostic::render_all(&analysis.diagnostics, &analysis.sources, false);
    assert_eq!(analysis.diagnostics.is_empty(), rendered.is_empty());
    assert!(analysis.plan.is_some() || analysis.diagnostics.iter().any(|diagnostic| diagnostic.is_error()));
    for found in &analysis.diagnostics {
        let labels = std::iter::once(&found.primary).chain(&found.secondary).map(|label| label.place);
        let edits = found.fixes.iter().flat_map(|fix| &fix.edits).map(|edit| edit.place);
        for place in labels.chain(edits) {
            let source = analysis.sources.source(place.source).expect("a source");
            assert!(source.text.get(place.start..place.end).is_some(), "{place:?} in {found:?}");
        }
    }
    analysis
}

thread_local! {
    static CATALOGUE: unik_dsl::Catalogue = common::catalogue();
}

/// Pieces of the language, so that random texts get further than the first character.
fn pieces() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "unik 1\n",
        "param ",
        "let ",
        "include ",
        "when ",
        "crate ",
        "appliance ",
        "device ",
        "network ",
        "storage ",
        "service ",
        "target",
        "name",
        "a",
        "b",
        "ip",
        "echo",
        "virtio-net",
        "http",
        "dns-server",
        "embed",
        "say",
        " = ",
        " == ",
        " != ",
        " on ",
        ": ",
        "{",
        "}",
        "{\n",
        "}\n",
        "[",
        "]",
        ",",
        ";",
        "\n",
        " ",
        "\t",
        "\"",
        "\\",
        "\"x\"",
        "/*",
        "*/",
        "//",
        "///",
        "/",
        "$a",
        "$",
        "80",
        "10.0.0.2/24",
        "10.0.0.300",
        "::1",
        "[::1]:53",
        "52:54:00:12:34:56",
        "16 MiB",
        "24 MB",
        "30 s",
        "5 per second",
        "port ",
        "ipv4 ",
        "dhcp",
        "gateway ",
        "zone ",
        "from ",
        "line ",
        "files ",
        "route ",
        "memory ",
        "log level ",
        "é",
        "\u{feff}",
        "\0",
        "-5",
        "1.5",
        "99999999999999999999",
    ]);
    prop::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(cases()) })]

    #[test]
    fn no_text_makes_it_panic(text in any::<String>()) {
        check(&text);
    }

    #[test]
    fn nor_do_pieces_of_the_language(text in pieces()) {
        check(&text);
    }

    #[test]
    fn nor_does_a_right_file_with_a_slip(at in 0usize..700, piece in pieces(), cut in 0usize..20) {
        let mut text = include_str!("right/web/case.unik").to_string();
        let floor = |text: &str, mut at: usize| { at = at.min(text.len()); while !text.is_char_boundary(at) { at -= 1; } at };
        let start = floor(&text, at);
        let end = floor(&text, at + cut);
        text.replace_range(start..end, &piece);
        check(&text);
    }

    /// Files of the corpus with a few edits, and what of another one follows.
    #[test]
    fn nor_does_a_file_of_the_corpus_with_edits(
        file in any::<prop::sample::Index>(),
        other in any::<prop::sample::Index>(),
        edits in prop::collection::vec((any::<prop::sample::Index>(), 0usize..20, pieces()), 0..4),
        splice in any::<bool>(),
    ) {
        let floor = |text: &str, mut at: usize| { at = at.min(text.len()); while !text.is_char_boundary(at) { at -= 1; } at };
        let mut text = file.get(corpus()).clone();
        for (at, cut, piece) in edits {
            let at = at.index(text.len() + 1);
            let (start, end) = (floor(&text, at), floor(&text, at + cut));
            text.replace_range(start..end, &piece);
        }
        if splice {
            let (from, half) = (other.get(corpus()), floor(&text, text.len() / 2));
            text.replace_range(half.., &from[floor(from, from.len() / 2)..]);
        }
        check(&text);
        lay_out(&text);
    }
}

/// What the formatter makes of a text stays as it is when laid out again, and the checker
/// says the same of both.
fn lay_out(text: &str) {
    let Ok(once) = format(text) else { return };
    assert_eq!(format(&once).as_deref(), Ok(once.as_str()), "not what was laid out:\n{text}");
    let said = |text: &str| {
        let mut said: Vec<_> = check(text).diagnostics.into_iter().map(|it| (it.code, it.message)).collect();
        said.sort();
        said
    };
    assert_eq!(said(&once), said(text), "{text}");
}

/// All files of the corpus, right and wrong.
fn corpus() -> &'static [String] {
    static CORPUS: LazyLock<Vec<String>> = LazyLock::new(|| {
        let mut files = common::files(&["dsl", "tests", "wrong", "*", "case.unik"]);
        files.extend(common::files(&["dsl", "tests", "right", "*", "case.unik"]));
        files.extend(common::files(&["examples", "*", "*.unik"]));
        assert!(files.len() > 190, "{}", files.len());
        files.iter().filter_map(|file| std::fs::read_to_string(file).ok()).collect()
    });
    &CORPUS
}

/// How often each is tried: longer with `UNIK_SOAK=1`.
fn cases() -> u32 {
    if std::env::var_os("UNIK_SOAK").is_some() { 200_000 } else { 256 }
}

/// Makes a text of so many lines.
type Maker = Box<dyn Fn(usize) -> String>;

/// Time that this thread has had a processor: what others do meanwhile doesn't count.
fn processor_time() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    Duration::from_nanos(text.split(' ').next().and_then(|first| first.parse().ok()).unwrap_or_default())
}

/// Texts that made other parsers slow. Twice the text may take no more than a few times
/// as long: the bound is on the ratio, so that a slow machine doesn't matter.
#[test]
fn time_is_linear_in_the_text() {
    let lines = |line: &'static str| move |n: usize| format!("unik 1\nappliance a {{\n{}", line.repeat(n));
    let makers: Vec<(&str, Maker)> = vec![
        ("unclosed blocks", Box::new(lines("    service s = say {\n"))),
        ("unclosed at the margin", Box::new(|n| "service s = say {\n".repeat(n))),
        ("unclosed lists", Box::new(lines("    memory [\n"))),
        ("unclosed strings", Box::new(lines("    memory \"x\n"))),
        ("unclosed comments", Box::new(lines("    /* \n"))),
        ("closing braces", Box::new(|n| "}\n".repeat(n))),
        ("one line", Box::new(|n| format!("unik 1\nappliance a {{ memory {} }}", "[1 ".repeat(n)))),
        ("one value", Box::new(|n| format!("unik 1\nappliance a {{ memory {} }}", "1:".repeat(n)))),
        ("one list", Box::new(|n| format!("unik 1\nappliance a {{ memory [{}] }}", "1,".repeat(n)))),
        ("one word", Box::new(|n| format!("unik 1\nappliance a {{ memory {} }}", "a::".repeat(n)))),
        ("unknown names", Box::new(|n| format!("unik 1\nappliance a {{ memory {} }}", "$x ".repeat(n)))),
        ("a long type", Box::new(|n| format!("unik 1\nparam x: {} port = 1", "list ".repeat(n)))),
        ("a long choice", Box::new(|n| format!("unik 1\nparam x: {}a = b", "a|".repeat(n)))),
        ("many lets", Box::new(|n| (0..n).map(|i| format!("let a{i} = $a{}\n", i + 1)).collect())),
        (
            "many instances",
            Box::new(|n| {
                let all: String = (0..n).map(|i| format!("service s{i} = say {{ line \"x\" }}\n")).collect();
                format!("unik 1\nappliance a {{\n{all}}}\n")
            }),
        ),
        (
            "many wires",
            Box::new(|n| {
                let all: String = (0..n).map(|i| format!("service s{i} = echo on x{i}\n")).collect();
                format!("unik 1\nappliance a {{\n{all}}}\n")
            }),
        ),
        (
            "a long chain",
            Box::new(|n| {
                let all: String =
                    (0..n).map(|i| format!("network s{i} = bridge on s{}\n", (i + 1) % n)).collect();
                format!("unik 1\nappliance a {{\n{all}}}\n")
            }),
        ),
    ];
    for (what, make) in makers {
        let time = |n: usize| {
            let text = make(n);
            let best = (0..3)
                .map(|_| {
                    let start = processor_time();
                    check(&text);
                    processor_time() - start
                })
                .min();
            best.unwrap_or_default()
        };
        let (small, large) = (time(500), time(4_000));
        // Eight times the text; quadratic would be 64 times.
        let bound = small.max(Duration::from_millis(2)) * 28;
        assert!(large < bound, "{what}: 500 took {small:?}, 4,000 took {large:?}");
    }
}

/// Values that stand for values that stand for values: a bomb where each is a list of two.
#[test]
fn lists_of_lists_do_not_explode() {
    let lets: String = (1..60).map(|i| format!("let a{i} = [$a{}, $a{}]\n", i - 1, i - 1)).collect();
    let text = format!(
        "unik 1\nlet a0 = [10.0.0.0/8]\n{lets}appliance a {{ service s = dns-server {{ allow $a59 }} }}"
    );
    check(&text);
}

/// What isn't a file of bearable size is never read to its end, nor waited for: as the file
/// itself and as an included one.
#[test]
fn what_is_no_file_or_too_large_a_one() {
    let folder = std::env::temp_dir().join(format!("unik-no-file-{}", std::process::id()));
    std::fs::create_dir_all(folder.join("folder.unik")).unwrap();
    let pipe = std::process::Command::new("mkfifo").arg(folder.join("pipe.unik")).status().unwrap();
    assert!(pipe.success());
    std::os::unix::fs::symlink("/dev/zero", folder.join("zero.unik")).unwrap();
    std::fs::File::create(folder.join("large.unik")).unwrap().set_len(8 << 30).unwrap();
    let catalogue = CATALOGUE.with(Clone::clone);
    for (name, why) in [
        ("folder.unik", "it is a folder"),
        ("pipe.unik", "it is no ordinary file"),
        ("zero.unik", "it is no ordinary file"),
        ("large.unik", "it is larger than 16 MiB"),
    ] {
        let start = Instant::now();
        let included = Some(format!("unik 1\ninclude \"{name}\"\n"));
        for (file, text) in [(name, None), ("includes.unik", included)] {
            let analysis = analyse(&Request::new(&folder.join(file), text), &catalogue);
            let first = &analysis.diagnostics[0];
            assert_eq!(first.code.as_str(), "U0001", "{name}: {first:?}");
            assert!(first.message.ends_with(why), "{name}: {}", first.message);
        }
        assert!(start.elapsed() < Duration::from_secs(5), "{name} took {:?}", start.elapsed());
    }
    std::fs::remove_dir_all(folder).unwrap();
}

/// A hundred files that each include the next: an error where it gets too deep, no overflow.
#[test]
fn a_long_chain_of_includes() {
    let folder = std::env::temp_dir().join(format!("unik-chain-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    for i in 0..100 {
        let text = format!("unik 1\nlet a{i} = 1\ninclude \"f{}.unik\"\n", i + 1);
        std::fs::write(folder.join(format!("f{i}.unik")), text).unwrap();
    }
    let catalogue = CATALOGUE.with(Clone::clone);
    let analysis = analyse(&Request::new(&folder.join("f0.unik"), None), &catalogue);
    let deep = analysis.diagnostics.iter().filter(|it| it.message.contains("more than 64 deep")).count();
    assert_eq!(deep, 1, "{:?}", analysis.diagnostics);
    std::fs::remove_dir_all(folder).unwrap();
}

/// What a person who writes on another system hands in.
#[test]
fn carriage_returns_and_byte_order_marks_are_blanks() {
    let text =
        "\u{feff}unik 1\r\nappliance a {\r\n    service s = say {\r\n        line \"x\"\r\n    }\r\n}\r\n";
    assert_eq!(check(text).diagnostics, []);
    let analysis = check(&text.replace("line", "lime"));
    let rendered = diagnostic::render_all(&analysis.diagnostics, &analysis.sources, false);
    assert!(rendered.contains("did you mean `line`") && !rendered.contains('\r'), "{rendered:?}");
}

/// A hundred thousand of one mistake: what is said of them stays short.
#[test]
fn a_hundred_thousand_of_one_mistake() {
    const MANY: usize = 100_000;
    for (what, text) in [
        ("open blocks", "service s = say {\n".repeat(MANY)),
        ("nested blocks", format!("{}{}", "when $a {\n".repeat(MANY), "}\n".repeat(MANY))),
        ("braces in a line", format!("{}{}", "{".repeat(MANY), "}".repeat(MANY))),
        ("nested lists", format!("unik 1\nlet a = {}{}", "[".repeat(MANY), "]".repeat(MANY))),
        ("wrong lines", format!("unik 1\nappliance a {{\n{}}}\n", "    nothing 1\n".repeat(MANY))),
        ("one long word", format!("unik 1\nappliance a {{ {} }}\n", "a".repeat(10 * MANY))),
    ] {
        let start = Instant::now();
        let analysis = check(&text);
        println!("{MANY} {what}: {:?}", start.elapsed());
        assert!(analysis.diagnostics.len() <= 101, "{what}");
        let said = diagnostic::render_all(&analysis.diagnostics, &analysis.sources, false);
        assert!(said.len() < 200_000, "{what}: {} bytes", said.len());
    }
}
