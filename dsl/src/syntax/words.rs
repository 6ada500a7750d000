//! What is said of text that the grammar doesn't take.

use std::ops::Range;

use unik_catalogue::value::Place;

use super::entry::Rule;
use crate::diagnostic::Fix;

/// Why a run of characters is no value, where it is not a number or an address.
pub fn odd(text: &str) -> String {
    if text.starts_with("./") || text.starts_with("../") || text.starts_with('/') || text.starts_with("~/") {
        return format!("paths stand in quotes: `\"{text}\"`");
    }
    if text.starts_with('-') && text[1..].starts_with(|c: char| c.is_ascii_digit()) {
        return "there are no negative numbers".into();
    }
    if text.starts_with('\'') {
        return "text stands in double quotes".into();
    }
    if text.contains("://") {
        return format!("text stands in quotes: `\"{text}\"`");
    }
    "a value is a word, a number, an address, text in quotes or a list".into()
}

/// The same in quotes, where only these are missing.
pub fn quoted(text: &str) -> Option<String> {
    let plain = |text: &str| !text.contains(['"', '\\', '\'']);
    let path = ["./", "../", "/", "~/"].iter().any(|start| text.starts_with(start));
    if let Some(inner) = text.strip_prefix('\'').and_then(|text| text.strip_suffix('\'')) {
        return plain(inner).then(|| format!("\"{inner}\""));
    }
    ((path || text.contains("://")) && plain(text)).then(|| format!("\"{text}\""))
}

/// Writes what is seen in place of what isn't: a space for a space, and nothing for nothing.
pub fn visible(place: Place, found: &str) -> Fix {
    let is_space = found.chars().all(char::is_whitespace);
    let what = if is_space { "write an ordinary space" } else { "leave it out" };
    Fix::certain(what).replace(place, if is_space { " " } else { "" })
}

/// How a statement of this rule is written.
pub fn form(rule: Rule) -> Option<&'static str> {
    Some(match rule {
        Rule::only_version => "the language version is written `unik 1`",
        Rule::only_param => "a parameter is written `param NAME: TYPE = DEFAULT`",
        Rule::only_include => "it is written `include \"FILE\"`",
        Rule::only_binding => "it is written `let NAME = VALUE`",
        Rule::only_condition => {
            "it is written `when target == process { … }`, `when $NAME != VALUE { … }`, `when $NAME in [ONE, OTHER] { … }` or `when $NAME { … }`"
        }
        Rule::only_named_crate => "it is written `crate NAME { path \"FOLDER\" }`",
        Rule::only_appliance => "it is written `appliance NAME { … }`",
        Rule::only_declaration => "a declaration is written `KIND NAME = COMPONENT on WIRES { … }`",
        _ => return None,
    })
}

/// What the grammar would have taken, for people.
pub fn expected(rules: &[Rule]) -> String {
    let mut words: Vec<&str> = Vec::new();
    for rule in rules {
        let word = match rule {
            // May stand anywhere: nobody is told to write one.
            Rule::COMMENT | Rule::WHITESPACE | Rule::line_comment | Rule::block_comment => continue,
            Rule::equals => "`=`",
            Rule::colon => "`:`",
            Rule::comparison => "`==` or `!=`",
            Rule::key_in => "`in`",
            Rule::name => "a name",
            Rule::crate_name => "the name of a crate",
            Rule::component => "the name of a component",
            Rule::key => "a word",
            Rule::key_on => "`on`",
            Rule::kind => "`device`, `network`, `storage` or `service`",
            Rule::at_boot => "`at boot`",
            Rule::type_text => "a type",
            Rule::string => "text in quotes",
            Rule::integer | Rule::digits => "a number",
            Rule::setting => "`target`",
            // Few entries take one, and their usage says so.
            Rule::bound => continue,
            Rule::reference => "`$NAME`",
            // A number may have one; whoever wants a number is told so.
            Rule::unit | Rule::known_unit => continue,
            Rule::EOI => "the end of the line",
            Rule::key_appliance
            | Rule::key_crate
            | Rule::key_include
            | Rule::key_let
            | Rule::key_param
            | Rule::key_unik
            | Rule::key_when => "a keyword",
            _ => "a value",
        };
        if !words.contains(&word) {
            words.push(word);
        }
    }
    match words.as_slice() {
        [] => "something else".into(),
        [one] => (*one).into(),
        [rest @ .., last] => format!("{} or {last}", rest.join(", ")),
    }
}

/// The length of the token at the start of `rest`.
pub fn token_length(rest: &str) -> usize {
    let mut letters = rest.char_indices();
    match letters.next() {
        None => 0,
        Some((_, first)) if !(first.is_alphanumeric() || "_-./$\"".contains(first)) => first.len_utf8(),
        Some(_) => letters
            .find(|(_, c)| c.is_whitespace() || "{}[];,=".contains(*c))
            .map_or(rest.len(), |(at, _)| at),
    }
}

/// At most 40 characters of `text`.
pub fn shorten(text: &str) -> String {
    let mut shown: String = text.chars().take(40).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    shown
}

/// What may stand where, outside of strings and comments: the text with those blanked out,
/// byte for byte.
pub fn bare(head: &str) -> String {
    let mut bare = String::with_capacity(head.len());
    let mut rest = head;
    while let Some(first) = rest.chars().next() {
        let length = if first == '"' {
            let mut escaped = false;
            let end = rest[1..].find(|c| {
                let ends = c == '"' && !escaped;
                escaped = c == '\\' && !escaped;
                ends
            });
            end.map_or(rest.len(), |end| end + 2)
        } else if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            comment(rest)
        } else {
            bare.push(first);
            rest = &rest[first.len_utf8()..];
            continue;
        };
        bare.extend(std::iter::repeat_n(' ', length));
        rest = &rest[length..];
    }
    bare
}

/// The length of the block comment, with those inside, that `rest` begins with.
fn comment(rest: &str) -> usize {
    let mut depth = 0usize;
    let mut at = 0;
    while let Some(two) = rest.as_bytes().get(at..at + 2) {
        match two {
            b"/*" => depth += 1,
            b"*/" => depth -= 1,
            _ => {
                at += 1;
                continue;
            }
        }
        at += 2;
        if depth == 0 {
            return at;
        }
    }
    rest.len()
}

/// The words `at boot` in a head, as bytes of it.
pub fn at_boot(bare: &str) -> Option<Range<usize>> {
    let mut words = bare
        .split(|c: char| c.is_whitespace() || c == '=')
        .filter(|word| !word.is_empty())
        .map(|word| (word.as_ptr() as usize - bare.as_ptr() as usize, word))
        .peekable();
    while let Some((start, word)) = words.next() {
        if let Some((next, "boot")) = words.peek()
            && word == "at"
            && start > 0
        {
            return Some(start..next + 4);
        }
    }
    None
}

/// The first character that isn't seen, and isn't a blank of the language: where, and what
/// it is called.
pub fn invisible(bare: &str) -> Option<(Range<usize>, String)> {
    let (at, found) = bare.char_indices().find(|(_, c)| is_invisible(*c))?;
    let name = match found {
        '\0' => " (NUL)",
        '\u{a0}' => " (no-break space)",
        '\u{ad}' => " (soft hyphen)",
        '\u{200b}' => " (zero-width space)",
        '\u{200c}' | '\u{200d}' | '\u{2060}' => " (joiner of no width)",
        '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => " (mark of direction)",
        '\u{2028}' | '\u{2029}' => " (line separator)",
        '\u{202f}' => " (narrow no-break space)",
        '\u{3000}' => " (ideographic space)",
        '\u{feff}' => " (byte order mark)",
        found if found.is_whitespace() => " (a space that is none of the language)",
        _ => "",
    };
    Some((at..at + found.len_utf8(), format!("U+{:04X}{name}", found as u32)))
}

fn is_invisible(c: char) -> bool {
    match c {
        ' ' | '\t' | '\r' | '\n' => false,
        '\u{ad}'
        | '\u{200b}'..='\u{200f}'
        | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{2069}'
        | '\u{feff}' => true,
        _ => c.is_whitespace() || c.is_control(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_and_comments_are_blanked_out() {
        assert_eq!(bare(r#"a "x\"y" b"#), "a        b");
        assert_eq!(bare("a /* x /* y */ */ b // c"), "a                 b     ");
        assert_eq!(bare("µ \"µ\"").len(), "µ \"µ\"".len());
        assert_eq!(bare("a \"open"), "a      ");
        assert_eq!(bare("/* open"), "       ");
    }

    #[test]
    fn at_boot_is_two_words_after_a_key() {
        assert_eq!(at_boot("port at boot = 80"), Some(5..12));
        assert_eq!(at_boot("port 80 at  boot"), Some(8..16));
        for text in ["at boot", "port at boots", "port at the boot", "port atboot"] {
            assert_eq!(at_boot(text), None, "{text}");
        }
    }

    #[test]
    fn what_is_not_seen_has_a_name() {
        assert_eq!(invisible("a\u{a0}b"), Some((1..3, "U+00A0 (no-break space)".into())));
        assert_eq!(invisible("a\u{7}"), Some((1..2, "U+0007".into())));
        assert_eq!(invisible("a b\tµ\r\n"), None);
    }
}
