//! Peers that no kernel's sockets are: each case is a few segments made by hand. After each an
//! honest client is served at once, and after all of them every connection is free again.

mod closing;
mod forged;
mod malformed;
mod windows;

use std::time::{Duration, Instant};

use unik_tests::hub::Hub;
use unik_tests::machine::microvms;
use unik_tests::peer::Wrong;
use unik_tests::rig::{Rig, path_image};

const CLIENT: &str = env!("CARGO_BIN_EXE_unik-client");
/// Ports of the fixture's services.
const ECHO: u16 = 7;
const CHARGEN: u16 = 19;
const HTTP: u16 = 80;
/// A request after whose answer the server closes.
const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
/// The end of the page that it answers with.
const PAGE: &[u8] = b"Through it all.</p>\n";

type Case = (&'static str, fn(&Hub) -> Result<(), Wrong>);

#[test]
fn hostile_peers_do_no_harm() {
    let image = path_image();
    let cases: Vec<Case> = [windows::CASES, forged::CASES, closing::CASES, malformed::CASES].concat();
    // For whoever looks into one of them.
    let only = std::env::var("UNIK_ONLY").unwrap_or_default();
    for machine in microvms() {
        let rig = Rig::start(&image, machine, 32, 580, CLIENT);
        let mut wrong = Vec::new();
        for (name, case) in cases.iter().filter(|(name, _)| name.contains(&only)) {
            rig.hub.forget();
            let begin = Instant::now();
            let outcome = case(&rig.hub).and_then(|()| honest(&rig));
            println!("{machine}: {name}: {:?} in {:?}", outcome, begin.elapsed());
            wrong.extend(outcome.err().map(|error| format!("{name}: {error}")));
        }
        assert!(wrong.is_empty(), "{machine}:\n{}\n{}", wrong.join("\n"), rig.printed());
        println!("{machine}: all connections free after {:?}", all_free(&rig));
    }
}

/// A page for curl, at once.
fn honest(rig: &Rig) -> Result<(), Wrong> {
    let url = "http://10.0.2.15/";
    let page = rig.try_client("curl", &["-sS", "--fail", "--max-time", "3", url])?;
    if page.as_bytes().ends_with(PAGE) { Ok(()) } else { Err(format!("an honest client got {page:?}")) }
}

/// How long it takes until the network has all its connections again.
fn all_free(rig: &Rig) -> Duration {
    let begin = Instant::now();
    loop {
        match rig.try_client(CLIENT, &["parallel", "10.0.2.15:80", "64"]) {
            Ok(_) => return begin.elapsed(),
            Err(said) => assert!(begin.elapsed() < Duration::from_secs(90), "connections leak: {said}"),
        }
        std::thread::sleep(Duration::from_millis(500));
    }
}
