//! How an instance is started.

use alloc::rc::Rc;
use alloc::string::ToString;
use core::cell::RefCell;

use unik::interface::{Entropy, Frames};
use unik::start::{Context, Listen, StartError, announce};

use crate::lower::Addressing;
use crate::stack::{Handle, Stack};
use crate::{Ipv4, Options, driver};

/// Starts a network on `link`: spawns the task that drives it, announces its address.
///
/// With DHCP this waits for an address, but no longer than 10 s: the network is there, and
/// works as soon as a server answers.
///
/// # Errors
/// When the source of entropy gives nothing: without secrets anybody could take part in others'
/// connections. When the link carries less than the option `mtu` says.
#[cfg_attr(
    not(feature = "dhcp"),
    allow(clippy::unused_async, reason = "every component starts asynchronously")
)]
pub async fn start<F: Frames, E: Entropy>(
    cx: &Context,
    options: &'static Options,
    listens: &'static [Listen],
    link: F,
    entropy: E,
) -> Result<Handle<F, E>, StartError> {
    let addressing = match options.ipv4 {
        Ipv4::Static { address: (address, prefix), gateway } => Some(Addressing { address, prefix, gateway }),
        Ipv4::Dhcp if cfg!(feature = "dhcp") => None,
        Ipv4::Dhcp => return Err(cx.error("the image has no DHCP client: build it with the part `dhcp`")),
    };
    #[cfg(feature = "mtu")]
    if let Some(wanted) = options.mtu
        && wanted > link.mtu() as u64
    {
        return Err(
            cx.error(alloc::format!("`mtu {wanted}`: the device carries packets of {} bytes", link.mtu()))
        );
    }
    let stack = Stack::new(cx.instance(), options, listens, addressing, link, entropy)
        .map_err(|error| cx.error(error.to_string()))?;
    let shared = Rc::new(RefCell::new(stack));
    cx.spawn_background(driver::run(shared.clone()));
    #[cfg(feature = "counters")]
    if let Some(every) = options.counters {
        cx.spawn_background(crate::ports::report(cx.instance(), shared.clone(), every));
    }
    #[cfg(feature = "dhcp")]
    if addressing.is_none() {
        wait_for_address(cx, &shared).await;
    }
    #[cfg(feature = "ipv6")]
    if options.ipv6.is_some() {
        wait_for_ipv6(cx, &shared).await;
    }
    if let Some(own) = shared.borrow().lower.addressing {
        announce(own.address);
    }
    #[cfg(feature = "ipv6")]
    if let Some(own) = shared.borrow().lower.v6.global() {
        announce(own);
    }
    Ok(Handle::new(shared))
}

/// Waits until an IPv6 address has passed its trial, and a router has named one before, but not
/// for ever.
#[cfg(feature = "ipv6")]
async fn wait_for_ipv6<F: Frames, E: Entropy>(cx: &Context, shared: &crate::stack::Shared<F, E>) {
    use core::future::poll_fn;
    use core::task::Poll;
    use unik::time::{Duration, timeout};

    /// Two trials of a second, and a router that takes its time.
    const LONGEST: Duration = Duration::from_secs(5);

    let ready = poll_fn(|cx| {
        let mut stack = shared.borrow_mut();
        if stack.lower.v6.is_ready() {
            return Poll::Ready(());
        }
        crate::lower::wait(&mut stack.lower.waiting_for_change, cx.waker());
        Poll::Pending
    });
    if timeout(LONGEST, ready).await.is_err() {
        log::warn!("{}: no IPv6 address within 5 s; going on without one", cx.instance());
    }
}

/// Waits until a DHCP server has given an address, but not for ever.
#[cfg(feature = "dhcp")]
async fn wait_for_address<F: Frames, E: Entropy>(cx: &Context, shared: &crate::stack::Shared<F, E>) {
    use core::future::poll_fn;
    use core::task::Poll;
    use unik::time::{Duration, timeout};

    /// How long the appliance waits with being ready.
    const LONGEST: Duration = Duration::from_secs(10);

    let bound = poll_fn(|cx| {
        let mut stack = shared.borrow_mut();
        if stack.lower.addressing.is_some() {
            return Poll::Ready(());
        }
        crate::lower::wait(&mut stack.lower.waiting_for_change, cx.waker());
        Poll::Pending
    });
    if timeout(LONGEST, bound).await.is_err() {
        log::warn!("{}: no DHCP server answered within 10 s; going on without an address", cx.instance());
    }
}
