//! Names, asked of a server on the link.

use alloc::rc::Rc;
use core::cell::Cell;
use core::net::IpAddr;

use unik::interface::{Family, ResolveError, Resolver};

use super::*;

static ASKS: Options = Options { resolver: Some(&[IpAddr::V4(THEIRS)]), ..PLAIN };

/// The answer to a question over UDP: one address, or `cut`: none, and that there are more.
fn answer(question: &[u8], cut: bool) -> Vec<u8> {
    // Without the eleven bytes of EDNS.
    let mut answer = question[..question.len() - 11].to_vec();
    answer[2..4].copy_from_slice(if cut { &[0x83, 0x80] } else { &[0x81, 0x80] });
    answer[7] = u8::from(!cut);
    answer[11] = 0;
    if !cut {
        answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 198, 51, 100, 1]);
    }
    answer
}

#[test]
fn a_name_is_asked_for_over_udp_and_over_tcp() {
    block_on(async {
        let mut world = World::with(&ASKS, Some(Addressing { address: OURS, prefix: 24, gateway: None }));
        let buffer = || udp::PacketBuffer::new(vec![udp::PacketMetadata::EMPTY; 64], vec![0; 65536]);
        let mut server = udp::Socket::new(buffer(), buffer());
        server.bind(53).unwrap();
        let server = world.sockets.add(server);
        let buffer = || tcp::SocketBuffer::new(vec![0; 4096]);
        let mut listener = tcp::Socket::new(buffer(), buffer());
        listener.listen(53).unwrap();
        let listener = world.sockets.add(listener);
        let found = Rc::new(Cell::new(0));
        for (name, cut) in [("www.example.org", false), ("long.example.org", true)] {
            let (net, done) = (world.net.clone(), found.clone());
            spawn_background("asks", async move {
                let addresses = net.lookup(name, Family::V4).await;
                assert_eq!(addresses, Ok(vec![Ipv4Addr::new(198, 51, 100, 1).into()]), "{name}");
                done.set(done.get() + 1);
            });
            let before = found.get();
            world
                .until("found", |world| {
                    let server = world.sockets.get_mut::<udp::Socket>(server);
                    if let Ok((question, from)) = server.recv() {
                        let reply = answer(question, cut);
                        server.send_slice(&reply, from.endpoint).unwrap();
                    }
                    let listener = world.sockets.get_mut::<tcp::Socket>(listener);
                    let question = listener.recv(|data| {
                        let whole = data.len() > 2 && data.len() == 2 + usize::from(data[1]);
                        if whole { (data.len(), Some(data[2..].to_vec())) } else { (0, None) }
                    });
                    if let Ok(Some(question)) = question {
                        let reply = answer(&question, false);
                        listener.send_slice(&[&[0, reply.len() as u8], &reply[..]].concat()).unwrap();
                    }
                    found.get() > before
                })
                .await;
        }
        let counters = world.net.name_counters();
        assert_eq!((counters.questions, counters.cut, counters.strangers), (3, 1, 0));
        assert_eq!(world.shared.borrow_mut().udp.count(), 0, "ports are given back");
    });
}

#[test]
fn without_a_server_nobody_is_asked() {
    block_on(async {
        let world = World::new();
        assert_eq!(world.net.lookup("example.org", Family::Any).await, Err(ResolveError::NoServer));
        assert_eq!(world.net.lookup("10.0.0.9", Family::Any).await.unwrap().len(), 1);
    });
}
