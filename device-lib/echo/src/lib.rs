//! Echo server over TCP and UDP (RFC 862)
