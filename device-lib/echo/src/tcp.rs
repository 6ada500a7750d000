//! The service over TCP.

use alloc::rc::Rc;
use core::cell::Cell;

use unik::interface::{TcpListener, TcpStream};
use unik::start::Context;
use unik::sync::Notify;
use unik::time::{Duration, timeout};

use crate::Options;

/// What one connection holds of its peer's bytes.
const BUFFER: usize = 2048;

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
pub(crate) async fn serve<L: TcpListener>(cx: Context, options: &'static Options, mut listener: L) {
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
            let end = echo(&mut stream, options.idle_timeout).await;
            if !matches!(end, End::Closed) {
                log::debug!("{}: {}: {end:?}", cx.instance(), stream.peer());
                stream.abort();
            }
            drop(place);
        });
    }
}

/// How a connection ended.
#[derive(Debug)]
enum End {
    /// Both halves are closed.
    Closed,
    /// Nothing moved for too long.
    Idle,
    /// It broke.
    Broken,
}

async fn echo(stream: &mut impl TcpStream, limit: Duration) -> End {
    let mut buffer = [0; BUFFER];
    loop {
        let length = match timeout(limit, stream.read(&mut buffer)).await {
            Ok(Ok(0)) => break,
            Ok(Ok(length)) => length,
            Ok(Err(_)) => return End::Broken,
            Err(_) => return End::Idle,
        };
        let mut rest = &buffer[..length];
        while !rest.is_empty() {
            match timeout(limit, stream.write(rest)).await {
                Ok(Ok(written @ 1..)) => rest = rest.get(written..).unwrap_or_default(),
                Ok(_) => return End::Broken,
                Err(_) => return End::Idle,
            }
        }
    }
    // A network bounds its `close`, but perhaps by more than our patience.
    match timeout(limit, stream.close()).await {
        Ok(Ok(())) => End::Closed,
        Ok(Err(_)) => End::Broken,
        Err(_) => End::Idle,
    }
}
