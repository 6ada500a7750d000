//! Request methods (RFC 9110, 9).

use core::fmt;

/// The method of a request: one of those that RFC 9110 and RFC 5789 define. A request
/// with another one is answered with 501.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    /// Give the content.
    Get,
    /// Like GET, without the body of the answer. The server leaves the body away: a
    /// handler may treat it as GET.
    Head,
    /// Process the body.
    Post,
    /// Replace the content by the body.
    Put,
    /// Change the content as the body says.
    Patch,
    /// Remove the content.
    Delete,
    /// Say what is possible.
    Options,
    /// Echo the request. Never reaches a file.
    Trace,
    /// Open a tunnel. This server opens none: it is answered with 501.
    Connect,
}

impl Method {
    /// The method that `token` names; names are case-sensitive.
    #[must_use]
    pub fn from_token(token: &str) -> Option<Method> {
        Some(match token {
            "GET" => Method::Get,
            "HEAD" => Method::Head,
            "POST" => Method::Post,
            "PUT" => Method::Put,
            "PATCH" => Method::Patch,
            "DELETE" => Method::Delete,
            "OPTIONS" => Method::Options,
            "TRACE" => Method::Trace,
            "CONNECT" => Method::Connect,
            _ => return None,
        })
    }

    /// As it stands in a request: `GET`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Method::Get => "GET",
            Method::Head => "HEAD",
            Method::Post => "POST",
            Method::Put => "PUT",
            Method::Patch => "PATCH",
            Method::Delete => "DELETE",
            Method::Options => "OPTIONS",
            Method::Trace => "TRACE",
            Method::Connect => "CONNECT",
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_case_sensitive_and_go_both_ways() {
        for name in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"] {
            assert_eq!(Method::from_token(name).map(Method::as_str), Some(name));
            assert_eq!(Method::from_token(&name.to_lowercase()), None);
        }
        assert_eq!(Method::from_token(""), None);
    }
}
