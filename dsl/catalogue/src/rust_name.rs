//! How names of the catalogue become names of Rust.
//!
//! The `options!` macro declares types and fields, the code generator fills them in;
//! both ask here, so that they can't disagree.

/// `queue-size` → `queue_size`; a keyword gets a trailing underscore.
#[must_use]
pub fn field(name: &str) -> String {
    let name = name.replace(['-', '/', '.'], "_");
    match name.as_str() {
        "as" | "async" | "await" | "break" | "const" | "continue" | "crate" | "dyn" | "else" | "enum"
        | "extern" | "false" | "fn" | "for" | "if" | "impl" | "in" | "let" | "loop" | "match" | "mod"
        | "move" | "mut" | "pub" | "ref" | "return" | "self" | "static" | "struct" | "super" | "trait"
        | "true" | "type" | "unsafe" | "use" | "where" | "while" | "abstract" | "become" | "box" | "do"
        | "final" | "gen" | "macro" | "override" | "priv" | "try" | "typeof" | "unsized" | "virtual"
        | "yield" => name + "_",
        _ => name,
    }
}

/// `queue-size` → `QueueSize`.
#[must_use]
pub fn type_name(name: &str) -> String {
    name.split(['-', '_', '/', '.'])
        .map(|word| {
            let mut letters = word.chars();
            letters
                .next()
                .map_or_else(String::new, |first| first.to_ascii_uppercase().to_string() + letters.as_str())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        assert_eq!(field("queue-size"), "queue_size");
        assert_eq!(field("type"), "type_");
        assert_eq!(type_name("queue-size"), "QueueSize");
        assert_eq!(type_name("ipv4"), "Ipv4");
    }
}
