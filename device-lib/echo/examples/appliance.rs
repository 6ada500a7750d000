//! What a generated crate for the target `process` looks like, written by hand:
//!
//! ```text
//! cargo run -p unik-echo --example appliance -- publish=7007:7,7007:7/udp
//! ```

use unik::start::{Context, Listen, Protocol, StartError};
use unik::time::Duration;

mod lan {
    use super::*;

    pub static OPTIONS: unik_host_ip::Options = unik_host_ip::Options {};
    pub static LISTENS: &[Listen] = &[
        Listen { protocol: Protocol::Tcp, port: 7, service: "mirror" },
        Listen { protocol: Protocol::Udp, port: 7, service: "mirror" },
    ];
}

mod mirror {
    use super::*;

    pub static OPTIONS: unik_echo::Options = unik_echo::Options {
        port: 7,
        discard: None,
        chargen: None,
        idle_timeout: Duration::from_secs(30),
        max_connections: 2000,
    };
}

async fn wire() -> Result<(), StartError> {
    unik::logging::start(unik::log::LevelFilter::Info);
    unik::platform::seal();
    let lan = unik_host_ip::start(&Context::new("lan"), &lan::OPTIONS, lan::LISTENS).await?;
    unik_echo::start(&Context::new("mirror"), &mirror::OPTIONS, lan).await?;
    unik::platform::ready();
    Ok(())
}

unik::entry!(wire);
