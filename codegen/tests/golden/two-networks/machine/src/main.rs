// Generated from in.unik:3. Changes are lost.

#![no_std]
#![cfg_attr(unik_machine, no_main)]
::unik::entry!(unik_appliance::wire);
/// The appliance `two-networks`, for the target `machine`.
mod unik_appliance {
    extern crate alloc;
    use ::unik::start::{Context, StartError};
    /// Starts every instance, providers first.
    pub(super) async fn wire() -> Result<(), StartError> {
        ::unik::logging::start(::unik::log::LevelFilter::Info);
        // in.unik:4: left = nic
        let left = {
            static OPTIONS: ::unik_nic::Options = ::unik_nic::Options {
                queue_size: 256,
                mac: ::core::option::Option::None,
            };
            ::unik_nic::start(&Context::new("left"), &OPTIONS).await?
        };
        // in.unik:5: right = nic
        let right = {
            static OPTIONS: ::unik_nic::Options = ::unik_nic::Options {
                queue_size: 16,
                mac: ::core::option::Option::None,
            };
            ::unik_nic::start(&Context::new("right"), &OPTIONS).await?
        };
        // implied: console = console
        let console = {
            static OPTIONS: ::unik_console::Options = ::unik_console::Options {};
            ::unik_console::start(&Context::new("console"), &OPTIONS).await?
        };
        ::unik::platform::seal();
        // in.unik:6: type = net
        let type_ = {
            static OPTIONS: ::unik_net::Options = ::unik_net::Options {
                ipv4: ::unik_net::Ipv4::Static {
                    address: (::core::net::Ipv4Addr::new(10, 0, 0, 2), 24),
                    gateway: ::core::option::Option::None,
                },
            };
            static LISTENS: &[::unik::start::Listen] = &[
                ::unik::start::Listen {
                    protocol: ::unik::start::Protocol::Tcp,
                    port: 80u16,
                    service: "here",
                },
            ];
            ::unik_net::start(&Context::new("type"), &OPTIONS, LISTENS, left).await?
        };
        // in.unik:7: out = net
        let out = {
            static OPTIONS: ::unik_net::Options = ::unik_net::Options {
                ipv4: ::unik_net::Ipv4::Dhcp,
            };
            static LISTENS: &[::unik::start::Listen] = &[
                ::unik::start::Listen {
                    protocol: ::unik::start::Protocol::Tcp,
                    port: 80u16,
                    service: "there",
                },
            ];
            ::unik_net::start(&Context::new("out"), &OPTIONS, LISTENS, right).await?
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
        static NOTE: Note<596> = Note {
            name_length: 5,
            length: 596,
            kind: 1,
            name: *b"unik\0\0\0\0",
            bytes: *b"{\"version\":1,\"appliance\":\"two-networks\",\"memory\":16777216,\"cpu\":\"x86-64-v2\",\"devices\":[{\"name\":\"left\",\"component\":\"nic\",\"provides\":[\"Frames\"]},{\"name\":\"right\",\"component\":\"nic\",\"provides\":[\"Frames\"]},{\"name\":\"console\",\"component\":\"console\",\"provides\":[\"Console\"]}],\"networks\":[{\"name\":\"type\",\"device\":\"left\",\"address\":\"10.0.0.2\",\"prefix\":24},{\"name\":\"out\",\"device\":\"right\"}],\"listens\":[{\"network\":\"type\",\"device\":\"left\",\"protocol\":\"tcp\",\"port\":80,\"service\":\"here\",\"component\":\"web\"},{\"network\":\"out\",\"device\":\"right\",\"protocol\":\"tcp\",\"port\":80,\"service\":\"there\",\"component\":\"web\"}],\"drain\":10000}",
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
