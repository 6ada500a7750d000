//! What is counted of ports.

use super::*;
use crate::PortCounters;

#[test]
fn each_port_is_counted_and_the_closed_ones_together() {
    block_on(async {
        let mut world = World::new();
        spawn_echo(&world);
        let socket = world.net.bind(7).unwrap();
        let buffer = || udp::PacketBuffer::new(vec![udp::PacketMetadata::EMPTY; 64], vec![0; 65536]);
        let mut client = udp::Socket::new(buffer(), buffer());
        client.bind(4000).unwrap();
        let client = world.sockets.add(client);
        for _ in 0..3 {
            world.connected(80).await;
        }
        for port in [81, 82] {
            let handle = world.connect(port);
            world.until("refused", |world| !world.socket(handle).is_open()).await;
        }
        // Of 4 KiB there is room for three of these, and nobody reads.
        for port in [7, 7, 7, 7, 7, 9] {
            world.sockets.get_mut::<udp::Socket>(client).send_slice(&[7; 1000], (OURS, port)).unwrap();
        }
        world.until("refused", |world| world.net.counters().udp_refused == 1).await;
        let counters = |accepted, refused, dropped| PortCounters { accepted, refused, dropped };
        assert_eq!(world.net.port_counters(Protocol::Tcp, 80), counters(3, 0, 0));
        assert_eq!(world.net.port_counters(Protocol::Udp, 7), counters(3, 0, 2));
        assert_eq!(world.net.closed_port_counters(), counters(0, 3, 0));
        drop(socket);
        let told = world.shared.borrow().told().join("; ");
        for part in [
            "2 datagrams without room",
            "2 segments to closed ports",
            "tcp 80 (echo): 3 accepted, 0 refused, 0 dropped",
            "udp 7 (echo): 3 accepted, 0 refused, 2 dropped",
            "closed ports: 0 accepted, 3 refused, 0 dropped",
        ] {
            assert!(told.contains(part), "{part}: {told}");
        }
    });
}
