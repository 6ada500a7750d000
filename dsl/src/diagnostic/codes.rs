//! Every code, once: its number, title, explanation, a wrong and a right example.
//!
//! `unikgen explain CODE` prints this; a test holds that each wrong example gives its
//! code and each right one is without errors.

pub use super::code::{Code, Explanation, explanation, nearest};

/// Those that come as warnings, which can be denied and allowed. What a component found is
/// one or the other, as the component says.
pub const WARNINGS: &[Code] = &[INCLUDED_TWICE, UNREAD, VOID, UNUSED, EMPTY, COMPONENT_FINDING, SLOW_BOOT];

macro_rules! codes {
    ($($name:ident = $code:literal, $title:literal, $text:literal, wrong: $wrong:literal, right: $right:literal;)*) => {
        $(#[doc = concat!($code, ": ", $title, ".")] pub const $name: Code = Code($code);)*

        /// All codes in order.
        pub const ALL: &[Explanation] = &[
            $(Explanation { code: $name, title: $title, text: $text, wrong: $wrong, right: $right },)*
        ];
    };
}

codes! {
    CANNOT_READ = "U0001", "a file can't be read",
        "The `.unik` file, or one that it includes, isn't there, isn't a file, or isn't text in UTF-8 with lines \
         that end in LF or CR LF.",
        wrong: r#"include "no-such.unik""#,
        right: r#"include "base.unik"
appliance a {
    service s = say { line "hello" }
}"#;

    TOO_MANY = "U0002", "there is more to say than is shown",
        "Only the first hundred errors and warnings are shown. Mend some of them, and see what remains.",
        wrong: "",
        right: "";

    SYNTAX = "U0101", "an entry isn't written as the grammar has it",
        "An entry is a key, then values with spaces between, up to the end of the line or a `;`. \
         Declarations have the one form `KIND NAME = COMPONENT on WIRES { OPTIONS }`. There is no \
         `=` or `:` between a key and its value.",
        wrong: r#"appliance a {
    service s = say { line = "hello" }
}"#,
        right: r#"appliance a {
    service s = say { line "hello" }
}"#;

    UNCLOSED = "U0102", "something is opened and not closed",
        "A block `{ … }`, a list `[ … ]`, a string or a block comment lacks its end. Where a brace \
         is missing, the indentation tells where the block was probably meant to end.",
        wrong: r#"appliance a {
    service s = say { line "hello" }"#,
        right: r#"appliance a {
    service s = say { line "hello" }
}"#;

    STRAY_BRACE = "U0103", "a brace that closes nothing",
        "There is one `}` more than there are blocks to close.",
        wrong: r#"appliance a {
    service s = say { line "hello" }
}
}"#,
        right: r#"appliance a {
    service s = say { line "hello" }
}"#;

    TOO_DEEP = "U0104", "blocks nest too deep",
        "Blocks nest at most 64 deep. No appliance needs that; probably closing braces are missing.",
        wrong: r#"appliance a {
when target != sim { when target != sim { when target != sim { when target != sim { when target != sim { when target != sim { when target != sim { when target != sim { when target != sim { when target != sim { when target != sim { when target != sim { when target != sim { when target != sim { when target != sim { when target != sim { when target != sim { when target != sim { when target != sim { when target != sim { when target != sim { when target != sim { when target != sim { when target != sim { when target != sim { when target != sim { when target != sim { when target != sim { when target != sim { when target != sim { when target != sim { when target != sim { when target != sim { when target != sim { when target != sim { when target != sim { when target != sim { when target != sim { when target != sim { when target != sim { when target != sim { when target != sim { when target != sim { when target != sim { when target != sim { when target != sim { when target != sim { when target != sim { when target != sim { when target != sim { when target != sim { when target != sim { when target != sim { when target != sim { when target != sim { when target != sim { when target != sim { when target != sim { when target != sim { when target != sim { when target != sim { when target != sim { when target != sim { when target != sim { 
} } } } } } } } } } } } } } } } } } } } } } } } } } } } } } } } } } } } } } } } } } } } } } } } } } } } } } } } } } } } } } } } 
}"#,
        right: r#"appliance a {
    service s = say { line "hello" }
}"#;

    MALFORMED = "U0105", "a value that isn't one",
        "What begins like an address, a number or an escape must be one: `10.0.0.300` isn't an \
         address, since no part of it may exceed 255. Text and paths stand in quotes.",
        wrong: "let server = 10.0.0.300",
        right: r#"let text = "10.0.0.30"
appliance a {
    service s = say { line $text }
}"#;

    MISPLACED = "U0106", "a statement in a block where it can't stand",
        "At the top of a file stand `unik`, `param`, `let`, `include`, `crate` and `appliance`; in an \
         appliance its settings and the declarations of devices, networks, storages and services; \
         in a declaration its options.",
        wrong: r#"service s = say {
    line "hello"
}"#,
        right: r#"appliance a {
    service s = say { line "hello" }
}"#;

    VERSION = "U0107", "the language version is missing or unknown",
        "A file begins with the version of the language that it is written in, so that a later tool knows \
         how to read it. There is version 1. Included files may leave it out.",
        wrong: "unik 2",
        right: "unik 1";

    LONG_NAME = "U0110", "a name of more than 64 characters",
        "Names of appliances and instances become names of files, crates and variables.",
        wrong: r#"appliance a {
    service a-service-that-says-one-thing-and-then-another-and-after-that-a-third = say { line "hello" }
}"#,
        right: r#"appliance a {
    service says-three-things = say { line "hello" }
}"#;

    INVISIBLE = "U0111", "a character that isn't seen",
        "Pasted text brings along spaces that are none: no-break spaces, marks of no width, marks of \
         direction. Outside of strings and comments they stand for nothing.",
        wrong: "appliance\u{a0}a { service s = say { line \"hello\" } }",
        right: r#"appliance a { service s = say { line "hello" } }"#;

    UNKNOWN_NAME = "U0201", "a `$name` that nothing declares",
        "`$name` stands for a parameter or a `let`. Names of instances are written without `$`.",
        wrong: r#"appliance a {
    service s = say { line $lin }
}"#,
        right: r#"let lin = "hello"

appliance a {
    service s = say { line $lin }
}"#;

    DUPLICATE = "U0202", "a name is declared twice",
        "Parameters and `let`s share their names, and so do devices, networks, storages and services.",
        wrong: r#"let a = 1
let a = 2"#,
        right: r#"let a = "hello"
let b = "bye"
appliance a {
    service s = say { line $a }
    service t = say { line $b }
}"#;

    INCLUDE_CYCLE = "U0203", "a file includes itself",
        "A file stands in place of its `include`. One that includes itself, at first or second hand, \
         would never end.",
        wrong: r#"include "example.unik""#,
        right: r#"include "base.unik"
appliance a {
    service s = say { line "hello" }
}"#;

    INCLUDED_TWICE = "U0204", "a file is included twice",
        "The second `include` adds nothing: what a file declares, it declares once.",
        wrong: r#"include "base.unik"
include "base.unik"
appliance a {
    service s = say { line "hello" }
}"#,
        right: r#"include "base.unik"
appliance a {
    service s = say { line "hello" }
}"#;

    NO_VALUE = "U0205", "a parameter without a value",
        "A parameter without a default gets its value by `--set NAME=VALUE`.",
        wrong: "param text: string",
        right: r#"param text: string = "hello"
appliance a {
    service s = say { line $text }
}"#;

    SET = "U0206", "a `--set` that doesn't fit",
        "`--set NAME=VALUE` gives a parameter of the file its value, once.",
        wrong: r#"// unikgen check --set txet=bye
param text: string = "hello"
appliance a {
    service s = say { line $text }
}"#,
        right: r#"// unikgen check --set text=bye
param text: string = "hello"
appliance a {
    service s = say { line $text }
}"#;

    PARAM_TYPE = "U0207", "a parameter of no known type",
        "The types of parameters are those of the catalogue's options, without those that name parts of \
         the file.",
        wrong: r#"param a: strng = "x""#,
        right: r#"param a: string = "x"
appliance a {
    service s = say { line $a }
}"#;

    LET_CYCLE = "U0208", "a value stands for itself",
        "`let a = $b` and `let b = $a` leave both without a value.",
        wrong: r#"let a = $b
let b = $a"#,
        right: r#"let a = "hello"
let b = $a
appliance a {
    service s = say { line $b }
}"#;

    UNREAD = "U0209", "a parameter or value that nothing reads",
        "It is declared and never used as `$name`. Probably a slip; otherwise leave it out.",
        wrong: "let a = 1",
        right: r#"let text = "hello"

appliance a {
    service s = say { line $text }
}"#;

    APPLIANCE = "U0210", "not exactly one appliance",
        "A `.unik` file describes one appliance, with what it includes.",
        wrong: r#"appliance a {
    service s = say { line "hello" }
}
appliance b { }"#,
        right: r#"appliance a {
    service s = say { line "hello" }
}"#;

    BAD_CRATE = "U0211", "a named crate can't be used",
        "The folder has no `Cargo.toml`, its table `[package.metadata.unik]` is missing or wrong, or its name \
         is another.",
        wrong: r#"crate mine { path "." }
appliance a {
    service s = say { line "hello" }
}"#,
        right: r#"appliance a {
    service s = say { line "hello" }
}"#;

    CONDITION = "U0212", "a condition that can't be decided",
        "`when` compares the target with `machine`, `process` or `sim`, or a parameter with a value of its type. \
         The target itself can't stand under a condition on the target.",
        wrong: r#"appliance a {
    when target == proces { log level debug }
}"#,
        right: r#"appliance a {
    when target == process { log level debug }
    service s = say { line "hello" }
}"#;

    FETCH = "U0213", "a named crate can't be fetched",
        "A crate that `git` or `version` names comes through cargo, which says why it can't have it. Which \
         commit or version it is stands in the lock file beside the `.unik` file, so that the next build \
         takes the same; keep that file under version control.",
        wrong: "",
        right: "";

    AT_BOOT = "U0215", "a value at boot, for something that is fixed at build",
        "A parameter `at boot` has its value when the appliance starts. What decides what is in the image \
         (a `when`, the target, the memory), what is prepared at build, and the ports that a network lets \
         through are fixed before. `unikgen components NAME` says which options may be set at boot.",
        wrong: r#"param text: string at boot = "hello"

appliance a {
    service s = say { line "hello" }
    when $text == "hello" { log level debug }
}"#,
        right: r#"param text: string = "hello"

appliance a {
    service s = say { line $text }
    when $text == "hello" { log level debug }
}"#;

    SECRET = "U0216", "a secret that would be seen",
        "Keys and passwords don't stand in files. Declare `param NAME: secret string`, write `$NAME` for the \
         option, and give it with `--set-file NAME=FILE` or `--set-env NAME=VARIABLE` at build time; with \
         `at boot`, on the boot line. Options that are secret take nothing else, and other options no secret.",
        wrong: r#"param key: secret string = "hunter2""#,
        right: "";

    BAD_TABLE = "U0219", "a slip in the table of a named crate",
        "The table `[package.metadata.unik]` in the crate's `Cargo.toml` is read strictly: a key that there isn't, \
         a type that there isn't, or the name of a wire, placeholder, part or option that the table doesn't have \
         is an error there, for all who use the crate. The book's chapter \"The four contracts\" has the schema.",
        wrong: "",
        right: "";

    UNKNOWN_OPTION = "U0301", "an option that the component doesn't have",
        "`unikgen components NAME` lists what a component can be told.",
        wrong: r#"appliance a {
    service s = say { lin "hello" }
}"#,
        right: r#"appliance a {
    service s = say { line "hello" }
}"#;

    REPEATED = "U0302", "an option is written twice",
        "Most options are given once. Those that may be repeated are marked so in the catalogue. An entry \
         under `when` replaces one outside of it.",
        wrong: r#"appliance a {
    memory 8 MiB
    memory 16 MiB
    service s = say { line "hello" }
}"#,
        right: r#"appliance a {
    memory 8 MiB
    service s = say { line "hello" }
}"#;

    MISSING_OPTION = "U0303", "an option that has to be there",
        "The component can't guess it.",
        wrong: r#"appliance a {
    service s = say
}"#,
        right: r#"appliance a {
    service s = say { line "hello" }
}"#;

    WRONG_TYPE = "U0304", "a value of another type",
        "Values have types: a port is no string, text stands in quotes, an address with a network has a \
         prefix length.",
        wrong: r#"appliance a {
    service s = say { line hello }
}"#,
        right: r#"appliance a {
    service s = say { line "hello" }
}"#;

    OUT_OF_RANGE = "U0305", "a value out of its range",
        "The catalogue says the least and the greatest value.",
        wrong: r#"appliance a {
    memory 1 MiB
    service s = say { line "hello" }
}"#,
        right: r#"appliance a {
    memory 8 MiB
    service s = say { line "hello" }
}"#;

    UNIT = "U0306", "a unit that is missing or wrong",
        "Sizes are counted in B, KiB, MiB, GiB and TiB, all powers of 1024; durations in ns, us, ms, s, \
         min, h and d. `MB` is refused because some mean 1,000,000 by it and some 1,048,576.",
        wrong: r#"appliance a {
    memory 24 MB
    service s = say { line "hello" }
}"#,
        right: r#"appliance a {
    memory 24 MiB
    service s = say { line "hello" }
}"#;

    INCOMPLETE = "U0307", "an entry that ends too early",
        "Something has to follow the key that isn't there.",
        wrong: r#"appliance a {
    log level
    service s = say { line "hello" }
}"#,
        right: r#"appliance a {
    log level debug
    service s = say { line "hello" }
}"#;

    NO_BLOCK = "U0308", "a block after an option that takes none",
        "Only options with options of their own take a block.",
        wrong: r#"appliance a {
    memory 8 MiB { }
    service s = say { line "hello" }
}"#,
        right: r#"appliance a {
    memory 8 MiB
    service s = say { line "hello" }
}"#;

    OUTSIDE = "U0401", "an address outside of its network",
        "A gateway has to be reached without a gateway: its address lies in the network of the interface.",
        wrong: r#"appliance a {
    device n = virtio-net
    network l = ip on n { ipv4 10.0.0.2/24 gateway 10.0.1.1 }
    service e = echo on l
}"#,
        right: r#"appliance a {
    device n = virtio-net
    network l = ip on n { ipv4 10.0.0.2/24 gateway 10.0.0.1 }
    service e = echo on l
}"#;

    NO_HOST = "U0402", "an address that no host can have",
        "The first address of a network is the network's own, the last its broadcast address.",
        wrong: r#"appliance a {
    device n = virtio-net
    network l = ip on n { ipv4 10.0.0.0/24 }
    service e = echo on l
}"#,
        right: r#"appliance a {
    device n = virtio-net
    network l = ip on n { ipv4 10.0.0.2/24 }
    service e = echo on l
}"#;

    DIFFER = "U0403", "two values that have to differ",
        "An appliance isn't its own gateway.",
        wrong: r#"appliance a {
    device n = virtio-net
    network l = ip on n { ipv4 10.0.0.1/24 gateway 10.0.0.1 }
    service e = echo on l
}"#,
        right: r#"appliance a {
    device n = virtio-net
    network l = ip on n { ipv4 10.0.0.2/24 gateway 10.0.0.1 }
    service e = echo on l
}"#;

    POWER_OF_TWO = "U0404", "a number that is no power of two",
        "Rings and tables of hardware have sizes that are powers of two.",
        wrong: r#"appliance a {
    device n = virtio-net { queue-size 100 }
    network l = ip on n { ipv4 dhcp }
    service e = echo on l
}"#,
        right: r#"appliance a {
    device n = virtio-net { queue-size 128 }
    network l = ip on n { ipv4 dhcp }
    service e = echo on l
}"#;

    UNICAST = "U0405", "an address that is not that of one host",
        "Broadcast, multicast, unspecified, loopback and reserved addresses (RFC 6890) can't be the address of \
         a host on a network.",
        wrong: r#"appliance a {
    device n = virtio-net { mac 01:00:5e:00:00:01 }
    network l = ip on n { ipv4 dhcp }
    service e = echo on l
}"#,
        right: r#"appliance a {
    device n = virtio-net { mac 52:54:00:00:00:01 }
    network l = ip on n { ipv4 dhcp }
    service e = echo on l
}"#;

    PORT_TAKEN = "U0406", "two listeners on one port",
        "On one network a port of TCP or of UDP belongs to one service.",
        wrong: r#"appliance a {
    device n = virtio-net
    network l = ip on n { ipv4 dhcp }
    service e = echo on l
    service f = echo on l
}"#,
        right: r#"appliance a {
    device n = virtio-net
    network l = ip on n { ipv4 dhcp }
    service e = echo on l
    service f = echo on l { port 8 }
}"#;

    NO_FILE = "U0407", "a file or folder of the host that isn't there",
        "Paths are relative to the file that they are written in.",
        wrong: r#"appliance a {
    device n = virtio-net
    network l = ip on n { ipv4 dhcp }
    storage p = embed { from "no-such-folder" }
    service h = http on l { files from p }
}"#,
        right: r#"appliance a {
    device n = virtio-net
    network l = ip on n { ipv4 dhcp }
    storage p = embed { from "." }
    service h = http on l { files from p }
}"#;

    NOT_UNIQUE = "U0408", "a value that another instance has",
        "Two network devices with one MAC address, for example: no frame would find its way.",
        wrong: r#"appliance a {
    device n = virtio-net { mac 52:54:00:00:00:01 }
    device m = virtio-net { mac 52:54:00:00:00:01 }
    network l = ip on n { ipv4 dhcp }
    network k = ip on m { ipv4 dhcp }
    service e = echo on l
    service f = echo on k
}"#,
        right: r#"appliance a {
    device n = virtio-net { mac 52:54:00:00:00:01 }
    device m = virtio-net { mac 52:54:00:00:00:02 }
    network l = ip on n { ipv4 dhcp }
    network k = ip on m { ipv4 dhcp }
    service e = echo on l
    service f = echo on k
}"#;

    EXCLUDES = "U0409", "options that exclude each other",
        "Each makes the other void; leave one of them out.",
        wrong: r#"crate x {
    path "."
    version "1"
}"#,
        right: r#"appliance a {
    service s = say { line "hello" }
}"#;

    ANY_OF = "U0410", "none of several options",
        "At least one of them is needed.",
        wrong: "crate x { }",
        right: r#"appliance a {
    service s = say { line "hello" }
}"#;

    REQUIRES = "U0411", "an option that needs another",
        "It means nothing without the other.",
        wrong: r#"crate x {
    path "."
    rev "0123abc"
}"#,
        right: r#"appliance a {
    service s = say { line "hello" }
}"#;

    HOSTNAME = "U0412", "no name of a host",
        "Parts of at most 63 letters, digits and hyphens, a hyphen neither first nor last, joined by dots, at \
         most 253 bytes in all (RFC 1123, RFC 1035): what DHCP and DNS servers take.",
        wrong: r#"appliance a {
    device n = virtio-net
    network l = ip on n {
        ipv4 dhcp
        hostname "my_site"
    }
    service e = echo on l
}"#,
        right: r#"appliance a {
    device n = virtio-net
    network l = ip on n {
        ipv4 dhcp
        hostname "my-site"
    }
    service e = echo on l
}"#;

    MORE_THAN_MEMORY = "U0413", "more memory than there is",
        "The size is taken of the appliance's memory, which is all that the machine has. This is known of \
         each size by itself: several together may still be more than there is.",
        wrong: r#"appliance a {
    memory 8 MiB
    device n = virtio-net
    network l = ip on n {
        ipv4 dhcp
        tcp-memory 60 MiB
    }
    service e = echo on l
}"#,
        right: r#"appliance a {
    memory 8 MiB
    device n = virtio-net
    network l = ip on n {
        ipv4 dhcp
        tcp-memory 4 MiB
    }
    service e = echo on l
}"#;

    VOID = "U0414", "an option that another makes void",
        "It is told to nobody, or used for nothing: a name for the DHCP server of a network with a fixed \
         address, for example. Leave it out, or write it under the same `when` as what it belongs to.",
        wrong: r#"appliance a {
    device n = virtio-net
    network l = ip on n {
        ipv4 10.0.0.2/24
        hostname "web"
    }
    service e = echo on l
}"#,
        right: r#"appliance a {
    device n = virtio-net
    network l = ip on n {
        ipv4 dhcp
        hostname "web"
    }
    service e = echo on l
}"#;

    NO_NETWORK = "U0415", "an address that is no network's",
        "A route leads to a network: its address has no bit set beyond its prefix. One host is a network \
         of 32 bits, or of 128.",
        wrong: r#"appliance a {
    device n = virtio-net
    network l = ip on n {
        ipv4 10.0.0.2/24
        route 10.7.1.1/16 via 10.0.0.1
    }
    service e = echo on l
}"#,
        right: r#"appliance a {
    device n = virtio-net
    network l = ip on n {
        ipv4 10.0.0.2/24
        route 10.7.0.0/16 via 10.0.0.1
    }
    service e = echo on l
}"#;

    DISTINCT = "U0416", "a value that stands twice",
        "Of two entries that say something of one and the same, two routes to one network for example, \
         only one could count.",
        wrong: r#"appliance a {
    device n = virtio-net
    network l = ip on n {
        ipv4 10.0.0.2/24
        route 10.7.0.0/16 via 10.0.0.1
        route 10.7.0.0/16 via 10.0.0.3
    }
    service e = echo on l
}"#,
        right: r#"appliance a {
    device n = virtio-net
    network l = ip on n {
        ipv4 10.0.0.2/24
        route 10.7.0.0/16 via 10.0.0.1
        route 10.8.0.0/16 via 10.0.0.3
    }
    service e = echo on l
}"#;

    TOO_LITTLE_MEMORY = "U0417", "less memory than the appliance takes to start",
        "What components take at start (rings, their buffers) and what the image itself takes is known before \
         anything runs: with less than that, the appliance would end while it boots. How much a component takes \
         follows from its options, by its table. The image's own part is known once it is built.",
        wrong: r#"appliance a {
    memory 4 MiB
    device n = virtio-net { transmit-memory 8 MiB }
    network l = ip on n { ipv4 dhcp }
    service e = echo on l
}"#,
        right: r#"appliance a {
    memory 16 MiB
    device n = virtio-net { transmit-memory 8 MiB }
    network l = ip on n { ipv4 dhcp }
    service e = echo on l
}"#;

    OVERLAP = "U0418", "two networks with the same addresses",
        "Of an address that two networks have, nobody could tell which of them a packet for it is to leave by. \
         Give each network addresses of its own.",
        wrong: r#"appliance a {
    device n = virtio-net
    device m = virtio-net
    network lan = ip on n { ipv4 10.0.0.2/24 }
    network wan = ip on m { ipv4 10.0.0.3/16 }
    service e = echo on lan
    service f = echo on wan
}"#,
        right: r#"appliance a {
    device n = virtio-net
    device m = virtio-net
    network lan = ip on n { ipv4 10.0.0.2/24 }
    network wan = ip on m { ipv4 10.1.0.3/16 }
    service e = echo on lan
    service f = echo on wan
}"#;

    UNKNOWN_COMPONENT = "U0501", "no such component",
        "`unikgen components` lists the catalogue. A component of your own is known once `crate NAME { \
         path … }`, or one with `git` or `version`, names its crate.",
        wrong: r#"appliance a {
    service s = sai { line "hello" }
}"#,
        right: r#"appliance a {
    service s = say { line "hello" }
}"#;

    WRONG_KIND = "U0502", "a component declared as another kind",
        "Drivers are devices, protocols networks, file systems and stores storages, and what serves is a \
         service.",
        wrong: r#"appliance a {
    device s = say { line "hello" }
}"#,
        right: r#"appliance a {
    service s = say { line "hello" }
}"#;

    NOT_ON_TARGET = "U0503", "a component that can't run on the target",
        "Drivers of machines don't run in processes, unless another component stands in for what uses \
         them.",
        wrong: r#"// unikgen check --target process
appliance a {
    device d = virtio-blk
    storage f = fat32 on d
    device n = virtio-net
    network l = ip on n { ipv4 dhcp }
    service h = http on l { files from f }
}"#,
        right: r#"// unikgen check --target process
appliance a {
    device n = virtio-net
    network l = ip on n { ipv4 dhcp }
    storage f = embed { from "." }
    service h = http on l { files from f }
}"#;

    UNKNOWN_INSTANCE = "U0504", "no instance of that name",
        "What stands after `on`, and in options that name instances, is declared in the same appliance.",
        wrong: r#"appliance a {
    device n = virtio-net
    network l = ip on n { ipv4 dhcp }
    service e = echo on lan
}"#,
        right: r#"appliance a {
    device n = virtio-net
    network l = ip on n { ipv4 dhcp }
    service e = echo on l
}"#;

    WIRES = "U0505", "too few or too many instances after `on`",
        "A component says how many instances it is wired to, and which interface each has to provide.",
        wrong: r#"appliance a {
    service e = echo
}"#,
        right: r#"appliance a {
    device n = virtio-net
    network l = ip on n { ipv4 dhcp }
    service e = echo on l
}"#;

    NOT_PROVIDED = "U0506", "an instance that doesn't provide what is needed",
        "A service that needs TCP can't be wired to a network device: it needs a network on it.",
        wrong: r#"appliance a {
    device n = virtio-net
    service e = echo on n
}"#,
        right: r#"appliance a {
    device n = virtio-net
    network l = ip on n { ipv4 dhcp }
    service e = echo on l
}"#;

    NOT_SHARED = "U0507", "two users of what can't be shared",
        "A network device has one network on it, that takes all its frames.",
        wrong: r#"appliance a {
    device n = virtio-net
    network l = ip on n { ipv4 dhcp }
    network k = ip on n { ipv4 dhcp }
    service e = echo on l
    service f = echo on k
}"#,
        right: r#"appliance a {
    device n = virtio-net
    network l = ip on n { ipv4 dhcp }
    service e = echo on l
}"#;

    NOTHING_PROVIDES = "U0508", "something is needed that nothing provides",
        "The component needs an interface that the file doesn't name, no declared instance provides it, \
         and there is no component that comes in by itself.",
        wrong: r#"appliance a {
    service v = vault
}"#,
        right: r#"appliance a {
    service s = say { line "hello" }
}"#;

    AMBIGUOUS = "U0509", "several could be meant",
        "More than one instance or component provides what is needed. Nothing is left to chance: declare \
         the one that you want, and only that.",
        wrong: r#"appliance a {
    service l = ledger
}"#,
        right: r#"appliance a {
    storage k = kv-a
    service l = ledger
}"#;

    CYCLE = "U0510", "instances that need each other in a circle",
        "Each would have to start before the other.",
        wrong: r#"appliance a {
    network a = bridge on b
    network b = bridge on a
}"#,
        right: r#"appliance a {
    device n = virtio-net
    network l = ip on n { ipv4 dhcp }
    service e = echo on l
}"#;

    UNUSED = "U0511", "something is declared and not used",
        "A device, network, storage or crate that nothing uses costs space and time. Leave it out, or use \
         it.",
        wrong: r#"appliance a {
    device n = virtio-net
    service s = say { line "hello" }
}"#,
        right: r#"appliance a {
    service s = say { line "hello" }
}"#;

    CATALOGUE = "U0512", "a mistake in a component's own table",
        "The component's `Cargo.toml` contradicts itself. Nothing in your file is wrong.",
        wrong: "",
        right: "";

    EMPTY = "U0513", "an appliance without a service",
        "Services are what an appliance does; devices, networks and storage are there for them. One without \
         starts, and nothing ever happens.",
        wrong: "appliance a { }",
        right: r#"appliance a { service s = say { line "hello" } }"#;

    COMPONENT_FINDING = "U0601", "a component found something wrong with its options",
        "What the catalogue can't say is judged by the component's own code: whether a zone file \
         is one, whether two routes exclude each other. The message is the component's.",
        wrong: "",
        right: "";

    HANDLER = "U0602", "a handler that the crate doesn't have",
        "A path such as `api::count` names an `async fn` marked `#[unik::handler]` in the crate that names the \
         file by `unik::appliance!`, as seen from that crate's root. Only the compiler can follow it, so \
         `unikgen build` finds this and `unikgen check` can't. An appliance without such a crate has no \
         handlers at all: that `unikgen check` tells.",
        wrong: "",
        right: "";

    NO_HALF = "U0603", "a component that can't be asked",
        "The part of a component that judges its options runs on this machine, and is built there first, in \
         unik's cache. Where there is none, as without a home folder, nothing that the component would find is \
         known.",
        wrong: "",
        right: "";

    OVER_BUDGET = "U0701", "more than the budget allows",
        "What stands in `budget` is part of what the file promises: an image that is larger, or that may take more \
         memory, isn't built. The lines and components that cost most are named; `unikgen cost` tells of all of \
         them. Memory is counted as the file's limits allow: with so much, no client is refused for the lack of it.",
        wrong: r#"appliance a {
    budget { memory <= 1 MiB }
    device n = virtio-net { transmit-memory 8 MiB }
    network l = ip on n { ipv4 dhcp }
    service e = echo on l
}"#,
        right: r#"appliance a {
    budget { image <= 400 KiB }
    service s = say { line "hello" }
}"#;

    SLOW_BOOT = "U0702", "a slower boot than the budget allows",
        "`unikgen run` measures the time from the start of the monitor until the services answer. How long that is \
         depends on the machine and on what else it does: so this is a warning, which `--deny U0702` makes an \
         error that ends the appliance.",
        wrong: "",
        right: "";
}
