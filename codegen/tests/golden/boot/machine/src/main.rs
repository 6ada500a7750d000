// Generated from in.unik:17. Changes are lost.

#![no_std]
#![cfg_attr(unik_machine, no_main)]
::unik::entry!(unik_appliance::wire);
/// The appliance `boot`, for the target `machine`.
mod unik_appliance {
    extern crate alloc;
    use ::unik::start::{Context, StartError};
    /// Starts every instance, providers first.
    pub(super) async fn wire() -> Result<(), StartError> {
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
        let boot_address = boot
            .value(
                &BOOT[0],
                Some((::core::net::Ipv4Addr::new(10, 0, 0, 2), 24)),
                ::unik::boot::cidr4,
            )?;
        let boot_gateway = boot
            .value(
                &BOOT[1],
                Some(::core::net::Ipv4Addr::new(10, 0, 0, 1)),
                ::unik::boot::address::<::core::net::Ipv4Addr>,
            )?;
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
            ::unik::boot::is_host(
                ::core::net::IpAddr::from(boot_address.0),
                boot_address.1,
            ),
            &BOOT[0],
            "is its network's own or broadcast address, not a host's",
        )?;
        boot.require(
            ::unik::boot::is_unicast(::core::net::IpAddr::from(boot_gateway)),
            &BOOT[1],
            "is not the address of one host",
        )?;
        boot.require(
            ::unik::boot::is_within(
                ::core::net::IpAddr::from(boot_gateway),
                ::core::net::IpAddr::from(boot_address.0),
                boot_address.1,
            ),
            &BOOT[1],
            "is no host's address in the network of the address",
        )?;
        boot.require(
            ::core::net::IpAddr::from(boot_gateway)
                != ::core::net::IpAddr::from(boot_address.0),
            &BOOT[1],
            "is the same as the address",
        )?;
        boot.require(
            ::unik::boot::is_unicast(::core::net::IpAddr::from(boot_relay)),
            &BOOT[2],
            "is not the address of one host",
        )?;
        boot.require(
            ::unik::boot::are_apart(
                ::core::net::IpAddr::from(boot_address.0),
                boot_address.1,
                ::core::net::IpAddr::from(
                    (::core::net::Ipv4Addr::new(10, 1, 0, 2), 16).0,
                ),
                (::core::net::Ipv4Addr::new(10, 1, 0, 2), 16).1,
            ),
            &BOOT[0],
            "has addresses that another network has, too",
        )?;
        ::unik::logging::start(::unik::log::LevelFilter::Info);
        // in.unik:18: card = nic
        let card = {
            static OPTIONS: ::unik_nic::Options = ::unik_nic::Options {
                queue_size: 256,
                mac: ::core::option::Option::None,
            };
            ::unik_nic::start(&Context::new("card"), &OPTIONS).await?
        };
        // in.unik:20: other = nic
        let other = {
            static OPTIONS: ::unik_nic::Options = ::unik_nic::Options {
                queue_size: 256,
                mac: ::core::option::Option::None,
            };
            ::unik_nic::start(&Context::new("other"), &OPTIONS).await?
        };
        // implied: console = console
        let console = {
            static OPTIONS: ::unik_console::Options = ::unik_console::Options {};
            ::unik_console::start(&Context::new("console"), &OPTIONS).await?
        };
        ::unik::platform::seal();
        // in.unik:19: lan = net
        let lan = {
            let options: &'static ::unik_net::Options = alloc::boxed::Box::leak(
                alloc::boxed::Box::new(::unik_net::Options {
                    ipv4: ::unik_net::Ipv4::Static {
                        address: boot_address,
                        gateway: ::core::option::Option::Some(boot_gateway),
                    },
                }),
            );
            static LISTENS: &[::unik::start::Listen] = &[
                ::unik::start::Listen {
                    protocol: ::unik::start::Protocol::Tcp,
                    port: 80u16,
                    service: "site",
                },
            ];
            ::unik_net::start(&Context::new("lan"), options, LISTENS, card).await?
        };
        // in.unik:21: back = net
        let back = {
            static OPTIONS: ::unik_net::Options = ::unik_net::Options {
                ipv4: ::unik_net::Ipv4::Static {
                    address: (::core::net::Ipv4Addr::new(10, 1, 0, 2), 16),
                    gateway: ::core::option::Option::None,
                },
            };
            static LISTENS: &[::unik::start::Listen] = &[
                ::unik::start::Listen {
                    protocol: ::unik::start::Protocol::Tcp,
                    port: 80u16,
                    service: "within",
                },
            ];
            ::unik_net::start(&Context::new("back"), &OPTIONS, LISTENS, other).await?
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
        ::unik::platform::machine::listen_for_end();
        ::unik::platform::ready();
        Ok(())
    }
    /// An ELF note: what the image tells a monitor of itself.
    #[repr(C, align(4))]
    struct Note<const N: usize> {
        name_length: u32,
        length: u32,
        kind: u32,
        name: [u8; 8],
        bytes: [u8; N],
    }
    const _: () = {
        #[used]
        #[unsafe(link_section = ".note.unik")]
        static NOTE: Note<1156> = Note {
            name_length: 5,
            length: 1153,
            kind: 1,
            name: *b"unik\0\0\0\0",
            bytes: *b"{\"version\":1,\"appliance\":\"boot\",\"memory\":16777216,\"cpu\":\"x86-64-v2\",\"devices\":[{\"name\":\"card\",\"component\":\"nic\",\"provides\":[\"Frames\"]},{\"name\":\"other\",\"component\":\"nic\",\"provides\":[\"Frames\"]},{\"name\":\"console\",\"component\":\"console\",\"provides\":[\"Console\"]}],\"networks\":[{\"name\":\"lan\",\"device\":\"card\",\"address\":\"10.0.0.2\",\"prefix\":24,\"gateway\":\"10.0.0.1\",\"address-at-boot\":\"address\",\"gateway-at-boot\":\"gateway\"},{\"name\":\"back\",\"device\":\"other\",\"address\":\"10.1.0.2\",\"prefix\":16}],\"listens\":[{\"network\":\"lan\",\"device\":\"card\",\"protocol\":\"tcp\",\"port\":80,\"service\":\"site\",\"component\":\"web\"},{\"network\":\"back\",\"device\":\"other\",\"protocol\":\"tcp\",\"port\":80,\"service\":\"within\",\"component\":\"web\"}],\"boot\":[{\"name\":\"address\",\"type\":\"cidr4\",\"default\":\"10.0.0.2/24\",\"doc\":\"Where the network has it\"},{\"name\":\"gateway\",\"type\":\"ipv4\",\"default\":\"10.0.0.1\"},{\"name\":\"relay\",\"type\":\"ipv4\"},{\"name\":\"how\",\"type\":\"plain|tls\",\"default\":\"plain\"},{\"name\":\"limit\",\"type\":\"size 1KiB..=64MiB\",\"default\":\"4 KiB\"},{\"name\":\"wait\",\"type\":\"duration\",\"default\":\"30 s\"},{\"name\":\"ports\",\"type\":\"list port\",\"default\":\"[25, 587]\"},{\"name\":\"pass\",\"type\":\"string\",\"secret\":true}],\"drain\":10000}\0\0\0",
        };
    };
    const _: () = {
        #[used]
        #[unsafe(link_section = ".note.unik")]
        static NOTE: Note<32> = Note {
            name_length: 5,
            length: 32,
            kind: 2,
            name: *b"unik\0\0\0\0",
            bytes: *b"HASH",
        };
    };
    const _: () = {
        #[used]
        #[unsafe(link_section = ".note.unik")]
        static NOTE: Note<32> = Note {
            name_length: 5,
            length: 32,
            kind: 3,
            name: *b"unik\0\0\0\0",
            bytes: *b"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
        };
    };
}
