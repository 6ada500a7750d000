//! Status codes (RFC 9110, 15).

use core::fmt;

/// The status code of a response, 200 to 599.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Status(u16);

macro_rules! statuses {
    ($($name:ident = $code:literal $reason:literal $source:literal;)*) => {
        impl Status {
            $(
                #[doc = concat!($reason, " (", $source, ")")]
                pub const $name: Status = Status($code);
            )*

            /// The phrase that stands after the code; empty for a code without a usual one.
            #[must_use]
            pub const fn reason(self) -> &'static str {
                match self.0 {
                    $($code => $reason,)*
                    _ => "",
                }
            }
        }
    };
}

statuses! {
    OK = 200 "OK" "RFC 9110, 15.3.1";
    CREATED = 201 "Created" "RFC 9110, 15.3.2";
    ACCEPTED = 202 "Accepted" "RFC 9110, 15.3.3";
    NO_CONTENT = 204 "No Content" "RFC 9110, 15.3.5";
    PARTIAL_CONTENT = 206 "Partial Content" "RFC 9110, 15.3.7";
    MOVED_PERMANENTLY = 301 "Moved Permanently" "RFC 9110, 15.4.2";
    FOUND = 302 "Found" "RFC 9110, 15.4.3";
    SEE_OTHER = 303 "See Other" "RFC 9110, 15.4.4";
    NOT_MODIFIED = 304 "Not Modified" "RFC 9110, 15.4.5";
    TEMPORARY_REDIRECT = 307 "Temporary Redirect" "RFC 9110, 15.4.8";
    PERMANENT_REDIRECT = 308 "Permanent Redirect" "RFC 9110, 15.4.9";
    BAD_REQUEST = 400 "Bad Request" "RFC 9110, 15.5.1";
    UNAUTHORIZED = 401 "Unauthorized" "RFC 9110, 15.5.2";
    FORBIDDEN = 403 "Forbidden" "RFC 9110, 15.5.4";
    NOT_FOUND = 404 "Not Found" "RFC 9110, 15.5.5";
    METHOD_NOT_ALLOWED = 405 "Method Not Allowed" "RFC 9110, 15.5.6";
    REQUEST_TIMEOUT = 408 "Request Timeout" "RFC 9110, 15.5.9";
    CONFLICT = 409 "Conflict" "RFC 9110, 15.5.10";
    GONE = 410 "Gone" "RFC 9110, 15.5.11";
    PRECONDITION_FAILED = 412 "Precondition Failed" "RFC 9110, 15.5.13";
    CONTENT_TOO_LARGE = 413 "Content Too Large" "RFC 9110, 15.5.14";
    URI_TOO_LONG = 414 "URI Too Long" "RFC 9110, 15.5.15";
    UNSUPPORTED_MEDIA_TYPE = 415 "Unsupported Media Type" "RFC 9110, 15.5.16";
    RANGE_NOT_SATISFIABLE = 416 "Range Not Satisfiable" "RFC 9110, 15.5.17";
    EXPECTATION_FAILED = 417 "Expectation Failed" "RFC 9110, 15.5.18";
    UNPROCESSABLE_CONTENT = 422 "Unprocessable Content" "RFC 9110, 15.5.21";
    TOO_MANY_REQUESTS = 429 "Too Many Requests" "RFC 6585, 4";
    HEADER_FIELDS_TOO_LARGE = 431 "Request Header Fields Too Large" "RFC 6585, 5";
    INTERNAL_SERVER_ERROR = 500 "Internal Server Error" "RFC 9110, 15.6.1";
    NOT_IMPLEMENTED = 501 "Not Implemented" "RFC 9110, 15.6.2";
    BAD_GATEWAY = 502 "Bad Gateway" "RFC 9110, 15.6.3";
    SERVICE_UNAVAILABLE = 503 "Service Unavailable" "RFC 9110, 15.6.4";
    VERSION_NOT_SUPPORTED = 505 "HTTP Version Not Supported" "RFC 9110, 15.6.6";
}

impl Status {
    /// The status with this code; `None` outside of 200 to 599 (interim responses are
    /// the server's own business).
    #[must_use]
    pub const fn from_code(code: u16) -> Option<Status> {
        if code >= 200 && code <= 599 { Some(Status(code)) } else { None }
    }

    /// Its code.
    #[must_use]
    pub const fn code(self) -> u16 {
        self.0
    }

    /// Whether responses with this status have no body and no length.
    pub(crate) const fn is_bodiless(self) -> bool {
        matches!(self.0, 204 | 304)
    }

    /// The three digits of its code.
    pub(crate) const fn digits(self) -> [u8; 3] {
        [b'0' + (self.0 / 100 % 10) as u8, b'0' + (self.0 / 10 % 10) as u8, b'0' + (self.0 % 10) as u8]
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.0, self.reason())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn codes_digits_and_reasons() {
        assert_eq!(Status::from_code(404), Some(Status::NOT_FOUND));
        assert_eq!(Status::from_code(199), None);
        assert_eq!(Status::from_code(600), None);
        assert_eq!(&Status::RANGE_NOT_SATISFIABLE.digits(), b"416");
        assert_eq!(Status::from_code(299).unwrap().reason(), "");
        assert_eq!(Status::NOT_FOUND.to_string(), "404 Not Found");
    }
}
