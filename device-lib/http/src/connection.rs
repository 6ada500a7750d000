//! One connection: requests in, answers out, in their order, for as long as the client
//! keeps to the rules and the time limits.
//!
//! Answers are collected while there are whole requests in the input, and sent with one
//! write before more input is waited for: a pipelining client gets its answers in as few
//! segments as they fit in, and a single answer leaves in one write with its head.

use alloc::vec::Vec;
use core::future::{Future, poll_fn};
use core::pin::pin;
use core::task::Poll;

use log::{debug, error, warn};
use unik::interface::{Clock, TcpStream};
use unik::shutdown;
use unik::time::{self, Alarm, Duration};

use crate::answer::{self, About};
use crate::body::{self, Sink};
use crate::buffer::{Input, append};
use crate::handler::Found;
use crate::head::{self, Framing, Head, Refusal, Scanner};
use crate::path::{self, Target};
use crate::service::{Service, count};
use crate::site::{self, Entry};
use crate::wire::{Stop, Wire, linger, too_late};
use crate::{Method, Request, Response, Routes, Site, Status};

/// A client that asks again so soon is in the middle of something.
const BUSY: Duration = Duration::from_millis(20);
/// After so long without a request, a connection gives its memory back.
const DOZE: Duration = Duration::from_secs(1);

/// How long the client of a connection that goes for another has to acknowledge the end.
const LEAVE: Duration = Duration::from_secs(1);

/// What files allow.
const FILE_METHODS: &str = "GET, HEAD, OPTIONS";

/// One connection.
pub(crate) struct Connection<'s, T, S: Site, C> {
    wire: Wire<T>,
    service: &'s Service<S, C>,
    input: Input,
    /// For paths that have to be decoded.
    scratch: Vec<u8>,
}

/// Who answers a request.
enum Action {
    /// The handler with this number.
    Handler(u16),
    /// A file, or the way to a folder.
    Entry(Entry),
    /// The server itself: a status, and what the `Allow` header says.
    Own(Status, Option<&'static str>),
}

impl<'s, T: TcpStream, S: Site, C: Clock> Connection<'s, T, S, C> {
    pub(crate) fn new(stream: T, service: &'s Service<S, C>) -> Self {
        let wire = Wire {
            stream,
            output: Vec::new(),
            write_timeout: service.options.write_timeout,
            alarm: Alarm::new(),
        };
        Connection { wire, service, input: Input::default(), scratch: Vec::new() }
    }

    /// Serves until the connection ends. It holds `place` for as long as it may be asked for
    /// something.
    pub(crate) async fn run<P>(mut self, place: P) {
        let mut stop = self.serve().await;
        if let Stop::Refused(refusal) = stop {
            self.refuse(refusal);
            let response = Response::from(refusal.status);
            let out = &mut self.wire.output;
            let told = answer::response(out, &self.service.date, &response, About::NO_REQUEST)
                .and_then(|text| append(out, text));
            stop = told.map_or(Stop::OutOfMemory, |()| Stop::Done);
        }
        if let (Stop::Done | Stop::Idle, Err(late)) = (stop, self.wire.flush().await) {
            stop = late;
        }
        self.note(stop);
        if stop == Stop::SentAway {
            drop(place);
            // What it was sent before may still be under way: not a reset at once.
            let _ = time::timeout(LEAVE, self.wire.stream.close()).await;
            return self.wire.stream.abort();
        }
        match stop {
            Stop::Done | Stop::Idle => linger(&mut self.wire.stream).await,
            _ => self.wire.stream.abort(),
        }
    }

    /// Serves requests until something ends that.
    async fn serve(&mut self) -> Stop {
        let mut is_first = true;
        loop {
            let length = match self.head(is_first).await {
                Ok(length) => length,
                Err(stop) => return stop,
            };
            count(&self.service.counts.requests);
            if let Err(stop) = self.exchange(length).await {
                return stop;
            }
            is_first = false;
        }
    }

    /// Waits for a whole head; its length.
    async fn head(&mut self, is_first: bool) -> Result<usize, Stop> {
        let options = self.service.options;
        let mut scanner = Scanner::default();
        let (mut has_begun, mut deadline) = (is_first, None);
        loop {
            // RFC 9112, 2.2: empty lines before a request are left away.
            while self.input.pending().starts_with(b"\r\n") {
                self.input.consume(2);
            }
            let pending = self.input.pending();
            if pending != b"\r"
                && let Some(length) = scanner.advance(pending)?
            {
                return Ok(length);
            }
            if pending.len() >= options.max_header {
                return Err(Stop::Refused(if scanner.has_request_line() {
                    Refusal::new(Status::HEADER_FIELDS_TOO_LARGE, "a head above `max-header`")
                } else {
                    Refusal::new(Status::URI_TOO_LONG, "a request line above `max-header`")
                }));
            }
            let is_empty = pending.is_empty();
            self.wire.flush().await?;
            if is_empty && !has_begun {
                self.idle().await?;
                has_begun = true;
                continue;
            }
            // From here on one deadline: bytes that come one at a time don't move it.
            let until = *deadline.get_or_insert_with(|| time::now() + options.header_timeout);
            let room = self.input.room(options.max_header)?;
            // Nothing is begun any more when the appliance is to end.
            let read = {
                let mut read = pin!(self.wire.read(room, until));
                poll_fn(|cx| match read.as_mut().poll(cx) {
                    Poll::Pending if is_empty && shutdown::is_asked() => Poll::Ready(Ok(None)),
                    read => read,
                })
                .await
            };
            match read? {
                Some(0) | None if is_empty => return Err(Stop::Idle),
                Some(0) => return Err(Refusal::bad("a head that ends in the middle").into()),
                None => return Err(too_late("a head that takes too long")),
                Some(length) => self.input.filled(length),
            }
        }
    }

    /// Waits between two requests. After a while the connection's memory is given back, and
    /// the connection itself when others need its place.
    async fn idle(&mut self) -> Result<(), Stop> {
        let options = self.service.options;
        let start = time::now();
        let mut place = self.service.dozing.place();
        let steps = [BUSY, DOZE, options.idle_timeout].map(|step| start + step.min(options.idle_timeout));
        for (number, until) in steps.into_iter().enumerate() {
            let room = self.input.room(options.max_header)?;
            let read = self.wire.read(room, until);
            let came = match number {
                0 => Some(read.await),
                _ => place.until_sent_away(read).await,
            };
            let Some(came) = came else {
                return Err(if shutdown::is_asked() { Stop::Idle } else { Stop::SentAway });
            };
            match came? {
                Some(0) => return Err(Stop::Idle),
                Some(length) => {
                    self.input.filled(length);
                    return Ok(());
                }
                None if number == 0 => {}
                None => {
                    self.input.shrink();
                    self.wire.shrink();
                    self.scratch = Vec::new();
                }
            }
        }
        Err(Stop::Idle)
    }

    /// Answers the request whose head is the first `length` bytes of the input.
    async fn exchange(&mut self, length: usize) -> Result<(), Stop> {
        let Connection { wire, service, input, scratch } = self;
        let (head, rest) = input.pending().split_at(length);
        let head = head::parse(head)?;
        if head.method == Method::Connect {
            return Err(Refusal::new(Status::NOT_IMPLEMENTED, "a request for a tunnel").into());
        }
        let target = path::resolve(head.target, scratch).map_err(|path::BadTarget(why)| Refusal::bad(why))?;
        let action = Self::action(&head, target);
        if let Framing::Length(length) = head.body
            && length > service.options.max_body as u64
        {
            return Err(Refusal::new(Status::CONTENT_TOO_LARGE, "a body above `max-body`").into());
        }
        let mut about = About::of(&head);
        about.keep_alive &= !shutdown::is_asked();
        let mut content = Vec::new();
        let sink = match action {
            Action::Handler(_) if S::Routes::ANY => {
                if head.expects_continue && rest.is_empty() {
                    append(&mut wire.output, b"HTTP/1.1 100 Continue\r\n\r\n")?;
                }
                Some(Sink::Keep(&mut content))
            }
            // It asks first whether the body is wanted. It isn't; but some clients send
            // it all the same, so that nobody knows where the next request begins.
            _ if head.expects_continue => {
                about.keep_alive = false;
                None
            }
            _ => Some(Sink::Drop),
        };
        let used = match sink {
            Some(sink) => body::read(wire, head.body, rest, service.options, sink).await?,
            None => body::Used::default(),
        };
        let answered: Response;
        let (out, date) = (&mut wire.output, &service.date);
        let content = match (action, target) {
            (Action::Entry(Entry::File(file)), _) => answer::file(out, date, file, &head, about)?,
            (Action::Entry(Entry::Folder(location)), Target::Path { query, .. }) => {
                answer::folder(out, date, location, query, about)?;
                &[]
            }
            (Action::Handler(route), Target::Path { path, query }) if S::Routes::ANY => {
                let Head { method, fields, .. } = head;
                let peer = wire.stream.peer();
                let request = Request { method, path, query, fields, body: &content, peer };
                let mut call = pin!(service.routes.call(route, &request));
                let at_once = poll_fn(|cx| Poll::Ready(call.as_mut().poll(cx))).await;
                let response = match at_once {
                    Poll::Ready(response) => response,
                    Poll::Pending => {
                        // Earlier answers mustn't wait for a handler that takes its time.
                        wire.flush().await?;
                        call.await
                    }
                };
                about.keep_alive &= !response.close;
                answered = checked(response, service.instance, path);
                answer::response(&mut wire.output, date, &answered, about)?
            }
            (action, _) => {
                let (status, allow) = match action {
                    Action::Own(status, allow) => (status, allow),
                    // Only paths lead to handlers and folders.
                    _ => (Status::NOT_FOUND, None),
                };
                let response = Response::from(status);
                answered = match allow {
                    Some(methods) => response.header("Allow", methods),
                    None => response,
                };
                answer::response(out, date, &answered, about)?
            }
        };
        wire.body(content).await?;
        input.consume(length + used.of_input);
        input.put_back(&used.beyond)?;
        if about.keep_alive { Ok(()) } else { Err(Stop::Done) }
    }

    fn action(head: &Head<'_>, target: Target<'_>) -> Action {
        let Target::Path { path, .. } = target else {
            return match head.method {
                Method::Options => Action::Own(Status::NO_CONTENT, Some(FILE_METHODS)),
                _ => Action::Own(Status::BAD_REQUEST, None),
            };
        };
        if S::Routes::ANY {
            match S::Routes::find(path, head.method) {
                Found::Handler(route) => return Action::Handler(route),
                Found::Other(allow) if head.method == Method::Options => {
                    return Action::Own(Status::NO_CONTENT, Some(allow));
                }
                Found::Other(allow) => return Action::Own(Status::METHOD_NOT_ALLOWED, Some(allow)),
                Found::Nothing => {}
            }
        }
        match (site::search(S::paths(), path), head.method) {
            (Some(entry), Method::Get | Method::Head) => Action::Entry(entry),
            (Some(_), Method::Options) => Action::Own(Status::NO_CONTENT, Some(FILE_METHODS)),
            (Some(_), _) => Action::Own(Status::METHOD_NOT_ALLOWED, Some(FILE_METHODS)),
            (None, _) => Action::Own(Status::NOT_FOUND, None),
        }
    }

    fn refuse(&self, Refusal { status, reason }: Refusal) {
        let counts = &self.service.counts;
        let counter = if status == Status::REQUEST_TIMEOUT { &counts.timed_out } else { &counts.refused };
        let so_far = count(counter);
        let (instance, peer) = (self.service.instance, self.wire.stream.peer());
        debug!("{instance}: {peer}: {} for {reason} ({so_far} such so far)", status.code());
    }

    fn note(&self, stop: Stop) {
        let (service, counts) = (self.service, &self.service.counts);
        let peer = self.wire.stream.peer();
        match stop {
            Stop::Done | Stop::Idle | Stop::SentAway | Stop::Refused(_) => {}
            Stop::Stalled => {
                let so_far = count(&counts.timed_out);
                debug!("{}: {peer}: takes no answer ({so_far} timed out so far)", service.instance);
            }
            Stop::Broken(error) => {
                let so_far = count(&counts.broken);
                debug!("{}: {peer}: {error} ({so_far} broken so far)", service.instance);
            }
            Stop::OutOfMemory => {
                let so_far = count(&counts.out_of_memory);
                // Without the peer, whose request wasn't at fault.
                warn!("{}: no memory for a request ({so_far} so far)", service.instance);
            }
        }
    }
}

/// A handler's response, or 500 where it isn't one.
fn checked(response: Response, instance: &str, path: &str) -> Response {
    match response.refused {
        None => response,
        Some(name) => {
            error!("{instance}: the handler of {path} gave a header that can't be sent: {name}");
            Status::INTERNAL_SERVER_ERROR.into()
        }
    }
}
