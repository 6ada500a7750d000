//! What every provider of `Resolver` promises, and the name server that it asks meanwhile.

use std::cell::RefCell;
use std::future::poll_fn;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use embedded_io_async::{Read, Write};
use unik::executor::spawn;
use unik::interface::{Family, ResolveError, Resolver, Tcp, TcpListener, TcpStream, Udp, UdpSocket};
use unik::time::{Duration, sleep, timeout};

use crate::{NEVER, within};

/// Where the server listens, over UDP and TCP.
pub const NAMES: u16 = 53;
/// Longer than "about a quarter of a minute".
const BOUND: Duration = Duration::from_secs(25);
/// Of `many.test`: more than a datagram holds.
const MANY: u8 = 100;

const FOUR: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 7);
const SIX: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 7);

/// Types of records, and codes of answers (RFC 1035, sections 3.2.2 and 4.1.1; RFC 3596).
const A: u16 = 1;
const CNAME: u16 = 5;
const AAAA: u16 = 28;
const SERVER_FAILURE: u8 = 2;
const NO_SUCH_NAME: u8 = 3;
const REFUSED: u8 = 5;

/// The names that were asked for, in small letters, once for each question.
type Asked = Rc<RefCell<Vec<String>>>;

/// Holds `network`, which asks [`NAMES`] of `server`, to all promises.
///
/// # Panics
/// At the first that it doesn't keep.
pub async fn hold<S: Udp + Tcp, R: Resolver>(server: &S, network: &R) {
    let asked = serve(server);
    let silence = silence(network);
    what_needs_no_server(network, &asked).await;
    found(network).await;
    not_found(network).await;
    one_question_for_all(network, &asked).await;
    who_drops_a_lookup_loses_nothing(network, &asked).await;
    within(silence).await;
}

async fn lookup<R: Resolver>(network: &R, name: &str, family: Family) -> Result<Vec<IpAddr>, ResolveError> {
    within(network.lookup(name, family)).await
}

async fn what_needs_no_server<R: Resolver>(network: &R, asked: &Asked) {
    for (name, address) in [("192.0.2.1", "192.0.2.1"), ("2001:db8::1", "2001:db8::1")] {
        let expected: IpAddr = address.parse().expect("an address");
        let family = if expected.is_ipv4() { Family::V4 } else { Family::V6 };
        assert_eq!(lookup(network, name, family).await, Ok(vec![expected]), "{name}");
    }
    let loopback = lookup(network, "localhost", Family::V4).await.expect("this host");
    assert!(!loopback.is_empty() && loopback.iter().all(IpAddr::is_loopback), "{loopback:?}");
    let long = format!("{}.test", "a".repeat(64));
    let longer = "a.".repeat(128);
    for name in ["", ".", "a..test", ".test", "a b.test", "a/b.test", "ä.test", &long, &longer] {
        assert_eq!(lookup(network, name, Family::Any).await, Err(ResolveError::BadName), "`{name}`");
    }
    assert_eq!(*asked.borrow(), [""; 0]);
}

async fn found<R: Resolver>(network: &R) {
    for name in ["www.test", "WWW.Test", "www.test.", "alias.test", "alias-of-alias.test"] {
        assert_eq!(lookup(network, name, Family::V4).await, Ok(vec![FOUR.into()]), "{name}");
        assert_eq!(lookup(network, name, Family::V6).await, Ok(vec![SIX.into()]), "{name}");
        // Of the families that the network has, IPv6 before IPv4.
        let any = lookup(network, name, Family::Any).await.expect("addresses");
        assert!(any == [IpAddr::from(FOUR)] || any == [IpAddr::from(SIX), FOUR.into()], "{name}: {any:?}");
    }
    let many = lookup(network, "many.test", Family::V4).await.expect("addresses");
    assert!((1..=32).contains(&many.len()), "{} addresses", many.len());
    assert!(many.iter().enumerate().all(|(at, found)| *found == address_of_many(at as u8 + 1)), "{many:?}");
}

async fn not_found<R: Resolver>(network: &R) {
    use ResolveError::{Failed, NoName, Refused};
    for (name, family, error) in [
        ("none.test", Family::Any, NoName),
        ("four.test", Family::V6, NoName),
        ("refused.test", Family::V4, Refused),
        ("failure.test", Family::V4, Failed),
        // Its alias has no address.
        ("broken.test", Family::V4, NoName),
    ] {
        assert_eq!(lookup(network, name, family).await, Err(error), "{name}");
    }
}

async fn one_question_for_all<R: Resolver>(network: &R, asked: &Asked) {
    let done = Rc::new(RefCell::new(Vec::new()));
    for _ in 0..8 {
        let (network, done) = (network.clone(), Rc::clone(&done));
        spawn("lookup", async move {
            let answer = lookup(&network, "shared.test", Family::V4).await;
            done.borrow_mut().push(answer);
        });
    }
    within(async {
        while done.borrow().len() < 8 {
            sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
    assert!(done.borrow().iter().all(|answer| *answer == Ok(vec![FOUR.into()])), "{done:?}");
    assert_eq!(times(asked, "shared.test"), 1);
}

async fn who_drops_a_lookup_loses_nothing<R: Resolver>(network: &R, asked: &Asked) {
    {
        let mut dropped = pin!(network.lookup("dropped.test", Family::V4));
        // Polled once: it is on its way.
        poll_fn(|cx| {
            assert!(dropped.as_mut().poll(cx).is_pending());
            Poll::Ready(())
        })
        .await;
    }
    within(async {
        while times(asked, "dropped.test") == 0 {
            sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
    sleep(NEVER).await;
    assert_eq!(lookup(network, "dropped.test", Family::V4).await, Ok(vec![FOUR.into()]));
    assert_eq!(times(asked, "dropped.test"), 1, "what was learnt is known");
}

/// A server that says nothing of one name is waited for, but not for ever. Begun at once, since it takes
/// its time.
fn silence<R: Resolver>(network: &R) -> impl Future<Output = ()> + use<R> {
    let (answer, network) = (Rc::new(RefCell::new(None)), network.clone());
    let theirs = Rc::clone(&answer);
    spawn("silence", async move {
        *theirs.borrow_mut() = Some(timeout(BOUND, network.lookup("silent.test", Family::V4)).await);
    });
    async move {
        while answer.borrow().is_none() {
            sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(answer.take(), Some(Ok(Err(ResolveError::TimedOut))));
    }
}

fn times(asked: &Asked, name: &str) -> usize {
    asked.borrow().iter().filter(|other| *other == name).count()
}

fn address_of_many(last: u8) -> IpAddr {
    Ipv4Addr::new(203, 0, 113, last).into()
}

/// Starts a name server for `test`; what it is asked.
fn serve<S: Udp + Tcp>(server: &S) -> Asked {
    let asked = Asked::default();
    let mut socket = server.bind(NAMES).expect("a port");
    let mut listener = server.listen(NAMES).expect("a port");
    let datagrams = Rc::clone(&asked);
    spawn("name server", async move {
        let mut buffer = [0; 1500];
        loop {
            let (length, from) = socket.receive(&mut buffer).await;
            if let Some(answer) = answer(&buffer[..length], 512, &datagrams) {
                socket.send(&answer, from).await.expect("a way back");
            }
        }
    });
    let streams = Rc::clone(&asked);
    spawn("name server", async move {
        loop {
            let mut stream = listener.accept().await;
            let (mut length, mut question) = ([0; 2], [0; 1500]);
            within(stream.read_exact(&mut length)).await.expect("a length (RFC 1035, section 4.2.2)");
            let question = &mut question[..usize::from(u16::from_be_bytes(length))];
            within(stream.read_exact(question)).await.expect("a question");
            let answer = answer(question, usize::from(u16::MAX), &streams).expect("not silence");
            let length = (answer.len() as u16).to_be_bytes();
            within(stream.write_all(&[&length[..], &answer].concat())).await.expect("who asked");
            // However it ends: who asked has its answer.
            let _ = stream.finish(NEVER, 0).await;
        }
    });
    asked
}

/// The answer to `message` in `room` bytes; `None` is silence.
fn answer(message: &[u8], room: usize, asked: &Asked) -> Option<Vec<u8>> {
    let (name, end) = name_at_12(message);
    let kind = u16::from_be_bytes([message[end], message[end + 1]]);
    let question = &message[12..end + 4];
    asked.borrow_mut().push(name.clone());
    let pointer = [0xc0, 12];
    let four = |name: &[u8]| record(name, A, &FOUR.octets());
    let of_kind = |name: &[u8]| match kind {
        A => vec![four(name)],
        AAAA => vec![record(name, AAAA, &SIX.octets())],
        _ => Vec::new(),
    };
    let alias = |of: &str, to: &str| record(&encoded(of), CNAME, &encoded(to));
    let (code, records) = match name.as_str() {
        "www.test" | "shared.test" | "dropped.test" => (0, of_kind(&pointer)),
        "alias.test" => (0, [vec![alias(&name, "www.test")], of_kind(&encoded("www.test"))].concat()),
        "alias-of-alias.test" => {
            let aliases = vec![alias(&name, "alias.test"), alias("alias.test", "www.test")];
            (0, [aliases, of_kind(&encoded("www.test"))].concat())
        }
        "broken.test" => (NO_SUCH_NAME, vec![alias(&name, "none.test")]),
        "many.test" if kind == A => {
            let address = |last: u8| record(&pointer, A, &[203, 0, 113, last]);
            (0, (1..=MANY).map(address).collect())
        }
        "four.test" | "many.test" => (0, if kind == A { vec![four(&pointer)] } else { Vec::new() }),
        "refused.test" => (REFUSED, Vec::new()),
        "failure.test" => (SERVER_FAILURE, Vec::new()),
        "silent.test" => return None,
        _ => (NO_SUCH_NAME, Vec::new()),
    };
    let fits = 12 + question.len() + records.iter().map(Vec::len).sum::<usize>() <= room;
    let records = if fits { records } else { Vec::new() };
    // An answer, recursive as asked for; or one that is cut off.
    let flags = [if fits { 0x81 } else { 0x83 }, 0x80 | code];
    let mut answer = [&message[..2], &flags, &[0, 1], &(records.len() as u16).to_be_bytes()].concat();
    answer.extend([0; 4]);
    answer.extend(question);
    answer.extend(records.concat());
    Some(answer)
}

/// The name of a question, in small letters, and where it ends.
fn name_at_12(message: &[u8]) -> (String, usize) {
    let (mut labels, mut at) = (Vec::new(), 12);
    while message[at] != 0 {
        let end = at + 1 + usize::from(message[at]);
        labels.push(String::from_utf8_lossy(&message[at + 1..end]).to_ascii_lowercase());
        at = end;
    }
    (labels.join("."), at + 1)
}

fn encoded(name: &str) -> Vec<u8> {
    let mut encoded = Vec::new();
    for label in name.split('.') {
        encoded.push(label.len() as u8);
        encoded.extend(label.bytes());
    }
    encoded.push(0);
    encoded
}

/// One that is good for an hour, of class IN.
fn record(name: &[u8], kind: u16, data: &[u8]) -> Vec<u8> {
    let length = (data.len() as u16).to_be_bytes();
    [name, &kind.to_be_bytes(), &[0, 1], &3600_u32.to_be_bytes(), &length, data].concat()
}
