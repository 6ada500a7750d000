//! The device, on any transport.

use core::fmt;
use core::task::{Context, Poll};

use unik::health::{Health, HealthError, START_UP};
use unik_virtio::{Buffer, DeviceError, Direction, Port, Queue, SetupError, Transport, feature, negotiate};

/// The one queue (virtio 1.2, section 5.4.2).
const REQUEST: u16 = 0;
/// Bytes of a seed.
const SEED: usize = 32;
/// Bytes of the buffer: as many as the start-up test wants.
const BUFFER: usize = START_UP as usize;

/// An entropy device that is running.
#[derive(Debug)]
pub struct Source<P> {
    port: P,
    queue: Queue,
    /// `None` while the device has it.
    buffer: Option<Buffer>,
    /// What has come of the seed so far.
    seed: [u8; SEED],
    have: usize,
    last: Option<[u8; SEED]>,
    repeated: bool,
    health: Health,
}

/// Why the device gave no seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceError {
    /// It broke the rules of the queue.
    Device(DeviceError),
    /// It answered with no bytes.
    Empty,
    /// Its bytes fail a health test.
    Health(HealthError),
    /// It answered as the last time, now or before.
    Repeated,
}

impl fmt::Display for SourceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SourceError::Device(error) => error.fmt(f),
            SourceError::Empty => f.write_str("the entropy device gave no bytes"),
            SourceError::Health(error) => write!(f, "the entropy device is no good: {error}"),
            SourceError::Repeated => f.write_str("the entropy device repeats itself"),
        }
    }
}

impl core::error::Error for SourceError {}

impl<P: Port> Source<P> {
    /// Sets the device going.
    ///
    /// # Errors
    /// [`SetupError`].
    pub fn new(mut transport: impl Transport<Port = P>) -> Result<Self, SetupError> {
        let agreed = negotiate(&mut transport, feature::EVENT_INDEX)?;
        if transport.queue_limit(REQUEST) < 2 {
            return Err(SetupError::NoQueue);
        }
        let event_index = agreed & feature::EVENT_INDEX != 0;
        let (queue, mut buffers) =
            Queue::new(2, BUFFER, Direction::FromDevice, event_index).ok_or(SetupError::NoMemory)?;
        transport.set_queue(REQUEST, queue.size(), queue.addresses())?;
        let port = transport.activate()?;
        Ok(Source {
            port,
            queue,
            buffer: buffers.pop(),
            seed: [0; SEED],
            have: 0,
            last: None,
            repeated: false,
            health: Health::new(),
        })
    }

    /// Ready with a fresh seed; asks the device as often as that takes.
    ///
    /// # Errors
    /// [`SourceError`]. After [`SourceError::Device`] the device is of no more use.
    pub fn poll_seed(&mut self, cx: &mut Context<'_>) -> Poll<Result<[u8; SEED], SourceError>> {
        loop {
            if let Some(buffer) = self.buffer.take() {
                self.queue.offer(buffer, 0);
                if self.queue.publish() {
                    self.port.notify(REQUEST);
                }
            }
            let _ = self.port.poll_interrupt(cx);
            let (buffer, written) = match self.queue.take().map_err(SourceError::Device)? {
                Some(answer) => answer,
                None if self.queue.arm(1) => continue,
                None => {
                    // The interrupt that was taken above may have been for this wait.
                    if self.port.poll_interrupt(cx).is_pending() {
                        return Poll::Pending;
                    }
                    continue;
                }
            };
            let given = &buffer[..written.min(BUFFER)];
            let tested = self.health.test(given);
            let take = given.len().min(SEED - self.have);
            self.seed[self.have..self.have + take].copy_from_slice(&given[..take]);
            self.have += take;
            self.buffer = Some(buffer);
            if written == 0 {
                return Poll::Ready(Err(SourceError::Empty));
            }
            tested.map_err(SourceError::Health)?;
            // What the start-up test takes is more than a seed, and the end of it as good as any.
            if self.have == SEED && self.health.is_started() {
                self.have = 0;
                return Poll::Ready(self.checked());
            }
        }
    }

    /// The seed, if it can be one. A device that repeated itself isn't believed again.
    fn checked(&mut self) -> Result<[u8; SEED], SourceError> {
        let seed = core::mem::replace(&mut self.seed, [0; SEED]);
        self.repeated |= self.last.replace(seed) == Some(seed);
        if self.repeated { Err(SourceError::Repeated) } else { Ok(seed) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use alloc::vec::Vec;
    use core::task::Waker;
    use unik_virtio::mock::{Device, MockPort, MockTransport};

    fn source() -> (Source<MockPort>, Device) {
        let device = Device::new(feature::VERSION_1 | feature::EVENT_INDEX, &[64]);
        (Source::new(MockTransport::new(device.clone())).unwrap(), device)
    }

    fn poll(source: &mut Source<MockPort>) -> Poll<Result<[u8; SEED], SourceError>> {
        source.poll_seed(&mut Context::from_waker(Waker::noop()))
    }

    fn answer(device: &Device, bytes: &[u8]) {
        device.queue(0, |queue| {
            let chain = queue.next().unwrap();
            chain.write(bytes);
            queue.give_back(u32::from(chain.id), bytes.len() as u32);
        });
        device.interrupt(0);
    }

    /// Bytes that pass the tests.
    fn good(start: u8, length: usize) -> Vec<u8> {
        (0..length).map(|at| (at as u8).wrapping_mul(167).wrapping_add(start)).collect()
    }

    #[test]
    fn a_seed_may_come_in_pieces() {
        let (mut source, device) = source();
        assert!(poll(&mut source).is_pending());
        let all = good(3, BUFFER);
        answer(&device, &all[..20]);
        assert!(poll(&mut source).is_pending());
        // Enough for a seed, but not for the start-up test.
        answer(&device, &all[20..500]);
        assert!(poll(&mut source).is_pending());
        answer(&device, &all[500..]);
        let seed: [u8; SEED] = all[..SEED].try_into().unwrap();
        assert_eq!(poll(&mut source), Poll::Ready(Ok(seed)));
        assert!(poll(&mut source).is_pending());
        answer(&device, &good(4, SEED));
        assert!(matches!(poll(&mut source), Poll::Ready(Ok(_))));
    }

    #[test]
    fn a_sick_device_is_noticed() {
        let (mut source, device) = source();
        assert!(poll(&mut source).is_pending());
        answer(&device, &[]);
        assert_eq!(poll(&mut source), Poll::Ready(Err(SourceError::Empty)));
        assert!(poll(&mut source).is_pending());
        answer(&device, &good(5, BUFFER));
        let seed: [u8; SEED] = good(5, SEED).try_into().unwrap();
        assert_eq!(poll(&mut source), Poll::Ready(Ok(seed)));
        assert!(poll(&mut source).is_pending());
        answer(&device, &good(5, BUFFER));
        assert_eq!(poll(&mut source), Poll::Ready(Err(SourceError::Repeated)));
        // And so it is from then on.
        assert!(poll(&mut source).is_pending());
        answer(&device, &good(6, BUFFER));
        assert_eq!(poll(&mut source), Poll::Ready(Err(SourceError::Repeated)));
        // One that broke stays broken.
        for bytes in [vec![7; SEED], good(9, BUFFER)] {
            assert!(poll(&mut source).is_pending());
            answer(&device, &bytes);
            let error = SourceError::Health(HealthError::Repetition);
            assert_eq!(poll(&mut source), Poll::Ready(Err(error)));
        }
    }

    #[test]
    fn a_device_in_a_loop_is_noticed() {
        // It gives three words in turn, each of them fine.
        let (mut source, device) = source();
        assert!(poll(&mut source).is_pending());
        let words: Vec<u8> = good(11, 24);
        let bytes: Vec<u8> = words.iter().copied().cycle().take(BUFFER).collect();
        answer(&device, &bytes);
        assert_eq!(poll(&mut source), Poll::Ready(Err(SourceError::Health(HealthError::Period))));
    }

    #[test]
    fn a_lying_device_is_an_error() {
        let (mut source, device) = source();
        assert!(poll(&mut source).is_pending());
        device.queue(0, |queue| {
            let id = queue.next().unwrap().id;
            queue.give_back(u32::from(id), 1025);
        });
        assert_eq!(poll(&mut source), Poll::Ready(Err(SourceError::Device(DeviceError::WroteTooMuch(1025)))));
    }
}
