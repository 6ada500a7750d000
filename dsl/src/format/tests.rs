//! What is written, and what becomes of it.

use super::format;

#[track_caller]
fn becomes(text: &str, expected: &str) {
    let laid_out = format(text).unwrap_or_else(|diagnostics| panic!("{diagnostics:#?}"));
    assert_eq!(laid_out, expected);
    assert_eq!(format(&laid_out).unwrap(), laid_out, "again");
}

#[test]
fn blanks_braces_and_separators() {
    becomes(
        "unik   1;param a:integer   1..=9=3\nappliance x{\n\tdevice nic=virtio-net{queue-size 256;;mac $m}\nlog level info;cpu x }",
        "\
unik 1
param a: integer 1..=9 = 3
appliance x {
    device nic = virtio-net { queue-size 256; mac $m }
    log level info
    cpu x
}
",
    );
    becomes("appliance x {\n}", "appliance x { }\n");
    becomes(
        "appliance x { when $a!=[1,[::1]:53,] {a zones/\"x\"} }",
        "appliance x { when $a != [1, [::1]:53] { a zones / \"x\" } }\n",
    );
    becomes("\u{feff}unik 1\r\n\r\n", "unik 1\n");
    becomes(" \n;\n", "");
}

#[test]
fn what_fits_on_its_line_stays_there() {
    let word = "w".repeat(72);
    becomes(
        &format!("appliance x {{\n  a {word}  {{b [1,2];c {{ d }}}}\n}}"),
        &format!("appliance x {{\n    a {word} {{ b [1, 2]; c {{ d }} }}\n}}\n"),
    );
    let word = "w".repeat(73);
    becomes(
        &format!("appliance x {{\n  a {word} {{ b [1, 2]; c {{ d }}}}\n}}"),
        &format!(
            "\
appliance x {{
    a {word} {{
        b [1, 2]
        c {{ d }}
    }}
}}
"
        ),
    );
    becomes(
        &format!("let a = [{word}, [1, 2], [3,\n4], {word}]"),
        &format!(
            "\
let a = [
    {word},
    [1, 2],
    [
        3,
        4,
    ],
    {word},
]
"
        ),
    );
    // All lists of an entry, and its block, go by the first that needs several lines.
    becomes(
        "appliance x { a [\n1] [2] [] { b } }",
        "\
appliance x {
    a [
        1,
    ] [
        2,
    ] [] {
        b
    }
}
",
    );
}

#[test]
fn blank_lines_between_groups() {
    becomes(
        "\n\n// c\n\n\nunik 1\n\n\n\nappliance x {\n\n  a\n\n\n  // d\n  b\n;\n  c [\n\n1,\n\n2]\n\n}\n\n",
        "\
// c

unik 1

appliance x {
    a

    // d
    b
    c [
        1,

        2,
    ]
}
",
    );
}

#[test]
fn comments_keep_their_places() {
    becomes(
        "\
/* 1 */ unik /* 2 */ 1 /* 3 */;// 4
appliance x { // 5
/* 6 */
a { b; /* 7 */ c /* 8 */; d /* 9 */ } // 10
e [ // 11
1 /* 12 */ , 2 // 13
, /* 14 */ 3 /* 15 */
// 16
] // 17
f /* 18 */ { // 19
}
g { /* 20 */ } /* 21 */ ; h { /* 22 */ i } // 23
/* 24
   more
      */
     /* 25
        more
   less
      */ // 26
} // 27
// 28",
        "\
/* 1 */ unik /* 2 */ 1  /* 3 */ // 4
appliance x {  // 5
    /* 6 */
    a { b; /* 7 */ c /* 8 */; d /* 9 */ }  // 10
    e [  // 11
        1,           /* 12 */
        2,           // 13
        /* 14 */ 3,  /* 15 */
        // 16
    ]  // 17
    f /* 18 */ {  // 19
    }
    g { /* 20 */ }    /* 21 */
    h { /* 22 */ i }  // 23
    /* 24
       more
          */
    /* 25
       more
    less
     */ // 26
}  // 27
// 28
",
    );
}

#[test]
fn doc_comments_stay_with_what_they_tell_of() {
    // One behind a block or a `;` is the next entry's; one behind an entry is nobody's.
    becomes(
        "/// a\nunik 1; /// b\nparam x: name /// c\nappliance y { /// d\n e { f } /// g\n h [1, /// i\n] }",
        "\
/// a
unik 1
/// b
param x: name  /// c
appliance y {
    /// d
    e { f }
    /// g
    h [
        1,  /// i
    ]
}
",
    );
}

#[test]
fn columns_of_neighbours() {
    becomes(
        "\
let a = 1 // one
let long-name = 2 // two
let b = 3

let c = 4
appliance x {
    device nic = virtio-net
    device disk = virtio-blk { serial \"x\" } // disk
    device other-disk = virtio-blk {
        a // x
        bcd // y
    }
    device d = e
    network lan = ip on nic
}
",
        "\
let a         = 1  // one
let long-name = 2  // two
let b         = 3

let c = 4
appliance x {
    device nic        = virtio-net
    device disk       = virtio-blk { serial \"x\" }  // disk
    device other-disk = virtio-blk {
        a    // x
        bcd  // y
    }
    device d = e
    network lan = ip on nic
}
",
    );
    // Not beyond the width.
    let long = format!("let a = \"{}\"\nlet bcd = 1\n", "x".repeat(90));
    becomes(&long, &long);
}

#[test]
fn a_file_for_an_appliance_is_one_too() {
    becomes("device nic=virtio-net\n", "device nic = virtio-net\n");
}

#[test]
fn what_is_wrong_is_not_touched() {
    for (text, code) in [
        ("appliance x {", "U0102"),
        ("unik 1 2", "U0101"),
        ("log 10.0.0.300", "U0105"),
        ("device a b", "U0101"),
    ] {
        let diagnostics = format(text).unwrap_err();
        assert_eq!(diagnostics.iter().map(|d| d.code.as_str()).collect::<Vec<_>>(), [code], "{text}");
    }
}
