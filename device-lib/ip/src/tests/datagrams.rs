//! UDP.

use super::*;

#[test]
fn datagrams_come_back_and_floods_are_bounded() {
    block_on(async {
        let mut world = World::new();
        let mut socket = world.net.bind(7).unwrap();
        let buffer = || udp::PacketBuffer::new(vec![udp::PacketMetadata::EMPTY; 64], vec![0; 65536]);
        let mut client = udp::Socket::new(buffer(), buffer());
        client.bind(4000).unwrap();
        let client = world.sockets.add(client);
        for _ in 0..50 {
            world.sockets.get_mut::<udp::Socket>(client).send_slice(&[7; 1000], (OURS, 7)).unwrap();
        }
        world.until("overflow", |world| world.net.counters().udp_overflow > 0).await;
        spawn_background("echo", async move {
            let mut buffer = [0; 2000];
            assert_eq!(
                socket.send(&[0; 1473], SocketAddr::new(THEIRS.into(), 1)).await,
                Err(unik::interface::SendError::TooLong)
            );
            loop {
                let (length, from) = socket.receive(&mut buffer).await;
                socket.send(&buffer[..length], from).await.unwrap();
            }
        });
        world.until("echo", |world| world.sockets.get_mut::<udp::Socket>(client).can_recv()).await;
        assert_eq!(world.sockets.get_mut::<udp::Socket>(client).recv().unwrap().0, [7; 1000]);
        let refused = world.net.counters().udp_refused;
        world.sockets.get_mut::<udp::Socket>(client).send_slice(b"x", (OURS, 9)).unwrap();
        world.until("refused", |world| world.net.counters().udp_refused == refused + 1).await;
    });
}
