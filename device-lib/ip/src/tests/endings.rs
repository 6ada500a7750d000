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

/// The next frame of the client's with data, a SYN or a FIN, which doesn't arrive.
async fn withheld(world: &mut World) -> Vec<u8> {
    for _ in 0..100 {
        if let Some(frame) = Frames::receive(&mut world.wire)
            && (frame[47] & 3 != 0 || frame.len() > 54)
        {
            return frame;
        }
        world.step().await;
    }
    panic!("the client said nothing");
}

/// `frame`, an IPv4 frame with TCP without options, so many bytes on and with other data.
fn onwards(frame: &[u8], by: u32, flags: u8, data: &[u8]) -> Vec<u8> {
    let mut frame = [&frame[..54], data].concat();
    let length = (frame.len() - 14) as u16;
    frame[16..18].copy_from_slice(&length.to_be_bytes());
    let sequence = u32::from_be_bytes([frame[38], frame[39], frame[40], frame[41]]).wrapping_add(by);
    frame[38..42].copy_from_slice(&sequence.to_be_bytes());
    (frame[46], frame[47]) = (0x50, flags);
    let port = u16::from_be_bytes([frame[34], frame[35]]);
    rewrite(&frame, THEIRS, port)
}

#[test]
fn a_peer_that_begins_anew_is_asked_and_its_reset_believed() {
    block_on(async {
        let mut world = World::new();
        spawn_echo(&world);
        let handle = world.connected(80).await;
        world.socket(handle).send_slice(b"x").unwrap();
        let data = withheld(&mut world).await;
        world.wire.deliver(data.clone());
        world.until("echo", |world| world.socket(handle).can_recv()).await;
        // It forgets everything.
        world.sockets.remove(handle);
        world.wire.take_sent();
        let syn = onwards(&data, 1 << 28, 2, b"");
        world.wire.deliver(syn.clone());
        world.shared.borrow_mut().receive(256, world.now);
        let sent = world.wire.take_sent();
        assert_eq!((sent.len(), sent[0][47]), (1, 16), "{sent:02x?}");
        let expected = u32::from_be_bytes([data[38], data[39], data[40], data[41]]).wrapping_add(1);
        assert_eq!(sent[0][42..46], expected.to_be_bytes());
        assert_eq!(world.net.counters().challenged, 1);
        // What it knows nothing of it resets, at the number that it was told.
        world.wire.deliver(onwards(&data, 1, 4, b""));
        world.shared.borrow_mut().receive(256, world.now);
        world.wire.take_sent();
        world.wire.deliver(syn);
        world.shared.borrow_mut().receive(256, world.now);
        let sent = world.wire.take_sent();
        assert_eq!(sent.iter().map(|frame| frame[47]).collect::<Vec<_>>(), [18], "its SYN is answered");
    });
}

#[test]
fn there_is_no_data_behind_a_fin() {
    block_on(async {
        let mut world = World::new();
        let accepted = spawn_accept(&world);
        let handle = world.connected(80).await;
        world.until("accepted", |_| !accepted.borrow().is_empty()).await;
        let mut stream = accepted.borrow_mut().pop().unwrap();
        world.socket(handle).send_slice(b"right").unwrap();
        world.steps(20).await;
        world.socket(handle).close();
        let fin = withheld(&mut world).await;
        assert_eq!((fin.len(), fin[47] & 1), (54, 1));
        for frame in
            [onwards(&fin, 0, 0x11, b""), onwards(&fin, 1, 0x18, b"no"), onwards(&fin, 0, 0x18, b"no")]
        {
            world.wire.deliver(frame);
        }
        // Old bytes again are no news, but none that can't be.
        world.wire.deliver(onwards(&fin, 0u32.wrapping_sub(5), 0x18, b"right"));
        world.shared.borrow_mut().receive(256, world.now);
        assert_eq!(world.net.counters().malformed, 2);
        let mut buffer = [0; 16];
        assert_eq!(stream.read(&mut buffer).await, Ok(5));
        assert_eq!(&buffer[..5], b"right");
        assert_eq!(stream.read(&mut buffer).await, Ok(0));
    });
}

#[test]
fn a_window_that_opens_after_both_closed_is_used_at_once() {
    block_on(async {
        let mut world = World::new();
        spawn_echo(&world);
        let handle = world.connected(80).await;
        let data: Vec<u8> = (0..9_000u32).map(|number| ((number * 7) >> 3) as u8).collect();
        let mut sent = 0;
        world
            .until("all was taken", |world| {
                sent += world.socket(handle).send_slice(&data[sent..]).unwrap();
                sent == data.len()
            })
            .await;
        world.socket(handle).close();
        // The client's window is full, and both have said that they have no more.
        world.steps(20).await;
        assert_eq!(world.socket(handle).recv_queue(), 4096);
        let begin = world.now;
        let mut back = Vec::new();
        world
            .until("the rest came", |world| {
                if world.socket(handle).can_recv() {
                    world.socket(handle).recv(|bytes| (bytes.len(), back.extend_from_slice(bytes))).unwrap();
                }
                back.len() == data.len()
            })
            .await;
        assert!(back == data);
        assert!(world.now.since(begin) < Duration::from_millis(200), "{:?}", world.now.since(begin));
        world.until("closed", |world| world.flows() == 0).await;
        world.assert_clean();
    });
}

#[test]
fn a_fin_that_is_lost_is_sent_again_whatever_is_acknowledged_meanwhile() {
    block_on(async {
        let mut world = World::new();
        let accepted = spawn_accept(&world);
        let handle = world.connected(80).await;
        world.until("accepted", |_| !accepted.borrow().is_empty()).await;
        let mut stream = accepted.borrow_mut().pop().unwrap();
        world.socket(handle).send_slice(b"question").unwrap();
        let question = withheld(&mut world).await;
        world.wire.deliver(question.clone());
        world.steps(20).await;
        spawn_background("close", async move {
            stream.close().await.unwrap();
        });
        yield_now().await;
        yield_now().await;
        world.shared.borrow_mut().send(world.now);
        let sent = world.wire.take_sent();
        assert_eq!(sent.iter().map(|frame| frame[47] & 1).collect::<Vec<_>>(), [1], "lost");
        for _ in 0..5 {
            world.wire.deliver(onwards(&question, 8, 0x10, b""));
            world.shared.borrow_mut().receive(256, world.now);
            world.shared.borrow_mut().send(world.now);
            world.wire.take_sent();
        }
        let begin = world.now;
        world.until("the end", |world| world.socket(handle).state() == tcp::State::CloseWait).await;
        assert!(world.now.since(begin) < Duration::from_secs(5), "{:?}", world.now.since(begin));
    });
}
