#![no_std]

use unik::interface::Tcp;
use unik::start::{Context, StartError};

#[unik::service]
pub async fn start(_: &Context, _: &'static Options, _: impl Tcp) -> Result<(), StartError> {
    Ok(())
}
