//! Lookups against servers that answer well, badly, late, or not at all.

use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::future::poll_fn;
use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::task::Poll;
use std::collections::VecDeque;

use unik::executor::block_on;
use unik::interface::{BindError, Family, ResolveError, SendError, UdpSocket};
use unik::sync::Notify;
use unik::time::{Duration, sleep};

use crate::ask::Patience;
use crate::message::tests::{ASKED, FINE, MISSING, answer, record, soa};
use crate::{Client, Network, PORT};

const ONE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 53)), PORT);
const OTHER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 54)), PORT);
const FOUND: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 1));

const SHORT: Patience = Patience {
    first: Duration::from_millis(20),
    all: Duration::from_millis(600),
    other: Duration::from_millis(20),
};

/// A datagram, and from or to where it goes.
type Datagram = (SocketAddr, Vec<u8>);
/// What servers say to a question.
type Script = dyn FnMut(SocketAddr, &[u8]) -> Vec<Datagram>;

/// A network whose servers are a function.
#[derive(Clone)]
struct Net {
    script: Rc<RefCell<Script>>,
    random: Rc<Cell<u64>>,
    asked: Rc<RefCell<Vec<Datagram>>>,
    tcp: Rc<Cell<bool>>,
    six: Rc<Cell<bool>>,
    ports: Rc<Cell<usize>>,
}

impl Net {
    fn new(script: impl FnMut(SocketAddr, &[u8]) -> Vec<(SocketAddr, Vec<u8>)> + 'static) -> Net {
        Net {
            script: Rc::new(RefCell::new(script)),
            random: Rc::new(Cell::new(1)),
            asked: Rc::default(),
            tcp: Rc::default(),
            six: Rc::default(),
            ports: Rc::default(),
        }
    }

    fn asked(&self) -> usize {
        self.asked.borrow().len()
    }
}

struct Port {
    net: Net,
    queue: Rc<RefCell<VecDeque<Datagram>>>,
    come: Rc<Notify>,
}

impl Drop for Port {
    fn drop(&mut self) {
        self.net.ports.set(self.net.ports.get() - 1);
    }
}

impl UdpSocket for Port {
    async fn receive(&mut self, buffer: &mut [u8]) -> (usize, SocketAddr) {
        loop {
            let come = self.come.notified();
            if let Some((from, data)) = self.queue.borrow_mut().pop_front() {
                let length = data.len().min(buffer.len());
                buffer[..length].copy_from_slice(&data[..length]);
                return (length, from);
            }
            come.await;
        }
    }

    async fn send(&mut self, data: &[u8], to: SocketAddr) -> Result<(), SendError> {
        self.net.asked.borrow_mut().push((to, data.to_vec()));
        self.queue.borrow_mut().extend((self.net.script.borrow_mut())(to, data));
        self.come.notify();
        Ok(())
    }
}

impl Network for Net {
    type Socket = Port;

    fn bind(&self) -> Result<Port, BindError> {
        self.ports.set(self.ports.get() + 1);
        Ok(Port { net: self.clone(), queue: Rc::default(), come: Rc::default() })
    }

    fn random(&self) -> Option<u64> {
        let next = self.random.get().wrapping_mul(6_364_136_223_846_793_005).wrapping_add(99);
        self.random.set(next);
        Some(next.rotate_left(32))
    }

    fn has_ipv6(&self) -> bool {
        self.six.get()
    }

    async fn ask_over_tcp(&self, _server: SocketAddr, question: &[u8]) -> Option<Vec<u8>> {
        self.tcp.get().then(|| good(question))
    }
}

fn good(question: &[u8]) -> Vec<u8> {
    answer(question, FINE, &[record(ASKED, 1, 60, &[198, 51, 100, 1])], &[])
}

fn client(servers: &[SocketAddr]) -> Client {
    let client = Client::with("lan", SHORT);
    client.set_servers(servers.iter().copied());
    client
}

fn lookup(client: &Client, net: &Net, name: &str) -> Result<Vec<IpAddr>, ResolveError> {
    block_on(client.lookup(net, name, Family::Any))
}

#[test]
fn what_needs_no_server() {
    let (client, net) = (client(&[]), Net::new(|_, _| panic!("nobody is to be asked")));
    let of = |name: &str, family| block_on(client.lookup(&net, name, family));
    assert_eq!(of("192.0.2.7", Family::Any), Ok(std::vec!["192.0.2.7".parse().unwrap()]));
    assert_eq!(of("fd00::7", Family::V6), Ok(std::vec!["fd00::7".parse().unwrap()]));
    assert_eq!(of("fd00::7", Family::V4), Err(ResolveError::NoName));
    assert_eq!(of("Localhost.", Family::V4), Ok(std::vec!["127.0.0.1".parse().unwrap()]));
    assert_eq!(of("x.invalid", Family::Any), Err(ResolveError::NoName));
    assert_eq!(of("a..b", Family::Any), Err(ResolveError::BadName));
    assert_eq!(of("example.org", Family::Any), Err(ResolveError::NoServer));
}

#[test]
fn an_answer_is_remembered_for_as_long_as_it_is_good() {
    let net = Net::new(|to, question| std::vec![(to, good(question))]);
    let client = client(&[ONE]);
    for _ in 0..3 {
        assert_eq!(lookup(&client, &net, "www.Example.org"), Ok(std::vec![FOUND]));
    }
    assert_eq!(net.asked(), 1);
    let counters = client.counters();
    assert_eq!((counters.lookups, counters.known, counters.questions), (3, 2, 1));
    assert_eq!(net.ports.get(), 0, "the port is given back");
    // The same servers again change nothing, others do.
    client.set_servers([ONE]);
    lookup(&client, &net, "www.example.org").unwrap();
    client.set_servers([OTHER]);
    lookup(&client, &net, "www.example.org").unwrap();
    assert_eq!(net.asked(), 2);
}

#[test]
fn that_there_is_nothing_is_remembered_too() {
    let net = Net::new(|to, question| std::vec![(to, answer(question, MISSING, &[], &[soa(60)]))]);
    let client = client(&[ONE]);
    for _ in 0..2 {
        assert_eq!(lookup(&client, &net, "no.example.org"), Err(ResolveError::NoName));
    }
    assert_eq!(net.asked(), 1);
}

#[test]
fn those_who_ask_for_the_same_wait_for_one_answer() {
    let net = Net::new(|to, question| std::vec![(to, good(question))]);
    let client = client(&[ONE]);
    let found = Rc::new(Cell::new(0));
    block_on(async {
        for _ in 0..5 {
            let (client, net, found) = (client.clone(), net.clone(), found.clone());
            unik::executor::spawn("test", async move {
                client.lookup(&net, "www.example.org", Family::V4).await.unwrap();
                found.set(found.get() + 1);
            });
        }
        while found.get() < 5 {
            sleep(Duration::from_millis(1)).await;
        }
    });
    assert_eq!((net.asked(), client.counters().joined), (1, 4));
}

#[test]
fn many_names_at_one_time_wait_for_their_turn() {
    let net = Net::new(|to, question| std::vec![(to, good(question))]);
    let client = client(&[ONE]);
    let (found, most) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
    block_on(async {
        for number in 0..100 {
            let (client, net, found, most) = (client.clone(), net.clone(), found.clone(), most.clone());
            unik::executor::spawn("test", async move {
                client.lookup(&net, &std::format!("n{number}.org"), Family::V4).await.unwrap();
                most.set(most.get().max(net.ports.get()));
                found.set(found.get() + 1);
            });
        }
        while found.get() < 100 {
            sleep(Duration::from_millis(1)).await;
        }
    });
    assert!(most.get() <= 32, "{}", most.get());
}

#[test]
fn who_is_not_waited_for_any_longer_still_learns() {
    let net = Net::new(|to, question| std::vec![(to, good(question))]);
    let client = client(&[ONE]);
    block_on(async {
        {
            // Polled once, and dropped.
            let mut lookup = core::pin::pin!(client.lookup(&net, "www.example.org", Family::V4));
            poll_fn(|cx| {
                assert!(lookup.as_mut().poll(cx).is_pending());
                Poll::Ready(())
            })
            .await;
        }
        sleep(Duration::from_millis(5)).await;
        assert_eq!(client.lookup(&net, "www.example.org", Family::V4).await, Ok(std::vec![FOUND]));
    });
    assert_eq!((net.asked(), client.counters().known), (1, 1));
}

#[test]
fn a_silent_server_gives_way_to_the_next_one() {
    let net = Net::new(|to, question| match to {
        OTHER => std::vec![(to, good(question))],
        _ => Vec::new(),
    });
    let client = client(&[ONE, OTHER]);
    assert_eq!(lookup(&client, &net, "a.org"), Ok(std::vec![FOUND]));
    assert_eq!((net.asked(), client.counters().unanswered), (2, 1));
    // From then on the one that answers goes first.
    assert_eq!(lookup(&client, &net, "b.org"), Ok(std::vec![FOUND]));
    assert_eq!(net.asked(), 3);
}

#[test]
fn a_lost_question_is_put_again_from_another_port_with_another_number() {
    let mut count = 0;
    let net = Net::new(move |to, question| {
        count += 1;
        if count < 3 { Vec::new() } else { std::vec![(to, good(question))] }
    });
    let client = client(&[ONE]);
    assert_eq!(lookup(&client, &net, "a.org"), Ok(std::vec![FOUND]));
    let asked = net.asked.borrow();
    assert_eq!(asked.len(), 3);
    assert!(asked[0].1[..2] != asked[1].1[..2] && asked[1].1[..2] != asked[2].1[..2]);
}

#[test]
fn nobody_answers() {
    let net = Net::new(|_, _| Vec::new());
    let client = client(&[ONE, OTHER]);
    let began = unik::time::now();
    assert_eq!(lookup(&client, &net, "a.org"), Err(ResolveError::TimedOut));
    assert_eq!(net.asked(), 6);
    assert!(began.elapsed() >= Duration::from_millis(2 * (20 + 40 + 80)));
    assert!(began.elapsed() < SHORT.all + Duration::from_millis(200));
}

#[test]
fn servers_that_say_no() {
    for (code, error) in [(5, ResolveError::Refused), (2, ResolveError::Failed)] {
        let net =
            Net::new(move |to, question| std::vec![(to, answer(question, [0x81, 0x80 | code], &[], &[]))]);
        let client = client(&[ONE, OTHER]);
        assert_eq!(lookup(&client, &net, "a.org"), Err(error));
        // Each once, and not again within a second.
        assert_eq!(lookup(&client, &net, "a.org"), Err(error));
        assert_eq!(net.asked(), 2);
    }
    // What one can't do, another may.
    let net = Net::new(|to, question| match to {
        OTHER => std::vec![(to, good(question))],
        _ => std::vec![(to, answer(question, [0x81, 0x82], &[], &[]))],
    });
    assert_eq!(lookup(&client(&[ONE, OTHER]), &net, "a.org"), Ok(std::vec![FOUND]));
}

#[test]
fn answers_of_strangers_are_dropped() {
    let net = Net::new(|to, question| {
        let forged = |flip: usize| {
            let mut forged = answer(question, FINE, &[record(ASKED, 1, 60, &[203, 0, 113, 1])], &[]);
            forged[flip] ^= 1;
            forged
        };
        let mut elsewhere = to;
        elsewhere.set_port(5353);
        std::vec![
            (OTHER, forged(3)),
            (elsewhere, forged(3)),
            (to, forged(0)),
            (to, forged(13)),
            (to, Vec::new()),
            (to, good(question)),
        ]
    });
    let client = client(&[ONE]);
    assert_eq!(lookup(&client, &net, "www.example.org"), Ok(std::vec![FOUND]));
    assert_eq!(client.counters().strangers, 5);
}

#[test]
fn who_guesses_has_to_begin_anew() {
    let mut count = 0;
    let net = Net::new(move |to, question| {
        count += 1;
        let mut wrong = good(question);
        wrong[0] ^= 1;
        let mut all = std::vec![(to, wrong); if count == 1 { 40 } else { 3 }];
        all.push((to, good(question)));
        all
    });
    let client = client(&[ONE]);
    assert_eq!(lookup(&client, &net, "www.example.org"), Ok(std::vec![FOUND]));
    let counters = client.counters();
    assert_eq!((counters.guessed, counters.strangers, counters.questions), (1, 35, 2));
}

#[test]
fn a_server_that_changes_the_case_is_asked_otherwise() {
    let net = Net::new(|to, question| {
        let mut lower = good(question);
        lower[13..].make_ascii_lowercase();
        std::vec![(to, lower)]
    });
    let client = client(&[ONE]);
    assert_eq!(lookup(&client, &net, "www.example-with-letters.org"), Ok(std::vec![FOUND]));
    assert_eq!(lookup(&client, &net, "www.another-with-letters.org"), Ok(std::vec![FOUND]));
    assert_eq!(net.asked(), 3);
}

#[test]
fn a_server_of_old_is_asked_without_edns() {
    let net = Net::new(|to, question| match question[11] {
        1 => std::vec![(to, answer(question, [0x81, 0x81], &[], &[]))],
        _ => std::vec![(to, good(question))],
    });
    let client = client(&[ONE]);
    assert_eq!(lookup(&client, &net, "a.org"), Ok(std::vec![FOUND]));
    assert_eq!(lookup(&client, &net, "b.org"), Ok(std::vec![FOUND]));
    assert_eq!(net.asked(), 3);
}

#[test]
fn what_is_too_long_for_a_datagram_goes_over_tcp() {
    let net = Net::new(|to, question| {
        std::vec![(to, answer(question, [0x83, 0x80], &[record(ASKED, 1, 60, &[203, 0, 113, 1])], &[]))]
    });
    net.tcp.set(true);
    assert_eq!(lookup(&client(&[ONE]), &net, "a.org"), Ok(std::vec![FOUND]));
    // Without TCP what there is must do, but isn't kept.
    net.tcp.set(false);
    let client = client(&[ONE]);
    for _ in 0..2 {
        assert_eq!(lookup(&client, &net, "a.org"), Ok(std::vec!["203.0.113.1".parse().unwrap()]));
    }
    assert_eq!((client.counters().cut, client.counters().known), (2, 0));
}

#[test]
fn an_alias_leads_to_another_question() {
    let net = Net::new(|to, question| match question[12] {
        1 => std::vec![(to, answer(question, FINE, &[record(ASKED, 5, 60, b"\x02bb\0")], &[]))],
        _ => std::vec![(to, good(question))],
    });
    assert_eq!(lookup(&client(&[ONE]), &net, "a"), Ok(std::vec![FOUND]));
    assert_eq!(net.asked(), 2);
}

#[test]
fn aliases_without_end_are_an_error() {
    let mut count = 0u8;
    let net = Net::new(move |to, question| {
        count += 1;
        let next = [1, b'a' + count, 0];
        std::vec![(to, answer(question, FINE, &[record(ASKED, 5, 60, &next)], &[]))]
    });
    assert_eq!(lookup(&client(&[ONE]), &net, "z"), Err(ResolveError::Malformed));
    assert_eq!(net.asked(), 8);
}

#[test]
fn both_families() {
    let six: IpAddr = "fd00::1".parse().unwrap();
    let of = |with_six: u8| {
        let net = Net::new(move |to, question| match (question[question.len() - 14], with_six) {
            (1, _) => std::vec![(to, good(question))],
            (_, 0) => std::vec![(to, answer(question, FINE, &[], &[soa(60)]))],
            (_, 1) => Vec::new(),
            _ => {
                let data = [0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
                std::vec![(to, answer(question, FINE, &[record(ASKED, 28, 60, &data)], &[]))]
            }
        });
        net.six.set(true);
        lookup(&client(&[ONE]), &net, "a.org")
    };
    assert_eq!(of(0), Ok(std::vec![FOUND]));
    // The server never answers for IPv6: what there is comes after a moment.
    let began = unik::time::now();
    assert_eq!(of(1), Ok(std::vec![FOUND]));
    assert!(began.elapsed() < Duration::from_millis(200), "{:?}", began.elapsed());
    assert_eq!(of(2), Ok(std::vec![six, FOUND]));
}

#[test]
fn nonsense_is_an_error_of_its_own() {
    let net = Net::new(|to, question| {
        std::vec![(to, answer(question, FINE, &[record(ASKED, 1, 60, &[1, 2, 3])], &[]))]
    });
    let client = client(&[ONE]);
    assert_eq!(lookup(&client, &net, "a.org"), Err(ResolveError::Malformed));
    assert_eq!(client.counters().malformed, 1);
}
