// Generated from in.unik:4. Changes are lost.

#![no_std]
#![cfg_attr(unik_machine, no_main)]
::unik::entry!(unik_appliance::wire);
/// The appliance `files`, for the target `machine`.
mod unik_appliance {
    extern crate alloc;
    use ::unik::start::{Context, StartError};
    /// Starts every instance, providers first.
    pub(super) async fn wire() -> Result<(), StartError> {
        ::unik::logging::start(::unik::log::LevelFilter::Info);
        // in.unik:6: card = nic
        let card = {
            static OPTIONS: ::unik_nic::Options = ::unik_nic::Options {
                queue_size: 64,
                mac: ::core::option::Option::Some([82, 84, 0, 18, 52, 86]),
            };
            ::unik_nic::start(&Context::new("card"), &OPTIONS).await?
        };
        // implied: console = console
        let console = {
            static OPTIONS: ::unik_console::Options = ::unik_console::Options {};
            ::unik_console::start(&Context::new("console"), &OPTIONS).await?
        };
        ::unik::platform::seal();
        // in.unik:7: lan = net
        let lan = {
            static OPTIONS: ::unik_net::Options = ::unik_net::Options {
                ipv4: ::unik_net::Ipv4::Static {
                    address: (::core::net::Ipv4Addr::new(10, 0, 0, 2), 24),
                    gateway: ::core::option::Option::Some(
                        ::core::net::Ipv4Addr::new(10, 0, 0, 1),
                    ),
                },
            };
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
            ::unik_net::start(&Context::new("lan"), &OPTIONS, LISTENS, card).await?
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
        static NOTE: Note<544> = Note {
            name_length: 5,
            length: 542,
            kind: 1,
            name: *b"unik\0\0\0\0",
            bytes: *b"{\"version\":1,\"appliance\":\"files\",\"memory\":8388608,\"cpu\":\"x86-64-v2\",\"devices\":[{\"name\":\"card\",\"component\":\"nic\",\"provides\":[\"Frames\"],\"mac\":\"52:54:00:12:34:56\"},{\"name\":\"console\",\"component\":\"console\",\"provides\":[\"Console\"]}],\"networks\":[{\"name\":\"lan\",\"device\":\"card\",\"address\":\"10.0.0.2\",\"prefix\":24,\"gateway\":\"10.0.0.1\"}],\"listens\":[{\"network\":\"lan\",\"device\":\"card\",\"protocol\":\"tcp\",\"port\":80,\"service\":\"one\",\"component\":\"web\"},{\"network\":\"lan\",\"device\":\"card\",\"protocol\":\"tcp\",\"port\":8080,\"service\":\"two\",\"component\":\"web\"}],\"drain\":10000}\0\0",
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
