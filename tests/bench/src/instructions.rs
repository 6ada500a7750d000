//! How many instructions the guest executes for a request: the figure without noise.
//!
//! QEMU counts them (`-icount shift=0`), and tells by `query-replay`. What would make the
//! count depend on the host is kept out:
//!
//! - Bursts. One write to the guest's link holds one request for each of many connections.
//!   QEMU reads it by one call and hands over all its frames before the guest, which sleeps,
//!   can run. So every run sees the same frames at the same turn.
//! - A difference. A burst of one costs a wake-up and the spinning before the guest sleeps
//!   again, as any burst does. Of two bursts of different size the difference is what their
//!   requests cost, and no more.
//! - Medians. Once a second a timer ticks.
//!
//! It is a count of instructions and not of time: it sees neither caches nor what a device's
//! register costs. A request that waits for no other is dearer: it pays the wake-up alone.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::frames::Client;
use crate::qmp::Qmp;

/// Requests of a large burst. Fewer than a receive ring of the smallest size that a driver
/// is likely to have has buffers, so that all find one.
const MANY: u16 = 64;
const REPEATS: usize = 15;
const PATIENCE: Duration = Duration::from_secs(20);
const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: bench\r\n\r\n";

/// Counts what the appliance of `tests/bench/bench.unik` does, by the name of each thing.
///
/// # Errors
/// When QEMU doesn't run, or the guest doesn't answer as it should.
pub fn count(image: &Path) -> io::Result<BTreeMap<&'static str, u64>> {
    let mut guest = Guest::start(image)?;
    guest.find()?;
    let mut next_port = 20_000;
    let mut counts = BTreeMap::new();
    counts.insert(
        "TCP handshake",
        guest.cost_of_one(|guest, many| {
            let ports: Vec<u16> = (next_port..next_port + many).collect();
            next_port += many;
            guest.connect(&ports)
        })?,
    );
    let ports: Vec<u16> = (10_000..10_000 + MANY).collect();
    guest.connect(&ports)?;
    counts
        .insert("HTTP request", guest.cost_of_one(|guest, many| guest.request(&ports[..usize::from(many)]))?);
    counts.insert("UDP echo", guest.cost_of_one(|guest, many| guest.datagrams(many))?);
    Ok(counts)
}

/// A guest under QEMU whose network we are.
struct Guest {
    qemu: Child,
    link: UnixStream,
    qmp: Qmp,
    client: Client,
}

impl Guest {
    fn start(image: &Path) -> io::Result<Guest> {
        let folder = tempfile::tempdir()?;
        let (link_path, qmp_path) = (folder.path().join("link"), folder.path().join("qmp"));
        let (link, qmp) = (UnixListener::bind(&link_path)?, UnixListener::bind(&qmp_path)?);
        let mut qemu = Command::new("qemu-system-x86_64")
            .args(["-accel", "tcg", "-cpu", "max", "-icount", "shift=0"])
            .args(["-M", "microvm,rtc=on,pic=off,pit=off,acpi=off", "-m", "512"])
            .args(["-global", "virtio-mmio.force-legacy=false", "-nodefaults", "-no-user-config"])
            .args(["-display", "none", "-no-reboot", "-serial", "null"])
            .arg("-netdev")
            .arg(format!("stream,id=n0,server=off,addr.type=unix,addr.path={}", link_path.display()))
            .args(["-device", "virtio-net-device,netdev=n0,mac=52:54:00:00:00:01", "-chardev"])
            .arg(format!("socket,id=qmp,path={}", qmp_path.display()))
            .args(["-mon", "chardev=qmp,mode=control", "-kernel"])
            .arg(image)
            .stdin(Stdio::null())
            .spawn()?;
        let both = accept(&qmp, &mut qemu).and_then(|qmp| Ok((qmp, accept(&link, &mut qemu)?)));
        let conversation = both.and_then(|(qmp, link)| {
            link.set_read_timeout(Some(Duration::from_millis(50)))?;
            Ok((Qmp::new(qmp)?, link))
        });
        match conversation {
            Ok((qmp, link)) => Ok(Guest { qemu, link, qmp, client: Client::default() }),
            Err(error) => {
                end(&mut qemu);
                Err(error)
            }
        }
    }

    /// Asks until the guest answers: it boots meanwhile.
    fn find(&mut self) -> io::Result<()> {
        let limit = Instant::now() + PATIENCE;
        while !self.client.knows_guest() {
            let ask = self.client.ask_for_guest();
            self.send(&[ask])?;
            self.take_frame()?;
            refuse_after(limit, "doesn't answer on its link")?;
        }
        // Once it answers ARP, its services may still be starting.
        self.idle()?;
        Ok(())
    }

    /// What one of `MANY` costs more than one alone, by the medians.
    fn cost_of_one(&mut self, mut burst: impl FnMut(&mut Guest, u16) -> io::Result<()>) -> io::Result<u64> {
        // The first of each allocates what later ones have.
        burst(self, MANY)?;
        burst(self, 1)?;
        let (mut of_one, mut of_many) = (Vec::new(), Vec::new());
        for _ in 0..REPEATS {
            for (many, costs) in [(1, &mut of_one), (MANY, &mut of_many)] {
                let before = self.idle()?;
                burst(self, many)?;
                costs.push(self.idle()? - before);
            }
        }
        of_one.sort_unstable();
        of_many.sort_unstable();
        let (one, many) = (of_one[REPEATS / 2], of_many[REPEATS / 2]);
        Ok(many.saturating_sub(one) / u64::from(MANY - 1))
    }

    /// Opens a connection from each of `ports`, all at once.
    fn connect(&mut self, ports: &[u16]) -> io::Result<()> {
        let syns: Vec<_> = ports.iter().map(|&port| self.client.connect(port, 80)).collect();
        self.send(&syns)?;
        let limit = Instant::now() + PATIENCE;
        // The acknowledgements go out together, too, and to a guest that sleeps again.
        let mut answers = Vec::new();
        while ports.iter().any(|&port| !self.client.is_established(port)) {
            answers.extend(self.take_frame()?);
            refuse_after(limit, "doesn't take all connections")?;
        }
        let before = self.idle()?;
        self.send(&answers)?;
        // Nothing answers an acknowledgement, so that the guest has seen it shows in its count.
        while self.executed()? == before {
            std::thread::sleep(Duration::from_millis(1));
            refuse_after(limit, "doesn't see acknowledgements")?;
        }
        Ok(())
    }

    /// Asks once on each of the connections from `ports`, all at once.
    fn request(&mut self, ports: &[u16]) -> io::Result<()> {
        let requests: Vec<_> = ports.iter().map(|&port| self.client.send(port, 80, REQUEST)).collect();
        self.send(&requests)?;
        let limit = Instant::now() + PATIENCE;
        for &port in ports {
            let mut answer = Vec::new();
            loop {
                answer.extend(self.client.take(port));
                if crate::client::complete(&answer)?.is_some() {
                    break;
                }
                let reply = self.take_frame()?;
                self.send(reply.as_slice())?;
                refuse_after(limit, "doesn't answer all requests")?;
            }
        }
        Ok(())
    }

    /// Sends `many` datagrams at once, and waits for their echoes.
    fn datagrams(&mut self, many: u16) -> io::Result<()> {
        let datagrams: Vec<_> =
            (0..many).map(|number| self.client.datagram(5000 + number, 7, &[b'x'; 64])).collect();
        self.send(&datagrams)?;
        let limit = Instant::now() + PATIENCE;
        let mut back = 0;
        while back < u64::from(many) {
            self.take_frame()?;
            back += self.client.take_datagrams();
            refuse_after(limit, "doesn't echo all datagrams")?;
        }
        Ok(())
    }

    /// The count of instructions while the guest sleeps: its processor is halted, and has
    /// executed nothing between two looks. (That alone could also be a busy host's doing.)
    fn idle(&mut self) -> io::Result<u64> {
        let limit = Instant::now() + PATIENCE;
        loop {
            let before = self.executed()?;
            if self.qmp.ask_person("info registers")?.contains("HLT=1") && self.executed()? == before {
                return Ok(before);
            }
            std::thread::sleep(Duration::from_millis(1));
            refuse_after(limit, "never sleeps")?;
        }
    }

    fn executed(&mut self) -> io::Result<u64> {
        let said = self.qmp.ask("query-replay")?;
        said["icount"].as_u64().ok_or_else(|| io::Error::other("QEMU doesn't count instructions"))
    }

    /// Sends frames by one write, each with its length before it.
    fn send(&mut self, frames: &[Vec<u8>]) -> io::Result<()> {
        let mut bytes = Vec::new();
        for frame in frames {
            bytes.extend((frame.len() as u32).to_be_bytes());
            bytes.extend(frame);
        }
        self.link.write_all(&bytes)
    }

    /// Takes the next frame, if one comes soon, and gives what has to be answered.
    fn take_frame(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut length = [0; 4];
        match self.link.read_exact(&mut length) {
            Ok(()) => {}
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                return Ok(None);
            }
            Err(error) => return Err(error),
        }
        let mut frame = vec![0; u32::from_be_bytes(length).min(1 << 17) as usize];
        self.link.read_exact(&mut frame)?;
        self.client.take_frame(&frame).map_err(io::Error::other)
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        end(&mut self.qemu);
    }
}

fn end(qemu: &mut Child) {
    // One that has ended already can't be ended again, and that is all that can fail here.
    let _ = qemu.kill();
    let _ = qemu.wait();
}

/// Waits for QEMU to connect; when it ends instead, says so.
fn accept(listener: &UnixListener, qemu: &mut Child) -> io::Result<UnixStream> {
    listener.set_nonblocking(true)?;
    let limit = Instant::now() + PATIENCE;
    loop {
        match listener.accept() {
            Ok((stream, _)) => {
                stream.set_nonblocking(false)?;
                return Ok(stream);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        if let Some(status) = qemu.try_wait()? {
            return Err(io::Error::other(format!("QEMU ended with {status}")));
        }
        refuse_after(limit, "isn't started by QEMU")?;
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn refuse_after(limit: Instant, what: &str) -> io::Result<()> {
    if Instant::now() < limit {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::TimedOut, format!("the guest {what} in {} s", PATIENCE.as_secs())))
}
