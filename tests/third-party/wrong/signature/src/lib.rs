#![no_std]

use unik::interface::Tcp;
use unik::start::Context;

#[unik::service]
fn begin(_: &Context, _: &'static Options, net: impl Tcp) {
    drop(net);
}
