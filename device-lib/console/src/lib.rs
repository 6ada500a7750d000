//! The console
