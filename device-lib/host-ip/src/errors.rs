//! The host's errors in the words of the interfaces.

use std::io;

use rustix::io::Errno;
use unik::interface::{BindError, ConnectError, ListenError, SendError, StreamError};

/// The host's error number; one that std made up has none.
fn errno(error: &io::Error) -> Option<Errno> {
    Errno::from_io_error(error)
}

/// Whether the host is out of descriptors or memory, for now.
pub(crate) fn is_exhaustion(error: &io::Error) -> bool {
    matches!(errno(error), Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM))
}

pub(crate) fn listen(error: &io::Error) -> ListenError {
    match errno(error) {
        Some(Errno::ADDRINUSE) => ListenError::InUse,
        // No such address here: the host won't have it, whatever we do.
        Some(Errno::ACCESS | Errno::PERM | Errno::ADDRNOTAVAIL | Errno::AFNOSUPPORT) => ListenError::Denied,
        _ => ListenError::Resources,
    }
}

pub(crate) fn bind(error: &io::Error) -> BindError {
    match listen(error) {
        ListenError::InUse => BindError::InUse,
        ListenError::Denied => BindError::Denied,
        ListenError::NotDeclared | ListenError::Resources => BindError::Resources,
    }
}

pub(crate) fn connect(error: &io::Error) -> ConnectError {
    match errno(error) {
        Some(Errno::CONNREFUSED | Errno::CONNRESET) => ConnectError::Refused,
        Some(Errno::TIMEDOUT) => ConnectError::TimedOut,
        Some(Errno::ADDRNOTAVAIL | Errno::ADDRINUSE | Errno::AGAIN) => ConnectError::Resources,
        _ if is_exhaustion(error) => ConnectError::Resources,
        _ => ConnectError::Unreachable,
    }
}

/// Of a read or a write.
pub(crate) fn stream(error: &io::Error) -> StreamError {
    match errno(error) {
        Some(Errno::TIMEDOUT | Errno::HOSTUNREACH | Errno::NETUNREACH) => StreamError::TimedOut,
        Some(Errno::NOTCONN) => StreamError::Closed,
        _ => StreamError::Reset,
    }
}

pub(crate) fn send(error: &io::Error) -> SendError {
    match errno(error) {
        Some(Errno::MSGSIZE) => SendError::TooLong,
        _ => SendError::Unreachable,
    }
}
