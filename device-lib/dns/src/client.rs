//! Lookups: what is known, who asks already, and who is to be asked.

use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::future::{Future, poll_fn};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use core::pin::{Pin, pin};
use core::task::{Context, Poll};

use unik::interface::{Family, ResolveError};
use unik::sync::Notify;
use unik::time::{Instant, sleep};

use crate::ask::{Patience, ask};
use crate::cache::{Cache, kept};
use crate::message::{Kind, Style};
use crate::name::Name;
use crate::{Counters, Network, Outcome, SERVERS};

/// The most lookups at one time.
const RUNNING: usize = 32;

/// The client of one network; clones are the same one.
#[derive(Clone, Debug)]
pub struct Client(Rc<Shared>);

#[derive(Debug)]
struct Shared {
    instance: &'static str,
    patience: Patience,
    state: RefCell<State>,
    /// A lookup has ended: there is room for another.
    room: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// The one that last answered goes first.
    servers: Vec<Server>,
    cache: Cache,
    running: Vec<Rc<Lookup>>,
    counters: Counters,
}

#[derive(Clone, Copy, Debug)]
struct Server {
    address: SocketAddr,
    style: Style,
}

/// A lookup under way.
#[derive(Debug)]
struct Lookup {
    name: Name,
    kind: Kind,
    outcome: RefCell<Option<Outcome>>,
    done: Notify,
}

/// See [`Client::begin`].
enum Begun {
    Known(Outcome),
    Joined(Rc<Lookup>),
    New(Rc<Lookup>),
    /// There are as many lookups as there may be.
    Full,
}

impl Client {
    /// A client that works for `instance`, and knows no server yet.
    #[must_use]
    pub fn new(instance: &'static str) -> Client {
        Client::with(instance, Patience::USUAL)
    }

    pub(crate) fn with(instance: &'static str, patience: Patience) -> Client {
        let (state, room) = (RefCell::default(), Notify::new());
        Client(Rc::new(Shared { instance, patience, state, room }))
    }

    /// Has `servers` asked from now on, the first three in their order; forgets what others said.
    pub fn set_servers(&self, servers: impl IntoIterator<Item = SocketAddr>) {
        let mut state = self.0.state.borrow_mut();
        let mut new: Vec<Server> = Vec::new();
        for address in servers {
            if new.len() < SERVERS && new.iter().all(|server| server.address != address) {
                new.push(Server { address, style: Style { extended: true, mixed: true } });
            }
        }
        let is_known = |server: &Server| state.servers.iter().any(|old| old.address == server.address);
        if new.len() == state.servers.len() && new.iter().all(is_known) {
            return;
        }
        state.servers = new;
        state.cache.clear();
    }

    /// What was counted so far.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.0.state.borrow().counters
    }

    /// The addresses of `name`, over `net`: [`Resolver::lookup`](unik::interface::Resolver::lookup).
    ///
    /// # Errors
    /// [`ResolveError`].
    pub async fn lookup<N: Network>(
        &self,
        net: &N,
        name: &str,
        family: Family,
    ) -> Result<Vec<IpAddr>, ResolveError> {
        if let Ok(address) = name.parse() {
            return of_family([address], family);
        }
        let name = Name::parse(name).ok_or(ResolveError::BadName)?;
        // Names that are the same everywhere (RFC 6761, section 6).
        if name.ends_in(b"localhost") {
            return of_family([Ipv6Addr::LOCALHOST.into(), Ipv4Addr::LOCALHOST.into()], family);
        }
        if name.ends_in(b"invalid") {
            return Err(ResolveError::NoName);
        }
        match family {
            Family::V4 => self.find(net, &name, Kind::A).await,
            Family::V6 => self.find(net, &name, Kind::Aaaa).await,
            Family::Any if net.has_ipv6() => self.find_both(net, &name).await,
            Family::Any => self.find(net, &name, Kind::A).await,
        }
    }

    /// Asks for both families at one time, and waits for the second one only for a moment.
    async fn find_both<N: Network>(&self, net: &N, name: &Name) -> Outcome {
        let (mut four, mut six) =
            (pin!(self.find(net, name, Kind::A)), pin!(self.find(net, name, Kind::Aaaa)));
        let (mut of_four, mut of_six) = (None, None);
        let mut moment = None;
        poll_fn(|cx| {
            look(four.as_mut(), &mut of_four, cx);
            look(six.as_mut(), &mut of_six, cx);
            match (&of_four, &of_six) {
                (Some(_), Some(_)) => return Poll::Ready(()),
                (Some(Ok(_)), None) | (None, Some(Ok(_))) => {}
                _ => return Poll::Pending,
            }
            let moment = moment.get_or_insert_with(|| alloc::boxed::Box::pin(sleep(self.0.patience.other)));
            moment.as_mut().poll(cx)
        })
        .await;
        match (of_six, of_four) {
            (Some(Ok(mut six)), Some(Ok(four))) => {
                six.extend(four);
                Ok(six)
            }
            (Some(Ok(one)), _) | (_, Some(Ok(one))) => Ok(one),
            // That there is nothing of one family tells less than what went wrong with the other.
            (Some(Err(ResolveError::NoName)), Some(Err(other))) => Err(other),
            (Some(Err(error)), _) | (_, Some(Err(error))) => Err(error),
            (None, None) => Err(ResolveError::TimedOut),
        }
    }

    /// Finds addresses of one family: known, or by a lookup under way or a new one.
    async fn find<N: Network>(&self, net: &N, name: &Name, kind: Kind) -> Outcome {
        self.count(|counters| counters.lookups += 1);
        let lookup = loop {
            let room = self.0.room.notified();
            match self.begin(name, kind) {
                Begun::Known(outcome) => return outcome,
                Begun::Joined(lookup) => break lookup,
                Begun::New(lookup) => {
                    // Of its own, so that it ends well for others when this one isn't waited for any longer.
                    let run = self.clone().run(net.clone(), lookup.clone());
                    unik::executor::spawn_background(self.0.instance, run);
                    break lookup;
                }
                Begun::Full => room.await,
            }
        };
        loop {
            let done = lookup.done.notified();
            if let Some(outcome) = lookup.outcome.borrow().clone() {
                return outcome;
            }
            done.await;
        }
    }

    /// What there is to a lookup at its beginning.
    fn begin(&self, name: &Name, kind: Kind) -> Begun {
        let mut state = self.0.state.borrow_mut();
        if let Some(outcome) = state.cache.find(name, kind, Instant::now()) {
            state.counters.known += 1;
            return Begun::Known(outcome);
        }
        let same = state.running.iter().find(|lookup| lookup.kind == kind && lookup.name == *name);
        if let Some(lookup) = same.cloned() {
            state.counters.joined += 1;
            return Begun::Joined(lookup);
        }
        if state.servers.is_empty() {
            return Begun::Known(Err(ResolveError::NoServer));
        }
        if state.running.len() >= RUNNING {
            return Begun::Full;
        }
        let (outcome, done) = (RefCell::default(), Notify::new());
        let lookup = Rc::new(Lookup { name: name.clone(), kind, outcome, done });
        state.running.push(lookup.clone());
        Begun::New(lookup)
    }

    /// Carries a lookup out.
    async fn run<N: Network>(self, net: N, lookup: Rc<Lookup>) {
        let (outcome, seconds) = ask(&self, &net, &lookup.name, lookup.kind).await;
        let seconds = kept(&outcome, seconds);
        {
            let mut state = self.0.state.borrow_mut();
            state.running.retain(|other| !Rc::ptr_eq(other, &lookup));
            state.cache.keep(&lookup.name, lookup.kind, outcome.clone(), seconds, Instant::now());
        }
        lookup.outcome.replace(Some(outcome));
        lookup.done.notify();
        self.0.room.notify();
    }

    pub(crate) fn patience(&self) -> Patience {
        self.0.patience
    }

    /// The servers, in the order in which they are asked.
    #[must_use]
    pub fn servers(&self) -> Vec<SocketAddr> {
        self.0.state.borrow().servers.iter().map(|server| server.address).collect()
    }

    /// Has `server` asked first from now on.
    pub(crate) fn has_answered(&self, server: SocketAddr) {
        let servers = &mut self.0.state.borrow_mut().servers;
        if let Some(at) = servers.iter().position(|other| other.address == server) {
            servers[..=at].rotate_right(1);
        }
    }

    /// How `server` is asked.
    pub(crate) fn style(&self, server: SocketAddr) -> Style {
        let state = self.0.state.borrow();
        let found = state.servers.iter().find(|other| other.address == server);
        found.map_or(Style { extended: false, mixed: true }, |server| server.style)
    }

    /// Has `server` asked so from now on.
    pub(crate) fn set_style(&self, server: SocketAddr, style: Style) {
        let mut state = self.0.state.borrow_mut();
        if let Some(server) = state.servers.iter_mut().find(|other| other.address == server) {
            server.style = style;
        }
    }

    pub(crate) fn count(&self, count: impl FnOnce(&mut Counters)) {
        count(&mut self.0.state.borrow_mut().counters);
    }
}

/// Takes what `future` has come to, once.
fn look<T>(future: Pin<&mut impl Future<Output = T>>, outcome: &mut Option<T>, cx: &mut Context<'_>) {
    if outcome.is_none()
        && let Poll::Ready(done) = future.poll(cx)
    {
        *outcome = Some(done);
    }
}

/// Those addresses that are of the family.
fn of_family(
    addresses: impl IntoIterator<Item = IpAddr>,
    family: Family,
) -> Result<Vec<IpAddr>, ResolveError> {
    let addresses = addresses.into_iter().filter(|address| match family {
        Family::V4 => address.is_ipv4(),
        Family::V6 => address.is_ipv6(),
        Family::Any => true,
    });
    let addresses: Vec<IpAddr> = addresses.collect();
    if addresses.is_empty() { Err(ResolveError::NoName) } else { Ok(addresses) }
}
