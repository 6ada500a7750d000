//! Data over connections, in both directions and of both families.

use std::string::ToString as _;

use super::*;

#[test]
fn bytes_come_back_as_they_were_sent() {
    echo_bytes(World::new());
    echo_bytes(World { stamped: true, ..World::new() });
}

#[test]
fn bytes_come_back_from_a_device_that_finishes_segments() {
    let own = Some(Addressing { address: OURS, prefix: 24, gateway: None });
    let world = |segmentation| World::with_offloads(&OPTIONS, own, Offloads { checksum: true, segmentation });
    echo_bytes(world(None));
    for stamped in [false, true] {
        let world = World { stamped, ..world(Some(9014)) };
        let cuts = world.wire.cuts.clone();
        echo_bytes(world);
        assert_eq!(cuts.get() > 0, cfg!(feature = "segmentation"));
    }
}

/// Sends data to an echo and compares what comes back.
fn echo_bytes(mut world: World) {
    block_on(async {
        spawn_echo(&world);
        let handle = world.connected(80).await;
        let data: Vec<u8> = (0..300_000u32).map(|number| ((number * 7) >> 3) as u8).collect();
        let (mut sent, mut back) = (0, Vec::new());
        world
            .until("all came back", |world| {
                let socket = world.socket(handle);
                sent += socket.send_slice(&data[sent..]).unwrap();
                if socket.can_recv() {
                    socket.recv(|bytes| (bytes.len(), back.extend_from_slice(bytes))).unwrap();
                }
                back.len() == data.len()
            })
            .await;
        assert!(back == data);
        world.socket(handle).close();
        world.until("closed", |world| world.flows() == 0).await;
        world.assert_clean();
    });
}

#[test]
fn both_families_at_once() {
    block_on(async {
        let mut world = World::new();
        spawn_echo(&world);
        // Our address is on trial for a second.
        world.now += Duration::from_secs(1);
        world.steps(3).await;
        world.now += Duration::from_secs(1);
        world.steps(3).await;
        let handles = [world.connect_to((OURS, 80)), world.connect_to((OURS_6, 80))];
        let data: Vec<u8> = (0..100_000u32).map(|number| ((number * 7) >> 3) as u8).collect();
        for handle in handles {
            world.until("connected", |world| world.socket(handle).may_send()).await;
            let (mut sent, mut back) = (0, Vec::new());
            world
                .until("all came back", |world| {
                    let socket = world.socket(handle);
                    sent += socket.send_slice(&data[sent..]).unwrap();
                    if socket.can_recv() {
                        socket.recv(|bytes| (bytes.len(), back.extend_from_slice(bytes))).unwrap();
                    }
                    back.len() == data.len()
                })
                .await;
            assert!(back == data);
            world.socket(handle).close();
        }
        world.until("closed", |world| world.flows() == 0).await;
        // A datagram there and back, and a connection of our own.
        let mut socket = world.net.bind(7).unwrap();
        let buffer = || udp::PacketBuffer::new(vec![udp::PacketMetadata::EMPTY; 4], vec![0; 4096]);
        let mut client = udp::Socket::new(buffer(), buffer());
        client.bind(4000).unwrap();
        let client = world.sockets.add(client);
        world.sockets.get_mut::<udp::Socket>(client).send_slice(b"six", (OURS_6, 7)).unwrap();
        let mut server =
            tcp::Socket::new(tcp::SocketBuffer::new(vec![0; 99]), tcp::SocketBuffer::new(vec![0; 99]));
        server.listen(99).unwrap();
        world.sockets.add(server);
        let (net, done) = (world.net.clone(), Rc::new(RefCell::new(false)));
        let flag = done.clone();
        spawn_background("six", async move {
            let mut buffer = [0; 10];
            let (length, from) = socket.receive(&mut buffer).await;
            assert_eq!(from, SocketAddr::new(THEIRS_6.into(), 4000));
            socket.send(&buffer[..length], from).await.unwrap();
            let stream = net.connect(SocketAddr::new(THEIRS_6.into(), 99)).await.unwrap();
            assert_eq!(stream.peer(), SocketAddr::new(THEIRS_6.into(), 99));
            *flag.borrow_mut() = true;
        });
        world.until("echo", |world| world.sockets.get_mut::<udp::Socket>(client).can_recv()).await;
        world.until("connected", |_| *done.borrow()).await;
    });
}

#[test]
fn a_full_transmit_ring_holds_nobody_up_for_ever() {
    block_on(async {
        let mut world = World::new();
        spawn_echo(&world);
        let handles: Vec<_> = {
            let mut handles = vec![];
            for _ in 0..50 {
                handles.push(world.connected(80).await);
            }
            handles
        };
        world.wire.room.set(3);
        for handle in &handles {
            world.socket(*handle).send_slice(&[5; 4000]).unwrap();
        }
        for handle in &handles {
            let mut count = 0;
            world
                .until("echoed", |world| {
                    count += world.socket(*handle).recv(|bytes| (bytes.len(), bytes.len())).unwrap();
                    count == 4000
                })
                .await;
        }
    });
}

#[test]
fn connections_of_our_own() {
    block_on(async {
        let mut world = World::new();
        let buffer = || tcp::SocketBuffer::new(vec![0; 4096]);
        let mut server = tcp::Socket::new(buffer(), buffer());
        server.listen(99).unwrap();
        let server = world.sockets.add(server);
        let net = world.net.clone();
        let results = Rc::new(RefCell::new(vec![]));
        let (log, port) = (results.clone(), |port| SocketAddr::V4(SocketAddrV4::new(THEIRS, port)));
        spawn_background("client", async move {
            let mut stream = net.connect(port(99)).await.unwrap();
            stream.write_all(b"ping").await.unwrap();
            let mut buffer = [0; 4];
            stream.read_exact(&mut buffer).await.unwrap();
            log.borrow_mut().push(std::string::String::from_utf8_lossy(&buffer).into_owned());
            stream.close().await.unwrap();
            drop(stream);
            let refused = net.connect(port(100)).await.map(drop);
            log.borrow_mut().push(format!("{refused:?}"));
            let nobody = SocketAddr::new(Ipv4Addr::new(10, 0, 0, 99).into(), 1);
            let silent = net.connect(nobody).await.map(drop);
            log.borrow_mut().push(format!("{silent:?}"));
            let far = SocketAddr::new(Ipv4Addr::new(99, 0, 0, 99).into(), 1);
            let unreachable = net.connect(far).await.map(drop);
            log.borrow_mut().push(format!("{unreachable:?}"));
        });
        world
            .until("all three", |world| {
                let socket = world.socket(server);
                if socket.can_recv() {
                    let length = socket.recv(|bytes| (bytes.len(), bytes.len())).unwrap();
                    socket.send_slice(&b"pong"[..length]).unwrap();
                }
                if socket.state() == tcp::State::CloseWait {
                    socket.close();
                }
                results.borrow().len() == 4 && world.flows() == 0
            })
            .await;
        assert_eq!(*results.borrow(), ["pong", "Err(Refused)", "Err(Unreachable)", "Err(Unreachable)"]);
        world.assert_clean();
    });
}

/// How long `length` bytes take to a client with a window of 64 KiB, of which the wire loses every
/// `every`th segment.
fn time_with_losses(length: usize, every: usize) -> Duration {
    time_on(length, |wire| wire.loses.set(Some(every)))
}

/// The same on a wire that, once connected, is as `change` makes it.
fn time_on(length: usize, change: impl FnOnce(&Wire)) -> Duration {
    let mut took = Duration::ZERO;
    block_on(async {
        let mut world = World::with(&LOSSY, Some(Addressing { address: OURS, prefix: 24, gateway: None }));
        let mut listener = world.net.listen(80).unwrap();
        spawn_background("source", async move {
            let mut stream = listener.accept().await;
            let _ = stream.write_all(&vec![7; length]).await;
            let _ = stream.close().await;
        });
        let buffer = || tcp::SocketBuffer::new(vec![0; 65535]);
        let mut socket = tcp::Socket::new(buffer(), buffer());
        socket.connect(world.client.context(), (OURS, 80), 4000).unwrap();
        let handle = world.sockets.add(socket);
        world.until("connected", |world| world.socket(handle).may_send()).await;
        change(&world.wire);
        let (start, mut count) = (world.now, 0);
        world
            .until("all came", |world| {
                let socket = world.socket(handle);
                if socket.can_recv() {
                    socket.recv(|bytes| (bytes.len(), count += bytes.len())).unwrap();
                }
                count == length
            })
            .await;
        took = world.now.since(start);
    });
    took
}

static LOSSY: Options = Options { tcp_buffer: 65535, ..PLAIN };

#[test]
fn what_is_lost_is_sent_again_before_the_timer_fires() {
    // Every fifth to twentieth segment of 170, also several of one flight, and the last of all.
    for every in [5, 7, 10, 20, 170] {
        let took = time_with_losses(250_000, every);
        std::eprintln!("one of {every} lost: {took:?}");
        assert!(took < Duration::from_secs(8), "one of {every}: {took:?}");
    }
    // A single segment, the second of two: no duplicate acknowledgement tells of it.
    assert!(time_with_losses(2_000, 2) < Duration::from_millis(900));
}

#[test]
fn a_path_that_swallows_large_packets_gets_smaller_ones() {
    // Three seconds for the first, then as without it.
    let took = time_on(100_000, |wire| wire.carries.set(1200));
    assert!(took < Duration::from_secs(6), "{took:?}");
}

static SHORT: Options = Options { mtu: Some(1300), ..PLAIN };
static LONG: Options = Options { mtu: Some(1501), ..PLAIN };

#[test]
fn packets_are_no_longer_than_the_option_says() {
    block_on(async {
        let addressing = Some(Addressing { address: OURS, prefix: 24, gateway: None });
        for (options, longest) in [(&OPTIONS, 1514), (&SHORT, 1314)] {
            let mut world = World::with(options, addressing);
            spawn_echo(&world);
            for to in [smoltcp::wire::IpAddress::from(OURS), OURS_6.into()] {
                let handle = world.connect_to((to, 80));
                let (mut sent, mut back) = (0, 0);
                world
                    .until("all came back", |world| {
                        if world.socket(handle).may_send() {
                            sent += world.socket(handle).send_slice(&[7; 20_000][sent..]).unwrap();
                        }
                        if world.socket(handle).can_recv() {
                            back += world.socket(handle).recv(|bytes| (bytes.len(), bytes.len())).unwrap();
                        }
                        back == 20_000
                    })
                    .await;
            }
            // Long ones are sent, and none longer than that.
            assert_eq!(world.wire.longest.get(), longest);
        }
    });
}

#[test]
fn a_device_that_carries_less_than_the_option_says_ends_the_start() {
    block_on(async {
        let cx = unik::start::Context::new("lan");
        let began = crate::start(&cx, &LONG, &LISTENS, Wire::alone(), Counter::new(1)).await;
        let error = began.expect_err("1500 is the most").to_string();
        assert_eq!(error, "lan: `mtu 1501`: the device carries packets of 1500 bytes");
    });
}
