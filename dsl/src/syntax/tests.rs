//! Tests of the parser as a whole.

use pest::Parser as _;

use super::entry::{Grammar, Rule};
use super::*;

fn parsed(text: &str) -> (File, Vec<Diagnostic>) {
    let mut sources = SourceMap::default();
    let source = sources.add("test.unik", text);
    let mut diagnostics = Vec::new();
    let file = parse(&sources, source, Context::Top, &mut diagnostics);
    (file, diagnostics)
}

fn values(text: &str) -> Vec<ValueKind> {
    let (file, diagnostics) = parsed(&format!("appliance a {{ key {text} }}"));
    assert!(diagnostics.is_empty(), "{text}: {diagnostics:?}");
    let StatementKind::Appliance { body, .. } = &file.statements[0].kind else { panic!() };
    let StatementKind::Entry(entry) = &body[0].kind else { panic!("{:?}", body[0]) };
    entry.values.iter().map(|value| value.kind.clone()).collect()
}

#[test]
fn every_kind_of_value() {
    use ValueKind::{Cidr, Endpoint, Integer, Ip, List, Mac, Quantity, Rate, Reference, String, Word};
    for (text, kind) in [
        ("true", Word("true".into())),
        ("api::count", Word("api::count".into())),
        ("x86-64-v2", Word("x86-64-v2".into())),
        ("\"a b\\n\"", String("a b\n".into())),
        ("80", Integer(80)),
        ("1_000", Integer(1000)),
        ("0x1f", Integer(31)),
        ("0xff", Integer(255)),
        ("16 MiB", Quantity(16, "MiB".into())),
        ("16MiB", Quantity(16, "MiB".into())),
        ("24 MB", Quantity(24, "MB".into())),
        ("30 s", Quantity(30, "s".into())),
        ("1000 per second", Rate(1000, 1, "second".into())),
        ("5 per 10 min", Rate(5, 10, "min".into())),
        ("10.0.0.1", Ip("10.0.0.1".parse().unwrap())),
        ("2620:fe::fe", Ip("2620:fe::fe".parse().unwrap())),
        ("::1", Ip("::1".parse().unwrap())),
        ("10.0.0.2/24", Cidr("10.0.0.2".parse().unwrap(), 24)),
        ("fd00::2/64", Cidr("fd00::2".parse().unwrap(), 64)),
        ("52:54:00:12:34:56", Mac([0x52, 0x54, 0, 0x12, 0x34, 0x56])),
        ("10.0.0.1:53", Endpoint("10.0.0.1:53".parse().unwrap())),
        ("[::1]:53", Endpoint("[::1]:53".parse().unwrap())),
        ("$host", Reference("host".into())),
        ("[]", List(vec![])),
    ] {
        assert_eq!(values(text), [kind], "{text}");
    }
    assert_eq!(values("80 x").len(), 2);
    assert_eq!(values("80 second-try").len(), 2);
    let [ValueKind::List(list)] = &values("[80,\n 16 MiB, [::1]:5,\n]")[..] else { panic!() };
    assert_eq!(list.len(), 3);
    let [ValueKind::Place { instance, path }] = &values("zones / \"a/b\"")[..] else { panic!() };
    assert_eq!((instance.value.as_str(), path.as_str()), ("zones", "a/b"));
}

#[test]
fn comments_in_a_head_are_no_part_of_it() {
    let (file, diagnostics) =
        parsed("/* a */ crate /* b */ x /* c */ { key /* d */ [ /* e */ 1, // f\n] /* g */ }");
    assert!(diagnostics.is_empty(), "{diagnostics:?}");
    let StatementKind::Crate { name, body } = &file.statements[0].kind else { panic!() };
    let StatementKind::Entry(entry) = &body[0].kind else { panic!() };
    assert_eq!((name.value.as_str(), entry.values.len()), ("x", 1));
    let ValueKind::List(list) = &entry.values[0].kind else { panic!() };
    assert_eq!(list.iter().map(|value| &value.kind).collect::<Vec<_>>(), [&ValueKind::Integer(1)]);
    let [ValueKind::Place { path, .. }] = &values("zones /* a */ / /* b */ \"x\"")[..] else { panic!() };
    assert_eq!(path, "x");
}

#[test]
fn places_are_those_of_the_text() {
    let text = "// é\nappliance a {\n    device nic = virtio-net on  b  c { mac $x }\n}\n";
    let (file, diagnostics) = parsed(text);
    assert!(diagnostics.is_empty(), "{diagnostics:?}");
    let StatementKind::Appliance { body, .. } = &file.statements[0].kind else { panic!() };
    let StatementKind::Declaration(device) = &body[0].kind else { panic!() };
    let at = |place: Place| &text[place.start..place.end];
    assert_eq!(at(device.name.place), "nic");
    assert_eq!(at(device.component.place), "virtio-net");
    assert_eq!(device.wires.iter().map(|wire| at(wire.place)).collect::<Vec<_>>(), ["b", "c"]);
    let StatementKind::Entry(mac) = &device.body[0].kind else { panic!() };
    assert_eq!(at(mac.values[0].place), "$x");
}

#[test]
fn a_mistake_hides_nothing_in_the_next_entry() {
    let (file, diagnostics) =
        parsed("unik 1\nparam = 3\nappliance a {\n device nic virtio\n port 10.0.0.300\n}\nlet x 3\n");
    let codes: Vec<_> = diagnostics.iter().map(|d| d.code.as_str()).collect();
    assert_eq!(codes, ["U0101", "U0101", "U0105", "U0101"], "{diagnostics:#?}");
    assert_eq!(file.statements.len(), 4);
}

#[test]
fn values_alone() {
    let mut sources = SourceMap::default();
    let source = sources.add("--set x", "10.0.0.1 80");
    let mut diagnostics = Vec::new();
    let values = parse_values(&sources, source, &mut diagnostics);
    assert!(diagnostics.is_empty(), "{diagnostics:?}");
    assert_eq!(values.iter().map(|value| sources.text(value.place)).collect::<Vec<_>>(), ["10.0.0.1", "80"]);
    for wrong in ["{", "a { }", "\"x", "=", "10.0.0.300"] {
        let source = sources.add("--set x", wrong);
        let mut diagnostics = Vec::new();
        let _ = parse_values(&sources, source, &mut diagnostics);
        assert!(wrong == "a { }" || !diagnostics.is_empty(), "{wrong}");
    }
}

/// The grammar read as a whole and the parser that goes head by head take the same files.
#[test]
fn the_grammar_says_the_same_as_a_whole() {
    for (text, good) in [
        (
            "unik 1\nparam a: integer 1..=9 = 3 // c\nlet b = [1,\n2]\nappliance x {\n a 1; b \"x\" { c }\n device d = e on f g { }\n}\n",
            true,
        ),
        ("when target == process { log level debug }\n", false), // no such thing at the top, but grammatical
        ("include \"a\"\ncrate x { path \"../x\" }\n", true),
        ("/* a /* b */ c */ unik 1; /// doc\nappliance a { when $b != 3 { c d / \"e\" } }", true),
        ("unik 1 {", false),
        ("param a = 3", false),
        ("appliance { a = 3 }", false),
    ] {
        let whole = Grammar::parse(Rule::file, text).is_ok();
        let (_, diagnostics) = parsed(text);
        if good {
            assert!(
                whole && diagnostics.is_empty(),
                "{text}: {diagnostics:?} {:?}",
                Grammar::parse(Rule::file, text).err()
            );
        } else {
            assert!(!whole || !diagnostics.is_empty(), "{text}");
        }
    }
}
