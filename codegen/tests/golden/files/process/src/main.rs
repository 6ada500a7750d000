// Generated from in.unik:4. Changes are lost.

#![no_std]
#![cfg_attr(unik_machine, no_main)]
::unik::entry!(unik_appliance::wire);
/// The appliance `files`, for the target `process`.
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
        // in.unik:7: lan = host-net
        let lan = {
            static OPTIONS: ::unik_host_net::Options = ::unik_host_net::Options {};
            static LISTENS: &[::unik::start::Listen] = &[
                ::unik::start::Listen {
                    protocol: ::unik::start::Protocol::Tcp,
                    port: 80u16,
                    service: "one",
                },
                ::unik::start::Listen {
                    protocol: ::unik::start::Protocol::Tcp,
                    port: 8080u16,
                    service: "two",
                },
            ];
            ::unik_host_net::start(&Context::new("lan"), &OPTIONS, LISTENS).await?
        };
        // in.unik:8: pages = files
        let pages = {
            static OPTIONS: ::unik_files::Options = ::unik_files::Options {};
            static FILE: &[u8] = include_bytes!("blobs/pages/0.bin");
            ::unik_files::start(&Context::new("pages"), &OPTIONS, FILE).await?
        };
        // in.unik:9: one = web
        {
            static OPTIONS: ::unik_web::Options = ::unik_web::Options {
                port: 80,
                route: &[],
            };
            static SIZES: &[usize] = &[365];
            fn answer() {}
            ::unik_web::start(
                    &Context::new("one"),
                    &OPTIONS,
                    (SIZES, answer),
                    lan.clone(),
                    pages.clone(),
                    console.clone(),
                )
                .await?
        };
        // in.unik:10: two = web
        {
            static OPTIONS: ::unik_web::Options = ::unik_web::Options {
                port: 8080,
                route: &[],
            };
            static SIZES: &[usize] = &[365];
            fn answer() {}
            ::unik_web::start(
                    &Context::new("two"),
                    &OPTIONS,
                    (SIZES, answer),
                    lan,
                    pages,
                    console,
                )
                .await?
        };
        ::unik::platform::ready();
        Ok(())
    }
}
