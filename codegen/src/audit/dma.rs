//! What whoever owns ring 3 could make a device do with the guest's memory, after the seal.
//!
//! There is no IOMMU. Which transport an image drives is found out at boot, so both are told.
//! Each row is what `tests/guests/bringup` tries; the book's page of the machine says how it
//! is closed.

use serde::Serialize;

use crate::image::Report;

/// A way to aim a device at memory that isn't for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Way {
    /// What would be aimed.
    pub way: &'static str,
    /// How it stands on virtio-mmio.
    pub mmio: &'static str,
    /// How it stands on virtio-pci.
    pub pci: &'static str,
    /// Whether it is closed on both.
    pub closed: bool,
}

/// All of them.
pub const WAYS: [Way; 7] = [
    Way {
        way: "queue addresses, reset of the device",
        mmio: "the register page is the gate's",
        pci: "not mapped; only the page of the bells is",
        closed: true,
    },
    Way {
        way: "descriptors of buffers that a device writes",
        mmio: "read-only",
        pci: "read-only",
        closed: true,
    },
    Way {
        way: "an index beyond the table",
        mmio: "the device refuses (virtio 1.2, 2.7.13)",
        pci: "the device refuses (virtio 1.2, 2.7.13)",
        closed: true,
    },
    Way {
        way: "descriptors of buffers that a device reads",
        mmio: "open: can make the device send any memory of the guest, not write it",
        pci: "open: the same",
        closed: false,
    },
    Way {
        way: "where an interrupt is written",
        mmio: "not mapped",
        pci: "the MSI-X table isn't mapped",
        closed: true,
    },
    Way {
        way: "PCI configuration space",
        mmio: "there is none",
        pci: "not mapped, ports closed",
        closed: true,
    },
    Way { way: "DMA of fw_cfg", mmio: "port closed", pci: "port closed", closed: true },
];

/// Those that concern an image: none, where nothing in it drives a virtio device.
#[must_use]
pub fn ways(report: &Report) -> &'static [Way] {
    let has = |name: &str| report.crates.iter().any(|entry| entry.name == name);
    if has(QUEUES) { &WAYS } else { &[] }
}

/// The crate of the queues, which every virtio driver is built on.
const QUEUES: &str = "unik-virtio";
