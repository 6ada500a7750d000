// Generated from in.unik:3. Changes are lost.

#![no_std]
#![cfg_attr(unik_machine, no_main)]
::unik::entry!(unik_appliance::wire);
/// The appliance `two-networks`, for the target `process`.
mod unik_appliance {
    extern crate alloc;
    use ::unik::start::{Context, StartError};
    /// Starts every instance, providers first.
    pub(super) async fn wire() -> Result<(), StartError> {
        ::unik::platform::process::check_arguments(
            &[
                ::unik::platform::process::Argument {
                    instance: "type",
                    name: "publish",
                    usage: "HOST:PORT",
                    doc: "where a port is",
                },
                ::unik::platform::process::Argument {
                    instance: "out",
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
        // in.unik:6: type = host-net
        let type_ = {
            static OPTIONS: ::unik_host_net::Options = ::unik_host_net::Options {};
            static LISTENS: &[::unik::start::Listen] = &[
                ::unik::start::Listen {
                    protocol: ::unik::start::Protocol::Tcp,
                    port: 80u16,
                    service: "here",
                },
            ];
            ::unik_host_net::start(&Context::new("type"), &OPTIONS, LISTENS).await?
        };
        // in.unik:7: out = host-net
        let out = {
            static OPTIONS: ::unik_host_net::Options = ::unik_host_net::Options {};
            static LISTENS: &[::unik::start::Listen] = &[
                ::unik::start::Listen {
                    protocol: ::unik::start::Protocol::Tcp,
                    port: 80u16,
                    service: "there",
                },
            ];
            ::unik_host_net::start(&Context::new("out"), &OPTIONS, LISTENS).await?
        };
        // in.unik:8: here = web
        {
            static OPTIONS: ::unik_web::Options = ::unik_web::Options {
                port: 80,
                route: &[],
            };
            static SIZES: &[usize] = &[];
            fn answer() {}
            ::unik_web::start(
                    &Context::new("here"),
                    &OPTIONS,
                    (SIZES, answer),
                    type_,
                    (),
                    console.clone(),
                )
                .await?
        };
        // in.unik:9: there = web
        {
            static OPTIONS: ::unik_web::Options = ::unik_web::Options {
                port: 80,
                route: &[],
            };
            static SIZES: &[usize] = &[];
            fn answer() {}
            ::unik_web::start(
                    &Context::new("there"),
                    &OPTIONS,
                    (SIZES, answer),
                    out,
                    (),
                    console,
                )
                .await?
        };
        ::unik::platform::ready();
        Ok(())
    }
}
