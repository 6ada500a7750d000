//! Ways to other networks, by the file and by DHCP.

use super::*;
use crate::Route;

const ROUTER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 9);
const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);

static ROUTED: Options = Options {
    route: &[
        Route::Ipv4 { network: (Ipv4Addr::new(10, 7, 0, 0), 16), router: ROUTER },
        Route::Ipv6 { network: (Ipv6Addr::new(0xfd00, 7, 0, 0, 0, 0, 0, 0), 32), router: THEIRS_6 },
    ],
    ..PLAIN
};

/// Whose station is asked for when a datagram goes to `to`.
async fn asked_for(world: &mut World, to: SocketAddr) -> Option<Ipv4Addr> {
    world.wire.take_sent();
    let mut socket = world.net.bind(0).unwrap();
    spawn_background("sends", async move {
        // It may have to wait until the test is over.
        let _ = socket.send(b"x", to).await;
    });
    yield_now().await;
    yield_now().await;
    world.shared.borrow_mut().send(world.now);
    let frames = world.wire.take_sent();
    // But for our own address, which is announced.
    let asks = frames.iter().find(|frame| frame[12..14] == [8, 6] && frame[38..42] != OURS.octets())?;
    Some(Ipv4Addr::new(asks[38], asks[39], asks[40], asks[41]))
}

#[test]
fn the_way_with_the_longest_prefix_is_taken() {
    block_on(async {
        let mut world =
            World::with(&ROUTED, Some(Addressing { address: OURS, prefix: 24, gateway: Some(GATEWAY) }));
        for (to, neighbour) in
            [([10, 7, 1, 1], ROUTER), ([10, 8, 1, 1], GATEWAY), ([10, 0, 0, 77], Ipv4Addr::new(10, 0, 0, 77))]
        {
            assert_eq!(asked_for(&mut world, (to, 9).into()).await, Some(neighbour), "{to:?}");
        }
        // There is no gateway for IPv6, but a way to one network.
        let hop = |world: &World, to: &str| {
            let to: Ipv6Addr = to.parse().unwrap();
            world.shared.borrow_mut().lower.hop(to.into(), world.now)
        };
        assert_eq!(hop(&world, "fd00:7::1"), crate::lower::Hop::Wait);
        assert_eq!(hop(&world, "fd00:8::1"), crate::lower::Hop::Unreachable);
    });
}
