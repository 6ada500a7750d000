//! Clients that do what people's clients do, and what attackers' do.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::process::Command;
use std::time::Duration;

/// What `curl` said: its output, and whether it succeeded.
///
/// # Panics
/// When curl isn't installed.
pub fn curl(arguments: &[&str]) -> (String, bool) {
    let output = Command::new("curl")
        .args(["-sS", "--max-time", "20"])
        .args(arguments)
        .output()
        .expect("curl is installed");
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (text, output.status.success())
}

/// Connects, with a bound on how long anything may take.
///
/// # Errors
/// As the socket's.
pub fn connect(to: SocketAddr) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&to, Duration::from_secs(20))?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    stream.set_write_timeout(Some(Duration::from_secs(20)))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Sends `request` in one piece, and reads until the server closes.
///
/// # Errors
/// As the socket's.
pub fn exchange(to: SocketAddr, request: &[u8]) -> std::io::Result<String> {
    let mut stream = connect(to)?;
    stream.write_all(request)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// A GET that asks the server to close.
///
/// # Errors
/// As the socket's.
pub fn get(to: SocketAddr, path: &str) -> std::io::Result<String> {
    exchange(to, format!("GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n").as_bytes())
}

/// Where a client gives up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Abort {
    /// Right after the handshake.
    Connected,
    /// In the middle of the request.
    HalfRequest,
    /// After the request, before the answer.
    Requested,
    /// In the middle of the answer.
    HalfAnswer,
    /// After the answer, on a connection kept alive.
    Answered,
    /// After its own FIN.
    HalfClosed,
}

impl Abort {
    /// Every stage.
    pub const ALL: [Abort; 6] = [
        Abort::Connected,
        Abort::HalfRequest,
        Abort::Requested,
        Abort::HalfAnswer,
        Abort::Answered,
        Abort::HalfClosed,
    ];
}

/// Talks HTTP up to `stage`, then resets the connection (SO_LINGER 0 makes close an RST).
///
/// # Errors
/// As the socket's.
pub fn abort(to: SocketAddr, stage: Abort) -> std::io::Result<()> {
    let mut stream = connect(to)?;
    socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO))?;
    let request = b"GET / HTTP/1.1\r\nHost: test\r\n\r\n";
    match stage {
        Abort::Connected => {}
        Abort::HalfRequest => stream.write_all(&request[..10])?,
        Abort::Requested => stream.write_all(request)?,
        Abort::HalfAnswer | Abort::Answered => {
            stream.write_all(request)?;
            let mut answer = vec![0; if stage == Abort::HalfAnswer { 20 } else { 4096 }];
            let _ = stream.read(&mut answer)?;
        }
        Abort::HalfClosed => {
            stream.write_all(request)?;
            stream.shutdown(Shutdown::Write)?;
        }
    }
    Ok(())
}
