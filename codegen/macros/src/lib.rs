//! The macro door: unik::appliance!
