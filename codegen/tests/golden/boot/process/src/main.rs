// Generated from in.unik:17. Changes are lost.

#![no_std]
#![cfg_attr(unik_machine, no_main)]
::unik::entry!(unik_appliance::wire);
/// The appliance `boot`, for the target `process`.
mod unik_appliance {
    extern crate alloc;
    use ::unik::start::{Context, StartError};
    /// Starts every instance, providers first.
    pub(super) async fn wire() -> Result<(), StartError> {
        ::unik::platform::process::check_arguments_beside(
            &[
                ::unik::platform::process::Argument {
                    instance: "lan",
                    name: "publish",
                    usage: "HOST:PORT",
                    doc: "where a port is",
                },
                ::unik::platform::process::Argument {
                    instance: "back",
                    name: "publish",
                    usage: "HOST:PORT",
                    doc: "where a port is",
                },
            ],
            &[
                ::unik::platform::process::Argument {
                    instance: "unik",
                    name: "address",
                    usage: "cidr4",
                    doc: "Where the network has it",
                },
                ::unik::platform::process::Argument {
                    instance: "unik",
                    name: "gateway",
                    usage: "ipv4",
                    doc: "",
                },
                ::unik::platform::process::Argument {
                    instance: "unik",
                    name: "relay",
                    usage: "ipv4",
                    doc: "",
                },
                ::unik::platform::process::Argument {
                    instance: "unik",
                    name: "how",
                    usage: "plain|tls",
                    doc: "",
                },
                ::unik::platform::process::Argument {
                    instance: "unik",
                    name: "limit",
                    usage: "size 1KiB..=64MiB",
                    doc: "",
                },
                ::unik::platform::process::Argument {
                    instance: "unik",
                    name: "wait",
                    usage: "duration",
                    doc: "",
                },
                ::unik::platform::process::Argument {
                    instance: "unik",
                    name: "ports",
                    usage: "list port",
                    doc: "",
                },
                ::unik::platform::process::Argument {
                    instance: "unik",
                    name: "pass",
                    usage: "string",
                    doc: "",
                },
            ],
        );
        const BOOT: &[::unik::boot::Parameter] = &[
            ::unik::boot::Parameter {
                name: "address",
                wanted: "an IPv4 address with a prefix length, such as `10.0.0.2/24`",
                secret: false,
            },
            ::unik::boot::Parameter {
                name: "gateway",
                wanted: "an IPv4 address",
                secret: false,
            },
            ::unik::boot::Parameter {
                name: "relay",
                wanted: "an IPv4 address",
                secret: false,
            },
            ::unik::boot::Parameter {
                name: "how",
                wanted: "`plain` or `tls`",
                secret: false,
            },
            ::unik::boot::Parameter {
                name: "limit",
                wanted: "a size from 1 KiB to 64 MiB",
                secret: false,
            },
            ::unik::boot::Parameter {
                name: "wait",
                wanted: "a duration such as `30 s`",
                secret: false,
            },
            ::unik::boot::Parameter {
                name: "ports",
                wanted: "values with commas between them, each a port from 1 to 65535",
                secret: false,
            },
            ::unik::boot::Parameter {
                name: "pass",
                wanted: "text",
                secret: true,
            },
        ];
        let boot = ::unik::boot::read(BOOT)?;
        boot.check(&BOOT[0], ::unik::boot::cidr4)?;
        boot.check(&BOOT[1], ::unik::boot::address::<::core::net::Ipv4Addr>)?;
        let boot_relay = boot
            .value(&BOOT[2], None, ::unik::boot::address::<::core::net::Ipv4Addr>)?;
        let boot_how = boot
            .value(
                &BOOT[3],
                Some("plain"),
                |text| ::unik::boot::word(text, &["plain", "tls"]),
            )?;
        let boot_limit = boot
            .value(
                &BOOT[4],
                Some(4096),
                |text| ::unik::boot::size(text, 1024, 67108864),
            )?;
        let boot_wait = boot
            .value(
                &BOOT[5],
                Some(::core::time::Duration::new(30, 0)),
                |text| ::unik::boot::duration(text, 0, 18446744073709551615),
            )?;
        let boot_ports = boot
            .value(
                &BOOT[6],
                Some(&[25, 587][..]),
                |text| ::unik::boot::list(text, ::unik::boot::port),
            )?;
        let boot_pass = boot.value(&BOOT[7], None, Some)?;
        boot.require(
            ::unik::boot::is_unicast(::core::net::IpAddr::from(boot_relay)),
            &BOOT[2],
            "is not the address of one host",
        )?;
        ::unik::logging::start(::unik::log::LevelFilter::Info);
        // implied: console = console
        let console = {
            static OPTIONS: ::unik_console::Options = ::unik_console::Options {};
            ::unik_console::start(&Context::new("console"), &OPTIONS).await?
        };
        ::unik::platform::seal();
        // in.unik:19: lan = host-net
        let lan = {
            static OPTIONS: ::unik_host_net::Options = ::unik_host_net::Options {};
            static LISTENS: &[::unik::start::Listen] = &[
                ::unik::start::Listen {
                    protocol: ::unik::start::Protocol::Tcp,
                    port: 80u16,
                    service: "site",
                },
            ];
            ::unik_host_net::start(&Context::new("lan"), &OPTIONS, LISTENS).await?
        };
        // in.unik:21: back = host-net
        let back = {
            static OPTIONS: ::unik_host_net::Options = ::unik_host_net::Options {};
            static LISTENS: &[::unik::start::Listen] = &[
                ::unik::start::Listen {
                    protocol: ::unik::start::Protocol::Tcp,
                    port: 80u16,
                    service: "within",
                },
            ];
            ::unik_host_net::start(&Context::new("back"), &OPTIONS, LISTENS).await?
        };
        // in.unik:22: site = web
        {
            static OPTIONS: ::unik_web::Options = ::unik_web::Options {
                port: 80,
                route: &[],
            };
            static SIZES: &[usize] = &[];
            fn answer() {}
            ::unik_web::start(
                    &Context::new("site"),
                    &OPTIONS,
                    (SIZES, answer),
                    lan,
                    (),
                    console.clone(),
                )
                .await?
        };
        // in.unik:23: within = web
        {
            static OPTIONS: ::unik_web::Options = ::unik_web::Options {
                port: 80,
                route: &[],
            };
            static SIZES: &[usize] = &[];
            fn answer() {}
            ::unik_web::start(
                    &Context::new("within"),
                    &OPTIONS,
                    (SIZES, answer),
                    back,
                    (),
                    console,
                )
                .await?
        };
        // in.unik:24: post = mail
        {
            let options: &'static ::unik_mail::Options = alloc::boxed::Box::leak(
                alloc::boxed::Box::new(::unik_mail::Options {
                    key: ::core::option::Option::Some(include_str!("blobs/secrets/key")),
                    pass: ::core::option::Option::Some(boot_pass),
                    relay: ::core::option::Option::Some(
                        &*alloc::boxed::Box::leak(
                            alloc::boxed::Box::new([
                                ::core::net::IpAddr::V4(
                                    ::core::net::Ipv4Addr::new(10, 0, 0, 7),
                                ),
                                ::core::net::IpAddr::from(boot_relay),
                            ]),
                        ),
                    ),
                    how: match boot_how {
                        "plain" => ::unik_mail::How::Plain,
                        "tls" => ::unik_mail::How::Tls,
                        _ => ::unik_mail::How::Either,
                    },
                    limit: ::core::option::Option::Some(::unik_mail::Limit {
                        size: boot_limit,
                        time: ::core::option::Option::Some(boot_wait),
                    }),
                    ports: ::core::option::Option::Some(boot_ports),
                }),
            );
            ::unik_mail::start(&Context::new("post"), options).await?
        };
        ::unik::platform::ready();
        Ok(())
    }
}
