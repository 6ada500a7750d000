//! `guestbook`: a guest book over TCP, a line at a time.
//!
//! | a guest says | the book answers |
//! |---|---|
//! | `SIGN text` | `OK` and the number of the entry, or `NO` and why |
//! | `READ` | the entries, and a line with a dot |
//! | `CLEAR word` | `OK`, and the book is empty, where that is the keeper's word |
//! | `BYE` | `BYE`, and hangs up |
//!
//! Everything is bounded: guests at once, their silence, the length of a line, the entries that are
//! kept. Entries are in memory, and gone with the appliance.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod book;
mod guest;

use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::Cell;
use core::net::{IpAddr, SocketAddr};

use unik::interface::{Clock, FileError, Files, StreamError, Tcp, TcpListener, TcpStream};
use unik::start::{Context, StartError};
use unik::sync::Notify;
use unik::time::{Duration, timeout};

use crate::book::Book;

/// The largest page, in bytes.
const PAGE: usize = 16 * 1024;

/// Starts one instance.
///
/// # Errors
/// When the network refuses the port, or the page can't be read.
#[unik::service]
pub async fn start(
    cx: &Context,
    options: &'static Options,
    net: impl Tcp,
    storage: impl Files,
    clock: impl Clock,
) -> Result<(), StartError> {
    let page =
        read(&storage, options.page).await.map_err(|why| cx.error(format!("{}: {why}", options.page)))?;
    let mut listener =
        net.listen(options.port).map_err(|why| cx.error(format!("port {}: {why}", options.port)))?;
    let house = Rc::new(House { page, book: Book::new(options), guests: Cell::new(0), left: Notify::new() });
    let cx = *cx;
    cx.spawn(async move {
        loop {
            let left = house.left.notified();
            if house.guests.get() >= options.guests.count {
                left.await;
                continue;
            }
            drop(left);
            let stream = listener.accept().await;
            if is_banned(stream.peer().ip(), options) {
                continue;
            }
            let (visit, net, clock) = (Visit::begin(&house), net.clone(), clock.clone());
            cx.spawn(async move {
                let signed = |text: &str| {
                    let net = net.clone();
                    let text = format!("{text}\n");
                    if let Some(to) = options.copy {
                        let limit = options.copy_within.unwrap_or(Duration::from_secs(5));
                        // A collector that isn't there takes no copies; the book has the entry.
                        cx.spawn(async move {
                            let _ = timeout(limit, copy(net, to, text)).await;
                        });
                    }
                };
                // A guest who breaks off is one who left.
                let _ = guest::receive(stream, &visit.0.page, &visit.0.book, &clock, options, signed).await;
            });
        }
    });
    Ok(())
}

/// What all guests share.
struct House {
    page: Vec<u8>,
    book: Book,
    guests: Cell<u64>,
    left: Notify,
}

/// Being counted as a guest.
struct Visit(Rc<House>);

impl Visit {
    fn begin(house: &Rc<House>) -> Visit {
        house.guests.set(house.guests.get() + 1);
        Visit(Rc::clone(house))
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        self.0.guests.set(self.0.guests.get().saturating_sub(1));
        self.0.left.notify();
    }
}

async fn read(storage: &impl Files, path: &str) -> Result<Vec<u8>, FileError> {
    let mut page = alloc::vec![0; PAGE];
    let length = storage.read(path, 0, &mut page).await?;
    page.truncate(length);
    Ok(page)
}

fn is_banned(from: IpAddr, options: &Options) -> bool {
    let IpAddr::V4(from) = from else { return false };
    options.banned.iter().any(|(network, prefix)| {
        let mask = u32::MAX.checked_shl(32 - u32::from(*prefix)).unwrap_or(0);
        from.to_bits() & mask == network.to_bits() & mask
    })
}

async fn copy(net: impl Tcp, to: SocketAddr, text: String) -> Result<(), StreamError> {
    match net.connect(to).await {
        Ok(stream) => tell(stream, &text).await,
        Err(_) => Ok(()),
    }
}

async fn tell(mut stream: impl TcpStream, text: &str) -> Result<(), StreamError> {
    stream.write_all(text.as_bytes()).await?;
    stream.close().await
}
