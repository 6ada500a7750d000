//! Where the boot line says that virtio-mmio devices are.
//!
//! Refers to nothing else of the crate, so that its tests run on the host:
//! `runtime/tests/machine.rs`.

/// A window of virtio-mmio registers that the monitor named on the boot line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MmioWindow {
    /// Physical address of the first register.
    pub base: u64,
    /// Bytes of registers: 512 with QEMU, 4096 with Firecracker.
    pub size: u64,
    /// The global system interrupt of the device, for
    /// [`Interrupt::from_gsi`](super::device::Interrupt::from_gsi).
    pub gsi: u32,
}

impl MmioWindow {
    /// Reads `virtio_mmio.device=SIZE@BASE:GSI[:ID]`, as Linux' `virtio_mmio` has it; `None`
    /// if `argument` is something else, or can't be.
    pub fn parse(argument: &str) -> Option<MmioWindow> {
        let value = argument.strip_prefix("virtio_mmio.device=")?;
        let (size, place) = value.split_once('@')?;
        let mut place = place.split(':');
        let base = number(place.next()?)?;
        let gsi = place.next()?.parse().ok()?;
        let size = number(size)?;
        (size > 0 && base.checked_add(size).is_some()).then_some(MmioWindow { base, size, gsi })
    }
}

/// A number as the Linux boot line has it: decimal or `0x…`, with an optional `K`, `M` or `G`.
fn number(text: &str) -> Option<u64> {
    let (digits, shift) = match text.as_bytes().last()? {
        b'K' | b'k' => (&text[..text.len() - 1], 10),
        b'M' | b'm' => (&text[..text.len() - 1], 20),
        b'G' | b'g' => (&text[..text.len() - 1], 30),
        _ => (text, 0),
    };
    let number = match digits.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).ok()?,
        None => digits.parse().ok()?,
    };
    number.checked_mul(1 << shift)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(size: u64, base: u64, gsi: u32) -> Option<MmioWindow> {
        Some(MmioWindow { base, size, gsi })
    }

    #[test]
    fn reads_what_monitors_write() {
        let qemu = MmioWindow::parse("virtio_mmio.device=512@0xfeb00e00:12");
        assert_eq!(qemu, window(512, 0xfeb0_0e00, 12));
        let firecracker = MmioWindow::parse("virtio_mmio.device=4K@0xd0000000:5");
        assert_eq!(firecracker, window(4096, 0xd000_0000, 5));
        let with_id = MmioWindow::parse("virtio_mmio.device=1M@268435456:7:3");
        assert_eq!(with_id, window(1 << 20, 1 << 28, 7));
    }

    #[test]
    fn skips_what_makes_no_sense() {
        for argument in [
            "",
            "virtio_mmio.device",
            "virtio_mmio.device=",
            "virtio_mmio.device=@:",
            "virtio_mmio.device=512@0xfeb00e00",
            "virtio_mmio.device=512@0xfeb00e00:",
            "virtio_mmio.device=512@0xfeb00e00:-1",
            "virtio_mmio.device=0@0xfeb00e00:12",
            "virtio_mmio.device=K@0xfeb00e00:12",
            "virtio_mmio.device=512@0xffffffffffffff00:12",
            "virtio_mmio.device=99999999999G@0xfeb00e00:12",
            "virtio_mmio.device=ä@ä:ä",
            "other=512@0xfeb00e00:12",
        ] {
            assert_eq!(MmioWindow::parse(argument), None, "{argument}");
        }
    }
}
