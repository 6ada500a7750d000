//! `herald`: reads a file of news out to whoever connects, newest first. The file is
//! checked, turned round and numbered at build time, by the host half.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

use unik::interface::{Tcp, TcpListener, TcpStream};
use unik::start::{Context, StartError};

/// Starts the service on the network `net`; `news` is what the host half made.
///
/// # Errors
/// When the network refuses the port.
#[unik::service]
pub async fn start<N: Tcp>(
    cx: &Context,
    options: &'static Options,
    news: &'static [u8],
    net: N,
) -> Result<(), StartError> {
    let mut listener = net.listen(options.port).map_err(|error| cx.error(alloc::format!("{error}")))?;
    let cx = *cx;
    cx.spawn(async move {
        loop {
            cx.spawn(tell(listener.accept().await, news));
        }
    });
    Ok(())
}

async fn tell(mut stream: impl TcpStream, news: &'static [u8]) {
    // Whoever hangs up before isn't told.
    if stream.write_all(news).await.is_ok() {
        let _ = stream.close().await;
    }
}
