//! What would give a component away in an image, were its name gone: the texts of its source.
//!
//! Taken from the sources that this `unikgen` carries: string literals that no other of its
//! crates has, the folder that stands in the places of its panics, and long numbers (device
//! and feature identifiers) that are only its own.

use std::collections::BTreeSet;
use std::path::Path;

use proc_macro2::{TokenStream, TokenTree};
use syn::visit::Visit;

/// A component that this `unikgen` knows, and what gives it away.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// The component.
    pub component: String,
    /// Its package.
    pub package: String,
    /// The folder of its sources, in unik's own.
    pub folder: String,
    /// Texts that only it has.
    pub texts: BTreeSet<String>,
    /// Numbers that only it has.
    pub numbers: BTreeSet<u64>,
}

/// Texts shorter than this are too common to say anything.
const TEXT: usize = 10;

/// The components among `files`: sources of several crates, each with its path.
#[must_use]
pub fn known<'a>(files: impl IntoIterator<Item = (&'a Path, &'a [u8])>) -> Vec<Known> {
    let files: Vec<(&Path, &str)> = files
        .into_iter()
        .filter_map(|(path, bytes)| Some((path, std::str::from_utf8(bytes).ok()?)))
        .collect();
    let mut crates: Vec<Crate<'_>> = files
        .iter()
        .filter(|(path, _)| path.file_name().is_some_and(|name| name == "Cargo.toml"))
        .filter_map(|(path, text)| {
            let table: toml::Table = text.parse().ok()?;
            let package = table.get("package")?.as_table()?;
            let name = package.get("name")?.as_str()?.to_string();
            let unik = package.get("metadata").and_then(|metadata| metadata.get("unik"));
            let is_own =
                |unik: &toml::Value| unik.get("kind").and_then(toml::Value::as_str) != Some("appliance");
            let component = unik
                .filter(|unik| is_own(unik))
                .and_then(|unik| Some((unik.get("name")?.as_str()?.to_string(), name.clone())));
            Some((path.parent()?, component, Literals::default()))
        })
        .collect();
    for (path, text) in &files {
        if path.extension().is_none_or(|extension| extension != "rs") {
            continue;
        }
        let of = crates.iter_mut().filter(|(folder, _, _)| path.starts_with(folder));
        let Some((folder, _, literals)) = of.max_by_key(|(folder, _, _)| folder.as_os_str().len()) else {
            continue;
        };
        // Host halves, tests and benches aren't linked; they may say what the guest says.
        if path.strip_prefix(*folder).is_ok_and(|inside| inside.starts_with("src"))
            && let Ok(file) = syn::parse_file(text)
        {
            literals.visit_file(&file);
        }
    }
    let mut found = Vec::new();
    for (at, (folder, component, literals)) in crates.iter().enumerate() {
        let Some((component, package)) = component else { continue };
        let others = || crates.iter().enumerate().filter(|(other, _)| *other != at).map(|(_, (_, _, of))| of);
        let is_own =
            |text: &&String| !others().any(|other| other.texts.iter().any(|t| t.contains(text.as_str())));
        found.push(Known {
            component: component.clone(),
            package: package.clone(),
            folder: format!("{}/src/", folder.display()),
            texts: literals.texts.iter().filter(is_own).cloned().collect(),
            numbers: literals
                .numbers
                .iter()
                .filter(|number| !others().any(|other| other.numbers.contains(number)))
                .copied()
                .collect(),
        });
    }
    found
}

/// A folder; the component and the package, if it is one; what its sources say.
type Crate<'a> = (&'a Path, Option<(String, String)>, Literals);

/// The literals of a crate's sources, without those of its tests and documentation.
#[derive(Default)]
struct Literals {
    texts: BTreeSet<String>,
    numbers: BTreeSet<u64>,
}

impl Literals {
    fn text(&mut self, text: &str) {
        // What is formatted stands in pieces between the values.
        for piece in text.split(['{', '}', '\n', '\0']) {
            // `{error:?}` leaves a piece that is a name.
            if piece.len() >= TEXT && piece.contains(' ') {
                self.texts.insert(piece.to_string());
            }
        }
    }

    fn tokens(&mut self, tokens: TokenStream) {
        for token in tokens {
            match token {
                TokenTree::Group(group) => self.tokens(group.stream()),
                TokenTree::Literal(literal) => {
                    if let Ok(literal) = syn::parse_str::<syn::Lit>(&literal.to_string()) {
                        self.visit_lit(&literal);
                    }
                }
                _ => {}
            }
        }
    }
}

impl<'ast> Visit<'ast> for Literals {
    fn visit_attribute(&mut self, _: &'ast syn::Attribute) {}

    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        let is_test = module.attrs.iter().any(|attribute| {
            attribute.path().is_ident("cfg")
                && attribute.parse_args::<syn::Ident>().is_ok_and(|argument| argument == "test")
        });
        if !is_test {
            syn::visit::visit_item_mod(self, module);
        }
    }

    fn visit_lit(&mut self, literal: &'ast syn::Lit) {
        match literal {
            syn::Lit::Str(text) => self.text(&text.value()),
            syn::Lit::ByteStr(bytes) => {
                if let Ok(text) = String::from_utf8(bytes.value()) {
                    self.text(&text);
                }
            }
            syn::Lit::Int(number) => {
                if let Ok(number) = number.base10_parse::<u64>()
                    && number > 0xffff
                    // All ones, a single bit, round decimals: everybody has these.
                    && number.count_ones() > 1
                    && (number + 1).count_ones() > 1
                    && number % 1000 != 0
                {
                    self.numbers.insert(number);
                }
            }
            _ => {}
        }
    }

    fn visit_macro(&mut self, invocation: &'ast syn::Macro) {
        self.tokens(invocation.tokens.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: &str =
        "[package]\nname = \"unik-NAME\"\n[package.metadata.unik]\nname = \"NAME\"\nkind = \"device\"\n";

    #[test]
    fn what_only_one_component_says_gives_it_away() {
        let one = MANIFEST.replace("NAME", "one");
        let two = MANIFEST.replace("NAME", "two");
        let source = r#"
            //! the words of documentation
            const ID: u32 = 0x1af4_1041; const ROUND: u64 = 1_000_000;
            fn f() { log::warn!("only one says {x:?} and this too"); g("both of them say this"); }
            #[cfg(test)] mod tests { const T: &str = "words of a test"; }
        "#;
        let files = [
            (Path::new("device-lib/one/Cargo.toml"), one.as_bytes()),
            (Path::new("device-lib/one/src/lib.rs"), source.as_bytes()),
            (Path::new("device-lib/two/Cargo.toml"), two.as_bytes()),
            (Path::new("device-lib/two/src/lib.rs"), b"fn g() { h(\"both of them say this\") }".as_slice()),
            (Path::new("device-lib/two/host/src/lib.rs"), b"broken {".as_slice()),
        ];
        let known = known(files);
        assert_eq!(known.len(), 2);
        assert_eq!((known[0].component.as_str(), known[0].folder.as_str()), ("one", "device-lib/one/src/"));
        assert_eq!(known[0].texts.iter().collect::<Vec<_>>(), [" and this too", "only one says "]);
        assert_eq!(known[0].numbers.iter().collect::<Vec<_>>(), [&0x1af4_1041]);
        assert!(known[1].texts.is_empty() && known[1].numbers.is_empty());
    }
}
