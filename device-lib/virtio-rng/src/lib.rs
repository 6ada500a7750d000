//! Virtio entropy device
