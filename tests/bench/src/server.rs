//! What a Linux process does in a guest's place: an echo, a sink and a source.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::thread;

use crate::client::Way;

/// What is read or written by one call.
const CHUNK: usize = 128 << 10;

/// Serves the ports that the guest has (7, 9 and 19) on all addresses, for ever.
///
/// # Errors
/// When a port can't be had.
pub fn serve() -> std::io::Result<()> {
    let any = |port| SocketAddr::from(([0, 0, 0, 0], port));
    let socket = UdpSocket::bind(any(7))?;
    sink_or_source(Way::In, any(9))?;
    sink_or_source(Way::Out, any(19))?;
    println!("ready");
    let mut buffer = [0; 65_536];
    loop {
        let (length, from) = socket.recv_from(&mut buffer)?;
        // A client that is gone is no error of ours.
        let _ = socket.send_to(&buffer[..length], from);
    }
}

/// Starts a sink ([`Way::In`]) or a source ([`Way::Out`]) at `at`, and says where it is.
///
/// # Errors
/// When the port can't be had.
pub fn sink_or_source(way: Way, at: SocketAddr) -> std::io::Result<SocketAddr> {
    let listener = TcpListener::bind(at)?;
    let at = listener.local_addr()?;
    thread::spawn(move || {
        while let Ok((stream, _)) = listener.accept() {
            thread::spawn(move || talk(way, stream));
        }
    });
    Ok(at)
}

fn talk(way: Way, mut stream: TcpStream) {
    let mut buffer = vec![b'x'; CHUNK];
    loop {
        let moved = match way {
            Way::In => stream.read(&mut buffer),
            Way::Out => stream.write(&buffer),
        };
        if !moved.is_ok_and(|length| length > 0) {
            return;
        }
    }
}
