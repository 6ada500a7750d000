//! Many clients at once: handshakes, and what happens above the limits.

use super::*;

#[test]
fn a_thousand_clients_at_once() {
    block_on(async {
        let mut world = World::new();
        spawn_echo(&world);
        let handles: Vec<_> = (0..1000).map(|_| world.connect(80)).collect();
        world
            .until("all connected", |world| {
                handles.iter().all(|handle| world.sockets.get::<tcp::Socket>(*handle).may_send())
            })
            .await;
        world.until("all accepted", |world| world.flows() == 1000).await;
        // None of them had to try twice.
        assert!(world.now < Instant::START + Duration::from_millis(1900), "{:?}", world.now);
        for handle in &handles {
            world.socket(*handle).send_slice(b"hello").unwrap();
        }
        world
            .until("all echoed", |world| {
                handles.iter().all(|handle| world.sockets.get::<tcp::Socket>(*handle).recv_queue() == 5)
            })
            .await;
        for handle in handles {
            world.socket(handle).close();
        }
        world.until("all closed", |world| world.flows() == 0).await;
        world.assert_clean();
    });
}

#[test]
fn clients_above_the_limit_are_refused_and_none_waits() {
    block_on(async {
        let mut world = World::new();
        spawn_echo(&world);
        // All handshakes begin while there is room for each of them.
        let handles: Vec<_> = (0..1150).map(|_| world.connect(80)).collect();
        let state = |world: &mut World, handle| world.socket(handle).state();
        world
            .until("each has an answer", |world| {
                handles.iter().all(|handle| state(world, *handle) != tcp::State::SynSent)
            })
            .await;
        for handle in &handles {
            // Those that were refused after the handshake don't know it yet.
            let _ = world.socket(*handle).send_slice(b"hello");
        }
        world
            .until("each is served or refused", |world| {
                handles.iter().all(|handle| {
                    let socket = world.socket(*handle);
                    socket.can_recv() || socket.state() == tcp::State::Closed
                })
            })
            .await;
        assert_eq!(handles.iter().filter(|handle| world.socket(**handle).can_recv()).count(), 1100);
        assert_eq!(world.flows(), 1100);
        assert!(world.net.counters().connections_refused >= 50);
        // One more, whose SYN finds no room.
        let late = world.connect(80);
        world.until("refused", |world| state(world, late) == tcp::State::Closed).await;
        for handle in &handles {
            world.socket(*handle).close();
        }
        world.until("all gone", |world| world.flows() == 0).await;
        let late = world.connected(80).await;
        assert!(world.socket(late).may_send());
    });
}

#[test]
fn a_client_above_the_limit_is_served_if_another_goes_soon() {
    block_on(async {
        let mut world = World::new();
        spawn_echo(&world);
        let handles: Vec<_> = (0..1101).map(|_| world.connect(80)).collect();
        world
            .until("all believe in their connection", |world| {
                handles.iter().all(|handle| world.socket(*handle).may_send())
            })
            .await;
        world.steps(5).await;
        assert_eq!((world.flows(), world.shared.borrow().tcp.half_open_count()), (1100, 1));
        // Which of them waits is not known, and it says nothing.
        for handle in &handles[..200] {
            world.socket(*handle).close();
        }
        world.until("the last has its place", |world| world.shared.borrow().tcp.half_open_count() == 0).await;
        assert!(handles[200..].iter().all(|handle| world.socket(*handle).may_send()), "nobody was refused");
    });
}

#[test]
fn a_handshake_whose_last_segment_was_lost_is_finished() {
    block_on(async {
        let mut world = World::new();
        spawn_echo(&world);
        let silent = world.connect(80);
        world.until("it believes in its connection", |world| world.socket(silent).may_send()).await;
        // Its acknowledgement is still on the wire; it won't send another unasked.
        while Frames::receive(&mut world.wire.clone()).is_some() {}
        world.steps(3).await;
        assert_eq!(world.flows(), 0);
        world.until("we do, too", |world| world.flows() == 1).await;
        assert!(world.socket(silent).may_send());
    });
}

#[test]
fn half_open_connections_are_bounded_and_keep_nobody_out() {
    block_on(async {
        let mut world = World::new();
        spawn_echo(&world);
        // One real SYN, to make floods of.
        let handle = world.connect(80);
        world.until("a SYN", |world| world.wire.peek_incoming().is_some_and(|frame| frame.len() > 50)).await;
        let syn = world.wire.peek_incoming().unwrap();
        world.until("connected", |world| world.socket(handle).may_send()).await;
        for number in 0..50_000u32 {
            let source = Ipv4Addr::from(0x0a00_0100 + number);
            world.wire.deliver(rewrite(&syn, source, 1024 + (number % 60_000) as u16));
            if number % 100 == 0 {
                world.shared.borrow_mut().receive(256, world.now);
                world.shared.borrow_mut().send(world.now);
                world.wire.take_sent();
            }
        }
        assert_eq!(world.flows(), 1);
        assert!(world.shared.borrow().tcp.half_open_count() <= 4096);
        assert!(world.net.counters().cookies_sent > 40_000);
        let honest = world.connected(80).await;
        world.socket(honest).send_slice(b"hi").unwrap();
        world.until("echo", |world| world.socket(honest).recv_queue() == 2).await;
        world.now += Duration::from_secs(60);
        world.steps(3).await;
        assert_eq!(world.shared.borrow().tcp.half_open_count(), 0);
    });
}

#[test]
fn undeclared_ports_are_refused() {
    block_on(async {
        let mut world = World::new();
        assert!(matches!(world.net.listen(81), Err(unik::interface::ListenError::NotDeclared)));
        assert!(matches!(world.net.bind(8), Err(unik::interface::BindError::NotDeclared)));
        let handle = world.connect(81);
        world.until("refused", |world| world.socket(handle).state() == tcp::State::Closed).await;
        assert_eq!(world.net.counters().tcp_refused, 1);
    });
}
