//! The processor's random number generator
