//! What every provider of `Tcp`, `Udp` and `Resolver` promises, as tests that each of them is put to: see
//! [`unik::interface`] for the words.
//!
//! A provider's test makes two [`Ends`] of one network and gives them to [`hold`], to
//! [`datagrams::hold`], and to [`names::hold`].
#![forbid(unsafe_code)]

pub mod datagrams;
pub mod names;

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use embedded_io_async::{Read, Write};
use unik::executor::{spawn, yield_now};
use unik::interface::{ConnectError, ListenError, StreamError, Tcp, TcpListener, TcpStream};
use unik::time::{Duration, sleep, timeout};

/// The port that the server may listen on, and one that nobody may.
pub const PORT: u16 = 80;
/// See [`PORT`].
pub const OTHER: u16 = 81;
/// As long as anything may take, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);
/// As long as something that mustn't happen is waited for.
const NEVER: Duration = Duration::from_millis(100);
/// More than any provider buffers of one connection.
const MOST: usize = 32 << 20;

/// Two ends of one network.
#[derive(Clone, Debug)]
pub struct Ends<S, C> {
    /// Declares [`PORT`].
    pub server: S,
    /// Opens connections.
    pub client: C,
    /// Where the client finds [`PORT`] of the server.
    pub at: SocketAddr,
}

/// Holds a provider to all promises.
///
/// # Panics
/// At the first that it doesn't keep.
pub async fn hold<S: Tcp, C: Tcp>(ends: &Ends<S, C>) {
    ports(ends).await;
    nothing_is_lost_by_what_is_dropped(ends).await;
    halves_close_by_themselves(ends).await;
    a_writer_waits(ends).await;
    what_isnt_closed_is_reset(ends).await;
    who_isnt_accepted_waits(ends).await;
    a_close_that_is_dropped_goes_on(ends).await;
}

/// Holds a provider to what it promises where frames get lost: all but resets, since one that is
/// lost isn't sent again.
///
/// # Panics
/// At the first that it doesn't keep.
pub async fn hold_with_losses<S: Tcp, C: Tcp>(ends: &Ends<S, C>) {
    ports(ends).await;
    nothing_is_lost_by_what_is_dropped(ends).await;
    halves_close_by_themselves(ends).await;
    a_writer_waits(ends).await;
    a_close_that_is_dropped_goes_on(ends).await;
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.expect("in time")
}

async fn pair<S: Tcp, C: Tcp>(ends: &Ends<S, C>, listener: &mut S::Listener) -> (C::Stream, S::Stream) {
    let opened = within(ends.client.connect(ends.at)).await.expect("a connection");
    (opened, within(listener.accept()).await)
}

/// Polls `make`'s future `polls` times, and drops it; again, until one is ready.
async fn nagging<T>(polls: &Cell<u32>, mut make: impl AsyncFnMut() -> T) -> T {
    loop {
        polls.set(polls.get() % 3 + 1);
        let mut left = polls.get();
        let mut future = pin!(make());
        let outcome = poll_fn(|cx| match future.as_mut().poll(cx) {
            Poll::Ready(outcome) => Poll::Ready(Some(outcome)),
            Poll::Pending => {
                left -= 1;
                if left == 0 { Poll::Ready(None) } else { Poll::Pending }
            }
        });
        if let Ok(Some(outcome)) = timeout(Duration::from_micros(300), outcome).await {
            return outcome;
        }
        yield_now().await;
    }
}

async fn ports<S: Tcp, C: Tcp>(ends: &Ends<S, C>) {
    assert_eq!(ends.server.listen(OTHER).err(), Some(ListenError::NotDeclared));
    assert_eq!(within(ends.client.connect(ends.at)).await.err(), Some(ConnectError::Refused));
    let listener = ends.server.listen(PORT).expect("a port");
    assert_eq!(ends.server.listen(PORT).err(), Some(ListenError::InUse));
    drop(listener);
    drop(ends.server.listen(PORT).expect("the port, free again"));
}

/// Of reads, writes and accepts, at any point.
#[allow(
    clippy::await_holding_refcell_ref,
    reason = "one future has it at a time, and is dropped before the next"
)]
async fn nothing_is_lost_by_what_is_dropped<S: Tcp, C: Tcp>(ends: &Ends<S, C>) {
    const CLIENTS: usize = 6;
    const BYTES: usize = 60_000;
    let mut listener = ends.server.listen(PORT).expect("a port");
    let done = Rc::new(Cell::new(0));
    for _ in 0..CLIENTS {
        let (client, at, done) = (ends.client.clone(), ends.at, Rc::clone(&done));
        spawn("client", async move {
            let mut stream = within(client.connect(at)).await.expect("a connection");
            let (polls, mut sent) = (Cell::new(0), 0);
            while sent < BYTES {
                let chunk: Vec<u8> = (sent..BYTES.min(sent + 5_000)).map(|at| (at % 251) as u8).collect();
                let stream = RefCell::new(&mut stream);
                sent += nagging(&polls, async || stream.borrow_mut().write(&chunk).await)
                    .await
                    .expect("a reader");
            }
            within(stream.close()).await.expect("an acknowledgement");
            assert_eq!(within(stream.read(&mut [0])).await, Ok(0));
            done.set(done.get() + 1);
        });
    }
    let polls = Cell::new(0);
    let listener = RefCell::new(&mut listener);
    for _ in 0..CLIENTS {
        let mut stream = within(nagging(&polls, async || listener.borrow_mut().accept().await)).await;
        spawn("server", async move {
            let (polls, mut read) = (Cell::new(0), 0);
            loop {
                let mut buffer = [0; 3_000];
                let length = {
                    let both = RefCell::new((&mut stream, &mut buffer));
                    nagging(&polls, async || {
                        let (stream, buffer) = &mut *both.borrow_mut();
                        stream.read(&mut buffer[..]).await
                    })
                    .await
                    .expect("a writer")
                };
                if length == 0 {
                    break;
                }
                let expected =
                    buffer[..length].iter().zip(read..).all(|(byte, at)| usize::from(*byte) == at % 251);
                assert!(expected, "from byte {read} on");
                read += length;
            }
            assert_eq!(read, BYTES);
            within(stream.close()).await.expect("an acknowledgement");
        });
    }
    within(async {
        while done.get() < CLIENTS {
            sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
}

async fn halves_close_by_themselves<S: Tcp, C: Tcp>(ends: &Ends<S, C>) {
    let mut listener = ends.server.listen(PORT).expect("a port");
    let (mut one, mut other) = pair(ends, &mut listener).await;
    within(one.write_all(b"question")).await.expect("an open half");
    within(one.close()).await.expect("an acknowledgement");
    within(one.close()).await.expect("to close again changes nothing");
    assert_eq!(within(one.write(b"more")).await, Err(StreamError::Closed));
    let mut question = [0; 8];
    within(other.read_exact(&mut question)).await.expect("the question");
    for _ in 0..2 {
        assert_eq!(within(other.read(&mut [0])).await, Ok(0));
    }
    // The other half is open for as long as it likes.
    sleep(NEVER).await;
    within(other.write_all(b"answer")).await.expect("an open half");
    within(other.close()).await.expect("an acknowledgement");
    drop(other);
    let mut answer = [0; 6];
    within(one.read_exact(&mut answer)).await.expect("the answer");
    assert_eq!((&question, &answer), (b"question", b"answer"));
    for _ in 0..2 {
        assert_eq!(within(one.read(&mut [0])).await, Ok(0));
    }
}

async fn a_writer_waits<S: Tcp, C: Tcp>(ends: &Ends<S, C>) {
    let mut listener = ends.server.listen(PORT).expect("a port");
    let (mut one, mut other) = pair(ends, &mut listener).await;
    let chunk = [7; 16_384];
    let mut sent = 0;
    while let Ok(written) = timeout(NEVER, one.write(&chunk)).await {
        sent += written.expect("an open half");
        assert!(sent < MOST, "nothing bounds what is kept");
    }
    assert!(timeout(NEVER, one.close()).await.is_err(), "closed with {sent} bytes on their way");
    let mut read = 0;
    let mut buffer = [0; 16_384];
    while read < sent {
        read += within(other.read(&mut buffer)).await.expect("a writer");
    }
    assert_eq!(read, sent);
    // The close that was dropped went on.
    assert_eq!(within(other.read(&mut buffer)).await, Ok(0));
}

async fn what_isnt_closed_is_reset<S: Tcp, C: Tcp>(ends: &Ends<S, C>) {
    let mut listener = ends.server.listen(PORT).expect("a port");
    let (mut one, mut other) = pair(ends, &mut listener).await;
    one.abort();
    assert_eq!(within(one.read(&mut [0])).await, Err(StreamError::Closed));
    assert_eq!(within(one.write(&[0])).await, Err(StreamError::Closed));
    assert_eq!(within(one.close()).await, Err(StreamError::Closed));
    assert_eq!(within(other.read(&mut [0])).await, Err(StreamError::Reset));
    let (one, mut other) = pair(ends, &mut listener).await;
    drop(one);
    assert_eq!(within(other.read(&mut [0])).await, Err(StreamError::Reset));
    // In order on both sides: not reset.
    let (mut one, mut other) = pair(ends, &mut listener).await;
    within(one.close()).await.expect("an acknowledgement");
    drop(one);
    assert_eq!(within(other.read(&mut [0])).await, Ok(0));
    assert_eq!(within(other.close()).await, Ok(()));
}

async fn who_isnt_accepted_waits<S: Tcp, C: Tcp>(ends: &Ends<S, C>) {
    let mut listener = ends.server.listen(PORT).expect("a port");
    let mut opened = Vec::new();
    for number in 0..4u8 {
        let mut stream = within(ends.client.connect(ends.at)).await.expect("a connection");
        within(stream.write_all(&[number])).await.expect("room");
        opened.push(stream);
    }
    let mut first = within(listener.accept()).await;
    let mut byte = [9];
    within(first.read_exact(&mut byte)).await.expect("what was sent before");
    assert_eq!(byte, [0]);
    drop(listener);
    // The port is closed; who was accepted stays, the others are reset.
    assert_eq!(within(ends.client.connect(ends.at)).await.err(), Some(ConnectError::Refused));
    within(first.write_all(b"x")).await.expect("an open half");
    within(opened[0].read_exact(&mut byte)).await.expect("a byte");
    for stream in &mut opened[1..] {
        assert_eq!(within(stream.read(&mut [0])).await, Err(StreamError::Reset));
    }
}

async fn a_close_that_is_dropped_goes_on<S: Tcp, C: Tcp>(ends: &Ends<S, C>) {
    let mut listener = ends.server.listen(PORT).expect("a port");
    let (mut one, mut other) = pair(ends, &mut listener).await;
    within(one.write_all(b"last")).await.expect("room");
    // Polled once.
    let mut close = Box::pin(one.close());
    poll_fn(|cx| {
        let _ = close.as_mut().poll(cx);
        Poll::Ready(())
    })
    .await;
    drop(close);
    let mut last = [0; 4];
    within(other.read_exact(&mut last)).await.expect("all of it");
    assert_eq!(within(other.read(&mut [0])).await, Ok(0));
}
