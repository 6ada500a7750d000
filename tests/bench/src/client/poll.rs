//! Waiting for one of many sockets, to the nanosecond.

use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::event::{Timespec, epoll};

/// What sockets are waited for; each has a number.
pub(super) struct Poll {
    epoll: OwnedFd,
    events: Vec<epoll::Event>,
}

impl Poll {
    pub(super) fn new() -> std::io::Result<Poll> {
        Ok(Poll { epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?, events: Vec::with_capacity(1024) })
    }

    /// Waits for `socket` from now on, to read or to write, as long as that is possible.
    pub(super) fn add(&self, socket: impl AsFd, number: usize, write: bool) -> std::io::Result<()> {
        let flags = if write { epoll::EventFlags::OUT } else { epoll::EventFlags::IN };
        Ok(epoll::add(&self.epoll, socket, epoll::EventData::new_u64(number as u64), flags)?)
    }

    /// The numbers of those that can go on, after at most `timeout`.
    pub(super) fn wait(&mut self, timeout: Duration) -> std::io::Result<Vec<usize>> {
        let timeout = Timespec {
            tv_sec: i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(timeout.subsec_nanos()),
        };
        self.events.clear();
        match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut self.events), Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(self.events.iter().map(|event| event.data.u64() as usize).collect())
    }
}
