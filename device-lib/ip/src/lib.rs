//! An IP network on an Ethernet device
