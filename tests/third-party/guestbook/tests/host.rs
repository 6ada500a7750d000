//! The book on the host's sockets.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use guestbook::{Entry, Guests, Options, Order};
use unik::interface::{Clock, FileError, Files, Metadata};
use unik::start::{Context, Listen, Protocol};
use unik_host_ip::{HostIp, Mapping};

static LISTENS: &[Listen] = &[Listen { protocol: Protocol::Tcp, port: 4000, service: "book" }];

#[derive(Clone)]
struct Page;

impl Files for Page {
    async fn metadata(&self, _: &str) -> Result<Metadata, FileError> {
        Ok(Metadata { length: 8, is_folder: false })
    }

    async fn read(&self, path: &str, _: u64, buffer: &mut [u8]) -> Result<usize, FileError> {
        assert_eq!(path, "page.txt");
        buffer[..8].copy_from_slice(b"Welcome\n");
        Ok(8)
    }
}

#[derive(Clone)]
struct Noon;

impl Clock for Noon {
    fn now(&self) -> Option<u64> {
        Some(43_200_000_000_000)
    }
}

fn options() -> Options {
    Options {
        port: 4000,
        title: "Book",
        page: "page.txt",
        order: Order::NewestFirst,
        entry: Entry { kept: 2, longest: 40, forbidden: Some(&["spam"]) },
        guests: Guests { count: 1, time: Some(Duration::from_secs(5)) },
        signatures: None,
        banned: &[],
        copy: None,
        copy_within: None,
        keeper: Some("tulip"),
    }
}

/// Opens a book in a thread that lives until the tests end.
fn open(options: Options) -> SocketAddr {
    let at = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).unwrap();
    let (tell, opened) = channel();
    thread::spawn(move || {
        unik::executor::run(async move {
            let options = Box::leak(Box::new(options));
            let mapping = Mapping { protocol: Protocol::Tcp, port: 4000, host: at };
            let net = HostIp::new("lan", LISTENS, vec![mapping]);
            let result = guestbook::start(&Context::new("book"), options, net, Page, Noon).await;
            tell.send(()).unwrap();
            result
        })
    });
    opened.recv().unwrap();
    at
}

struct Guest(BufReader<TcpStream>);

impl Guest {
    fn come(to: SocketAddr) -> Guest {
        let stream = TcpStream::connect(to).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        Guest(BufReader::new(stream))
    }

    /// The next line; empty at the end.
    fn hear(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        line.trim_end().into()
    }

    fn say(&mut self, text: &str) -> String {
        self.0.get_mut().write_all(format!("{text}\n").as_bytes()).unwrap();
        self.hear()
    }
}

#[test]
fn guests_sign_and_read() {
    let mut guest = Guest::come(open(options()));
    assert_eq!([guest.hear(), guest.hear()], ["Book", "Welcome"]);
    assert_eq!(guest.say("SIGN it was nice"), "OK 1");
    assert_eq!(guest.say("SIGN it was spam"), "NO nobody says spam here");
    assert_eq!(guest.say("SIGN"), "NO an entry says something");
    assert_eq!(guest.say("SING"), "NO it is SIGN, READ or BYE");
    assert_eq!([guest.say("SIGN two"), guest.say("SIGN three")], ["OK 2", "OK 3"]);
    // The oldest of three went.
    assert_eq!([guest.say("READ"), guest.hear(), guest.hear()], ["3 43200 three", "2 43200 two", "."]);
    assert_eq!([guest.say("BYE"), guest.hear()], ["BYE", ""]);
}

#[test]
fn what_is_too_much_is_refused() {
    let at = open(Options { signatures: Some((1, Duration::from_secs(3600))), ..options() });
    let mut guest = Guest::come(at);
    assert_eq!(guest.hear(), "Book");
    // There is room for one: the next waits until the first has left.
    let mut next = Guest::come(at);
    assert_eq!([guest.hear(), guest.say("SIGN once")], ["Welcome", "OK 1"]);
    assert_eq!(guest.say("SIGN twice"), "NO too many guests sign: a little later");
    assert_eq!([guest.say(&"x".repeat(100)), guest.hear()], ["NO the line is too long", ""]);
    drop(guest);
    assert_eq!(next.hear(), "Book");
}

#[test]
fn silence_and_bans_end_a_visit() {
    let guests = Guests { count: 9, time: Some(Duration::from_millis(100)) };
    let mut guest = Guest::come(open(Options { guests, ..options() }));
    assert_eq!([guest.hear(), guest.hear(), guest.hear()], ["Book", "Welcome", ""]);
    static BANNED: &[(Ipv4Addr, u8)] = &[(Ipv4Addr::new(127, 0, 0, 0), 8)];
    let mut guest = Guest::come(open(Options { banned: BANNED, ..options() }));
    let mut line = String::new();
    let heard = guest.0.read_line(&mut line);
    assert!(line.is_empty() && !matches!(heard, Ok(1..)), "{line}");
}

#[test]
fn entries_are_copied() {
    let collector = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut guest = Guest::come(open(Options { copy: collector.local_addr().ok(), ..options() }));
    guest.hear();
    guest.hear();
    assert_eq!(guest.say("SIGN it was nice"), "OK 1");
    let mut copied = String::new();
    BufReader::new(collector.accept().unwrap().0).read_line(&mut copied).unwrap();
    assert_eq!(copied, "it was nice\n");
}
