// Generated from in.unik:3. Changes are lost.

#![no_std]
#![cfg_attr(unik_machine, no_main)]
::unik::entry!(unik_appliance::wire);
/// The appliance `handlers`, for the target `process`.
mod unik_appliance {
    extern crate alloc;
    use ::unik::start::{Context, StartError};
    /// Starts every instance, providers first.
    pub(super) async fn wire() -> Result<(), StartError> {
        ::unik::platform::process::check_arguments(
            &[
                ::unik::platform::process::Argument {
                    instance: "lan",
                    name: "publish",
                    usage: "HOST:PORT",
                    doc: "where a port is",
                },
            ],
        );
        ::unik::logging::start(::unik::log::LevelFilter::Info);
        // implied: console = console
        let console = {
            static OPTIONS: ::unik_console::Options = ::unik_console::Options {};
            ::unik_console::start(&Context::new("console"), &OPTIONS).await?
        };
        ::unik::platform::seal();
        // in.unik:5: lan = host-net
        let lan = {
            static OPTIONS: ::unik_host_net::Options = ::unik_host_net::Options {};
            static LISTENS: &[::unik::start::Listen] = &[
                ::unik::start::Listen {
                    protocol: ::unik::start::Protocol::Tcp,
                    port: 80u16,
                    service: "api",
                },
            ];
            ::unik_host_net::start(&Context::new("lan"), &OPTIONS, LISTENS).await?
        };
        // in.unik:6: api = web
        {
            static OPTIONS: ::unik_web::Options = ::unik_web::Options {
                port: 80,
                route: &["/a", "/b"],
            };
            static SIZES: &[usize] = &[];
            fn answer() {
                crate::count::answer();
                crate::inner::count::answer();
            }
            ::unik_web::start(
                    &Context::new("api"),
                    &OPTIONS,
                    (SIZES, answer),
                    lan,
                    (),
                    console,
                )
                .await?
        };
        ::unik::platform::ready();
        Ok(())
    }
}
