#![no_std]

use unik::interface::Tcp;
use unik::start::{Context, StartError};

#[unik::service]
pub async fn start(cx: &Context, options: &'static Options, net: impl Tcp) -> Result<(), StartError> {
    net.listen(options.prot).map_err(|_| cx.error("no port"))?;
    Ok(())
}
