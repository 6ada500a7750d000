//! The files of an instance: under which paths they stand, and the heads of their answers.

use std::collections::BTreeMap;

use proc_macro2::{Literal, TokenStream};
use quote::{format_ident, quote};
use sha2::{Digest, Sha256};

use crate::media;

/// What an instance serves from its storage.
#[derive(Clone, Debug, Default)]
pub struct Files {
    /// Head and content of each, equal ones once.
    files: Vec<(Head, Vec<u8>)>,
    /// Decoded path, as a request has it → what stands there.
    paths: BTreeMap<String, Entry>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Entry {
    /// The file with this index.
    File(usize),
    /// A folder without the `/` at its end: where it is.
    Folder(String),
}

/// The head of a 200 response, without the empty line at its end.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Head {
    text: String,
    content_type: usize,
    etag: usize,
}

impl Head {
    fn new(content_type: &str, content: &[u8]) -> Head {
        let mut text = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n", content.len());
        let content_type_at = text.len();
        text += &format!("Content-Type: {content_type}\r\n");
        let etag = text.len();
        // 96 bits of the hash: enough that no two contents of a site are taken for one.
        let hash: String =
            Sha256::digest(content).iter().take(12).map(|byte| format!("{byte:02x}")).collect();
        text += &format!("ETag: \"{hash}\"\r\nAccept-Ranges: bytes\r\n");
        Head { text, content_type: content_type_at, etag }
    }
}

impl Files {
    /// The files of a storage, by their names. A folder is answered with the first of the
    /// `index` names that it has, and without its `/` with the way to it.
    #[must_use]
    pub fn new(offered: &BTreeMap<String, Vec<u8>>, index: &[String]) -> Files {
        let mut new = Files::default();
        let mut known: BTreeMap<(String, &[u8]), usize> = BTreeMap::new();
        for (name, content) in offered {
            let content_type = media::content_type(name, content);
            let next = new.files.len();
            let at = *known.entry((content_type.clone(), content)).or_insert(next);
            if at == next {
                new.files.push((Head::new(&content_type, content), content.clone()));
            }
            new.paths.insert(format!("/{name}"), Entry::File(at));
        }
        let folders = offered.keys().flat_map(|name| name.match_indices('/').map(|(at, _)| &name[..at]));
        for folder in folders.chain([""]) {
            let prefix = if folder.is_empty() { "/".to_string() } else { format!("/{folder}/") };
            if new.paths.contains_key(&prefix) {
                continue;
            }
            let Some(page) = index.iter().find_map(|name| new.paths.get(&format!("{prefix}{name}")).cloned())
            else {
                continue;
            };
            if !folder.is_empty() {
                new.paths.insert(format!("/{folder}"), Entry::Folder(encode(&prefix)));
            }
            new.paths.insert(prefix, page);
        }
        new
    }

    /// Whether something stands under `path`.
    #[must_use]
    pub fn has(&self, path: &str) -> bool {
        self.paths.contains_key(path)
    }

    /// The items that hold the files, and the rows of the table of paths. Contents become
    /// blobs, equal ones one.
    pub fn bake(&self, blobs: &mut BTreeMap<String, Vec<u8>>) -> (TokenStream, TokenStream) {
        let mut statics = TokenStream::new();
        let mut contents: BTreeMap<&[u8], usize> = BTreeMap::new();
        for (at, (head, content)) in self.files.iter().enumerate() {
            let next = contents.len();
            let number = *contents.entry(content).or_insert(next);
            let body = format_ident!("BODY_{number}");
            if number == next {
                let (blob, length) = (format!("{number}.bin"), Literal::usize_unsuffixed(content.len()));
                statics.extend(quote!(static #body: [u8; #length] = *include_bytes!(#blob);));
                blobs.insert(blob, content.clone());
            }
            let file = format_ident!("FILE_{at}");
            let (text, content_type, etag) = (
                &head.text,
                Literal::usize_unsuffixed(head.content_type),
                Literal::usize_unsuffixed(head.etag),
            );
            statics.extend(quote! {
                static #file: ::unik_http::File =
                    ::unik_http::File { head: #text, content_type: #content_type, etag: #etag, body: &#body };
            });
        }
        // A BTreeMap of strings is in byte order, which the guest's search relies on.
        let rows = self.paths.iter().map(|(path, entry)| match entry {
            Entry::File(at) => {
                let file = format_ident!("FILE_{at}");
                quote!((#path, ::unik_http::Entry::File(&#file)))
            }
            Entry::Folder(location) => quote!((#path, ::unik_http::Entry::Folder(#location))),
        });
        (statics, quote!(#(#rows),*))
    }
}

/// A path as it stands in an address (RFC 3986, 3.3).
fn encode(path: &str) -> String {
    let mut encoded = String::new();
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"/-._~!$&'()*+,;=:@".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded += &format!("%{byte:02X}");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(names: &[(&str, &str)]) -> Files {
        let offered =
            names.iter().map(|(name, content)| (name.to_string(), content.as_bytes().to_vec())).collect();
        Files::new(&offered, &["index.html".into(), "index.txt".into()])
    }

    #[test]
    fn the_head_of_a_file() {
        let head = Head::new("text/html; charset=utf-8", b"hello\n");
        assert_eq!(
            head.text,
            "HTTP/1.1 200 OK\r\nContent-Length: 6\r\nContent-Type: text/html; charset=utf-8\r\n\
             ETag: \"5891b5b522d5df086d0ff0b1\"\r\nAccept-Ranges: bytes\r\n"
        );
        assert!(head.text[head.content_type..].starts_with("Content-Type: "));
        assert!(head.text[head.etag..].starts_with("ETag: \""));
    }

    #[test]
    fn folders_have_an_index_and_a_way_to_it() {
        let files = files(&[
            ("index.html", "root"),
            ("a b/index.txt", "x"),
            ("a b/index.html", "y"),
            ("none/c", "z"),
            ("deep/er/index.txt", "x"),
        ]);
        let paths: Vec<&str> = files.paths.keys().map(String::as_str).collect();
        assert_eq!(
            paths,
            [
                "/",
                "/a b",
                "/a b/",
                "/a b/index.html",
                "/a b/index.txt",
                "/deep/er",
                "/deep/er/",
                "/deep/er/index.txt",
                "/index.html",
                "/none/c"
            ]
        );
        assert_eq!(files.paths["/a b"], Entry::Folder("/a%20b/".into()));
        assert_eq!(files.paths["/a b/"], files.paths["/a b/index.html"]);
        assert_eq!(files.paths["/deep/er/index.txt"], files.paths["/a b/index.txt"]);
    }

    #[test]
    fn equal_contents_are_one_blob() {
        let files = files(&[("a.html", "same"), ("a.txt", "same"), ("b.txt", "same"), ("c", "other")]);
        let mut blobs = BTreeMap::new();
        let (statics, rows) = files.bake(&mut blobs);
        assert_eq!((blobs.len(), files.files.len()), (2, 3));
        let (statics, rows) = (statics.to_string(), rows.to_string());
        assert!(statics.contains("static BODY_1 : [u8 ; 5] = * include_bytes ! (\"1.bin\")"), "{statics}");
        assert!(statics.contains("body : & BODY_0"), "{statics}");
        assert!(rows.contains("(\"/b.txt\" , :: unik_http :: Entry :: File (& FILE_1))"), "{rows}");
    }

    #[test]
    fn locations_are_encoded() {
        assert_eq!(encode("/ä b/%/\"\r\n/"), "/%C3%A4%20b/%25/%22%0D%0A/");
    }
}
