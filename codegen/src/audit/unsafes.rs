//! The `unsafe` that is linked in: where it stands, and the reason that stands above it.
//!
//! A block is linked when a line of it left a row in the line tables. Rust's own library isn't
//! listed: its sources don't come with the compiler.

use std::collections::{BTreeMap, BTreeSet};

use proc_macro2::{Delimiter, Span, TokenStream, TokenTree};
use serde::{Deserialize, Serialize};
use syn::spanned::Spanned as _;
use syn::visit::Visit;

use super::anatomy::Anatomy;
use super::packages::{Package, SourceOf};

/// A piece of `unsafe` code that is in the image.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Unsafe {
    /// The package, with its version.
    pub package: String,
    /// The source file in there.
    pub module: String,
    /// The line, from 1.
    pub line: u32,
    /// What it is.
    pub kind: UnsafeKind,
    /// The function that it stands in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub function: Option<String>,
    /// The reason that its author gives, without `SAFETY:`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// What kind of `unsafe`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UnsafeKind {
    /// `unsafe { … }`
    Block,
    /// `unsafe fn`: what its callers must see to.
    Function,
    /// `unsafe impl`: a promise, in a file with code in the image.
    Impl,
    /// Assembly outside of functions.
    Assembly,
}

/// Lists that of `packages`, whose sources `read` gives.
#[must_use]
pub fn list(
    anatomy: &Anatomy<'_>,
    packages: &[Package],
    read: &dyn Fn(&Package, &str) -> Option<String>,
) -> Vec<Unsafe> {
    let mut linked: BTreeMap<(usize, &str), BTreeSet<u32>> = BTreeMap::new();
    for frame in anatomy.lines.spans.iter().flat_map(|span| &span.frames) {
        if let Some((SourceOf::Package(at), module)) = anatomy.origins.get(frame.file) {
            linked.entry((*at, module)).or_default().insert(frame.line);
        }
    }
    let mut found = Vec::new();
    for ((at, module), lines) in linked {
        let Some(package) = packages.get(at) else { continue };
        let Some(text) = read(package, module) else { continue };
        found.extend(in_file(&text, &lines).into_iter().map(|(line, kind, function, reason)| Unsafe {
            package: package.id(),
            module: module.into(),
            line,
            kind,
            function,
            reason,
        }));
    }
    found.sort();
    found
}

type Found = (u32, UnsafeKind, Option<String>, Option<String>);

fn in_file(text: &str, linked: &BTreeSet<u32>) -> Vec<Found> {
    let Ok(file) = syn::parse_file(text) else { return Vec::new() };
    let mut scan = Scan {
        lines: text.lines().collect(),
        linked,
        inside: Vec::new(),
        of_trait: false,
        found: Vec::new(),
    };
    scan.visit_file(&file);
    scan.found
}

struct Scan<'a> {
    lines: Vec<&'a str>,
    linked: &'a BTreeSet<u32>,
    /// The functions around.
    inside: Vec<String>,
    /// Whether they are a trait's.
    of_trait: bool,
    found: Vec<Found>,
}

impl Scan<'_> {
    fn add(&mut self, kind: UnsafeKind, at: Span, whole: Span) {
        let (first, last) = (whole.start().line as u32, whole.end().line as u32);
        let has_code = matches!(kind, UnsafeKind::Impl | UnsafeKind::Assembly);
        if has_code || self.linked.range(first..=last).next().is_some() {
            let line = at.start().line;
            let reason = self.reason(line, last as usize).or_else(|| match kind {
                // Assembly is a file's whole subject: what the file says of itself.
                UnsafeKind::Assembly => self.about(),
                _ => None,
            });
            self.found.push((line as u32, kind, self.inside.last().cloned(), reason));
        }
    }

    /// The first paragraph of the file's own documentation.
    fn about(&self) -> Option<String> {
        let lines = self.lines.iter().map_while(|line| line.trim().strip_prefix("//!"));
        let words: Vec<&str> = lines.map(str::trim).take_while(|line| !line.is_empty()).collect();
        (!words.is_empty()).then(|| words.join(" "))
    }

    /// The comment above a line, or at the beginning of the block, that says `SAFETY`.
    fn reason(&self, line: usize, last: usize) -> Option<String> {
        let comment = |at: usize| {
            let line = self.lines.get(at)?.trim();
            line.strip_prefix("///").or_else(|| line.strip_prefix("//")).map(str::trim)
        };
        // Lines count from 1. A statement may begin a few lines above its `unsafe`.
        let of_statement = |at: &usize| {
            let line = self.lines.get(*at).map_or("", |line| line.trim());
            line.starts_with('#')
                || comment(*at).is_some()
                || !(line.is_empty() || line.ends_with([';', '{', '}']))
        };
        let mut above = (0..line.saturating_sub(1)).rev().take_while(of_statement);
        let above = above.find(|&at| comment(at).is_some_and(says));
        // Or at the beginning of the block.
        let begin = above.or_else(|| (line..last.min(line + 3)).find(|&at| comment(at).is_some_and(says)))?;
        let words: Vec<&str> = (begin..self.lines.len()).map_while(comment).collect();
        let text = words.join(" ");
        let text = text.trim_start_matches("# ").trim_start_matches("SAFETY").trim_start_matches("Safety");
        Some(text.trim_start_matches(':').split_whitespace().collect::<Vec<_>>().join(" "))
            .filter(|text| !text.is_empty())
    }

    fn tokens(&mut self, tokens: TokenStream) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        for (at, token) in tokens.iter().enumerate() {
            let TokenTree::Group(group) = token else { continue };
            let before = at.checked_sub(1).and_then(|at| tokens.get(at));
            if let Some(TokenTree::Ident(word)) = before
                && word == "unsafe"
                && group.delimiter() == Delimiter::Brace
            {
                self.add(UnsafeKind::Block, word.span(), group.span());
            }
            self.tokens(group.stream());
        }
    }
}

fn says(comment: &str) -> bool {
    comment.starts_with("SAFETY") || comment.starts_with("Safety:") || comment.starts_with("# Safety")
}

fn is_test(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg")
            && attribute.parse_args::<syn::Ident>().is_ok_and(|argument| argument == "test")
    })
}

impl<'ast> Visit<'ast> for Scan<'_> {
    fn visit_expr_unsafe(&mut self, block: &'ast syn::ExprUnsafe) {
        self.add(UnsafeKind::Block, block.unsafe_token.span(), block.span());
        syn::visit::visit_expr_unsafe(self, block);
    }

    fn visit_item_fn(&mut self, function: &'ast syn::ItemFn) {
        self.function(&function.sig, function.block.span(), |scan| syn::visit::visit_item_fn(scan, function));
    }

    fn visit_impl_item_fn(&mut self, function: &'ast syn::ImplItemFn) {
        let safety = &mut function.sig.clone();
        if self.of_trait {
            // What its callers must see to, the trait says.
            safety.safety = syn::Safety::Default;
        }
        self.function(safety, function.block.span(), |scan| {
            syn::visit::visit_impl_item_fn(scan, function);
        });
    }

    fn visit_item_impl(&mut self, item: &'ast syn::ItemImpl) {
        if let Some(word) = &item.unsafety {
            self.add(UnsafeKind::Impl, word.span(), item.span());
        }
        let around = std::mem::replace(&mut self.of_trait, item.trait_.is_some());
        syn::visit::visit_item_impl(self, item);
        self.of_trait = around;
    }

    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        if !is_test(&module.attrs) {
            syn::visit::visit_item_mod(self, module);
        }
    }

    fn visit_macro(&mut self, invocation: &'ast syn::Macro) {
        if invocation.path.segments.last().is_some_and(|name| name.ident == "global_asm") {
            self.add(UnsafeKind::Assembly, invocation.path.span(), invocation.span());
        }
        self.tokens(invocation.tokens.clone());
    }

    fn visit_attribute(&mut self, _: &'ast syn::Attribute) {}
}

impl Scan<'_> {
    fn function(&mut self, signature: &syn::Signature, body: Span, visit: impl FnOnce(&mut Self)) {
        if let syn::Safety::Unsafe(word) = &signature.safety {
            let whole = word.span().join(body).unwrap_or(body);
            self.inside.push(signature.ident.to_string());
            self.add(UnsafeKind::Function, word.span(), whole);
            self.inside.pop();
        }
        self.inside.push(signature.ident.to_string());
        visit(self);
        self.inside.pop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
/// Reads.
///
/// # Safety
/// The port exists.
pub unsafe fn read() -> u8 {
    // SAFETY: the caller's,
    // all of it.
    let value = unsafe { port() };
    value
}

fn unlinked() {
    // SAFETY: never here.
    unsafe { f() }
}

fn bare() {
    wrap!(unsafe { g() });
}

// SAFETY: no threads.
unsafe impl Sync for X {}

#[cfg(test)]
mod tests {
    fn t() { unsafe { h() } }
}
";

    #[test]
    fn linked_blocks_come_with_their_reasons() {
        let linked = [8, 9, 18].into_iter().collect();
        let found = in_file(TEXT, &linked);
        let name = |name: &str| Some(name.to_string());
        assert_eq!(
            found,
            [
                (5, UnsafeKind::Function, name("read"), name("The port exists.")),
                (8, UnsafeKind::Block, name("read"), name("the caller's, all of it.")),
                (18, UnsafeKind::Block, name("bare"), None),
                (22, UnsafeKind::Impl, None, name("no threads.")),
            ]
        );
        assert!(in_file("no { rust", &linked).is_empty());
    }
}
