//! A port of TCP: places for connections, and what is done with each.

use alloc::rc::Rc;
use core::cell::Cell;

use unik::interface::{TcpListener, TcpStream};
use unik::shutdown::unless_asked;
use unik::start::Context;
use unik::sync::Notify;
use unik::time::{Duration, timeout};

use crate::Options;

/// Bytes that a client may send after our half was closed.
const MOST_IGNORED: usize = 256 << 10;

/// What is done with a connection.
pub(crate) trait Conversation: Copy + 'static {
    /// Talks until one side ends it; nothing may stand still for longer than `limit`.
    async fn hold<S: TcpStream>(self, stream: &mut S, limit: Duration) -> End;
}

/// How a connection ended.
#[derive(Debug)]
pub(crate) enum End {
    /// Both halves are closed.
    Closed,
    /// Nothing moved for too long.
    Idle,
    /// It broke.
    Broken,
}

/// How many connections are open, and who waits for one to end.
struct Open {
    count: Cell<u64>,
    ended: Notify,
}

/// One of the open connections.
struct Place(Rc<Open>);

impl Place {
    fn take(open: &Rc<Open>) -> Place {
        open.count.set(open.count.get() + 1);
        Place(Rc::clone(open))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.count.set(self.0.count.get() - 1);
        self.0.ended.notify();
    }
}

/// Accepts connections for ever.
pub(crate) async fn serve<L: TcpListener, C: Conversation>(
    cx: Context,
    options: &'static Options,
    mut listener: L,
    conversation: C,
) {
    let open = Rc::new(Open { count: Cell::new(0), ended: Notify::new() });
    loop {
        let ended = open.ended.notified();
        if open.count.get() >= options.max_connections {
            ended.await;
            continue;
        }
        drop(ended);
        let mut stream = listener.accept().await;
        let place = Place::take(&open);
        cx.spawn(async move {
            let end = conversation.hold(&mut stream, options.idle_timeout).await;
            if !matches!(end, End::Closed) {
                log::debug!("{}: {}: {end:?}", cx.instance(), stream.peer());
                stream.abort();
            }
            drop(place);
        });
    }
}

/// Reads once; `Ok(0)` is the end of the client's half, or that the appliance is to end.
pub(crate) async fn read(
    stream: &mut impl TcpStream,
    buffer: &mut [u8],
    limit: Duration,
) -> Result<usize, End> {
    match unless_asked(timeout(limit, stream.read(buffer))).await {
        Some(Ok(Ok(length))) => Ok(length),
        Some(Ok(Err(_))) => Err(End::Broken),
        Some(Err(_)) => Err(End::Idle),
        None => Ok(0),
    }
}

/// Writes all of `data`; each piece that the network takes has its own `limit`.
pub(crate) async fn write(stream: &mut impl TcpStream, mut data: &[u8], limit: Duration) -> Result<(), End> {
    while !data.is_empty() {
        match timeout(limit, stream.write(data)).await {
            Ok(Ok(written @ 1..)) => data = data.get(written..).unwrap_or_default(),
            Ok(_) => return Err(End::Broken),
            Err(_) => return Err(End::Idle),
        }
    }
    Ok(())
}

/// Closes our half too; if the client's is open still, since the appliance is to end, for the client
/// to close it.
pub(crate) async fn close(stream: &mut impl TcpStream, limit: Duration) -> End {
    // A network bounds its `close`, but perhaps by more than our patience.
    match timeout(limit, stream.finish(limit, MOST_IGNORED)).await {
        Ok(Ok(())) => End::Closed,
        Ok(Err(_)) => End::Broken,
        Err(_) => End::Idle,
    }
}
