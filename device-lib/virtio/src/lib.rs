//! Virtio 1.2 split queues over MMIO and PCI, shared by the virtio drivers (not a component)
