//! The service over UDP.

use alloc::vec::Vec;

use unik::interface::UdpSocket;
use unik::start::Context;

/// The largest datagram: what an IP packet of 65,535 bytes can hold is less.
const LARGEST: usize = 65_535;

/// Ports of services that answer whatever they get: echo, daytime, quote of the day,
/// character generator, time (RFC 862 to 868).
const ANSWERING_PORTS: [u16; 5] = [7, 13, 17, 19, 37];

/// Answers datagrams for ever.
pub(crate) async fn serve<S: UdpSocket>(cx: Context, port: u16, mut socket: S) {
    let mut buffer = Vec::new();
    if buffer.try_reserve_exact(LARGEST).is_err() {
        return cx.fail("no memory for a datagram of 64 KiB");
    }
    buffer.resize(LARGEST, 0);
    loop {
        let (length, from) = socket.receive(&mut buffer).await;
        if is_refused(from.port(), port) {
            log::debug!("{}: a datagram from {from} could be answered without end: dropped", cx.instance());
            continue;
        }
        if let Err(error) = socket.send(&buffer[..length], from).await {
            log::debug!("{}: {from}: {error}", cx.instance());
        }
    }
}

/// Whether whoever sends from the port `from` would answer our answer.
fn is_refused(from: u16, own: u16) -> bool {
    from == 0 || from == own || ANSWERING_PORTS.contains(&from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_echo_is_not_echoed() {
        assert!([0, 7, 19, 7000].into_iter().all(|from| is_refused(from, 7000)));
        assert!(![53, 1024, 65535].into_iter().any(|from| is_refused(from, 7000)));
    }
}
