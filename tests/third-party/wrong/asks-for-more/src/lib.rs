#![no_std]

use unik::interface::{Tcp, Udp};
use unik::start::Context;

/// Bounds of one's own are the compiler's to compare.
pub trait Network: Tcp + Udp {}
impl<N: Tcp + Udp> Network for N {}

#[unik::service]
pub async fn start(_: &Context, _: &'static Options, net: impl Network) -> Result<(), &'static str> {
    drop(net);
    Ok(())
}
