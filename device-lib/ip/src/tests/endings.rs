//! How connections end, and that they leave nothing.

use super::*;

/// How a connection ends.
#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    ClientFirst,
    ServerFirst,
    Both,
    ClientResets,
    ServerResets,
    ServerDrops,
}

const ENDS: [End; 6] =
    [End::ClientFirst, End::ServerFirst, End::Both, End::ClientResets, End::ServerResets, End::ServerDrops];

type Accepted = Rc<RefCell<Vec<crate::Stream<Wire, Counter>>>>;

/// Accepts connections and keeps them.
fn spawn_accept(world: &World) -> Accepted {
    let mut listener = world.net.listen(80).unwrap();
    let accepted = Accepted::default();
    let place = accepted.clone();
    spawn_background("accept", async move {
        loop {
            let stream = listener.accept().await;
            place.borrow_mut().push(stream);
        }
    });
    accepted
}

/// One connection from its beginning to its `end`.
async fn one_connection(world: &mut World, accepted: &Accepted, end: End) {
    let handle = world.connect(80);
    world.until("accepted", |_| !accepted.borrow().is_empty()).await;
    let mut stream = accepted.borrow_mut().pop().unwrap();
    assert_eq!(stream.peer().ip(), THEIRS);
    let finished = Rc::new(RefCell::new(false));
    let flag = finished.clone();
    spawn_background("one", async move {
        let mut buffer = [0; 16];
        match end {
            End::ClientFirst => {
                assert_eq!(stream.read(&mut buffer).await, Ok(0));
                stream.close().await.unwrap();
            }
            End::ServerFirst => {
                stream.write_all(b"bye").await.unwrap();
                stream.close().await.unwrap();
                assert_eq!(stream.read(&mut buffer).await, Ok(0));
            }
            End::Both => {
                stream.close().await.unwrap();
                assert_eq!(stream.read(&mut buffer).await, Ok(0));
            }
            End::ClientResets => {
                assert_eq!(stream.read(&mut buffer).await, Err(unik::interface::StreamError::Reset));
            }
            End::ServerResets => stream.abort(),
            End::ServerDrops => {}
        }
        drop(stream);
        *flag.borrow_mut() = true;
    });
    match end {
        End::ClientFirst | End::Both => world.socket(handle).close(),
        End::ClientResets => world.socket(handle).abort(),
        _ => {}
    }
    world
        .until("the connection is over", |world| {
            let socket = world.socket(handle);
            if end == End::ServerFirst && socket.state() == tcp::State::CloseWait {
                socket.recv(|bytes| (bytes.len(), ())).unwrap();
                socket.close();
            }
            *finished.borrow()
                && world.flows() == 0
                && matches!(world.socket(handle).state(), tcp::State::Closed | tcp::State::TimeWait)
        })
        .await;
    world.sockets.remove(handle);
    world.assert_clean();
}

#[test]
fn connections_end_in_every_way_and_leave_nothing() {
    block_on(async {
        for stamped in [false, true] {
            let mut world = World { stamped, ..World::new() };
            let accepted = spawn_accept(&world);
            for _ in 0..3 {
                for end in ENDS {
                    one_connection(&mut world, &accepted, end).await;
                }
            }
        }
    });
}

#[test]
fn the_65536th_connection_works_as_the_first() {
    block_on(async {
        let mut world = World::new();
        let accepted = spawn_accept(&world);
        // More than there are ports: they are used again while we remember them.
        for number in 0..66_000usize {
            one_connection(&mut world, &accepted, ENDS[number % 2]).await;
        }
        assert_eq!(world.net.counters().connections_refused, 0);
        assert_eq!(world.net.counters().tcp_refused, 0);
    });
}

#[test]
fn a_port_is_used_again_while_its_connection_is_in_time_wait() {
    block_on(async {
        let mut world = World::new();
        let accepted = spawn_accept(&world);
        world.next_port = 5000;
        one_connection(&mut world, &accepted, End::ServerFirst).await;
        assert_eq!(world.shared.borrow().tcp.time_wait_count(), 1);
        let first = world.now;
        for _ in 0..20 {
            world.next_port = 5000;
            one_connection(&mut world, &accepted, End::ServerFirst).await;
        }
        // A client whose numbers go back is told so, resets, and tries again: slow, but it works.
        assert!(world.now.since(first) < Duration::from_secs(60));
    });
}

#[test]
fn a_reset_and_a_new_connection_may_come_together() {
    block_on(async {
        let mut world = World::new();
        spawn_echo(&world);
        let first = world.connected(80).await;
        world.until("accepted", |world| world.flows() == 1).await;
        world.socket(first).abort();
        world.next_port -= 1;
        let second = world.connect(80);
        // Nothing passes between the reset and the SYN.
        world.until("connected", |world| world.socket(second).may_send()).await;
        assert_eq!(world.net.counters().tcp_refused, 0);
        assert!(world.now < Instant::START + Duration::from_millis(1900));
    });
}

#[test]
fn a_silent_peer_is_given_up() {
    block_on(async {
        let mut world = World::new();
        spawn_echo(&world);
        let handle = world.connected(80).await;
        world.until("accepted", |world| world.flows() == 1).await;
        // The client vanishes without a word.
        world.sockets.remove(handle);
        world.wire.take_sent();
        let mut quiet = World::new();
        core::mem::swap(&mut quiet.sockets, &mut world.sockets);
        for _ in 0..400 {
            world.now += Duration::from_secs(1);
            world.shared.borrow_mut().send(world.now);
            world.wire.take_sent();
            yield_now().await;
        }
        assert_eq!(world.flows(), 0);
        world.assert_clean();
    });
}
