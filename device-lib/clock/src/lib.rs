//! Wall-clock time
