//! A TCP of memory, for tests: both ends of a connection, with small windows, half
//! closes, resets, and a count of the writes.

use alloc::collections::VecDeque;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::future::poll_fn;
use core::net::SocketAddr;
use core::task::{Context, Poll, Waker};

use embedded_io_async::{ErrorType, Read, Write};
use unik::interface::{ConnectError, ListenError, StreamError, Tcp, TcpListener, TcpStream};

/// One direction.
#[derive(Default)]
struct Pipe {
    bytes: VecDeque<u8>,
    window: usize,
    closed: bool,
    writes: usize,
    wakers: Vec<Waker>,
}

impl Pipe {
    fn wake(&mut self) {
        self.wakers.drain(..).for_each(Waker::wake);
    }
}

#[derive(Default)]
struct Shared {
    /// Indexed by who reads: 0 the server, 1 the client.
    pipes: [Pipe; 2],
    reset: bool,
}

impl Shared {
    fn reset(&mut self) {
        self.reset = true;
        self.pipes.iter_mut().for_each(Pipe::wake);
    }
}

/// One end of a connection.
pub(crate) struct End {
    shared: Rc<RefCell<Shared>>,
    me: usize,
    is_closed: bool,
}

/// A connection: the server's end and the client's. The server reads at most `window`
/// bytes at a time, and may have `back` bytes under way that the client didn't read.
pub(crate) fn connection(window: usize, back: usize) -> (End, End) {
    let mut shared = Shared::default();
    (shared.pipes[0].window, shared.pipes[1].window) = (window, back);
    let shared = Rc::new(RefCell::new(shared));
    let end = |me| End { shared: Rc::clone(&shared), me, is_closed: false };
    (end(0), end(1))
}

impl End {
    /// How many times the other end wrote.
    pub(crate) fn writes(&self) -> usize {
        self.shared.borrow().pipes[self.me].writes
    }

    /// Reads until the other end closes; `Err` with what came when it resets.
    pub(crate) async fn read_to_end(&mut self) -> Result<Vec<u8>, Vec<u8>> {
        let (mut all, mut piece) = (Vec::new(), [0; 997]);
        loop {
            match self.read(&mut piece).await {
                Ok(0) => return Ok(all),
                Ok(length) => all.extend_from_slice(&piece[..length]),
                Err(_) => return Err(all),
            }
        }
    }

    /// Reads until `end` has come.
    pub(crate) async fn read_until(&mut self, end: &[u8]) -> Vec<u8> {
        let mut all = Vec::new();
        while !all.ends_with(end) {
            let mut byte = [0];
            match self.read(&mut byte).await {
                Ok(1) => all.push(byte[0]),
                other => panic!("{other:?} after {:?}", alloc::string::String::from_utf8_lossy(&all)),
            }
        }
        all
    }

    fn poll<R>(
        &self,
        cx: &mut Context<'_>,
        pipe: usize,
        act: impl FnOnce(&mut Pipe) -> Option<R>,
    ) -> Poll<Result<R, StreamError>> {
        if unik::executor::poll_budget(cx).is_pending() {
            return Poll::Pending;
        }
        let mut shared = self.shared.borrow_mut();
        if shared.reset {
            return Poll::Ready(Err(StreamError::Reset));
        }
        let pipe = &mut shared.pipes[pipe];
        match act(pipe) {
            Some(result) => {
                pipe.wake();
                Poll::Ready(Ok(result))
            }
            None => {
                pipe.wakers.push(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl ErrorType for End {
    type Error = StreamError;
}

impl Read for End {
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, StreamError> {
        assert!(!buffer.is_empty(), "a read without room says nothing");
        poll_fn(|cx| {
            self.poll(cx, self.me, |pipe| {
                let length = buffer.len().min(pipe.bytes.len()).min(pipe.window);
                buffer.iter_mut().zip(pipe.bytes.drain(..length)).for_each(|(to, byte)| *to = byte);
                (length > 0 || pipe.closed).then_some(length)
            })
        })
        .await
    }
}

impl Write for End {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, StreamError> {
        if self.is_closed {
            return Err(StreamError::Closed);
        }
        poll_fn(|cx| {
            self.poll(cx, 1 - self.me, |pipe| {
                let length = bytes.len().min(pipe.window.saturating_sub(pipe.bytes.len()));
                pipe.bytes.extend(&bytes[..length]);
                pipe.writes += 1;
                (length > 0 || bytes.is_empty()).then_some(length)
            })
        })
        .await
    }

    async fn flush(&mut self) -> Result<(), StreamError> {
        Ok(())
    }
}

impl TcpStream for End {
    fn peer(&self) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, 1], 1000 + self.me as u16))
    }

    async fn close(&mut self) -> Result<(), StreamError> {
        self.is_closed = true;
        let mut shared = self.shared.borrow_mut();
        let pipe = &mut shared.pipes[1 - self.me];
        pipe.closed = true;
        pipe.wake();
        Ok(())
    }

    fn abort(&mut self) {
        self.is_closed = true;
        self.shared.borrow_mut().reset();
    }
}

impl Drop for End {
    fn drop(&mut self) {
        if !self.is_closed {
            self.shared.borrow_mut().reset();
        }
    }
}

/// A network on which tests connect.
#[derive(Clone, Default)]
pub(crate) struct Net(Rc<RefCell<(VecDeque<End>, Vec<Waker>)>>);

impl Net {
    /// Connects to whatever listens.
    pub(crate) fn client(&self) -> End {
        let (server, client) = connection(usize::MAX, usize::MAX);
        let mut net = self.0.borrow_mut();
        net.0.push_back(server);
        net.1.drain(..).for_each(Waker::wake);
        client
    }
}

impl Tcp for Net {
    type Listener = Net;
    type Stream = End;

    fn listen(&self, port: u16) -> Result<Net, ListenError> {
        if port == 1 { Err(ListenError::InUse) } else { Ok(self.clone()) }
    }

    async fn connect(&self, _: SocketAddr) -> Result<End, ConnectError> {
        Err(ConnectError::Unreachable)
    }
}

impl TcpListener for Net {
    type Stream = End;

    async fn accept(&mut self) -> End {
        poll_fn(|cx| {
            let mut net = self.0.borrow_mut();
            match net.0.pop_front() {
                Some(end) => Poll::Ready(end),
                None => {
                    net.1.push(cx.waker().clone());
                    Poll::Pending
                }
            }
        })
        .await
    }
}
