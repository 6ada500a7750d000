//! HTTP/1.1 server for static files and handlers
