#![no_std]

use unik::interface::{Clock, Tcp};
use unik::start::{Context, StartError};

#[unik::service]
pub async fn start<C: Clock>(
    _: &Context,
    _: &'static Options,
    clock: C,
    net: impl Tcp,
) -> Result<(), StartError> {
    drop((clock, net));
    Ok(())
}
