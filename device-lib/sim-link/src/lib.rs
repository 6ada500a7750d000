//! `sim-link`: a simulated Ethernet, with all that is plugged into it.
//!
//! In a simulation it stands in for a network device. On the other side of the link are hosts
//! that are smoltcp's, with clients that use every port that a service listens on, and ping:
//!
//! ```text
//!   services ── ip ── SimLink  │  Segment: faults, order, trace  │  Host: smoltcp, clients
//!           the appliance      │               World             │  DHCP server
//! ```
//!
//! The [`World`](unik::platform::sim::World) of all links has the phases *start*, until the services
//! answer; *clients*, until each has done its work; *quiet*, in which nothing goes wrong any more
//! and all connections are to end; *probe*, in which each old connection is asked whether it is still there.
//!
//! # What fails a run
//! - a panic, or an appliance that ends before its clients have;
//! - an answer that is wrong: other bytes than were sent, HTTP that contradicts itself or 5xx;
//! - a client that gets no further for 300 s (`patience`), or all of it not done after one hour (`limit`);
//! - a connection that breaks on a link without faults; on one with faults, a client whose
//!   connections broke four times in a row, unless more than 15 % of the frames are lost or damaged;
//! - a connection, or a task, that is still there 200 s after the last client went.
//!
//! With `shutdown=TIME` the appliance is asked to end so long after its services answer: then it has to,
//! clients may be sent away from then on, and no answer may end in its midst but by a reset, when the time
//! for it has run out.
//!
//! # Arguments
//! `faults=LOSS…`, `clients=N`, `rounds=N`, `limit=TIME`, `patience=TIME`, `shutdown=TIME`, `request=PATH`,
//! `pcap=FILE`, `network=NAME,LINK,CIDR,GATEWAY`, `listen=NETWORK,PROTOCOL,PORT,SPEAKS,SERVICE`;
//! `unikgen sim` gives them.
//!
//! # Left out
//! IPv6, routers, links that go down. Hosts without room on the link: a network of one address
//! has no clients.
#![cfg(not(unik_machine))]
#![forbid(unsafe_code)]

mod clients;
mod dhcp;
mod faults;
mod host;
mod link;
mod probe;
mod scenario;
mod segment;
mod trace;
mod world;

use unik::start::{Context, StartError};

pub use faults::{Faults, WrongFaults};
pub use link::SimLink;

unik::options!();

/// Starts the link `cx.instance()`.
///
/// # Errors
/// When the program's arguments can't be read, or the capture's file can't be written.
pub async fn start(cx: &Context, options: &'static Options) -> Result<SimLink, StartError> {
    world::plug_in(cx.instance(), options.mac).map_err(|error| cx.error(error))
}
