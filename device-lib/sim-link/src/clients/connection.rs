//! A TCP connection of a client.

use smoltcp::iface::SocketHandle;
use smoltcp::socket::tcp::{CongestionControl, RecvError, Socket, SocketBuffer, State};
use smoltcp::time::Duration;

use super::{Cx, Step};

/// A peer that is silent for so long is given up.
const TIMEOUT: Duration = Duration::from_secs(120);

/// A connection to the appliance.
#[derive(Debug)]
pub(crate) struct Connection {
    handle: SocketHandle,
    is_up: bool,
}

/// What is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Read {
    /// So many bytes.
    Some(usize),
    /// Nothing now.
    Nothing,
    /// Nothing any more: the other half is closed.
    End,
}

impl Connection {
    /// Begins a connection to `port`, with buffers that the seed chooses.
    pub fn open(cx: &mut Cx<'_>, port: u16) -> Connection {
        let size = [300, 1_000, 4_000, 20_000][cx.random.between(0, 3) as usize];
        let mut socket = Socket::new(SocketBuffer::new(vec![0; size]), SocketBuffer::new(vec![0; 4096]));
        socket.set_timeout(Some(TIMEOUT));
        socket.set_nagle_enabled(false);
        socket.set_congestion_control(CongestionControl::Reno);
        let local = *cx.next_port;
        *cx.next_port = if local == u16::MAX { 1024 } else { local + 1 };
        // Fails for port 0 alone, which is none that a service listens on: it then never comes up.
        let _ = socket.connect(cx.interface.context(), (cx.guest, port), local);
        cx.opened.push((local, port));
        Connection { handle: cx.sockets.add(socket), is_up: false }
    }

    fn socket<'a>(&self, cx: &'a mut Cx<'_>) -> &'a mut Socket<'static> {
        cx.sockets.get_mut::<Socket<'static>>(self.handle)
    }

    /// Whether it is up; what to say if it can't be any more.
    pub fn poll_up(&mut self, cx: &mut Cx<'_>) -> Result<bool, Step> {
        if self.is_up {
            return Ok(true);
        }
        match self.socket(cx).state() {
            State::Closed => Err(Step::Broken("the connection was refused, or nobody answered".into())),
            State::SynSent | State::SynReceived | State::Listen => Ok(false),
            _ => {
                self.is_up = true;
                cx.progress = true;
                Ok(true)
            }
        }
    }

    /// Sends what there is room for.
    pub fn send(&self, cx: &mut Cx<'_>, data: &[u8]) -> Result<usize, Step> {
        let sent = self.socket(cx).send_slice(data).map_err(|_| broken())?;
        cx.progress |= sent > 0;
        Ok(sent)
    }

    pub fn receive(&self, cx: &mut Cx<'_>, buffer: &mut [u8]) -> Result<Read, Step> {
        match self.socket(cx).recv_slice(buffer) {
            Ok(0) => Ok(Read::Nothing),
            Ok(count) => {
                cx.progress = true;
                Ok(Read::Some(count))
            }
            Err(RecvError::Finished) => Ok(Read::End),
            Err(RecvError::InvalidState) => Err(broken()),
        }
    }

    /// Closes our half.
    pub fn close(&self, cx: &mut Cx<'_>) {
        self.socket(cx).close();
    }

    /// Resets it.
    pub fn abort(&self, cx: &mut Cx<'_>) {
        self.socket(cx).abort();
    }

    /// Lets it end by itself: reset, if the appliance doesn't close its half.
    pub fn leave(&self, cx: &mut Cx<'_>) {
        let socket = self.socket(cx);
        if socket.may_recv() || matches!(socket.state(), State::SynSent) {
            socket.abort();
        } else {
            socket.close();
        }
        cx.closing.push(self.handle);
    }
}

fn broken() -> Step {
    Step::Broken("the connection was reset, or nobody answered any more".into())
}
