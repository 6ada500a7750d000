//! The host's sockets in place of a network, for --target process
