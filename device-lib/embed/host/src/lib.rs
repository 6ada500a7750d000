//! Host half of `embed`: reads the folder at build time.
//!
//! `check` walks the folder and judges what it finds, `bake` reads the files. What is
//! taken in and what isn't stands in the documentation of `unik-embed`.
#![forbid(unsafe_code)]

mod walk;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use proc_macro2::Literal;
use quote::{format_ident, quote};
use unik_catalogue::host::{At, Baked, Finding, HostHalf, Input, Offer, Severity};
use unik_catalogue::value::{Place, Size};
use unik_catalogue::{Entry, Value};

/// The host half of `embed`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Embed;

impl HostHalf for Embed {
    fn component(&self) -> &'static str {
        "embed"
    }

    fn check(&self, input: &Input) -> Vec<Finding> {
        match Folder::of(input) {
            Ok(folder) => folder.walk(input).1,
            Err(finding) => vec![finding],
        }
    }

    fn bake(&self, input: &Input) -> Result<Baked, Vec<Finding>> {
        let folder = Folder::of(input).map_err(|finding| vec![finding])?;
        let (found, findings) = folder.walk(input);
        let mut errors: Vec<Finding> =
            findings.into_iter().filter(|finding| finding.severity == Severity::Error).collect();
        let mut files = BTreeMap::new();
        for (name, path) in found {
            match input.read(&path) {
                Ok(content) => {
                    files.insert(name, content);
                }
                Err(error) => errors.push(folder.finding(format!("can't read {}: {error}", path.display()))),
            }
        }
        // A file may have grown since it was looked at.
        errors.extend(
            folder.judge_sizes(files.iter().map(|(name, content)| (name.as_str(), content.len() as u64))),
        );
        if errors.is_empty() { Ok(bake(files)) } else { Err(errors) }
    }
}

/// The options of one instance.
pub(crate) struct Folder {
    path: PathBuf,
    place: Option<Place>,
    hidden: bool,
    max_file: u64,
    max_total: u64,
}

impl Folder {
    fn of(input: &Input) -> Result<Folder, Finding> {
        let entry = |key: &str| input.options.get(key).and_then(|entries| entries.first());
        let size = |key: &str| match entry(key).and_then(|entry| entry.value("size")) {
            Some(Value::Size(size)) => *size,
            _ => u64::MAX,
        };
        let from: Option<&Entry> = entry("from");
        let Some((from, Value::Path { resolved, .. })) =
            from.and_then(|from| Some((from, from.value("folder")?)))
        else {
            return Err(Finding::error(None, "`from` doesn't name a folder"));
        };
        Ok(Folder {
            path: resolved.clone(),
            place: from.place,
            hidden: entry("hidden").is_some(),
            max_file: size("max-file"),
            max_total: size("max-total"),
        })
    }

    fn finding(&self, message: impl Into<String>) -> Finding {
        Finding::error(self.place, message)
    }

    /// Name and path of each file, and what is wrong.
    fn walk(&self, input: &Input) -> (BTreeMap<String, PathBuf>, Vec<Finding>) {
        let mut walk = walk::Walk::new(self, input);
        walk.all();
        let (files, mut findings) = (walk.files, walk.findings);
        if files.is_empty() && findings.is_empty() {
            findings.push(Finding {
                severity: Severity::Warning,
                message: format!("{} has no files", self.path.display()),
                at: self.place.map_or(At::Instance, At::Place),
                help: (!self.hidden).then(|| "names that start with a dot are taken in with `hidden`".into()),
            });
        }
        let sizes = files.iter().map(|(name, path)| (name.as_str(), length(path)));
        findings.extend(self.judge_sizes(sizes));
        (files, findings)
    }

    fn judge_sizes<'a>(&self, files: impl Iterator<Item = (&'a str, u64)>) -> Vec<Finding> {
        let (mut findings, mut total) = (Vec::new(), 0u64);
        for (name, size) in files {
            total = total.saturating_add(size);
            if size > self.max_file {
                let message = format!(
                    "`{name}` has {}, more than the {} of `max-file`",
                    Size(size),
                    Size(self.max_file)
                );
                findings.push(
                    self.finding(message)
                        .help("everything that is embedded is in memory while the image runs"),
                );
            }
        }
        if total > self.max_total {
            let message = format!(
                "the files have {} together, more than the {} of `max-total`",
                Size(total),
                Size(self.max_total)
            );
            findings.push(
                self.finding(message).help("everything that is embedded is in memory while the image runs"),
            );
        }
        findings
    }
}

/// Its length; what can't be looked at is judged when it is read.
fn length(path: &Path) -> u64 {
    path.metadata().map_or(0, |metadata| metadata.len())
}

fn bake(files: BTreeMap<String, Vec<u8>>) -> Baked {
    let mut blobs: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    let mut known: BTreeMap<&[u8], usize> = BTreeMap::new();
    let (mut statics, mut rows) = (Vec::new(), Vec::new());
    for (name, content) in &files {
        let next = known.len();
        let at = *known.entry(content).or_insert(next);
        let blob = format_ident!("FILE_{at}");
        if at == next {
            let (file, length) = (format!("{at}.bin"), Literal::usize_unsuffixed(content.len()));
            statics.push(quote!(static #blob: [u8; #length] = *include_bytes!(#file);));
            blobs.insert(file, content.clone());
        }
        rows.push(quote!((#name, &#blob)));
    }
    let items = quote! {
        #(#statics)*
        struct Tree;
        impl ::unik_embed::Tree for Tree {
            fn files() -> &'static [(&'static str, &'static [u8])] {
                static FILES: &[(&str, &[u8])] = &[#(#rows),*];
                FILES
            }
        }
    };
    Baked {
        items: items.to_string(),
        value: "Tree".into(),
        blobs,
        offer: Offer { files: Some(files) },
        ..Baked::default()
    }
}

#[cfg(test)]
mod tests;
