//! What the host half bakes for one service.

use crate::Routes;

/// The files and routes of one service, fixed at build time. The host half writes the
/// implementation, on a type without a value.
pub trait Site: 'static {
    /// Its routes; [`NoRoutes`](crate::NoRoutes) where there are none.
    type Routes: Routes;

    /// Its paths in byte order, for a binary search.
    fn paths() -> &'static [(&'static str, Entry)];
}

/// What stands under a path.
#[derive(Clone, Copy, Debug)]
pub enum Entry {
    /// A file.
    File(&'static File),
    /// A folder that was asked for without its `/` at the end: where it is, encoded as
    /// in a `Location` header.
    Folder(&'static str),
}

/// A file with the head of the response that carries it.
#[derive(Clone, Copy, Debug)]
pub struct File {
    /// The head of a 200 response, without the empty line at its end:
    /// status line, `Content-Length`, then the rest.
    pub head: &'static str,
    /// Where in the head its `Content-Type` begins: what a 206 response has too.
    pub content_type: u16,
    /// Where in the head its `ETag` begins: what a 304 response has too.
    pub etag: u16,
    /// The content.
    pub body: &'static [u8],
}

impl File {
    /// The part of the head from the `Content-Type` on.
    pub(crate) fn content_type_on(&self) -> &'static [u8] {
        self.head.get(usize::from(self.content_type)..).unwrap_or_default().as_bytes()
    }

    /// The part of the head from the `ETag` on.
    pub(crate) fn etag_on(&self) -> &'static [u8] {
        self.head.get(usize::from(self.etag)..).unwrap_or_default().as_bytes()
    }

    /// The entity tag with its quotes.
    pub(crate) fn tag(&self) -> &'static [u8] {
        let line = self.etag_on().strip_prefix(b"ETag: ").unwrap_or_default();
        line.split(|&byte| byte == b'\r').next().unwrap_or_default()
    }
}

/// Finds `path` in a table in byte order.
pub(crate) fn search(paths: &'static [(&'static str, Entry)], path: &str) -> Option<Entry> {
    let at = paths.binary_search_by(|(other, _)| (*other).cmp(path)).ok()?;
    paths.get(at).map(|(_, entry)| *entry)
}
