//! Listeners and connections, as services hold them.

use alloc::collections::VecDeque;
use core::future::poll_fn;
use core::net::SocketAddr;
use core::task::{Context, Poll};

use embedded_io_async::{ErrorType, Read, Write};
use smoltcp::socket::tcp::{RecvError, State};
use unik::executor::poll_budget;
use unik::interface::{ConnectError, Entropy, Frames, ListenError, StreamError, TcpListener, TcpStream};
use unik::start::Protocol;

use super::flow::Owner;
use super::{BACKLOG, Backlog, Tcp};
use crate::address::Address;
use crate::stack::{Handle, Shared};

impl<F: Frames, E: Entropy> unik::interface::Tcp for Handle<F, E> {
    type Listener = Listener<F, E>;
    type Stream = Stream<F, E>;

    fn listen(&self, port: u16) -> Result<Listener<F, E>, ListenError> {
        let mut stack = self.shared().borrow_mut();
        if !stack.is_declared(Protocol::Tcp, port) {
            return Err(ListenError::NotDeclared);
        }
        if stack.tcp.backlog(port).is_some() {
            return Err(ListenError::InUse);
        }
        let mut ready = VecDeque::new();
        let listeners = &mut stack.tcp.listeners;
        if ready.try_reserve_exact(BACKLOG).is_err() || listeners.try_reserve(1).is_err() {
            return Err(ListenError::Resources);
        }
        listeners.push(Backlog { port, ready, waker: None, half_open: 0 });
        Ok(Listener { shared: self.shared().clone(), port })
    }

    async fn connect(&self, to: SocketAddr) -> Result<Stream<F, E>, ConnectError> {
        let address = Address::new(to.ip()).ok_or(ConnectError::Unreachable)?;
        let stream = {
            let mut stack = self.shared().borrow_mut();
            let stack = &mut *stack;
            let slot = stack.tcp.connect(&mut stack.lower, address, to.port())?;
            stack.wake_driver();
            Stream { shared: self.shared().clone(), slot, peer: to }
        };
        poll_fn(|cx| stream.poll_connected(cx)).await?;
        Ok(stream)
    }
}

/// A listening port of an `ip` network.
#[derive(Debug)]
pub struct Listener<F: Frames, E: Entropy> {
    shared: Shared<F, E>,
    port: u16,
}

impl<F: Frames, E: Entropy> Listener<F, E> {
    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<Stream<F, E>> {
        if poll_budget(cx).is_pending() {
            return Poll::Pending;
        }
        let mut stack = self.shared.borrow_mut();
        if unik::shutdown::release() {
            // Closes the port.
            stack.tcp.unlisten(self.port);
            stack.wake_driver();
            return Poll::Pending;
        }
        let tcp = &mut stack.tcp;
        loop {
            let Some(backlog) = tcp.backlog(self.port) else { return Poll::Pending };
            let Some(slot) = backlog.ready.pop_front() else {
                backlog.waker = Some(cx.waker().clone());
                return Poll::Pending;
            };
            let Some(flow) = tcp.flows.get(slot) else { continue };
            if flow.error.is_some() {
                // Reset before anybody accepted it: there is nobody to tell.
                tcp.abandon(slot);
                continue;
            }
            flow.owner = Owner::Stream;
            let peer = flow.key.peer();
            return Poll::Ready(Stream { shared: self.shared.clone(), slot, peer });
        }
    }
}

impl<F: Frames, E: Entropy> TcpListener for Listener<F, E> {
    type Stream = Stream<F, E>;

    async fn accept(&mut self) -> Stream<F, E> {
        poll_fn(|cx| self.poll_accept(cx)).await
    }
}

impl<F: Frames, E: Entropy> Drop for Listener<F, E> {
    fn drop(&mut self) {
        let mut stack = self.shared.borrow_mut();
        stack.tcp.unlisten(self.port);
        stack.wake_driver();
    }
}

/// A connection of an `ip` network.
#[derive(Debug)]
pub struct Stream<F: Frames, E: Entropy> {
    shared: Shared<F, E>,
    /// Its place, which is its own until it is dropped.
    slot: u32,
    peer: SocketAddr,
}

impl<F: Frames, E: Entropy> Stream<F, E> {
    /// Does something with the connection, which then has its turn.
    fn with<R>(&self, act: impl FnOnce(&mut Tcp, u32) -> R) -> R {
        let mut stack = self.shared.borrow_mut();
        let result = act(&mut stack.tcp, self.slot);
        stack.tcp.mark(self.slot);
        stack.wake_driver();
        result
    }

    fn poll_connected(&self, cx: &Context<'_>) -> Poll<Result<(), ConnectError>> {
        let mut stack = self.shared.borrow_mut();
        let Some(flow) = stack.tcp.flows.get(self.slot) else {
            return Poll::Ready(Err(ConnectError::Resources));
        };
        match (flow.state(), flow.error) {
            _ if flow.unreachable => Poll::Ready(Err(ConnectError::Unreachable)),
            (State::SynSent | State::SynReceived, None) => {
                flow.socket().register_send_waker(cx.waker());
                Poll::Pending
            }
            (_, None) => {
                flow.deadline = None;
                Poll::Ready(Ok(()))
            }
            (_, Some(StreamError::Reset | StreamError::Closed)) => Poll::Ready(Err(ConnectError::Refused)),
            (_, Some(StreamError::TimedOut)) => Poll::Ready(Err(ConnectError::TimedOut)),
        }
    }

    fn poll_read(&self, buffer: &mut [u8], cx: &mut Context<'_>) -> Poll<Result<usize, StreamError>> {
        if buffer.is_empty() {
            return Poll::Ready(Ok(0));
        }
        if poll_budget(cx).is_pending() {
            return Poll::Pending;
        }
        let mut stack = self.shared.borrow_mut();
        let Some(flow) = stack.tcp.flows.get(self.slot) else { return Poll::Ready(Err(StreamError::Closed)) };
        let error = flow.error;
        let socket = flow.socket();
        match socket.recv_slice(buffer) {
            Ok(0) => {
                if let Some(error) = error {
                    return Poll::Ready(Err(error));
                }
                socket.register_recv_waker(cx.waker());
                Poll::Pending
            }
            Ok(length) => {
                flow.read = flow.read.wrapping_add(length as u32);
                // The window may have opened.
                stack.tcp.mark(self.slot);
                stack.wake_driver();
                Poll::Ready(Ok(length))
            }
            Err(RecvError::Finished) => Poll::Ready(Ok(0)),
            Err(RecvError::InvalidState) => Poll::Ready(Err(error.unwrap_or(StreamError::Closed))),
        }
    }

    fn poll_write(&self, data: &[u8], cx: &mut Context<'_>) -> Poll<Result<usize, StreamError>> {
        if poll_budget(cx).is_pending() {
            return Poll::Pending;
        }
        let mut stack = self.shared.borrow_mut();
        let Some(flow) = stack.tcp.flows.get(self.slot) else { return Poll::Ready(Err(StreamError::Closed)) };
        let error = flow.error;
        if flow.closing {
            return Poll::Ready(Err(error.unwrap_or(StreamError::Closed)));
        }
        let socket = flow.socket();
        match socket.send_slice(data) {
            Ok(0) if !data.is_empty() => {
                socket.register_send_waker(cx.waker());
                Poll::Pending
            }
            Ok(length) => {
                flow.wrote(length);
                stack.tcp.mark(self.slot);
                stack.wake_driver();
                Poll::Ready(Ok(length))
            }
            Err(_) => Poll::Ready(Err(error.unwrap_or(StreamError::Closed))),
        }
    }

    fn poll_closed(&self, cx: &Context<'_>) -> Poll<Result<(), StreamError>> {
        let mut stack = self.shared.borrow_mut();
        let Some(flow) = stack.tcp.flows.get(self.slot) else { return Poll::Ready(Err(StreamError::Closed)) };
        if let Some(error) = flow.error {
            return Poll::Ready(Err(error));
        }
        if flow.is_closed_by_us() {
            return Poll::Ready(Ok(()));
        }
        flow.socket().register_send_waker(cx.waker());
        Poll::Pending
    }
}

impl<F: Frames, E: Entropy> ErrorType for Stream<F, E> {
    type Error = StreamError;
}

impl<F: Frames, E: Entropy> Read for Stream<F, E> {
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, StreamError> {
        poll_fn(|cx| self.poll_read(buffer, cx)).await
    }
}

impl<F: Frames, E: Entropy> Write for Stream<F, E> {
    async fn write(&mut self, data: &[u8]) -> Result<usize, StreamError> {
        poll_fn(|cx| self.poll_write(data, cx)).await
    }

    /// Returns at once: what was written is sent in the network's next turn, flushed or not.
    async fn flush(&mut self) -> Result<(), StreamError> {
        Ok(())
    }
}

impl<F: Frames, E: Entropy> TcpStream for Stream<F, E> {
    fn peer(&self) -> SocketAddr {
        self.peer
    }

    async fn close(&mut self) -> Result<(), StreamError> {
        self.with(|tcp, slot| {
            if let Some(flow) = tcp.flows.get(slot) {
                flow.close();
            }
        });
        poll_fn(|cx| self.poll_closed(cx)).await
    }

    fn abort(&mut self) {
        self.with(|tcp, slot| {
            if let Some(flow) = tcp.flows.get(slot) {
                flow.error.get_or_insert(StreamError::Closed);
                flow.socket().abort();
            }
        });
    }
}

impl<F: Frames, E: Entropy> Drop for Stream<F, E> {
    fn drop(&mut self) {
        let mut stack = self.shared.borrow_mut();
        stack.tcp.abandon(self.slot);
        stack.wake_driver();
    }
}
