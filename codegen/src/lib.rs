//! From a plan to a crate to an image
