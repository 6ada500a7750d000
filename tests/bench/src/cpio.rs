//! An archive that Linux unpacks as its first root: cpio in the format `newc`
//! (Documentation/driver-api/early-userspace/buffer-format.rst of Linux).

use std::collections::BTreeSet;

/// An archive that grows.
#[derive(Debug, Default)]
pub(crate) struct Archive {
    bytes: Vec<u8>,
    folders: BTreeSet<String>,
    entries: u32,
}

const FOLDER: u32 = 0o040_755;
const PROGRAM: u32 = 0o100_755;
const LINK: u32 = 0o120_777;

impl Archive {
    /// Adds a folder, with those above it.
    pub(crate) fn folder(&mut self, path: &str) {
        let path = path.trim_matches('/');
        if path.is_empty() || self.folders.contains(path) {
            return;
        }
        if let Some((above, _)) = path.rsplit_once('/') {
            self.folder(above);
        }
        self.folders.insert(path.to_string());
        self.entry(path, FOLDER, &[]);
    }

    /// Adds a file that can be executed, with the folders above it.
    pub(crate) fn file(&mut self, path: &str, contents: &[u8]) {
        self.add(path, PROGRAM, contents);
    }

    /// Adds a symbolic link.
    pub(crate) fn link(&mut self, path: &str, to: &str) {
        self.add(path, LINK, to.as_bytes());
    }

    /// The whole archive.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        self.entry("TRAILER!!!", 0, &[]);
        self.bytes
    }

    fn add(&mut self, path: &str, mode: u32, contents: &[u8]) {
        let path = path.trim_matches('/');
        if let Some((above, _)) = path.rsplit_once('/') {
            self.folder(above);
        }
        self.entry(path, mode, contents);
    }

    fn entry(&mut self, name: &str, mode: u32, contents: &[u8]) {
        self.entries += 1;
        let links = if mode == FOLDER { 2 } else { 1 };
        // Inode, mode, owner, group, links, time, size, device (2), its own (2), name, sum.
        let size = contents.len() as u32;
        let name_size = name.len() as u32 + 1;
        let fields = [self.entries, mode, 0, 0, links, 0, size, 0, 0, 0, 0, name_size, 0];
        self.bytes.extend(b"070701");
        for field in fields {
            self.bytes.extend(format!("{field:08x}").bytes());
        }
        self.bytes.extend(name.bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend(contents);
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_is_as_linux_reads_it() {
        let mut archive = Archive::default();
        archive.file("/a/b/init", b"#!/bin/sh\n");
        archive.link("/a/b/sh", "init");
        archive.folder("/a");
        let bytes = archive.finish();
        let (mut at, mut names) = (0, Vec::new());
        while at < bytes.len() {
            let field = |number: usize| {
                let text = std::str::from_utf8(&bytes[at + 6 + 8 * number..][..8]).expect("digits");
                usize::from_str_radix(text, 16).expect("hexadecimal")
            };
            assert_eq!(&bytes[at..at + 6], b"070701");
            let (size, name) = (field(6), field(11));
            let start = (at + 110 + name).next_multiple_of(4);
            let contents = &bytes[start..start + size];
            names.push(String::from_utf8_lossy(&bytes[at + 110..at + 110 + name - 1]).into_owned());
            assert!(names.len() != 3 || contents == b"#!/bin/sh\n");
            at = (start + size).next_multiple_of(4);
        }
        assert_eq!(names, ["a", "a/b", "a/b/init", "a/b/sh", "TRAILER!!!"]);
    }
}
