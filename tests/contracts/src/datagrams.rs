//! What every provider of `Udp` promises.

use std::cell::RefCell;
use std::net::SocketAddr;

use unik::interface::{BindError, SendError, Udp, UdpSocket};
use unik::time::{Duration, timeout};

use crate::{Ends, NEVER, OTHER, PORT, within};

/// How long a datagram that may have been lost is waited for.
const AGAIN: Duration = Duration::from_millis(200);
/// How often one is sent before it counts as never arriving.
const TRIES: usize = 50;

/// Holds a provider to all promises. Datagrams may be lost: then they are sent again.
///
/// # Panics
/// At the first that it doesn't keep.
pub async fn hold<S: Udp, C: Udp>(ends: &Ends<S, C>) {
    ports(ends);
    answers(ends).await;
    nothing_is_taken_by_what_is_dropped(ends).await;
    what_is_too_long(ends).await;
}

fn ports<S: Udp, C: Udp>(ends: &Ends<S, C>) {
    assert_eq!(ends.server.bind(OTHER).err(), Some(BindError::NotDeclared));
    let socket = ends.server.bind(PORT).expect("a port");
    assert_eq!(ends.server.bind(PORT).err(), Some(BindError::InUse));
    drop(socket);
    drop(ends.server.bind(PORT).expect("the port, free again"));
    let (_one, _other) = (ends.client.bind(0).expect("a free port"), ends.client.bind(0).expect("another"));
}

/// Sends `data` from `one` to `other` until it arrives there; what came, and from where.
async fn carry(
    one: &mut impl UdpSocket,
    other: &mut impl UdpSocket,
    to: SocketAddr,
    data: &[u8],
    room: usize,
) -> (Vec<u8>, SocketAddr) {
    let mut buffer = vec![0; room];
    for _ in 0..TRIES {
        within(one.send(data, to)).await.expect("a way");
        // An earlier one may come twice.
        while let Ok((length, from)) = timeout(AGAIN, other.receive(&mut buffer)).await {
            if buffer[..length] == data[..data.len().min(room)] {
                return (buffer[..length].to_vec(), from);
            }
        }
    }
    panic!("{} bytes never arrived", data.len());
}

/// Datagrams keep their bounds, empty ones too; what the buffer has no room for is cut off, and
/// nothing of it comes with the next.
async fn answers<S: Udp, C: Udp>(ends: &Ends<S, C>) {
    let mut server = ends.server.bind(PORT).expect("a port");
    let mut client = ends.client.bind(0).expect("a free port");
    for (number, length) in [1, 0, 7, 1000, 1400].into_iter().enumerate() {
        let data: Vec<u8> = (0..length).map(|at| (at + number) as u8).collect();
        let (came, from) = carry(&mut client, &mut server, ends.at, &data, 2048).await;
        assert_eq!(came, data);
        // Back to where it came from: it comes from where the question went.
        let (back, by) = carry(&mut server, &mut client, from, &data, 2048).await;
        assert_eq!((back, by), (data, ends.at));
    }
    let (came, _) = carry(&mut client, &mut server, ends.at, b"longer than its room", 6).await;
    assert_eq!(came, b"longer");
    let (came, _) = carry(&mut client, &mut server, ends.at, b"next", 2048).await;
    assert_eq!(came, b"next");
}

/// A future that is dropped before it is ready has taken nothing.
#[allow(clippy::await_holding_refcell_ref, reason = "one future has it at a time")]
async fn nothing_is_taken_by_what_is_dropped<S: Udp, C: Udp>(ends: &Ends<S, C>) {
    let server = RefCell::new(ends.server.bind(PORT).expect("a port"));
    let mut client = ends.client.bind(0).expect("a free port");
    let mut buffer = [0; 64];
    for number in 0..8u8 {
        assert!(timeout(NEVER / 10, server.borrow_mut().receive(&mut buffer)).await.is_err());
        let (came, _) = carry(&mut client, &mut *server.borrow_mut(), ends.at, &[number; 8], 64).await;
        assert_eq!(came, [number; 8]);
        // Copies of it, where one was sent again or came twice.
        while timeout(NEVER / 10, server.borrow_mut().receive(&mut buffer)).await.is_ok() {}
    }
}

async fn what_is_too_long<S: Udp, C: Udp>(ends: &Ends<S, C>) {
    let mut client = ends.client.bind(0).expect("a free port");
    assert_eq!(within(client.send(&[0; 65_508], ends.at)).await, Err(SendError::TooLong));
}
