//! An address that is given, and taken away.

use super::*;

#[test]
fn an_address_by_dhcp() {
    block_on(async {
        let mut world = World::with(&OPTIONS, None);
        spawn_echo(&world);
        let ours = world.port.0.clone();
        // Plays the server: the message starts after Ethernet, IPv4 and UDP headers.
        let serve = |world: &mut World, lease: u32| {
            world.shared.borrow_mut().send(world.now);
            for frame in world.wire.take_sent() {
                if frame[12..14] != [8, 0] || frame[23] != 17 {
                    continue;
                }
                let message = &frame[42..];
                let kind = match message[242] {
                    1 => 2,
                    _ => 5,
                };
                let answer = crate::dhcp::tests::answer(message, kind, lease);
                let mut reply = frame[..42].to_vec();
                reply[..6].copy_from_slice(&world.shared.borrow().lower.link.mac);
                reply[6..12].copy_from_slice(&ours.mac());
                reply.extend(&answer);
                let length = (answer.len() + 8) as u16;
                let mut packet = smoltcp::wire::Ipv4Packet::new_unchecked(&mut reply[14..]);
                packet.set_total_len(length + 20);
                packet.set_src_addr(Ipv4Addr::new(10, 0, 0, 1));
                packet.set_dst_addr(Ipv4Addr::new(10, 0, 0, 9));
                packet.fill_checksum();
                let mut datagram = smoltcp::wire::UdpPacket::new_unchecked(packet.payload_mut());
                datagram.set_src_port(67);
                datagram.set_dst_port(68);
                datagram.set_len(length);
                datagram.set_checksum(0);
                world.wire.deliver(reply);
            }
            world.shared.borrow_mut().receive(256, world.now);
        };
        for _ in 0..4 {
            serve(&mut world, 60);
        }
        let own = world.shared.borrow().lower.addressing.unwrap();
        assert_eq!((own.address, own.prefix), (Ipv4Addr::new(10, 0, 0, 9), 24));
        // With the address comes whom to ask for names.
        world.step().await;
        let servers = [53, 54].map(|last| SocketAddr::from(([10, 0, 0, last], 53)));
        assert_eq!(world.shared.borrow().names.servers(), servers);
        // A service that listened before there was an address is reached at it.
        let handle = world.connect(80);
        let client_port = world.next_port;
        world.sockets.remove(handle);
        let buffer = || tcp::SocketBuffer::new(vec![0; 4096]);
        let mut socket = tcp::Socket::new(buffer(), buffer());
        socket.connect(world.client.context(), (own.address, 80), client_port).unwrap();
        let handle = world.sockets.add(socket);
        world.until("connected", |world| world.socket(handle).may_send()).await;
        // The server falls silent: the lease ends, and with it the connection.
        for _ in 0..70 {
            world.now += Duration::from_secs(1);
            world.shared.borrow_mut().send(world.now);
            world.wire.take_sent();
            yield_now().await;
        }
        assert_eq!(world.shared.borrow().lower.addressing, None);
        assert_eq!(world.flows(), 0);
        // And it comes back.
        world.now += Duration::from_secs(40);
        for _ in 0..4 {
            serve(&mut world, 60);
        }
        assert!(world.shared.borrow().lower.addressing.is_some());
    });
}
