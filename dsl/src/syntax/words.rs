//! What is said of text that the grammar doesn't take.

use super::entry::Rule;

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

/// How a statement of this rule is written.
pub fn form(rule: Rule) -> Option<&'static str> {
    Some(match rule {
        Rule::only_version => "the language version is written `unik 1`",
        Rule::only_param => "a parameter is written `param NAME: TYPE = DEFAULT`",
        Rule::only_include => "it is written `include \"FILE\"`",
        Rule::only_binding => "it is written `let NAME = VALUE`",
        Rule::only_condition => "it is written `when target == process { … }` or `when $NAME == VALUE { … }`",
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
            Rule::subject => "`target`",
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
