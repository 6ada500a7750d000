//! Virtio network device
