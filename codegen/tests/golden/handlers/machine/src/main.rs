// Generated from in.unik:3. Changes are lost.

#![no_std]
#![cfg_attr(unik_machine, no_main)]
::unik::entry!(unik_appliance::wire);
/// The appliance `handlers`, for the target `machine`.
mod unik_appliance {
    extern crate alloc;
    use ::unik::start::{Context, StartError};
    /// Starts every instance, providers first.
    pub(super) async fn wire() -> Result<(), StartError> {
        ::unik::logging::start(::unik::log::LevelFilter::Info);
        // in.unik:4: card = nic
        let card = {
            static OPTIONS: ::unik_nic::Options = ::unik_nic::Options {
                queue_size: 256,
                mac: ::core::option::Option::None,
            };
            ::unik_nic::start(&Context::new("card"), &OPTIONS).await?
        };
        // implied: console = console
        let console = {
            static OPTIONS: ::unik_console::Options = ::unik_console::Options {};
            ::unik_console::start(&Context::new("console"), &OPTIONS).await?
        };
        ::unik::platform::seal();
        // in.unik:5: lan = net
        let lan = {
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
                    service: "api",
                },
            ];
            ::unik_net::start(&Context::new("lan"), &OPTIONS, LISTENS, card).await?
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
        static NOTE: Note<404> = Note {
            name_length: 5,
            length: 402,
            kind: 1,
            name: *b"unik\0\0\0\0",
            bytes: *b"{\"version\":1,\"appliance\":\"handlers\",\"memory\":16777216,\"cpu\":\"x86-64-v2\",\"devices\":[{\"name\":\"card\",\"component\":\"nic\",\"provides\":[\"Frames\"]},{\"name\":\"console\",\"component\":\"console\",\"provides\":[\"Console\"]}],\"networks\":[{\"name\":\"lan\",\"device\":\"card\",\"address\":\"10.0.0.2\",\"prefix\":24}],\"listens\":[{\"network\":\"lan\",\"device\":\"card\",\"protocol\":\"tcp\",\"port\":80,\"service\":\"api\",\"component\":\"web\"}],\"drain\":10000}\0\0",
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
