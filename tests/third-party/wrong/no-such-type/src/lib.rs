#![no_std]

use unik::interface::Tcp;
use unik::start::{Context, StartError};

#[unik::service]
pub async fn start(_: &Context, _: &'static Options, net: impl Tcp) -> Result<(), StartError> {
    drop(net);
    Ok(())
}
