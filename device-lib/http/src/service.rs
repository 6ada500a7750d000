//! One instance: accepting connections, and what they share.

use alloc::rc::Rc;
use core::cell::Cell;

use log::{debug, warn};
use unik::interface::{Clock, Tcp, TcpListener, TcpStream};
use unik::start::{Context, StartError};
use unik::sync::Notify;
use unik::time::{self, Duration};

use crate::connection::Connection;
use crate::date::Date;
use crate::dozing::Dozing;
use crate::{Options, Routes, Site, wire};

/// So many of the connections above the limit are told so (503) at one time; those above
/// that are reset.
const MAX_TURNED_AWAY: usize = 32;

/// How long nothing must have happened on a connection before it goes for another: when an
/// eighth of the places is left, and when none is.
const CROWDED: Duration = Duration::from_secs(1);
const FULL: Duration = Duration::from_millis(50);
/// How long a new connection waits for the place of one that was sent away.
const TURN: Duration = Duration::from_millis(100);

/// What they are told.
const BUSY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain; charset=utf-8\r\n\
    Content-Length: 24\r\nRetry-After: 1\r\nConnection: close\r\n\r\n503 Service Unavailable\n";

/// Starts a service. `baked` says what it serves; the storage was read at build time, so
/// its handle isn't used.
///
/// # Errors
/// When the port can't be listened on.
pub async fn start<S: Site, N: Tcp, F, C: Clock>(
    cx: &Context,
    options: &'static Options,
    baked: S,
    net: N,
    files: F,
    clock: C,
) -> Result<(), StartError> {
    // Both only say, by their types, what the code is made for.
    let _ = (baked, files);
    let listener = net
        .listen(options.port)
        .map_err(|error| cx.error(alloc::format!("can't listen on port {}: {error}", options.port)))?;
    let service = Rc::new(Service::<S, C>::new(cx.instance(), options, clock));
    cx.spawn(accept(*cx, service, listener));
    Ok(())
}

/// What the connections of an instance share.
#[derive(Debug)]
pub(crate) struct Service<S: Site, C> {
    pub(crate) instance: &'static str,
    pub(crate) options: &'static Options,
    pub(crate) routes: S::Routes,
    pub(crate) date: Date<C>,
    pub(crate) counts: Counts,
    pub(crate) dozing: Dozing,
    /// A place is free again.
    freed: Notify,
    open: Cell<usize>,
    turned_away: Cell<usize>,
}

/// What happened since the start.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    /// Connections that were accepted.
    pub(crate) connections: Cell<u64>,
    /// Requests that were answered, whatever with.
    pub(crate) requests: Cell<u64>,
    /// Requests that were malformed, too large, or of a kind that isn't served.
    pub(crate) refused: Cell<u64>,
    /// Clients that took too long.
    pub(crate) timed_out: Cell<u64>,
    /// Connections that broke while a request or an answer was under way.
    pub(crate) broken: Cell<u64>,
    /// Connections above the limit.
    pub(crate) too_many: Cell<u64>,
    /// Connections that ended because there was no memory for their bytes.
    pub(crate) out_of_memory: Cell<u64>,
}

/// Counts one more; tells how many that makes.
pub(crate) fn count(counter: &Cell<u64>) -> u64 {
    counter.set(counter.get().wrapping_add(1));
    counter.get()
}

impl<S: Site, C: Clock> Service<S, C> {
    pub(crate) fn new(instance: &'static str, options: &'static Options, clock: C) -> Self {
        Service {
            instance,
            options,
            routes: S::Routes::new(),
            date: Date::new(clock),
            counts: Counts::default(),
            dozing: Dozing::default(),
            freed: Notify::new(),
            open: Cell::new(0),
            turned_away: Cell::new(0),
        }
    }
}

/// Holds a place among the connections, or among those that are turned away.
struct Place<S: Site, C> {
    service: Rc<Service<S, C>>,
    of: fn(&Service<S, C>) -> &Cell<usize>,
}

impl<S: Site, C> Place<S, C> {
    fn take(
        service: &Rc<Service<S, C>>,
        of: fn(&Service<S, C>) -> &Cell<usize>,
        limit: usize,
    ) -> Option<Self> {
        let taken = of(service);
        if taken.get() >= limit {
            return None;
        }
        taken.set(taken.get() + 1);
        Some(Place { service: Rc::clone(service), of })
    }
}

impl<S: Site, C> Drop for Place<S, C> {
    fn drop(&mut self) {
        let taken = (self.of)(&self.service);
        taken.set(taken.get().saturating_sub(1));
        self.service.freed.notify();
    }
}

pub(crate) async fn accept<S: Site, C: Clock, L: TcpListener>(
    cx: Context,
    service: Rc<Service<S, C>>,
    mut listener: L,
) {
    let limit = usize::try_from(service.options.max_connections).unwrap_or(usize::MAX);
    loop {
        let mut stream = listener.accept().await;
        if service.open.get() >= limit {
            if service.dozing.send_one_away(FULL) {
                // Its place is free when its task has had its turn, if no request came just then.
                let _ = time::timeout(TURN, service.freed.notified()).await;
            }
        } else if service.open.get() >= limit - limit / 8 {
            // Some places are kept for those that are on their way out.
            service.dozing.send_one_away(CROWDED);
        }
        if let Some(place) = Place::take(&service, |service| &service.open, limit) {
            count(&service.counts.connections);
            cx.spawn(async move {
                let service = Rc::clone(&place.service);
                Connection::new(stream, &*service).run(place).await;
            });
            continue;
        }
        let turned_away = count(&service.counts.too_many);
        if turned_away.is_power_of_two() {
            warn!("{}: more than {limit} connections: {turned_away} turned away so far", service.instance);
        }
        match Place::take(&service, |service| &service.turned_away, MAX_TURNED_AWAY) {
            Some(place) => cx.spawn(async move {
                turn_away(&mut stream).await;
                debug!("{}: {}: turned away", place.service.instance, stream.peer());
            }),
            None => stream.abort(),
        }
    }
}

async fn turn_away(stream: &mut impl TcpStream) {
    let told = time::timeout(Duration::from_secs(2), embedded_io_async::Write::write_all(stream, BUSY)).await;
    if matches!(told, Ok(Ok(()))) {
        wire::linger(stream).await;
    } else {
        stream.abort();
    }
}
