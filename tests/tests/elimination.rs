//! What the plan doesn't hold isn't in the image.

use unik_tests::{build, example, root, twin, unikgen_command};

/// Words that only a driver or protocol brings into an image: names in symbols of the
/// unstripped twin, and strings.
const NETWORK: [&str; 6] = ["smoltcp", "virtio", "unik_ip", "unik_http", "httparse", "DHCP"];

#[test]
fn hello_holds_no_network() {
    let hello = contents("hello");
    let web = contents("web");
    for word in NETWORK {
        assert!(!hello.contains(&word.to_lowercase()), "hello holds `{word}`");
    }
    for word in &NETWORK[..5] {
        assert!(web.contains(&word.to_lowercase()), "web lacks `{word}`: this test would prove nothing");
    }
}

#[test]
fn web_holds_no_dhcp_client_and_no_udp_but_others_do() {
    let (web, lan, echo) = (contents("web"), contents("lan"), contents("echo"));
    // Source files that any inlined function would leave, symbols, and strings.
    for word in ["dhcp.rs", "dhcp::client", "no dhcp server", "udp.rs", "unik_echo"] {
        assert!(!web.contains(word), "web holds `{word}`");
        assert!(
            lan.contains(word) || echo.contains(word),
            "no image holds `{word}`: this test would prove nothing"
        );
    }
}

#[test]
fn only_who_asks_for_ipv6_holds_it() {
    let (web, six) = (contents("web"), contents_of(&root().join("tests/fixtures/six/six.unik")));
    // Our part, what smoltcp has for it, and addresses from routers.
    for word in ["unik_ip::v6", "ipv6.rs", "slaac.rs", "fragments.rs"] {
        assert!(!web.contains(word), "web holds `{word}`");
        assert!(six.contains(word), "no image holds `{word}`: this test would prove nothing");
    }
}

#[test]
fn only_who_looks_up_names_holds_a_dns_client() {
    let (lan, seek) = (contents("lan"), contents_of(&root().join("tests/fixtures/seek/seek.unik")));
    for word in ["unik_dns", "ip/src/names.rs"] {
        assert!(!lan.contains(word), "lan holds `{word}`");
        assert!(seek.contains(word), "no image holds `{word}`: this test would prove nothing");
    }
}

#[test]
fn the_generated_crate_depends_on_nothing_else() {
    let text = |name: &str| {
        let output = unikgen_command()
            .args(["expand", "--manifest"])
            .arg(example(name))
            .output()
            .expect("unikgen runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let hello = text("hello");
    assert!(!hello.contains("unik-ip") && !hello.contains("unik-virtio"), "{hello}");
    assert!(text("web").contains("unik-virtio-net"));
}

/// The image and its unstripped twin as lower-case text, names demangled enough to search.
fn contents(name: &str) -> String {
    contents_of(&example(name))
}

fn contents_of(file: &std::path::Path) -> String {
    let image = build(file, &[]);
    let twin = twin(&image);
    let mut bytes = std::fs::read(&image).expect("the image is there");
    bytes.extend(std::fs::read(&twin).unwrap_or_else(|error| panic!("{}: {error}", twin.display())));
    String::from_utf8_lossy(&bytes).to_lowercase()
}
